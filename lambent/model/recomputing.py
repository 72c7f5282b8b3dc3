"""Recomputing: what a block keeps for the gradient is made again on the way back, for less memory and more time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_ACTIVE: ContextVar[bool] = ContextVar("recomputing", default=False)


@contextmanager
def recomputing(active: bool = True) -> Iterator[None]:
    """While active, blocks that are called by `recomputed` keep their inputs alone for the gradient."""
    token = _ACTIVE.set(active)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def recomputed(block: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """block(*inputs); under `recomputing`, its inner values are computed again in the backward pass.

    The block may draw no random numbers. Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    if not (_ACTIVE.get() and torch.is_grad_enabled()):
        return block(*inputs)
    result: Tensor = checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result
