"""Single values of what conditions a model: what is missing, what is a number, what a level is called."""

import math
from typing import Any

import numpy as np
from torch import Tensor

from lambent.errors import DataError, UsageError


def level_of(value: Any) -> str:
    """A value as the name of a level: 3, 3.0 and "3" are one."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: nothing, NaN, or text of blanks alone."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value))


def single(name: str, value: Any) -> Any:
    """A value that holds for all rows, as a plain one; `UsageError` for several."""
    if np.ndim(value):
        raise UsageError(f"condition {name!r} is given one value for all rows, not {np.size(value):,}")
    return value.item() if isinstance(value, Tensor) else value


def as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Values [rows] of a condition as float64; `DataError` names one that is no finite number."""
    try:
        numbers = np.array([float(value) for value in values], np.float64)
    except (TypeError, ValueError):
        bad = next(value for value in values if not is_number(value))
        raise DataError(f"condition {name!r} takes numbers, and {str(bad)[:40]!r} is none") from None
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"condition {name!r}, row {row + 1}: is missing or not finite")
    return numbers


def is_number(value: Any) -> bool:
    """Whether it reads as a number."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def numeric_first(level: str) -> tuple[int, float, str]:
    """What sorts levels: numbers by their size, before text."""
    return (0, float(level), level) if is_number(level) and math.isfinite(float(level)) else (1, 0.0, level)
