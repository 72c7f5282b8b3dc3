"""Yardstick: training pictures as features, by which every set of pictures is measured alike."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.samples import frechet, kernel, manifold, neighbours, spectrum
from lambent.metrics.samples.distance import PIXELS, Distance
from lambent.metrics.samples.kernel import Estimate
from lambent.metrics.samples.space import Space
from lambent.metrics.samples.spectrum import Spectrum
from lambent.seeds import stream
from lambent.tasks.samples.judgement import Bytes

MOST_REAL = 50_000  # training pictures that samples are compared with
MANY = 2_000  # pictures of a set whose pairs are looked at
MOST_FITTED = 10_000  # training pictures that the likelihood of features is fitted to
CENTRES = 1_000

Features = NDArray[np.float64]


class Yardstick:
    """At most so many training pictures in a feature space, and the same draws for all that is measured by them."""

    def __init__(self, real: Bytes, space: Space, seed: int) -> None:
        self.seed, self.space = stream(seed, "judged samples"), space
        self.real = self.drawn(real, MOST_REAL)
        self.known = space(self.real)
        self.moments = frechet.Moments.of(self.known)
        self.spectrum = self.spectrum_of(self.real)

    def random(self, purpose: str) -> np.random.Generator:
        """A stream of its own for each purpose."""
        return np.random.default_rng([self.seed % 2**63, *purpose.encode()])

    def drawn(self, rows: NDArray[Any], most: int) -> NDArray[Any]:
        """At most so many of the rows, the same at every call."""
        return rows if len(rows) <= most else rows[self.random("rows").permutation(len(rows))[:most]]

    def few(self, rows: NDArray[Any]) -> NDArray[Any]:
        return self.drawn(rows, MANY)

    def spectrum_of(self, pictures: Bytes) -> Spectrum:
        """The energy of at most so many of the pictures by frequency."""
        return spectrum.spectrum(self.few(pictures))

    def measured(self, features: Features, own: Spectrum) -> dict[str, Distance]:
        """How far pictures are from the real ones, from their features and their energy by frequency."""
        apart = frechet.measured(self.moments, features, self.random("resamples"))
        shares = manifold.manifold(self.few(self.known), self.few(features))
        found: dict[str, Estimate] = {
            "frechet": Estimate(apart.value, apart.error),
            "frechet_limit": Estimate(apart.limit, apart.limit_error),
            "kernel": kernel.kernel(self.few(self.known), self.few(features)),
            **shares._asdict(),
        }
        told = {measure: self.told(one) for measure, one in found.items()}
        return told | {"sharpness": self.told(spectrum.sharpness(own, self.spectrum), PIXELS)}

    def memory(self, features: Features, unseen: Features) -> dict[str, Distance]:
        """Whether pictures lean to the training pictures: by the features of as many real ones that were not trained on."""
        near = neighbours.nearer_training(self.few(features), self.known, self.few(unseen), self.random("nearer"))
        fitted = self.drawn(self.known, MOST_FITTED)
        gap = neighbours.likelihood_gap(self.drawn(features, CENTRES), fitted, unseen)
        return {"nearer_training": self.told(near), "gap": self.told(gap)}

    def told(self, one: Estimate, space: str | None = None) -> Distance:
        return Distance(one.value, one.error, space or self.space.name)
