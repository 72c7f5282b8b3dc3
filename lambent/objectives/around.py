"""Around: objectives that add something to whatever other objective they are built around."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lambent.model import LatentModel
from lambent.model.trace import Trace
from lambent.objectives.base import Loss, Objective, unencoded
from lambent.objectives.elbo import Elbo
from lambent.part import Part, option

TAKEN = (
    "bounded",
    "needs_density",
    "needs_rows",
    "discrete",
    "needs_single",
    "examined",
    "examines_training",
    "encodes",
    "needs_space",
    "standard_prior",
)


class Around(Objective):
    """The loss of the objective `of`, and what is added to it. What the inner one asks of a model, the whole asks.

    `forward` of a subclass takes the loss of `inner` from its own `forward`, adds to its rows, and keeps it as `within`. An
    opponent of its own beside one of the inner objective makes two, which learn side by side.
    """

    of: Objective = option("the objective that this adds to", factory=Elbo)

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self).update({name: getattr(self.of, name) for name in TAKEN})

    @property
    def inner(self) -> Objective:
        """The objective within, as far in training as this one is."""
        vars(self.of)["progress"], vars(self.of)["rows"] = self.progress, self.rows
        return self.of

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        self.of.setup(model, seed)
        self.add(model, seed)

    @abstractmethod
    def add(self, model: LatentModel, seed: int) -> None:
        """Make the own weights and state; an opponent stands in `self.discriminator`."""

    @property
    def opponent(self) -> nn.Module | None:
        own, other = self._modules.get("discriminator"), self.of.opponent
        return nn.ModuleList([own, other]) if own is not None and other is not None else own or other

    def contest(
        self,
        model: LatentModel,
        loss: Loss,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> Tensor | None:
        """The sum of the opponents' losses, [rows]."""
        assert loss.within is not None
        own = self.contested(model, loss, generator, context)
        other = self.inner.contest(model, loss.within, generator, context)
        return own + other if own is not None and other is not None else other if own is None else own

    def contested(
        self, model: LatentModel, loss: Loss, generator: torch.Generator | None, context: Tensor | None
    ) -> Tensor | None:
        """The loss of the own opponent, [rows]; None where there is none."""
        return None

    def further(self, model: LatentModel, trace: Trace, generator: torch.Generator | None = None) -> Tensor | None:
        return self.inner.further(model, trace, generator)

    def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
        assert loss.within is not None
        self.inner.after(model, loss.within, taken)
        self.learn(loss, taken)

    def learn(self, loss: Loss, taken: Tensor) -> None:
        """Learn what is the own and not learned by gradients from the last pass, unless its step was skipped."""

    def examine(
        self, model: LatentModel, x: Tensor, context: Tensor | None, generator: torch.Generator | None = None
    ) -> None:
        self.inner.examine(model, x, context, generator)

    def weighed(self, reconstruction: float, kl: float) -> float:
        """Of the inner objective: what is added is not counted on validation rows."""
        return self.inner.weighed(reconstruction, kl)

    def told(self) -> dict[str, float | None]:
        return self.inner.told() | self.own()

    def own(self) -> dict[str, float | None]:
        """What the steps of an epoch told of what is added; the next epoch begins anew."""
        return {}

    @property
    def draws(self) -> int:
        return self.of.draws

    @property
    def settled(self) -> bool:
        return self.inner.settled

    def refusal(self, whole: Part) -> str | None:
        if self.of.unlabelled:
            name, other = type(self).__name__, type(self.of).__name__
            return (
                f"{name} cannot be around {other}, which takes rows once under each label: use the Elbo objective there"
            )
        return unencoded(self, whole) or self.of.refusal(whole) or super().refusal(whole)
