"""Likelihoods of counts: 0, 1, 2, …"""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Poisson as TorchPoisson

from lambent.distributions import Dispersed, ZeroInflated, constructed, limited
from lambent.model.likelihoods.base import Likelihood, event_of
from lambent.model.likelihoods.scales import Scaled, ScaleRule
from lambent.part import Shape, option

LOG_RATE = (-16.0, 14.0)  # rates from 1e-7 to a million
LOG_DISPERSION = (-7.0, 12.0)


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


class NegativeBinomial(Counts):
    """NB with mean m(z) and dispersion r: variance m + m²/r. Lopez et al., Deep generative modeling for single-cell
    transcriptomics, 2018."""

    papers = ("lopez2018deep",)

    dispersion: ScaleRule = option("r: fixed, one learned for all, one for each element, or predicted", default="each")
    value: float = option("r, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.spread = Scaled(self, self.dispersion, event, self.value)
        self.others = self.spread.channels - 1
        return event_of(event, 1 + self.others)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        log_mean, log_dispersion = self.spread(raw, *LOG_DISPERSION)
        return self.over(Dispersed(limited(log_mean, *LOG_RATE), log_dispersion))


class ZeroInflatedNegativeBinomial(Counts):
    """π(z) at nought, else NB(m(z), r): more zeros than the NB expects. Lopez et al., 2018."""

    papers = ("lopez2018deep",)

    dispersion: ScaleRule = option("r: fixed, one learned for all, one for each element, or predicted", default="each")
    value: float = option("r, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.spread = Scaled(self, self.dispersion, event, self.value)
        self.others = self.spread.channels
        return event_of(event, 1 + self.others)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        first = raw.shape[-len(self.event)] - self.event[0]
        counts, gate = raw.split([first, self.event[0]], -len(self.event))
        log_mean, log_dispersion = self.spread(counts, *LOG_DISPERSION)
        counting = Dispersed(limited(log_mean, *LOG_RATE), log_dispersion)
        return self.over(ZeroInflated(gate, counting))
