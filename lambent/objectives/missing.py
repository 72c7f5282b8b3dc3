"""Bounds of rows whose values are missing not at random: that a value is missing tells of the value."""

import torch
from torch import Tensor

from lambent.distributions import sample
from lambent.model import LatentModel
from lambent.model.missingness import Missingness, SelfMasking
from lambent.model.trace import Trace
from lambent.objectives.bounds import Weighted, importance_bound
from lambent.part import Part, option
from lambent.seeds import seeded


class NotMiwae(Weighted):
    """log (1/K) Σ_k p(x_o|z_k) p(z_k) p(m|x_o, x_m,k) / q(z_k|x_o), x_m,k ~ p(x_m|z_k): a bound on log p(x_o, m).

    x_o is what was observed of a row, x_m what was not, m which is which. `setup` gives the model the part p(m|x), unless it
    has one, and the model file keeps it. Ipsen, Mattei & Frellsen, not-MIWAE: Deep Generative Modelling with Missing not at
    Random Data, 2021.
    """

    papers = ("ipsen2021not",)

    missingness: Missingness = option("p(m|x): which values are missing, given all", factory=SelfMasking)

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        if model.missingness is not None:
            return
        part = Missingness.from_spec(self.missingness.spec())
        with seeded(torch.Generator().manual_seed(seed + 1)):
            part.setup(model.event_shape)
        model.missingness = part.to(model.device, model.anchor.dtype)

    def bound(self, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return importance_bound(log_weight)

    def further(self, model: LatentModel, trace: Trace, generator: torch.Generator | None = None) -> Tensor:
        """log p(m|x_o, x_m), [samples, rows], with x_m drawn from p(x|z), which its gradient passes through."""
        completed = torch.where(torch.isnan(trace.x), sample(trace.px, (), generator), trace.x)
        return model.log_missing(trace.x, completed)

    def refusal(self, whole: Part) -> str | None:
        if reason := super().refusal(whole):
            return reason
        if isinstance(whole, LatentModel) and not whole.likelihood.reparameterized:
            name = type(whole.likelihood).__name__
            return (
                f"NotMiwae learns through draws of the missing values, and those of {name} have no gradient: use Gaussian or "
                "StudentT, or the Iwae objective, which takes values as missing at random"
            )
        return None
