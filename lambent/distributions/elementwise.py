"""Distributions of single numbers: bits, and numbers in [0, 1]."""

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.nn import functional

from lambent.distributions.explicit import Axes, constructed


class Binary(Independent):  # type: ignore[type-arg] # generic in newer releases of torch only
    """Independent Bernoulli elements, [*batch, *event], whose log-probability takes three operations and not nine."""

    def __init__(self, logits: Tensor, dimensions: int) -> None:
        super().__init__(constructed(Bernoulli, logits=logits), dimensions, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        logits: Tensor = self.base_dist.logits
        if value.dim() < logits.dim():
            value = value.expand_as(logits)
        elif value.shape != logits.shape:
            logits, value = torch.broadcast_tensors(logits, value)
        lost = functional.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return -lost.flatten(-self.reinterpreted_batch_ndims).sum(-1)


class Observed(Independent):  # type: ignore[type-arg]
    """Independent elements, [*batch, *event], of which those that are NaN were not observed: log p of the others.

    What is left out adds nothing to a sum over independent elements: that sum is the exact marginal. Nought must lie in the
    support of the elements.
    """

    def __init__(self, elements: Distribution, dimensions: int) -> None:
        super().__init__(elements, dimensions, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        missing = torch.isnan(value)
        # The elements are asked at nought there: NaN would pass through the gradient of what is left out, too.
        each: Tensor = self.base_dist.log_prob(value.masked_fill(missing, 0.0)).masked_fill(missing, 0.0)
        return each.flatten(-self.reinterpreted_batch_ndims).sum(-1)


class UnitInterval(TorchContinuousBernoulli):
    """torch's continuous Bernoulli from logits, with forms that keep their precision at every logit.

    log C = log(l / tanh(l/2)), E[x] = 1/(1−e⁻ˡ) − 1/l, l the logit; torch goes through the probability, which ends at
    |l| = 16 in float32.
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    def expand(self, batch_shape: Axes, _instance: object = None) -> "UnitInterval":
        return UnitInterval(self.logits.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        size = self.logits.abs()
        safe = torch.where(size < 1e-2, torch.ones_like(size), size)
        # log(l / tanh(l/2)) = log 2 + l²/12 − 7l⁴/1440 … near nought
        far = safe.log() - torch.tanh(safe / 2).log()
        near = math.log(2) + size.square() / 12 - 7 * size.pow(4) / 1440
        log_normalizer = torch.where(size < 1e-2, near, far)
        return value * self.logits - functional.softplus(self.logits) + log_normalizer

    @property
    def mean(self) -> Tensor:
        logits, small = self.logits, self.logits.abs() < 0.5
        safe = torch.where(small, torch.ones_like(logits), logits)
        near = 0.5 + logits / 12 - logits.pow(3) / 720 + logits.pow(5) / 30240
        return torch.where(small, near, -1 / torch.expm1(-safe) - 1 / safe)

    @property
    def variance(self) -> Tensor:
        size = self.logits.abs()
        safe = torch.where(size < 1, torch.ones_like(size), size)
        near = 1 / 12 - size.pow(2) / 240 + size.pow(4) / 6048 - size.pow(6) / 172800
        return torch.where(size < 1, near, safe.pow(-2) - torch.exp(-safe) / torch.expm1(-safe).square())

    def icdf(self, value: Tensor) -> Tensor:
        # By the mirror image x → 1 − x every logit is negative, where nothing overflows.
        logits, size = self.logits, self.logits.abs()
        mirrored = torch.where(logits > 0, 1 - value, value)
        safe = torch.where(size < 1e-3, torch.ones_like(size), size)
        far = -torch.log1p(mirrored * torch.expm1(-safe)) / safe
        x = torch.where(size < 1e-3, mirrored - size * mirrored * (1 - mirrored) / 2, far).clamp(0, 1)
        return torch.where(logits > 0, 1 - x, x)
