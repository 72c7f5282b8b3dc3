"""Objectives of several samples: tighter bounds, and estimators of their gradient.

Every one is −Σ_k a_k log w_k with weights a that are held constant, so that the decoder learns with a. Where the posterior
lets its density be held constant too, the encoder learns through z alone, with weights b of its own: the doubly
reparameterized gradient, whose noise does not grow with the number of samples.
"""

import math
from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from lambent.distributions import FromNoise
from lambent.model import LatentModel
from lambent.model.trace import Node, Trace, from_posterior
from lambent.objectives.base import Loss, Objective, seen
from lambent.part import Part, option

DOUBLY = "tucker2019doubly"  # in papers.bib


class Weighted(Objective):
    """A bound on log p(x) from K weighted samples."""

    needs_density = True

    samples: int = option("K, samples of each row", default=16, minimum=1, maximum=10**6)
    gradient: Literal["auto", "plain", "doubly"] = option(
        "doubly reparameterized, plain, or the former where the posterior allows it",
        default="auto",
        papers={"auto": DOUBLY, "doubly": DOUBLY},
    )

    @abstractmethod
    def bound(self, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From log w [K, rows]: the bound [rows], the decoder's weights a [K, rows], the encoder's b [K, rows]."""

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        trace = model.trace(x, self.draws, from_posterior(generator), context)
        doubly = self.gradient != "plain" and _separable(model)
        log_px = trace.log_px
        log_ratio = _separated(trace) if doubly else trace.log_ratio
        log_weight = log_px + log_ratio
        if (further := self.further(model, trace, generator)) is not None:
            log_weight = log_weight + further
        with torch.no_grad():
            value, decoder, encoder = self.bound(log_weight.detach())
            # A weight of nought would stop the gradient on its way to z, where the encoder's own weight is still to come.
            decoder = decoder.clamp_min(1e-12) if doubly else decoder
            ratio = encoder / decoder
        if doubly and trace.z.requires_grad:
            z = trace.nodes[0].z
            each = ratio.reshape(*ratio.shape, *[1] * (z.dim() - 2))
            z.register_hook(lambda gradient: gradient * each)
        surrogate = -(decoder * log_weight).sum(0)
        return Loss(surrogate + (-value - surrogate).detach(), seen(log_px, -log_ratio), trace)

    @property
    def steady(self) -> bool:
        return True

    @property
    def draws(self) -> int:
        return self.samples

    @property
    def by_row(self) -> bool:
        return True

    def cited(self, whole: Part) -> list[str]:
        """Its own papers, and that of the doubly reparameterized gradient where the model allows it."""
        plain = isinstance(whole, LatentModel) and not _separable(whole)
        return [key for key in super().cited(whole) if not (plain and key == DOUBLY)]

    def refusal(self, whole: Part) -> str | None:
        if reason := super().refusal(whole):
            return reason
        if isinstance(whole, LatentModel) and whole.latent.grouped:
            return (
                f"{type(self).__name__} weighs the samples of each row by themselves, and in {type(whole.latent).__name__} rows "
                "of a group share theirs: use the Elbo objective"
            )
        if self.gradient == "doubly" and isinstance(whole, LatentModel) and not _separable(whole):
            return (
                f"the doubly reparameterized gradient of {type(self).__name__} needs Flat with a Gaussian posterior, "
                f"not {_inseparable(whole)}: use gradient=plain"
            )
        return None


class Iwae(Weighted):
    """log (1/K) Σ w_k. Burda et al., Importance Weighted Autoencoders, 2016; gradient: Tucker et al., DReG, 2019.

    Of rows with gaps (`LatentModel(gaps=True)`) it is the MIWAE bound on log p of what was observed, for values missing at
    random. Mattei & Frellsen, MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets, 2019.
    """

    papers = ("burda2016importance",)

    def bound(self, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return importance_bound(log_weight)


class Grouped(Weighted):
    """Bounds that average over groups of samples."""

    groups: int = option("M, groups of K samples each", default=4, minimum=1, maximum=10**6)

    @property
    def draws(self) -> int:
        return self.samples * self.groups


class Miwae(Grouped):
    """(1/M) Σ_m log (1/K) Σ_k w_mk. Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, 2018."""

    papers = ("rainforth2018tighter",)

    def bound(self, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grouped = log_weight.unflatten(0, (self.groups, self.samples))
        weights = torch.softmax(grouped, 1)
        a, b = weights / self.groups, weights.square() / self.groups
        return _log_mean(grouped, 1).mean(0), a.flatten(0, 1), b.flatten(0, 1)


class Piwae(Grouped):
    """The decoder learns by IWAE over all M·K samples, the encoder by MIWAE. Rainforth et al., 2018.

    Its value is the IWAE bound of M·K samples.
    """

    papers = ("rainforth2018tighter",)

    def bound(self, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grouped = log_weight.unflatten(0, (self.groups, self.samples))
        encoder = torch.softmax(grouped, 1).square() / self.groups
        return _log_mean(log_weight, 0), torch.softmax(log_weight, 0), encoder.flatten(0, 1)

    def refusal(self, whole: Part) -> str | None:
        if self.gradient == "plain":
            return (
                "Piwae teaches encoder and decoder by different bounds, which gradient=plain cannot: use auto, or Miwae"
            )
        apart = isinstance(whole, LatentModel) and (whole.latent.discrete or whole.latent.grouped)
        if isinstance(whole, LatentModel) and not apart and not _separable(whole):
            return (
                "Piwae teaches encoder and decoder by different bounds, which needs Flat with a Gaussian posterior, "
                f"not {_inseparable(whole)}: use Miwae or Ciwae"
            )
        return super().refusal(whole)


class Ciwae(Weighted):
    """α · ELBO + (1 − α) · IWAE. Rainforth et al., 2018."""

    papers = ("rainforth2018tighter",)

    mix: float = option("α, the share of the ELBO", default=0.5, minimum=0, maximum=1)

    def bound(self, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights = torch.softmax(log_weight, 0)
        even = self.mix / len(log_weight)
        value = self.mix * log_weight.mean(0) + (1 - self.mix) * _log_mean(log_weight, 0)
        return value, even + (1 - self.mix) * weights, even + (1 - self.mix) * weights.square()


def importance_bound(log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log (1/K) Σ_k w_k of log w [K, rows], with the weights of the decoder and of the encoder."""
    weights = torch.softmax(log_weight, 0)
    return _log_mean(log_weight, 0), weights, weights.square()


def _log_mean(log_weight: Tensor, axis: int) -> Tensor:
    return torch.logsumexp(log_weight, axis) - math.log(log_weight.shape[axis])


def _separable(model: LatentModel) -> bool:
    return model.latent.single and model.latent.separable


def _inseparable(model: LatentModel) -> str:
    """The part at fault."""
    return model.latent.inference if model.latent.single else type(model.latent).__name__


def _separated(trace: Trace) -> Tensor:
    """log p(z) − log q(z|x) with q's parameters held constant: the encoder is reached through z alone."""
    node: Node = trace.nodes[0]
    assert isinstance(node.q, FromNoise)
    constant = node.q.detached()
    assert constant is not None
    return node.p.log_prob(node.z) - constant.log_prob(node.z)
