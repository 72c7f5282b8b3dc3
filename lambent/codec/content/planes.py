"""Planes: levels of pictures of any size as rows of a model of pictures, and back without loss."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.kinds.depth import spread
from lambent.data.kinds.image import Image
from lambent.errors import ArtifactError, UsageError
from lambent.fitted import Fitted
from lambent.model.likelihoods import Bernoulli, DiscretizedLogistics

Levels = NDArray[Any]


@dataclass(frozen=True)
class Planes:
    """How a model of pictures [C, H, W] with levels 0 … white, or of black and white, takes pictures of any size.

    A picture is cut into tiles of H × W, its last column and row repeated to fill the last ones. Bands that are as many as C go
    together; of others each goes alone where C is 1, and one goes thrice where C is 3.
    """

    channels: int
    height: int
    width: int
    white: int = 255
    binary: bool = False

    @classmethod
    def of(cls, fitted: Fitted) -> Self:
        """Of a model of pictures; `UsageError` for others."""
        event, modality, likelihood = fitted.model.event_shape, fitted.modality, fitted.model.likelihood
        if len(event) != 3 or not (modality is None or isinstance(modality, Image)):
            raise UsageError(
                f"this model takes rows of shape {list(event)}, which are no pictures: compress an array of such rows, .npy"
            )
        channels, height, width = event
        if modality is not None:
            return cls(channels, height, width, 255 if modality.binary else modality.white, modality.binary)
        binary = isinstance(likelihood, Bernoulli)
        white = likelihood.levels - 1 if isinstance(likelihood, DiscretizedLogistics) else 255
        return cls(channels, height, width, 255 if binary else white, binary)

    def facts(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"event": [self.channels, self.height, self.width], "white": self.white, "binary": self.binary}

    @classmethod
    def restored(cls, facts: Any) -> Self:
        """The inverse of `facts`; `ArtifactError` for what is none."""
        try:
            event, white, binary = facts["event"], facts["white"], facts["binary"]
            right = len(event) == 3 and all(type(n) is int and 0 < n <= 65536 for n in event)
            if not right or type(white) is not int or not 0 < white < 65536 or type(binary) is not bool:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise ArtifactError("the header of the archive does not say how pictures were cut") from None
        return cls(event[0], event[1], event[2], white, binary)

    # ---- shapes --------------------------------------------------------------------------------------------------

    def takes(self, bands: int) -> bool:
        """Whether pictures of so many bands can be told."""
        return bands == self.channels or self.channels == 1 or (self.channels, bands) == (3, 1)

    def count(self, bands: int, height: int, width: int) -> int:
        """Rows of one picture."""
        down, across = self._grid(height, width)
        return down * across * (bands if self.channels == 1 else 1)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        return -(-height // self.height), -(-width // self.width)

    # ---- levels --------------------------------------------------------------------------------------------------

    def rows(self, levels: Levels) -> Tensor | None:
        """Pictures [n, bands, height, width], bytes or of 16 bits → rows [m, C, H, W]; None where they cannot be told."""
        if not self.takes(levels.shape[1]):
            return None
        told = self._told(levels)
        if told is None:
            return None
        count, bands, height, width = told.shape
        if bands != self.channels:
            told = np.repeat(told, 3, 1) if self.channels == 3 else told.reshape(count * bands, 1, height, width)
        down, across = self._grid(height, width)
        edge = ((0, 0), (0, 0), (0, down * self.height - height), (0, across * self.width - width))
        told = np.pad(told, edge, "edge") if edge[2][1] or edge[3][1] else told
        cut = told.reshape(-1, self.channels, down, self.height, across, self.width).transpose(0, 2, 4, 1, 3, 5)
        return torch.from_numpy(np.ascontiguousarray(cut.reshape(-1, self.channels, self.height, self.width)))

    def levels(self, rows: Tensor, shape: tuple[int, int, int, int], deep: bool) -> Levels:
        """The inverse: rows → pictures [n, bands, height, width], bytes or, if deep, of 16 bits."""
        count, bands, height, width = shape
        down, across = self._grid(height, width)
        own = bands if self.channels != 3 else 3
        tiles = rows.detach().cpu().numpy().reshape(-1, down, across, self.channels, self.height, self.width)
        whole = tiles.transpose(0, 3, 1, 4, 2, 5).reshape(count, own, down * self.height, across * self.width)
        return self._untold(whole[:, :bands, :height, :width], deep)

    def _told(self, levels: Levels) -> Levels | None:
        """Levels as the model has them: 0 and 1, bytes, or int32 of more than 8 bits."""
        deep = levels.dtype != np.uint8
        if self.binary:
            top = levels.dtype.type(255)
            only = not deep and bool(((levels == 0) | (levels == top)).all())
            return (levels == top).astype(np.uint8) if only else None
        if deep and int(levels.max(initial=0)) > self.white:
            return None
        if self.white < 255 and int(levels.max(initial=0)) > self.white:
            return None
        if self.white == 255:
            return levels.astype(np.uint8)
        found = levels if deep or self.white < 255 else spread(levels, 255, self.white)
        return found.astype(np.int32 if self.white > 255 else np.uint8)

    def _untold(self, told: Levels, deep: bool) -> Levels:
        kind = np.uint16 if deep else np.uint8
        if self.binary:
            return (told * np.uint8(255)).astype(kind)
        if deep or self.white <= 255:
            return told.astype(kind)
        known = spread(np.arange(256, dtype=np.uint8), 255, self.white)
        return np.searchsorted(known, told).astype(kind)
