"""compared: candidates of all seeds measured, put beside what is no model, and judged in plain words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from lambent.tasks.compare.candidate import Candidate, method_of
from lambent.tasks.compare.comparison import Bytes, Comparison, Entry, Method, Numbers, Shown, over_seeds
from lambent.tasks.compare.measuring import Ground, measured, measured_pictures, pictures_of, shown, shown_rows
from lambent.tasks.compare.verdict import uses, verdict

Failures = Mapping[str, Mapping[int, str]]


def compared(
    candidates: Iterable[Candidate], ground: Ground, facts: dict[str, str], budget: str, failed: Failures | None = None
) -> Comparison:
    """Measure every candidate and judge them.

    candidates: each is looked at once, so that they may be loaded one by one; of one name they are the seeds of one model. facts:
    of data and protocol, in words; budget: what each was trained for. failed: by name and seed, what was said where a training
    has not ended.
    """
    failed = failed or {}
    models: dict[str, _Model] = {}
    originals: Bytes | None = None
    for one in candidates:
        model = models.setdefault(one.name, _Model())
        model.take(one, ground)
        if originals is None and ground.pictured(one):
            originals = pictures_of(one.fitted, one.test.x[shown_rows(one.test)])
    names = dict.fromkeys([*models, *failed])
    entries = [models.get(name, _Model()).entry(name, dict(failed.get(name, {}))) for name in names]
    beside = _beside(ground)
    found = uses(entries, beside)
    return Comparison(entries, beside, facts, found, verdict(entries, found, budget, beside), originals)


@dataclass
class _Model:
    """What is known so far of the seeds of one model."""

    numbers: dict[int, Numbers] = field(default_factory=dict)
    folders: dict[int, str] = field(default_factory=dict)
    method: Method | None = None
    spec: dict[str, object] = field(default_factory=dict)
    shown: Shown | None = None

    def take(self, one: Candidate, ground: Ground) -> None:
        if self.method is None:
            self.method, self.spec = method_of(one), one.spec
            self.shown = shown(one, ground.seed) if ground.pictured(one) else None
        self.numbers[one.seed], self.folders[one.seed] = measured(one, ground), one.folder

    def entry(self, name: str, failed: dict[int, str]) -> Entry:
        numbers = over_seeds(list(self.numbers.values()))
        return Entry(name, self.method, numbers, self.numbers, failed, self.folders, self.spec, self.shown)


def _beside(ground: Ground) -> dict[str, Numbers]:
    """What is no model, by the same yardstick: real pictures that were held out, copies of training pictures."""
    if ground.by is None:
        return {}
    found: dict[str, Numbers] = {}
    if ground.unseen is not None:
        alone = Ground(ground.by, None, ground.samples, ground.seed)  # they would be compared with themselves
        found["holdout"] = measured_pictures(ground.unseen[: ground.samples], alone)
    order = ground.by.random("copycat").integers(0, len(ground.by.real), ground.samples)
    copies: Bytes = np.asarray(ground.by.real[order])
    found["copies"] = measured_pictures(copies, ground)
    return found
