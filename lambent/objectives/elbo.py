"""The evidence lower bound, its KL weighed, given for free in part, steered to a capacity, or weighed by itself."""

import math
from contextlib import nullcontext
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.likelihoods import Gaussian
from lambent.model.trace import Node, Trace, from_posterior, mean
from lambent.objectives.anew import Beginning
from lambent.objectives.base import Annealing, Loss, averaged, seen, unencoded
from lambent.part import Part, elements, option


class Elbo(Annealing):
    """−log p(x|z) + λ KL(q(z|x) ‖ p(z)), λ = `beta`. Kingma & Welling, 2014; β: Higgins et al., β-VAE, 2017.

    free_bits: nats below which a unit's mean KL is not pushed (Kingma et al., 2016); free_group: below which a whole level's is
    not. capacity: λ |KL − C|, C growing to `capacity` nats (Burgess et al., 2018). beta="auto": for a Gaussian that learns its
    scale, the optimal scale, which is λ = σ² (Rybkin et al., σ-VAE, 2021); elsewhere λ follows a constraint on the
    reconstruction (Rezende & Viola, GECO, 2018): it may not be worse than `target`, or, if that is not given, than the level
    reached in the first tenth of training under a light λ of 0.1.

    pretrain: the first share of training is an autoencoder's, the loss −log p(x|z) at the posterior's centre, disturbed by a
    tenth of a standard normal. Then the decoder begins anew beside an encoder whose codes tell of x, and the KL's weight begins
    to grow: a decoder that could do without a code, as those of texts can, reads it before the KL takes it away. Li et al., A
    Surprisingly Effective Fix for Deep Latent Variable Modeling of Text, 2019.

    trim: after the first tenth of training, this share of each batch, the rows of the largest −ELBO, does not count, so that
    a few odd rows among those to train on are not learned (least trimmed squares; Rousseeuw, 1984). Each member of an ensemble
    leaves out its own, and the first `untrimmed` members none. The loss of the rows that count is scaled by how many there are,
    so that its mean over the batch is theirs. What the history and validation see of the bound stays that of all rows.
    """

    papers = ("kingma2014auto",)
    many = True
    discrete = True

    beta: float | Literal["auto"] = option(
        "weight λ of the KL, or auto",
        default=1.0,
        minimum=0,
        papers={"auto": "rezende2018taming", ...: "higgins2017beta"},
    )
    free_bits: float = option(
        "nats of KL per unit that cost the same as none", default=0.0, minimum=0, papers={...: "kingma2016improved"}
    )
    free_group: float = option(
        "nats of each group's KL, as the mean over a batch, that cost the same as none, where there are several groups or levels",
        default=0.0,
        minimum=0,
        papers={...: "kingma2016improved"},
    )
    floor: float = option(
        "nats of the whole KL, as the mean over a batch, that cost the same as none: the code keeps so much where columns that "
        "see columns could do without",
        default=0.0,
        minimum=0,
        papers={...: "kingma2016improved"},
    )
    settle: float = option(
        "share of training after which the encoder stands still, and free_bits, free_group and floor end: the rest learns to "
        "read its codes",
        default=1.0,
        above=0,
        maximum=1,
    )
    pretrain: float = option(
        "share of training, at its start, of an autoencoder whose KL costs nothing; then the decoder begins anew: against codes "
        "that tell nothing, where a decoder could do without",
        default=0.0,
        minimum=0,
        below=1,
        papers={...: "li2019surprisingly"},
    )
    capacity: float | None = option(
        "nats of KL to steer towards; none to minimize it",
        default=None,
        minimum=0,
        papers={...: "burgess2018understanding"},
    )
    target: float | None = option("for auto: reconstruction to hold, −log p(x|z) in nats per row", default=None)
    trim: float = option(
        "share of each batch that does not count after the first tenth of training: the rows that fit worst, such as anomalies "
        "among the rows to train on",
        default=0.0,
        minimum=0,
        below=1,
        papers={...: "rousseeuw1984least"},
    )
    untrimmed: int = option(
        "the first so many members of an ensemble leave no rows out", default=0, minimum=0, maximum=1000
    )

    settling: ClassVar[float] = 0.1  # share of the steps in which auto looks for its target
    speed: ClassVar[float] = 0.03  # the largest step of log λ
    untried: ClassVar[float] = 0.1  # share of the steps before any rows are trimmed
    disturbance: ClassVar[float] = (
        0.1  # deviation of what is added to an autoencoder's codes, so that they keep a scale
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # As a β-VAE: with more than its due of the KL, or held to a capacity.
        self.standard_prior = self.capacity is not None or (self.beta != "auto" and self.beta > 1)

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        self.register_buffer("log_beta", torch.tensor(math.log(0.1) if self.target is None else 0.0))
        self.register_buffer("average", torch.tensor(float("nan")))  # of the reconstruction, over ten batches
        self.register_buffer("slow", torch.tensor(float("nan")))  # and over fifty
        self.register_buffer("goal", torch.tensor(float("nan") if self.target is None else self.target))
        self.register_buffer("anew", torch.tensor(False))  # whether the decoder has begun anew
        if self.pretrain:
            self.beginning = Beginning(model)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        if self.pretrain and self.annealed <= 0:
            return self._autoencoded(model, x, generator, context)
        if self.pretrain and not bool(self.anew):
            self.beginning.put_back(model)
            self.anew.fill_(True)
        with model.standing() if self.standing else nullcontext():
            trace = model.trace(x, 1, from_posterior(generator), context)
        calibrated = model.likelihood.calibrated(trace.px, trace.x) if self.beta == "auto" else None
        log_px = trace.log_px if calibrated is None else calibrated.log_prob(trace.x)
        kl, penalty = self._penalties(trace)
        weight: float | Tensor = self.ramp
        if self.beta != "auto":
            weight = self.beta * self.ramp
        elif calibrated is None:
            weight = self.ramp * self.log_beta.exp()
        if self.capacity is not None:
            # Of the mean KL, as validation judges it: |KL − C| row by row would be another loss wherever rows lie on both sides.
            reached = self.capacity * min(1.0, self.annealed / self.warmup)
            penalty = (penalty.mean(-1, keepdim=True) - reached).abs().expand_as(penalty)
        weighted = penalty if isinstance(weight, float) and weight == 1.0 else weight * penalty
        counts = self._counts(kl.detach() - log_px.detach()) if self.trimming else 1.0
        rows = averaged(_times(weighted, counts)) - averaged(_times(log_px, counts))
        if (cost := trace.cost) is not None:
            rows = rows + averaged(_times(cost, counts))
        return Loss(rows, seen(log_px, kl), trace, calibrated)

    def _autoencoded(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None, context: Tensor | None
    ) -> Loss:
        def disturbed(node: Node, level: int) -> Tensor:
            z = mean(node, level)
            return z + self.disturbance * torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)

        trace = model.trace(x, 1, disturbed, context)
        log_px = trace.log_px
        return Loss(-averaged(log_px), seen(log_px, trace.kl), trace)

    @property
    def annealed(self) -> float:
        return (self.progress - self.pretrain) / (1 - self.pretrain)

    @property
    def by_row(self) -> bool:
        """Not where it looks at the mean of a batch: what is free of the KL, capacity, trim, auto."""
        free = self.free_bits or self.free_group or self.floor
        return not (free or self.trim or self.beta == "auto") and self.capacity is None

    @property
    def trimming(self) -> bool:
        """Whether rows are left out now."""
        return bool(self.trim) and self.progress > self.untried

    def _counts(self, lost: Tensor) -> Tensor:
        """How much each row counts for each member, [members, rows], by its −ELBO: nought, or what makes the mean 1."""
        rows = lost.shape[-1]
        out = int(self.trim * rows)
        counts = torch.full_like(lost, rows / (rows - out))
        counts.scatter_(-1, lost.topk(out, -1).indices, 0.0)
        counts[: self.untrimmed] = 1.0
        return counts

    def _penalties(self, trace: Trace) -> tuple[Tensor, Tensor]:
        """The KL, [.., rows], and the KL with its free part."""
        kl = trace.kl
        if self.standing or not (self.free_bits or self.floor or self.free_group):
            return kl, kl
        penalty = kl
        if self.free_bits or self.free_group:
            penalty = sum((self._freed(node) for node in trace.nodes), start=kl.new_zeros(())).expand_as(kl)
        return kl, _raised(penalty, self.floor) if self.floor else penalty

    @property
    def standing(self) -> bool:
        """Whether the encoder has come to its end."""
        return self.progress > self.settle

    def _freed(self, node: Node) -> Tensor:
        """The KL of one level, [.., rows], with what is free of each unit, then of the whole."""
        units, whole = node.unit_kl, node.kl
        if self.free_bits and units is None:  # no closed form per unit: the allowance is for the whole vector
            whole = _raised(whole, self.free_bits * elements(node.z.shape[2:]))
        elif self.free_bits and units is not None:
            low = units.mean(-2, keepdim=True) < self.free_bits
            whole = units.masked_fill(low, self.free_bits).sum(-1)
        return _raised(whole, self.free_group) if self.free_group else whole

    def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
        """For auto: the learned scale follows the best one, or λ makes one step."""
        if self.beta != "auto":
            return
        if loss.calibrated is not None:
            model.likelihood.follow(taken)
        else:
            self._steer(loss.seen["reconstruction"].mean(), taken)

    @torch.no_grad()
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
        growing = self.capacity is not None and self.annealed < self.warmup
        whole = bool(self.trim) and not self.trimming
        first = self.pretrain > 0 and self.annealed <= 0
        return super().settled and not first and not searching and not growing and not whole

    @property
    def steady(self) -> bool:
        return self.settled and (self.settle >= 1 or self.standing) and (not self.pretrain or bool(self.anew))

    def refusal(self, whole: Part) -> str | None:
        if reason := unencoded(self, whole):
            return reason
        free = self.free_bits or self.free_group or self.floor
        weighed = self.beta == "auto" or self.capacity or free or self.pretrain
        if weighed and isinstance(whole, LatentModel) and not whole.latent.density:
            return (
                "Elbo has no KL to weigh under a Point posterior: use Diagonal, or leave beta, free_bits, free_group, floor, "
                "capacity and pretrain"
            )
        if (
            isinstance(whole, LatentModel)
            and whole.latent.discrete
            and (self._steering(whole) or free or self.pretrain)
        ):
            return (
                f"Elbo cannot steer the KL of {type(whole.latent).__name__}, which teaches its prior alone: "
                "leave beta, free_bits, free_group, floor, capacity and pretrain"
            )
        if self.capacity is not None and self.beta == "auto":
            return "Elbo cannot both steer the KL to a capacity and set beta by itself: give beta a number, or leave capacity out"
        units = sum(whole.latent.sizes_of_levels) if isinstance(whole, LatentModel) else 0
        if self.capacity is not None and self.free_bits * units > self.capacity:
            given = f"{self.free_bits:g} free nats for each of {units} units"
            return (
                f"Elbo cannot steer the KL to {self.capacity:g} nats with {given}: raise capacity, or lower free_bits"
            )
        return super().refusal(whole)

    def _steering(self, model: LatentModel) -> bool:
        """Whether the KL is brought to something by its weight."""
        return self.capacity is not None or (self.beta == "auto" and not _calibrates(model))

    def cited(self, whole: Part) -> list[str]:
        """The papers behind its fields; beta="auto" is σ-VAE with a Gaussian that learns its scale, GECO with the rest."""
        keys = super().cited(whole)
        if not isinstance(whole, LatentModel):
            return keys
        if _calibrates(whole):
            keys = ["rybkin2021simple" if key == "rezende2018taming" else key for key in keys]
        return keys if whole.latent.density else []  # an autoencoder's loss is no bound


def _raised(term: Tensor, least: float) -> Tensor:
    """A term [.., rows], or `least` in its place where its mean over rows lies below: there it has no gradient."""
    return term.masked_fill(term.mean(-1, keepdim=True) < least, least)


def _calibrates(model: LatentModel) -> bool:
    """Whether beta="auto" takes the scale that fits best, and no constraint on the reconstruction."""
    return isinstance(model.likelihood, Gaussian) and model.likelihood.scale != "fixed"


def _times(term: Tensor, counts: float | Tensor) -> Tensor:
    """A term by how much each row counts; without an operation where all count."""
    return term * counts if isinstance(counts, Tensor) else term
