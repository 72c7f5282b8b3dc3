"""Matrix products of float32 numbers: made in bfloat16 where the networks may be fast, in float32 where a density is computed."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

_AS_IT_IS = nullcontext()


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
