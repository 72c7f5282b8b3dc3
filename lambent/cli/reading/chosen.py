"""Chosen: the settings that a preset chose, as the flags that would say the same."""

import shlex
from collections.abc import Iterator
from typing import Any

from lambent.cli.reading.trees import Tree


def flags_of(chosen: Tree, resolved: Tree) -> str:
    """The flags of what was chosen, with the values that it has now; not of parts and fields that were replaced since.

    chosen: a tree of sections, of the loop in "fit"; resolved: the same sections in full.
    """
    words: list[str] = []
    for section, fields in chosen.items():
        for path, value in _leaves(fields, resolved.get(section, {}), section):
            flag = path.removeprefix("fit.").replace("_", "-").removesuffix(".type")
            words += [f"--{flag}", shlex.quote(_typed(value))]
    return " ".join(words)


def _leaves(chosen: Any, resolved: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The path and the present value of each field that was chosen."""
    if not isinstance(chosen, dict):
        yield path, resolved
        return
    if not isinstance(resolved, dict) or chosen.get("type") not in (None, resolved.get("type")):
        return
    for name, value in chosen.items():
        if name in resolved:
            yield from _leaves(value, resolved[name], f"{path}.{name}")


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_typed, value)) if isinstance(value, (list, tuple)) else str(value)
