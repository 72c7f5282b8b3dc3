"""lambent disentangle: whether the units of a code keep known factors apart."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli import output
from lambent.cli.folder import opened
from lambent.cli.reading import larger
from lambent.cli.reading.flags import Parser, add_rows, add_run, add_seed, common, filled, whole
from lambent.cli.reading.sources import settled
from lambent.cli.verbs.measure import opened_with_rows
from lambent.cli.verbs.pages import write_page
from lambent.cli.voice import Voice
from lambent.data import Encoded, Table
from lambent.data.loading import raw_rows
from lambent.errors import DataError, UsageError
from lambent.tasks.disentanglement.measure import ROWS, Disentanglement
from lambent.tasks.disentanglement.measure import disentangle as measured
from lambent.tasks.disentanglement.sections import best_units, disentanglement_sections, three_decimals

MOST = 10_000_000


def disentangle(arguments: Sequence[str]) -> int:
    """A table of scores, each with its variant; and a page with the units, the factors, and pictures moved along them."""
    options = common(_parser(), machine=True).read(arguments)
    voice, page = Voice.of(options), None
    if options.out is not None:
        page = output.claim(options.out, (".html",), options.force, [options.data, options.factors_from])
    path, fitted, found = opened_with_rows(options, voice)
    others = [opened(one, options.device, options.threads)[1] for one in options.against]
    beside = _beside(options.factors_from, len(found))
    encoded = larger.drawn(found, options.rows)
    factors = _factors(options, encoded, beside)
    voice.step(f"measuring {len(encoded):,} rows")
    told = measured(
        fitted, encoded, factors, options.rotate, others, options.regressor, options.published, None, options.seed
    )
    voice.result({"model": str(path), **told.plain(), "data": encoded.source})
    _tell(told, voice)
    if page is not None:  # its pictures take a while
        write_page(page, f"Disentanglement: {Path(options.run).name}", disentanglement_sections(fitted, told), voice)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "disentangle",
        "Whether the units of a code keep known factors apart: MIG and its robust variants, DCI, SAP, FactorVAE and β-VAE "
        "scores, modularity, explicitness, IRS; with --against also UDR, which needs no factors of its own.",
    )
    add_run(parser)
    add_rows(parser, "rows whose factors are known")
    parser.add_argument(
        "--factors", metavar="NAMES", type=filled("--factors"),
        help="the factors, with commas between: of sprites theirs, columns of a table that the model was not trained on, or "
        "label; default: all that the data come with",
    )  # fmt: skip
    parser.add_argument(
        "--factors-from", metavar="FILE", type=filled("--factors-from"),
        help="a table with a line for each row of DATA, in order, that the factors are columns of",
    )  # fmt: skip
    parser.add_argument(
        "--rotate", choices=("prior", "varimax"),
        help="turn the code first: to the prior's own axes, or to where each column of the data follows few units",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="RUN", action="append", default=[], type=filled("--against"),
        help="a run trained alike with another seed, for UDR; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--regressor", choices=("forest", "boosting", "lasso"), default="forest",
        help="what DCI reads factors by (default forest)",
    )  # fmt: skip
    parser.add_argument(
        "--published", action="store_true", help="also SAP and DCI as disentanglement_lib computes them, slowly"
    )
    parser.add_argument(
        "--rows", type=whole("--rows", 50, MOST), default=ROWS, help=f"at most so many rows (default {ROWS:,})"
    )
    parser.add_argument("-o", "--out", metavar="FILE", type=filled("--out"), help="a page with all of it: .html")
    parser.add_argument("--force", action="store_true", help="replace the page if it exists")
    add_seed(parser)
    return parser


def _beside(file: str | None, rows: int) -> Any:
    """The columns of a table beside the data, checked to have a line for each row; None where none is named."""
    if file is None:
        return None
    table = Table().open(raw_rows(settled(file)).rows)
    if len(table) != rows:
        raise DataError(f"--factors-from {file}: has {len(table):,} lines, and there are {rows:,} rows of data")
    return table


def _factors(options: Namespace, encoded: Encoded, beside: Any) -> Any:
    """What `disentangle` takes for its factors."""
    names = None if options.factors is None else [name.strip() for name in options.factors.split(",") if name.strip()]
    if names is not None and not names:
        raise UsageError("--factors needs names, with commas between: --factors shape,scale")
    if beside is not None:
        wanted = beside.names if names is None else names
        chosen = np.arange(len(beside)) if encoded.numbers is None else encoded.numbers
        return {name: beside.values(name)[_within(chosen, len(beside))] for name in wanted}
    if names is None or not isinstance(encoded.modality, Table):
        return names
    known = {*encoded.beside, *(["label"] if encoded.labels is not None else [])}
    if set(names) <= known:
        return names
    return _columns(options, encoded, names)


def _within(numbers: np.ndarray, rows: int) -> np.ndarray:
    """Numbers of rows within the table beside them; they count from the first row of the split that was read."""
    if len(numbers) and int(numbers.max()) >= rows:
        raise DataError(
            "--factors-from names a line for each row, and these rows are a part of larger data: name DATA, and the file "
            "of all of it"
        )
    return numbers


def _columns(options: Namespace, encoded: Encoded, names: list[str]) -> dict[str, Any]:
    """Columns of the table that the rows came from, which the model was not trained on."""
    assert isinstance(encoded.modality, Table)
    for name in names:
        if any(one.name == name and one.width for one in encoded.modality.columns):
            raise UsageError(
                f"--factors {name}: the model was trained on that column, so its code knows it for that alone; train without it: "
                f"lambent train DATA --data.drop {name}"
            )
    source = settled(options.data) if options.data is not None else encoded.source.get("path") or encoded.source["name"]
    table = encoded.modality.open(raw_rows(source, encoded.source.get("split") or "train").rows)
    found = {name: table.values(name) for name in names}  # which says what there is, where there is no such column
    return found if encoded.numbers is None else {name: values[encoded.numbers] for name, values in found.items()}


def _tell(found: Disentanglement, voice: Voice) -> None:
    rows = [
        (one.title, three_decimals(one.value), "" if one.chance is None else f"chance {one.chance:.2f}", one.meaning)
        for one in found.scores.values()
    ]
    voice.table(("score", "value", "", "meaning"), rows, right=(1,))
    shares = found.information / found.entropy
    lines = [
        (
            factor,
            found.codes.names[unit],
            f"{shares[unit, found.factors.names.index(factor)]:.3f}",
            *(f"{found.scores[name].each[factor]:.3f}" for name in ("mig", "sap")),  # type: ignore[index]
        )
        for factor, unit in best_units(found)
    ]
    voice.say("")
    voice.table(("factor", "best unit", "I/H", "MIG", "SAP"), lines, right=(2, 3, 4))
    for remark in found.remarks:
        voice.say(f"\n{remark}")
