"""Probing: what this machine makes of an exact model, as a hash; a machine's self-test."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.codec.exact import elementary, layers, resizing
from lambent.codec.exact.dyadic import NUMERICS, whole
from lambent.distributions.shaped import vector
from lambent.distributions.vectors import DiagonalNormal
from lambent.model.model import LatentModel
from lambent.model.trace import Node
from lambent.part import Shape, elements

PROBED = 2  # rows
HEARD = (layers.__name__, resizing.__name__)  # where exact layers are


@torch.no_grad()
def probe(model: LatentModel, drawn: Callable[[], bytes] = bytes, beside: Iterable[nn.Module] = ()) -> bytes:
    """What an exact model gives for rows and codes made of whole numbers, as a hash of 32 bytes: a machine's self-test.

    Of every layer in encoder, latent and decoder, and of the elementary functions that tables are made of. Where it differs from
    the one in an archive, that archive cannot be decoded here. drawn: what is done besides, its layers listened to; beside: other
    modules that this goes through.
    """
    told = hashlib.sha256(f"lambent numerics {NUMERICS}\n".encode())
    with listening([*model.modules(), *beside]) as heard:
        for numbers in _probed(model):
            told.update(as_bytes(numbers))
        told.update(drawn())
    told.update(heard())
    told.update(elementary.normal_cdf(np.arange(-2048, 2049) / 256).astype("<f8").tobytes())
    return told.digest()


@contextmanager
def listening(modules: Iterable[nn.Module]) -> Iterator[Callable[[], bytes]]:
    """Hashes of all that each exact layer among the modules gives meanwhile, one after the other.

    Each has its own, so that they are the same however many rows go through a network at once.
    """
    own = {module: hashlib.sha256() for module in modules if type(module).__module__ in HEARD}
    hooks = [
        module.register_forward_hook(lambda module, given, made: own[module].update(as_bytes(made))) for module in own
    ]
    try:
        yield lambda: b"".join(each.digest() for each in own.values())
    finally:
        for hook in hooks:
            hook.remove()


def as_bytes(numbers: Tensor) -> bytes:
    """Multiples of 2^-12 as whole numbers of that unit, 64 bits each, little-endian."""
    return whole(numbers).astype("<i8").tobytes()


def _probed(model: LatentModel) -> Iterator[Tensor]:
    """The parameters of every level's q and p, then the raw output."""
    seen = model.likelihood.seen(model.likelihood.observe(torch.zeros(1, *model.event_shape, device=model.device)))
    features = model._features(_made((PROBED, *seen.shape[1:]), 0).to(model.device))

    def draw(node: Node, level: int) -> Tensor:
        return 4 * _made((*node.shape, *node.p.event_shape), 1 + level).to(model.device)

    hidden, nodes = model.latent(features, draw, 1, model._features)
    for node in nodes:
        yield from _parameters(node.q)
        yield from _parameters(node.p)
    yield model._raw(hidden)


def _parameters(distribution: Distribution | None) -> Iterator[Tensor]:
    flat = None if distribution is None else vector(distribution)
    if isinstance(flat, DiagonalNormal):
        yield from (flat.location, flat.log_scale)


def _made(shape: Shape, stream: int) -> Tensor:
    """Multiples of 2⁻⁸ in [−1, 1), made of whole numbers."""
    numbers = np.arange(elements(shape), dtype=np.uint64) + np.uint64(stream << 40)
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    levels = (mixed >> np.uint64(55)).astype(np.float64)  # 0 … 511
    return torch.from_numpy((levels - 256) / 256).reshape(shape)
