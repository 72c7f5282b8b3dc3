"""normalized: what share of a cell's counts each gene has, without noise and depth, and in whichever batch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel
from lambent.model.likelihoods.counts import Overdispersed
from lambent.model.trace import Draw, fixed, from_posterior, mean
from lambent.progress import chunks
from lambent.seeds import stream

CHUNK = 128
PER = 10_000.0  # counts of a cell that shares are shown of
MOST_BATCHES = 16  # contexts that are averaged over


@torch.no_grad()
def normalized(
    fitted: Any,
    rows: Rows,
    given: Mapping[str, Any] | None = None,
    samples: int = 0,
    seed: int = 0,
    per: float = PER,
) -> Tensor:
    """E ρ(z, c) · per, [cells, genes]: the mean share of each gene, of a cell of `per` counts.

    given: conditions to decode under in place of the cells' own, such as {"batch": "A"}: then all are as if measured there.
    samples: codes drawn of each cell's posterior, over which shares are averaged; 0: those of its mean. per: 1 for shares.
    Errors: `UsageError` for a model that has no shares (a likelihood without library="observed"), and those of `given`.
    """
    fitted = Fitted.of(fitted)
    model = fitted.model
    under = rows.context
    if given:
        under = (
            fitted.given(given, len(rows)) if rows.context is None else fitted.conditions.replaced(rows.context, given)
        )
    generator = torch.Generator(model.device).manual_seed(stream(seed, "normalized expression"))
    draw = from_posterior(generator) if samples else mean
    pieces = []
    for part in chunks("expression", len(rows), CHUNK):
        codes = drawn_codes(model, rows, part, draw, max(1, samples))
        context = None if under is None else under[part].to(model.device)
        pieces.append(sum(shares(model, each, context) for each in codes).mul_(per / len(codes)).cpu())  # type: ignore[union-attr]
    return torch.cat(pieces)


def drawn_codes(model: LatentModel, rows: Rows, part: slice, draw: Draw, samples: int = 1) -> list[list[Tensor]]:
    """Codes of some cells, so many of each: by sample, by level, [cells, *shape]."""
    x, context = rows.x[part].to(model.device), None if rows.context is None else rows.context[part].to(model.device)
    levels = [node.z for node in model.infer(x, samples, draw, context)]
    return [[level[number] for level in levels] for number in range(len(levels[0]))]


def shares(model: LatentModel, codes: list[Tensor], context: Tensor | None) -> Tensor:
    """ρ(z, c), [cells, genes], which sums to 1 over genes."""
    raw = model.decoded(len(codes[0]), fixed(*codes), context)
    return _of_counts(model).shares(raw, context)


def _of_counts(model: LatentModel) -> Overdispersed:
    """Its likelihood; `UsageError` where that is none of counts, or the model is an ensemble."""
    if not isinstance(model.likelihood, Overdispersed):
        raise UsageError(
            f"expression is asked of counts, and this model has a {type(model.likelihood).__name__} likelihood: use "
            'NegativeBinomial or ZeroInflatedNegativeBinomial with library="observed"'
        )
    if model.members > 1:
        raise UsageError("expression is asked of one model: take model.member(0), or train with members=1")
    return model.likelihood


def batches_of(contexts: list[Tensor | None]) -> Tensor | None:
    """The contexts that occur, [batches, width], the most frequent first, 16 at most; None of a model without."""
    known = [each for each in contexts if each is not None]
    if not known:
        return None
    found, counts = torch.unique(torch.cat(known), dim=0, return_counts=True)
    batches: Tensor = found[counts.argsort(descending=True, stable=True)][:MOST_BATCHES]
    return batches
