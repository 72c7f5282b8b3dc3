"""Joining a context to what passes through a model: beside a vector, or as constant planes above a map."""

import torch
from torch import Tensor

from lambent.part import Shape


def joined_shape(shape: Shape, width: int) -> Shape:
    """The shape of features with a context of `width` numbers joined to them: [n + width], [channels + width, height, width]."""
    return (shape[0] + width, *shape[1:])


def joined(x: Tensor, context: Tensor | None) -> Tensor:
    """Features [n, *shape] with the context of each of them; `n` may be a multiple of its rows, those of one sample together."""
    if context is None:
        return x
    given = context.repeat(len(x) // len(context), 1) if len(x) != len(context) else context
    planes = given.reshape(*given.shape, *([1] * (x.dim() - 2))).expand(-1, -1, *x.shape[2:])
    return torch.cat((x, planes.to(x.dtype)), 1)
