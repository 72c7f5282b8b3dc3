"""judge_samples: how good drawn pictures are, each number beside that of reconstructions, real pictures, copies and noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Encoded, Modality
from lambent.errors import DataError
from lambent.metrics.samples import spectrum
from lambent.metrics.samples.distance import Distance
from lambent.metrics.samples.learning import learned
from lambent.metrics.samples.space import Learned, Space, opened
from lambent.tasks.samples.judgement import Bytes, Neighbours, SampleJudgement, Spectra
from lambent.tasks.samples.remarks import remarks
from lambent.tasks.samples.yardstick import MANY, MOST_FITTED, Yardstick

LEAST = 20  # pictures of a set, below which nothing can be said of it
SHOWN, BESIDE = 16, 5  # drawn pictures that are shown, with so many nearest neighbours


def judge_samples(
    real: Any,
    synthetic: Any,
    holdout: Any = None,
    reconstructions: Any = None,
    labels: Any = None,
    features: Any = None,
    seed: int = 0,
) -> SampleJudgement:
    """Judge drawn pictures against the training pictures of what drew them.

    real, synthetic, holdout, reconstructions: pictures as bytes [n, H, W(, 3)], `Encoded` rows, or what `Image` takes. real:
    those that were trained on; holdout: real ones that were not, without which nobody can tell a memory from a model;
    reconstructions of training pictures show what the prior loses. labels: classes of `real`, by which the feature space is
    learned; an `Encoded` brings its own. features: a feature space, or the file of one (.safetensors, .onnx), to be compared
    with other judgements; by default one is learned from `real`. seed: of all draws.
    Errors: `DataError` for fewer than 20 pictures or other sizes than the real ones; those of the feature space.
    """
    modality = real.modality if isinstance(real, Encoded) else Image()
    opening = real if isinstance(real, Encoded) else modality.open(real)
    if not isinstance(real, Encoded):
        modality.fit(opening)
        opening = modality.read(opening)
    labels = opening.labels if labels is None else np.asarray(labels)
    given = {"generated": synthetic, "reconstructions": reconstructions, "holdout": holdout}
    sets = {name: _pictures(raw, modality, name) for name, raw in given.items() if raw is not None}
    return judged(_pictures(opening, modality, "real"), sets, labels, features, seed)


def judged(
    real: Bytes, sets: dict[str, Bytes], labels: NDArray[np.int64] | None, features: Any, seed: int
) -> SampleJudgement:
    """The same for pictures as bytes, [n, H, W(, 3)], by the name of their set; "generated" is one of them."""
    check_sets(real, sets)
    space = features if isinstance(features, Space) else None
    if space is None:
        space = learned(real, labels, seed) if features is None else opened(features)
    return _Judging(real, sets, space, seed).judged()


def check_sets(real: Bytes, sets: dict[str, Bytes]) -> None:
    """Raise `DataError` unless all are enough pictures of one size."""
    for name, pictures in {"real": real, **sets}.items():
        if len(pictures) < LEAST:
            raise DataError(f"{name}: {len(pictures)} pictures are too few to be judged; {LEAST} at least")
        if pictures.shape[1:] != real.shape[1:]:
            raise DataError(f"{name}: pictures of {pictures.shape[1:]}, and the real ones are {real.shape[1:]}")


def _pictures(raw: Any, modality: Modality, name: str) -> Bytes:
    grey_or_rgb = isinstance(raw, np.ndarray) and (raw.ndim == 3 or (raw.ndim == 4 and raw.shape[-1] == 3))
    if grey_or_rgb and raw.dtype == np.uint8 and raw.max(initial=0) > 1:  # and not truth values as bytes
        return np.asarray(raw)
    x = raw.x if isinstance(raw, Encoded) else modality.encode(raw)
    found = modality.pictures(x)
    if found is None:
        raise DataError(f"{name}: holds no pictures")
    return found


class _Judging:
    """One judgement while it is made: features of all sets in one space."""

    def __init__(self, real: Bytes, sets: dict[str, Bytes], space: Space, seed: int) -> None:
        self.by = Yardstick(real, space, seed)
        count = len(sets["generated"])
        random = self.by.random("copycat")
        self.sets: dict[str, Bytes] = {
            name: sets[name] for name in ("generated", "reconstructions", "holdout") if name in sets
        }
        self.sets["copycat"] = self.by.real[random.integers(0, len(self.by.real), count)]
        self.sets["independent"] = independent(self.by.real, min(count, MANY), self.by.random("independent"))
        self.features = {name: space(pictures) for name, pictures in self.sets.items()}
        self.spectra = {name: self.by.spectrum_of(pictures) for name, pictures in self.sets.items()}

    def judged(self) -> SampleJudgement:
        sets = {name: self.measured(name) for name in self.sets}
        rows = {"real": len(self.by.real), **{name: len(pictures) for name, pictures in self.sets.items()}}
        true, space = self.by.spectrum, self.by.space
        relative = {name: spectrum.relative(own, true).tolist() for name, own in self.spectra.items()}
        spectra = Spectra(true.frequencies.tolist(), relative)
        facts = space.facts if isinstance(space, Learned) else {}
        return SampleJudgement(sets, rows, space.name, facts, spectra, remarks(sets, rows), self.neighbours())

    def measured(self, name: str) -> dict[str, Distance]:
        return self.by.measured(self.features[name], self.spectra[name]) | self.memory(name)

    def memory(self, name: str) -> dict[str, Distance]:
        """What needs real pictures that were not trained on; of these themselves one half is judged beside the other."""
        if "holdout" not in self.features:
            return {}
        own, unseen = self.features[name], self.by.drawn(self.features["holdout"], MOST_FITTED)
        if name == "holdout":
            halves = self.by.random("halves").permutation(len(unseen))
            own, unseen = unseen[halves[: len(unseen) // 2]], unseen[halves[len(unseen) // 2 :]]
        return self.by.memory(own, unseen)

    def neighbours(self) -> Neighbours:
        pictures, features = self.sets["generated"][:SHOWN], self.features["generated"][:SHOWN]
        apart = np.stack([np.sqrt(((self.by.known - row) ** 2).sum(1)) for row in features])
        order = np.argsort(apart, axis=1, kind="stable")[:, :BESIDE]
        return Neighbours(pictures, self.by.real[order], np.take_along_axis(apart, order, 1))


def independent(pictures: Bytes, count: int, generator: np.random.Generator) -> Bytes:
    """Pictures whose every pixel, of each channel, is drawn from its own values by itself."""
    flat = pictures.reshape(len(pictures), -1)
    rows = generator.integers(0, len(flat), (count, flat.shape[1]))
    return np.take_along_axis(flat, rows, 0).reshape(count, *pictures.shape[1:])
