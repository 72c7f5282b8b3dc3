"""Objectives with a rival beside them, which judges what they reconstruct and what they generate."""

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.trace import from_prior
from lambent.objectives.adversarial.balance import balance, last_weight
from lambent.objectives.adversarial.rivalled import Rivalled
from lambent.objectives.around import Around
from lambent.objectives.base import Loss, unencoded
from lambent.part import Part, option


class Hybrid(Rivalled, Around):
    """An objective with a rival beside it.

    The loss that is recorded is the objective's: what the rival adds is a gradient, of a weight that changes with every step, and
    how it judges stands beside the loss.
    """

    weight: float = option(
        "of the rival's part: how much it asks of the decoder's last layer, as a share of what the objective asks",
        default=1.0,
        minimum=0,
    )
    start: float = option("share of training before the rival begins", default=0.2, minimum=0, below=1)
    rise: float = option("share of training over which its weight then grows", default=0.1, minimum=0, maximum=1)

    def add(self, model: LatentModel, seed: int) -> None:
        self.arm(model, seed)
        self.imagines = not model.latent.discrete  # the prior over entries of a codebook learns when all else is done

    @property
    def betas(self) -> tuple[float, float]:
        return (0.5, 0.99)

    @property
    def presence(self) -> float:
        """The factor on the weight now, from 0 to 1."""
        passed = self.progress - self.start
        return 0.0 if passed <= 0 else min(1.0, passed / self.rise) if self.rise else 1.0

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        inner: Loss = self.inner(model, x, generator, context)
        if not self.presence:
            return Loss(inner.rows, inner.seen, inner.trace, inner.calibrated, within=inner)
        if inner.trace is None:
            own, other = type(self).__name__, type(self.of).__name__
            raise UsageError(f"{own} judges what {other} reconstructs, and its loss came without a trace: give it one")
        real = model.likelihood.seen(inner.trace.x).detach()
        pictures = [model.likelihood.forged(inner.trace.px)[0]]
        if self.imagines:
            pictures.append(model.likelihood.forged(model.generate(len(x), from_prior(generator), context)))
        push = self.pushed(model, pictures, real, context, generator)
        even = balance(inner.rows.mean(), pictures, [s / len(x) for s in push.slopes], last_weight(model.decoder))
        rows = inner.rows + self.presence * self.weight * even * push.through(pictures)
        forged = tuple(p.detach() for p in pictures)
        return Loss(rows, inner.seen, inner.trace, inner.calibrated, forged, inner, real, even)

    def contested(
        self, model: LatentModel, loss: Loss, generator: torch.Generator | None, context: Tensor | None
    ) -> Tensor | None:
        return self.fought(model, loss, generator, context) if loss.forged else None

    def learn(self, loss: Loss, taken: Tensor) -> None:
        self.note(taken)

    def own(self) -> dict[str, float | None]:
        return self.recounted()

    def refusal(self, whole: Part) -> str | None:
        return unencoded(self, whole) or self.of.refusal(whole) or self.rival_refusal(whole)


class Adversarial(Hybrid):
    """Any objective with a rival that judges reconstructions and samples.

    loss of the objective + w λ E[−log σ(D(x̂) − D(x))], λ the ratio of the norms of the two gradients at the decoder's last layer.
    Esser, Rombach & Ommer, Taming Transformers for High-Resolution Image Synthesis, 2021.
    """

    papers = ("esser2021taming", "goodfellow2014generative")

    @property
    def likeness(self) -> float:
        return 0.0


class VaeGan(Hybrid):
    """A VAE with a rival: reconstructions are judged in its features, too.

    loss of the objective + w λ (E[−log σ(D(x̂) − D(x))] + φ mean_l ‖f_l(x) − f_l(x̂)‖² / E‖f_l(x)‖²), f_l the rival's layers, φ
    `features`, λ as of `Adversarial`. Larsen et al., Autoencoding beyond Pixels Using a Learned Similarity Metric, 2016.
    """

    papers = ("larsen2016autoencoding", "esser2021taming")

    features: float = option("weight of the distance in the rival's features", default=1.0, minimum=0)

    @property
    def likeness(self) -> float:
        return self.features
