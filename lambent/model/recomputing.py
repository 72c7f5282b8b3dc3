"""Recomputing: what a block keeps for the gradient is made again on the way back, for less memory and more time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Kept = Callable[[Tensor], object]

_ACTIVE: ContextVar[bool] = ContextVar("recomputing", default=False)
_KEPT: ContextVar[Kept | None] = ContextVar("kept", default=None)


@contextmanager
def recomputing(active: bool = True, kept: Kept | None = None) -> Iterator[None]:
    """While active, blocks that are called by `recomputed` keep their inputs alone for the gradient.

    kept: is told each of these inputs, so that they can be counted; what is made of them then has no gradient.
    """
    tokens = _ACTIVE.set(active), _KEPT.set(kept)
    try:
        yield
    finally:
        _ACTIVE.reset(tokens[0])
        _KEPT.reset(tokens[1])


def recomputed(block: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """block(*inputs); under `recomputing`, its inner values are computed again in the backward pass.

    The block may draw no random numbers. One whose weights stand still keeps all: by the time of the backward pass they may
    learn again, and what it then made would be something else. Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    if not is_recomputing() or _stands(block):
        return block(*inputs)
    if (kept := _KEPT.get()) is not None:
        for given in inputs:
            kept(given)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: None, lambda x: x):
            return block(*inputs)
    result: Tensor = checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def _stands(block: Callable[..., Tensor]) -> bool:
    """Whether weights of a module, or of that whose method the block is, do not learn now."""
    module = getattr(block, "__self__", block)
    return isinstance(module, nn.Module) and not all(weight.requires_grad for weight in module.parameters())


def is_recomputing() -> bool:
    """Whether blocks are to keep their inputs alone now."""
    return _ACTIVE.get() and torch.is_grad_enabled()
