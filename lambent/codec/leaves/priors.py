"""The prior of the top level: pushed after all else, popped first."""

from abc import ABC, abstractmethod
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.codec.exact import elementary
from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.leaves.codes import STEP, Codes
from lambent.codec.leaves.dyadics import dyadic, nearest, within
from lambent.codec.leaves.families import INVERSE, inverse
from lambent.codec.leaves.finite import Finite, finite
from lambent.codec.leaves.triangular import Triangular
from lambent.codec.stack import Numbers, Stack
from lambent.distributions import SCALE_RANGE, DiagonalNormal, vector
from lambent.errors import UsageError
from lambent.model.model import LatentModel
from lambent.model.priors import Mixture, Prior, Standard, Vamp
from lambent.model.trace import mean
from lambent.part import Shape, elements

PLACES = 64 << FRACTION  # codes and locations lie within ±64, in 2^-12
OUTLYING = 1 << (FRACTION + 8)  # standardized numbers count as 256 at most


class TopPrior(ABC):
    """p(z) over whole rows of codes k = 2^steps z, [rows, units]; steps: of each unit, [units], and none of a codebook's numbers.

    network: what it goes through besides the model's own, if anything.
    """

    steps: Numbers
    network: nn.Module | None = None

    @abstractmethod
    def push(self, stack: Stack, z: Numbers) -> None:
        """Codes [rows, units] onto the stack."""

    @abstractmethod
    def pop(self, stack: Stack, rows: int) -> Numbers:
        """The inverse of `push`, [rows, units]; from any other stack: a draw."""


class StandardTop(TopPrior):
    """N(0, I)."""

    def __init__(self, units: int) -> None:
        self.units, self.steps = units, np.full(units, STEP)

    def _codes(self, rows: int) -> Codes:
        nought = np.zeros(rows * self.units, np.int64)
        return Codes(nought, nought, False, np.tile(self.steps, rows))

    def push(self, stack: Stack, z: Numbers) -> None:
        self._codes(len(z)).push(stack, z.reshape(-1))

    def pop(self, stack: Stack, rows: int) -> Numbers:
        return self._codes(rows).pop(stack).reshape(rows, self.units)


class Component(ABC):
    """Gaussians p(z | c), all in one, [components, units]: the parameters and z are whole numbers in 2^-12."""

    location: Numbers
    log_scale: Numbers

    @abstractmethod
    def squares(self, z: Numbers) -> Numbers:
        """½ |standardized z|² under each component, [rows, components] in 2^-12; z: [rows, units] in 2^-12."""

    @abstractmethod
    def push(self, stack: Stack, z: Numbers, chosen: Numbers, steps: Numbers) -> None:
        """Codes [rows, units] of these components onto the stack."""

    @abstractmethod
    def pop(self, stack: Stack, chosen: Numbers, steps: Numbers) -> Numbers:
        """The inverse of `push`."""


class MixtureTop(TopPrior):
    """Σ_c w_c p(z | c), by bits back: to push z a component is popped from q(c | z), then z is pushed given it, and it under w.

    The cost is −log2 w_c p(z | c) / q(c | z) = −log2 p(z), whichever c was popped.
    """

    def __init__(self, logits: Numbers, gaussians: Component) -> None:
        self.prior = finite(logits[None])
        self.gaussians = gaussians
        self.steps = np.full(gaussians.location.shape[1], STEP)
        self.constant = logits - gaussians.log_scale.sum(1)

    def _responsibilities(self, z: Numbers) -> Finite:
        return finite(self.constant - self.gaussians.squares(_fine(z, self.steps)))

    def _weights(self, rows: int) -> Finite:
        return Finite(np.broadcast_to(self.prior.starts, (rows, len(self.prior.starts))))

    def push(self, stack: Stack, z: Numbers) -> None:
        chosen = self._responsibilities(z).pop(stack)
        self.gaussians.push(stack, z, chosen, self.steps)
        self._weights(len(z)).push(stack, chosen)

    def pop(self, stack: Stack, rows: int) -> Numbers:
        chosen = self._weights(rows).pop(stack)
        z = self.gaussians.pop(stack, chosen, self.steps)
        self._responsibilities(z).push(stack, chosen)
        return z


class Diagonals(Component):
    """N(μ_c, diag σ_c²)."""

    def __init__(self, location: Numbers, log_scale: Numbers) -> None:
        self.location, self.log_scale = within(location, -PLACES, PLACES), log_scale
        self.precision = inverse(log_scale, 2.0**-STEP)

    def squares(self, z: Numbers) -> Numbers:
        squares = []
        for location, precision in zip(self.location, self.precision, strict=True):
            apart = np.abs(z - location)
            standard = within((apart * precision) >> (INVERSE - STEP), 0, OUTLYING)
            squares.append((standard * standard).sum(1) >> (FRACTION + 1))
        return np.stack(squares, 1)

    def _codes(self, chosen: Numbers, steps: Numbers) -> Codes:
        every = np.tile(steps, len(chosen))
        return Codes(self.location[chosen].reshape(-1), self.log_scale[chosen].reshape(-1), False, every)

    def push(self, stack: Stack, z: Numbers, chosen: Numbers, steps: Numbers) -> None:
        self._codes(chosen, steps).push(stack, z.reshape(-1))

    def pop(self, stack: Stack, chosen: Numbers, steps: Numbers) -> Numbers:
        return self._codes(chosen, steps).pop(stack).reshape(len(chosen), -1)


class Triangulars(Component):
    """N(μ_c, L_c L_cᵀ), unit after unit: z_j given those before is N(μ_j + Σ_{k<j} B_jk (z_k − μ_k), L_jj²)."""

    def __init__(self, location: Numbers, log_scale: Numbers, factors: Triangular) -> None:
        self.location, self.log_scale, self.factors = within(location, -PLACES, PLACES), log_scale, factors

    def squares(self, z: Numbers) -> Numbers:
        apart = z[:, None] - self.location  # [rows, components, units]
        standard = within(self.factors.standardized(apart), -OUTLYING, OUTLYING)
        return np.asarray((standard * standard).sum(2) >> (FRACTION + 1))

    def _codes(self, unit: int, apart: Numbers, chosen: Numbers, steps: Numbers) -> Codes:
        location = self.location[chosen, unit] + self.factors.regressed(unit, apart, chosen)
        return Codes(location, self.log_scale[chosen, unit], False, int(steps[unit]))

    def push(self, stack: Stack, z: Numbers, chosen: Numbers, steps: Numbers) -> None:
        apart = _fine(z, steps) - self.location[chosen]
        for unit in reversed(range(z.shape[1])):
            self._codes(unit, apart, chosen, steps).push(stack, z[:, unit])

    def pop(self, stack: Stack, chosen: Numbers, steps: Numbers) -> Numbers:
        z = np.zeros((len(chosen), self.location.shape[1]), np.int64)
        apart = np.zeros_like(z)
        for unit in range(z.shape[1]):
            z[:, unit] = self._codes(unit, apart, chosen, steps).pop(stack)
            apart[:, unit] = (z[:, unit] << (FRACTION - steps[unit])) - self.location[chosen, unit]
        return z


def _fine(z: Numbers, steps: Numbers) -> Numbers:
    """Codes [rows, units] in 2^-12."""
    return z << (FRACTION - steps)


@singledispatch
def top(prior: Prior, shape: Shape, model: LatentModel) -> TopPrior:
    """The prior of the top codes of `shape`; `model` is the exact model, whose posteriors a Vamp prior mixes.

    Raises `UsageError` for one that has no exact form.
    """
    name = type(prior).__name__
    raise UsageError(
        f"a {name} prior cannot code: it has no exact form in whole numbers. Fit one that has to the codes of the trained model: "
        "`lambent refine RUN --prior Mixture` (with --prior.covariance full for correlated units), or train with Standard or Vamp"
    )


@top.register
def _(prior: Standard, shape: Shape, model: LatentModel) -> TopPrior:
    return StandardTop(elements(shape))


@top.register
def _(prior: Mixture, shape: Shape, model: LatentModel) -> TopPrior:
    logits = _log_weights(prior.logits)
    wide = [t.detach().double().cpu().numpy() for t in (prior.location, prior.log_scale)]
    location, limited = wide[0], np.minimum(np.maximum(wide[1], SCALE_RANGE[0]), SCALE_RANGE[1])
    if prior.covariance == "diagonal":
        return MixtureTop(logits, Diagonals(nearest(location), nearest(limited)))
    below = prior.below.detach().double().cpu().numpy()
    factors = Triangular(below, elementary.exp(limited))
    return MixtureTop(logits, Triangulars(nearest(location), nearest(limited), factors))


@top.register
def _(prior: Vamp, shape: Shape, model: LatentModel) -> TopPrior:
    q = vector(_posterior(model, prior.inputs))
    if not isinstance(q, DiagonalNormal):
        raise UsageError(
            f"a Vamp prior of {type(q).__name__} posteriors cannot code: train with the Diagonal posterior"
        )
    gaussians = Diagonals(dyadic(q.location), dyadic(q.log_scale.expand_as(q.location)))
    return MixtureTop(_log_weights(prior.logits), gaussians)


@torch.no_grad()
def _posterior(model: LatentModel, inputs: Tensor) -> Distribution:
    """q of the top level, of inputs as the encoder reads them: the exact model's, so with exact parameters."""
    encoder, anchor = model.encoder, model.anchor
    features = encoder(inputs.to(anchor.device, anchor.dtype))
    _, nodes = model.latent(features, mean, 1, encoder)
    q: Distribution = nodes[0].q
    return q


def _log_weights(logits: Tensor) -> Numbers:
    """Of the weights, up to a constant that all share, in 2^-12: the greatest is nought."""
    wide = logits.detach().double().cpu().numpy()
    return nearest(wide - wide.max())
