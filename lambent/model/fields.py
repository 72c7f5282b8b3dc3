"""Receptive fields: how far what a model makes of a place in a picture hangs on the pixels around it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model.joining import joined
from lambent.model.model import LatentModel
from lambent.model.networks import Pyramid
from lambent.model.steady import steady_maps
from lambent.model.trace import expected, first, mean

PROBES = (512, 1024)  # sides of pictures by which the steps of maps are told
FARTHEST = 8192  # pixels; what reaches farther counts as without bound


@dataclass(frozen=True)
class Field:
    """step: pixels by which a window may be moved without changing what maps see; reach: how far beyond a window's edge pixels
    can be that change something within it, rounded up to whole steps.
    """

    step: int
    reach: int


def field_of(model: LatentModel) -> Field:
    """The field of all of a model: encoder, latent and decoder.

    Found by passes over strips in which all pixels beyond an edge are NaN, which goes through every product, with a weight of
    nought too: what comes out as a number hangs on none of them.
    Raises `UsageError` where it has no bound, or where weights know the size of the picture.
    """
    step = _step(model)
    reach = max(_reach(model, step, upright) for upright in (False, True))
    return Field(step, -(-reach // step) * step)


def steps_of_levels(model: LatentModel, side: int) -> list[int]:
    """How many pixels a place of each level's map stands for, in a model of pictures of that height; 0 of a style, a vector."""
    shapes = model.latent.shapes_of_levels
    return [0] * _above(model) + [side // shape[1] for shape in shapes[_above(model) :]]


def _above(model: LatentModel) -> int:
    """How many levels, from the top, belong to the whole picture whatever its size: the style of grouped codes."""
    return int(model.latent.grouped)


def _step(model: LatentModel) -> int:
    found = set()
    for side in PROBES:
        probe = model.resized((model.event_shape[0], side, side))
        maps = probe.encoder.shape if isinstance(probe.encoder, Pyramid) else []
        found.add(side / min(shape[1] for shape in [*maps, *probe.latent.shapes_of_levels[_above(model) :]]))
    if len(found) > 1 or not float(next(iter(found))).is_integer():
        raise _unbounded(model, "some of its maps are of one size, whatever the picture")
    return int(found.pop())


def _reach(model: LatentModel, step: int, upright: bool) -> int:
    length = 16 * step
    while length <= max(FARTHEST, 16 * step):
        shape = (length, 2 * step) if upright else (2 * step, length)
        probe = model.resized((model.event_shape[0], *shape)).eval()
        found = _spoiled(probe, step, length, -2 if upright else -1)
        if found is not None:
            return found
        length *= 2
    raise _unbounded(model, f"every place hangs on pixels more than {FARTHEST // 2:,} away")


@torch.no_grad()
def _spoiled(probe: LatentModel, step: int, length: int, axis: int) -> int | None:
    """How far NaN beyond an edge in the middle reaches to either side; None where it reaches the end of the strip."""
    edge = length // (2 * step) * step
    farthest = 0
    for before in (False, True):
        rows = torch.zeros(1, *probe.event_shape, device=probe.device)
        embedded = probe.likelihood.seen(probe.likelihood.observe(rows)).to(probe.anchor.dtype)
        beyond = embedded.narrow(axis, 0, edge) if before else embedded.narrow(axis, edge, length - edge)
        beyond.fill_(torch.nan)
        for made in _made(probe, embedded):
            spoiled = torch.isnan(made).transpose(axis, -1).flatten(0, -2).any(0).nonzero()
            pixels = length // made.shape[axis]
            if not len(spoiled) or (int(spoiled[0]) == 0 and int(spoiled[-1]) == made.shape[axis] - 1):
                return None
            reached = (int(spoiled[-1]) + 1) * pixels - edge if before else edge - int(spoiled[0]) * pixels
            farthest = max(farthest, reached)
    return farthest


def _made(probe: LatentModel, embedded: Tensor) -> list[Tensor]:
    """The maps of codes and the raw output for one embedded row, by the means; under any style, as that is given."""
    reading = probe.context and not probe.latent.grouped
    context = torch.zeros(1, probe.context, device=probe.device) if reading else None
    above = _above(probe)
    with steady_maps():
        features = probe._features(embedded)
        maps = [joined(each, context) for each in features] if context is not None else features
        hidden, nodes = probe.latent(maps, first(above, expected, mean), 1, probe._features, context)
        raw = probe._raw(joined(hidden, context))
    return [raw, *(node.z[0] for node in nodes[above:])]


def _unbounded(model: LatentModel, why: str) -> UsageError:
    return UsageError(
        f"this model ({type(model.latent).__name__}, {type(model.network).__name__}) cannot take a picture in tiles that equal "
        f"the whole, for {why}: train one whose maps are all a share of the picture, such as Grid('/8x1')"
    )
