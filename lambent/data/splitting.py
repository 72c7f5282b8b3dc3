"""Rows of encoded data: cut them, count what two sets share, drop what one repeats."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data.condition import is_missing
from lambent.data.kinds.modality import Encoded
from lambent.errors import DataError, UsageError

PIECE = 1 << 26  # bytes
LIMIT_LABELS = 100_000  # names, which the model file keeps


def digest(x: Tensor) -> str:
    """SHA-256 of a tensor's values in C order, little-endian, in hexadecimal."""
    told = hashlib.sha256()
    # A piece at a time: windows of a series share their memory, and as a whole would be many times as large.
    for piece in x.detach().split(max(1, PIECE // max(1, x[:1].nbytes))) if x.dim() else (x.detach(),):
        values = piece.cpu().contiguous().numpy()
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        told.update(little.reshape(-1).view(np.uint8).data)
    return told.hexdigest()


def take(encoded: Encoded, index: np.ndarray, **facts: object) -> Encoded:
    """The rows at `index`, with all that lies beside them; `facts` are added to the source."""
    x = encoded.x[torch.from_numpy(np.asarray(index, np.int64))]
    source = encoded.source | facts | {"rows": len(x), "sha256": digest(x)}
    labels = None if encoded.labels is None else encoded.labels[index]
    factors = None if encoded.factors is None else encoded.factors[index]
    beside = {name: values[index] for name, values in encoded.beside.items()}
    context = None if encoded.context is None else encoded.context[torch.from_numpy(np.asarray(index, np.int64))]
    files = None if encoded.files is None else [encoded.files[i] for i in index]
    own = np.asarray(index) if encoded.numbers is None else encoded.numbers[index]
    names = None if encoded.names is None else encoded.names[index]
    return replace(
        encoded,
        x=x,
        labels=labels,
        factors=factors,
        source=source,
        beside=beside,
        context=context,
        files=files,
        numbers=own,
        names=names,
        lines=None if encoded.lines is None else encoded.lines[index],
        uncut=None if encoded.uncut is None else encoded.uncut[np.asarray(index, np.int64)],
    )


def split(encoded: Encoded, fraction: float = 0.1, seed: int = 0) -> tuple[Encoded, Encoded]:
    """Two disjoint sets: 1 − fraction of the rows and fraction of them, drawn by the seed, each in its first order.

    Of windows of a series the last ones are held out, and those that share rows with them left out.

    Raises `UsageError` unless 0 < fraction < 1, `DataError` if either part would be empty.
    """
    kept, held = cut(len(encoded), fraction, seed, encoded.modality.ordered)
    return take(encoded, kept.index, part=kept.facts), take(encoded, held.index, part=held.facts)


@dataclass(frozen=True)
class Side:
    """One side of a cut: which rows, in their first order, and the record of it."""

    index: np.ndarray
    facts: dict[str, Any]


def cut(rows: int, fraction: float, seed: int = 0, ordered: int = 0) -> tuple[Side, Side]:
    """The rows that are kept and those that are held out; errors as for `split`.

    ordered: not 0 for rows that stand in order, of which the last ones are held out; where each reaches over so many of what it
    was made of, those between that share any with both sides are left out.
    """
    return _cut(Side(np.arange(rows), {}), fraction, seed, ordered)


def sides(rows: int, fractions: float | tuple[float, ...], seed: int = 0, ordered: int = 0) -> list[Side]:
    """The rows that are kept, then those that are held out for each fraction, of what the one before has left.

    ordered: as of `cut`. Numbers take four bytes a row where they can, for there may be very many rows. Errors as for `split`.
    """
    kept = Side(np.arange(rows, dtype=np.int32 if rows < 2**31 else np.int64), {})
    held = []
    for fraction in (fractions,) if isinstance(fractions, (int, float)) else fractions:
        kept, out = _cut(kept, fraction, seed, ordered)
        held.append(out)
    return [kept, *held]


def _cut(whole: Side, fraction: float, seed: int, ordered: int = 0) -> tuple[Side, Side]:
    rows = len(whole.index)
    if not 0 < fraction < 1:
        raise UsageError(f"fraction must lie between 0 and 1, not {fraction}")
    if seed < 0:
        raise UsageError(f"seed must be at least 0, not {seed}")
    held = max(1, round(rows * fraction))
    if held >= rows:
        raise DataError(f"{rows} rows cannot be cut in two with a fraction of {fraction}; give more rows")
    facts = {"fraction": fraction, "seed": seed, "of": rows} | ({"within": whole.facts} if whole.facts else {})
    if ordered:
        if rows - held - (ordered - 1) < 1:
            raise DataError(f"{rows} rows, each over {ordered}, cannot be cut in two with a fraction of {fraction}")
        facts["ordered"] = ordered
        first, last = whole.index[: rows - held - (ordered - 1)], whole.index[rows - held :]
        return Side(first, facts | {"side": "kept"}), Side(last, facts | {"side": "held"})
    # The order of numbers of four bytes is the same as of eight.
    order = np.random.Generator(np.random.PCG64(seed)).permutation(np.arange(rows, dtype=whole.index.dtype))
    out = np.zeros(rows, bool)
    out[order[:held]] = True
    kept = Side(whole.index[~out], facts | {"side": "kept"})
    return kept, Side(whole.index[out], facts | {"side": "held"})


def numbers(part: dict[str, Any] | None) -> np.ndarray | None:
    """The numbers of a part's rows in the data that it was cut from; None of what was not cut, or by an older version."""
    if not part or "of" not in part:
        return None
    kept, held = cut(part["of"], part["fraction"], part["seed"], part.get("ordered", 0))
    own = (kept if part["side"] == "kept" else held).index
    outer = numbers(part.get("within"))
    return own if outer is None else outer[own]


def overlap(a: Encoded | Tensor, b: Encoded | Tensor) -> int:
    """How many rows of `b` also occur, byte for byte, in `a`: a test set should share none with its training set."""
    first, second = (v.x if isinstance(v, Encoded) else v for v in (a, b))
    if first.shape[1:] != second.shape[1:] or first.dtype != second.dtype:
        return 0
    known = set(row_hashes(first))
    return sum(h in known for h in row_hashes(second))


def distinct(encoded: Encoded) -> Encoded:
    """Each distinct row once, at its first place; drop repeats before you split, or they leak into the test set."""
    first: dict[bytes, int] = {}
    for row, key in enumerate(row_hashes(encoded.x)):
        first.setdefault(key, row)
    return take(encoded, np.fromiter(first.values(), np.int64, len(first)), repeats_dropped=len(encoded) - len(first))


def row_hashes(x: Tensor) -> list[bytes]:
    """A digest of each row's content, 16 bytes."""
    found = []
    for piece in x.detach().split(max(1, PIECE // max(1, x[:1].nbytes))):
        values = piece.cpu().contiguous().numpy()
        if values.dtype.kind == "f":
            values = values + 0.0  # −0.0 and 0.0 are one value
        rows = values.reshape(len(values), -1).view(np.uint8)
        found += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
    return found


def as_labels(values: np.ndarray, known: list[str] | None = None) -> tuple[np.ndarray | None, list[str] | None]:
    """Raw labels → (int64 codes or the integers themselves, names of the codes if they were text).

    `known` names keep their codes, new ones follow; a label that is missing has the empty name.
    A matrix of labels (several per row) gives (None, None).
    """
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        return None, None
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind in "biu":
        return values.astype(np.int64), None
    text = np.array(["" if is_missing(v) else str(v) for v in values], dtype=object)
    names = list(known or [])
    new = set(text) - set(names)
    if len(names) + len(new) > LIMIT_LABELS:
        found = len(names) + len(new)
        raise DataError(f"{found:,} different labels; at most {LIMIT_LABELS:,} are taken. Are they identifiers?")
    names += sorted(new)
    code = {name: i for i, name in enumerate(names)}
    return np.array([code[t] for t in text], np.int64), names
