"""Objectives that look at the codes of a whole batch: how they are spread, not each row's by itself."""

import math
from typing import Literal

import torch
from torch import Tensor

from lambent.distributions import DiagonalNormal, vector
from lambent.distributions.products import exact_products
from lambent.model import LatentModel
from lambent.model.trace import Node, Trace, from_posterior, from_prior
from lambent.objectives.base import Annealing, Loss, Objective, averaged, seen
from lambent.part import Part, option

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the kernel by which sets of codes are compared


class BetaTc(Annealing):
    """ELBO with the total correlation of q(z) weighted by `beta`, estimated from the batch. Chen et al., β-TCVAE, 2018.

    KL = mutual information + total correlation + Σ dimension-wise KL, by minibatch-weighted sampling over N rows.
    """

    papers = ("chen2018isolating",)

    needs_density = True
    needs_rows = True
    needs_single = True
    needs_space = True
    standard_prior = True

    beta: float = option("weight of the total correlation", default=6.0, minimum=0)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        trace = model.trace(x, 1, from_posterior(generator), context)
        node, log_px = trace.nodes[0], trace.log_px[0]
        total_correlation = self._total_correlation(node, max(self.rows, len(x)))
        kl = trace.kl
        # The three terms sum to the KL, so only the surplus of the weighted one is added to the closed form.
        rows = self.ramp * (kl.reshape(-1, len(x))[0] + (self.beta - 1) * total_correlation) - log_px
        return Loss(rows, seen(trace.log_px, kl), trace)

    @staticmethod
    def _total_correlation(node: Node, rows: int) -> Tensor:
        """log q(z) − Σ_j log q(z_j), [rows of the batch]."""
        assert node.q is not None
        q, z = vector(node.q), node.z[0].flatten(1)
        assert isinstance(q, DiagonalNormal)
        location, log_scale = q.location, q.log_scale
        standardized = (z.unsqueeze(1) - location) * (-log_scale).exp()
        each = -0.5 * (standardized.square() + math.log(2 * math.pi)) - log_scale  # [batch, batch, units]
        log_batch = math.log(len(z) * rows)
        joint = torch.logsumexp(each.sum(-1), 1) - log_batch
        marginals = torch.logsumexp(each, 1) - log_batch
        return joint - marginals.sum(-1)

    def refusal(self, whole: Part) -> str | None:
        if reason := super().refusal(whole):
            return reason
        if isinstance(whole, LatentModel) and whole.latent.density and not whole.latent.factorized:
            given = whole.latent.inference
            return (
                f"BetaTc splits the KL over units, which a {given} posterior ties together: "
                "use Diagonal, or the DipVae objective"
            )
        return None


class DipVae(Annealing):
    """ELBO plus a penalty that draws the covariance of codes to the identity. Kumar et al., DIP-VAE, 2018.

    λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)²; C = Cov(μ) for I, and that plus E[Σ(x)] for II.
    """

    papers = ("kumar2018variational",)

    needs_density = True
    needs_single = True
    needs_space = True
    standard_prior = True

    version: Literal["I", "II"] = option("covariance of the means (I) or of the codes (II)", default="II")
    off_diagonal: float = option("weight of the off-diagonal entries", default=10.0, minimum=0)
    diagonal: float = option("weight of the diagonal entries", default=5.0, minimum=0)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        trace = model.trace(x, 1, from_posterior(generator), context)
        node, kl, log_px = trace.nodes[0], trace.kl, trace.log_px[0]
        assert node.q is not None
        q = vector(node.q)
        centred = q.mean - q.mean.mean(0)
        covariance = centred.T @ centred / len(x)
        if self.version == "II":
            factor = getattr(q, "factor", None)
            spread = torch.diag_embed(q.variance) if factor is None else factor @ factor.mT
            covariance = covariance + spread.mean(0)
        diagonal = covariance.diagonal()
        off = covariance.square().sum() - diagonal.square().sum()
        penalty = self.off_diagonal * off + self.diagonal * (diagonal - 1).square().sum()
        rows = self.ramp * kl.reshape(-1, len(x))[0] - log_px + penalty
        return Loss(rows, seen(trace.log_px, kl), trace)


class Matching(Objective):
    """Objectives that draw the codes of a batch, as a whole, to codes drawn from the prior."""

    standard_prior = True

    def refusal(self, whole: Part) -> str | None:
        if reason := super().refusal(whole):
            return reason
        if isinstance(whole, LatentModel) and not whole.latent.reparameterized:
            name = type(self).__name__
            return (
                f"{name} learns the prior through codes drawn from it, and which component of a {whole.latent.origin} prior a "
                "code comes from has no gradient, so its weights would never learn: use the Standard or Flow prior, or the "
                "Elbo objective"
            )
        return None

    @staticmethod
    def apart(
        model: LatentModel, trace: Trace, generator: torch.Generator | None, context: Tensor | None = None
    ) -> Tensor:
        """The squared MMD between the codes of a pass and as many drawn from the prior."""
        nodes = model.imagine(len(trace.x), from_prior(generator), context)
        prior = torch.cat([node.z.flatten(2) for node in nodes], -1)[0]
        return discrepancy(trace.z[0], prior)


class Wae(Matching):
    """−log p(x|z) + λ MMD(q(z), p(z)): codes match the prior as a whole, not row by row. Tolstikhin et al., WAE, 2018.

    MMD with the inverse multiquadric kernel Σ_s 2ds / (2ds + ‖z − z'‖²), s from 0.1 to 10, the unbiased estimate.
    """

    papers = ("tolstikhin2018wasserstein",)

    weight: float = option("λ, the weight of the discrepancy", default=100.0, minimum=0)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        trace = model.trace(x, 1, from_posterior(generator), context)
        log_px = trace.log_px
        rows = self.weight * self.apart(model, trace, generator, context) - log_px[0]
        return Loss(rows, seen(log_px, trace.kl), trace)


class InfoVae(Matching):
    """−log p(x|z) + (1 − α) KL(q(z|x) ‖ p(z)) + (α + λ − 1) MMD(q(z), p(z)), with the kernel of `Wae`.

    α > 0 lets a row's code tell more of the row than the ELBO allows, and λ holds all of them together to the prior; α = 0 and
    λ = 1 is the ELBO. Zhao, Song & Ermon, InfoVAE: Balancing Learning and Inference in Variational Autoencoders, 2019.
    """

    papers = ("zhao2019infovae",)

    needs_density = True

    alpha: float = option("α, the share of the KL of each row that is let off", default=0.5, maximum=1)
    weight: float = option("λ, of which α + λ − 1 weighs the discrepancy", default=100.0, minimum=0)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        trace = model.trace(x, 1, from_posterior(generator), context)
        log_px, kl = trace.log_px, trace.kl
        discrepancy = self.apart(model, trace, generator, context)
        rows = (1 - self.alpha) * averaged(kl) - log_px[0] + (self.alpha + self.weight - 1) * discrepancy
        return Loss(rows, seen(log_px, kl), trace)

    def weighed(self, reconstruction: float, kl: float) -> float:
        """Without the discrepancy, which is no mean over rows."""
        return reconstruction + (1 - self.alpha) * kl

    def refusal(self, whole: Part) -> str | None:
        if self.alpha + self.weight < 1:
            return (
                f"InfoVae with alpha={self.alpha:g} and weight={self.weight:g} would drive codes away from the prior, for "
                f"α + λ − 1 is below nought: give a weight of at least {1 - self.alpha:g}"
            )
        return super().refusal(whole)


def discrepancy(codes: Tensor, prior: Tensor) -> Tensor:
    """The squared MMD between two sets of n codes, an unbiased estimate; 0 for fewer than two."""
    n = len(codes)
    if n < 2:
        return codes.new_zeros(())
    within = kernel(codes, codes) + kernel(prior, prior)
    within = (within.sum() - within.diagonal().sum()) / (n * (n - 1))
    return within - 2 * kernel(codes, prior).mean()


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """Σ_s 2ds / (2ds + ‖a − b‖²) of each pair of codes, [a's rows, b's rows], s from 0.1 to 10, d their units."""
    with exact_products():  # what is left of a difference
        products = a @ b.T
    squares = (a.square().sum(-1, keepdim=True) + b.square().sum(-1) - 2 * products).clamp_min(0)
    widths = [2 * a.shape[-1] * scale for scale in SCALES]
    return sum((width / (width + squares) for width in widths), start=torch.zeros_like(squares))
