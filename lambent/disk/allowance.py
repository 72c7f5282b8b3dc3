"""Building what a file describes, with no more memory and work than a file of that size can call for.

The fields' own limits keep each number of a description sensible; their product, and how many parts stand in a list, are
for the file's size to bound. It is done by hand because torch's own way, building on the meta device first, takes
seconds of imports at the first reading of a file, and lacks an operation of zuko's masked networks.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from lambent.errors import ArtifactError

EACH = 8  # bytes of a number, at most
ROOM = 1 << 26  # bytes that one operation may fill in any case
SHARE = 32  # how many times the file's own size it may fill: masks, one-hot rows, copies in another layout
STEPS = 10_000  # calls of torch that may be made in any case
STEPS_EACH = 200  # and for each tensor in the file

SIZED = {"empty", "zeros", "ones", "full", "rand", "randn", "randint", "new_empty", "new_zeros", "new_ones", "new_full"}
RANGES = {"arange", "linspace", "logspace", "randperm", "eye"}
REPEATING = {"repeat", "tile", "repeat_interleave", "one_hot"}
PRODUCTS = {"matmul", "mm", "bmm", "__matmul__"}
FREE = {"__get__", "size", "dim", "numel", "stride", "__len__", "expand", "expand_as", "broadcast_to", "view", "detach"}
RESTORING = "_set_grad_enabled"  # how `no_grad` ends: refused, it would leave gradients off for good


class _Allowance(TorchFunctionMode):
    """Sees every call of torch before it is carried out."""

    def __init__(self, size: int, tensors: int) -> None:
        super().__init__()
        self.room = ROOM + SHARE * size
        self.steps = STEPS + STEPS_EACH * tensors

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == RESTORING:
            return func(*args, **kwargs)
        self.steps -= 1
        if self.steps < 0:
            raise ArtifactError("it would have many more parts than the file has tensors")
        in_place = name.endswith("_") and not name.endswith("__")
        if name not in FREE and not in_place and EACH * _numbers(name, [*args, *kwargs.values()]) > self.room:
            raise ArtifactError(f"it would take more than {self.room} bytes at once, far more than the file has")
        return func(*args, **kwargs)


@contextmanager
def allowance(size: int, tensors: int) -> Iterator[None]:
    """Refuse, before it is made, what a file of `size` bytes and so many tensors cannot call for (`ArtifactError`)."""
    with _Allowance(size, tensors):
        yield


def _numbers(name: str, given: list[Any]) -> int:
    """About how many numbers the result of a call has, known before it is made."""
    tensors = [value for value in given if isinstance(value, Tensor)]
    whole = [abs(value) for value in given if isinstance(value, int) and not isinstance(value, bool)]
    sizes = next((v for v in given if isinstance(v, (tuple, list)) and all(isinstance(n, int) for n in v)), whole)
    if name in SIZED:
        return math.prod(sizes)
    if name in RANGES:
        return math.prod(whole) ** (2 if len(whole) == 1 else 1) if name == "eye" else max(whole, default=0)
    if name in REPEATING:
        return math.prod(t.numel() for t in tensors[:1]) * math.prod(max(n, 1) for n in sizes)
    if name in PRODUCTS and len(tensors) == 2 and tensors[0].dim() and tensors[1].dim():
        return tensors[0].numel() // max(1, tensors[0].shape[-1]) * tensors[1].shape[-1]
    if name == "__getitem__" and any(isinstance(v, Tensor) for v in given[1:]):
        return int(tensors[0][:1].numel() * tensors[1].numel()) if tensors[0].dim() else 0
    return _broadcast([tuple(t.shape) for t in tensors])


def _broadcast(shapes: list[tuple[int, ...]]) -> int:
    """The elements of all shapes together; `torch.broadcast_shapes` would import half a second's worth of modules."""
    total = 1
    for sizes in zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1):
        if not set(sizes) <= {1, max(sizes)}:  # shapes of unlike meaning, as a convolution's
            return max(math.prod(shape) for shape in shapes)
        total *= max(sizes)
    return total
