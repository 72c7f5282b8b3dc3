"""Bounds on log p(x) for given rows, their memory limited by chunks of samples and of rows."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lambent.distributions import sample
from lambent.distributions.products import SteadyProducts, exact_products
from lambent.model import LatentModel
from lambent.model.noise import RowNoise, row_keys
from lambent.model.priors import Prior
from lambent.model.trace import from_keys, from_posterior, from_prior
from lambent.part import elements
from lambent.progress import Add, counting
from lambent.training import heap

SAMPLES = 32  # K, unless told
# Numbers of a chunk in the widest layer or the prior: 16 MB in float32, which suits the caches and the heap.
BUDGET = 1 << 22
GPU_BUDGET = 16 * BUDGET  # what keeps a GPU busy
OF_A_UNIT = 6  # numbers that stay till the end of a pass: z, its noise, and the parameters of p and q
MOST_ROWS = 64  # of a chunk: one row alone costs as much as all of them


class Bounds(NamedTuple):
    """Per row, in nats: the ELBO, the K-sample bound, and the ELBO's two parts."""

    elbo: Tensor
    bound: Tensor
    log_px: Tensor
    kl: Tensor


@torch.no_grad()
def bounds(
    model: LatentModel, x: Tensor, samples: int = SAMPLES, seed: int = 0, context: Tensor | None = None
) -> Bounds:
    """ELBO = E_q[log p(x|z)] − KL and log (1/K) Σ_k w_k for every row, from the same K samples.

    x: [rows, *event]. A row's noise comes from the seed and what the row holds, whatever its context, so that the same row gets
    the same numbers beside whatever others and in any order, errors cancel in averages over rows, and differences between
    contexts have little error. Of an ensemble K counts the samples of each member: the ELBO is the mean of the members' own,
    the bound is that of the mixture over the samples of all. Without a density q (Point) the bound is NaN and the ELBO has no
    meaning. Burda et al., 2016.
    """
    heap.settle()
    # Codes without noise are the same in all samples.
    chunk = Chunk.of(model, 1 if model.latent.discrete else samples, seed)
    # Made at once: small pieces kept between large chunks would leave holes in the heap that no later chunk fits.
    found = torch.empty(4, len(x), dtype=torch.float64)
    with counting("scoring", len(x)) as add, steadily():
        for start in range(0, len(x), chunk.rows):
            rows = filled(x, start, chunk.rows).to(model.device)
            given = None if context is None else filled(context, start, chunk.rows).to(model.device)
            real = min(chunk.rows, len(x) - start)
            found[:, start : start + real] = chunk.numbers(rows, given, add, real)[:, :real]
    return Bounds(*found)


@dataclass(frozen=True)
class Chunk:
    """Rows that are computed together, with `at_once` of their samples: of one shape, whatever the number of rows.

    For the last digits of a product hang on how many rows are multiplied. Their number is a power of two, so that none of them
    falls into what is left over by the vectors of a processor, or by several threads.
    """

    model: LatentModel
    rows: int
    samples: int
    at_once: int
    seed: int
    noise: RowNoise

    @classmethod
    def of(cls, model: LatentModel, samples: int, seed: int) -> "Chunk":
        codes = max(1, (GPU_BUDGET if model.device.type == "cuda" else BUDGET) // held(model))
        # Samples before rows: the encoder sees a row again with every share of its samples.
        at_once = math.ceil(samples / math.ceil(samples / codes))
        rows = min(MOST_ROWS, max(1, codes // at_once))
        noise = RowNoise(samples, sum(model.latent.sizes_of_levels), model.device)
        return cls(model, 1 << (rows.bit_length() - 1), samples, at_once, seed, noise)

    def numbers(self, rows: Tensor, context: Tensor | None, add: Add, real: int) -> Tensor:
        """The four numbers of each row, [4, rows], in float64; `add` is told of each share of the `real` rows' work."""
        density, keys = self.model.latent.density, row_keys(rows, self.seed)
        top = torch.full((len(rows),), -math.inf, dtype=torch.float64, device=rows.device)
        sums = torch.zeros(2, len(rows), dtype=torch.float64, device=rows.device)
        for done in range(0, self.samples, self.at_once):
            count = min(self.at_once, self.samples - done)
            trace = self.model.trace(rows, count, from_keys(self.noise, keys, done, self.model.members), context)
            log_px = trace.log_px.double()
            kl = trace.kl.double().expand_as(log_px) if density else torch.zeros_like(log_px)
            sums += torch.stack((log_px.sum(0), kl.sum(0)))
            if density:
                top = torch.logaddexp(top, torch.logsumexp(log_px + trace.log_ratio.double(), 0))
            add(real * count / self.samples)
        every = self.samples * self.model.members
        log_px, kl = sums / every
        bound = top - math.log(every) if density else torch.full_like(top, math.nan)
        return torch.stack((log_px - kl, bound, log_px, kl))


def filled(x: Tensor, start: int, rows: int) -> Tensor:
    """A copy of the rows from `start` on, filled up with the last of them."""
    part = x[start : start + rows]
    return torch.cat((part, part[-1:].expand(rows - len(part), *part.shape[1:])))


@contextmanager
def steadily() -> Iterator[None]:
    """What is computed for a row hangs neither on the place of the row nor on how many products are set to be fast."""
    with _evenly(), exact_products(), SteadyProducts():
        yield


@contextmanager
def _evenly() -> Iterator[None]:
    """A power of two of threads, which share a chunk evenly."""
    threads = torch.get_num_threads()
    even = 1 << (threads.bit_length() - 1)
    if even != threads:
        torch.set_num_threads(even)
    try:
        yield
    finally:
        if even != threads:
            torch.set_num_threads(threads)


def held(model: LatentModel) -> int:
    """Numbers held for each code at one time: the widest layer, all levels' nodes, or raw output and prior.

    The encoder is not counted, for it sees a row once, however many codes of it are drawn.
    """
    generator = torch.Generator(model.device)
    given = torch.zeros(1, model.context, device=model.device) if model.context else None
    row = torch.zeros(1, *model.event_shape, device=model.device)

    def inferred(samples: int) -> Callable[[], object]:
        return lambda: model.infer(row, samples, from_posterior(generator), given)

    def decoded() -> None:
        px = model.generate(1, from_prior(generator), given)
        px.log_prob(sample(px, (), generator))  # a likelihood may have networks that see x, too

    once, twice = (_made(inferred(samples), model.latent) for samples in (1, 2))
    layers = [second - first for first, second in zip(once, twice, strict=True)]  # no row's, of many codes or few
    layers += _made(decoded, model.decoder, model.likelihood)
    priors = [part for part in model.modules() if isinstance(part, Prior)]
    output = elements(model.raw_shape) + sum(prior.held for prior in priors) + 1
    return max(output, OF_A_UNIT * sum(model.latent.sizes_of_levels), *layers)


def _made(passing: Callable[[], object], *parts: nn.Module) -> list[int]:
    """How many numbers each layer of the parts makes in a pass, in the order of their calls."""
    made: list[int] = []

    def look(_: nn.Module, __: object, out: object) -> None:
        made.append(out.numel() if isinstance(out, Tensor) else 0)

    hooks = [layer.register_forward_hook(look) for part in parts for layer in part.modules()]
    try:
        passing()
    finally:
        for hook in hooks:
            hook.remove()
    return made
