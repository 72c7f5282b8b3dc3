"""explore: reconstruct, generate, interpolate, traverse. All return [rows, *event] in the units of stored rows."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import sample
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.trace import Draw, fixed, from_posterior, from_prior, mean
from lambent.seeds import mixed_seed

CHUNK = 256


@torch.no_grad()
def encode(model: LatentModel, x: Tensor, context: Tensor | None = None, draw: Draw = mean) -> list[Tensor]:
    """Posterior means of every level, the top first, each [rows, units]."""
    pieces = []
    for start in range(0, len(x), CHUNK):
        given = None if context is None else context[start : start + CHUNK].to(model.device)
        nodes = model.infer(x[start : start + CHUNK].to(model.device), 1, draw, given)
        pieces.append([node.z[0].cpu() for node in nodes])
    return [torch.cat(level) for level in zip(*pieces, strict=True)]


@torch.no_grad()
def decode(model: LatentModel, codes: list[Tensor], context: Tensor | None = None, of_bytes: bool = False) -> Tensor:
    """The most likely rows for codes of every level."""
    pieces = []
    for start in range(0, len(codes[0]), CHUNK):
        part = [c[start : start + CHUNK].to(model.device, model.anchor.dtype) for c in codes]
        given = None if context is None else context[start : start + CHUNK].to(model.device)
        pieces.append(shown(model, model.generate(len(part[0]), fixed(*part), given), of_bytes).cpu())
    return torch.cat(pieces)


def shown(
    model: LatentModel, px: Distribution, of_bytes: bool = False, generator: torch.Generator | None = None
) -> Tensor:
    """p(x|z) as rows in stored units, as its likelihood shows it; or a draw of it, where a generator is given."""
    value = model.likelihood.shown(px) if generator is None else sample(px, (), generator)
    return model.likelihood.stored(value, of_bytes)


@torch.no_grad()
def reconstruct(
    model: LatentModel, x: Tensor, context: Tensor | None = None, of_bytes: bool = False, seed: int | None = None
) -> Tensor:
    """Rows through the code and back; by the posterior mean, or from one draw of it where a seed is given."""
    draw = mean if seed is None else from_posterior(torch.Generator(model.device).manual_seed(mixed_seed(seed, 4)))
    return decode(model, encode(model, x, context, draw), context, of_bytes)


@torch.no_grad()
def generate(
    model: LatentModel,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    context: Tensor | None = None,
    of_bytes: bool = False,
    noise: bool = False,
) -> Tensor:
    """n new rows, z from the prior with its noise scaled by `temperature`; with `noise`, x is drawn from p(x|z) too.

    Errors: `UsageError` for n below 1 or a temperature that is not positive.
    """
    if n < 1:
        raise UsageError(f"the number of samples must be at least 1, not {n}")
    if not temperature > 0:
        raise UsageError(f"temperature must be above 0, not {temperature}")
    generator = torch.Generator(model.device).manual_seed(mixed_seed(seed, 5))
    pieces = []
    for start in range(0, n, CHUNK):
        count = min(CHUNK, n - start)
        given = None if context is None else context[start : start + count].to(model.device)
        px = model.generate(count, from_prior(generator, temperature), given)
        pieces.append(shown(model, px, of_bytes, generator if noise else None).cpu())
    return torch.cat(pieces)


@torch.no_grad()
def interpolate(
    model: LatentModel,
    start: Tensor,
    end: Tensor,
    steps: int = 8,
    path: Literal["linear", "spherical"] = "spherical",
    context: Tensor | None = None,
    of_bytes: bool = False,
) -> Tensor:
    """From each row of `start` to the same row of `end` through their codes: [pairs, steps, *event].

    spherical keeps the length of the codes, as the mass of a wide Gaussian lies on a shell. White, Sampling Generative
    Networks, 2016.
    """
    if steps < 2:
        raise UsageError(f"an interpolation has at least 2 steps, not {steps}")
    ways = [
        torch.stack([_between(a, b, float(t), path) for t in torch.linspace(0, 1, steps)], 1)
        for a, b in zip(encode(model, start, context), encode(model, end, context), strict=True)
    ]
    given = None if context is None else context.repeat_interleave(steps, 0)
    rows = decode(model, [way.flatten(0, 1) for way in ways], given, of_bytes)
    return rows.reshape(len(start), steps, *rows.shape[1:])


def _between(a: Tensor, b: Tensor, t: float, path: str) -> Tensor:
    if path == "linear" or a.shape[-1] == 1:
        return torch.lerp(a, b, t)
    cosine = torch.nn.functional.cosine_similarity(a, b, -1).clamp(-1, 1).unsqueeze(-1)
    angle = cosine.arccos()
    sine = angle.sin()
    safe = sine.clamp_min(1e-6)
    round_ = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / safe
    return torch.where(sine < 1e-4, torch.lerp(a, b, t), round_)


@torch.no_grad()
def traverse(
    model: LatentModel,
    x: Tensor,
    units: list[tuple[int, int]],
    values: Tensor,
    context: Tensor | None = None,
    of_bytes: bool = False,
) -> Tensor:
    """One row's code with one unit at a time set to each of `values`: [units, values, *event].

    x: [1, *event]; units: pairs (level, unit); values: in standard deviations of the prior about its mean.
    """
    codes = encode(model, x, context)
    scales = prior_moments(model)
    for level, unit in units:
        if not (0 <= level < len(codes) and 0 <= unit < codes[level].shape[1]):
            sizes = ", ".join(f"{c.shape[1]} at level {i}" for i, c in enumerate(codes))
            raise UsageError(f"there is no unit {unit} at level {level}: this model has {sizes}")
    count = len(units) * len(values)
    walks = [c.repeat(count, 1) for c in codes]
    for row, (level, unit) in enumerate(units):
        centre, spread = (float(moment[unit]) for moment in scales[level])
        walks[level][row * len(values) : (row + 1) * len(values), unit] = centre + spread * values.to(
            walks[level].dtype
        )
    given = None if context is None else context.repeat(count, 1)
    rows = decode(model, walks, given, of_bytes)
    return rows.reshape(len(units), len(values), *rows.shape[1:])


@torch.no_grad()
def prior_moments(model: LatentModel, samples: int = 2000) -> list[tuple[Tensor, Tensor]]:
    """Mean and standard deviation of every unit under the prior, ([units], [units]) for each level, the top first.

    In closed form at the top where there is one, elsewhere of `samples` fixed draws.
    """
    generator = torch.Generator(model.device).manual_seed(mixed_seed(0, 8))
    found = []
    for node in model.imagine(samples, from_prior(generator)):
        codes = node.z.flatten(0, -2)
        try:
            centre, spread = node.p.mean, node.p.variance.sqrt()
        except NotImplementedError:  # a flow has no closed moments
            centre, spread = codes.mean(0), codes.std(0)
        if centre.dim() > 1:  # given the level above: these are of one draw each
            centre, spread = codes.mean(0), codes.std(0)
        found.append((centre.cpu(), spread.cpu()))
    return found


def plane(codes: Tensor) -> Tensor:
    """The first two principal components of codes [rows, units], for a map: [rows, 2]."""
    centred = (codes - codes.mean(0)).double()
    if centred.shape[1] < 2:
        return torch.cat((centred, torch.zeros_like(centred)), 1)[:, :2]
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    points: Any = centred @ axes[:2].T
    return torch.nn.functional.pad(points, (0, 2 - points.shape[1]))
