"""How far out a cell lies in what is expected of it given the rest of its row."""

import math

import torch
from torch import Tensor

from lambent.tasks.conditional import Conditional
from lambent.tasks.detection.masked import of_token, token_drop

FARTHEST = 30.0  # nats of a tail that float64 still tells
CLOSE = 1e-6  # relative, of values that count as one: cells are kept in single precision


def farness(conditional: Conditional, column: int, x: Tensor, ordered: bool) -> Tensor:
    """Nats by which cells x [rows] of a column lie out, [rows] in float64; on average nought where nothing is odd.

    Of numbers, and of tokens in the order of numbers, −log 2 min(P(≤ x), P(≥ x)) − 1, at most 30; of other tokens −log p(x) less
    the entropy, and the same of the last of ordered ones, which stands for values anywhere.
    """
    x = x.cpu()[: conditional.rows]
    if not conditional.tokens(column):
        separate = conditional.separate
        assert separate is not None
        own = x.double().to(conditional.x.device)
        own = torch.nn.functional.pad(own, (0, conditional.x.shape[0] - len(own))).nan_to_num(0.0)
        beside = CLOSE * (1 + own.abs())
        weights = conditional.log_weight.exp()
        up_to, below = (
            (weights * separate.below(column, edge.expand(weights.shape))).sum(0)[: len(x)].cpu()
            for edge in (own + beside, own - beside)
        )
        return _tail(up_to, 1 - below)
    chances = conditional.probabilities(column)[: len(x)]
    unlike = token_drop(chances, x)
    if not ordered:
        return unlike
    sums = chances.cumsum(1)
    up_to = of_token(sums, x)
    tail = _tail(up_to, 1 - up_to + of_token(chances, x))
    return torch.where(x.nan_to_num(0.0) >= chances.shape[1] - 1, unlike, tail)


def _tail(up_to: Tensor, from_on: Tensor) -> Tensor:
    share = (2 * torch.minimum(up_to, from_on)).clamp(math.exp(-FARTHEST - 1), 1.0)
    return -share.log() - 1
