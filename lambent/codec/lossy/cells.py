"""Whole numbers by the mass of their cells: tables of quanta for normals of every width, and for a Factorized prior."""

from functools import lru_cache

import numpy as np
from torch import Tensor

from lambent.codec.exact import elementary
from lambent.codec.stack import WHOLE, Numbers
from lambent.codec.symbols import Symbols
from lambent.model.priors import Factorized

MOST = 1023  # codes are whole numbers from −MOST to MOST
SCALES = 16  # tables of normals in a unit of log σ: the nearest costs 0.0005 bits at most
NARROWEST, WIDEST = -5 * SCALES, 10 * SCALES  # log σ in such steps
FRACTION = 12  # bits behind the point of a log scale
BUCKETS = 12  # bits of a slot by which a value is looked up first


class Cells(Symbols):
    """Values −MOST … MOST of variables that share tables of quanta; rows: which table is whose, [count]."""

    def __init__(self, table: "Table", rows: Numbers) -> None:
        self.table, self.count = table, len(rows)
        self.starts = rows * table.starts.shape[1] + MOST  # of the value 0
        self.guesses = rows << BUCKETS

    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        places = self.starts + values
        start = self.table.flat[places]
        return start, self.table.flat[places + 1] - start

    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        """From the least value of the slot's bucket on, upwards."""
        starts, flat = self.starts[where], self.table.flat
        places = starts + self.table.guesses[self.guesses[where] + (slots >> (WHOLE.bit_length() - 1 - BUCKETS))]
        end = flat[places + 1]
        while True:
            past = np.flatnonzero(slots >= end)
            if not len(past):
                break
            places[past] += 1
            end[past] = flat[places[past] + 1]
        start = flat[places]
        return places - starts, start, end - start


class Table:
    """starts: quanta below each value and below all, [tables, 2 MOST + 2], rising from 0 to 2^24."""

    def __init__(self, below: np.ndarray) -> None:
        """below: the cumulative distribution at the edges between values, [tables, 2 MOST]. Each value has one quantum beside."""
        count = 2 * MOST + 1
        starts = np.zeros((len(below), count + 1), np.int64)
        starts[:, 1:-1] = np.maximum.accumulate(np.floor(below * (WHOLE - count)).astype(np.int64), 1)
        starts[:, -1] = WHOLE - count
        self.starts = starts + np.arange(count + 1)
        self.flat = self.starts.reshape(-1)
        buckets = np.arange(1 << BUCKETS) << (WHOLE.bit_length() - 1 - BUCKETS)
        found = [np.searchsorted(row, buckets, "right") - 1 - MOST for row in self.starts]
        self.guesses = np.concatenate(found)


def edges() -> np.ndarray:
    """Where the cells of −MOST … MOST meet."""
    return np.arange(-MOST, MOST) + 0.5


@lru_cache(1)
def normals() -> Table:
    """Of N(0, σ²), the log scales from NARROWEST to WIDEST."""
    scales = elementary.exp(np.arange(NARROWEST, WIDEST + 1) / SCALES)
    return Table(elementary.normal_cdf(edges() / scales[:, None]))


def normal_cells(log_scale: Numbers, log_step: int) -> Cells:
    """Whole steps from the centres of normals; log scales and the step's logarithm in 2^-12."""
    bits = FRACTION - SCALES.bit_length() + 1
    places = (log_scale - log_step + (1 << (bits - 1))) >> bits
    return Cells(normals(), np.minimum(np.maximum(places, NARROWEST), WIDEST) - NARROWEST)


def factorized_table(prior: Factorized) -> Table:
    """Of the units of a prior, one table for each channel: a pure function of its weights."""
    logits, location, log_scale = (_reals(each) for each in (prior.logits, prior.location, prior.log_scale))
    weights = [elementary.exp(row - logits.max(0)) for row in logits]
    total, below = np.zeros(logits.shape[1]), np.zeros((logits.shape[1], 2 * MOST))
    for weight in weights:
        total = total + weight
    for weight, middle, width in zip(weights, location, log_scale, strict=True):
        inverse = elementary.exp(-np.minimum(np.maximum(width, -9.0), 7.0))
        share = (weight / total)[:, None]
        below = below + share * elementary.sigmoid((edges() - middle[:, None]) * inverse[:, None])
    return Table(np.minimum(below, 1.0))


def _reals(parameter: Tensor) -> np.ndarray:
    return np.asarray(parameter.detach().cpu().double().numpy())
