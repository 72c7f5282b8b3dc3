"""SparseRows: rows of numbers of which most are nought, kept in compressed form, and dense only where they are computed with."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

# What is told by shape and type alone, and needs no numbers.
_PROPERTIES = ("shape", "dtype", "device", "ndim", "layout", "requires_grad", "itemsize", "nbytes", "is_cuda", "is_cpu")
_METHODS = (
    "dim", "ndimension", "size", "numel", "stride", "element_size", "is_floating_point", "is_complex", "is_contiguous",
    "__len__", "__hash__",
)  # fmt: skip
_ABOUT = {getattr(Tensor, name) for name in _METHODS} | {getattr(Tensor, name).__get__ for name in _PROPERTIES}
_SAME = {Tensor.detach, Tensor.contiguous}


class SparseRows(Tensor):
    """A tensor [rows, columns] in compressed sparse rows: of each row the values that are not nought, and their columns.

    Selecting rows (x[index], x[3:9], split) gives such rows again; whatever needs the numbers themselves (arithmetic, `to`,
    `numpy`, `index_select`) gets those of the dense tensor, to the bit. So it stands wherever a tensor of rows does, and a
    batch costs what a dense one costs.

    stored: the values, [stored]; columns: int32 [stored], ascending in each row; starts: int64 [rows + 1], where each row begins
    in them.
    """

    stored: Tensor
    columns: Tensor
    starts: Tensor

    @staticmethod
    def __new__(cls, values: Tensor, columns: Tensor, starts: Tensor, width: int) -> Self:
        shape = (len(starts) - 1, width)
        made: Self = Tensor._make_wrapper_subclass(cls, shape, dtype=values.dtype, device=values.device)
        made.stored, made.columns, made.starts = values, columns, starts
        return made

    def __init__(self, values: Tensor, columns: Tensor, starts: Tensor, width: int) -> None:
        super().__init__()

    @property
    def stored_bytes(self) -> int:
        """The memory that it takes."""
        with torch._C.DisableTorchFunctionSubclass():
            return sum(part.numel() * part.element_size() for part in (self.stored, self.columns, self.starts))

    def dense(self, out: Tensor | None = None) -> Tensor:
        """The rows as a plain tensor; into `out` where one is given."""
        with torch._C.DisableTorchFunctionSubclass():
            rows, width = self.shape
            out = self.stored.new_zeros(rows, width) if out is None else out.zero_()
            lengths = self.starts[1:] - self.starts[:-1]
            row = torch.arange(rows, device=self.stored.device).repeat_interleave(lengths, output_size=len(self.stored))
            out.view(-1)[row * width + self.columns] = self.stored
            return out

    def chosen(self, index: Tensor) -> "SparseRows":
        """Some of the rows, by number [n], in that order."""
        with torch._C.DisableTorchFunctionSubclass():
            index = index.to(self.starts.device)
            begins = self.starts[index]
            lengths = self.starts[index + 1] - begins
            starts = torch.cat((lengths.new_zeros(1), lengths.cumsum(0)))
            places = torch.arange(int(starts[-1]), device=starts.device)
            places += (begins - starts[:-1]).repeat_interleave(lengths, output_size=len(places))
            return SparseRows(self.stored[places], self.columns[places], starts, self.shape[1])

    def placed(self, device: torch.device) -> "SparseRows":
        """The same on a device."""
        with torch._C.DisableTorchFunctionSubclass():
            parts = self.stored.to(device), self.columns.to(device), self.starts.to(device)
            return SparseRows(*parts, self.shape[1])

    def _between(self, first: int, last: int) -> "SparseRows":
        with torch._C.DisableTorchFunctionSubclass():
            begin, end = int(self.starts[first]), int(self.starts[last])
            starts = self.starts[first : last + 1] - begin
            return SparseRows(self.stored[begin:end], self.columns[begin:end], starts, self.shape[1])

    def _selected(self, key: Any) -> Tensor:
        """x[key]: rows by slice, numbers or truth values stay compressed; one row, or parts of rows, are dense."""
        rows = len(self)
        if isinstance(key, slice):
            first, last, step = key.indices(rows)
            if step == 1:
                return self._between(first, max(first, last))
            return self.chosen(torch.arange(rows)[key])
        if not isinstance(key, tuple) and not isinstance(key, int) and key is not None and key is not Ellipsis:
            index = torch.as_tensor(key)
            if index.dim() == 1:
                index = index.to(self.starts.device)
                index = index.nonzero()[:, 0] if index.dtype == torch.bool else index.long()
                return self.chosen(torch.where(index < 0, index + rows, index))
        return self.dense()[key]

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        own = args[0] if args and isinstance(args[0], SparseRows) else None
        if func in _ABOUT:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if own is not None and (func in _SAME or (func is Tensor.float and own.dtype == torch.float32)):
            return own
        if own is not None and func is Tensor.__getitem__:
            return own._selected(args[1])
        if own is not None and func is Tensor.split and isinstance(args[1], int) and not kwargs:
            return tuple(own._between(i, min(i + args[1], len(own))) for i in range(0, len(own), args[1]))
        if own is not None and func is torch.index_select and args[1] == 0:
            return own.chosen(args[2]).dense(kwargs.get("out"))
        return func(*tree_map(_plain, args), **tree_map(_plain, kwargs))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """What reaches a tensor from within torch."""
        return func(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        rows, width = self.shape
        return f"SparseRows({rows:,} × {width:,}, {len(self.stored):,} numbers stored)"

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))


def _plain(value: Any) -> Any:
    return value.dense() if isinstance(value, SparseRows) else value


def resident(x: Tensor, device: torch.device) -> Tensor:
    """Rows to be kept on a device, in the form that they have: sparse ones stay so."""
    return x.placed(device) if isinstance(x, SparseRows) else x.to(device)


def bytes_of(x: Tensor) -> int:
    """The memory that rows take."""
    return x.stored_bytes if isinstance(x, SparseRows) else x.nbytes
