"""The order in which columns see each other, and how often each token was met, from example rows."""

import torch
from torch import Tensor
from torch.nn import functional

from lambent.model.likelihoods.features import Layout, Tokens, alone

COARSE = 16  # groups of tokens among which mutual information is measured
OFTEN = 5  # times that a single value among bins was met at least
MOST = 2**31  # products that it may take


def met(layout: Layout, value: Tensor) -> Tensor:
    """How often each token stands in rows [rows, columns], [tokens of all columns]; NaN counts for none."""
    index = Tokens(layout).to(value.device).among_all(value)
    return torch.bincount(index[~torch.isnan(value)], minlength=layout.total).double()


def singled(layout: Layout, value: Tensor, counts: Tensor) -> Tensor:
    """Which tokens are single values, bool [tokens of all columns]: by kind, or because all that was met of a bin was whole."""
    whole = met(layout, torch.where(value == value.floor(), value, torch.nan))
    return alone(layout).to(value.device) | ((whole >= OFTEN) & (whole == counts))


def ordered(layout: Layout, value: Tensor, counts: Tensor) -> list[int]:
    """Binned columns first, then always the one that tells most of those already placed; indicators last, as they stand.

    Each begins with the column that tells most of all others.
    """
    own = layout.columns - layout.indicators
    told = mutual_information(*coarse(layout, value, counts))[:own, :own]
    binned = [j for j in range(own) if layout.seen[j] == "bins"]
    rest = [j for j in range(own) if layout.seen[j] != "bins"]
    placed: list[int] = []
    near = torch.zeros(
        own, dtype=told.dtype, device=told.device
    )  # what each tells of the placed one that it tells most of
    for group in (binned, rest):
        waiting = torch.full((own,), -torch.inf, dtype=told.dtype, device=told.device)
        waiting[group] = 0.0
        for _ in group:
            chosen = int(((near if placed else told.sum(1)) + waiting).argmax())
            placed.append(chosen)
            waiting[chosen] = -torch.inf
            near = torch.maximum(near, told[chosen])
    return [*placed, *range(own, layout.columns)]


def coarse(layout: Layout, value: Tensor, counts: Tensor) -> tuple[Tensor, int]:
    """Each value as one of a few groups, [rows, columns], −1 where missing, and how many groups there are.

    Ordered tokens by their rank among the rows; levels each by itself, the rarest together.
    """
    rows, columns = value.shape
    groups = COARSE if columns * COARSE * columns * COARSE * min(rows, 1000) <= MOST else 4
    fewer = max(200, MOST // (columns * groups) ** 2)
    value = value[:fewer]
    tokens = Tokens(layout).to(value.device)(value)
    made = []
    for column, seen in enumerate(layout.seen):
        own = counts[layout.places(column)]
        if seen == "levels":
            group = own.argsort(descending=True, stable=True).argsort().clamp_max(groups - 1)
        else:
            share = own / own.sum().clamp_min(1)
            group = ((share.cumsum(0) - 0.5 * share) * groups).long().clamp(0, groups - 1)
        made.append(group[tokens[:, column]])
    return torch.stack(made, 1).masked_fill(torch.isnan(value), -1), groups


def mutual_information(coarse: Tensor, groups: int) -> Tensor:
    """I(x_i; x_j) in nats, [columns, columns], over rows that have both, less what chance gives; of itself nought."""
    columns = coarse.shape[1]
    hot = functional.one_hot(coarse + 1, groups + 1)[..., 1:].flatten(1).float()
    joint = (hot.T @ hot).double().reshape(columns, groups, columns, groups).transpose(1, 2)
    total = joint.sum((2, 3), keepdim=True).clamp_min(1)
    joint = joint / total
    first, second = joint.sum(3, keepdim=True), joint.sum(2, keepdim=True)
    ratio = torch.where(joint > 0, joint / (first * second).clamp_min(1e-300), 1.0)
    told = (joint * ratio.log()).sum((2, 3))
    free = ((first > 0).sum((2, 3)) - 1) * ((second > 0).sum((2, 3)) - 1)  # Miller and Madow
    told = (told - free / (2 * total[..., 0, 0])).clamp_min(0)
    return told.fill_diagonal_(0.0)
