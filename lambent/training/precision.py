"""Device and precision: what `auto` means here, and how what is switched on is switched back."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal, get_args

import torch

from lambent.distributions.products import float32_products
from lambent.errors import MachineError, UsageError, nearest
from lambent.model import LatentModel
from lambent.model.latents import Latent
from lambent.model.likelihoods import Likelihood

Precision = Literal["auto", "fp32", "bf16"]


def device_of(name: str) -> torch.device:
    """The device called `name`; auto takes a GPU where there is one. Never another than asked for."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"no device is called {name!r}; {nearest(name, ('auto', 'cpu', 'cuda', 'cuda:0', 'mps'))}"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MachineError("this machine has no CUDA device that PyTorch can use: take device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MachineError(f"there is no {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise MachineError("this machine has no Metal device that PyTorch can use: take device cpu or auto")
    return device


def has_bf16_units(device: torch.device) -> bool:
    """Whether the processor multiplies matrices of bfloat16 in hardware, so that they are faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    return _processor_has("amx_tile") or _processor_has("avx512_bf16")


def _processor_has(feature: Literal["amx_tile", "avx512_bf16"]) -> bool:
    return bool(getattr(torch.cpu, f"_is_{feature}_supported", bool)())


def resolved(precision: str, device: torch.device) -> str:
    """fp32 or bf16, as `auto` decides on this machine."""
    if precision not in get_args(Precision):
        raise UsageError(f"no precision is called {precision!r}; {nearest(precision, get_args(Precision))}")
    if precision == "auto":
        return "bf16" if has_bf16_units(device) else "fp32"
    return precision


@contextmanager
def computing(model: LatentModel, precision: str, device: torch.device) -> Iterator[None]:
    """Matrix products at `precision` while active; weights stay float32, and densities are computed in float32.

    Convolutions take bfloat16 inputs (autocast over the two halves, and over networks inside the latent and the likelihood),
    fully connected layers bfloat16 products inside float32 arithmetic: each is the faster way for its kind. Where a processor
    has vectors of bfloat16 but no tiles (AMX), such products are not made in bfloat16 at all, so fully connected layers take
    bfloat16 inputs there too.
    """
    vectors = device.type == "cpu" and _processor_has("avx512_bf16") and not _processor_has("amx_tile")
    halves = model.network.convolutional or device.type == "cuda" or vectors
    networks: list[LatentModel | Latent | Likelihood] = [model]
    networks += [part for part in model.modules() if isinstance(part, (Latent, Likelihood))]
    try:
        for part in networks:
            part.low_precision = torch.bfloat16 if precision == "bf16" and halves else None
        with float32_products("medium") if precision == "bf16" and not halves else nullcontext():
            yield
    finally:
        for part in networks:
            part.low_precision = None
