"""lambent detect: which rows are odd, how sure that is, and why; of a trained run, or of data that it trains on first."""

import argparse
import math
import os
import shlex
from argparse import Namespace
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli import folder as run_folder
from lambent.cli.reading.flags import FAMILIES, Parser, common, divided, filled, import_modules, whole
from lambent.cli.reading.kept import Catalogue, everything
from lambent.cli.reading.part_flags import add_fields, add_part_flags
from lambent.cli.reading.trees import Tree, Typed, as_tree
from lambent.cli.verbs.train import RUNS, add_training, name_of, tree_of
from lambent.cli.voice import Voice
from lambent.errors import InterruptedRun, UsageError

# What computes is imported where it is needed, for the help must not wait for torch.
if TYPE_CHECKING:
    from lambent.cli.verbs.detected import Asked

USAGE = (
    "lambent detect RUN DATA [-o FILE] [flags]\n"
    "       lambent detect DATA [-o FILE] [--run RUN] [flags, those of train among them]"
)
OWN = (*FAMILIES, "score")
CALIBRATION = 0.2  # of the rows, held out to say what is usual
REASONS = 200
RULES = ("fdr", "contamination", "tail")
# Of the flags of train those that also say how a trained run computes.
OF_A_RUN = {
    "first", "data", "out", "report", "force", "fdr", "contamination", "tail", "labels", "reference", "heatmaps", "drift",
    "clean", "reasons", "split", "resize", "limit", "device", "threads", "seed", "modules", "json", "quiet", "debug",
}  # fmt: skip


def detect(arguments: Sequence[str]) -> int:
    """Score rows, flag the odd ones by a rule with a stated promise, and say why."""
    rest, flags = divided(arguments, OWN)
    if {"-h", "--help"} & set(rest[: rest.index("--") if "--" in rest else None]):
        return _explained(rest, flags)
    options = _parser(everything()).read(rest, also=[f"--{name}" for name in OWN])
    import_modules(options.modules)
    voice = Voice.of(options)
    score = flags.pop("score", None)
    _settled(options, flags)
    from lambent.cli.reading.detectors import given_score
    from lambent.cli.verbs.detected import Asked, claimed, of_run
    from lambent.cli.verbs.detection_told import tell

    given_score(score)
    asked = Asked(options, score, claimed(options), voice)
    if options.run is None:
        return _trained(asked, flags, arguments)
    tell(of_run(asked), asked)
    return 0


def _explained(rest: list[str], flags: Tree) -> int:
    """The help, with the flags of the score and of the parts chosen so far."""
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument("--import", dest="modules", action="append", default=[])
    import_modules(asked.parse_known_args(rest)[0].modules)
    known = everything()
    parser = _parser(known)
    members, given = known["parts"].get("Score", {}), as_tree(flags.pop("score", None), "Score", "score")
    group = parser.add_argument_group("--score NAME", f"{', '.join(members)}; default: what suits the data")
    if str(given.get("type")) in members:
        add_fields(group, "score", "Score", members[str(given["type"])], given, known["parts"])
    add_part_flags(parser, flags, known)
    parser.print_help()
    return 0


def _parser(known: Catalogue) -> Parser:
    summary = (
        "Which rows are odd, how sure that is, and why. Every row gets a score (higher = more odd), a p-value and a flag, "
        "flagged rows a reason. With a run its detector is asked; without one a model is trained on DATA first, and kept."
    )
    parser = Parser("detect", summary, usage=USAGE)
    parser.add_argument("first", nargs="?", metavar="RUN | DATA", help="a trained run, or the data to train on")
    parser.add_argument("data", nargs="?", metavar="DATA", help="rows to look at, where a run stands before them")
    parser.add_argument(
        "-o", "--out", metavar="FILE", type=filled("--out"),
        help="the rows with row, score (higher = more odd), p, flagged and why: .csv, .parquet, …",
    )  # fmt: skip
    parser.add_argument(
        "--run", dest="kept", metavar="RUN", type=filled("--run"),
        help="the folder that the run is kept in when it trains; default: runs/NAME",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace files, and the run in the folder, that exist")
    _add_decision(parser)
    _add_looks(parser)
    limit = known["settings"]["data"]["limit"]
    meaning = "of a run: look only at the first so many rows; training: train on at most so many, drawn by a fixed seed"
    add_training(parser, known, {"limit": limit | {"meaning": meaning}, "memory": known["settings"]["data"]["memory"]})
    common(parser)
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE", help=argparse.SUPPRESS
    )
    return parser


def _add_decision(parser: Parser) -> None:
    usual = "--fdr 0.1 where the held-out rows are known to be normal (--clean, --reference), else --contamination 0.1"
    group = parser.add_argument_group("which rows are flagged, by one rule", f"default: {usual}")
    group.add_argument(
        "--fdr", type=_share("--fdr"), metavar="SHARE",
        help="at most this share of the flagged rows is normal, on average (Benjamini–Hochberg on conformal p-values)",
    )  # fmt: skip
    group.add_argument(
        "--contamination",
        type=_share("--contamination", 0.5),
        metavar="SHARE",
        help="flag this share of the rows, the oddest",
    )
    group.add_argument(
        "--tail", type=_share("--tail"), metavar="RATE",
        help="flag rows beyond a score that this share of normal rows passes, from a fit of the tail",
    )  # fmt: skip
    group.add_argument(
        "--labels", metavar="COLUMN", type=filled("--labels"),
        help="a column of known cases (1 and 0, attack and normal; empty: not known), never trained on: chooses the threshold, "
        "or beside another rule says how good that is",
    )  # fmt: skip
    group.add_argument("--clean", action="store_true", help="the rows to train on hold no odd ones: none are trimmed")
    group.add_argument(
        "--reference", metavar="FILE", type=filled("--reference"),
        help="normal rows that were not trained on, which say what is usual; default: those that the run held out",
    )  # fmt: skip


def _add_looks(parser: Parser) -> None:
    group = parser.add_argument_group("more to look at")
    group.add_argument("--drift", action="store_true", help="has the whole changed since training, and which columns?")
    group.add_argument(
        "--reasons", type=whole("--reasons", 0, 10**9), default=REASONS, metavar="N",
        help=f"of how many flagged rows the reason is looked for, the oddest first (default {REASONS})",
    )  # fmt: skip
    group.add_argument("--report", metavar="PAGE.html", type=filled("--report"), help="a page with all of it")
    group.add_argument(
        "--heatmaps",
        metavar="DIR",
        type=filled("--heatmaps"),
        help="of pictures: where each flagged one is odd, as PNG",
    )
    group.add_argument(
        "--split", help="split of the data to look at; default: 'test' of a run's, where there is one, else all"
    )
    group.add_argument(
        "--resize", action="store_true", help="bring pictures of another size or colour to the model's own"
    )


def _share(flag: str, most: float = 1.0) -> Callable[[str], float]:
    """A reader of shares above 0, and below 1 or up to what there may be at most."""

    def read(text: str) -> float:
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0 < share < 1 or share > most:
            where = "between 0 and 1" if most == 1 else f"above 0 and up to {most:g}"
            raise argparse.ArgumentTypeError(f"takes a share {where}, such as 0.1, not {text[:40]!r}")
        return share

    read.__name__ = flag
    return read


def _settled(options: Namespace, flags: Tree) -> None:
    """Tell RUN DATA from DATA, and refuse what cannot be asked together."""
    rules = [f"--{name}" for name in RULES if getattr(options, name) is not None]
    if len(rules) > 1:
        raise UsageError(
            f"one rule decides which rows are flagged, and {' and '.join(rules)} are several: leave all but one out"
        )
    options.run = None
    if options.first is None and options.config is None and not ({"source", "type"} & set(flags.get("data", ()))):
        raise UsageError("which data? lambent detect RUN DATA, or lambent detect DATA, which trains on them first")
    if options.data is None and not _is_run(options.first):
        options.data = options.first
        if options.drift and options.reference is None:
            raise UsageError(
                "--drift compares new rows with those that a run held out: lambent detect RUN NEW --drift (or name others with "
                "--reference FILE)"
            )
        return
    if options.data is None:
        raise UsageError(f"which rows? {options.first} is a run: lambent detect {shlex.quote(options.first)} DATA")
    if not _is_run(options.first) and os.path.isfile(options.first):
        raise UsageError(
            f"{options.first} is no run, and DATA follows a run; to train on a file first, name it alone: lambent detect "
            f"{shlex.quote(options.first)}, then: lambent detect RUN {shlex.quote(options.data)}"
        )
    options.run = options.first
    given = [f"--{name}" for name in flags]
    given += [
        f"--{ {'kept': 'run'}.get(name, name).replace('_', '-') }"
        for name, value in vars(options).items()
        if value not in (None, False, []) and name not in OF_A_RUN | {"run"}
    ]
    if given:
        raise UsageError(
            f"{options.run} is trained already, so {', '.join(given)} can change nothing; to train anew: lambent detect "
            f"{shlex.quote(options.data)} {' '.join(given)}"
        )


def _is_run(word: str | None) -> bool:
    """Whether a word names a run's folder, finished or not, or a model file."""
    if word is None or "\0" in word:
        return False
    held = (run_folder.MODEL, run_folder.CHECKPOINT, run_folder.CONFIG)
    return word.endswith(".safetensors") or any(os.path.isfile(os.path.join(word, name)) for name in held)


# ---- training first --------------------------------------------------------------------------------------------------


def _trained(asked: "Asked", flags: Tree, arguments: Sequence[str]) -> int:
    """A run by the machinery of `lambent train`, with what suits detection; then its rows looked at."""
    from lambent.cli.reading.plan import Plan
    from lambent.cli.verbs.carry import Job, carried
    from lambent.cli.verbs.detected import after_training, refuse
    from lambent.cli.verbs.detection_told import tell

    options = asked.options
    plan = Plan.of(_held_out(tree_of(options, flags), options))
    plan.detecting, plan.clean = True, options.clean
    plan.check()
    folder = Path(options.kept) if options.kept else run_folder.unused(RUNS, plan.name or name_of(plan.rows["source"]))
    run_folder.vacant(folder, options.force)
    if plan.rows["source"] is not None:
        run_folder.apart(folder, plan.rows["source"])
        options.data = plan.rows["source"]
    then = _again(folder, options, arguments)
    command = shlex.join(["lambent", "detect", *arguments])
    job = Job(asked.voice, command, options.track, options.keep_checkpoint, then, lambda rows: refuse(rows, options))
    with run_folder.claimed(folder):
        done = carried(plan, folder, job)
        try:
            tell(after_training(done, folder, asked), asked)
        except KeyboardInterrupt as stopped:
            status = getattr(stopped, "exit_status", 130)
            raise InterruptedRun(
                f"interrupted after training; the model is saved, go on with: {then}", status
            ) from None
    return 0


def _held_out(tree: Tree, options: Namespace) -> Tree:
    """The settings with a share held out that says what is usual, and the labels apart from what is learned."""
    data = {"test": CALIBRATION, **tree.get("data", {})}
    if options.labels is not None and _of_table(data.get("source")):
        label, own = data.get("label"), str(options.labels)
        if label is None:
            data["label"] = own
        elif str(label) != own:
            dropped = data.get("drop") or []
            data["drop"] = Typed(f"{dropped},{own}") if isinstance(dropped, str) else [*dropped, own]
        if own in str(data.get("condition", "")).split(","):
            raise UsageError(
                f"--labels {own}: would be known to the model through --condition; leave it out of one of the two"
            )
    return {**tree, "data": data}


def _of_table(source: Any) -> bool:
    from lambent.data.readers.tabular import is_table

    return isinstance(source, str) and is_table(Path(source))


def _again(folder: Path, options: Namespace, arguments: Sequence[str]) -> str:
    """The command that looks at the data with the run, once it is trained."""
    words = ["lambent", "detect", str(folder), str(options.data)]
    for name in ("out", *RULES, "labels", "report"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name}", f"{value}"]
    score: list[str] = []
    for word, value in pairwise([*arguments, ""]):
        if word.startswith("--score"):
            score += [word] if "=" in word or value.startswith("--") else [word, value]
    return shlex.join(words + score)
