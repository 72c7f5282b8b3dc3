"""What a rival and the model that it judges pay for its judgements."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lambent.objectives import judges_of_codes

Rule = Literal["relativistic", "non-saturating"]


def rivals_loss(rule: Rule, real: Tensor, fake: Tensor) -> Tensor:
    """What the rival pays, [...], for logits of rows of the data beside logits of rows of the model.

    non-saturating: −log σ(D(x)) − log(1 − σ(D(x̂))), at its best log 4 − 2 JSD(data ‖ model). Goodfellow et al., 2014.
    relativistic: −log σ(D(x) − D(x̂)). Jolicoeur-Martineau, 2019; Huang et al., R3GAN, 2024.
    """
    if rule == "relativistic":
        return functional.softplus(fake - real)
    return 2 * judges_of_codes.told_apart(real, fake)


def models_loss(rule: Rule, real: Tensor, fake: Tensor) -> Tensor:
    """What the model pays, [...]: −log σ(D(x̂)), or −log σ(D(x̂) − D(x)); it alone of the two looks at `real`."""
    return functional.softplus(real - fake if rule == "relativistic" else -fake)


def share_right(rule: Rule, real: Tensor, fake: Tensor) -> Tensor:
    """The share of the judgements that are right, a number of no axes: a half by chance."""
    if rule == "relativistic":
        return (real > fake).to(real.dtype).mean()
    return judges_of_codes.share_right(real, fake)


def feature_distance(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """The mean over layers of ‖f(x) − f(x̂)‖² / ‖f(x)‖², [rows], the lower norm the batch's mean: free of the features' scales."""
    rows = len(real[0])
    each = []
    for own, other in zip(real, made, strict=True):
        own, other = own.detach().flatten(1).float(), other.flatten(1).float()
        squares = own.square().sum() / rows
        each.append((own - other).square().sum(1) / squares.clamp_min(torch.finfo(own.dtype).tiny))
    return torch.stack(each).mean(0)
