"""lambent evaluate --generated, --against: synthetic rows of a table, or drawn pictures, beside real ones."""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.cli import folder as run_folder
from lambent.cli import output
from lambent.cli.folder import opened
from lambent.cli.reading import larger
from lambent.cli.reading.flags import Parser, filled, import_modules, whole
from lambent.cli.verbs.judging_pictures import of_pictures, tell_pictures, unseen_source
from lambent.cli.voice import Voice
from lambent.data import Encoded, Image, Table
from lambent.data.conditions import named
from lambent.data.loading import raw_rows
from lambent.data.readers.tabular import is_table
from lambent.data.stored.ondisk import OnDisk
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted
from lambent.report import Findings
from lambent.report import write as write_report
from lambent.report.numerals import show
from lambent.tasks import explore
from lambent.tasks.by_column import drawn
from lambent.tasks.by_column import named as categories_of
from lambent.tasks.judge import LEAST, judge
from lambent.tasks.judged import judged as sections_of
from lambent.tasks.judgement import Judgement
from lambent.tasks.samples.sections import sample_sections
from lambent.tasks.sections import Remark, Section

MOST = 10_000_000
MOST_READ = 200_000  # training rows that are compared with where they are read from disk


def add_judging(parser: Parser) -> None:
    """What makes an evaluation one of synthetic rows."""
    group = parser.add_argument_group("synthetic rows of a table, or drawn pictures")
    group.add_argument(
        "--generated",
        type=whole("--generated", 20, MOST),
        metavar="N",
        help="draw N rows from the model and judge them",
    )
    group.add_argument(
        "--against",
        metavar="FILE",
        type=filled("--against"),
        help="judge the synthetic rows in a file, or the pictures in a file or folder, whatever made them; in place of RUN may "
        "then stand the file of a table's real rows",
    )
    group.add_argument(
        "--holdout",
        metavar="FILE",
        type=filled("--holdout"),
        help="real rows that the synthetic ones were not made from",
    )
    group.add_argument(
        "--target", metavar="COLUMN", help="a column to predict from the others, learned from synthetic rows"
    )
    group.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column that is not compared; may be repeated",
    )
    add_features(group)
    group.add_argument("-o", "--out", metavar="FILE", type=filled("--out"), help="a page with all of it: .html")
    group.add_argument("--force", action="store_true", help="replace the page if it exists")


def add_features(parser: Any) -> None:
    """The feature space that pictures are measured in."""
    parser.add_argument(
        "--features",
        metavar="FILE",
        type=filled("--features"),
        help="of pictures: the feature space to measure in, a .safetensors that was kept (made if it is not there) or a network "
        "as .onnx; default: one learned from the training pictures, kept in the run's folder",
    )


def refuse_features(options: Namespace) -> None:
    """`UsageError` for a feature space where no pictures are judged."""
    if options.features is not None and options.generated is None and options.against is None:
        raise UsageError("--features says what drawn pictures are measured by: give --generated N with it")


def judged(options: Namespace, voice: Voice) -> int:
    """Judge the rows that a model makes, or those of a file, and say whether they may be shared."""
    if options.generated and options.against:
        raise UsageError("--generated draws rows from the model, --against reads them from a file: give one of the two")
    page = None
    if options.out is not None:
        inputs = [options.run, options.data, options.against, options.holdout]
        page = output.claim(
            options.out, (".html",), options.force, [one for one in inputs if one and os.path.isfile(one)]
        )
    sections = _sections(options, voice)
    if page is not None:
        name = (
            Path(options.against).name if options.against else f"{options.generated:,} rows of {Path(options.run).name}"
        )
        write_report(Findings(f"Judged: {name}", created=run_folder.now()), page, sections, alone=True)
        voice.say(f"\n{page}: all of it")
    return 0


def _sections(options: Namespace, voice: Voice) -> list[Section]:
    """Judge, tell, and give what a page shows of it."""
    if not is_run(options.run):
        found = _of_files(options)
    else:
        import_modules(options.modules)
        path, fitted = opened(options.run, options.device, options.threads)
        if isinstance(fitted.modality, Image):
            of_samples = of_pictures(options, fitted, path.parent, voice)
            tell_pictures(of_samples, voice)
            _tell_remarks(of_samples.remarks, voice)
            return sample_sections(of_samples)
        found = _of_run(options, fitted, path.parent, voice)
    _tell(found, voice)
    return sections_of(found)


def is_run(word: str) -> bool:
    """Whether a word names a run's folder or a model file, and no table."""
    return not (os.path.isfile(word) and is_table(Path(word)))


def _of_files(options: Namespace) -> Judgement:
    if options.against is None:
        raise UsageError(
            f"{options.run}: is a table, no run. To judge synthetic rows beside it: lambent evaluate {options.run} --against FILE"
        )
    if options.data is not None and options.holdout is not None:
        raise UsageError(
            f"{options.data} and --holdout {options.holdout}: give one file of rows that were not trained on"
        )
    unseen = options.holdout or options.data
    return judge(
        _table(options.run),
        _table(options.against),
        None if unseen is None else _table(unseen),
        target=options.target,
        seed=options.seed,
        leave_out=options.leave_out,
    )


def _table(path: str) -> Any:
    return Table().open(raw_rows(path).rows)


def _of_run(options: Namespace, fitted: Fitted, folder: Path, voice: Voice) -> Judgement:
    modality = fitted.modality
    if not isinstance(modality, Table):
        kind = "nothing known" if modality is None else type(modality).__name__
        raise UsageError(f"{options.run}: was trained on {kind}; what is drawn is judged of tables and pictures")
    if options.features is not None:
        raise UsageError("--features is of pictures, and this run was trained on a table: leave it out")
    real, unseen = _real(options, fitted, folder, voice)
    if options.against is None:
        voice.step(f"drawing {options.generated:,} rows")
        synthetic = _drawn(fitted, options)
    else:
        synthetic = _table(options.against)
    others = "" if unseen is None else f" and {len(unseen):,} others"
    voice.step(f"judging them beside {len(real):,} training rows{others}")
    apart = [column.name for column in modality.columns if not column.width]  # which no model learns
    names = categories_of(modality)
    return judge(real, synthetic, unseen, options.target, options.seed, [*options.leave_out, *apart], names)


def _drawn(fitted: Fitted, options: Namespace) -> Any:
    """Rows of the model in the data's own units; under conditions that are not given, those typical of training."""
    table, given = fitted.modality, named(options.given)
    assert isinstance(table, Table)
    if given:
        context = fitted.given(given, options.generated)
        rows = explore.generate(fitted, options.generated, options.seed, context=context, noise=True)
    else:
        rows = drawn(fitted, options.generated, options.seed)
    return table.framed(table.encoding.made(rows.cpu().double().numpy()))


def _real(options: Namespace, fitted: Fitted, folder: Path, voice: Voice) -> tuple[Any, Any]:
    """The rows that the model was trained on, and real rows that it was not, as tables; the latter may be missing.

    DATA other than the run's own are rows that it has not seen.
    """
    other = unseen_source(options, fitted)
    unseen = None if other is None else _table(other)
    try:
        real = _recorded(fitted, "train", folder, voice)
    except (ArtifactError, DataError) as error:
        if unseen is None:
            raise
        voice.note(f"the rows that the model was trained on are not at hand ({error}): {other} is taken for them")
        return unseen, None
    if unseen is None:
        unseen = _recorded(fitted, None, folder, voice)
        if len(unseen) < LEAST:
            voice.note(
                f"{len(unseen)} test rows are too few to tell a leak from chance; name others with --holdout FILE"
            )
            unseen = None
    return real, unseen


def _recorded(fitted: Fitted, split: str | None, folder: Path, voice: Voice) -> Any:
    """Rows of the run's own data as they stand there; of data larger than memory some, through the model's encoding."""
    assert fitted.modality is not None
    found: Encoded | OnDisk = larger.recorded(fitted.provenance, fitted.modality, split, folder, voice)
    if isinstance(found, OnDisk):
        return fitted.modality.open(fitted.modality.decode(larger.drawn(found, MOST_READ).x))
    request = fitted.provenance["request"]
    named_split = request["test"] if split is None and isinstance(request["test"], str) else request["split"]
    whole_table = fitted.modality.open(raw_rows(request["source"], named_split).rows)
    return whole_table if found.numbers is None else whole_table[found.numbers]


def _tell(found: Judgement, voice: Voice) -> None:
    voice.result(found.plain())
    words = {"independent": "independent columns", "bootstrap": "copies", "unseen": "unseen rows", "real": "real rows"}
    beside = [name for name in words if any(name in one.beside for one in found.metrics.values())]
    rows = [
        (name, show(one.value), *(show(one.beside.get(other)) for other in beside), one.better, one.meaning)
        for name, one in found.metrics.items()
    ]
    numbers = range(1, 2 + len(beside))
    voice.table(("metric", "value", *(words[name] for name in beside), "better", "meaning"), rows, right=tuple(numbers))
    _tell_remarks(found.remarks, voice)


def _tell_remarks(remarks: Sequence[Remark], voice: Voice) -> None:
    for remark in remarks:
        sign = {"problem": "!", "notice": "·", "good": "✓"}[remark.level]
        voice.say(f"  {sign} {remark.title}. {remark.text}{f' {remark.advice}' if remark.advice else ''}")
