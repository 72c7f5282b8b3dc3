"""lambent compare: an autoencoder, VAEs, a GAN and both on the same data, networks and budget; one report."""

import argparse
import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli import folder as run_folder
from lambent.cli.reading.flags import Parser, common, divided, filled, import_modules, positive, whole
from lambent.cli.reading.kept import Catalogue, everything
from lambent.cli.reading.trees import Tree, Typed
from lambent.cli.voice import Voice
from lambent.errors import UsageError

if TYPE_CHECKING:
    from lambent.tasks.compare.comparison import Comparison

USAGE = "lambent compare DATA --out DIR [--models NAMES] [--minutes M | --epochs N] [--PART NAME] [flags]"
OWN = ("latent", "likelihood", "network", "model", "data", "objective")
SEEDS, SAMPLES = 3, 2_000
ALLOWED_WITH_RESUME = {"resume", "parallel", "device", "modules", "json", "quiet", "debug"}
LEFT_OUT = ("epochs", "seed", "device")  # of the settings of the loop: said otherwise here


def compare(arguments: Sequence[str]) -> int:
    """Train models on the same rows, measure them alike, and write one report into a folder of runs."""
    rest, flags = divided(arguments, OWN)
    known = everything()
    if {"-h", "--help"} & set(rest[: rest.index("--") if "--" in rest else None]):
        _parser(known).print_help()
        return 0
    options = _parser(known).read(rest, also=[f"--{name}" for name in OWN])
    import_modules(options.modules)
    if "objective" in flags:
        raise UsageError(
            "--objective: each model of a comparison brings its own; name models with --models, recipes too"
        )
    if options.resume is not None:
        return _resumed(options, flags)
    return _begun(options, flags)


def _parser(known: Catalogue) -> Parser:
    summary = (
        "Train an autoencoder, a VAE, a VAE by the default recipe, a GAN and a VAE-GAN on the same rows, with the same networks "
        "and the same budget, measure all alike, and say in one report which to use when."
    )
    parser = Parser("compare", summary, usage=USAGE)
    parser.add_argument("data", nargs="?", metavar="DATA", help="a file, a folder or the name of a data set")
    parser.add_argument(
        "-o", "--out", metavar="DIR", type=filled("--out"), help="the folder of the runs and the report"
    )
    parser.add_argument(
        "--resume", metavar="DIR", help="go on with a comparison; of one that is finished: measure again"
    )
    parser.add_argument("--force", action="store_true", help="replace the comparison in the folder")
    parser.add_argument(
        "--models", metavar="NAMES", type=filled("--models"),
        help="autoencoder, vae, default, gan, vae-gan (default: these five), and paths of YAML recipes, between commas",
    )  # fmt: skip
    parser.add_argument("--minutes", type=positive, metavar="M", help="of training for each model, on this machine")
    parser.add_argument(
        "--epochs",
        type=whole("--epochs", 1, 10**7),
        metavar="N",
        help="for each model; default: as many as suit the rows",
    )
    parser.add_argument(
        "--seeds", type=whole("--seeds", 1, 100), default=SEEDS, metavar="N", help=f"of each model (default {SEEDS})"
    )
    parser.add_argument(
        "--parallel", type=whole("--parallel", 1, 64), default=1, metavar="N", help="trainings at a time (default 1)"
    )
    parser.add_argument(
        "--odd", metavar="LABEL", type=filled("--odd"),
        help="train each model once more, without the rows of this label, and measure how well it finds them",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=whole("--samples", 20, 50_000), default=SAMPLES, metavar="N",
        help=f"pictures drawn from each model to be judged (default {SAMPLES:,})",
    )  # fmt: skip
    parser.add_argument(
        "--features", metavar="FILE", type=filled("--features"),
        help="the feature space of an earlier judgement, so that its numbers compare; default: learned from these rows",
    )  # fmt: skip
    parser.add_argument("--condition", type=Typed, metavar="NAMES", help="condition all models on these")
    settings = known["settings"]
    for title, section in (("rows", settings["data"]), ("training", settings["fit"])):
        group = parser.add_argument_group(title)
        for name, one in section.items():
            if name in LEFT_OUT or (section is settings["data"] and name not in ("limit", "memory")):
                continue
            group.add_argument(
                f"--{name.replace('_', '-')}",
                type=Typed,
                metavar=one["metavar"],
                help=one["meaning"].replace("%", "%%"),
            )
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto: a GPU where there is one")
    common(parser)
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE", help=argparse.SUPPRESS
    )
    return parser


def _begun(options: Namespace, flags: Tree) -> int:
    """A new comparison, in a folder of its own."""
    from lambent.cli.reading.entries import asked_for
    from lambent.cli.reading.plan import sourced
    from lambent.cli.reading.settings import of_fit

    if options.out is None:
        raise UsageError("where to? A comparison is a folder of runs with a report: lambent compare DATA --out DIR")
    if options.epochs is not None and options.minutes is not None:
        raise UsageError("--epochs and --minutes both say how long to train: leave one of them out")
    tree = sourced(flags, options.data)
    for name in ("limit", "memory", "condition"):
        if (value := getattr(options, name)) is not None:
            tree["data"] = {**tree.get("data", {}), name: value}
    fit = {name: value for name in of_fit() if (value := getattr(options, name, None)) is not None}
    tree["fit"] = {name: value for name, value in fit.items() if name not in LEFT_OUT}
    models = asked_for(options.models)
    _told(carried(tree, models, options), options)
    return 0


def carried(tree: Tree, models: list[Any], options: Namespace) -> "Comparison":
    """Begin a comparison and carry it out; options as the verb has them."""
    from lambent.cli.verbs.comparing import Budget, Comparing

    folder = Path(options.out)
    vacant(folder, options.force)
    source = tree.get("data", {}).get("source")
    if source is None:
        raise UsageError("which data? lambent compare DATA --out DIR (lambent data lists sets)")
    run_folder.apart(folder, str(source))
    budget = Budget(options.epochs, options.minutes)
    comparing = Comparing(
        tree, models, budget, options.seeds, options.samples, options.odd, options.features, folder, options.parallel,
        Voice.of(options), tuple(options.modules), options.device,
    )  # fmt: skip
    with run_folder.claimed(folder):
        _emptied(folder)
        return comparing.carry_out(comparing.begin())


def vacant(folder: Path, force: bool) -> None:
    """Refuse a folder that holds a comparison or a run, unless it may be replaced; nothing is removed yet."""
    from lambent.cli.verbs.comparing import OWN as FILES

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; a comparison needs a folder of its own")
    held = [name for name in (*FILES, *run_folder.OWN) if (folder / name).exists()]
    if held and not force:
        way = f"go on with it (lambent compare --resume {shlex.quote(str(folder))}), " if held[0] in FILES else ""
        raise UsageError(f"{folder}: holds {held[0]} already; {way}choose another --out, or add --force")


def _emptied(folder: Path) -> None:
    """Take an earlier comparison away: its runs, as far as it named them, and its own files."""
    from lambent.cli.verbs.comparing import CONFIG, FEATURES, WITHOUT, kept
    from lambent.cli.verbs.comparing import OWN as FILES

    if (folder / CONFIG).is_file():
        earlier = kept(folder)
        for name in earlier["models"]:
            for run in [*(f"{name}-{seed}" for seed in range(int(earlier["seeds"]))), f"{name}-without"]:
                run_folder.emptied(folder / run)
    for name in (*FILES, FEATURES, WITHOUT):
        (folder / name).unlink(missing_ok=True)


def _resumed(options: Namespace, flags: Tree) -> int:
    given = [f"--{name}" for name in flags]
    plain = vars(_parser(everything()).read([]))
    given += [
        name if name == "data" else f"--{name.replace('_', '-')}"
        for name, value in vars(options).items()
        if value != plain[name] and name not in ALLOWED_WITH_RESUME
    ]
    if given:
        raise UsageError(
            f"--resume goes on as {options.resume}/compare.yaml says; leave out {', '.join(given)}, or begin another comparison"
        )
    _told(resumed(options), options)
    return 0


def resumed(options: Namespace) -> "Comparison":
    """Go on with the comparison in a folder, and measure again."""
    from lambent.cli.verbs.comparing import Budget, Comparing, kept

    folder = Path(options.resume)
    tree = kept(folder)
    budget = Budget(tree["epochs"], tree["minutes"])
    comparing = Comparing(
        {}, [], budget, tree["seeds"], tree["samples"], tree["odd"], tree["features"], folder, options.parallel,
        Voice.of(options), tuple(options.modules), options.device,
    )  # fmt: skip
    with run_folder.claimed(folder):
        return comparing.carry_out(tree)


def _told(found: "Comparison", options: Namespace) -> None:
    """The table and the verdict; where the report lies."""
    from lambent.cli.verbs.comparing import NUMBERS, PAGE
    from lambent.tasks.compare.comparison import MEASURES
    from lambent.tasks.compare.sections import BETTER, with_error
    from lambent.tasks.compare.verdict import sentence

    voice, folder = Voice.of(options), Path(options.resume or options.out)
    voice.result({"folder": str(folder), **found.plain()})
    if voice.quiet or voice.json:
        return
    entries = [entry for entry in found.entries if entry.by_seed]
    rows = []
    for name, measure in MEASURES.items():
        numbers = [entry.numbers.get(name) for entry in entries]
        if any(one is not None and one.known for one in numbers):
            shown = ["–" if one is None else with_error(one) if one.known else "none" for one in numbers]
            rows.append((measure.title, *shown, BETTER[measure.better]))
    voice.table(("measure", *(entry.name for entry in entries), "better"), rows, right=range(1, 1 + len(entries)))
    voice.say("")
    for use in found.uses:
        voice.say(sentence(use))
    for remark in found.verdict:
        sign = {"problem": "!", "notice": "·", "good": "+"}[remark.level]
        voice.say(f"  {sign} {remark.title}: {remark.text}{f' {remark.advice}' if remark.advice else ''}")
    voice.say(f"\nIn {folder}: {PAGE}, {NUMBERS}, and the runs")
