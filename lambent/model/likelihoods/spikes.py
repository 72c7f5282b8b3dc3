"""Likelihoods of numbers with spikes: values that are far more frequent than those beside them."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from lambent.distributions import Spiked
from lambent.model.likelihoods.base import Likelihood, event_of
from lambent.model.likelihoods.continuous import StudentT
from lambent.part import Part, Shape, option


class Hurdle(Likelihood):
    """π_s(z) at each spike s, else (1 − Σ π_s(z)) p_rest(x | z): values of their own, such as nought or a cap, beside a density.

    At a spike it is a probability, elsewhere a density. Cragg, Some Statistical Models for Limited Dependent Variables, 1971.
    """

    papers = ("cragg1971some",)

    unit_bytes = False
    planar = False  # each value is embedded as several numbers
    elementwise = True

    rest: Likelihood = option("the density of what is at no spike", factory=StudentT)
    spikes: tuple[float, ...] = option("the values of their own", default=(0.0,))

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.rest.apart = self.apart
        raw = self.rest.setup(event)
        self.per_element = raw[0] // event[0]
        self.register_buffer("values", torch.tensor(self.spikes), persistent=False)
        return event_of(event, self.per_element + len(self.spikes))

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        axis = -len(self.event)
        own, gates = raw.split([self.per_element * self.event[0], len(self.spikes) * self.event[0]], axis)
        rest = self.rest(own, context)
        assert isinstance(rest, Independent)
        logits = torch.stack(gates.chunk(len(self.spikes), axis))
        return self.over(Spiked(torch.cat((logits, torch.zeros_like(logits[:1]))), self.values, rest.base_dist))

    def embed(self, x: Tensor) -> Tensor:
        """The value as the rest's likelihood has it read, nought at a spike, and a mark of each spike."""
        at = x.float() == self.values.float().reshape(-1, *[1] * x.dim())
        value = self.rest.embed(x).masked_fill(at.any(0), 0.0)
        return torch.cat((value, *at.to(value.dtype)), 1)

    def embedded_from(self, marks: Tensor) -> Tensor:
        return torch.cat([marks] * (1 + len(self.spikes)), 1)

    def reading(self) -> list[nn.Module]:
        return self.rest.reading()

    def start(self, observed: Tensor) -> Tensor | None:
        """The share of each spike, and the rest as it starts by itself; else nought."""
        there = ~torch.isnan(observed)
        at = (observed.float() == self.values.float().reshape(-1, *[1] * observed.dim())).sum(1)
        others = (there.sum(0) - at.sum(0)).clamp_min(0)
        gates = torch.log((at + 0.5) / (others + 0.5))
        own = observed.new_zeros(event_of(self.event, self.per_element))
        return torch.cat((own, *gates.to(own.dtype)), 0)

    def admit(self, x: Tensor) -> None:
        self.rest.admit(x)

    def refusal(self, whole: Part) -> str | None:
        if self.rest.discrete or isinstance(self.rest, Hurdle) or not self.rest.elementwise:
            return (
                f"Hurdle sets spikes beside a density, and {type(self.rest).__name__} has none of single numbers: use StudentT "
                "or Gaussian for its rest, or ZeroInflatedNegativeBinomial for counts"
            )
        return super().refusal(whole)
