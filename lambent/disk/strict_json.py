"""Strict JSON: plain data from text that a stranger may have written. Every file of JSON is read by this one function."""

import json
import math
from collections.abc import Callable
from typing import Any


def parsed(text: str, *, deepest: int | None = None, finite: bool = True) -> Any:
    """The value of a JSON text in which no key stands twice.

    deepest: how deep containers may be nested; by default as deep as Python's own reader follows.
    finite: refuse NaN, infinities and numbers beyond any that a machine holds; a history of losses may hold them.
    Raises ValueError of one line.
    """
    number: Callable[[str], float] = _finite if finite else float
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=number, parse_float=number)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: no JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError("nested deeper than can be read" if deepest is None else _too_deep(deepest)) from None
    if deepest is not None and _depth(value) > deepest:
        raise ValueError(_too_deep(deepest))
    return value


def _too_deep(deepest: int) -> str:
    return f"nested more than {deepest} deep"


def _finite(word: str) -> float:
    if not math.isfinite(number := float(word)):
        raise ValueError(f"{word[:40]} is not a finite number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:80]!r} stands there twice")
        found[name] = value
    return found


def _depth(value: Any) -> int:
    """How deep containers are nested; counted level by level, without recursion."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, (dict, list))]:
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return depth
