"""Autoencoders whose codes a rival judges."""

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.trace import from_posterior
from lambent.objectives.base import Loss, seen
from lambent.objectives.judges_of_codes import JudgeOfPrior
from lambent.objectives.spread import Matching
from lambent.part import option


class Aae(Matching):
    """−log p(x|z) − λ log σ(D(z)): a rival D learns to tell codes from draws of the prior, and the encoder to fool it.

    The codes as a whole then match the prior, whatever its form, for it has only to be drawn from. Where rows have a context, D
    sees it, so that the codes of each condition match the prior by themselves. Validation rows are judged by log p(x|z) alone.
    Makhzani, Shlens, Jaitly, Goodfellow & Frey, Adversarial Autoencoders, 2015.
    """

    papers = ("makhzani2015adversarial",)

    weight: float = option("λ, the weight of fooling the rival", default=10.0, minimum=0)
    width: int = option("units in each hidden layer of the rival", default=256, minimum=1, maximum=65536)
    depth: int = option("hidden layers of the rival", default=3, minimum=0, maximum=1000)
    pace: float = option("factor on the learning rate for the rival", default=1.0, above=0, maximum=100)

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        self.discriminator = JudgeOfPrior(model, self.width, self.depth, seed)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        trace = model.trace(x, 1, from_posterior(generator), context)
        log_px = trace.log_px
        fooled, forged = self.discriminator.fooled(model, trace, generator, context)
        return Loss(self.weight * fooled - log_px[0], seen(log_px, trace.kl), trace, forged=forged)

    @property
    def opponent_pace(self) -> float:
        return self.pace

    def contest(
        self,
        model: LatentModel,
        loss: Loss,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        judged: Tensor = self.discriminator.contest(loss.forged, context)
        return judged

    def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
        self.discriminator.tally.count(taken)

    def told(self) -> dict[str, float | None]:
        told: dict[str, float | None] = self.discriminator.tally.told()
        return told

    def weighed(self, reconstruction: float, kl: float) -> float:
        """Without the rival, whose judgement of a row changes as it learns."""
        return reconstruction
