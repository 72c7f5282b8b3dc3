"""Rivalled: what all objectives share whose rival judges rows."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.lowering import lowered
from lambent.model.networks import Network
from lambent.objectives.adversarial.augment import Augmentation, View
from lambent.objectives.adversarial.judge import Judge
from lambent.objectives.adversarial.losses import Rule, feature_distance, models_loss, rivals_loss, share_right
from lambent.objectives.adversarial.penalties import penalized
from lambent.objectives.base import Loss, Objective
from lambent.objectives.tally import Tally
from lambent.part import Part, option

TOLD = ("rival_loss", "rival_accuracy", "balance", "forged_apart", "real_apart")


class Rivalled(Objective):
    """Objectives with a rival that tells rows of the data from rows of the model, each as the encoder reads it."""

    rival: Network | None = option("the rival's network; none: as the model's own", factory=lambda: None)
    loss: Rule = option(
        "relativistic: a row of the data is to be judged likelier than one of the model; non-saturating: each by itself",
        default="relativistic",
        papers={"relativistic": "jolicoeurmartineau2019relativistic", "non-saturating": "goodfellow2014generative"},
    )
    r1: float = option(
        "γ of R1, γ/2 times the squared gradient of the rival at rows of the data",
        default=1.0,
        minimum=0,
        papers={...: "mescheder2018which"},
    )
    r2: float = option(
        "γ of R2, the same at rows of the model", default=1.0, minimum=0, papers={...: "mescheder2018which"}
    )
    penalized: float = option(
        "share of each batch at which the penalties are measured", default=0.5, above=0, maximum=1
    )
    augment: Augmentation = option(
        "what pictures go through before they are judged: for few of them, which the rival would learn by heart",
        default="none",
        papers={...: "zhao2020differentiable"},
    )
    pace: float = option("factor on the learning rate for the rival", default=1.0, above=0, maximum=1000)

    def arm(self, model: LatentModel, seed: int) -> None:
        """Make the rival for a model that is set up, and the counts of what an epoch told."""
        likelihood = model.likelihood
        nought = torch.zeros(1, *model.event_shape, device=model.device)
        event = tuple(likelihood.seen(likelihood.observe(nought)).shape[1:])
        self.discriminator = Judge(self.rival or model.network, event, model.context, seed).to(model.device)
        self.tally = Tally(*TOLD).to(model.device)

    @property
    def opponent_pace(self) -> float:
        return self.pace

    @property
    def settled(self) -> bool:
        """Only at its end: the rival changes, so losses of different epochs say nothing of which weights are the better."""
        return self.progress >= 1

    @property
    @abstractmethod
    def likeness(self) -> float:
        """The weight of the distance between rows and their reconstructions in the rival's features."""

    def judged(self, model: LatentModel, x: Tensor, context: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Logits [rows] of rows as the encoder reads them, and the rival's features."""
        with lowered(model.low_precision, x):
            features = self.discriminator.features(x)
            logits: Tensor = self.discriminator.of_features(features, context)
        return logits.to(x.dtype), features

    def pushed(
        self,
        model: LatentModel,
        pictures: list[Tensor],
        real: Tensor,
        context: Tensor | None,
        generator: torch.Generator | None,
    ) -> "Push":
        """What the model pays for what it made of these rows, and the gradient there.

        The rival is passed backward once, as far as the pictures, and learns nothing. Where `likeness` counts, the first of
        `pictures` are reconstructions.
        """
        view = View(self.augment, real, generator)
        shown = [picture.detach().requires_grad_() for picture in pictures]
        given = None if context is None else context.repeat(len(shown), 1)
        fake, made = self.judged(model, torch.cat([view(each) for each in shown]), given)
        true, features = fake.detach()[: len(real)], made
        if self.loss == "relativistic" or self.likeness:
            with torch.no_grad():
                true, features = self.judged(model, view(real), context)
        rows = models_loss(self.loss, true, fake.view(len(shown), -1)).mean(0)
        whole = rows.detach()
        if self.likeness:
            rows = rows + self.likeness * feature_distance(features, [each[: len(real)] for each in made])
        return Push(whole, list(torch.autograd.grad(rows.sum(), shown)))

    def fought(
        self, model: LatentModel, loss: Loss, generator: torch.Generator | None, context: Tensor | None
    ) -> Tensor:
        """The rival's loss, [rows], of the rows that a pass left in `real` and `forged`."""
        assert loss.real is not None
        rows, kinds = len(loss.real), len(loss.forged)
        view = View(self.augment, loss.real, generator)
        # What was made beside one row stands together, so that the first few rows are of all kinds.
        fakes = torch.stack([view(each) for each in loss.forged], 1).flatten(0, 1)
        given = context if context is None else context.repeat_interleave(kinds, 0)
        real, steep = self._penalized(model, view(loss.real), context, self.r1)
        fake, fake_steep = self._penalized(model, fakes, given, self.r2)
        fake, fake_steep = fake.view(rows, kinds), fake_steep.view(rows, kinds)
        judged = rivals_loss(self.loss, real[:, None], fake).mean(1)
        self._note(judged, real, fake, loss)
        return judged + 0.5 * (self.r1 * steep + self.r2 * fake_steep.mean(1))

    def _penalized(self, model: LatentModel, x: Tensor, context: Tensor | None, weight: float) -> tuple[Tensor, Tensor]:
        if not weight:
            logits = self.judged(model, x, context)[0]
            return logits, torch.zeros_like(logits)
        return penalized(lambda rows, given: self.judged(model, rows, given)[0], x, context, self.penalized)

    @torch.no_grad()
    def _note(self, judged: Tensor, real: Tensor, fake: Tensor, loss: Loss) -> None:
        assert loss.real is not None
        right = share_right(self.loss, real[:, None], fake)
        apart = [_apart(loss.forged[-1]), _apart(loss.real)]
        balance = judged.new_zeros(()) if loss.balance is None else loss.balance
        self.tally.note(judged.mean(), right, balance, *apart)

    def note(self, taken: Tensor) -> None:
        """Count what the last contest told, unless its step was skipped."""
        self.tally.count(taken)

    def recounted(self) -> dict[str, float | None]:
        """The means of the steps since the last call: `spread` is how far apart rows of the model lie, rows of the data 1."""
        means: dict[str, float | None] = self.tally.told()
        forged, real = means.pop("forged_apart"), means.pop("real_apart")
        return means | {"spread": forged / real if forged is not None and real else None}

    def rival_refusal(self, whole: Part) -> str | None:
        """Why rows of a model cannot be judged by a rival."""
        if not isinstance(whole, LatentModel):
            return None
        name, likelihood = type(self).__name__, type(whole.likelihood).__name__
        if not whole.likelihood.forgeable:
            return (
                f"{name} teaches a model by a rival's gradient at the rows it makes, and {likelihood} makes rows that have none: "
                "use the DiscretizedLogistics likelihood for pictures (levels=2 where they are black and white), the Gaussian "
                "for rows of numbers alone, or the Elbo objective"
            )
        if whole.gaps:
            return f"{name} shows a rival whole rows, and with gaps=True they are not: use the Elbo objective, or fill the gaps"
        if self.augment != "none" and whole.ready and len(whole.event_shape) != 3:
            shape = list(whole.event_shape)
            return f"{name} with augment={self.augment} moves pictures, and rows of shape {shape} are none: use augment=none"
        return None


@dataclass(frozen=True)
class Push:
    """What a rival's judgement costs the model, [rows], and its gradient at the pictures judged alone."""

    rows: Tensor
    slopes: list[Tensor]

    def through(self, pictures: list[Tensor]) -> Tensor:
        """Noughts, [rows], with the gradient of the push through the pictures to the model."""
        along = sum((s * picture).flatten(1).sum(1) for s, picture in zip(self.slopes, pictures, strict=True))
        assert isinstance(along, Tensor)
        return along - along.detach()


def _apart(x: Tensor) -> Tensor:
    """The mean distance of rows from the next one, a number of no axes."""
    apart: Tensor = (x - x.roll(1, 0)).flatten(1).norm(dim=1)
    return apart.mean()
