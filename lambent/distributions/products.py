"""Matrix products: in bfloat16 where networks may be fast, in float32 for a density, and with digits that hang on no place."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_AS_IT_IS = nullcontext()
_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__)
FEWEST = 16  # columns of a product whose rows are all multiplied in one way


class SteadyProducts(TorchFunctionMode):
    """While active, a row's product with a matrix does not hang on where it stands among the rows, whose number is the same.

    Processors' libraries take rows by turns through different code where there are few columns (fewer than 12 were seen to
    differ in float32), and in float64 where an odd number of terms is summed: noughts fill these up.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.linear and len(args) > 1 and args[1].dim() == 2:
            return _linear(*args, **(kwargs or {}))
        if func is torch.baddbmm:
            return _batched(*args)
        if func is torch.bmm and len(args) == 2:
            return _each(*args)
        if func in _PRODUCTS and len(args) == 2 and args[1].dim() == 2 and args[0].dim() > 1:
            return _linear(args[0], args[1].mT)
        return func(*args, **(kwargs or {}))


def _linear(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    columns, terms = weight.shape
    wider = max(FEWEST - columns, 0)
    longer = -terms % 4 if weight.dtype == torch.float64 else 0
    if longer:
        values = functional.pad(values, (0, longer))
    if wider or longer:
        weight = functional.pad(weight, (0, longer, 0, wider))
    if wider and bias is not None:
        bias = functional.pad(bias, (0, wider))
    made = functional.linear(values, weight, bias)
    return made[..., :columns].contiguous() if wider else made


def _batched(bias: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """Σ_i v_i w_i + b for each of M: bias [M, 1, out], values [M, rows, in], weight [M, in, out], as `_linear`."""
    terms, columns = weight.shape[1:]
    wider = max(FEWEST - columns, 0)
    longer = -terms % 4 if weight.dtype == torch.float64 else 0
    if longer:
        values = functional.pad(values, (0, longer))
    if wider or longer:
        bias, weight = functional.pad(bias, (0, wider)), functional.pad(weight, (0, wider, 0, longer))
    made = torch.baddbmm(bias, values, weight)
    return made[..., :columns].contiguous() if wider else made


def _each(values: Tensor, weight: Tensor) -> Tensor:
    """Products of M pairs: values [M, rows, in], weight [M, in, out], as `_linear`."""
    terms, columns = weight.shape[1:]
    wider, longer = -columns % FEWEST, -terms % FEWEST
    if not wider and not longer:
        return torch.bmm(values, weight)
    made = torch.bmm(functional.pad(values, (0, longer)), functional.pad(weight, (0, wider, 0, longer)))
    return made[..., :columns].contiguous() if wider else made


def exact_products() -> AbstractContextManager[None]:
    """float32 products in float32 while active, whatever is set. Costs nothing where nothing else is set."""
    return _AS_IT_IS if _setting() == "highest" else float32_products("highest")


@contextmanager
def float32_products(precision: Literal["highest", "medium"]) -> Iterator[None]:
    """float32 matrix products so while active, medium being bfloat16; after, as before, by either of torch's two ways."""
    before = _setting() or "highest"
    backends = (getattr(torch.backends.mkldnn, "matmul", None), torch.backends.cuda.matmul)
    kept = [(b, b.fp32_precision) for b in backends if b is not None and hasattr(b, "fp32_precision")]
    try:
        torch.set_float32_matmul_precision(precision)
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.set_float32_matmul_precision(before)
        for backend, value in kept:
            backend.fp32_precision = value


def _setting() -> str | None:
    """None where it was made in torch's newer way, of which the older one cannot be asked."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
