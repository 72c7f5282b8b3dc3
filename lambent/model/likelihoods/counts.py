"""Likelihoods of counts: 0, 1, 2, …"""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions import Poisson as TorchPoisson

from lambent.distributions import CountedRows, Dispersed, Observed, ZeroInflated, constructed, limited
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood, event_of
from lambent.model.likelihoods.scales import Scaled
from lambent.part import Shape, option

LOG_RATE = (-16.0, 14.0)  # rates from 1e-7 to a million
LOG_DISPERSION = (-7.0, 12.0)
LIBRARY = 1_000.0  # counts of a row, until rows have been seen
DispersionRule = Literal["fixed", "one", "each", "predicted", "context"]
DISPERSION = (
    "r: fixed, one learned for all, one for each element, predicted for each element of each row, or context: one for each "
    "element under each context, such as each gene in each batch; each, where a model has no context"
)
LIBRARY_MEANING = (
    "the sum of a row, such as the depth a cell was sequenced to: latent, a part of what the code tells; or observed, given with "
    "the row: its shares are modelled, and the mean is their product with the sum"
)


class Counts(Likelihood):
    """What all count likelihoods share. Of an element's raw numbers the first is its log mean, then come `others`."""

    discrete = True
    unit_bytes = False
    domain = "whole numbers from 0 up"
    elementwise = True

    def embed(self, x: Tensor) -> Tensor:
        return x.log1p()

    def start(self, observed: Tensor) -> Tensor:
        """The log of each element's mean; the rest of the raw output nought."""
        there = ~torch.isnan(observed)
        mean = (observed.nansum(0) + 0.5) / (there.sum(0) + 0.5)
        return torch.cat((mean.log(), mean.new_zeros(event_of(self.event, self.others))))

    def admit(self, x: Tensor) -> None:
        if float(x.min()) < 0 or (x.dtype.is_floating_point and not bool((x == x.round()).all())):
            self.refuse(x, "the Gaussian or StudentT likelihood for measurements")


class Poisson(Counts):
    """Poisson(rate(z)): the variance is the mean."""

    no_paper = "a textbook distribution"

    def setup(self, event: Shape) -> Shape:
        self.event, self.others = event, 0
        return event

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return self.over(constructed(TorchPoisson, limited(raw, *LOG_RATE).exp()))


class Overdispersed(Counts):
    """What likelihoods of counts with a dispersion share: r by one of five rules, and the library size by one of two.

    library observed: m = ℓ softmax(raw) and p(x | z, ℓ) with ℓ = Σ x, as scVI has it: shares are modelled, the sum is given. Rows
    without any, such as new ones, are told for ℓ the median of the rows that it started from. The encoder reads each row at that
    depth, so that one far deeper than all rows of the training is read like the others.
    """

    pace = {"by_context": 10.0, "effect": 10.0}  # what they tell has several units to go, Adam's steps are small
    gates: ClassVar[int] = 0  # raw numbers of an element beside mean and dispersion

    dispersion: DispersionRule = option(DISPERSION, default="each")
    value: float = option("r, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)
    library: Literal["latent", "observed"] = option(LIBRARY_MEANING, default="latent")
    effects: bool = option(
        "whether each context moves each element's log mean by a number of its own, beside what the decoder makes of it: found "
        "sooner than by the code, which is then free of it",
        default=False,
    )

    def setup(self, event: Shape) -> Shape:
        self.event = event
        rule = "each" if self.dispersion == "context" else self.dispersion
        self.spread = Scaled(self, rule, event, self.value)
        if self.dispersion == "context" and self.beside:
            self.by_context = nn.Parameter(torch.zeros(self.beside, *event))
        if self.effects and self.beside:
            self.effect = nn.Parameter(torch.zeros(self.beside, *event))
        if self.library == "observed":
            if self.apart:
                raise UsageError(
                    f'{type(self).__name__} of one column knows no sum of the whole row: use library="latent" within Mixed'
                )
            self.register_buffer("log_library", torch.tensor(LIBRARY).log())
        self.others = self.spread.channels - 1 + self.gates
        return event_of(event, 1 + self.others)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return self._of(raw, context, self.log_library if self.library == "observed" else None)

    def informed(self, raw: Tensor, context: Tensor | None, observed: Tensor) -> Distribution:
        """p(x | z, c, ℓ) with the sum of each observed row for ℓ, where it is given."""
        return self._of(raw, context, self.sizes(observed).log() if self.library == "observed" else None)

    def embed(self, x: Tensor) -> Tensor:
        """With an observed library log(1 + counts at the median depth): a row's own is given, and tells nothing of its code."""
        if self.library != "observed":
            return super().embed(x)
        scale: Tensor = self.log_library.exp() / self.sizes(x)
        return (x * scale).log1p()

    def sizes(self, observed: Tensor) -> Tensor:
        """The library sizes of rows: their sums, of what is there, [rows, 1 …]; 1 of empty ones."""
        total = observed.nansum(tuple(range(-len(self.event), 0)), keepdim=True)
        return total.clamp_min(1.0)

    def shares(self, raw: Tensor, context: Tensor | None = None) -> Tensor:
        """Of the decoder's raw output, under a context, the share of every element, [*batch, *event].

        Raises `UsageError` where shares are not modelled.
        """
        if self.library != "observed":
            raise UsageError(f'shares are what a {type(self).__name__}(library="observed") models, and this one is not')
        first = self._moved(raw.narrow(-len(self.event), 0, self.event[0]), context)
        return first.flatten(-len(self.event)).softmax(-1).reshape(first.shape)

    @torch.no_grad()
    def study(self, observed: Tensor, generator: torch.Generator) -> None:
        """The depth at which rows are read, and which rows without a sum have."""
        if self.library == "observed":
            self.log_library.copy_(self.sizes(observed).median().log())

    @abstractmethod
    def _of(self, raw: Tensor, context: Tensor | None, log_library: Tensor | None) -> Distribution:
        """p(x | z, c, ℓ)."""

    def counting(self, raw: Tensor, context: Tensor | None, log_library: Tensor | None) -> Dispersed:
        """The negative binomial of each element, from its log mean and what the rule of dispersion takes of raw numbers."""
        log_mean, log_r = self.spread(raw, *LOG_DISPERSION)
        if self.dispersion == "context" and self.beside and context is not None:
            log_r = limited(log_r + torch.tensordot(context, self.by_context, 1), *LOG_DISPERSION)
        log_mean = self._moved(log_mean, context)
        if log_library is None:
            log_mean = limited(log_mean, *LOG_RATE)
        else:
            log_mean = log_mean.flatten(-len(self.event)).log_softmax(-1).reshape(log_mean.shape) + log_library
        return Dispersed(log_mean, log_r)

    def _moved(self, log_mean: Tensor, context: Tensor | None) -> Tensor:
        """By the effects of the context, where there are any."""
        if not (self.effects and self.beside) or context is None:
            return log_mean
        moved: Tensor = log_mean + torch.tensordot(context, self.effect, 1)
        return moved

    def rows(self, elements: Dispersed | ZeroInflated) -> Distribution:
        """The event of independent elements, quickly where most are nought."""
        dimensions = len(self.event)
        return Observed(elements, dimensions) if self.gaps else CountedRows(elements, dimensions)


class NegativeBinomial(Overdispersed):
    """NB with mean m(z) and dispersion r: variance m + m²/r. Lopez et al., Deep generative modeling for single-cell
    transcriptomics, 2018.

    log P(x) = log Γ(r + x) − log Γ(r) − log x! + r log(r/(r + m)) + x log(m/(r + m)), summed over elements, in nats.
    """

    papers = ("lopez2018deep",)

    def _of(self, raw: Tensor, context: Tensor | None, log_library: Tensor | None) -> Distribution:
        return self.rows(self.counting(raw, context, log_library))


class ZeroInflatedNegativeBinomial(Overdispersed):
    """π(z) at nought, else NB(m(z), r): more zeros than the NB expects. Lopez et al., 2018."""

    papers = ("lopez2018deep",)

    gates = 1

    def _of(self, raw: Tensor, context: Tensor | None, log_library: Tensor | None) -> Distribution:
        first = raw.shape[-len(self.event)] - self.event[0]
        counts, gate = raw.split([first, self.event[0]], -len(self.event))
        return self.rows(ZeroInflated(gate, self.counting(counts, context, log_library)))
