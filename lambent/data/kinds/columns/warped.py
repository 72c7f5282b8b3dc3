"""Warped: a column of numbers brought near a Gaussian by a monotone map, for likelihoods of single numbers."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from lambent.data.kinds.columns.base import Column, Intervals
from lambent.data.kinds.columns.binning import grid, rounded, standing_out
from lambent.data.kinds.columns.cells import Form, cells, read_as, read_word, typed
from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.kinds.columns.tally import Tally
from lambent.data.kinds.columns.warps import Warp, WarpName, fitted_warp, made
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import DataError, UsageError
from lambent.part import Spec

DAY = 86400.0
OFF = 1e-6  # steps that a value may lie beside the grid
Leaf = Literal["density", "whole", "counts"]


@dataclass
class Warped(Column):
    """Numbers, dates and durations: x = (T(value) − centre) / scale, T none, the logarithm, or from quantiles to normal scores.

    Which T, and whether whole numbers are better held as such, was chosen by the log-likelihood of values held out, T's slope
    counted. spikes: values far more frequent than their neighbours, each a probability of its own beside the density.

    leaf: what the encoded values are: of a density, whole (on a grid, as exact probabilities), or counts. step: of the grid of
    values, 0 for none; unit: seconds in one number of a time; knots: of T, by its own.
    """

    tag: ClassVar[str] = "warped"
    name: str
    kind: str
    why: str
    form: Form
    leaf: Leaf
    warp: WarpName
    knots: list[float]
    centre: float
    scale: float
    step: float = 0.0
    unit: float = 1.0
    spikes: list[float] = field(default_factory=list)
    declared: Declared = Declared("Float64")

    def __post_init__(self) -> None:
        self._warp: Warp = made(self.warp, self.knots)
        self._spikes = np.array(self.spikes, np.float64)
        self._at = self._encoded(self._spikes)

    @classmethod
    def learned(cls, tally: Tally, kind: str, why: str) -> "Warped":
        """The map, the grid and the spikes of a column that was tallied."""
        assert tally.form is not None
        unit, values = 1.0, tally.values
        step = 0.0
        if tally.form == "number":
            step = grid(values, tally.single)
        elif tally.form == "datetime" and bool((np.fmod(values, DAY) == 0).all()):
            unit, step, values = DAY, 1.0, values / DAY
        spikes = values[standing_out(values, tally.counts)].tolist()
        found = fitted_warp(values, tally.counts, spikes, step, kind)
        why = f"{why}; {found.why}"
        return cls(
            tally.name, kind, why, tally.form, found.leaf, found.warp, found.knots, found.centre, found.scale,
            step, unit, spikes if found.leaf == "density" else [], tally.declared,
        )  # fmt: skip

    @property
    def width(self) -> int:
        return 1

    @property
    def likelihood(self) -> Spec:
        if self.leaf == "counts":
            return {"type": "NegativeBinomial"}
        if self.leaf == "whole":
            return {"type": "RoundedLogistic", "step": self.step / self.scale, "scale": "predicted"}
        rest: Spec = {"type": "StudentT", "scale": "predicted"}
        return {"type": "Hurdle", "rest": rest, "spikes": [float(x) for x in self._at]} if self.spikes else rest

    @property
    def use(self) -> str:
        words = {
            "density": {"none": "scaled", "log": "its logarithm", "quantile": "quantiles to a Gaussian"}[self.warp],
            "whole": "whole numbers, scaled", "counts": "counts",
        }[self.leaf]  # fmt: skip
        return words + (
            f", and {len(self.spikes)} value{'s' * (len(self.spikes) > 1)} by themselves" if self.spikes else ""
        )

    def notice(self) -> str | None:
        return None

    def encode(self, table: Columns) -> np.ndarray:
        found = read_as(cells(table, self.name), self.form, table, self.name)
        values = found.values / self.unit
        if self.leaf == "counts" and (values < 0).any():
            row = int((values < 0).argmax())
            raise DataError(
                f"{table.cell(self.name, row)}: {values[row]:g} is no count, as all were that were learned from"
            )
        if self.leaf != "density":
            values = rounded(values, self.step)
        return self._encoded(values)[:, None]

    def _encoded(self, values: np.ndarray) -> np.ndarray:
        """Values in its own unit → encoded, float32."""
        x = ((self._warp.forward(values) - self.centre) / self.scale).astype(np.float32)
        for spike in self._spikes:  # each the same to the bit, however its value was written
            x[np.abs(values - spike) <= 1e-9 * max(abs(spike), self.step)] = self._one(spike)
        return x

    def _one(self, value: float) -> np.float32:
        return np.float32((float(self._warp.forward(np.array([value]))[0]) - self.centre) / self.scale)

    def values(self, x: np.ndarray) -> np.ndarray:
        """Encoded values [rows] → values in its own unit, on its grid."""
        single = x.astype(np.float32)
        values = rounded(self._warp.inverse(x.astype(np.float64) * self.scale + self.centre), self.step)
        for spike, at in zip(self._spikes, self._at, strict=True):
            values[single == at] = spike
        return values

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        return typed(self.values(x[:, 0]) * self.unit, self.form, self.declared)

    def log_slope(self, x: np.ndarray) -> np.ndarray:
        """Of a density log T′ − log scale; of a probability of a cell of the grid −log step; of a spike in a density 0."""
        missing = np.isnan(x)
        cell = -math.log(self.step) if self.step else 0.0
        if self.leaf != "density":
            return np.where(missing, 0.0, cell)
        values = self._warp.inverse(np.where(missing, 0.0, x).astype(np.float64) * self.scale + self.centre)
        slope = np.log(self._warp.slope(values)) - math.log(self.scale)
        at_spike = np.isin(x.astype(np.float32), self._at)
        return np.where(missing, 0.0, np.where(at_spike, cell, slope))

    def intervals(self, restriction: Restriction) -> Intervals:
        read = [read_word(text, self.form) for text in restriction.values]
        if any(value is None for value in read):
            raise UsageError(
                f"column {self.name!r} is {self.kind}: {restriction} compares it with what is no {self.form}"
            )
        values = sorted(value / self.unit for value in read if value is not None)
        points = [self._cell(value) for value in values]
        if restriction.operator in ("=", "in"):
            return points
        if restriction.operator in ("!=", "not in"):
            ends = [-math.inf, *(end for pair in points for end in pair), math.inf]
            return list(zip(ends[::2], ends[1::2], strict=True))
        low, high = self._sides(values[0])
        return {
            "<": [(-math.inf, low)], "<=": [(-math.inf, high)], ">": [(high, math.inf)], ">=": [(low, math.inf)],
        }[restriction.operator]  # fmt: skip

    def _cell(self, value: float) -> tuple[float, float]:
        """The cell of the grid about a value, encoded; without a grid, beside it, or at a spike, the least interval."""
        x = self._one(value)
        beside = self.step > 0 and abs(value / self.step - round(value / self.step)) > OFF
        if not self.step or beside or np.isin(x, self._at):
            return float(x), float(np.nextafter(x, np.float32(np.inf)))
        return float(self._one(value - self.step / 2)), float(self._one(value + self.step / 2))

    def _sides(self, value: float) -> tuple[float, float]:
        """Where what is below a value ends, and where what is above begins, encoded: on a grid half a step beside its points."""
        if not self.step:
            return self._cell(value)
        below, above = math.ceil(value / self.step - OFF) - 0.5, math.floor(value / self.step + OFF) + 0.5
        return float(self._one(below * self.step)), float(self._one(above * self.step))
