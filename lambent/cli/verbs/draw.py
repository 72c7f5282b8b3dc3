"""lambent sample: new rows; of tables under conditions, and as many as a disk holds."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from lambent.cli import output
from lambent.cli.folder import opened
from lambent.cli.reading.flags import Parser, add_given, add_run, import_modules, positive, whole
from lambent.cli.reading.sources import settled
from lambent.cli.verbs.made import are_drawn, refuse_suffix, write_made
from lambent.cli.verbs.make import read_options
from lambent.cli.verbs.measure import claim
from lambent.cli.voice import Voice
from lambent.data.conditions import named
from lambent.data.kinds.table import Table
from lambent.data.readers.typed import Typed
from lambent.data.writers.tables import SUFFIXES, write_table
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.part import elements
from lambent.tasks import explore
from lambent.tasks.synthesize import Synthesis, synthesis

DEFAULT = 64  # rows
MOST = 10**12
MOST_NUMBERS = 1_000_000_000  # of new rows together, where they are not written as they are made: 4 GB
TOGETHER = 32  # pieces of rows that are written together
FEW = 0.5  # share of the rows that their codes should be worth; less is told


def sample(arguments: Sequence[str]) -> int:
    """Rows from the prior."""
    suffixes = output.with_own((*output.ALL, *SUFFIXES))
    options = read_options(_parser(), arguments, suffixes)
    voice, path = Voice.of(options), claim(options, suffixes)
    import_modules(options.modules)
    _, fitted = opened(options.run, options.device, options.threads)
    refuse_suffix(path, fitted)
    if isinstance(fitted.modality, Table) and options.noise != "no":
        return _sample_table(fitted, options, path, voice)
    for flag in ("given_rows", "where", "balance", "complete"):
        if getattr(options, flag):
            why = "with --noise no" if isinstance(fitted.modality, Table) else "and this model is none of tables"
            raise UsageError(f"--{flag.replace('_', '-')} is for rows of tables that are drawn, {why}: leave it out")
    n = options.n or DEFAULT
    _refuse_many(n, fitted)
    means = are_drawn(fitted) or (fitted.modality is not None and fitted.modality.by_mean)
    noise = options.noise == "yes" or (options.noise == "auto" and not means)
    context = fitted.given(named(options.given), n)
    drawn = explore.generate(fitted, n, options.seed, options.temperature, context, noise=noise)
    write_made(path, fitted, drawn, {}, None, voice)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "sample", "Draw new rows: z from the prior, and x from p(x|z) or its mean; of tables under conditions."
    )
    add_run(parser)
    parser.add_argument(
        "-n",
        "--n",
        type=whole("--n", 1, MOST),
        help=f"how many rows (default {DEFAULT}, or as many as --given-rows has)",
    )
    parser.add_argument(
        "--temperature", type=positive, default=1.0, help="factor on the noise of the prior (default 1)"
    )
    parser.add_argument(
        "--noise",
        choices=("auto", "yes", "no"),
        default="auto",
        help="draw x from p(x|z), or take its mean; auto: draw, but for pictures",
    )
    add_given(
        parser,
        "the value to draw rows under; of tables a condition on any column: age>40, education=Masters, "
        "'workclass in {Private,State-gov}', age=missing",
    )
    parser.add_argument(
        "--given-rows", metavar="FILE", help="a table of rows known in part, each of which is completed"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="RELATION",
        help="a relation between columns that every row satisfies, such as 'start<=end'; may be repeated",
    )
    parser.add_argument("--balance", metavar="COLUMN", help="each level of this column, or condition, equally often")
    parser.add_argument("--complete", action="store_true", help="rows without gaps; default: gaps as in the data")
    return parser


def _sample_table(fitted: Fitted, options: Namespace, path: Path, voice: Voice) -> int:
    rows = None if options.given_rows is None else settled(options.given_rows)
    found = synthesis(
        fitted,
        options.n or (None if rows is not None else DEFAULT),
        given=options.given,
        given_rows=rows,
        where=options.where,
        balance=options.balance,
        complete=options.complete,
        temperature=options.temperature,
        seed=options.seed,
    )
    if path.suffix.lower() in SUFFIXES:
        write_table(path, _pieces(found))
    else:
        _refuse_many(found.rows, fitted)
        names = [column.name for column in found.table.columns]
        output.write_rows(path, found.raw(), {}, names)
    _tell(found, path, voice)
    return 0


def _pieces(found: Synthesis) -> Iterator[dict[str, Typed]]:
    """Rows as they are made, so many together that a file of them has few groups."""
    first = 0
    for together in iter(lambda: list(islice(found.make, TOGETHER)), []):
        x = torch.cat(together)
        yield found.typed(x, first)
        first += len(x)


def _refuse_many(n: int, fitted: Fitted) -> None:
    numbers = n * elements(fitted.model.event_shape)
    if numbers > MOST_NUMBERS:
        raise UsageError(
            f"--n {n}: that makes {numbers:,} numbers, and at most {MOST_NUMBERS:,} are made at once; "
            "draw in parts, each with a seed of its own; tables have no such limit as .csv or .parquet"
        )


def _tell(found: Synthesis, path: Path, voice: Voice) -> None:
    conditions = [
        {"condition": one.words, "probability": one.probability, "rows": one.rows, "effective_codes": one.effective}
        for one in found.worth
    ]
    voice.result({"out": str(path), "rows": found.rows, "conditions": conditions})
    for one in found.worth:
        chance = "" if one.probability is None else f"has a probability of {one.probability:.2g}; "
        told = f"{one.words}: {chance}{one.rows:,} rows of codes worth {one.effective:,.0f}"
        if one.effective < FEW * one.rows:
            voice.note(f"{told}: some rows share a code, and are alike in what it says")
        else:
            voice.step(told)
    voice.say(f"{path}: {found.rows:,} rows")
