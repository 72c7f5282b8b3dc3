"""lambent compress, decompress: data into an archive by a trained model, and out of it again."""

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lambent.cli import folder as run_folder
from lambent.cli.reading.flags import Parser, add_seed, common, divided, filled, import_modules, positive, whole
from lambent.cli.reading.trees import Tree, as_tree
from lambent.cli.verbs.archive_told import NOUNS, SUFFIX, counted, tell
from lambent.cli.voice import Voice
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.machine import PRESETS

# What computes is imported where it is needed, for the help must not wait for torch.
if TYPE_CHECKING:
    from lambent.fitted import Fitted

RUNS = Path("runs")
USAGE = (
    "lambent compress RUN DATA -o FILE.lam [flags]\n"
    "       lambent compress DATA --train -o FILE.lam [--run RUN] [flags, those of the parts of a model among them]"
)
OF_TABLES = "Autoregressive"
NARROW = {"width": 16, "rank": 4}  # of a model of a table that travels inside
ROUNDED = (
    "--data.crop 128 --latent Grid --latent.layers '/32x1 /8x1' --latent.channels 16,48 --latent.width 64,96 "
    "--latent.activation relu --latent.posterior Uniform --latent.prior Factorized --likelihood Gaussian --likelihood.scale "
    "fixed --likelihood.value 0.06 --network ResNet --network.channels 96 --network.stem 8 --network.activation relu"
)  # a model of rounded codes
OF_TRAINING = ("run", "preset", "minutes", "epochs")


def compress(arguments: Sequence[str]) -> int:
    """An archive of the data, each block decoded before it is written."""
    rest, flags = divided(arguments)
    options = _for_compress().read(rest)
    import_modules(options.modules)
    voice = Voice.of(options)
    _settled(options, flags)
    path = _claimed(options)
    if options.train:
        options.model = str(_trained(options, flags, arguments, voice))
    return _compressed(options, path, voice)


def _for_compress() -> Parser:
    parser = Parser(
        "compress",
        "Compress data without loss by a trained model: pictures, whose samples come back to the bit as PNG, all other files of "
        "the folder byte for byte; .npy, .npz and IDX files as the same arrays, CSV "
        "files byte for byte. Every block is decoded before it is written.",
        usage=USAGE,
    )
    parser.add_argument("model", metavar="RUN | DATA", help="a run folder or a model file; with --train the data")
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="a folder or a file of pictures, a file of arrays, or the CSV file of a table",
    )
    parser.add_argument(
        "-o", "--out", required=True, metavar="FILE", type=filled("--out"), help=f"the archive to write: {SUFFIX}"
    )
    parser.add_argument("--force", action="store_true", help="replace the archive if it exists")
    parser.add_argument("--append", action="store_true", help="write behind what the archive holds already")
    parser.add_argument(
        "--with-model", action="store_true",
        help="put the model into the archive, too, so that nothing else is needed to decompress it; default: it is named by hash",
    )  # fmt: skip
    parser.add_argument(
        "--no-verify", action="store_true", help="write blocks without decoding them first: twice as fast"
    )
    parser.add_argument(
        "--quality", type=whole("--quality", 1, 100), metavar="Q",
        help="of photographs, lossy: by a run with a Uniform posterior; 50 as it was trained, 16 more halves the steps",
    )  # fmt: skip
    parser.add_argument(
        "--weight-bits", type=whole("--weight-bits", 4, 24), metavar="N",
        help="bits behind the point that are kept of a weight; default: 10, of a table's 4, where the model is inside, else 16",
    )  # fmt: skip
    group = parser.add_argument_group("training first", "for all other settings lambent train, whose runs this takes")
    group.add_argument("--train", action="store_true", help="train a model on the data, and keep it for the next ones")
    group.add_argument(
        "--run", metavar="RUN", type=filled("--run"), help="the folder it is kept in; default: runs/NAME"
    )
    group.add_argument("--preset", choices=PRESETS, help="its size, as of lambent train; default: small for pictures")
    group.add_argument("--minutes", type=positive, metavar="M", help="train for so many")
    group.add_argument("--epochs", type=whole("--epochs", 1, 10**6), help="train for so many epochs")
    add_seed(parser)
    return common(parser, machine=True)


def _settled(options: Namespace, flags: Tree) -> None:
    """Tell RUN DATA from DATA --train, and refuse what cannot be asked together."""
    if not options.train:
        given = [f"--{name}" for name in flags] + [
            f"--{name}" for name in OF_TRAINING if getattr(options, name) is not None
        ]
        if given:
            raise UsageError(
                f"{options.model} is trained already, so {', '.join(given)} can change nothing: add --train, or leave it out"
            )
        if options.data is None:
            name = shlex.quote(options.model)
            raise UsageError(f"which run, which data? lambent compress RUN {name}, or lambent compress {name} --train")
        return
    if options.data is not None:
        raise UsageError(
            f"--train makes the model, so {options.model} is one too many: lambent compress {shlex.quote(options.data)} --train"
        )
    if options.append:
        raise UsageError("--append needs the model that the archive was made with, and --train makes another")
    if options.minutes is not None and options.epochs is not None:
        raise UsageError("--epochs and --minutes both say how long to train: leave one of them out")
    if options.quality is not None and "Uniform" not in str(flags.get("latent")):
        raise UsageError(
            "--quality takes codes that are made to be rounded, and training makes such only where it is asked to: "
            f"lambent compress {shlex.quote(options.model)} --train --quality {options.quality} {ROUNDED}"
        )
    options.data = options.model


def _claimed(options: Namespace) -> Path:
    """The archive's path, once it is certain that it may be written."""
    from lambent.cli.output import claim

    path = claim(options.out, (SUFFIX,), options.force or options.append, [options.data])
    if os.path.isdir(options.data):
        run_folder.apart(path, options.data)
    return path


def _trained(options: Namespace, flags: Tree, arguments: Sequence[str], voice: Voice) -> Path:
    """A run by the machinery of `lambent train`, kept for the next archive."""
    from lambent.cli.reading.plan import Plan, sourced, with_flags
    from lambent.cli.verbs.carry import Job, carried
    from lambent.cli.verbs.train import name_of
    from lambent.data.readers.tabular import is_table

    tree = _suited(sourced(flags, options.data), options)
    fit = {"seed": options.seed} | ({} if options.epochs is None else {"epochs": options.epochs})
    plan = Plan.of(with_flags({}, {**tree, "fit": fit}))
    chosen = any(name in flags for name in ("latent", "network"))
    plan.preset = options.preset or (None if chosen or is_table(Path(options.data)) else "small")
    plan.check()
    folder = Path(options.run) if options.run else run_folder.unused(RUNS, name_of(plan.rows["source"]))
    run_folder.vacant(folder, options.force)
    run_folder.apart(folder, options.data)
    then = shlex.join(["lambent", "compress", str(folder), options.data, "-o", options.out])
    job = Job(voice, shlex.join(["lambent", "compress", *arguments]), then=then, minutes=options.minutes)
    with run_folder.claimed(folder):
        carried(plan, folder, job)
    return folder


def _suited(tree: Tree, options: Namespace) -> Tree:
    """Of a table what an archive needs and no more, where nothing else was asked: columns that see columns, in one order."""
    from lambent.data.readers.tabular import format_of, is_table

    path = Path(options.data)
    if not is_table(path):
        return tree
    if path.is_file() and (format_of(path) != "text" or path.suffix.lower() == ".gz"):
        raise DataError(f"{path}: is no plain text, and a model tells tables as text: write it as a CSV file first")
    chosen = as_tree(tree.get("likelihood"), "Likelihood", "likelihood")
    if chosen.get("type", OF_TABLES) == OF_TABLES:
        narrow = NARROW if options.with_model else {}
        tree = tree | {"likelihood": {"agnostic": 0.0, "dropout": 0.0, **narrow, **chosen}}
    return {"objective": "Elbo", **tree, "data": {"scale": "ranks", "hidden": 0.0, **tree["data"]}}


def _compressed(options: Namespace, path: Path, voice: Voice) -> int:
    from lambent.codec import lookup
    from lambent.codec.files import Options, compress
    from lambent.training.precision import device_of

    fitted, file = _loaded(options.model)
    how = Options(
        options.with_model,
        not options.no_verify,
        options.append,
        options.train,
        _at_once(options.threads),
        options.weight_bits,
        options.quality,
    )
    made = compress(fitted, options.data, path, how, device_of(options.device))
    lookup.remembered(made.archive.header["model"], file)
    tell(made, path, options, voice)
    return 0


def _loaded(run: str) -> "tuple[Fitted, Path]":
    from lambent.fitted import load

    file = run_folder.model_file(run)
    return load(file), file


def _at_once(threads: str) -> int:
    """How many blocks are coded at a time, each by one thread."""
    import torch

    from lambent.training.threads import choices, scheduled

    count = max(choices()) if threads == "auto" else scheduled(threads)[0]
    torch.set_num_threads(1)
    return count


# ---- and back --------------------------------------------------------------------------------------------------------


def decompress(arguments: Sequence[str]) -> int:
    """What an archive holds, into a folder or a file."""
    options = _for_decompress().read(arguments)
    import_modules(options.modules)
    voice = Voice.of(options)
    from lambent.codec.extracting import Reading, decompress
    from lambent.training.precision import device_of

    if options.out == "-":
        raise UsageError(
            "--out -: what comes out of an archive is not written to the standard output; name a folder or a file"
        )
    source: Path | BinaryIO = sys.stdin.buffer if options.archive == "-" else Path(options.archive)
    given = None if options.model is None else _loaded(options.model)[0]
    device = device_of(options.device)
    how = Reading(given, str(options.model), options.salvage, device, _at_once(options.threads))
    found = decompress(source, Path(options.out), how, options.force)
    items = counted(found.count, "table" if found.kind == "table" else NOUNS[found.kind])
    voice.result({"out": str(found.out), "kind": found.kind, "count": found.count, "lost": found.lost})
    voice.say(f"{found.out}: {items}")
    if found.lost:
        raise ArtifactError(
            f"{options.archive} is damaged; {items} came out intact, into {found.out}; lost are: "
            + "; ".join(found.lost[:20])
        )
    return 0


def _for_decompress() -> Parser:
    parser = Parser(
        "decompress",
        "Everything out of an archive: a folder of files, pictures among them as PNG, or the file of arrays that was compressed.",
    )
    parser.add_argument("archive", metavar="FILE.lam", help="the archive; - reads it from the standard input")
    parser.add_argument(
        "-o", "--out", required=True, metavar="DIR | FILE", type=filled("--out"),
        help="a folder for pictures; a file for arrays, of the kind that was compressed",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="RUN",
        help="the run it was made with; default: the model inside, else the one of its hash beside the archive, in runs/, or "
        "where it was seen last",
    )  # fmt: skip
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="of a damaged archive, all that is intact; the status is 4 if something is lost",
    )
    parser.add_argument(
        "--force", action="store_true", help="write into a folder that holds files, or replace the file"
    )
    return common(parser, machine=True)


def is_archive(path: Path) -> bool:
    """Whether a file begins as an archive does."""
    try:
        with path.open("rb") as file:
            return file.read(8) == b"LAMBENT\n"
    except OSError:
        return False
