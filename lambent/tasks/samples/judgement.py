"""SampleJudgement: what was measured of drawn pictures and of the sets that they have to be seen beside."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.samples.distance import Distance
from lambent.tasks.sections import Remark

Bytes = NDArray[np.uint8]
Direction = Literal["higher", "lower", "half", "one", "nought"]


@dataclass(frozen=True)
class Measure:
    """What a number means and which way is better: "half" and "one", the nearer to ½ or 1; "nought", to that of the holdout."""

    title: str
    meaning: str
    better: Direction


MEASURES: dict[str, Measure] = {
    "frechet": Measure("Fréchet", "Fréchet distance of the features to those of the training pictures", "lower"),
    "frechet_limit": Measure(
        "Fréchet, limit", "the same for infinitely many pictures, without what few of them add to it", "lower"
    ),
    "kernel": Measure(
        "Kernel", "squared maximum mean discrepancy of the features, unbiased: 0 of equal kinds", "lower"
    ),
    "precision": Measure("Precision", "share of pictures that lie among the real ones", "higher"),
    "recall": Measure("Recall", "share of real pictures that lie among these", "higher"),
    "density": Measure("Density", "how densely the real ones lie around a picture: 1 as around real ones", "higher"),
    "coverage": Measure("Coverage", "share of real pictures with one of these among their nearest", "higher"),
    "sharpness": Measure(
        "Sharpness", "energy at high frequencies over that of the real ones: below 1 blurred, above noisy", "one"
    ),
    "nearer_training": Measure(
        "Nearer to training", "share that is nearer to a training picture than to an unseen one, of as many", "half"
    ),
    "gap": Measure(
        "Likelihood gap", "how much likelier the pictures make training than unseen ones, nats per feature", "nought"
    ),
}
SETS = {
    "generated": "drawn from the model",
    "reconstructions": "training pictures through the code and back: what the best prior could reach",
    "holdout": "real pictures that were not trained on: what is to be reached",
    "copycat": "training pictures drawn with replacement: wins every distance, and has learned nothing",
    "independent": "every pixel drawn from its own values by itself",
}


@dataclass(frozen=True)
class Spectra:
    """log₁₀ of each set's energy over that of the real pictures, by frequency (1: half a cycle per pixel)."""

    frequencies: list[float]
    relative: dict[str, list[float]]


@dataclass(frozen=True)
class Neighbours:
    """Some of the drawn pictures, and the training pictures nearest to each by their features."""

    drawn: Bytes  # [n, H, W(, 3)]
    nearest: Bytes  # [n, k, H, W(, 3)], the nearest first
    distance: NDArray[np.float64]  # [n, k]


@dataclass(frozen=True)
class SampleJudgement:
    """By set of pictures and measure what was found: `sets["generated"]["frechet"]` is a `Distance`.

    sets: those of `SETS`, as far as they are known. rows: how many pictures each has, and "real", those that they were compared
    with. space: the name of the feature space; facts: what it was learned by. remarks: what follows.
    """

    sets: dict[str, dict[str, Distance]]
    rows: dict[str, int]
    space: str
    facts: dict[str, Any]
    spectra: Spectra
    remarks: list[Remark]
    neighbours: Neighbours = field(repr=False, compare=False)

    def plain(self) -> dict[str, Any]:
        """As JSON, without the pictures; a number that is not known is null."""
        sets = {
            name: {
                measure: {"value": _number(one.value), "error": _number(one.error)} for measure, one in found.items()
            }
            for name, found in self.sets.items()
        }
        meanings = {name: {"meaning": one.meaning, "better": one.better} for name, one in MEASURES.items()}
        return {
            "space": self.space,
            "facts": self.facts,
            "rows": self.rows,
            "sets": sets,
            "measures": meanings,
            "spectra": asdict(self.spectra),
            "remarks": [asdict(one) for one in self.remarks],
        }


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
