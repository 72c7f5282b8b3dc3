"""Objectives with an opponent: one loop serves them all."""

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.trace import from_posterior
from lambent.objectives.base import Loss, Objective, seen
from lambent.objectives.judges_of_codes import TOLD, judge_of_codes, share_right, told_apart
from lambent.objectives.tally import Tally
from lambent.part import Part, option


class Factor(Objective):
    """ELBO plus γ times the total correlation of q(z), judged by a rival. Kim & Mnih, Disentangling by Factorising, 2018.

    The rival D tells codes from codes whose units were shuffled over the batch; log D/(1−D) estimates the density ratio.
    """

    papers = ("kim2018disentangling",)
    needs_space = True
    standard_prior = True

    gamma: float = option("weight γ of the total correlation", default=10.0, minimum=0)
    width: int = option("units in each hidden layer of the rival", default=256, minimum=1, maximum=65536)
    depth: int = option("hidden layers of the rival", default=4, minimum=1, maximum=1000)

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        self.discriminator = judge_of_codes(sum(model.latent.sizes_of_levels), self.width, self.depth, 1, seed)
        self.discriminator.to(model.device)
        self.tally = Tally(*TOLD).to(model.device)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        trace = model.trace(x, 1, from_posterior(generator), context)
        codes = trace.z[0]
        log_px, kl = trace.log_px, trace.kl
        total_correlation: Tensor = self.discriminator(codes).squeeze(-1)
        rows: Tensor = kl.reshape(-1, len(x))[0] - log_px[0] + self.gamma * total_correlation
        return Loss(rows, seen(log_px, kl), trace)

    def contest(
        self,
        model: LatentModel,
        loss: Loss,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """Cross-entropy of telling the codes of the last pass from shuffled ones."""
        assert loss.trace is not None
        codes = loss.trace.z[0].detach()
        order = torch.rand(codes.shape, generator=generator, device=codes.device).argsort(0)
        shuffled = codes.gather(0, order)
        real, fake = self.discriminator(codes).squeeze(-1), self.discriminator(shuffled).squeeze(-1)
        judged = told_apart(real, fake)
        self.tally.note(judged.mean(), share_right(real, fake))
        return judged

    def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
        self.tally.count(taken)

    def told(self) -> dict[str, float | None]:
        told: dict[str, float | None] = self.tally.told()
        return told

    def refusal(self, whole: Part) -> str | None:
        if (reason := super().refusal(whole)) or not isinstance(whole, LatentModel):
            return reason
        if sum(whole.latent.sizes_of_levels) < 2:
            return (
                f"Factor weighs the dependence between units, and this {type(whole.latent).__name__} latent has only one: "
                "use the Elbo objective, or a larger latent"
            )
        if not whole.latent.density:
            return "Factor adds to the ELBO, which a Point posterior does not have: use Diagonal, or the Wae objective"
        return None
