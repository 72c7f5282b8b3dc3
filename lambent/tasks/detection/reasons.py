"""reasons: why rows are odd: the columns that do not fit the others, and what these made one expect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.hiding import hidden
from lambent.data.kinds.columns.numeric import Numeric
from lambent.data.kinds.columns.ranked import Ranked
from lambent.data.kinds.columns.windows import parted
from lambent.data.kinds.table import Table
from lambent.data.kinds.text import Text
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import steadily
from lambent.seeds import stream
from lambent.tasks import explore
from lambent.tasks.conditional import Conditional
from lambent.tasks.detection.farness import farness
from lambent.tasks.detection.left_out import left_out
from lambent.tasks.detection.masked import LeftOut
from lambent.tasks.detection.odd_words import odd_words
from lambent.tasks.detection.reason import Reason, at, foremost
from lambent.tasks.detection.wording import Expected, cell, expectations, joint, presence
from lambent.tasks.estimates import estimated

REFERENCE = 32  # rows of which what is usual of each column is the median
MOST = 3
GIVEN = 3
MOVES = 0.1  # of 1, by which a column moves an expectation at least, to be named
SPARE = 2  # columns that are looked at beside those that are to be named, for some may lie within what is expected
MAYBE = 0.0  # nats out, from which on they are
MISSING = " is missing"  # of the names of indicators
Usual = dict[str, list[float]]


def has_reasons(fitted: Fitted) -> bool:
    """Whether rows of the model have columns or words to be named."""
    return fitted.column_names is not None or isinstance(fitted.modality, Text)


@torch.no_grad()
def reasons(fitted: Fitted, rows: Rows, index: Sequence[int] | Tensor, most: int = MOST) -> list[list[Reason]]:
    """Why some of the rows, by number, are odd: for each the columns that fit worst what is expected of them, at most so many.
    Of texts: the words, each beside the one that was to be expected in its place.

    Named are cells outside of their 5 to 95 % interval, or of the likeliest levels, given the rest of the row as the model has it
    without them; the farthest out first, and beyond it those that lie out by a nat and by a tenth of the first's. Where there
    are none, those that come nearest, `within`: it is the combination that is odd. The same row gets the same words beside
    whatever others.
    Errors: `UsageError` for a model whose rows have no columns, or whose columns were learned in one order alone.
    """
    chosen = torch.as_tensor(index, dtype=torch.long)
    if not len(chosen):
        return []
    if most < 1:
        raise UsageError(f"most (reasons of a row) must be at least 1, not {most}")
    if isinstance(fitted.modality, Text):
        return odd_words(fitted, rows.at(chosen), most)
    cells = _Cells.of(fitted)
    picked = cells.whole(rows.at(chosen))
    usual = (fitted.detection.facts.get("usual") if fitted.detection is not None else None) or usual_costs(
        fitted, _reference(fitted)
    )
    usual_drop, middle = (torch.tensor([usual[name][part] for name in cells.names]).double() for part in (0, 1))
    told: list[list[Reason]] = []
    with steadily():
        for part, found in left_out(fitted.model, picked, middle, cells.partner):
            told += _told(fitted, cells, found, picked.x[part], usual_drop, most)
    return told


@torch.no_grad()
def usual_costs(fitted: Fitted, rows: Rows) -> Usual:
    """What is usual of each column, {name: [nats, value]}: medians over rows, of how much less likely cells are than is expected
    of them given the rest (`LeftOut.drop`), and of encoded values.

    Plain JSON, to be kept with a detector. At most 32 of the rows are looked at, evenly spread.
    """
    cells = _Cells.of(fitted)
    some = cells.whole(rows.at(torch.linspace(0, len(rows) - 1, min(len(rows), REFERENCE)).round().long()))
    middle = some.x.double().nanmedian(0).values.nan_to_num(0.0)
    drops = [
        _drop(fitted, cells, found, some.x[part])
        for part, found in left_out(fitted.model, some, middle, cells.partner, what="usual costs")
    ]
    usual = torch.cat(drops).masked_fill(torch.isnan(some.x), math.nan).nanmedian(0).values.nan_to_num(0.0)
    return dict(zip(cells.names, torch.stack((usual, middle), 1).tolist(), strict=True))


def _reference(fitted: Fitted) -> Rows:
    """Rows that the model draws, under conditions as training had them."""
    generator = torch.Generator().manual_seed(stream(0, "usual"))
    context = fitted.conditions.typical(REFERENCE, generator) if fitted.conditions else None
    return Rows(explore.generate(fitted, REFERENCE, 0, context=context, noise=True), context)


@dataclass(frozen=True)
class _Cells:
    """The encoded columns of a model's rows: their names, the columns of the table behind them, and which are indicators."""

    names: list[str]
    columns: list[Column]
    indicates: tuple[int, ...]
    gappy: frozenset[str]
    learned: int  # rows
    steps: int = 1

    @classmethod
    def of(cls, fitted: Fitted) -> "_Cells":
        names = fitted.column_names
        if names is None:
            raise UsageError("reasons name columns, and these rows have none: for pictures there are heat-maps")
        if not isinstance(fitted.modality, Table):
            return cls(names, [Numeric(name) for name in names], (), frozenset(names), 0)
        encoding = fitted.modality.encoding
        return cls(
            names,
            encoding.modelled,
            encoding.indicates,
            frozenset(encoding.gappy),
            fitted.modality.learned,
            fitted.modality.window,
        )

    def parted(self, name: str) -> tuple[str, int | None]:
        """The name of a column without its step, and the step; None where rows are no windows."""
        return parted(name) if self.steps > 1 else (name, None)

    def told(self, place: int) -> str:
        """An encoded column in words."""
        name, step = self.parted(
            self.names[place].removesuffix(MISSING) if place >= len(self.columns) else self.names[place]
        )
        return f"{name}{MISSING if place >= len(self.columns) else ''}{at(step)}"

    @property
    def partner(self) -> dict[int, int]:
        """The column of each indicator."""
        return dict(enumerate(self.indicates, start=len(self.columns)))

    def whole(self, rows: Rows) -> Rows:
        """The rows with their indicators, which an encoding leaves open."""
        return replace(rows, x=hidden(rows.x, len(self.columns), self.indicates, 0.0)) if self.indicates else rows


def _told(fitted: Fitted, cells: _Cells, found: LeftOut, x: Tensor, usual: Tensor, most: int) -> list[list[Reason]]:
    """The reasons of the rows of a chunk, of the columns that seem to lie farthest out."""
    excess = _excess(cells, _drop(fitted, cells, found, x), x.cpu(), usual)
    order = excess.argsort(dim=1, descending=True, stable=True)[:, : most + SPARE]
    wanted = excess.gather(1, order) >= MAYBE
    wanted[:, :most] = True
    told: list[list[Reason]] = [[] for _ in x]
    looked: list[tuple[int, int]] = []
    for row, column in ((row, column) for row, columns in enumerate(order.tolist()) for column in columns):
        if torch.isnan(x[row, column]):
            if excess[row, column] > 0:
                told[row].append(_missing(cells, column, float(excess[row, column])))
        elif wanted[row, order[row] == column].any():
            looked.append((row, column))
    looked.sort(key=lambda each: (each[1], each[0]))  # neighbours of one column are asked together
    start = 0
    for part, places in found.closer(looked):
        some = looked[start : start + len(places)]
        start += len(places)
        for (row, _), reason in zip(some, _looked(fitted, cells, part, places, excess, some), strict=True):
            told[row].append(reason)
    return [foremost(each, most) for each in told]


def _drop(fitted: Fitted, cells: _Cells, found: LeftOut, x: Tensor) -> Tensor:
    """`LeftOut.drop`; of bins of numbers −log of the density in the data's own units, for some bins are wide."""
    drop, binned = found.drop, [place for place, column in enumerate(cells.columns) if isinstance(column, Ranked)]
    if binned and fitted.modality is not None and (slope := fitted.modality.log_slope(x)) is not None:
        drop[:, binned] = -found.log_prob[:, binned] - slope.double().cpu()[:, binned]
    return drop


def _excess(cells: _Cells, drop: Tensor, x: Tensor, usual: Tensor) -> Tensor:
    """Nats above the usual, [rows, columns]. A gap in a column that never had one costs what so rare an event would."""
    missing = torch.isnan(x)
    excess = (drop - usual).masked_fill(missing, -math.inf)
    for place, column in enumerate(cells.columns):
        if column.name not in cells.gappy and cells.learned:
            excess[missing[:, place], place] = math.log(cells.learned + 1)
    return excess


def _looked(
    fitted: Fitted,
    cells: _Cells,
    part: LeftOut,
    places: Sequence[tuple[int, int]],
    excess: Tensor,
    some: Sequence[tuple[int, int]],
) -> list[Reason]:
    """The reasons that cells (row, column) of a chunk give, by their places in a part of it."""
    told: dict[tuple[int, int], Reason] = {}
    for column in sorted({column for _, column in places}):
        index = [number for number, (_, own) in enumerate(places) if own == column]
        rows = [places[number][0] for number in index]
        conditional, x = part.conditional(column), part.x[:, column]
        ordered = column < len(cells.columns) and isinstance(cells.columns[column], Ranked)
        nats = farness(conditional, column, x, ordered)
        expected = _expected(fitted, cells, conditional, column)
        moved = part.moved(column, rows)
        for number, row, far in zip(index, rows, moved, strict=True):
            order = far.argsort(descending=True, stable=True)[:GIVEN].tolist()
            given = tuple(cells.told(each) for each in order if float(far[each]) >= MOVES)
            # Between two heaps of values, and beyond the digits of a tail, the density tells.
            own = max(float(nats[row]), float(excess[some[number]]))
            told[places[number]] = _reason(cells, column, float(x[row]), own, expected[row], given)
    return [told[place] for place in places]


def _expected(fitted: Fitted, cells: _Cells, conditional: Conditional, place: int) -> list[Expected]:
    if place >= len(cells.columns):
        return [presence(chance) for chance in conditional.probabilities(place)[:, 1].tolist()]
    column = cells.columns[place]
    return expectations(column, estimated(conditional, column, place, fitted.calibration))


def _reason(cells: _Cells, place: int, x: float, nats: float, expected: Expected, given: tuple[str, ...]) -> Reason:
    if place >= len(cells.columns):
        name, step = cells.parted(cells.columns[cells.indicates[place - len(cells.columns)]].name)
        value, between = "is missing" if x >= 1 else "is there", " "
    else:
        column = cells.columns[place]
        name, step = cells.parted(column.name)
        value, between = cell(column, x), joint(column)
    return Reason(name, nats, value, expected.text, given, between, step, expected.holds(value))


def _missing(cells: _Cells, place: int, nats: float) -> Reason:
    name, step = cells.parted(cells.columns[place].name)
    return Reason(name, nats, "is missing", f"there, as in all {cells.learned:,} rows of training", step=step)
