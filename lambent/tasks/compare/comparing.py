"""compared: candidates of all seeds measured, put beside what is no model, and judged in plain words."""

from collections.abc import Mapping, Sequence

import numpy as np

from lambent.data.kinds.image import Image
from lambent.progress import counting
from lambent.tasks.compare.candidate import Candidate, method_of
from lambent.tasks.compare.comparison import Bytes, Comparison, Entry, Numbers, over_seeds
from lambent.tasks.compare.measuring import Ground, measured, measured_pictures, pictures_of, shown, shown_rows
from lambent.tasks.compare.verdict import verdict

Failures = Mapping[str, Mapping[int, str]]


def compared(
    candidates: Sequence[Candidate], ground: Ground, facts: dict[str, str], budget: str, failed: Failures = {}
) -> Comparison:
    """Measure every candidate and judge them.

    candidates: of one name those of its seeds. failed: by name and seed what was said where a training has not ended.
    facts: of data and protocol, in words; budget: what each was trained for.
    """
    names = list(dict.fromkeys([*(one.name for one in candidates), *failed]))
    numbers: dict[str, dict[int, Numbers]] = {name: {} for name in names}
    with counting("measuring", len(candidates)) as add:
        for one in candidates:
            numbers[one.name][one.seed] = measured(one, ground)
            add(1)
    entries = [_entry(name, candidates, numbers[name], ground, failed) for name in names]
    pictured = next((one for one in candidates if ground.pictured(one)), None)
    originals = None if pictured is None else pictures_of(pictured.fitted, pictured.test.x[shown_rows(pictured.test)])
    return Comparison(entries, _beside(ground), facts, verdict(entries, budget), originals)


def _entry(
    name: str, candidates: Sequence[Candidate], numbers: dict[int, Numbers], ground: Ground, failed: Failures
) -> Entry:
    own = [one for one in candidates if one.name == name]
    told = dict(failed.get(name, {}))
    if not own:
        return Entry(name, None, {}, {}, told)
    first = own[0]
    pictures = shown(first, ground.seed) if ground.pictured(first) and isinstance(first.fitted.modality, Image) else None
    folders = {one.seed: one.folder for one in own}
    return Entry(
        name, method_of(first), over_seeds(list(numbers.values())), numbers, told, folders, first.spec, pictures
    )


def _beside(ground: Ground) -> dict[str, Numbers]:
    """What is no model, by the same yardstick: real pictures that were held out, copies of training pictures."""
    if ground.by is None:
        return {}
    found: dict[str, Numbers] = {}
    if ground.unseen is not None and len(ground.unseen) >= ground.samples // 4:
        found["holdout"] = measured_pictures(ground.unseen[: ground.samples], _without_memory(ground))
    order = ground.by.random("copycat").integers(0, len(ground.by.real), ground.samples)
    copies: Bytes = np.asarray(ground.by.real[order])
    found["copies"] = measured_pictures(copies, ground)
    return found


def _without_memory(ground: Ground) -> Ground:
    """The same without unseen pictures, which would be compared with themselves."""
    return Ground(ground.by, None, ground.samples, ground.seed)
