"""map_codes: rows in a plane by their codes, with their pictures, what is known of them, and the decoder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.errors import UsageError, nearest
from lambent.fitted import Fitted, Rows
from lambent.model import ask_encoder
from lambent.tasks.explore import encode
from lambent.tasks.map.columns import Column, known_of, scores_of
from lambent.tasks.map.layouts import LAYOUTS, Placed
from lambent.tasks.map.walker import Walker, walker_of

SAMPLES = 8  # of each row's bound
PICTURES = 5000
SIDE = 48  # pixels of a small picture
PIXELS = 12_000_000  # of all small pictures together
NUMBERS = 8_000_000  # of all codes, as a page has them

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class CodeMap:
    """Rows as points, and all that a page tells of them.

    placed: where they lie. rows: the number of each in its data. columns: what is known of each; values: those that the data
    themselves are made of, of a table. pictures: small ones, bytes [few, H, W(, 3)], and `pictured`, the rows that they are of.
    codes: what the decoder reads, [rows, units + width of the context]; walker: that decoder. Where there is none `why` says so.
    notes: what was left out, in sentences.
    """

    placed: Placed
    rows: NDArray[np.int64]
    columns: list[Column]
    values: list[Column]
    pictures: Bytes | None
    pictured: NDArray[np.int64]
    codes: NDArray[np.float32] | None
    walker: Walker | None
    why: str
    notes: list[str] = field(default_factory=list)
    units: int = 0


def map_codes(
    fitted: Any,
    raw: Any,
    layout: str = "pca",
    samples: int = SAMPLES,
    pictures: int = PICTURES,
    given: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> CodeMap:
    """Rows in a plane by the posterior means of their codes, for `lambent.report.write_map`.

    raw: rows as `Fitted.rows` takes them; given: values of conditions for all of them. layout: pca, tsne or umap. samples: K of
    the bound that each row has, in nats. pictures: how many rows keep a small picture, drawn evenly; the decoder, where a page
    can carry it, shows the others.
    Errors: `UsageError` for an unknown layout, or a model without an encoder; `MachineError` where umap is not installed; those
    of `Fitted.rows`.
    """
    fitted = Fitted.of(fitted)
    if layout not in LAYOUTS:
        raise UsageError(f"no layout is called {layout!r}; {nearest(layout, LAYOUTS)}")
    ask_encoder(fitted.model)
    taken = fitted.rows(raw, seed, given)
    levels = encode(fitted, taken.x, taken.context)
    codes = torch.cat([level.flatten(1) for level in levels], 1)
    placed = LAYOUTS[layout](codes, seed)
    beside, values, note = known_of(fitted, taken)
    small, pictured = _small(fitted, taken, pictures)
    walker, why = _walker(fitted, levels, taken.context)
    read = _read(codes, taken.context) if walker else None
    notes = [note] if note else []
    if walker and read is None:
        notes.append(f"The codes of {len(codes):,} rows of {codes.shape[1]} units are too many to be set by a click.")
    if small is not None and len(pictured) < len(taken):
        rest = (
            "the others show what the decoder makes of their codes" if read is not None else "the others have none here"
        )
        notes.append(f"{len(pictured):,} of {len(taken):,} rows have their own small picture; {rest}.")
    encoded = taken.encoded
    numbers = None if encoded is None or encoded.numbers is None else np.asarray(encoded.numbers)
    return CodeMap(
        placed,
        np.arange(len(taken)) if numbers is None else numbers[: len(taken)].astype(np.int64),
        [*beside, *scores_of(fitted, taken, samples, seed)],
        values,
        small,
        pictured,
        read,
        walker,
        why,
        notes,
        codes.shape[1],
    )


def _read(codes: Tensor, context: Tensor | None) -> NDArray[np.float32] | None:
    """What the decoder reads of each row, or None where that is too much for a page."""
    whole = codes if context is None else torch.cat((codes, context.to(codes)), 1)
    return whole.float().numpy() if whole.numel() <= NUMBERS else None


def _walker(fitted: Fitted, levels: list[Tensor], context: Tensor | None) -> tuple[Walker | None, str]:
    try:
        return walker_of(fitted, levels[0].flatten(1), context), ""
    except UsageError as error:
        return None, f"The decoder does not run in this page: {error}."


def _small(fitted: Fitted, taken: Rows, most: int) -> tuple[Bytes | None, NDArray[np.int64]]:
    """Small pictures of rows at even distances, no side above SIDE, and the places of these rows."""
    none = np.zeros(0, np.int64)
    if not most or (first := fitted.pictures(taken.x[:1])) is None:
        return None, none
    high, wide = first.shape[1:3]
    shrunk = min(1.0, SIDE / max(high, wide))
    size = (max(1, round(high * shrunk)), max(1, round(wide * shrunk)))
    count = min(len(taken), most, max(1, PIXELS // (size[0] * size[1])))
    places = np.unique(np.linspace(0, len(taken) - 1, count).round().astype(np.int64))
    pieces = []
    for part in np.array_split(places, max(1, len(places) // 500)):
        found = np.asarray(fitted.pictures(taken.x[torch.from_numpy(part)]))
        pieces.append(found if shrunk == 1 else _shrunk(found, size))
    return np.concatenate(pieces), places


def _shrunk(pictures: Bytes, size: tuple[int, int]) -> Bytes:
    x = torch.from_numpy(pictures).float()
    x = x.unsqueeze(1) if x.dim() == 3 else x.movedim(-1, 1)
    smaller = torch.nn.functional.interpolate(x, size, mode="area").round().to(torch.uint8)
    made: Bytes = (smaller[:, 0] if pictures.ndim == 3 else smaller.movedim(1, -1)).numpy()
    return made
