"""overlay: a picture, and beside it the same with its heat-map over it and boxes about the regions that stand out; as PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.disk.whole import write_whole
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.tasks.detection.heat import Heatmap, Usual, heatmaps, peak

# Inferno, whose lightness rises evenly, at every eighth: Smith and van der Walt, 2015.
INFERNO = np.array([
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10), (249, 201, 50),
    (252, 255, 164),
], np.float64)  # fmt: skip
LEAST = 256  # pixels of the shorter side as shown, at least
OPAQUE = 0.75  # of the hottest
GAP = 4  # pixels between the two
FRAME = np.array((0, 229, 255), np.uint8)  # a colour that the map does not have
Picture = NDArray[np.uint8]


def overlay(picture: Picture, heatmap: Heatmap, hottest: float) -> Picture:
    """The picture [H, W] or [H, W, 3], and beside it the same under its heat, [h, 2 w + 4, 3]; what costs no more is clear."""
    plain = np.repeat(picture[..., None], 3, -1) if picture.ndim == 2 else picture
    factor = max(1, -(-LEAST // min(plain.shape[:2])))
    shares = np.clip(heatmap.heat / hottest, 0, 1) if hottest > 0 else np.zeros_like(heatmap.heat)
    alpha = OPAQUE * np.sqrt(shares)[..., None]
    under = _enlarged(np.rint((1 - alpha) * plain + alpha * coloured(shares)).astype(np.uint8), factor)
    for box in heatmap.boxes:
        _framed(under, box.top * factor, box.left * factor, box.height * factor, box.width * factor)
    apart = np.full((under.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate((_enlarged(plain, factor), apart, under), 1)


def coloured(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of 1 as colours of inferno, [..., 3], 0 to 255."""
    at = np.clip(shares, 0, 1) * (len(INFERNO) - 1)
    return np.stack([np.interp(at, np.arange(len(INFERNO)), channel) for channel in INFERNO.T], -1)


def saved_heatmaps(
    fitted: Fitted,
    rows: Rows,
    index: Sequence[int] | Tensor,
    folder: str | Path,
    names: Sequence[str] | None = None,
    usual: Usual | None = None,
) -> list[Path]:
    """Some of the pictures, by number, with their heat-maps, as files FOLDER/NAME.png, each written whole; their paths.

    names: one for each, such as the file that it came from; None: its number. All share one scale of colours.
    """
    chosen = torch.as_tensor(index, dtype=torch.long)
    pictures = fitted.pictures(rows.x[chosen]) if len(chosen) else np.empty(0, np.uint8)
    if pictures is None:
        raise UsageError("heat-maps are for pictures, and this model's rows are none")
    maps = heatmaps(fitted, rows, chosen, usual) if len(chosen) else []
    hottest = peak(maps)
    named = [f"{number:06d}" for number in chosen.tolist()] if names is None else list(names)
    return [
        written(Path(folder) / f"{name}.png", overlay(picture, heatmap, hottest))
        for name, picture, heatmap in zip(named, pictures, maps, strict=True)
    ]


def written(path: Path, picture: Picture) -> Path:
    """A picture as a PNG file, whole or not at all."""
    from PIL import Image

    return write_whole(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))


def _enlarged(picture: Picture, factor: int) -> Picture:
    return np.repeat(np.repeat(picture, factor, 0), factor, 1)


def _framed(picture: Picture, top: int, left: int, height: int, width: int) -> None:
    """Draw the outline of a box, two pixels wide."""
    bottom, right = top + height, left + width
    for rows, columns in (
        (slice(top, top + 2), slice(left, right)),
        (slice(bottom - 2, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + 2)),
        (slice(top, bottom), slice(right - 2, right)),
    ):
        picture[rows, columns] = FRAME
