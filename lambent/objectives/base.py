"""Objectives: the loss of each example in nats, from the trace of one pass. Only the loop averages.

A weighted number is never called an ELBO: what `forward` returns is a loss, and the two parts of the bound that it saw are
recorded beside it, unweighted.
"""

import dataclasses
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.data.conditions import Conditions
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Latent
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.model.trace import Trace
from lambent.part import Part, Spec, class_named, option, registered

WIDE = 128  # units above which the full covariances of 50 Gaussians would cost more than the networks


class Loss:
    """What an objective's `forward` returns: the loss of each row [rows], in nats, and what it saw on the way.

    seen: parts of the bound per row, unweighted, for the history. trace: the pass itself, for the opponent and for `after`.
    calibrated: p(x|z) at the scale that fits the batch best, where the objective asked for that. forged: what the model made for
    the opponent to judge, without its graph. within: the loss of the objective that this one is built around. real: the rows of
    the data as the opponent sees them. balance: the factor that evens two losses out, where there is one.
    """

    __slots__ = ("balance", "calibrated", "forged", "real", "rows", "seen", "trace", "within")

    def __init__(
        self,
        rows: Tensor,
        seen: dict[str, Tensor] | None = None,
        trace: Trace | None = None,
        calibrated: Distribution | None = None,
        forged: tuple[Tensor, ...] = (),
        within: "Loss | None" = None,
        real: Tensor | None = None,
        balance: Tensor | None = None,
    ) -> None:
        self.rows = rows
        self.real = real
        self.balance = balance
        self.forged = forged
        self.within = within
        self.seen = {} if seen is None else seen
        self.trace = trace
        self.calibrated = calibrated


class Objective(Part):
    """What training minimizes."""

    bounded: ClassVar[bool] = True  # it sees the two parts of a bound, so that an ELBO can be reported beside its loss

    needs_density: ClassVar[bool] = False  # log q(z|x) must exist
    needs_rows: ClassVar[bool] = False  # the number of rows must be known
    discrete: ClassVar[bool] = False  # it can teach codes that are entries of a codebook, too
    needs_single: ClassVar[bool] = False  # one latent vector, Gaussian given x
    examined: ClassVar[int] = 0  # rows that it wants to look at after each epoch, by `examine`
    examines_training: ClassVar[bool] = False  # of training, even where others are held out
    encodes: ClassVar[bool] = True  # it teaches q(z|x), too; the model of one that does not has no encoder
    needs_context: ClassVar[bool] = False  # it is about what conditions the model
    about: ClassVar[str] = "to be independent of"  # the column that it then needs
    unlabelled: ClassVar[bool] = False  # it learns from rows of which a level of what conditions is missing, too
    needs_space: ClassVar[bool] = False  # codes may lie anywhere, as they cannot on a sphere
    standard_prior = False  # made for N(0, I), as what disentangles is: a prior that the data suggest gives way

    def __post_init__(self) -> None:
        super().__post_init__()
        self.progress = 0.0  # share of the training done, this step included; the loop keeps it, from the real count
        self.rows = 0  # rows in the training set; the loop sets it

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        """Make what weights or state the objective has, once the model is set up."""

    def meet(self, conditions: Conditions, context: Tensor | None = None) -> None:
        """Look, before `setup`, at what the context is made of, and at that of the rows to train on where it is in memory."""

    @abstractmethod
    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        """Loss of each row, [rows], in nats, and what was seen; its randomness from `generator`."""

    @property
    def opponent(self) -> nn.Module | None:
        """The network trained against the model: `self.discriminator`, where `setup` made one."""
        return self._modules.get("discriminator")

    @property
    def betas(self) -> tuple[float, float]:
        """Of Adam's moments, of the model and of the opponent: the shares that they keep in a step."""
        return (0.9, 0.999)

    @property
    def opponent_pace(self) -> float:
        """The factor on the learning rate for the opponent."""
        return 1.0

    def told(self) -> dict[str, float | None]:
        """What the steps of an epoch told beside the bound, for the history; the next epoch begins anew."""
        return {}

    def contest(
        self,
        model: LatentModel,
        loss: Loss,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> Tensor | None:
        """The opponent's loss, [rows], from what `forward` returned; None where there is no opponent."""
        return None

    def further(self, model: LatentModel, trace: Trace, generator: torch.Generator | None = None) -> Tensor | None:
        """What the bound of each sample holds beside log p(x|z) and the KL, [samples, rows] in nats; None for nothing.

        Validation counts it, too.
        """
        return None

    def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
        """Learn what is not learned by gradients from the last pass, unless its step was skipped (`taken` is false)."""

    def examine(
        self, model: LatentModel, x: Tensor, context: Tensor | None, generator: torch.Generator | None = None
    ) -> None:
        """Look at `examined` rows after an epoch, the same ones each time; what is learned of them lies in buffers."""

    def weighed(self, reconstruction: float, kl: float) -> float:
        """The loss that these mean parts of the bound make, weights at their final values; judges validation rows."""
        return reconstruction + kl

    @property
    def draws(self) -> int:
        """Codes of each row in a step."""
        return 1

    @property
    def by_row(self) -> bool:
        """Whether a row's loss is the same whatever rows stand beside it, so that a batch may be taken in parts."""
        return False

    @property
    def settled(self) -> bool:
        """Whether the objective has stopped changing, so that losses of different epochs can be compared."""
        return True

    @property
    def steady(self) -> bool:
        """Whether all later steps make the same operations with the same numbers of its own, so that a GPU may replay them."""
        return False

    def refusal(self, whole: Part) -> str | None:
        if not isinstance(whole, LatentModel):
            return None
        name, latent, given = type(self).__name__, whole.latent, whole.latent.inference
        if self.needs_context and not whole.context:
            prior = getattr(latent, "prior", None)
            other = "" if prior is None or prior.conditioned else f" under another prior than {latent.origin}"
            return (
                f"{name} is about the context of a model, and this one has none: give the column {self.about} as "
                f"condition{other}, such as condition=label (--condition label)"
            )
        if latent.discrete and not self.discrete:
            return (
                f"{name} is for codes with noise, and {type(latent).__name__} has entries of a codebook, one map for each row: "
                "use the Elbo objective"
            )
        if reason := unencoded(self, whole):
            return reason
        if self.encodes and not latent.density and latent.learned:
            return (
                f"a {given} posterior gives the {latent.origin} prior nothing to learn from: "
                "use the Standard prior, and fit_prior after training"
            )
        if self.needs_density and not latent.density:
            return (
                f"{name} needs log q(z|x), and a {given} posterior has none: use Diagonal, or the Elbo or Wae objective"
            )
        if self.needs_space and latent.support != "space":
            return (
                f"{name} looks at units by themselves, and codes of a {given} posterior under a {latent.origin} prior lie on the "
                "unit sphere, where they hang together: use Diagonal, or the Elbo objective"
            )
        if self.needs_single and not latent.single:
            levels = type(latent).__name__
            return f"{name} is defined for one latent vector, not for {levels}: use Flat, or the Elbo objective"
        if self.needs_single and not (latent.density and latent.separable):
            return f"{name} needs a Gaussian posterior, not {given}: use Diagonal, or the Elbo objective"
        return None


def seen(log_px: Tensor, kl: Tensor) -> dict[str, Tensor]:
    """The bound's parts, [samples, rows], as the history keeps them: [rows], unweighted."""
    return {"reconstruction": -averaged(log_px.detach()), "kl": averaged(kl.detach())}


def unencoded(objective: Objective, whole: Part) -> str | None:
    """Why one that teaches no encoder cannot train a model that has one, and the other way round."""
    if not isinstance(whole, LatentModel):
        return None
    latent = whole.latent
    name, given, other = type(objective).__name__, latent.inference, type(latent).__name__
    if latent.grouped and not objective.encodes:
        return (
            f"{name} teaches no encoder, and {other} with the {given} posterior takes the style from rows: use the Flat latent, "
            "or the VaeGan objective, which trains both"
        )
    if latent.encodes and not objective.encodes:
        return (
            f"{name} teaches no encoder, and a {other} with a {given} posterior has one: use the Absent posterior, or the VaeGan "
            "objective, which trains both"
        )
    if objective.encodes and not latent.encodes:
        return (
            f"{name} trains an encoder, and with the Absent posterior there is none: use the Diagonal posterior, or the Gan "
            "objective"
        )
    return None


def suggested_latent(suggested: Spec, chosen: Spec, objective: Objective) -> Spec:
    """The latent that the data suggest, beside the one chosen in full so far.

    Without a posterior, and so without an encoder, where the objective teaches none; then with the standard prior.
    With the prior that is uniform on the sphere where the posterior's codes lie there. Without its prior, so that the standard
    one stands, where the posterior gives a prior nothing to learn from (Point), or the objective was made for N(0, I). Its full
    covariances, which grow with the square of the units, are diagonal above WIDE.
    """
    posterior, prior = chosen.get("posterior"), suggested.get("prior")
    if not objective.encodes:
        other = chosen.get("type", suggested.get("type"))
        same = {} if other != suggested.get("type") else suggested
        kept = {name: value for name, value in same.items() if name not in ("prior", "posterior")}
        return without_encoder({**kept, "type": other})
    support = "space" if posterior is None else Posterior.from_spec(posterior).support
    if support not in ("space", None):
        return {**suggested, "prior": {"type": next(n for n, p in registered(Prior).items() if p.support == support)}}
    dense = posterior is None or Posterior.from_spec(posterior).density
    if not dense or objective.standard_prior:
        return {name: value for name, value in suggested.items() if name != "prior"}
    size = chosen.get("size", suggested.get("size"))
    if prior and prior.get("covariance") == "full" and isinstance(size, int) and size > WIDE:
        return {**suggested, "prior": {**prior, "covariance": "diagonal"}}
    return suggested


def without_encoder(latent: Spec) -> Spec:
    """The same latent with the Absent posterior, unless it says another, or is one that has none to choose."""
    fields = {field.name for field in dataclasses.fields(class_named(Latent, latent["type"]))}
    return {"posterior": {"type": "Absent"}, **latent} if "posterior" in fields else latent


def for_detecting(objective: Objective) -> Objective:
    """The objective, or a refusal (`UsageError`) of one that teaches no encoder, without which no row is told odd."""
    if not objective.encodes:
        name = type(objective).__name__
        raise UsageError(
            f"odd rows are told by their codes, and {name} teaches no encoder: use the VaeGan or the Elbo objective"
        )
    return objective


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
    cycles: int = option("number of cycles, if cyclical", default=4, minimum=1, maximum=10**6)

    @property
    def annealed(self) -> float:
        """Share that is done of the training over which the weight may grow."""
        return self.progress

    @property
    def ramp(self) -> float:
        """The factor on the KL weight now, from 0 to 1; 1 at the end whatever the length of training."""
        if self.anneal == "none":
            return 1.0
        progress = self.annealed if self.anneal == "linear" else (self.annealed * self.cycles) % 1.0
        if self.annealed >= 1:
            return 1.0
        return min(1.0, progress / self.warmup)

    @property
    def settled(self) -> bool:
        if self.anneal == "cyclical":
            return self.annealed >= (self.cycles - 1 + self.warmup) / self.cycles
        return self.anneal == "none" or self.annealed >= self.warmup
