"""Latent: the codes of a model, from features down to what the decoder receives."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import boxed
from lambent.model.networks import Network
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.model.priors.base import Encode
from lambent.model.trace import Draw, Node
from lambent.part import Part, Shape, elements, registered

Features = Tensor | list[Tensor]
Encoder = Callable[[Tensor], Features]


class Latent(Part):
    """The codes of a model, from features down to what the decoder receives.

    What others may ask of it stands here, so that nobody reaches for the parts inside: `density`, `separable`, `factorized`,
    `learned`, `reparameterized`, `inference`, `origin`.
    """

    single: ClassVar[bool] = False  # True: one vector with one posterior, which some objectives need
    takes: ClassVar[Literal["vector", "maps"]] = "vector"  # maps: the pyramid of a spatial network, the finest first
    grouped: ClassVar[bool] = (
        False  # the context only tells which rows share a part of the code, and no network reads it
    )
    discrete: ClassVar[bool] = False  # codes are entries of a codebook, and the prior one over their numbers
    inferring: ClassVar[tuple[str, ...]] = ("posterior",)  # the modules in it that q(z|x) alone goes through

    def __post_init__(self) -> None:
        super().__post_init__()
        self.low_precision: torch.dtype | None = None  # what networks compute in; set by the loop for its own duration

    @abstractmethod
    def setup(self, features: Shape | list[Shape] | None, examples: Tensor, context: int = 0) -> Shape:
        """Make the weights for features of that shape, a list of them for maps; returns the shape of what the decoder receives.

        features None: there is no encoder, and nothing that would read what it gives is made.

        examples: [n, *event] as the encoder sees them. context: the width of what conditions the prior, 0 for none; features
        come with it joined already.
        """

    @abstractmethod
    def forward(
        self, features: Features | None, draw: Draw, n: int, encoder: Encoder, context: Tensor | None = None
    ) -> tuple[Tensor, list[Node]]:
        """The top-down pass: [samples · rows, *hidden] and one node per level, the top first.

        features: [rows, *shape], or a list of maps, with n samples of each row; [n, rows, *shape] where each sample has its own,
        as it belongs to a member of an ensemble; or None, to generate n rows. encoder: embedded rows → features, for priors
        that are made of posteriors. context: [rows, width].
        """

    @abstractmethod
    def equip(self, prior: Prior, examples: Tensor, context: int = 0) -> None:
        """Set up a prior for the codes of the top level, whose shapes are known: the own one, or another to take its place.

        examples, context: as for `setup`.
        """

    @property
    @abstractmethod
    def shapes_of_levels(self) -> tuple[Shape, ...]:
        """The shape of z at each level, the top first."""

    @property
    def sizes_of_levels(self) -> tuple[int, ...]:
        """Units at each level, the top first."""
        return tuple(elements(shape) for shape in self.shapes_of_levels)

    @property
    @abstractmethod
    def density(self) -> bool:
        """Whether log q(z|x) exists at every level, and so a bound on the evidence."""

    @property
    def by_row(self) -> bool:
        """Whether training takes each row by itself; not where it keeps statistics of a batch."""
        return True

    @property
    @abstractmethod
    def separable(self) -> bool:
        """Whether log q can be taken with its parameters held constant."""

    @property
    @abstractmethod
    def factorized(self) -> bool:
        """Whether q(z|x) is a product over units."""

    @property
    @abstractmethod
    def learned(self) -> bool:
        """Whether the prior of the top level learns."""

    @property
    @abstractmethod
    def reparameterized(self) -> bool:
        """Whether draws from the prior carry the gradient of everything that it learns."""

    @property
    @abstractmethod
    def inference(self) -> str:
        """What q(z|x) is, as a name for sentences."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """What p(z) of the top level is, as a name for sentences."""

    @property
    def encodes(self) -> bool:
        """Whether there is a q(z|x) at all: a model of a GAN has none."""
        return True

    @property
    def support(self) -> str:
        """Where the codes of the top level lie: in all of "space", or on the unit "sphere"."""
        posterior = getattr(self, "posterior", None)
        if posterior is None:
            return "space"
        return str(posterior.support or self.prior.support or "space")  # one that is absent has no say

    def start(self, weight: Tensor, location: Tensor, scale: Tensor) -> bool:
        """Begin with a posterior that is linear in the first features, as `Posterior.start`; whether it can."""
        return False

    def follow(self, nodes: list[Node], taken: Tensor, generator: torch.Generator) -> None:
        """Learn what is not learned by gradients from the nodes of a training step, unless it was skipped (not `taken`)."""

    def told(self) -> dict[str, float | None]:
        """What the steps of an epoch told of the codes beside the bound, for the history; the next epoch begins anew."""
        return {}

    def _held_by(self) -> list[str]:
        """The names of the priors that are over such codes, and lie where these do."""
        return [
            name
            for name, other in registered(Prior).items()
            if other.discrete == self.discrete and other.support in (None, self.support)
        ]

    def refusal(self, whole: Part) -> str | None:
        network = getattr(whole, "network", None)
        if self.takes == "maps" and network is not None and not network.spatial:
            spatial = [name for name, other in registered(Network).items() if other.spatial]
            instead = f"{', '.join(spatial[:-1])} or {spatial[-1]}"
            return f"{type(self).__name__} takes maps, and {type(network).__name__} gives vectors: use the {instead} network"
        prior = getattr(self, "prior", None)
        if prior is not None and prior.discrete != self.discrete:
            named = " or ".join(self._held_by())
            kinds = ("numbers", "entries of a codebook")
            of_prior, own = kinds[prior.discrete], kinds[self.discrete]
            name = type(self).__name__
            return f"a {type(prior).__name__} prior is over {of_prior}, and the codes of {name} are {own}: use {named}"
        if prior is not None and prior.support not in (None, self.support):
            return _unlike(prior, self)
        return None


class Variational(Latent):
    """Latents with a `posterior`, of one kind at every level, and a `prior` of the top one, in fields of these names."""

    def equip(self, prior: Prior, examples: Tensor, context: int = 0) -> None:
        prior.setup(self.shapes_of_levels[0], examples, context)

    def top(self, encode: Encode, context: Tensor | None = None) -> Distribution:
        """p of the top level, as the posterior sees it; `encode` maps rows to q."""
        p = self.prior(encode, context)
        return boxed(p) if self.posterior.boxed else p

    @property
    def encodes(self) -> bool:
        return bool(self.posterior.encodes)

    @property
    def density(self) -> bool:
        return bool(self.posterior.density)

    @property
    def separable(self) -> bool:
        return bool(self.posterior.separable)

    @property
    def factorized(self) -> bool:
        return bool(self.posterior.factorized)

    @property
    def learned(self) -> bool:
        return bool(self.prior.learned)

    @property
    def reparameterized(self) -> bool:
        return bool(self.prior.reparameterized)

    @property
    def inference(self) -> str:
        return type(self.posterior).__name__

    @property
    def origin(self) -> str:
        return type(self.prior).__name__


LIE = {"space": "in all of space", "sphere": "on the unit sphere"}


def _unlike(prior: Prior, latent: Latent) -> str:
    """The refusal of a prior whose codes lie elsewhere than the posterior's."""
    named, given = type(prior).__name__, latent.inference
    alike = [name for name, other in registered(Posterior).items() if other.support == prior.support and other.density]
    instead = " or ".join(latent._held_by())
    where, other = LIE[str(prior.support)], LIE[latent.support]
    return (
        f"codes of a {named} prior lie {where}, and those of a {given} posterior {other}: "
        f"use the {' or '.join(alike)} posterior, or the {instead} prior"
    )
