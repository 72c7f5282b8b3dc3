"""lambent train: read what is asked for, claim the folder, carry it out."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli import folder as run_folder
from lambent.cli.reading.flags import FAMILIES, Parser, common, divided, filled, import_modules, positive
from lambent.cli.reading.kept import Catalogue, everything
from lambent.cli.reading.part_flags import add_part_flags
from lambent.cli.reading.trees import Tree, Typed
from lambent.cli.voice import Voice
from lambent.errors import ArtifactError, UsageError
from lambent.machine import PRESETS

# What computes is imported where it is needed, for the help must not wait for torch.
if TYPE_CHECKING:
    from lambent.cli.verbs.carry import Job

RUNS = Path("runs")
USAGE = "lambent train [DATA] [--out RUN] [--config FILE] [--PART NAME] [--PART.FIELD VALUE] [flags]"
ALLOWED_WITH_RESUME = {"resume", "device", "modules", "json", "quiet", "debug", "track", "force", "keep_checkpoint"}


def train(arguments: Sequence[str]) -> int:
    """Train, evaluate, and write the run folder."""
    rest, flags = divided(arguments)
    if {"-h", "--help"} & set(rest[: rest.index("--") if "--" in rest else None]):
        return _explained(rest, flags)
    options = _parser(everything()).read(rest, also=[f"--{name}" for name in FAMILIES])
    import_modules(options.modules)
    from lambent.cli.verbs.carry import Job

    command = shlex.join(["lambent", "train", *arguments])
    _one_budget(options)
    job = Job(Voice.of(options), command, options.track, options.keep_checkpoint, minutes=options.minutes)
    if options.resume is not None:
        _refuse_settings(options, flags)
        return _resumed(options.resume, options, job)
    return _begun(options, flags, job)


def _one_budget(options: argparse.Namespace) -> None:
    if options.minutes is not None and options.epochs is not None:
        raise UsageError("--epochs and --minutes both say how long to train: leave one of them out")


def _explained(rest: list[str], flags: Tree) -> int:
    """The help, with the flags of the parts chosen so far, a user's own among them."""
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument("--import", dest="modules", action="append", default=[])
    import_modules(asked.parse_known_args(rest)[0].modules)
    known = everything()
    parser = _parser(known)
    add_part_flags(parser, flags, known)
    parser.print_help()
    return 0


def _begun(options: argparse.Namespace, flags: Tree, job: "Job") -> int:
    """A new run in a folder of its own."""
    from lambent.cli.reading.plan import Plan
    from lambent.cli.verbs.carry import carry_out

    plan = Plan.of(tree_of(options, flags))
    plan.preset = options.preset
    plan.check()
    folder = Path(options.out) if options.out else run_folder.unused(RUNS, plan.name or name_of(plan.rows["source"]))
    run_folder.vacant(folder, options.force)
    if plan.rows["source"] is not None:
        run_folder.apart(folder, plan.rows["source"])
    with run_folder.claimed(folder):
        return carry_out(plan, folder, job)


def _parser(known: Catalogue) -> Parser:
    parser = Parser("train", "Train a model on data, evaluate it, and write everything into a run folder.", usage=USAGE)
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="a file, a folder or the name of a data set (lambent data)"
    )
    parser.add_argument("-o", "--out", metavar="RUN", type=filled("--out"), help="the run folder; default: runs/NAME")
    parser.add_argument("--resume", metavar="RUN", help="go on with an interrupted run, to the same bits")
    parser.add_argument("--force", action="store_true", help="replace the run in the folder")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="a size of a model of pictures and of its training, by this machine and the pictures' size; the flags that say the "
        "same are printed",
    )
    parser.add_argument(
        "--minutes",
        type=positive,
        metavar="M",
        help="train for so many: as many epochs as fit, by a trial on this machine, in place of --epochs",
    )
    settings = known["settings"]
    add_training(parser, known, {name: settings["data"][name] for name in ("limit", "memory")})
    common(parser)
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE", help=argparse.SUPPRESS
    )
    return parser


def add_training(parser: Parser, known: Catalogue, rows: Catalogue) -> None:
    """The flags of a training, but for those of its parts; rows: the settings of which rows it takes."""
    parser.add_argument("--name", help="the run's name; default: that of the folder")
    parser.add_argument(
        "--condition",
        type=Typed,
        metavar="NAMES",
        help="train p(x | c): c is the label, or columns of a table, such as age,sex; short for --data.condition",
    )
    parser.add_argument("--config", metavar="FILE", help="a YAML or JSON file of settings, on which flags are laid")
    parser.add_argument(
        "--keep-checkpoint", action="store_true", help="keep the state of the training when the run is finished"
    )
    parser.add_argument("--track", choices=("tensorboard", "mlflow"), help="send the history to a tracker as well")
    settings = known["settings"]
    sections = (
        ("rows", rows),
        ("evaluation", settings["evaluate"]),
        ("training", settings["fit"]),
    )
    for title, section in sections:
        group = parser.add_argument_group(title)
        for name, one in section.items():
            default = "" if one["default"] is None else f" (default {one['default']})"
            meaning = (one["meaning"] + default).replace("%", "%%")
            group.add_argument(f"--{name.replace('_', '-')}", type=Typed, metavar=one["metavar"], help=meaning)


def tree_of(options: argparse.Namespace, flags: Tree) -> Tree:
    """The file's settings, with those of the flags laid on them."""
    from lambent.cli.reading import settings
    from lambent.cli.reading.plan import read_plan, sourced, with_flags

    tree = read_plan(options.config) if options.config else {}
    flags = sourced(flags, options.data)
    for name in ("limit", "memory", "condition"):
        if (value := getattr(options, name)) is not None:
            flags["data"] = {**flags.get("data", {}), name: value}
    if options.name is not None:
        flags["name"] = options.name
    for section, known in (("fit", settings.of_fit()), ("evaluate", settings.of_evaluation())):
        if set_ := {name: value for name in known if (value := getattr(options, name)) is not None}:
            flags[section] = set_
    return with_flags(tree, flags)


def tree_of_command(arguments: Sequence[str]) -> Tree:
    """The settings that the arguments of `lambent train` say, those of a file among them."""
    rest, flags = divided(arguments)
    return tree_of(_parser(everything()).read(rest, also=[f"--{name}" for name in FAMILIES]), flags)


def name_of(source: str | None) -> str:
    """A folder's name from the data's."""
    stem = Path((source or "run").partition("?")[0].partition(":")[0]).stem
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in stem).strip(".-")[:60] or "run"


def _refuse_settings(options: argparse.Namespace, flags: Tree) -> None:
    """A resumed run has its settings already."""
    given = [f"--{name}" for name in flags]
    given += [
        name.replace("_", "-") if name == "data" else f"--{name.replace('_', '-')}"
        for name, value in vars(options).items()
        if value not in (None, False, []) and name not in ALLOWED_WITH_RESUME
    ]
    if given:
        raise UsageError(
            f"--resume goes on with the settings in {options.resume}/{run_folder.CONFIG}; leave out {', '.join(given)}"
        )


def _resumed(run: str, options: argparse.Namespace, job: "Job") -> int:
    from lambent.cli.reading.plan import Plan, read_plan
    from lambent.cli.verbs.carry import carry_out

    folder = Path(run)
    _refuse_finished(folder)
    for name in (run_folder.CONFIG, run_folder.CHECKPOINT):
        if not (folder / name).is_file():
            raise ArtifactError(
                f"{run}: cannot be resumed, for it holds no {name}; start it with lambent train DATA --out {shlex.quote(run)}"
            )
    tree: dict[str, Any] = read_plan(folder / run_folder.CONFIG)
    # Threads are recorded in the checkpoint, changes and all, and whether they may change again.
    tree["fit"] = {**(tree.get("fit") or {}), "threads": "auto"}
    if options.device is not None:
        tree["fit"]["device"] = str(options.device)
    plan = Plan.of(tree)
    with run_folder.claimed(folder):
        return carry_out(plan, folder, job, resume=True)


def _refuse_finished(folder: Path) -> None:
    """The report is the last that a run writes: where it lies beside the model, nothing is left to do."""
    if all((folder / name).is_file() for name in (run_folder.MODEL, run_folder.REPORT)):
        config = shlex.quote(str(folder / run_folder.CONFIG))
        raise UsageError(
            f"{folder}: the run is finished; to train for longer, start another: "
            f"lambent train --config {config} --epochs N --out ANOTHER-FOLDER"
        )
