"""What can be measured of a model without an encoder: of what it draws, beside real rows."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.metrics.samples.spectrum import sharpness, spectrum
from lambent.seeds import stream
from lambent.tasks import explore
from lambent.tasks.evaluate import Evaluation, evaluate
from lambent.tasks.metric import Metric

MOST = 2000  # rows that are drawn, and as many real ones
LEAST_SIDE = 4  # pixels of pictures that have a spectrum
MOVED = 16  # codes at which units are tried
TRIED = 256  # units of the top level that are tried


def evaluated(fitted: Fitted, data: Any, samples: int, seed: int = 0) -> Evaluation:
    """`evaluate`, or, of a model without an encoder, that of its samples."""
    if fitted.model.latent.encodes:
        return evaluate(fitted, data, samples=samples, seed=seed)
    rows = fitted.rows(data, seed)
    return Evaluation(looked_at(fitted, rows, seed), [], len(rows), 0, seed)


@torch.no_grad()
def looked_at(fitted: Fitted, rows: Rows, seed: int = 0) -> dict[str, Metric]:
    """How varied drawn rows are, and of pictures how sharp, beside as many real ones: 1 is as those are.

    Both see a collapse and blur, and neither tells a good picture from a bad one: `judge_samples` does.
    """
    count = min(MOST, len(rows))
    real = rows.at(torch.linspace(0, len(rows) - 1, count).round().long())
    drawn = explore.generate(fitted, count, stream(seed, "looks at samples"), context=real.context)
    metrics = {"spread": _spread(drawn, real.x, seed)} if count > 1 else {}
    pictures = [fitted.pictures(x) for x in (drawn, real.x)]
    if any(shown is None or min(shown.shape[1:3]) < LEAST_SIDE for shown in pictures) or count < 2:
        return metrics
    own, other = (spectrum(np.asarray(shown)) for shown in pictures)
    found = sharpness(own, other)
    if not np.isfinite(found.value):
        return metrics
    meaning = "energy of samples above a quarter of a cycle per pixel over that of real pictures: below 1 blurred, above noisy"
    return metrics | {"sharpness": Metric(found.value, "of the real rows'", found.error, meaning)}


def _spread(drawn: Tensor, real: Tensor, seed: int) -> Metric:
    """The mean distance of two drawn rows over that of two real ones, with the error of a ratio of two means."""
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(stream(seed, "looks at samples")))
    pairs = [x.double().nan_to_num() for x in (drawn, real[order])]  # real rows may stand in order of their class
    apart = [(x - x.roll(1, 0)).flatten(1).norm(dim=1) for x in pairs]
    own, other = (float(each.mean()) for each in apart)
    if not other > 0:
        return Metric(float("inf") if own > 0 else 1.0, "of the real rows'", None, "the real rows are all alike")
    ratio = own / other
    parts = [float(each.var()) / len(each) for each in apart]
    error = (parts[0] + ratio**2 * parts[1]) ** 0.5 / other
    meaning = "mean distance of two samples over that of two real rows: near 1 as varied, near 0 collapsed"
    return Metric(ratio, "of the real rows'", error, meaning)


@torch.no_grad()
def liveliest(fitted: Fitted, count: int, seed: int = 0, context: Tensor | None = None) -> list[tuple[int, int]]:
    """(level, unit) of the units of the top level that change most of what is made, by one deviation either way: what stands in
    for the units that carry most, where no encoder says so. context: [1, width], the same for all.
    """
    model = fitted.model
    wide = None if context is None else context.expand(MOVED, -1)
    codes = explore.prior_codes(fitted, MOVED, seed, wide)
    scale = explore.prior_moments(model, context=context)[0][1]
    top = codes[0].flatten(1)
    changes = []
    for unit in range(min(TRIED, top.shape[1])):
        ends = []
        for side in (-1.0, 1.0):
            moved = top.clone()
            moved[:, unit] += side * scale[unit]
            ends.append(explore.decode(fitted, [moved.reshape(codes[0].shape), *codes[1:]], wide).double())
        changes.append(float((ends[1] - ends[0]).square().mean()))
    order = np.argsort(-np.array(changes), kind="stable")[:count]
    return [(0, int(unit)) for unit in order]
