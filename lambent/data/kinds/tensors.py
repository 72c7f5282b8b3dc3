"""Levels of images as tensors, and back."""

import numpy as np
import torch
from torch import Tensor

from lambent.errors import DataError
from lambent.part import Shape


def rows_of(values: np.ndarray) -> Tensor:
    """Levels as a tensor: bytes as they are, 16 bits as int32, for torch computes little on uint16."""
    return torch.from_numpy(values.astype(np.int32) if values.dtype == np.uint16 else values)


def shown(x: Tensor, event: Shape, white: int, of_one: bool) -> np.ndarray:
    """Rows [N, C, H, W] → numbers 0 … white, [N, H, W] or [N, H, W, C], clamped; of_one: they lie in 0 … 1."""
    if x.ndim != 4 or tuple(x.shape[1:]) != event:
        raise DataError(f"images to decode have shape {tuple(x.shape)}; [N, {', '.join(map(str, event))}] fits")
    x = x.detach().cpu().double() * (float(white) if of_one else 1.0)
    if not torch.isfinite(x).all():
        raise DataError("images to decode hold NaN or infinite pixels")
    values = x.clamp(0, white).numpy()
    return np.ascontiguousarray(values[:, 0] if event[0] == 1 else values.transpose(0, 2, 3, 1))
