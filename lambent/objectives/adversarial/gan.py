"""Gan: the decoder and the prior alone, taught by a rival."""

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.trace import from_prior
from lambent.objectives.adversarial.rivalled import Rivalled
from lambent.objectives.base import Loss
from lambent.part import Part


class Gan(Rivalled):
    """A generative adversarial network: the decoder is the generator, the prior its noise, and there is no encoder.

    The generator pays −log σ(D(x̂) − D(x)), or −log σ(D(x̂)), x̂ the centre of p(x|z), z from the prior. Goodfellow et al.,
    Generative Adversarial Nets, 2014; Huang et al., The GAN is dead; long live the GAN!, 2024.
    """

    papers = ("goodfellow2014generative", "huang2024gan")

    bounded = False
    encodes = False
    standard_prior = True

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        self.arm(model, seed)

    @property
    def betas(self) -> tuple[float, float]:
        return (0.0, 0.99)

    @property
    def likeness(self) -> float:
        return 0.0

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        real = model.likelihood.seen(model.likelihood.observe(x)).to(model.anchor.dtype)
        pictures = [model.likelihood.forged(model.generate(len(x), from_prior(generator), context))]
        push = self.pushed(model, pictures, real, context, generator)
        return Loss(push.rows + push.through(pictures), forged=tuple(p.detach() for p in pictures), real=real)

    def contest(
        self,
        model: LatentModel,
        loss: Loss,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        return self.fought(model, loss, generator, context)

    def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
        self.note(taken)

    def told(self) -> dict[str, float | None]:
        told = self.recounted()
        return {name: value for name, value in told.items() if name != "balance"}

    def refusal(self, whole: Part) -> str | None:
        if reason := super().refusal(whole) or self.rival_refusal(whole):
            return reason
        if isinstance(whole, LatentModel) and not whole.latent.reparameterized:
            return (
                f"Gan learns the prior through codes drawn from it, and which component of a {whole.latent.origin} prior a code "
                "comes from has no gradient, so its weights would never learn: use the Standard or Flow prior"
            )
        return None
