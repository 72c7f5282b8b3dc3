"""Building what a file describes, with no more memory and work than a file of that size can call for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter, tree_map

from lambent.errors import ArtifactError

ROOM = 1 << 26  # bytes that one operation may fill in any case
SHARE = 32  # how many times the file's own size it may fill: masks, one-hot rows, copies in another layout
STEPS = 20_000  # operations that may be made in any case
STEPS_EACH = 500  # and for each tensor in the file


class _Allowance(TorchDispatchMode):
    """Sees every operation of torch before it is carried out."""

    def __init__(self, size: int, tensors: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = ROOM + SHARE * size
        self.steps = STEPS + STEPS_EACH * tensors

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.steps -= 1
        if self.steps < 0:
            raise ArtifactError("it would have many more parts than the file has tensors")
        if not func.is_view and _outcome(func, args, kwargs) > self.room:
            raise ArtifactError(f"it would take more than {self.room} bytes at once, far more than the file has")
        return func(*args, **kwargs)


@contextmanager
def allowance(size: int, tensors: int) -> Iterator[None]:
    """Refuse, before it is made, what a file of `size` bytes and so many tensors cannot call for (`ArtifactError`)."""
    with _Allowance(size, tensors):
        yield


def _outcome(func: Any, args: Any, kwargs: Any) -> int:
    """Bytes of an operation's largest result, found out without its numbers.

    0 where its size hangs on the numbers (which are in memory then, so that it is bounded by them).
    """
    known = {a.name for a in func._schema.arguments}
    changes: dict[str, Any] = {"device": torch.device("meta")} if "device" in known else {}
    changes |= {"generator": None} if "generator" in known else {}
    with _disable_current_modes():
        try:
            shadow = func(*tree_map(_shadow, args), **{**tree_map(_shadow, kwargs), **changes})
        except (NotImplementedError, RuntimeError, TypeError):
            return 0
    return max((t.numel() * t.element_size() for t in tree_iter(shadow) if isinstance(t, Tensor)), default=0)


def _shadow(value: Any) -> Any:
    """A tensor of the same shape and type that has no numbers."""
    return value.detach().to("meta") if isinstance(value, Tensor) else value
