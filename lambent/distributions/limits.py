"""Limits with a way back: a clamp's gradient is nought on its far side, so what has crossed it would stay there for ever."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

SCALE_RANGE = (-9.0, 7.0)  # log standard deviations outside it are limited: beyond lie infinities, not models


def limited(x: Tensor, low: float, high: float, steepest: float = math.inf) -> Tensor:
    """x limited to [low, high]; outside, the gradient is let through where it leads back.

    steepest: the largest size of the gradient that x receives. For a learned log scale σ: that of −log p is 1 at most while σ
    is too wide, and (x − μ)²/σ² without end while it is too narrow. One such number would fill the memory of the
    optimizer's second moment, and the steps after it would be too small to come back.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x.clamp(low, high)
    if x.device.type == "cpu" and _inside(x, low, high):
        # As nearly always: no operation at all, where a function of one's own costs a small model a twentieth of its step.
        if steepest == math.inf:
            return x
        same = x.view_as(x)
        same.register_hook(lambda gradient: gradient.clamp(-steepest, steepest))
        return same
    within: Tensor = _Limited.apply(x, low, high, steepest)  # type: ignore[no-untyped-call]
    return within


def _inside(x: Tensor, low: float, high: float) -> bool:
    """Whether no number lies outside the limits; looking is cheap on a CPU, and would stop the queue of a GPU."""
    if not x.numel():
        return True
    least, most = torch.aminmax(x.detach())
    return low <= float(least) and float(most) <= high


class _Limited(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float, steepest: float) -> Tensor:
        within = x.clamp(low, high)
        ctx.save_for_backward(x, within)
        ctx.steepest = steepest
        return within

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        x, within = ctx.saved_tensors
        (gradient,) = gradients
        # A step goes against the gradient: one of the sign of x − within leads back.
        passed = gradient.masked_fill((x - within) * gradient < 0, 0.0)
        return passed if ctx.steepest == math.inf else passed.clamp(-ctx.steepest, ctx.steepest), None, None, None
