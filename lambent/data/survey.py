"""Survey: what raw rows are, before anything is learned from them; by dispatch on the form that a modality opens them in."""

from collections import Counter
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers.frames import Columns
from lambent.data.readers.pictures import Pictures
from lambent.data.readers.sounds import Sounds, look

KINDS = {
    "b": "true or false", "i": "whole number", "u": "whole number", "f": "number", "U": "text", "S": "text",
    "M": "date or time", "m": "duration",
}  # fmt: skip


@singledispatch
def surveyed(rows: Any) -> dict[str, Any]:
    """Facts about opened rows as plain JSON; a form that is not known here has none.

    Columns: {"columns": [{"name", "type", "least", "most", "gaps", "values"}, …]}, of which `values` counts the different ones.
    An array: {"array": {"type", "shape", "least", "most"}}. Pictures and sounds: {"files": {suffix: how many}}; of
    sounds {"sounds": {"seconds", "least", "most", "rates", "channels"}} too.
    """
    return {}


@surveyed.register
def _(rows: Columns) -> dict[str, Any]:
    return {"columns": [{"name": name, **_column(rows.values(name))} for name in rows.names]}


@surveyed.register
def _(rows: np.ndarray) -> dict[str, Any]:
    least, most = _range(rows)
    return {"array": {"type": str(rows.dtype), "shape": list(rows.shape), "least": least, "most": most}}


@surveyed.register
def _(rows: Pictures) -> dict[str, Any]:
    return {"files": _suffixes(rows.files)}


@surveyed.register
def _(rows: Sounds) -> dict[str, Any]:
    headers = [look(path) for path in dict.fromkeys(rows.files)]
    seconds = [header.seconds for header in headers]
    facts: dict[str, Any] = {"seconds": sum(seconds), "least": min(seconds), "most": max(seconds)}
    facts |= {"rates": sorted({h.rate for h in headers}), "channels": sorted({h.channels for h in headers})}
    return {"files": _suffixes(list(dict.fromkeys(rows.files))), "sounds": facts}


def _suffixes(files: list[Path]) -> dict[str, int]:
    return dict(sorted(Counter(path.suffix.lower() for path in files).items()))


def _column(values: np.ndarray) -> dict[str, Any]:
    """A column's type in words, its least and greatest finite number, how many cells are empty and how many values differ."""
    if values.dtype.kind == "O":
        present = [value for value in values if not _is_gap(value)]
        types = sorted({"text" if isinstance(value, str) else type(value).__name__ for value in present})
        facts = {"type": " or ".join(types) or "empty", "least": None, "most": None}
        return facts | {"gaps": len(values) - len(present), "values": len({str(value) for value in present})}
    moments = values.dtype.kind in "Mm"
    gaps = (
        np.isnat(values) if moments else np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    )
    least, most = _range(values)
    kind = KINDS.get(values.dtype.kind, str(values.dtype)) if not gaps.all() else "empty"
    different = len(np.unique(values[~gaps]))
    return {"type": kind, "least": least, "most": most, "gaps": int(gaps.sum()), "values": different}


def _is_gap(value: Any) -> bool:
    """Nothing, a NaN, or text of blanks alone: what an empty cell of CSV is in a column of text."""
    return value is None or (isinstance(value, str) and not value.strip()) or value != value


def _range(values: np.ndarray) -> tuple[Any, Any]:
    """The least and the greatest finite number or time, that as text; None where there is none."""
    if values.dtype.kind in "Mm":
        there = values[~np.isnat(values)].astype(f"{values.dtype.kind}8[s]")
        return (str(there.min()), str(there.max())) if there.size else (None, None)
    if values.dtype.kind not in "biuf":
        return None, None
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.reshape(-1)
    if not finite.size:
        return None, None
    return finite.min().item(), finite.max().item()
