"""reasons: why rows are odd: the columns that cost more than usual given the others, and what these made one expect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.hiding import hidden
from lambent.data.kinds.columns.numeric import Numeric
from lambent.data.kinds.columns.windows import parted
from lambent.data.kinds.table import Table
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import steadily
from lambent.seeds import stream
from lambent.tasks import explore
from lambent.tasks.detection.left_out import left_out
from lambent.tasks.detection.masked import LeftOut
from lambent.tasks.detection.wording import cell, expectations, joint, presence
from lambent.tasks.estimates import estimated

REFERENCE = 128  # rows of which the usual cost of each column is the median
MOST = 3
SHARE = 0.1  # of the first reason's nats that a further one has at least
LEAST = 1.0  # nats, likewise
GIVEN = 3
MOVES = 0.1  # of 1, by which a column moves an expectation at least, to be named
MISSING = " is missing"  # of the names of indicators
Usual = dict[str, list[float]]


@dataclass(frozen=True)
class Reason:
    """A column that makes a row odd.

    nats: −log p(column | all others), less what the column usually costs. value: what was there, as the data have it; expected:
    the 5 to 95 % interval of a number, or the likeliest levels; empty where nothing can be expected; given: the columns that say
    so most. step: of windows of a series, 0 for the last row, −1 for the one before it; None where rows are none.
    """

    column: str
    nats: float
    value: str
    expected: str = ""
    given: tuple[str, ...] = ()
    between: str = " "
    step: int | None = None

    @property
    def text(self) -> str:
        """In words, such as "Amount 1,809.68, expected 2 to 95 given V10, V14, V17"."""
        found = f"{self.column}{self.between}{self.value}{at(self.step)}"
        if not self.expected:
            return found
        return f"{found}, expected {self.expected}" + (f" given {', '.join(self.given)}" if self.given else "")


@torch.no_grad()
def reasons(fitted: Fitted, rows: Rows, index: Sequence[int] | Tensor, most: int = MOST) -> list[list[Reason]]:
    """Why some of the rows, by number, are odd: for each the columns that cost most nats more than usual, at most so many.

    A column costs −log p(x_j | x_rest), in the data's own units, as the model has it without the column; usual is the median of
    held-out rows, kept with the detector, or else of rows that the model draws. Beyond the first, columns are named that cost a
    nat and a tenth of the first's more than usual. The same row gets the same words beside whatever others.
    Errors: `UsageError` for a model whose rows have no columns, or whose columns were learned in one order alone.
    """
    chosen = torch.as_tensor(index, dtype=torch.long)
    if not len(chosen):
        return []
    if most < 1:
        raise UsageError(f"most (reasons of a row) must be at least 1, not {most}")
    cells = _Cells.of(fitted)
    picked = cells.whole(rows.at(chosen))
    usual = (fitted.detection.facts.get("usual") if fitted.detection is not None else None) or usual_costs(
        fitted, _reference(fitted)
    )
    costs, middle = (torch.tensor([usual[name][part] for name in cells.names]).double() for part in (0, 1))
    told: list[list[Reason]] = []
    with steadily():
        for part, found in left_out(fitted.model, picked, middle, cells.partner):
            told += _told(fitted, cells, found, picked.x[part], costs, most)
    return told


@torch.no_grad()
def usual_costs(fitted: Fitted, rows: Rows) -> Usual:
    """What each column usually costs, {name: [nats, value]}: medians over rows, of −log p(x_j | x_rest) and of encoded values.

    Plain JSON, to be kept with a detector. At most 128 of the rows are looked at, evenly spread.
    """
    cells = _Cells.of(fitted)
    some = cells.whole(rows.at(torch.linspace(0, len(rows) - 1, min(len(rows), REFERENCE)).round().long()))
    middle = some.x.double().nanmedian(0).values.nan_to_num(0.0)
    costs = torch.cat(
        [-found.log_prob for _, found in left_out(fitted.model, some, middle, cells.partner, what="usual costs")]
    ) - slopes(fitted, some.x)
    usual = costs.masked_fill(torch.isnan(some.x), math.nan).nanmedian(0).values.nan_to_num(0.0)
    return dict(zip(cells.names, torch.stack((usual, middle), 1).tolist(), strict=True))


def slopes(fitted: Fitted, x: Tensor) -> Tensor:
    """log |d encoded / d value| of every number, [rows, columns], nats: what brings log-densities to the data's own units."""
    found = None if fitted.modality is None else fitted.modality.log_slope(x)
    return torch.zeros(x.shape, dtype=torch.float64) if found is None else found.double().cpu()


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
    """The reasons of the rows of a chunk."""
    excess = _excess(cells, -found.log_prob - slopes(fitted, x), x.cpu(), usual)
    order = excess.argsort(dim=1, descending=True, stable=True)[:, :most]
    top = excess.gather(1, order)
    wanted = (top >= LEAST) & (top >= SHARE * top[:, :1])
    wanted[:, 0] = True
    told: list[dict[int, Reason]] = [{} for _ in x]
    for column in order[wanted].unique().tolist():
        index = (wanted & (order == column)).any(1).nonzero().flatten().tolist()
        for row, words in zip(index, _expected(fitted, cells, found, column, index), strict=True):
            told[row][column] = _reason(cells, column, float(x[row, column]), float(excess[row, column]), words)
    return [
        [own[column] for column in columns if column in own] for own, columns in zip(told, order.tolist(), strict=True)
    ]


def _excess(cells: _Cells, costs: Tensor, x: Tensor, usual: Tensor) -> Tensor:
    """Nats above the usual, [rows, columns]. A gap in a column that never had one costs what so rare an event would."""
    missing = torch.isnan(x)
    excess = (costs - usual).masked_fill(missing, -math.inf)
    for place, column in enumerate(cells.columns):
        if column.name not in cells.gappy and cells.learned:
            excess[missing[:, place], place] = math.log(cells.learned + 1)
    return excess


def _expected(
    fitted: Fitted, cells: _Cells, found: LeftOut, place: int, index: list[int]
) -> list[tuple[str, tuple[str, ...]]]:
    """Of a column what was expected in some rows of a chunk, and the columns that say so."""
    words: list[tuple[str, tuple[str, ...]]] = []
    for part, rows in found.closer(place, index):
        conditional = part.conditional(place)
        if place >= len(cells.columns):
            expected = [presence(chance) for chance in conditional.probabilities(place)[:, 1].tolist()]
        else:
            column = cells.columns[place]
            expected = expectations(column, estimated(conditional, column, place, fitted.calibration))
        for row, far in zip(rows, part.moved(place, rows), strict=True):
            order = far.argsort(descending=True, stable=True)[:GIVEN].tolist()
            words.append((expected[row], tuple(cells.told(each) for each in order if float(far[each]) >= MOVES)))
    return words


def _reason(cells: _Cells, place: int, x: float, nats: float, words: tuple[str, tuple[str, ...]]) -> Reason:
    expected, given = words
    if place >= len(cells.columns):
        name, step = cells.parted(cells.columns[cells.indicates[place - len(cells.columns)]].name)
        return Reason(name, nats, "is missing" if x >= 1 else "is there", expected, given, step=step)
    column = cells.columns[place]
    name, step = cells.parted(column.name)
    if np.isnan(x):
        return Reason(name, nats, "is missing", f"there, as in all {cells.learned:,} rows of training", step=step)
    return Reason(name, nats, cell(column, x), expected, given, joint(column), step)


def at(step: int | None) -> str:
    """A step of a window in words."""
    if not step:
        return ""
    return f" at {-step:,} step{'s' * (step < -1)} before"
