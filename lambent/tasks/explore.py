"""explore: reconstruct, generate, interpolate, traverse. All return [rows, *event] in the units of stored rows.

Each takes a `Fitted`, or a bare trained model; x are rows as the model takes them (`Fitted.rows`), context what conditions them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions import sample, vector
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.directions import Directions
from lambent.model import LatentModel
from lambent.model.trace import Draw, beside, expected, first, fixed, from_posterior, from_prior, mean
from lambent.progress import chunks
from lambent.seeds import stream

CHUNK = 256
Trained = Fitted | LatentModel


@torch.no_grad()
def encode(fitted: Trained, x: Tensor, context: Tensor | None = None, draw: Draw = mean) -> list[Tensor]:
    """Posterior means of every level, the top first, each [rows, *shape]; of an ensemble those of all members side by side."""
    model = Fitted.of(fitted).model
    pieces = []
    for part in chunks("encoding", len(x), CHUNK):
        nodes = model.infer(x[part].to(model.device), 1, draw, _part(model, context, part))
        pieces.append([beside(node.z).cpu() for node in nodes])
    return [torch.cat(level) for level in zip(*pieces, strict=True)]


@torch.no_grad()
def decode(fitted: Trained, codes: list[Tensor], context: Tensor | None = None) -> Tensor:
    """The most likely rows for codes of every level, as `encode` gives them; of an ensemble the median over its members' rows."""
    fitted = Fitted.of(fitted)
    model = fitted.model
    pieces = []
    for part in chunks("decoding", len(codes[0]), CHUNK):
        levels = [c[part].to(model.device, model.anchor.dtype) for c in codes]
        pieces.append(_decoded(fitted, levels, _part(model, context, part)).cpu())
    return torch.cat(pieces)


def _decoded(fitted: Fitted, levels: list[Tensor], context: Tensor | None) -> Tensor:
    model, rows = fitted.model, len(levels[0])
    if model.members == 1:
        return shown(fitted, model.generate(rows, fixed(*levels), context))
    each = [code.unflatten(1, (model.members, -1)).transpose(0, 1).flatten(0, 1) for code in levels]
    owners = torch.arange(model.members, device=model.device).repeat_interleave(rows)
    given = None if context is None else context.repeat(model.members, 1)
    every = shown(fitted, model.generate(len(owners), fixed(*each), given, owners))
    # Of several values of the support one of them, be they numbers or names.
    middle: Tensor = every.unflatten(0, (model.members, rows)).median(0).values
    return middle


def shown(fitted: Trained, px: Distribution, generator: torch.Generator | None = None) -> Tensor:
    """p(x|z) as rows in stored units: its centre (the mean, the mode of tokens), or a draw where a generator is given."""
    fitted = Fitted.of(fitted)
    likelihood = fitted.model.likelihood
    value = likelihood.shown(px) if generator is None else sample(px, (), generator)
    stored: Tensor = likelihood.stored(value, fitted.of_bytes)
    return stored


@torch.no_grad()
def reconstruct(
    fitted: Trained,
    x: Tensor,
    context: Tensor | None = None,
    seed: int | None = None,
    under: Tensor | None = None,
) -> Tensor:
    """Rows through the code and back; by the posterior mean, or from one draw of it where a seed is given.

    under: another context to decode under than the rows' own: the same code, another label.
    """
    model = Fitted.of(fitted).model
    draw = (
        mean if seed is None else from_posterior(torch.Generator(model.device).manual_seed(stream(seed, "reconstruct")))
    )
    return decode(fitted, encode(fitted, x, context, draw), context if under is None else under)


def rows_under(
    fitted: Trained, data: Any, given: Mapping[str, Any] | None = None, seed: int = 0
) -> tuple[Rows, Tensor | None]:
    """Rows as the model takes them, and the context to decode them under where values of conditions are `given`, else None.

    The given values take the place of the rows' own, which keep what is not given. Rows that do not say what conditions them
    are encoded under what is given, too. Errors as for `Fitted.rows`.
    """
    fitted = Fitted.of(fitted)
    if not given:
        return fitted.rows(data, seed), None
    moved = fitted.rows(data, seed, given)
    silent = moved.encoded is None or moved.encoded.context is None
    return (moved if silent else fitted.rows(data, seed)), moved.context


def stages(fitted: Trained, most: int = 8) -> list[int]:
    """Numbers of levels from the top to look at rows by, the last of them all: 1, 2, … or at even distances up to `most`."""
    count = len(Fitted.of(fitted).model.latent.shapes_of_levels)
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(step * (count - 1) / (most - 1)) for step in range(most)})


@torch.no_grad()
def levels_shown(
    fitted: Trained, x: Tensor, context: Tensor | None = None, counts: Sequence[int] | None = None
) -> Tensor:
    """What the levels of a hierarchy hold, the top first: [rows, counts, *event].

    For each of `counts` (`stages` unless given) so many levels are the posterior's means, and those below the means that the
    prior expects of them. A model of one vector has one level.
    """
    fitted = Fitted.of(fitted)
    model, pieces = fitted.model, []
    counts = stages(fitted) if counts is None else counts
    for part in chunks("decoding", len(x), CHUNK):
        given = _part(model, context, part)
        of_part = [
            encode(fitted, x[part], given, first(count, mean, expected)) for count in counts
        ]  # one pass down each
        pieces.append(torch.stack([decode(fitted, codes, given) for codes in of_part], 1))
    return torch.cat(pieces)


@torch.no_grad()
def generate(
    fitted: Trained,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    context: Tensor | None = None,
    noise: bool = False,
) -> Tensor:
    """n new rows, z from the prior with its noise scaled by `temperature`; with `noise`, x is drawn from p(x|z) too.

    Errors: `UsageError` for n below 1 or a temperature that is not positive.
    """
    if n < 1:
        raise UsageError(f"the number of samples must be at least 1, not {n}")
    if not temperature > 0:
        raise UsageError(f"temperature must be above 0, not {temperature}")
    model = Fitted.of(fitted).model
    generator = torch.Generator(model.device).manual_seed(stream(seed, "generate"))
    pieces = []
    for part in chunks("sampling", n, CHUNK):
        count = min(part.stop, n) - part.start
        px = model.generate(count, from_prior(generator, temperature), _part(model, context, part))
        pieces.append(shown(fitted, px, generator if noise else None).cpu())
    return torch.cat(pieces)


@torch.no_grad()
def prior_codes(fitted: Trained, n: int, seed: int = 0, context: Tensor | None = None) -> list[Tensor]:
    """n codes from the prior, every level, the top first, each [n, *shape]; of an ensemble those of all members side by side."""
    model = Fitted.of(fitted).model
    generator = torch.Generator(model.device).manual_seed(stream(seed, "prior codes"))
    given = None if context is None else context.to(model.device).repeat(model.members, 1)
    nodes = model.imagine(n * model.members, from_prior(generator), given)
    return [beside(node.z[0].unflatten(0, (model.members, n))).cpu() for node in nodes]


@torch.no_grad()
def interpolate(
    fitted: Trained,
    start: Tensor,
    end: Tensor,
    steps: int = 8,
    path: Literal["linear", "spherical"] = "spherical",
    context: Tensor | None = None,
    context_end: Tensor | None = None,
) -> Tensor:
    """From each row of `start` to the same row of `end` through their codes: [pairs, steps, *event].

    context: of the rows of `start`; `context_end`, of those of `end`, the same unless given: it changes along the way too.
    spherical keeps the length of the codes, as the mass of a wide Gaussian lies on a shell. White, Sampling Generative
    Networks, 2016.
    """
    _refuse_steps(steps)
    ends = encode(fitted, start, context), encode(fitted, end, context if context_end is None else context_end)
    return walk(fitted, *ends, steps, path, context, context_end)


@torch.no_grad()
def walk(
    fitted: Trained,
    start: list[Tensor],
    end: list[Tensor],
    steps: int = 8,
    path: Literal["linear", "spherical"] = "spherical",
    context: Tensor | None = None,
    context_end: Tensor | None = None,
) -> Tensor:
    """`interpolate` between codes of every level, as `encode`, `prior_codes` and `lambent.invert` give them."""
    _refuse_steps(steps)
    last = context if context_end is None else context_end
    times = [float(t) for t in torch.linspace(0, 1, steps)]
    ways = [torch.stack([_between(a, b, t, path) for t in times], 1) for a, b in zip(start, end, strict=True)]
    given = None
    if context is not None and last is not None:
        given = torch.stack([torch.lerp(context, last, t) for t in times], 1).flatten(0, 1)
    rows = decode(fitted, [way.flatten(0, 1) for way in ways], given)
    return rows.reshape(len(start[0]), steps, *rows.shape[1:])


def _refuse_steps(steps: int) -> None:
    if steps < 2:
        raise UsageError(f"an interpolation has at least 2 steps, not {steps}")


def _part(model: LatentModel, context: Tensor | None, part: slice) -> Tensor | None:
    return None if context is None else context[part].to(model.device)


def _between(a: Tensor, b: Tensor, t: float, path: str) -> Tensor:
    if a.dim() > 2:  # maps are walked as vectors
        return _between(a.flatten(1), b.flatten(1), t, path).reshape(a.shape)
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
    fitted: Trained,
    x: Tensor,
    units: list[tuple[int, int]],
    values: Tensor,
    context: Tensor | None = None,
    along: Sequence[Directions | None] = (),
) -> Tensor:
    """One row's code with one unit at a time set to each of `values`: [units, values, *event].

    x: [1, *event]; the rest as for `moved`.
    """
    return moved(fitted, encode(fitted, x, context), units, values, context, along)


@torch.no_grad()
def moved(
    fitted: Trained,
    code: list[Tensor],
    units: list[tuple[int, int]],
    values: Tensor,
    context: Tensor | None = None,
    along: Sequence[Directions | None] = (),
) -> Tensor:
    """`traverse` from a code of every level, each [1, *shape], as `encode`, `prior_codes` and `lambent.invert` give them.

    units: pairs (level, unit); values: in standard deviations of the prior about its mean. along: by level, what
    `lambent.metrics.collapse.levels` found of a code that may be turned: there a pair is (level, direction), both from 0, and
    values are in standard deviations of the codes along it about their mean.
    """
    model = Fitted.of(fitted).model
    shapes = model.code_shapes
    codes = [level.flatten(1) for level in code]
    scales = prior_moments(model, context=context)
    for level, unit in units:
        if not (0 <= level < len(codes) and 0 <= unit < codes[level].shape[1]):
            sizes = ", ".join(f"{c.shape[1]} at level {i}" for i, c in enumerate(codes))
            raise UsageError(f"there is no unit {unit} at level {level}: this model has {sizes}")
    count = len(units) * len(values)
    walks = [c.repeat(count, 1) for c in codes]
    for row, (level, unit) in enumerate(units):
        walk = walks[level][row * len(values) : (row + 1) * len(values)]
        directions = along[level] if level < len(along) else None
        if directions is not None:
            walk.copy_(directions.moved(codes[level][0], unit, values))
        else:
            centre, spread = (float(moment[unit]) for moment in scales[level])
            walk[:, unit] = centre + spread * values.to(walk.dtype)
    if model.latent.support == "sphere":  # back onto it, each member's own
        walks[0] = functional.normalize(walks[0].unflatten(1, (model.members, -1)), dim=-1).flatten(1)
    given = None if context is None else context.repeat(count, 1)
    rows = decode(fitted, [walk.unflatten(1, shape) for walk, shape in zip(walks, shapes, strict=True)], given)
    return rows.reshape(len(units), len(values), *rows.shape[1:])


@torch.no_grad()
def prior_moments(
    model: LatentModel, samples: int = 2000, context: Tensor | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Mean and standard deviation of every unit under the prior, ([units], [units]) for each level, the top first, as `encode`.

    In closed form at the top where there is one, elsewhere of `samples` fixed draws. context: [1, width], the same for all.
    """
    generator = torch.Generator(model.device).manual_seed(stream(0, "prior moments"))
    found = []
    given = None if context is None else context.expand(samples, -1)
    for level, node in enumerate(model.imagine(samples, from_prior(generator), given)):
        codes = node.z.flatten(2).flatten(0, 1)
        centre, spread = codes.mean(0), codes.std(0)
        if level == 0:  # below, closed moments are given one draw of the level above
            with suppress(NotImplementedError):  # a flow has none
                p = vector(node.p)
                centre, spread = (m.reshape(-1, m.shape[-1])[0] for m in (p.mean, p.variance.sqrt()))
        found.append((centre.cpu().repeat(model.members), spread.cpu().repeat(model.members)))
    return found


def plane(codes: Tensor) -> Tensor:
    """The first two principal components of codes [rows, units], for a map: [rows, 2]."""
    centred = (codes - codes.mean(0)).double()
    if centred.shape[1] < 2:
        return torch.cat((centred, torch.zeros_like(centred)), 1)[:, :2]
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    points: Any = centred @ axes[:2].T
    return torch.nn.functional.pad(points, (0, 2 - points.shape[1]))
