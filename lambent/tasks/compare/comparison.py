"""Comparison: what was measured of each model, what stands beside them, and what follows."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lambent.tasks.sections import Remark

Bytes = NDArray[np.uint8]
Direction = Literal["higher", "lower", "one", "none"]


@dataclass(frozen=True)
class Measure:
    """What a number means, and which way is better; "one": the nearer to 1, "none": neither."""

    title: str
    meaning: str
    better: Direction


MEASURES: dict[str, Measure] = {
    "bits_per_dim": Measure("Bits per dimension", "the bound on log p(x) of test rows as a code length", "lower"),
    "bound": Measure("Bound on log p(x)", "mean of the K-sample lower bound over test rows, nats per row", "higher"),
    "error": Measure(
        "Reconstruction error", "root mean square error of test pictures through the code and back, black to white 1", "lower"
    ),
    "sharpness": Measure("Sharpness", "energy of samples at high frequencies over that of real pictures", "one"),
    "coarse": Measure("… below ⅛ cycle a pixel", "the same of the lowest frequencies", "one"),
    "middle": Measure("… from ⅛ to ¼", "the same of middle frequencies", "one"),
    "fine": Measure("… from ¼ to ⅜", "the same of high frequencies", "one"),
    "finest": Measure("… above ⅜", "the same of the highest frequencies", "one"),
    "sharpness_of_reconstructions": Measure(
        "Sharpness of reconstructions", "energy of reconstructed test pictures at high frequencies over that of real ones", "one"
    ),
    "frechet": Measure("Fréchet distance", "of samples to training pictures, in features learned from these", "lower"),
    "precision": Measure("Precision", "share of samples that lie among the real pictures", "higher"),
    "recall": Measure("Recall", "share of real pictures that lie among the samples", "higher"),
    "density": Measure("Density", "how densely real pictures lie around a sample: 1 as around real ones", "higher"),
    "coverage": Measure("Coverage", "share of real pictures with a sample among their nearest", "higher"),
    "nearer_training": Measure(
        "Nearer to training", "share of samples nearer to a training picture than to an unseen one: ½ is chance",
        "none",
    ),
    "straightness": Measure(
        "Straightness of walks", "between codes: distance of the ends over the length of the way, in features", "higher"
    ),
    "largest_step": Measure(
        "Largest step of walks", "over the mean step: 1 where a picture changes evenly, more where it jumps", "lower"
    ),
    "probe": Measure(
        "Linear probe", "share of test rows whose label a logistic regression reads from the code", "higher"
    ),
    "auroc": Measure(
        "Odd ones found", "area under the ROC of a class that was left out of a further training, by the model's own score",
        "higher",
    ),
    "training": Measure("Training, seconds", "time of the steps, without evaluation", "lower"),
    "epochs": Measure("Epochs", "passes over the training rows", "none"),
    "sampling": Measure("A sample, milliseconds", "drawing a picture, of 256 drawn at once", "lower"),
    "parameters": Measure("Parameters", "of encoder and decoder, without a rival's", "none"),
}  # fmt: skip
MODEL_FREE = {
    "holdout": "real pictures that were not trained on",
    "copies": "training pictures drawn with replacement: wins every distance, and has learned nothing",
}


@dataclass(frozen=True)
class Number:
    """A number with its standard error; without a value, `why` there is none. how: where it came about in another way."""

    value: float | None
    error: float | None = None
    why: str = ""
    how: str = ""

    @property
    def known(self) -> bool:
        return self.value is not None and math.isfinite(self.value)


Numbers = dict[str, Number]


@dataclass(frozen=True)
class Shown:
    """Pictures of one model: samples [n, H, W(, 3)], test pictures through its code and back, and a walk between two of them."""

    samples: Bytes
    reconstructions: Bytes
    walk: Bytes


@dataclass(frozen=True)
class Method:
    """How a model is trained and what it can do, in words and as truths."""

    training: str
    use: str
    encodes: bool
    density: bool
    samples: bool = True


@dataclass(frozen=True)
class Entry:
    """One model: its numbers, the mean over seeds with its standard error, and those of each seed.

    failed: of a seed that has not ended, what was said. folders: the run of each seed. spec: of its parts.
    """

    name: str
    method: Method | None
    numbers: Numbers
    by_seed: dict[int, Numbers]
    failed: dict[int, str] = field(default_factory=dict)
    folders: dict[int, str] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    shown: Shown | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Use:
    """When to use which: the models that serve a purpose best, the best first, and their numbers; `next`: the best other."""

    when: str
    measure: str
    best: Numbers
    next: tuple[str, Number] | None


@dataclass(frozen=True)
class Comparison:
    """Models trained on the same rows, their numbers, and when to use which.

    beside: numbers of what is no model, by name (`MODEL_FREE`). facts: of the data, the budget, the feature space. uses: which
    model when; verdict: what else follows. originals: the test pictures that reconstructions are of.
    """

    entries: list[Entry]
    beside: dict[str, Numbers]
    facts: dict[str, str]
    uses: list[Use]
    verdict: list[Remark]
    originals: Bytes | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, name: str) -> Entry:
        """The model of that name."""
        return next(entry for entry in self.entries if entry.name == name)

    def plain(self) -> dict[str, Any]:
        """As JSON, without the pictures; a number that is not known is null, with its reason."""
        entries = [
            {
                "name": one.name,
                "training": None if one.method is None else one.method.training,
                "use": None if one.method is None else one.method.use,
                "numbers": _plain(one.numbers),
                "by_seed": {str(seed): _plain(numbers) for seed, numbers in one.by_seed.items()},
                "failed": {str(seed): text for seed, text in one.failed.items()},
                "runs": {str(seed): folder for seed, folder in one.folders.items()},
                "parts": one.spec,
            }
            for one in self.entries
        ]
        return {
            "facts": self.facts,
            "models": entries,
            "beside": {name: _plain(numbers) for name, numbers in self.beside.items()},
            "use": [
                {"when": one.when, "measure": one.measure, "best": list(one.best), "next": one.next and one.next[0]}
                for one in self.uses
            ],
            "verdict": [asdict(remark) for remark in self.verdict],
            "measures": {name: asdict(measure) for name, measure in MEASURES.items()},
        }


def _plain(numbers: Numbers) -> dict[str, dict[str, Any]]:
    return {name: _number(one) for name, one in numbers.items()}


def _number(one: Number) -> dict[str, Any]:
    if not one.known:
        return {"value": None, "why": one.why}
    error = one.error if one.error is not None and math.isfinite(one.error) else None
    return {"value": one.value, "error": error, **({"how": one.how} if one.how else {})}


def over_seeds(each: Sequence[Numbers]) -> Numbers:
    """The mean of every number, with its standard error: of the spread over seeds, of a single one its own."""
    found: Numbers = {}
    for name in dict.fromkeys(name for numbers in each for name in numbers):
        values = [one for numbers in each if (one := numbers.get(name)) is not None]
        known = np.array([one.value for one in values if one.known], np.float64)
        if not len(known):
            found[name] = values[0]
        elif len(known) == 1:
            found[name] = next(one for one in values if one.known)
        else:
            spread = float(known.std(ddof=1) / np.sqrt(len(known)))
            found[name] = Number(float(known.mean()), spread, how=values[0].how)
    return found
