"""lambent train: read what is asked for, claim the folder, carry it out."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.cli.folder import CHECKPOINT, CONFIG, apart, claimed, unused, vacant
from lambent.cli.reading import settings
from lambent.cli.reading.flags import FAMILIES, Parser, common, divided, filled, import_modules
from lambent.cli.reading.plan import Plan, read_plan, sourced, with_flags
from lambent.cli.reading.trees import Tree, Typed
from lambent.cli.verbs.carry import Job, carry_out
from lambent.cli.voice import Voice
from lambent.errors import ArtifactError, UsageError

RUNS = Path("runs")
USAGE = "lambent train [DATA] [--out RUN] [--config FILE] [--PART NAME] [--PART.FIELD VALUE] [flags]"
ALLOWED_WITH_RESUME = {"resume", "device", "modules", "json", "quiet", "debug", "track", "force"}


def train(arguments: Sequence[str]) -> int:
    """Train, evaluate, and write the run folder."""
    rest, flags = divided(arguments)
    parser = _parser()
    if {"-h", "--help"} & set(rest):
        from lambent.cli.verbs.describe import add_part_flags

        add_part_flags(parser, flags)
    options = parser.read(rest, also=[f"--{name}" for name in FAMILIES])
    voice = Voice.of(options)
    import_modules(options.modules)
    job = Job(voice, shlex.join(["lambent", "train", *arguments]), options.track)
    if options.resume is not None:
        _refuse_settings(options, flags)
        return _resumed(options.resume, options, job)
    plan = Plan.of(_tree(options, flags))
    plan.check()
    folder = Path(options.out) if options.out else unused(RUNS, plan.name or _name_of(plan.rows["source"]))
    vacant(folder, options.force)
    if plan.rows["source"] is not None:
        apart(folder, plan.rows["source"])
    with claimed(folder):
        return carry_out(plan, folder, job)


def _parser() -> Parser:
    parser = Parser("train", "Train a model on data, evaluate it, and write everything into a run folder.", usage=USAGE)
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="a file, a folder or the name of a data set (lambent data)"
    )
    parser.add_argument("--out", metavar="RUN", type=filled("--out"), help="the run folder; default: runs/NAME")
    parser.add_argument("--name", help="the run's name; default: that of the folder")
    parser.add_argument("--config", metavar="FILE", help="a YAML or JSON file of settings, on which flags are laid")
    parser.add_argument("--resume", metavar="RUN", help="go on with an interrupted run, to the same bits")
    parser.add_argument("--force", action="store_true", help="replace the run in the folder")
    parser.add_argument("--track", choices=("tensorboard", "mlflow"), help="send the history to a tracker as well")
    sections = (
        ("rows", {name: settings.of_rows()[name] for name in ("limit", "memory")}),
        ("evaluation", settings.of_evaluation()),
        ("training", settings.of_fit()),
    )
    for title, known in sections:
        group = parser.add_argument_group(title)
        for name, one in known.items():
            default = "" if one.default is None else f" (default {one.default})"
            meaning = (one.meaning + default).replace("%", "%%")
            group.add_argument(f"--{name.replace('_', '-')}", type=Typed, metavar=_metavar(one), help=meaning)
    common(parser)
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE", help=argparse.SUPPRESS
    )
    return parser


def _metavar(one: settings.Setting) -> str:
    return {"a whole number": "N", "a finite number": "X"}.get(one.kind.removesuffix(" or null"), "WORD")


def _tree(options: argparse.Namespace, flags: Tree) -> Tree:
    """The file's settings, with those of the flags laid on them."""
    tree = read_plan(options.config) if options.config else {}
    flags = sourced(flags, options.data)
    for name in ("limit", "memory"):
        if (value := getattr(options, name)) is not None:
            flags["data"] = {**flags.get("data", {}), name: value}
    if options.name is not None:
        flags["name"] = options.name
    for section, known in (("fit", settings.of_fit()), ("evaluate", settings.of_evaluation())):
        if set_ := {name: value for name in known if (value := getattr(options, name)) is not None}:
            flags[section] = set_
    return with_flags(tree, flags)


def _name_of(source: str | None) -> str:
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
            f"--resume goes on with the settings in {options.resume}/{CONFIG}; leave out {', '.join(given)}"
        )


def _resumed(run: str, options: argparse.Namespace, job: Job) -> int:
    folder = Path(run)
    for name in (CONFIG, CHECKPOINT):
        if not (folder / name).is_file():
            raise ArtifactError(
                f"{run}: cannot be resumed, for it holds no {name}; start it with lambent train DATA --out {shlex.quote(run)}"
            )
    tree: dict[str, Any] = read_plan(folder / CONFIG)
    if options.device is not None:
        tree["fit"] = {**tree.get("fit", {}), "device": str(options.device)}
    plan = Plan.of(tree)
    with claimed(folder):
        return carry_out(plan, folder, job, resume=True)
