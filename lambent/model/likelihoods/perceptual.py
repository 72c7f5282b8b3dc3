"""A distance of pictures as it is seen, in the place of log p(x | z)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import Perceived
from lambent.errors import UsageError
from lambent.model.feature_learning import LEAST, feature_space
from lambent.model.feature_space import CHUNK, FeatureSpace, read
from lambent.model.likelihoods.base import Likelihood, within_unit
from lambent.model.lowering import lowered
from lambent.part import Shape, elements, option

PAIRS = 512  # of pictures, by which it is told how far two lie apart
NEAREST = 1e-3  # what two pictures differ by, at least, where the data are all alike


class Perceptual(Likelihood):
    """−λ n d(x, x̂): how far the picture x̂(z) lies from x in the features of a network trained on the pictures themselves.

    d = s ‖x − x̂‖² / c₀ + (1 − s) 1/L Σ_l ‖f_l(x) − f_l(x̂)‖² / c_l, means over the pixels and over the numbers of each of the L
    levels of features, c the same of two pictures drawn at random, so that d is 1 between these; s = `pixels`, and n numbers make
    a picture. The network learns from up to 2,000 of the training pictures, without labels, to tell two views of one from views
    of others; nothing is downloaded. It is no log-probability: nothing here bounds log p(x), and no ELBO is reported.
    Hou et al., Deep Feature Consistent Variational Autoencoder, 2017.
    """

    papers = ("hou2017deep", "chen2020simple")

    domain = "numbers in [0, 1]"
    examples = 2000
    normalized = False
    forgeable = True

    weight: float = option(
        "λ: what each number of a picture costs, in nats, where it is as far off as one drawn at random",
        default=5.0,
        above=0,
        maximum=1e6,
    )
    pixels: float = option("share of the pixels' own squared error in the distance", default=0.5, minimum=0, maximum=1)
    steps: int = option("steps in which the features are learned", default=1000, minimum=0, maximum=10**6)
    features: str = option(
        "the file that keeps the features, .safetensors: read where it is there, else written, so that runs share them; "
        "none: learned for this run alone",
        default="",
    )

    def setup(self, event: Shape) -> Shape:
        if len(event) != 3:
            raise UsageError(
                f"Perceptual takes images, [channels, height, width], not rows of shape {list(event)}: use Gaussian"
            )
        self.event = event
        self.space = FeatureSpace(event).eval().frozen()
        levels = len(self.space.maps(torch.zeros(1, *event)))
        # How far two pictures lie apart, in pixels and at every level; and of how many pictures the features were learned.
        self.register_buffer("between", torch.ones(1 + levels))
        self.register_buffer("studied", torch.zeros((), dtype=torch.int64))
        return event

    @torch.no_grad()
    def study(self, observed: Tensor, generator: torch.Generator) -> None:
        """Learn the features from pictures, or read them; then see how far two of these lie apart.

        Fewer than 16 pictures teach nothing: the features are then those of a network as it starts.
        """
        path = Path(self.features)
        if self.features and path.suffix.lower() != ".safetensors":
            raise UsageError(f"Perceptual.features is a .safetensors file of a feature space, not {self.features!r}")
        if self.features and path.exists():
            space = self._fitting(read(path))
        elif len(observed) >= LEAST and self.steps:
            space = feature_space(observed.contiguous(), generator, steps=self.steps)
            if self.features:
                space.save(path)
        else:
            space = self.space
            space.standardize(observed)
        self.space = space.eval().frozen()
        self.studied.fill_(int(space.facts.get("rows", 0)))
        some = observed[:PAIRS].split(CHUNK)
        others = observed[:PAIRS].roll(1, 0).split(CHUNK)
        pairs = [self._differences(one, other) for one, other in zip(some, others, strict=True)]
        self.between.copy_(torch.cat(pairs, 1).mean(1).clamp_min(NEAREST))

    def adopt(self, other: Likelihood) -> None:
        """The features: how many layers a network of its own would have hangs on the size of the picture."""
        assert isinstance(other, Perceptual)
        self.space = other.space
        self.register_buffer("between", other.between)

    def _fitting(self, space: FeatureSpace) -> FeatureSpace:
        event = list(space.facts["event"])
        if event != list(self.event):
            raise UsageError(
                f"the features in {self.features} are of pictures {event} (channels, height, width), and these are "
                f"{list(self.event)}: name a file that is not there, and they are learned from these pictures"
            )
        return space

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return Perceived(raw.sigmoid(), self.event, self._cost)

    def _cost(self, picture: Tensor, value: Tensor) -> Tensor:
        found = self._differences(picture, value)
        share = torch.full_like(self.between, (1 - self.pixels) / (len(self.between) - 1))
        share[0] = self.pixels
        weights = self.weight * elements(self.event) * share / self.between
        return torch.einsum("l,l...->...", weights, found)

    def _differences(self, first: Tensor, second: Tensor) -> Tensor:
        """The mean squared difference of pixels and of each level of features, [1 + levels, ...], of pictures [..., *event]."""
        found = [(first - second).square().mean((-3, -2, -1))]
        for one, other in zip(self._maps(first), self._maps(second), strict=True):
            found.append((one - other).square().mean(-1))
        return torch.stack(found)

    def _maps(self, x: Tensor) -> list[Tensor]:
        """Every level of features, flat, [..., numbers]."""
        batch, flat = x.shape[:-3], x.reshape(-1, *self.event)
        with lowered(self.low_precision, flat):
            maps = self.space.maps(flat)
        return [each.to(x.dtype).reshape(*batch, -1) for each in maps]

    def embed(self, x: Tensor) -> Tensor:
        return 2 * x - 1

    def start(self, observed: Tensor) -> Tensor:
        """The mean picture."""
        return observed.mean(0).clamp(0.02, 0.98).logit()

    def admit(self, x: Tensor) -> None:
        within_unit(self, x)

    def described(self) -> dict[str, Any]:
        return {"features": {"sha256": self.space.sha256, "pictures": int(self.studied)}}
