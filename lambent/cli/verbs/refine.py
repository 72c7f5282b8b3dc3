"""lambent refine: a better prior for a run that is finished, as a new run beside it."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.cli import folder as run_folder
from lambent.cli.reading.flags import Parser, common, divided, filled, import_modules, whole
from lambent.cli.reading.kept import Catalogue, everything
from lambent.cli.reading.part_flags import add_fields
from lambent.cli.reading.trees import Tree, Typed, as_tree, merged
from lambent.cli.voice import Voice
from lambent.errors import UsageError

USAGE = "lambent refine RUN [DATA] [--prior NAME] [--prior.FIELD VALUE] [--out NEW] [flags]"
FAMILY = ("prior", "objective")
DEFAULT = "Diffusion"
# Of the configuration, in `refine`.
SECTION = ("run", "data", "prior", "begin", "joint", "objective", "fit", "evaluate")
# Half a cosine ends at rest, which a prior needs more than a network; a tenth of the rows tells when it learns them by heart.
USUAL: Tree = {"schedule": "cosine", "validation": 0.1}
EVALUATED: Tree = {"samples": 8, "rows": 500}  # the density of some priors takes long, and it is asked for twice


def refine(arguments: Sequence[str]) -> int:
    """Fit another prior to the codes of a trained model, evaluate, and write a run folder of its own."""
    rest, flags = divided(arguments, FAMILY)
    known = everything()
    if {"-h", "--help"} & set(rest[: rest.index("--") if "--" in rest else None]):
        parser = _parser(known)
        _add_part_flags(parser, flags, known, "prior", DEFAULT, "")
        _add_part_flags(
            parser,
            flags,
            known,
            "objective",
            None,
            "of --joint; a field alone is Elbo's; default: that of the run's training. ",
        )
        parser.print_help()
        return 0
    options = _parser(known).read(rest, also=["--prior", "--objective"])
    import_modules(options.modules)
    asked = _asked(options, flags)
    parent = run_folder.model_file(asked["run"])
    folder = Path(options.out) if options.out else _beside(parent, asked["prior"]["type"])
    if folder.resolve() == parent.parent.resolve():
        raise UsageError(f"--out {folder}: is the run to refine, which stays as it is: name another folder")
    run_folder.vacant(folder, options.force)
    with run_folder.claimed(folder):
        from lambent.cli.verbs.refining import Refining

        command = shlex.join(["lambent", "refine", *arguments])
        Refining(asked, folder, command, Voice.of(options), EVALUATED).carry_out()
    return 0


def _parser(known: Catalogue) -> Parser:
    parser = Parser(
        "refine",
        "Fit another prior to the codes of a trained model: samples improve, encoder and decoder stay. The run is left as it is, "
        "a new one is written beside it.",
        usage=USAGE,
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run folder or a model file")
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="rows to fit it to; default: those of the run's training"
    )
    parser.add_argument(
        "-o", "--out", metavar="NEW", type=filled("--out"), help="the new run folder; default: RUN-PRIOR"
    )
    parser.add_argument("--config", metavar="FILE", help="the config.yaml of a refined run: the same again")
    parser.add_argument(
        "--begin",
        metavar="WAY",
        type=filled("--begin"),
        help="the Gaussians of a Mixture are those of groups of codes, by mixture, kmeans or manifold as in cluster, and nothing "
        "else is fitted: for clusters, with --joint",
    )
    parser.add_argument(
        "--joint",
        type=whole("--joint", 0, 1_000_000),
        metavar="EPOCHS",
        help="then train encoder, decoder and prior together for so many epochs: clusters come apart (default 0)",
    )
    parser.add_argument("--limit", type=whole("--limit", 1, 10**12), help="fit to at most so many rows")
    parser.add_argument("--force", action="store_true", help="replace the run in the folder")
    group = parser.add_argument_group("training and evaluation")
    usual = USUAL | EVALUATED
    for name, one in {**known["settings"]["fit"], **known["settings"]["evaluate"]}.items():
        default = usual.get(name, one["default"])
        words = one["meaning"] + ("" if default is None else f" (default {default})")
        group.add_argument(
            f"--{name.replace('_', '-')}", type=Typed, metavar=one["metavar"], help=words.replace("%", "%%")
        )
    common(parser)
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE", help=argparse.SUPPRESS
    )
    return parser


def _add_part_flags(
    parser: Parser, flags: Tree, known: Catalogue, family: str, default: str | None, words: str
) -> None:
    kind = family.capitalize()
    parts, given = known["parts"][kind], as_tree(flags.get(family), kind, family)
    names = ", ".join(f"{name} (default)" if name == default else name for name in parts)
    group = parser.add_argument_group(f"--{family} NAME", words + names)
    chosen = parts.get(str(given.get("type", default)))
    if chosen is not None:
        add_fields(group, family, kind, chosen, given, known["parts"])


def _asked(options: argparse.Namespace, flags: Tree) -> dict[str, Any]:
    """The run, the data, the prior in full and the settings of the loop, from the flags laid on the configuration's."""
    from lambent.cli.reading import settings
    from lambent.cli.reading.plan import read_plan
    from lambent.cli.reading.specs import completed
    from lambent.errors import nearest
    from lambent.model.priors import Prior
    from lambent.objectives import Objective
    from lambent.tasks.features.grouping import WAYS

    kept: Tree = {}
    if options.config:
        tree = read_plan(options.config)
        kept = tree.get("refine") if isinstance(tree.get("refine"), dict) else {}  # type: ignore[assignment]
        if not kept:
            raise UsageError(
                f"{options.config}: holds no section `refine`; lambent train --config is for those that train"
            )
        for key in kept:
            if key not in SECTION:
                raise UsageError(f"refine.{key}: no such setting; {nearest(key, SECTION)}")
    run = options.run or kept.get("run")
    if not run:
        raise UsageError("which run? Name its folder: lambent refine RUN --prior Diffusion")
    described, objective = (
        merged({name: kept.get(name)}, {name: flags[name]} if name in flags else {})[name] for name in FAMILY
    )
    joint, begin = _joint(options.joint, kept), kept.get("begin") if options.begin is None else options.begin
    if begin is not None and (not isinstance(begin, str) or begin not in WAYS):
        raise UsageError(
            f"--begin: {str(begin)[:40]!r} is no way to group codes; {nearest(str(begin)[:40], list(WAYS))}"
        )
    if not joint and "objective" not in flags:
        objective = None  # of a configuration whose joint training is left out
    if objective is not None and not joint:
        raise UsageError(
            "--objective is what all of the model learns on by, with --joint EPOCHS: add that, or leave it out"
        )
    data = kept.get("data") if options.data is None and options.limit is None else None
    return {
        "run": str(run),
        "data": data or {"source": options.data, "limit": options.limit},
        "prior": completed(Prior, described, {"type": DEFAULT}, "prior"),
        **({} if begin is None else {"begin": begin}),
        **({"joint": joint} if joint else {}),
        **({} if objective is None else {"objective": completed(Objective, objective, {"type": "Elbo"}, "objective")}),
        "fit": _settings("fit", settings.of_fit(), USUAL, kept, options),
        "evaluate": _settings("evaluate", settings.of_evaluation(), EVALUATED, kept, options),
    }


def _joint(given: int | None, kept: Tree) -> int:
    """Epochs of joint training: as the flag says, or as the configuration does."""
    joint = kept.get("joint", 0) if given is None else given
    if not isinstance(joint, int) or isinstance(joint, bool) or joint < 0:
        raise UsageError(f"refine.joint: takes a whole number of epochs, not {str(joint)[:40]!r}")
    return joint


def _settings(section: str, known: dict[str, Any], usual: Tree, kept: Tree, options: argparse.Namespace) -> Tree:
    """What is usual here, with what the configuration and then the flags say laid on it, checked."""
    from lambent.cli.reading.settings import read

    given = {name: value for name in known if (value := getattr(options, name)) is not None}
    chosen = {**usual, **(kept.get(section) or {}), **given}
    return {name: value for name, value in read(chosen, known, section).items() if name in chosen}


def _beside(model: Path, prior: str) -> Path:
    """RUN-PRIOR, with a number where that is taken."""
    run = model.parent.resolve()
    return run_folder.unused(model.parent.parent if model.parent.name else run.parent, f"{run.name}-{prior.lower()}")
