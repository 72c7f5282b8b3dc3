"""Factors: what is known of how rows came to be, as classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lambent.errors import DataError, UsageError

Numbers = NDArray[np.float64]
Classes = NDArray[np.int64]

FEWEST = 50  # rows that anything is measured on
MOST_CLASSES = 100  # values of an ordered factor that are kept as they are
BANDS = 20  # of equal frequency, in the place of more


@dataclass(frozen=True)
class Factors:
    """Known factors of rows. names: [K]. classes: [rows, K], numbers from 0, of ordered factors in the order of their values.

    values: [rows, K], the numbers of ordered factors, the classes of others. ordered: [K], whether a factor is a number or a
    name. left_out: factors of a single value in these rows, of which nothing can be told. banded: those cut into bands.
    """

    names: tuple[str, ...]
    classes: Classes
    values: Numbers
    ordered: tuple[bool, ...]
    left_out: tuple[str, ...] = ()
    banded: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def of(cls, columns: Mapping[str, Any], names: tuple[str, ...] = ()) -> Self:
        """Factors from columns by name, each [rows]; numbers are ordered, unless `names` says that they only name.

        An ordered factor of more than 100 values is cut into 20 bands of equal frequency.
        Errors: `DataError` for columns of different lengths or with gaps, `UsageError` where no factor has two values.
        """
        every = {name: np.asarray(values) for name, values in columns.items()}
        counts = {len(values) for values in every.values()}
        if len(counts) > 1 or any(values.ndim != 1 for values in every.values()):
            raise DataError(
                f"factors are columns of one length; these are {[values.shape for values in every.values()]}"
            )
        names_of: list[str] = []
        all_classes: list[Classes] = []
        all_values: list[Numbers] = []
        kinds: list[bool] = []
        left_out, banded = [], []
        for name, values in every.items():
            ordered = values.dtype.kind in "iuf" and name not in names
            classes, numbers = _classed(name, values, ordered)
            if len(np.unique(classes)) < 2:
                left_out.append(name)
                continue
            if ordered and classes.max() >= MOST_CLASSES:
                classes = _bands(numbers)
                banded.append(name)
            names_of.append(name)
            all_classes.append(classes)
            all_values.append(numbers)
            kinds.append(ordered)
        if not names_of:
            raise UsageError(
                f"no factor of these rows has two values ({', '.join(every) or 'none is given'}): there is nothing to keep apart"
            )
        return cls(
            tuple(names_of),
            np.stack(all_classes, 1),
            np.stack(all_values, 1),
            tuple(kinds),
            tuple(left_out),
            tuple(banded),
        )

    def at(self, index: NDArray[np.int64]) -> Self:
        """The factors of some of the rows; those of a single value there are left out."""
        columns = {name: self.values[index, k] for k, name in enumerate(self.names)}
        found = type(self).of(columns, tuple(n for n, o in zip(self.names, self.ordered, strict=True) if not o))
        return type(self)(
            found.names, found.classes, found.values, found.ordered, self.left_out + found.left_out, found.banded
        )


def checked(codes: Numbers, factors: Factors) -> Numbers:
    """Codes [rows, units] in float64; `UsageError` for fewer than 50 rows, or for codes that are not of the factors' rows."""
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or not codes.shape[1] or len(codes) != len(factors):
        raise UsageError(
            f"codes are [rows, units], of {len(factors):,} rows as the factors are; these are {codes.shape}"
        )
    if len(codes) < FEWEST:
        raise UsageError(f"disentanglement is measured on {FEWEST} rows or more, not {len(codes)}")
    if not np.isfinite(codes).all():
        raise UsageError("codes hold numbers that are not finite")
    return codes


def gap(scores: Numbers) -> Numbers:
    """Of each column of [units, K] the greatest less the second, [K]; of a single unit the greatest itself."""
    ranked = np.sort(scores, axis=0)
    return np.asarray(ranked[-1] - ranked[-2]) if len(ranked) > 1 else ranked[-1]


def _classed(name: str, values: NDArray[Any], ordered: bool) -> tuple[Classes, Numbers]:
    """Classes, and numbers to stand for the values."""
    gaps = np.array([v is None or v != v for v in values.tolist()])
    if gaps.any():
        raise DataError(f"factor {name!r}: row {int(gaps.argmax())} has no value; leave such rows out")
    if values.dtype == object:
        values = values.astype(str)
    levels, classes = np.unique(values, return_inverse=True)
    classes = classes.astype(np.int64)
    return classes, (levels.astype(np.float64)[classes] if ordered else classes.astype(np.float64))


def _bands(numbers: Numbers) -> Classes:
    # By mean ranks, as by quantiles a value that nearly all rows have would leave a single band.
    bands = ((rankdata(numbers) - 0.5) * BANDS / len(numbers)).astype(np.int64)
    return np.unique(bands, return_inverse=True)[1].astype(np.int64)
