"""lambent diagnose: why a run has collapsed or failed, and the same run again with the cure."""

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.cli import folder as run_folder
from lambent.cli.reading import larger, strict
from lambent.cli.reading.flags import Parser, add_rows, add_run, add_seed, common, filled, whole
from lambent.cli.verbs.measure import opened_with_rows, recorded
from lambent.cli.verbs.pages import add_page, claimed, named, write_page
from lambent.cli.voice import Voice
from lambent.data import Encoded
from lambent.errors import ArtifactError, UsageError
from lambent.fitted import Fitted
from lambent.tasks.diagnosis import Diagnosis
from lambent.tasks.diagnosis import diagnose as diagnosed
from lambent.tasks.diagnosis.sections import SHOWN, diagnosis_sections, number

MOST = 10**12


def diagnose(arguments: Sequence[str]) -> int:
    """What is wrong, why, and what to do; with --cure also the run trained anew, before and after."""
    parser = Parser(
        "diagnose",
        "What is wrong with a trained model, why, and the flags of train that cure it; each with the numbers that show it.",
    )
    add_run(parser)
    add_rows(parser, "rows to diagnose on, of those that it was not trained on")
    parser.add_argument("--limit", type=whole("--limit", 20, MOST), help="at most so many rows, drawn by a fixed seed")
    parser.add_argument(
        "--cure", action="store_true", help="train the run anew with the cure, and show before and after"
    )
    parser.add_argument(
        "-o", "--out", metavar="NEW", type=filled("--out"), help="with --cure, the new run folder; default: RUN-cured"
    )
    add_page(parser)
    parser.add_argument("--force", action="store_true", help="replace the run in the folder, and the page")
    add_seed(parser)
    options = common(parser, machine=True).read(arguments)
    voice = Voice.of(options)
    if options.out and not options.cure:
        raise UsageError("--out is the folder of the run that --cure trains: add --cure, or leave it out")
    if options.force and not (options.cure or options.report):
        raise UsageError(
            "--force replaces the run that --cure trains, or the page of --report: add one of them, or leave it out"
        )
    page = claimed(options, [options.data])
    config = _config(options.run) if options.cure else None
    folder = None if config is None else _settled(config.parent, options)
    if page is not None and folder is not None and page.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"--report {page}: lies in {folder}, which the run trained anew writes: name a place beside it"
        )
    path, fitted, encoded = opened_with_rows(options, voice)
    found = _look(fitted, larger.drawn(encoded, options.limit), path.parent, options, voice)
    _tell(found, path.parent, voice)
    if config is None or folder is None or not found.flags:
        voice.result({"model": str(path), **found.plain(), **named(page)})
        write_page(page, _title(path), diagnosis_sections(found, None, _source(path.parent)), voice)
        if config is not None:
            voice.note("nothing was trained: " + ("nothing is wrong" if found.healthy else "no flag cures that"))
        return 0
    _cure(config, found, folder, voice)
    _, cured = run_folder.opened(str(folder), options.device, options.threads)
    after = _look(cured, encoded, folder, options, voice)
    voice.result({"model": str(path), **found.plain(), "cured": {"run": str(folder), **after.plain()}, **named(page)})
    voice.say(f"\nTrained anew with {shlex.join(found.flags)}:")
    voice.table(("number", "before", "after", "unit"), _changes(found, after), right=(1, 2))
    _tell(after, folder, voice)
    write_page(page, _title(path), diagnosis_sections(found, after, _source(path.parent)), voice)
    return 0


def _look(fitted: Fitted, rows: Any, folder: Path, options: Namespace, voice: Voice) -> Diagnosis:
    voice.step(f"diagnosing on {len(rows):,} rows")
    kept: Encoded = larger.drawn(rows, options.limit)
    return diagnosed(fitted, kept, _trained_on(fitted, folder, voice), seed=options.seed)


def _trained_on(fitted: Fitted, folder: Path, voice: Voice) -> Encoded | None:
    """The rows of the run's own training, where it says which they were and they are still there."""
    try:
        return larger.in_memory(recorded(fitted, "train", folder, voice))
    except (ArtifactError, UsageError, OSError) as error:
        voice.note(f"the rows of the training are not known, so that over-fitting is not looked for ({error})")
        return None


def _config(run: str) -> Path:
    path = run_folder.model_file(run).parent / run_folder.CONFIG
    if not path.is_file():
        raise ArtifactError(f"{run}: holds no {run_folder.CONFIG}, so that it cannot be trained anew: leave --cure out")
    if not _of_training(path):
        raise ArtifactError(
            f"{run}: was made by lambent refine, which cannot be trained anew: cure the run that it was refined from, or leave "
            "--cure out"
        )
    return path


def _of_training(config: Path) -> bool:
    """Whether `lambent train` takes this configuration: that of a refined run is another's."""
    return config.is_file() and "refine" not in strict.read(config)


def _settled(run: Path, options: Namespace) -> Path:
    """The folder of the run that is to be trained anew, or a refusal of it."""
    folder = Path(options.out) if options.out else run_folder.unused(run.parent, f"{run.resolve().name}-cured")
    if folder.resolve() == run.resolve():
        raise UsageError(f"--out {folder}: is the run to cure, which stays as it is: name another folder")
    run_folder.vacant(folder, options.force)
    return folder


def _cure(config: Path, found: Diagnosis, folder: Path, voice: Voice) -> None:
    """Train the run's own configuration with the flags of the cure laid on it, in a folder of its own."""
    from lambent.cli.reading.plan import Plan
    from lambent.cli.verbs.carry import Job, carried
    from lambent.cli.verbs.train import tree_of_command

    tree = tree_of_command(["--config", str(config), *found.flags]) | {"name": folder.resolve().name}
    words = ["lambent", "train", "--config", str(config), *found.flags, "--out", str(folder)]
    voice.step(f"training anew: {shlex.join(words)}")
    with run_folder.claimed(folder):
        carried(Plan.of(tree), folder, Job(voice, shlex.join(words)))


def _title(model: Path) -> str:
    return f"Diagnosis: {model.parent.resolve().name}"


def _source(folder: Path) -> str:
    """What `lambent train` is given before the flags of a cure."""
    config = folder / run_folder.CONFIG
    return f"--config {shlex.quote(str(config))}" if _of_training(config) else "DATA"


def _tell(found: Diagnosis, folder: Path, voice: Voice) -> None:
    source = _source(folder)
    if found.healthy:
        voice.say("Nothing is wrong." if not found.findings else "Nothing is wrong; to note:")
    for finding in found.findings:
        voice.say(f"\n{finding.name}.\n  shown by: {finding.shown}\n  cure: {finding.cure}")
        if finding.flags:
            voice.say(f"  lambent train {source} {shlex.join(finding.flags)} --out NEW")


def _changes(before: Diagnosis, after: Diagnosis) -> list[tuple[str, str, str, str]]:
    old, new = before.plain()["evidence"], after.plain()["evidence"]
    return [(title, number(old[name]), number(new[name]), unit) for name, title, unit in SHOWN]
