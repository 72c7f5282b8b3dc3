"""impute: the gaps of a table filled, by the mean or the likeliest level or by draws, given all that is there."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.cells import cells
from lambent.data.kinds.columns.left_out import Constant
from lambent.data.kinds.table import Table
from lambent.data.readers.filling import filled
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import UsageError
from lambent.fitted import Calibration, Fitted
from lambent.model import ask_encoder
from lambent.seeds import stream
from lambent.tasks.conditional import SAMPLES, Conditional, conditionals
from lambent.tasks.estimates import LevelEstimate, as_typed, estimated
from lambent.tasks.partial import partly, table_of

MOST_DRAWS = 1000
Array = NDArray[Any]


@dataclass(frozen=True)
class Imputation:
    """What the gaps of a table may be.

    fills: the columns that had gaps, of all rows, with a value where a cell was missing: the mean, or the likeliest level;
    draws: the same by draws of all gaps of a row together, for each multiple imputation. beside: columns that say how sure the
    fills are. effective: how many codes of the K each row with gaps is worth, [rows with gaps]; gaps: cells that were missing;
    silent: rows of nothing but gaps, which got the prior's mean.
    """

    fills: dict[str, Typed]
    draws: list[dict[str, Typed]]
    beside: dict[str, Typed]
    rows: int
    gaps: int
    silent: int
    effective: Tensor
    opened: Columns = field(repr=False)

    def filled(self, raw: Any, draw: int | None = None) -> Any:
        """A copy of the data without the gaps, and all else to the bit as it was; draw: by which draw, none: by the mean."""
        fills = self.fills if draw is None else self.draws[draw]
        return filled(raw, self.opened, fills, self.beside if draw is None else {})


def impute(
    fitted: Any, data: Any, *, draws: int = 0, interval: float | None = None, samples: int = SAMPLES, seed: int = 0
) -> Any:
    """The data with their gaps filled by what the model makes of them, given all that is there; the rest to the bit as it was.

    A number is given its mean, a level the likeliest, as a mixture over K = `samples` codes weighed by importance.
    draws: instead so many completed copies, a list, in each of which the gaps of a row are drawn together: multiple imputation.
    interval: such as 0.9, for two more columns of every number that had gaps, NAME_low and NAME_high, between which it lies with
    that probability, and of every level NAME_probability. Where rows were held out in training, intervals reach as far as it took
    for that share of their cells, hidden at random (`calibrated`). Rows of nothing but gaps get the prior's mean.
    Mattei and Frellsen, MIWAE, 2019; Rubin, Multiple imputation for nonresponse in surveys, 1987.
    Errors: `UsageError` for a model that is not one of tables, or was trained without gaps.
    """
    found = imputed(fitted, data, draws=draws, interval=interval, samples=samples, seed=seed)
    return [found.filled(data, draw) for draw in range(draws)] if draws else found.filled(data)


def imputed(
    fitted: Any, data: Any, *, draws: int = 0, interval: float | None = None, samples: int = SAMPLES, seed: int = 0
) -> Imputation:
    """What the gaps may be, and how sure that is: see `impute`."""
    if not 0 <= draws <= MOST_DRAWS:
        raise UsageError(f"draws (of each gap) must lie in 0 … {MOST_DRAWS}, not {draws}")
    if interval is not None and not 0 < interval < 1:
        raise UsageError(f"interval must be a share between 0 and 1, such as 0.9, not {interval}")
    fitted = Fitted.of(fitted)
    table = table_of(fitted)
    ask_encoder(fitted.model)
    partial = partly(fitted, data, seed)
    assert partial.opened is not None
    columns, rows = table.encoding.modelled, partial.rows
    missing = torch.isnan(rows.x[:, : len(columns)])
    gappy = missing.any(1).nonzero().squeeze(1)
    work = _Work(columns, missing.numpy(), rows.x.double().numpy(), draws, interval, fitted.calibration)
    effective = torch.zeros(len(gappy), dtype=torch.float64)
    generator = torch.Generator(fitted.model.device).manual_seed(stream(seed, "completed rows"))
    for index, conditional in conditionals(fitted, rows.at(gappy), samples, seed, "filling in"):
        effective[index] = conditional.effective
        work.take(gappy[index].numpy(), conditional, generator)
    own = [place for place, column in enumerate(columns) if column.name not in partial.lacking]
    alike, gaps = _of_constants(table, partial.opened)
    return Imputation(
        work.fills(own) | alike,
        [work.drawn(own, draw) | alike for draw in range(draws)],
        work.beside(own),
        len(rows),
        int(missing[:, own].sum()) + gaps,
        int(missing.all(1).sum()),
        effective,
        partial.opened,
    )


def _of_constants(table: Table, opened: Columns) -> tuple[dict[str, Typed], int]:
    """Gaps of columns that held one value wherever they held any, filled with that; and how many they are."""
    found, gaps = {}, 0
    for column in table.columns:
        if isinstance(column, Constant) and column.name in opened:
            missing = cells(opened, column.name).missing
            if missing.any():
                found[column.name] = column.only(missing)
                gaps += int(missing.sum())
    return found, gaps


class _Work:
    """The gaps of all rows while they are being filled: encoded levels, numbers in their column's unit."""

    def __init__(
        self,
        columns: list[Column],
        missing: Array,
        x: Array,
        draws: int,
        interval: float | None,
        calibration: Calibration,
    ) -> None:
        self.columns = columns
        self.missing = missing
        self.interval = interval
        self.calibration = calibration
        self.values = np.full(missing.shape, np.nan)
        self.levels: set[int] = set()
        self.sure: dict[int, Array] = {}
        self.draws = [x.copy() for _ in range(draws)]

    def take(self, rows: Array, conditional: Conditional, generator: torch.Generator) -> None:
        """What a conditional says of the gaps in those of the rows."""
        for place in np.flatnonzero(self.missing[rows].any(0)).tolist():
            found = estimated(conditional, self.columns[place], place, self.calibration)
            if isinstance(found, LevelEstimate):
                self.levels.add(place)
                self._put(rows, place, found.encoded(), found.probabilities.max(1)[:, None])
            else:
                tail = (1 - (self.interval or 0)) / 2
                ends = [found.quantile(share) for share in (tail, 1 - tail)] if self.interval else [found.mean] * 2
                self._put(rows, place, found.mean, np.stack(ends, 1))
        for drawn in self.draws:
            drawn[rows] = conditional.drawn(generator)[0].double().numpy()

    def _put(self, rows: Array, place: int, values: Array, sure: Array) -> None:
        gone = self.missing[rows, place]
        self.values[rows[gone], place] = values[gone]
        kept = self.sure.setdefault(place, np.full((len(self.missing), sure.shape[1]), np.nan))
        kept[rows[gone]] = sure[gone]

    def fills(self, places: list[int]) -> dict[str, Typed]:
        """The columns that had gaps, with a value in these alone."""
        return {
            self.columns[place].name: self._typed(place, self.values[:, place])
            for place in places
            if self.missing[:, place].any()
        }

    def _typed(self, place: int, values: Array) -> Typed:
        column = self.columns[place]
        return column.decode(values[:, None]) if place in self.levels else as_typed(column, values)

    def drawn(self, places: list[int], draw: int) -> dict[str, Typed]:
        """The same for one of the draws."""
        found = {}
        for place in places:
            gone = self.missing[:, place]
            if gone.any():
                found[self.columns[place].name] = self.columns[place].decode(
                    np.where(gone, self.draws[draw][:, place], np.nan)[:, None]
                )
        return found

    def beside(self, places: list[int]) -> dict[str, Typed]:
        """The ends of the interval of each number that had gaps, and the probability of each level."""
        if self.interval is None:
            return {}
        found: dict[str, Typed] = {}
        for place in places:
            name, sure = self.columns[place].name, self.sure.get(place)
            if sure is None:
                continue
            if place in self.levels:
                found[f"{name}_probability"] = Typed(sure[:, 0], Declared("Float64"))
            else:
                for end, values in zip(("low", "high"), sure.T, strict=True):
                    found[f"{name}_{end}"] = self._typed(place, values)
        return found
