"""Bounds on log p(x) for given rows, their memory limited by chunks of samples and of rows."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lambent.distributions import sample
from lambent.model import LatentModel
from lambent.model.priors import Prior
from lambent.model.trace import from_posterior, from_prior, shared
from lambent.part import elements
from lambent.seeds import stream
from lambent.training import heap

# Numbers of a chunk in the widest layer or the prior: 16 MB in float32, which suits the caches and the heap.
BUDGET = 1 << 22
GPU_BUDGET = 16 * BUDGET  # what keeps a GPU busy


class Bounds(NamedTuple):
    """Per row, in nats: the ELBO, the K-sample bound, and the ELBO's two parts."""

    elbo: Tensor
    bound: Tensor
    log_px: Tensor
    kl: Tensor


@torch.no_grad()
def bounds(
    model: LatentModel, x: Tensor, samples: int, seed: int = 0, context: Tensor | None = None, common: bool = False
) -> Bounds:
    """ELBO = E_q[log p(x|z)] − KL and log (1/K) Σ_k w_k for every row, from the same K samples.

    x: [rows, *event]. common: one fixed set of K noise vectors for all rows, so that a row's numbers depend neither on the
    rows beside it nor on their order. Without a density q (Point) the bound is NaN and the ELBO has no
    meaning. Burda et al., 2016.
    """
    heap.settle()
    codes = max(1, (GPU_BUDGET if model.device.type == "cuda" else BUDGET) // _held(model))
    # Samples before rows: the encoder sees a row again with every chunk of its samples.
    samples_at_once = math.ceil(samples / math.ceil(samples / codes))
    rows_at_once = min(256, codes // samples_at_once)
    density = model.latent.density
    # Made at once: small pieces kept between large chunks would leave holes in the heap that no later chunk fits.
    found = torch.empty(4, len(x), dtype=torch.float64)
    generator = torch.Generator(model.device).manual_seed(stream(seed, "bound"))
    for start in range(0, len(x), rows_at_once):
        if common:
            generator.manual_seed(stream(seed, "bound"))
        rows = x[start : start + rows_at_once].to(model.device)
        given = None if context is None else context[start : start + rows_at_once].to(model.device)
        numbers = _accumulated(model, rows, given, samples, samples_at_once, generator, common, density)
        found[:, start : start + rows_at_once] = numbers
    return Bounds(*found)


def _held(model: LatentModel) -> int:
    """Numbers held for each code at one time: the widest layer, or the raw output with what the prior compares."""
    widest = elements(model.raw_shape)

    def look(_: nn.Module, __: object, out: object) -> None:
        nonlocal widest
        if isinstance(out, Tensor):
            widest = max(widest, out.numel())

    layers = (*model.decoder.modules(), *model.likelihood.modules())
    hooks = [layer.register_forward_hook(look) for layer in layers]
    generator = torch.Generator(model.device)
    try:
        given = torch.zeros(1, model.context, device=model.device) if model.context else None
        px = model.generate(1, from_prior(generator), given)
        px.log_prob(sample(px, (), generator))  # a likelihood may have networks that see x, too
    finally:
        for hook in hooks:
            hook.remove()
    priors = [part for part in model.modules() if isinstance(part, Prior)]
    return max(widest, elements(model.raw_shape) + sum(prior.held for prior in priors) + 1)


def _accumulated(
    model: LatentModel,
    rows: Tensor,
    context: Tensor | None,
    samples: int,
    at_once: int,
    generator: torch.Generator,
    common: bool,
    density: bool,
) -> Tensor:
    """The four numbers of each row, [4, rows], in float64."""
    draw = shared(generator) if common else from_posterior(generator)
    top = torch.full((len(rows),), -math.inf, dtype=torch.float64, device=rows.device)
    sums = torch.zeros(2, len(rows), dtype=torch.float64, device=rows.device)
    done = 0
    while done < samples:
        count = min(at_once, samples - done)
        trace = model.trace(rows, count, draw, context)
        log_px = trace.log_px.double()
        kl = trace.kl.double().expand(count, len(rows)) if density else torch.zeros_like(log_px)
        sums += torch.stack((log_px.sum(0), kl.sum(0)))
        if density:
            top = torch.logaddexp(top, torch.logsumexp(log_px + trace.log_ratio.double(), 0))
        done += count
    log_px, kl = sums / samples
    bound = top - math.log(samples) if density else torch.full_like(top, math.nan)
    return torch.stack((log_px - kl, bound, log_px, kl))
