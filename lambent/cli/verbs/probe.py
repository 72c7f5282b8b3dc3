"""lambent probe: what a plain reader learns of a label from codes, beside what it learns from other features."""

import argparse
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from lambent.cli.folder import opened
from lambent.cli.reading import larger
from lambent.cli.reading.flags import Parser, add_run, add_seed, common, filled, import_modules, whole
from lambent.cli.reading.labels import source_of, with_label
from lambent.cli.reading.sources import has_split, settled
from lambent.cli.verbs.measure import note_notices, recorded
from lambent.cli.verbs.pages import add_page, claimed, named, write_page
from lambent.cli.voice import Voice
from lambent.data import Encoded
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.model import ask_encoder
from lambent.tasks.features.labels import KINDS, OWN
from lambent.tasks.features.probe import CODES, FEW, HELD, MOST, Probing
from lambent.tasks.features.probe import probe as probed
from lambent.tasks.features.readers import LINEAR, NEAREST, NEIGHBOURS
from lambent.tasks.features.sections import ends, percent, plain, probe_sections

MOST_ROWS = 10**12
MOST_EPOCHS = 1_000_000


def probe(arguments: Sequence[str]) -> int:
    """How much of a label is told by codes, by the rows, their PCA and an autoencoder's codes."""
    options = common(_parser(), machine=True).read(arguments)
    voice, page = Voice.of(options), claimed(options, [options.data, options.test])
    import_modules(options.modules)
    path, fitted = opened(options.run, options.device, options.threads)
    ask_encoder(fitted.model)
    known, tested = _rows(options, fitted, path.parent, voice)
    voice.step(f"probing for {options.label} in {len(known):,} rows" + _training(options))
    found = probed(
        fitted,
        known,
        options.label,
        test=tested,
        kind=options.kind,
        held=options.held,
        few=options.few,
        neighbours=options.neighbours,
        most=options.most,
        autoencoder=options.autoencoder,
        epochs=options.epochs,
        seed=options.seed,
    )
    voice.result({"model": str(path), **found.plain(), "data": known.source, **named(page)})
    for note in found.notes:
        voice.note(note)
    _tell(found, voice)
    write_page(page, f"Probe: {found.label}, {path.parent.resolve().name}", probe_sections(found), voice)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "probe",
        "What a linear reader and nearest neighbours learn of a label from a run's codes, with all labels and with few, beside "
        "the rows themselves, their PCA and an autoencoder of the same size. Rows of a split 'test' are tested on, or a share.",
    )
    add_run(parser)
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="rows with labels; default: the run's own, of its training and its test"
    )
    parser.add_argument("--split", help="split of the data, of which a share is tested on; default: 'train' and 'test'")
    parser.add_argument(
        "--resize", action="store_true", help="bring pictures of another size or colour to the model's own"
    )
    parser.add_argument(
        "--label",
        default=OWN,
        type=filled("--label"),
        metavar="LABEL",
        help="what to tell: label (the default: what the rows bring), a factor, a condition, or a column of their table",
    )
    parser.add_argument("--test", metavar="DATA", type=filled("--test"), help="other rows to test on")
    parser.add_argument(
        "--held", type=_share, default=HELD, metavar="SHARE", help=f"the share to test on else (default {HELD})"
    )
    parser.add_argument(
        "--as", dest="kind", choices=KINDS, help="read the label as classes or as a number; default: by its values"
    )
    parser.add_argument(
        "--few",
        type=_counts,
        default=FEW,
        metavar="N,N,…",
        help="labelled rows of each class, of numbers ten times as many in all (default 1,10,100)",
    )
    parser.add_argument(
        "--neighbours",
        type=whole("--neighbours", 1, 10**6),
        default=NEIGHBOURS,
        help=f"how many vote (default {NEIGHBOURS})",
    )
    parser.add_argument(
        "--most",
        type=whole("--most", 20, 10**9),
        default=MOST,
        help=f"rows to learn from, and to test on (default {MOST:,})",
    )
    parser.add_argument(
        "--limit", type=whole("--limit", 1, MOST_ROWS), help="at most so many rows, drawn by a fixed seed"
    )
    parser.add_argument(
        "--no-autoencoder", dest="autoencoder", action="store_false", help="leave it out: it takes a training"
    )
    parser.add_argument(
        "--epochs", type=whole("--epochs", 1, MOST_EPOCHS), help="of the autoencoder; default: those of the run"
    )
    add_page(parser)
    parser.add_argument("--force", action="store_true", help="replace the page if it exists")
    add_seed(parser)
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"takes a share between 0 and 1, such as 0.25, not {text[:40]!r}")
    return share


def _counts(text: str) -> tuple[int, ...]:
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not all(piece.isdecimal() and 0 < int(piece) <= 10**6 for piece in pieces):
        raise argparse.ArgumentTypeError(
            f"takes whole numbers from 1 between commas, such as 1,10,100, not {text[:40]!r}"
        )
    return tuple(int(piece) for piece in pieces)


def _training(options: Namespace) -> str:
    return ", and training an autoencoder on them" if options.autoencoder else ""


def _rows(options: Namespace, fitted: Fitted, folder: Path, voice: Voice) -> tuple[Encoded, Encoded | None]:
    """Rows to learn from, and those to test on, or None where a share of the first is."""
    if options.data is None and fitted.modality is None:
        raise UsageError("the model file does not say how its data are read: name the data")
    if options.data is None:
        splits = [options.split or "train"] if options.test is not None else [options.split or "train", "test"]
        parts = [(recorded(fitted, split, folder, voice), split) for split in splits]
    else:
        splits = [options.split or "train"]
        if options.split is None and options.test is None and has_split(settled(options.data), "test"):
            splits = ["train", "test"]
        parts = [
            (larger.given(fitted.modality, options.data, split, options.resize, folder, voice), split)
            for split in splits
        ]
    found = []
    for rows, split in parts:
        source = source_of(fitted.provenance, options.data, split)
        found.append(with_label(larger.drawn(rows, options.limit), options.label, *source))
    if options.test is not None:
        rows = larger.given(fitted.modality, options.test, None, options.resize, folder, voice)
        found.append(with_label(larger.drawn(rows, options.limit), options.label, *source_of({}, options.test, None)))
    note_notices(found[0], voice)
    return found[0], (found[1] if len(found) > 1 else None)


def _tell(found: Probing, voice: Voice) -> None:
    classes = found.kind == "classes"
    shown = percent if classes else plain
    few = list(next(iter(found.spaces.values())).few)
    counts = [f"{count:,} a class" if classes else f"{count:,} rows" for count in few]
    heads = ("features", "units", "linear", f"{'' if classes else 'R² '}95 %", "neighbours", "95 %", *counts)
    rows = []
    for name, one in found.spaces.items():
        cells = [cell for reader in (one.linear, one.neighbours) for cell in (shown(reader.value), ends(reader, found))]
        rows.append((name, one.units, *cells, *(shown(one.few[count].value) for count in few)))
    voice.table(heads, rows, right=(1, 2, 4, *range(6, 6 + len(few))))
    learned, tested = found.rows
    unit = "accuracy" if classes else "R²"
    voice.say(
        f"{unit} of {found.label} on {tested:,} rows, learned from {learned:,}; without looking {shown(found.chance)}"
    )
    for name, readers in found.apart.items():
        words = [
            f"{shown(readers[reader].value, True)} ({ends(readers[reader], found)}) {told}"
            for reader, told in ((LINEAR, "to the linear reader"), (NEAREST, "to neighbours"))
        ]
        voice.say(f"{CODES} above {name}: {', '.join(words)}")
