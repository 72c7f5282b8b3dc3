"""heatmaps: where pictures are odd: the nats of each pixel against what the model expects, and the regions that stand out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.distributions import Distribution, Independent

from lambent.distributions import sample
from lambent.distributions.logistic import LogisticPixels
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import steadily
from lambent.model.noise import RowNoise, row_keys
from lambent.model.trace import from_keys
from lambent.progress import counting
from lambent.seeds import stream
from lambent.tasks import explore

SAMPLES = 16  # codes of a picture
DRAWN = 4  # pictures of each code by which is known what its pixels cost on average
REFERENCE = 64  # normal pictures
SMOOTH = 32  # of the longer side, the deviation in pixels by which maps are smoothed, but one at least
NORMAL = 0.95  # share of the normal pictures in which no pixel passes the threshold
HALF = 0.5  # of a region's peak, where its edge is: that of a smoothed square is half way up
MOST = 5  # regions of a picture
Map = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """A region that stands out: its first row and column, height and width, and what it costs above expectation, in nats."""

    top: int
    left: int
    height: int
    width: int
    nats: float

    @property
    def text(self) -> str:
        """In words, such as "rows 10 to 17, columns 4 to 11: 84 nats more than expected"."""
        rows, columns = (_span(*ends) for ends in ((self.top, self.height), (self.left, self.width)))
        row, column = ("row" if self.height == 1 else "rows"), ("column" if self.width == 1 else "columns")
        return f"{row} {rows}, {column} {columns}: {self.nats:,.0f} nats more than expected"


@dataclass(frozen=True)
class Heatmap:
    """Where a picture is odd: nats above expectation of every pixel, smoothed, [height, width]; and regions, the oddest first."""

    heat: Map
    boxes: list[Box]
    threshold: float

    @property
    def text(self) -> str:
        """Where the picture is odd, in words; they say so where no region stands out."""
        return "; ".join(box.text for box in self.boxes) or "no region stands out, the picture as a whole is unusual"


@dataclass(frozen=True)
class Usual:
    """Of normal pictures: what each pixel costs above expectation, [height, width], and the heat that few of them pass."""

    mean: Map
    threshold: float


def heatmaps(
    fitted: Fitted, rows: Rows, index: Sequence[int] | Tensor | None = None, usual: Usual | None = None
) -> list[Heatmap]:
    """Where some of the pictures, by number (None: all), are odd.

    heat = E_q[−log p(x_ij | z)] − E_q E_x′[−log p(x′_ij | z)], x′ ~ p(x | z), less its mean over normal pictures, smoothed by a
    Gaussian. Regions are what passes a threshold that 95 % of the normal pictures nowhere pass. usual: what these are, by
    `usual_heat`; None: of pictures that the model draws. The same picture has the same map beside whatever others.
    Errors: `UsageError` for a model of no pictures, or whose likelihood has no pixels that cost by themselves.
    """
    chosen = torch.arange(len(rows)) if index is None else torch.as_tensor(index, dtype=torch.long)
    usual = usual_heat(fitted, _drawn(fitted)) if usual is None else usual
    return [_mapped(each, usual) for each in _excess(fitted, rows.at(chosen), "heat-maps")]


def usual_heat(fitted: Fitted, rows: Rows) -> Usual:
    """What normal pictures cost, of at most 64 of them, evenly spread."""
    some = torch.linspace(0, len(rows) - 1, min(len(rows), REFERENCE)).round().long()
    maps = _excess(fitted, rows.at(some), "normal pictures")
    mean = np.mean(maps, 0)
    peaks = [_smoothed(each - mean).max() for each in maps]
    return Usual(mean, float(np.quantile(peaks, NORMAL)))


def _mapped(excess: Map, usual: Usual) -> Heatmap:
    raw = excess - usual.mean
    heat = _smoothed(raw)
    return Heatmap(heat, _boxes(heat, raw, usual.threshold), usual.threshold)


def _boxes(heat: Map, raw: Map, threshold: float) -> list[Box]:
    """The regions above the threshold, each as far as half of its peak."""
    labels, count = ndimage.label(heat > threshold)
    found = []
    for place, span in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[span] == place
        inside &= heat[span] >= HALF * heat[span][inside].max()
        # What is cut off at the sides may leave several pieces: the one with the peak counts.
        pieces, _ = ndimage.label(inside)
        inside = pieces == pieces[np.unravel_index(np.where(inside, heat[span], -np.inf).argmax(), inside.shape)]
        high, wide = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        top, left = span[0].start + high[0], span[1].start + wide[0]
        nats = float(raw[span][inside].sum())
        found.append(Box(int(top), int(left), int(high[-1] - high[0] + 1), int(wide[-1] - wide[0] + 1), nats))
    return sorted(found, key=lambda box: -box.nats)[:MOST] if count else []


def _smoothed(raw: Map) -> Map:
    smoothed: Map = ndimage.gaussian_filter(raw, max(1.0, max(raw.shape) / SMOOTH), mode="nearest")
    return smoothed


@torch.no_grad()
def _excess(fitted: Fitted, rows: Rows, what: str) -> list[Map]:
    """The nats of each pixel above expectation, one picture at a time, so that none hangs on those beside it."""
    model, maps = fitted.model, []
    if len(model.event_shape) != 3:
        raise UsageError("heat-maps are for pictures; reasons name the columns of tables")
    noise = RowNoise(SAMPLES, sum(model.latent.sizes_of_levels), model.device)
    with counting(what, len(rows)) as add, steadily():
        for place in range(len(rows)):
            one = rows.at(torch.tensor([place]))
            x, keys = one.x.to(model.device), row_keys(one.x, 0).to(model.device)
            context = None if one.context is None else one.context.to(model.device)
            trace = model.trace(x, SAMPLES, from_keys(noise, keys, members=model.members), context)
            generator = torch.Generator(model.device).manual_seed(stream(int(keys[0]) >> 2, "expected pixels"))
            drawn = sample(trace.px, (DRAWN,), generator)
            cost, expected = -pixelwise(trace.px, trace.x).mean(0), -pixelwise(trace.px, drawn).mean((0, 1))
            maps.append((cost - expected)[0].double().cpu().numpy())
            add(1)
    return maps


def pixelwise(px: Distribution, value: Tensor) -> Tensor:
    """The share of each pixel in log p(x | z), all channels together, [*batch, height, width]; nought where one is missing.

    Raises `UsageError` for a distribution whose pixels cost nothing by themselves.
    """
    if isinstance(px, LogisticPixels):
        return px.pixel_log_prob(value.to(px.location.dtype))
    if isinstance(px, Independent) and px.reinterpreted_batch_ndims == 3:
        value = value.expand(torch.broadcast_shapes(value.shape, (*px.batch_shape, *px.event_shape)))
        missing = torch.isnan(value) if value.is_floating_point() else torch.zeros_like(value, dtype=torch.bool)
        each: Tensor = px.base_dist.log_prob(value.masked_fill(missing, 0)).masked_fill(missing, 0.0)
        return each.sum(-3)
    raise UsageError(
        f"pixels under {type(px).__name__} have no log-probability of their own: use the DiscretizedLogistics, Bernoulli, "
        "ContinuousBernoulli or Gaussian likelihood"
    )


def _drawn(fitted: Fitted) -> Rows:
    """Pictures that the model draws, under conditions as training had them."""
    generator = torch.Generator().manual_seed(stream(0, "usual"))
    context = fitted.conditions.typical(REFERENCE, generator) if fitted.conditions else None
    return Rows(explore.generate(fitted, REFERENCE, 0, context=context, noise=True), context)


def _span(first: int, length: int) -> str:
    return f"{first}" if length == 1 else f"{first} to {first + length - 1}"


def peak(maps: Sequence[Heatmap]) -> float:
    """The heat that is shown brightest, the same for all of them: their greatest, and twice the threshold at least."""
    return max([2 * maps[0].threshold, *(float(each.heat.max()) for each in maps)]) if maps else math.nan
