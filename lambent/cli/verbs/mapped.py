"""lambent map: rows in a plane by their codes, as one page to look at and to walk in."""

from collections.abc import Sequence
from pathlib import Path

from lambent.cli.reading import larger
from lambent.cli.reading.flags import Parser, add_given, add_output, add_rows, add_run, add_seed, common, whole
from lambent.cli.verbs.measure import claim, opened_with_rows, usual
from lambent.cli.voice import Voice
from lambent.data.conditions import named
from lambent.report.map.page import write_map
from lambent.tasks.evaluate import MOST_SAMPLES
from lambent.tasks.map.layouts import LAYOUTS
from lambent.tasks.map.mapping import PICTURES, SAMPLES, CodeMap, map_codes

ROWS = 20_000  # unless told


def map(arguments: Sequence[str]) -> int:
    """One HTML file: points by their codes, the picture or row of each, and the decoder of a small model of pictures."""
    parser = Parser(
        "map",
        "Rows in a plane by their codes, as one HTML file that loads nothing: hover shows a row, a lasso lists rows, and sliders "
        "move the code of a small decoder of pictures, which runs in the page.",
    )
    add_run(parser)
    add_rows(parser, "rows to map")
    add_output(parser, (".html",))
    parser.add_argument(
        "--layout", default="pca", choices=list(LAYOUTS), help="how codes become places: pca (default), tsne or umap"
    )
    parser.add_argument(
        "--limit",
        type=whole("--limit", 1, 10**7),
        help=f"at most so many rows, drawn by a fixed seed (default {ROWS:,}; a page stays smooth at 100,000)",
    )
    parser.add_argument(
        "--samples", type=whole("--samples", 1, MOST_SAMPLES), help=f"K of each row's bound (default {SAMPLES})"
    )
    parser.add_argument(
        "--pictures",
        type=whole("--pictures", 0, 10**6),
        default=PICTURES,
        help=f"how many rows keep a small picture in the page (default {PICTURES:,})",
    )
    add_given(parser, "map the rows under this value, in place of their own")
    add_seed(parser)
    options = common(parser, machine=True).read(arguments)
    voice = Voice.of(options)
    path = claim(options, (".html",))
    model, fitted, encoded = opened_with_rows(options, voice)
    few, most = usual(fitted)
    rows = larger.drawn(encoded, options.limit or few or ROWS)
    voice.step(f"mapping {len(rows):,} rows")
    made = map_codes(
        fitted,
        rows,
        options.layout,
        options.samples or min(most, SAMPLES),
        options.pictures,
        named(options.given),
        options.seed,
    )
    came = fitted.provenance
    write_map(made, path, str(came.get("name") or model.parent.name), str(came.get("created") or ""))
    _tell(path, made, voice)
    return 0


def _tell(path: Path, made: CodeMap, voice: Voice) -> None:
    for note in made.notes:
        voice.note(note[0].lower() + note[1:].removesuffix("."))
    if made.why:
        voice.note(made.why[0].lower() + made.why[1:].removesuffix("."))
    size = path.stat().st_size
    voice.result(
        {
            "out": str(path),
            "rows": len(made.rows),
            "bytes": size,
            "layout": made.placed.how,
            "decoder": made.walker is not None,
            "why": made.why,
            "notes": made.notes,
        }
    )
    walked = "with its decoder" if made.walker else "without a decoder"
    voice.say(f"{path}: {len(made.rows):,} rows, {walked}, {size / 1e6:.1f} MB")
