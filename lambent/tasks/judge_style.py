"""judge_style: what restyling did, beside doing nothing, the nearest picture of the other style, and a transfer of colours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.errors import DataError, UsageError
from lambent.errors import nearest as nearest_of
from lambent.metrics.probe import Probe
from lambent.metrics.samples.distance import PIXELS, Distance
from lambent.metrics.samples.kernel import Estimate
from lambent.metrics.samples.learning import learned
from lambent.metrics.samples.neighbours import nearest
from lambent.metrics.samples.space import Space, opened
from lambent.metrics.style import Content, apart, colour_transfer, retrieved
from lambent.tasks.samples.judgement import Measure

Bytes = NDArray[np.uint8]

LEAST = 20  # pictures of a set
COMPONENTS = 192  # principal components of pixels that content is told by
MEASURES: dict[str, Measure] = {
    "pixels": Measure("Pixels", "root mean square difference to the true partner, in shares of white", "lower"),
    "features": Measure("Features", "the same of features, which are in standard deviations", "lower"),
    "retrieval": Measure(
        "Partner found", "share whose nearest of all true partners, by features, is their own", "higher"
    ),
    "retrieval_pixels": Measure("Partner found, pixels", "the same by pixels", "higher"),
    "content": Measure(
        "Partner found, content", "the same by features in which training partners are near each other", "higher"
    ),
    "style": Measure("Style", "share that a classifier of real pictures takes for the other style", "higher"),
}
SETS = {
    "restyled": "what is judged",
    "unchanged": "the pictures as they were",
    "colours": "the pictures with the colours of the other style, by mean and deviation",
    "nearest": "of each the nearest training picture of the other style, by features",
    "nearest, pixels": "the same by pixels",
    "partners": "the true partners themselves",
}


@dataclass(frozen=True)
class StyleJudgement:
    """By set of pictures and measure what was found: `sets["restyled"]["pixels"]` is a `Distance`.

    rows: pictures of each set; space: of the distances and the retrieval; classifier: the share of real pictures, of training,
    that it tells right.
    """

    sets: dict[str, dict[str, Distance]]
    rows: int
    space: str
    classifier: float

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        sets = {
            name: {measure: {"value": one.value, "error": one.error} for measure, one in found.items()}
            for name, found in self.sets.items()
        }
        meanings = {name: {"meaning": one.meaning, "better": one.better} for name, one in MEASURES.items()}
        return {
            "space": self.space,
            "classifier": self.classifier,
            "rows": self.rows,
            "sets": sets,
            "measures": meanings,
        }

    def gained(self, name: str, bound: str, measure: str = "pixels") -> float | None:
        """How far a set has come from the unchanged pictures, 0, to those of `bound`, 1, by a distance to the partners.

        None where `bound` is itself no nearer to them than the unchanged pictures.
        """
        start, end, own = (float(self.sets[each][measure]) for each in ("unchanged", bound, name))
        return (start - own) / (start - end) if end < start else None


class StyleJudge:
    """What pictures of two styles or more teach: features to compare by, and a classifier of the styles.

    styles: training pictures [n, H, W(, 3)], uint8, by the name of their style. features: a space or the file of one, by which
    distances are taken; by default one is learned from the pictures. The classifier is linear on features of its own, which are
    learned to tell the styles. paired: whether the training pictures of the first two styles are partners, row by row: by them
    content is judged then, for even a picture unchanged often has another's partner nearest by plain features.
    Errors: `DataError` for fewer than 20 pictures or unlike sizes.
    """

    def __init__(self, styles: Mapping[str, Bytes], features: Any = None, seed: int = 0, paired: bool = False) -> None:
        if len(styles) < 2:
            raise UsageError("styles are judged beside each other: give pictures of two or more")
        sizes = {pictures.shape[1:] for pictures in styles.values()}
        if min(map(len, styles.values())) < LEAST or len(sizes) > 1:
            raise DataError(f"{LEAST} pictures of each style at least, all of one size; these are {_sized(styles)}")
        self.styles = dict(styles)
        every = np.concatenate(list(styles.values()))
        labels = np.repeat(np.arange(len(styles)), [len(pictures) for pictures in styles.values()])
        self.space = (
            features
            if isinstance(features, Space)
            else learned(every, None, seed)
            if features is None
            else opened(features)
        )
        self.telling = learned(every, labels, seed)
        known = self.telling(every)
        self.probe = Probe(known, labels)
        self.classifier = self.probe.right(known, labels).value
        self.content: Callable[[Bytes], NDArray[np.float64]] | None = self._of_content(every, seed) if paired else None

    def _of_content(self, every: Bytes, seed: int) -> Callable[[Bytes], NDArray[np.float64]]:
        """Features in which partners are near: those of the space beside the leading principal components of pixels."""
        from sklearn.decomposition import PCA

        flat = _flat(every)
        most = min(COMPONENTS, len(flat), flat.shape[1])
        components = PCA(most, svd_solver="randomized", random_state=seed % 2**32).fit(flat)
        scale = float(components.transform(flat).std(0).mean()) or 1.0

        def features(pictures: Bytes) -> NDArray[np.float64]:
            return np.concatenate((self.space(pictures), components.transform(_flat(pictures)) / scale), 1)

        first, second, *_ = self.styles.values()
        whitened = Content(features(first), features(second))
        return lambda pictures: whitened(features(pictures))

    def judged(self, own: str, other: str, source: Bytes, partners: Bytes, sets: Mapping[str, Bytes]) -> StyleJudgement:
        """Judge sets of pictures made of `source`, of the style `own`, by their true partners, of the style `other`."""
        for name in (own, other):
            if name not in self.styles:
                raise UsageError(f"no style is called {name!r}; {nearest_of(name, self.styles)}")
        for name, pictures in {"partners": partners, **sets}.items():
            if pictures.shape != source.shape:
                raise DataError(f"{name}: pictures of {list(pictures.shape)}, and the source has {list(source.shape)}")
        if len(source) < LEAST:
            raise DataError(f"{len(source)} pictures are too few to be judged; {LEAST} at least")
        every = {**sets, **self.beside(own, other, source), "partners": partners}
        wanted, place = self.space(partners), list(self.styles).index(other)
        return StyleJudgement(
            {name: self._measured(pictures, partners, wanted, place) for name, pictures in every.items()},
            len(source),
            self.space.name,
            self.classifier,
        )

    def beside(self, own: str, other: str, source: Bytes) -> dict[str, Bytes]:
        """What takes no model: doing nothing, colours alone, the nearest training pictures of the other style."""
        before, after = self.styles[own], self.styles[other]
        return {
            "unchanged": source,
            "colours": colour_transfer(source, before, after),
            "nearest": after[nearest(self.space(source), self.space(after)).place],
            "nearest, pixels": after[nearest(_flat(source), _flat(after)).place],
        }

    def _measured(
        self, pictures: Bytes, partners: Bytes, wanted: NDArray[np.float64], place: int
    ) -> dict[str, Distance]:
        features = self.space(pictures)
        reached = Estimate.of(self.probe.told(self.telling(pictures)) == place)
        kept = {}
        if self.content is not None:
            kept["content"] = Distance(*retrieved(self.content(pictures), self.content(partners)), self.space.name)
        return {
            "pixels": Distance(*apart(pictures, partners), PIXELS),
            "features": Distance(*apart(features, wanted), self.space.name),
            "retrieval": Distance(*retrieved(features, wanted), self.space.name),
            "retrieval_pixels": Distance(*retrieved(_flat(pictures), _flat(partners)), PIXELS),
            **kept,
            "style": Distance(*reached, self.telling.name),
        }


def judge_style(
    restyled: Bytes,
    source: Bytes,
    partners: Bytes,
    styles: Mapping[str, Bytes],
    features: Any = None,
    seed: int = 0,
) -> StyleJudgement:
    """How near restyled pictures came to their true partners, whether their content stayed, and whether the style was reached.

    restyled, source, partners: pictures [n, H, W(, 3)], uint8, row by row what was made, of what, and what it should be. styles:
    training pictures of the style of `source` and then of the one of `partners`, by name. features, seed: as `StyleJudge`.
    Beside them stand the pictures unchanged, with the colours of the other style, and the nearest pictures of that style.
    Errors: those of `StyleJudge`.
    """
    judge = StyleJudge(styles, features, seed)
    own, other, *more = styles
    if more:
        raise UsageError(
            f"pictures of two styles are given, the one before and the one after, and these are {len(styles)}"
        )
    return judge.judged(own, other, source, partners, {"restyled": restyled})


def _flat(pictures: Bytes) -> NDArray[np.float64]:
    return pictures.reshape(len(pictures), -1).astype(np.float64) / 255


def _sized(styles: Mapping[str, Bytes]) -> str:
    return ", ".join(f"{list(pictures.shape)} of {name}" for name, pictures in styles.items())
