"""Penalties on the gradient of a rival: with them its contest with the model comes to rest."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Judging = Callable[[Tensor, Tensor | None], Tensor]


def penalized(judging: Judging, x: Tensor, context: Tensor | None, share: float) -> tuple[Tensor, Tensor]:
    """D(x), [rows], and ‖∇ₓ D(x)‖², [rows], of rows of the data R1, of rows of the model R2.

    The squares are taken of the first `share` of the rows and stand for the rest, too: of those they are nought, of these as
    many times larger, so that the mean is an unbiased estimate in less time. Mescheder, Geiger & Nowozin, Which Training
    Methods for GANs do actually Converge?, 2018.
    """
    rows = len(x)
    count = max(1, math.ceil(share * rows))
    first = x[:count].detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # of attention the one that has a second derivative
        logits = judging(first, None if context is None else context[:count])
        (slope,) = torch.autograd.grad(logits.sum(), first, create_graph=True)
    squares = slope.flatten(1).square().sum(1)
    if count == rows:
        return logits, squares
    rest = judging(x[count:], None if context is None else context[count:])
    return torch.cat((logits, rest)), torch.cat((squares * (rows / count), torch.zeros_like(rest)))
