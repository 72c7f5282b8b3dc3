"""differential: which genes two groups of cells express differently, by draws of the model's own uncertainty."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel
from lambent.model.trace import from_posterior
from lambent.progress import counting
from lambent.seeds import stream
from lambent.tasks.expression.normalized import CHUNK, PER, batches_of, drawn_codes, shares

DRAWS = 200
MOST_CELLS = 256  # of each group in a draw
CHANGE = 0.25  # log2 fold change that counts for one
RATE = 0.05
LEAST = 0.1  # counts in 10,000 that are added to both groups: below, folds are of noise
CERTAIN = 1e-3  # of a draw: no count of draws makes a probability of 0 or 1

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Differences:
    """By gene, [genes]: how two groups of cells differ.

    probability: P(|log2 fold| > change | data). bayes_factor: its log odds, natural, against even prior odds. fold: median log2
    fold change, the first group over the second; low, high: its central 95 %. first, second: mean expression in 10,000 counts.
    expected: the false discovery rate expected of this gene and all that are more probable: the mean of 1 − probability.
    """

    probability: Numbers
    fold: Numbers
    low: Numbers
    high: Numbers
    first: Numbers
    second: Numbers
    bayes_factor: Numbers
    expected: Numbers


@torch.no_grad()
def differential(
    fitted: Any,
    first: Rows,
    second: Rows,
    change: float = CHANGE,
    draws: int = DRAWS,
    seed: int = 0,
    least: float = LEAST,
) -> Differences:
    """Which genes differ by more than `change` in log2 between two groups of cells, batches set equal.

    In each draw as many cells are taken of both groups, with replacement, a code of each from its posterior, and these are
    decoded under every batch that occurs in either: the log2 ratio of the groups' mean shares, `least` counts in 10,000 added to
    both, less the median ratio of the genes that are expressed. So draws differ as those of other cells of the same groups would.
    The mean of each group is uncertain by at least what the counts themselves leave open, a gamma variable of mean 1 and of the
    relative variance of the mean observed share: a decoder is no surer of a rare gene than its cells are. Boyeau et al., An
    empirical Bayes method for differential expression analysis of single cells with deep generative models, 2023; Lopez et al.,
    2018.
    Errors: `UsageError` for an empty group, and as `normalized`.
    """
    fitted = Fitted.of(fitted)
    for name, group in (("first", first), ("second", second)):
        if not len(group):
            raise UsageError(f"the {name} group holds no cells, so there is nothing to compare")
    if draws < 2 or not change >= 0 or not least > 0:
        raise UsageError(
            f"draws must be at least 2, change not below 0, least above 0; not {draws}, {change:g}, {least:g}"
        )
    batches = batches_of([first.context, second.context])
    generator = torch.Generator().manual_seed(stream(seed, "differential expression"))
    rng = np.random.default_rng(stream(seed, "differential expression"))
    means = []
    size = min(MOST_CELLS, max(len(first), len(second)))
    with counting("differential expression", 2 * draws) as add:
        for group in (first, second):
            found = _means(fitted.model, group, batches, draws, size, generator, add)
            means.append(_uncertain(found.double().numpy(), group, rng))
    return _compared(means[0] * PER, means[1] * PER, change, least)


def _uncertain(means: Numbers, rows: Rows, rng: np.random.Generator) -> Numbers:
    """Draws of a group's mean shares, [draws, genes], with what its counts leave open of them."""
    sums, squares, depth = np.zeros(means.shape[1]), np.zeros(means.shape[1]), 0.0
    for part in rows.x.split(1024):
        x = part.double().numpy()
        sizes = np.maximum(x.sum(1, keepdims=True), 1)
        sums += (x / sizes).sum(0)
        squares += ((x / sizes) ** 2).sum(0)
        depth += float(sizes.sum())
    count, centre = len(rows), means.mean(0)
    observed = sums / count
    spread = np.maximum(squares / count - observed**2, 0) / max(1, count - 1)
    variance = np.maximum(spread, centre / depth)  # at least that of Poisson counts of all its cells together
    relative = np.clip(variance / np.maximum(np.maximum(centre, observed), 1e-12) ** 2, 1e-8, 1e2)
    return np.asarray(means * rng.gamma(1 / relative, relative, means.shape))


def _means(
    model: LatentModel, rows: Rows, batches: Tensor | None, draws: int, size: int, generator: torch.Generator, add: Any
) -> Tensor:
    """The mean share of every gene over cells drawn from a group, [draws, genes].

    Each cell of the group is decoded once for a few draws of its code, and means are taken over those that a draw picks.
    """
    noise = torch.Generator(model.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    picked = torch.randint(len(rows), (draws, size), generator=generator)
    counts = torch.zeros(draws, len(rows)).scatter_add_(1, picked, torch.ones(draws, size)) / size
    seen = counts.any(0).nonzero().squeeze(1)
    codes = max(1, min(8, round(draws * size / max(1, len(seen)) / 8)))
    halves = torch.arange(draws) % codes  # which code of a cell each draw looks at
    total: Tensor | None = None
    for part in seen.split(CHUNK):
        chosen = rows.at(part)
        for number, each in enumerate(drawn_codes(model, chosen, slice(None), from_posterior(noise), codes)):
            share = _over_batches(model, each, batches).cpu()
            if total is None:
                total = share.new_zeros(draws, share.shape[1])
            own = halves == number
            total[own] += counts[own][:, part].to(share.dtype) @ share
        add(draws * len(part) / len(seen))
    assert total is not None
    return total


def _over_batches(model: LatentModel, codes: list[Tensor], batches: Tensor | None) -> Tensor:
    if batches is None:
        return shares(model, codes, None)
    cells = len(codes[0])
    each = [shares(model, codes, batch.to(model.device).expand(cells, -1)) for batch in batches]
    return torch.stack(each).mean(0)


def _compared(first: Numbers, second: Numbers, change: float, least: float) -> Differences:
    folds = np.log2(first + least) - np.log2(second + least)
    # Shares sum to one: what some genes gain all others lose. Most genes are taken not to differ, so that the median ratio of
    # those that are expressed is of shares alone, and none of theirs.
    expressed = np.minimum(first.mean(0), second.mean(0)) > least
    if expressed.any():
        folds = folds - np.median(folds[:, expressed], axis=1, keepdims=True)
    draws = len(folds)
    # Draws are a sample of the posterior of the fold, which is about normal: its tails beyond ±change tell apart what
    # counts of draws no longer do.
    probability = (np.abs(folds) > change).mean(0)
    probability = np.clip(probability, CERTAIN / draws, 1 - CERTAIN / draws)
    low, median, high = np.quantile(folds, (0.025, 0.5, 0.975), axis=0)
    order = np.lexsort((-np.abs(median), -probability))
    expected = np.empty_like(probability)
    expected[order] = np.cumsum(1 - probability[order]) / np.arange(1, len(order) + 1)
    odds = np.log(probability) - np.log1p(-probability)
    return Differences(probability, median, low, high, first.mean(0), second.mean(0), odds, expected)
