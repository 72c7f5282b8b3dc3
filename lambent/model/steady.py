"""Convolutions whose every number hangs on what lies around it alone, to the bit, whatever the size of the picture.

Libraries choose other code, with sums in another order, by the height and width of what they convolve; and pointwise functions
take the last few numbers of a tensor through other code than the rest. Then a tile differs from the whole in its last digits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

BLOCK = 1024  # places of a map that are multiplied together, always as many
STRIP = 2**14  # places whose neighbourhoods are laid out at a time
FEWEST = 16  # channels of a product: libraries have other code for fewer
VECTOR = 64  # numbers of which a multiple goes through one code, by the widest vectors there are
Pair = tuple[int, int]


class SteadyMaps(TorchFunctionMode):
    """While active, convolutions are products of matrices of one shape, and pointwise functions see whole vectors of numbers.

    Every number of a map is then the same sum in the same order, wherever it stands and however large the map is.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d:
            return _convolved(*args, **kwargs)
        if func is torch.conv_transpose2d:
            return _transposed(*args, **kwargs)
        if func is functional.linear:
            return _linear(*args, **kwargs)
        if func in _POINTWISE:
            return _evenly(func, args, kwargs)
        return func(*args, **kwargs)


@contextmanager
def steady_maps() -> Iterator[None]:
    """`SteadyMaps`, in one thread: threads share a tensor at places that hang on its size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with SteadyMaps():
            yield
    finally:
        torch.set_num_threads(threads)


_POINTWISE: set[Callable[..., Any]] = {
    functional.silu, functional.gelu, functional.leaky_relu, functional.softplus, functional.sigmoid, functional.tanh,
    functional.elu, functional.mish, functional.logsigmoid,
    torch.exp, torch.log, torch.expm1, torch.log1p, torch.tanh, torch.sigmoid, torch.sqrt, torch.rsqrt, torch.erf, torch.erfinv,
    torch.addcmul, torch.addcdiv, torch.lerp, torch.pow, torch.sin, torch.cos,
    Tensor.exp, Tensor.log, Tensor.expm1, Tensor.log1p, Tensor.tanh, Tensor.sigmoid, Tensor.sqrt, Tensor.rsqrt, Tensor.erf,
    Tensor.addcmul, Tensor.addcdiv, Tensor.lerp, Tensor.pow, Tensor.square, Tensor.sin, Tensor.cos,
}  # fmt: skip


def _evenly(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A pointwise function of tensors that are laid out flat, and filled up to whole vectors."""
    tensors = [value for value in args if isinstance(value, Tensor) and value.dim()]
    if not tensors or kwargs.get("out") is not None or kwargs.get("inplace"):
        return func(*args, **kwargs)
    shape = torch.broadcast_shapes(*(value.shape for value in tensors))
    numbers = shape.numel()

    def flat(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.dim():
            return value
        return functional.pad(value.expand(shape).reshape(-1), (0, -numbers % VECTOR))

    made = func(*map(flat, args), **kwargs)
    return made[:numbers].reshape(shape)


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """torch.conv2d; x [rows, channels, height, width]."""
    if groups > 1:
        parts = zip(x.chunk(groups, 1), weight.chunk(groups), _chunks(bias, groups), strict=True)
        return torch.cat([_convolved(a, b, c, stride, padding, dilation) for a, b, c in parts], 1)
    kernel, stride, dilation = (int(weight.shape[2]), int(weight.shape[3])), _pair(stride), _pair(dilation)
    high, wide = (dilation[axis] * (kernel[axis] - 1) + 1 for axis in (0, 1))
    if isinstance(padding, str):
        padding = ((high - 1) // 2, (wide - 1) // 2) if padding == "same" else 0
    around = _pair(padding)
    x = functional.pad(x, (around[1], around[1], around[0], around[0])).contiguous()
    height, width = (x.shape[2] - high) // stride[0] + 1, (x.shape[3] - wide) // stride[1] + 1
    matrix, outputs = _filled(weight.flatten(1)), weight.shape[0]
    out = x.new_empty(len(x), outputs, height, width)
    lines = max(1, STRIP // width)
    for row in range(len(x)):
        for top in range(0, height, lines):
            count = min(lines, height - top)
            strip = x[row : row + 1, :, top * stride[0] : (top + count - 1) * stride[0] + high]
            laid = functional.unfold(strip, kernel, dilation, 0, stride)[0]
            out[row, :, top : top + count] = _products(matrix, laid)[:outputs].unflatten(1, (count, width))
    return out if bias is None else out + bias[:, None, None]


def _transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> Tensor:
    """torch.conv_transpose2d; weight [inputs, outputs, height, width]."""
    if groups > 1:
        parts = zip(x.chunk(groups, 1), weight.chunk(groups), _chunks(bias, groups), strict=True)
        every = [_transposed(a, b, c, stride, padding, output_padding, 1, dilation) for a, b, c in parts]
        return torch.cat(every, 1)
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    stride, padding, more, dilation = _pair(stride), _pair(padding), _pair(output_padding), _pair(dilation)
    size = tuple(
        (x.shape[2 + axis] - 1) * stride[axis]
        - 2 * padding[axis]
        + dilation[axis] * (kernel[axis] - 1)
        + more[axis]
        + 1
        for axis in (0, 1)
    )
    matrix = _filled(weight.flatten(1).mT)
    spread = weight[0].numel()
    laid = [_products(matrix, one.flatten(1))[None, :spread] for one in x]
    out = torch.cat([functional.fold(each, size, kernel, dilation, padding, stride) for each in laid])
    return out if bias is None else out + bias[:, None, None]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch.nn.functional.linear: of a map whose channels come last, a product at each place."""
    flat = x.reshape(-1, x.shape[-1])
    made = _products(_filled(weight), flat.mT)[: len(weight)].mT.contiguous()
    made = made if bias is None else made + bias
    return made.unflatten(0, x.shape[:-1]) if x.dim() > 1 else made[0]


def _products(matrix: Tensor, columns: Tensor) -> Tensor:
    """matrix @ columns, [outputs, places], in blocks of one shape that lie in memory alike."""
    places = columns.shape[1]
    out = columns.new_empty(len(matrix), places)
    block, made = columns.new_empty(len(columns), BLOCK), columns.new_empty(len(matrix), BLOCK)
    for start in range(0, places, BLOCK):
        count = min(BLOCK, places - start)
        block[:, :count] = columns[:, start : start + count]
        block[:, count:] = 0
        torch.mm(matrix, block, out=made)
        out[:, start : start + count] = made[:, :count]
    return out


def _filled(matrix: Tensor) -> Tensor:
    """With rows of nought, up to as many as libraries take through one code."""
    return functional.pad(matrix, (0, 0, 0, max(FEWEST - len(matrix), 0))).contiguous()


def _chunks(bias: Tensor | None, groups: int) -> list[Tensor | None]:
    return [None] * groups if bias is None else list(bias.chunk(groups))


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))
