"""Objectives: the loss of each example in nats, from the trace of one pass. Only the loop averages.

A weighted number is never called an ELBO: what `forward` returns is a loss, and the two parts of the bound that it saw are
recorded beside it, unweighted.
"""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lambent.draws import Node, from_posterior, from_prior
from lambent.likelihoods import Gaussian
from lambent.model import LatentModel, Trace
from lambent.part import Part, option
from lambent.posteriors import Full


class Objective(Part):
    """What training minimizes."""

    needs_density: ClassVar[bool] = False  # log q(z|x) must exist
    needs_rows: ClassVar[bool] = False  # the number of rows must be known
    needs_single: ClassVar[bool] = False  # one latent vector, Gaussian given x

    def __post_init__(self) -> None:
        super().__post_init__()
        self.progress = 0.0  # share of the training done, this step included; the loop keeps it, from the real count
        self.rows = 0  # rows in the training set; the loop sets it
        self.seen: dict[str, Tensor] = {}  # parts of the last bound, per example, for the history

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        """Make what weights or state the objective has, once the model is set up."""

    @abstractmethod
    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Loss of each row, [rows], in nats; its randomness from `generator`."""

    def rival(self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None) -> Tensor | None:
        """The opponent's loss, [rows], where there is one."""
        return None

    def after(self, model: LatentModel, taken: Tensor) -> None:
        """Learn what is not learned by gradients from the last pass, unless its step was skipped (`taken` is false)."""

    def weighed(self, reconstruction: float, kl: float) -> float:
        """The loss that these mean parts of the bound make, weights at their final values; judges validation rows."""
        return reconstruction + kl

    @property
    def settled(self) -> bool:
        """Whether the objective has stopped changing, so that losses of different epochs can be compared."""
        return True

    def refusal(self, whole: Part) -> str | None:
        if not isinstance(whole, LatentModel):
            return None
        name, latent, posterior = type(self).__name__, whole.latent, whole.latent.posterior
        if not posterior.density and latent.prior.learned:
            return (
                f"a Point posterior gives the {type(latent.prior).__name__} prior nothing to learn from: "
                "use the Standard prior, and fit_prior after training"
            )
        given = type(posterior).__name__
        if self.needs_density and not posterior.density:
            return (
                f"{name} needs log q(z|x), and a {given} posterior has none: use Diagonal, or the Elbo or Wae objective"
            )
        if self.needs_single and not latent.single:
            levels = type(latent).__name__
            return f"{name} is defined for one latent vector, not for {levels}: use Flat, or the Elbo objective"
        if self.needs_single and not (posterior.density and posterior.separable):
            return f"{name} needs a Gaussian posterior, not {given}: use Diagonal, or the Elbo objective"
        return None

    def record(self, trace: Trace, reconstruction: Tensor, kl: Tensor) -> None:
        """Keep the bound's parts, [samples, rows], for whoever reports progress."""
        seen = {"reconstruction": -averaged(reconstruction.detach()), "kl": averaged(kl.detach())}
        vars(self)["seen"] = (
            seen  # past the module's own, slow, way of setting an attribute: this happens at every step
        )


def averaged(term: Tensor) -> Tensor:
    """[samples, rows], or a closed form [rows], averaged over samples: [rows]."""
    if term.dim() == 1:
        return term
    return term.squeeze(0) if len(term) == 1 else term.mean(0)


class Annealing(Objective):
    """Objectives whose weight on the KL grows from 0 to 1 over a share of the real number of steps."""

    anneal: Literal["none", "linear", "cyclical"] = option(
        "how the KL weight grows",
        default="none",
        papers={"linear": "bowman2016generating", "cyclical": "fu2019cyclical"},
    )
    warmup: float = option("share of all steps (of each cycle) during which it grows", default=0.2, above=0, maximum=1)
    cycles: int = option("number of cycles, if cyclical", default=4, minimum=1)

    @property
    def ramp(self) -> float:
        """The factor on the KL weight now, from 0 to 1; 1 at the end whatever the length of training."""
        if self.anneal == "none":
            return 1.0
        progress = self.progress if self.anneal == "linear" else (self.progress * self.cycles) % 1.0
        if self.progress >= 1:
            return 1.0
        return min(1.0, progress / self.warmup)

    @property
    def settled(self) -> bool:
        if self.anneal == "cyclical":
            return self.progress >= (self.cycles - 1 + self.warmup) / self.cycles
        return self.anneal == "none" or self.progress >= self.warmup


class Elbo(Annealing):
    """−log p(x|z) + λ KL(q(z|x) ‖ p(z)), λ = `beta`. Kingma & Welling, 2014; β: Higgins et al., β-VAE, 2017.

    free_bits: nats below which a unit's mean KL is not pushed (Kingma et al., 2016). capacity: λ |KL − C|, C growing to
    `capacity` nats (Burgess et al., 2018). beta="auto": for a Gaussian that learns its scale, the optimal scale, which is
    λ = σ² (Rybkin et al., σ-VAE, 2021); elsewhere λ follows a constraint on the reconstruction (Rezende & Viola, GECO, 2018):
    it may not be worse than `target`, or, if that is not given, than the level reached in the first tenth of training under a
    light λ of 0.1.
    """

    papers = ("kingma2014auto",)

    beta: float | Literal["auto"] = option(
        "weight λ of the KL, or auto",
        default=1.0,
        minimum=0,
        papers={"auto": "rezende2018taming", ...: "higgins2017beta"},
    )
    free_bits: float = option(
        "nats of KL per unit that cost the same as none", default=0.0, minimum=0, papers={...: "kingma2016improved"}
    )
    capacity: float | None = option(
        "nats of KL to steer towards; none to minimize it",
        default=None,
        minimum=0,
        papers={...: "burgess2018understanding"},
    )
    target: float | None = option("for auto: reconstruction to hold, −log p(x|z) in nats per row", default=None)

    settling: ClassVar[float] = 0.1  # share of the steps in which auto looks for its target
    speed: ClassVar[float] = 0.03  # the largest step of log λ

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        self.register_buffer("log_beta", torch.tensor(math.log(0.1) if self.target is None else 0.0))
        self.register_buffer("average", torch.tensor(float("nan")))  # of the reconstruction, over ten batches
        self.register_buffer("slow", torch.tensor(float("nan")))  # and over fifty
        self.register_buffer("goal", torch.tensor(float("nan") if self.target is None else self.target))

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Tensor:
        trace = model.trace(x, 1, from_posterior(generator), context)
        calibrated = model.likelihood.calibrated(trace.px, trace.x) if self.beta == "auto" else None
        log_px = trace.log_px if calibrated is None else calibrated.log_prob(trace.x)
        kl, penalty = self._penalties(trace)
        self.record(trace, log_px, kl)
        weight: float | Tensor = self.ramp
        if self.beta != "auto":
            weight = self.beta * self.ramp
        else:
            self._calibrated, self._reconstruction = calibrated is not None, -log_px.detach().mean()
            if calibrated is None:
                weight = self.log_beta.exp()
        if self.capacity is not None:
            penalty = (penalty - self.capacity * min(1.0, self.progress / self.warmup)).abs()
        weighted = penalty if isinstance(weight, float) and weight == 1.0 else weight * penalty
        return averaged(weighted) - averaged(log_px)

    def _penalties(self, trace: Trace) -> tuple[Tensor, Tensor]:
        """The KL, [.., rows], and the KL with its free part."""
        kl = trace.kl
        if not self.free_bits:
            return kl, kl
        penalty = sum((self._freed(node) for node in trace.nodes), start=kl.new_zeros(()))
        return kl, penalty.expand_as(kl)

    def _freed(self, node: Node) -> Tensor:
        units = node.unit_kl
        if units is None:  # no closed form per unit: the allowance is for the whole vector
            whole = node.kl
            return torch.where(
                whole.mean() < self.free_bits * node.z.shape[-1],
                whole.new_tensor(self.free_bits * node.z.shape[-1]),
                whole,
            )
        low = units.flatten(0, -2).mean(0) < self.free_bits
        return torch.where(low, units.new_tensor(self.free_bits), units).sum(-1)

    @torch.no_grad()
    def after(self, model: LatentModel, taken: Tensor) -> None:
        """For auto: the learned scale follows the best one, or λ makes one step."""
        if self.beta == "auto" and self._calibrated:
            model.likelihood.follow(taken)
        elif self.beta == "auto":
            self._steer(self._reconstruction, taken)

    def _steer(self, reconstruction: Tensor, taken: Tensor) -> None:
        """One step of λ: up while the reconstruction is better than the goal, down while it is worse.

        λ acts late, so the reconstruction is judged some two hundred steps ahead, by its trend: without that, λ swings for
        ever. It does not rise while the goal is missed, and its steps shrink to nought, so that it ends at rest.
        """
        for average, decay in ((self.average, 0.9), (self.slow, 0.98)):
            recent = torch.where(torch.isnan(average), reconstruction, torch.lerp(reconstruction, average, decay))
            average.copy_(torch.where(taken, recent, average))
        searching = self.target is None and self.progress < self.settling
        self.goal.copy_(self.average if searching else torch.where(torch.isnan(self.goal), self.average, self.goal))
        if searching:
            return
        ahead = self.average + 5 * (self.average - self.slow)
        step = torch.tanh(5 * (self.goal - ahead) / self.goal.abs().clamp_min(1.0))
        step = torch.where(self.average > self.goal, step.clamp_max(0.0), step)
        moved = (self.log_beta + self.speed * (1 - self.progress) * step).clamp(-9.0, 7.0)
        self.log_beta.copy_(torch.where(taken, moved, self.log_beta))

    def weighed(self, reconstruction: float, kl: float) -> float:
        penalty = kl if self.capacity is None else abs(kl - self.capacity)
        return reconstruction + (1.0 if self.beta == "auto" else self.beta) * penalty

    @property
    def settled(self) -> bool:
        searching = self.beta == "auto" and self.target is None and self.progress < self.settling
        growing = self.capacity is not None and self.progress < self.warmup
        return super().settled and not searching and not growing

    def refusal(self, whole: Part) -> str | None:
        weighed = self.beta == "auto" or self.free_bits or self.capacity
        if weighed and isinstance(whole, LatentModel) and not whole.latent.posterior.density:
            return "Elbo has no KL to weigh under a Point posterior: leave beta, free_bits and capacity alone, or use Diagonal"
        if self.capacity is not None and self.beta == "auto":
            return "Elbo cannot both steer the KL to a capacity and set beta by itself: give beta a number, or leave capacity out"
        units = sum(whole.latent.sizes_of_levels) if isinstance(whole, LatentModel) else 0
        if self.capacity is not None and self.free_bits * units > self.capacity:
            free = f"{self.free_bits:g} free nats for each of {units} units"
            return f"Elbo cannot steer the KL to {self.capacity:g} nats with {free}: raise capacity, or lower free_bits"
        return super().refusal(whole)

    def cited(self, whole: Part) -> list[str]:
        """The papers behind its fields; beta="auto" is σ-VAE with a Gaussian that learns its scale, GECO with the rest."""
        keys = super().cited(whole)
        if not isinstance(whole, LatentModel):
            return keys
        if isinstance(whole.likelihood, Gaussian) and whole.likelihood.scale != "fixed":
            keys = ["rybkin2021simple" if key == "rezende2018taming" else key for key in keys]
        return keys if whole.latent.posterior.density else []  # an autoencoder's loss is no bound


class BetaTc(Annealing):
    """ELBO with the total correlation of q(z) weighted by `beta`, estimated from the batch. Chen et al., β-TCVAE, 2018.

    KL = mutual information + total correlation + Σ dimension-wise KL, by minibatch-weighted sampling over N rows.
    """

    papers = ("chen2018isolating",)

    needs_density = True
    needs_rows = True
    needs_single = True

    beta: float = option("weight of the total correlation", default=6.0, minimum=0)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Tensor:
        trace = model.trace(x, 1, from_posterior(generator), context)
        node, log_px = trace.nodes[0], trace.log_px[0]
        total_correlation = self._total_correlation(node, max(self.rows, len(x)))
        kl = trace.kl
        self.record(trace, trace.log_px, kl)
        # The three terms sum to the KL, so only the surplus of the weighted one is added to the closed form.
        return self.ramp * (kl.reshape(-1, len(x))[0] + (self.beta - 1) * total_correlation) - log_px

    @staticmethod
    def _total_correlation(node: Node, rows: int) -> Tensor:
        """log q(z) − Σ_j log q(z_j), [rows of the batch]."""
        q, z = node.q, node.z[0]
        location, log_scale = q.location, q.log_scale  # type: ignore[union-attr]
        standardized = (z.unsqueeze(1) - location) * (-log_scale).exp()
        each = -0.5 * (standardized.square() + math.log(2 * math.pi)) - log_scale  # [batch, batch, units]
        log_batch = math.log(len(z) * rows)
        joint = torch.logsumexp(each.sum(-1), 1) - log_batch
        marginals = torch.logsumexp(each, 1) - log_batch
        return joint - marginals.sum(-1)

    def refusal(self, whole: Part) -> str | None:
        if isinstance(whole, LatentModel) and isinstance(whole.latent.posterior, Full):
            return "BetaTc splits the KL over units, which a Full posterior ties together: use Diagonal, or the DipVae objective"
        return super().refusal(whole)


class DipVae(Annealing):
    """ELBO plus a penalty that draws the covariance of codes to the identity. Kumar et al., DIP-VAE, 2018.

    λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)²; C = Cov(μ) for I, and that plus E[Σ(x)] for II.
    """

    papers = ("kumar2018variational",)

    needs_density = True
    needs_single = True

    version: Literal["I", "II"] = option("covariance of the means (I) or of the codes (II)", default="II")
    off_diagonal: float = option("weight of the off-diagonal entries", default=10.0, minimum=0)
    diagonal: float = option("weight of the diagonal entries", default=5.0, minimum=0)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Tensor:
        trace = model.trace(x, 1, from_posterior(generator), context)
        q, kl, log_px = trace.nodes[0].q, trace.kl, trace.log_px[0]
        assert q is not None
        self.record(trace, trace.log_px, kl)
        centred = q.mean - q.mean.mean(0)
        covariance = centred.T @ centred / len(x)
        if self.version == "II":
            factor = getattr(q, "factor", None)
            spread = torch.diag_embed(q.variance) if factor is None else factor @ factor.mT
            covariance = covariance + spread.mean(0)
        diagonal = covariance.diagonal()
        off = covariance.square().sum() - diagonal.square().sum()
        penalty = self.off_diagonal * off + self.diagonal * (diagonal - 1).square().sum()
        return self.ramp * kl.reshape(-1, len(x))[0] - log_px + penalty


class Wae(Objective):
    """−log p(x|z) + λ MMD(q(z), p(z)): codes match the prior as a whole, not row by row. Tolstikhin et al., WAE, 2018.

    MMD with the inverse multiquadric kernel Σ_s 2ds / (2ds + ‖z − z'‖²), s from 0.1 to 10, the unbiased estimate.
    """

    papers = ("tolstikhin2018wasserstein",)

    weight: float = option("λ, the weight of the discrepancy", default=100.0, minimum=0)

    scales: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Tensor:
        trace = model.trace(x, 1, from_posterior(generator), context)
        _, nodes = model.latent(None, from_prior(generator), len(x), model._features)
        prior = torch.cat([node.z for node in nodes], -1)[0]
        log_px = trace.log_px[0]
        self.record(trace, trace.log_px, trace.kl)
        return self.weight * self.discrepancy(trace.z[0], prior) - log_px

    @classmethod
    def discrepancy(cls, codes: Tensor, prior: Tensor) -> Tensor:
        """The squared MMD between two sets of n codes, an unbiased estimate; 0 for fewer than two."""
        n = len(codes)
        if n < 2:
            return codes.new_zeros(())
        within = cls._kernel(codes, codes) + cls._kernel(prior, prior)
        within = (within.sum() - within.diagonal().sum()) / (n * (n - 1))
        return within - 2 * cls._kernel(codes, prior).mean()

    @classmethod
    def _kernel(cls, a: Tensor, b: Tensor) -> Tensor:
        squares = (a.square().sum(-1, keepdim=True) + b.square().sum(-1) - 2 * a @ b.T).clamp_min(0)
        widths = [2 * a.shape[-1] * scale for scale in cls.scales]
        return sum((width / (width + squares) for width in widths), start=torch.zeros_like(squares))
