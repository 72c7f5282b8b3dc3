"""Looking things up in a nested specification, and numbers that may not be numbers."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def settings(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of a nested specification, outermost first."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield str(key), value
        for value in tree.values():
            yield from settings(value)
    elif isinstance(tree, Sequence) and not isinstance(tree, str | bytes):
        for value in tree:
            yield from settings(value)


def number(tree: Any, *names: str) -> float | None:
    """The first number stored under one of `names` in a nested specification."""
    found = (finite(value) for key, value in settings(tree) if key in names and not isinstance(value, bool))
    return next((value for value in found if value is not None), None)


def kind(tree: Any, family: str) -> str:
    """The type of the part stored under `family` ('posterior', 'prior', …), or the empty string."""
    for key, value in settings(tree):
        if key == family:
            return str(value.get("type", "")) if isinstance(value, Mapping) else str(value)
    return ""


def finite(value: object) -> float | None:
    """`value` as a finite float, or None for anything else."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def last(values: Iterable[float | None]) -> float | None:
    """The last value that is present, or None."""
    return next((v for v in reversed(list(values)) if v is not None), None)
