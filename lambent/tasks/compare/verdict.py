"""The verdict of a comparison in plain words: for this data, use … when …, each with the numbers that say so."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from lambent.tasks.compare.comparison import MEASURES, Entry, Number
from lambent.tasks.samples.sections import written
from lambent.tasks.sections import Remark

APART = 2.0  # standard errors of a difference beyond which it is no chance
LEAN = 0.55  # share of samples nearer to training pictures than to unseen ones
MISSING = 0.5  # of the best model's coverage, or precision
UNEVEN = 1.25  # times the time of the quickest


@dataclass(frozen=True)
class Purpose:
    """What one wants of a model, and the number that tells how well it does it; least: the relative gain that is worth a word."""

    when: str
    measure: str
    least: float = 0.02


PURPOSES = (
    Purpose("samples are to look like the data", "frechet", 0.05),
    Purpose("samples are to leave no kind out", "coverage"),
    Purpose("samples are to be sharp", "sharpness", 0.02),
    Purpose("probabilities count: compression, bounds, comparing models", "bits_per_dim", 0.002),
    Purpose("probabilities count: bounds, comparing models", "bound", 0.002),
    Purpose("rows are to come back as they were", "error"),
    Purpose("codes are to serve another task, such as telling labels", "probe", 0.01),
    Purpose("pictures are to change evenly on the way from one to another", "straightness"),
    Purpose("odd rows are to be found", "auroc", 0.01),
)


@dataclass(frozen=True)
class Ranked:
    """Models by how well they serve a purpose, the best first, each with its number; level: those that tie with the best."""

    purpose: Purpose
    order: list[tuple[str, Number]]
    level: list[str]


def ranked(entries: Sequence[Entry], purpose: Purpose) -> Ranked | None:
    """Which models serve a purpose best; None where fewer than two have the number."""
    own = [(entry.name, entry.numbers[purpose.measure]) for entry in entries if purpose.measure in entry.numbers]
    known = [(name, number) for name, number in own if number.known and not number.how]
    if purpose.measure == "sharpness":  # which noise has, too
        known = [(name, number) for name, number in known if name in _lifelike(entries)]
    if len(known) < 2:
        return None
    order = sorted(known, key=lambda each: loss_of(purpose.measure, each[1]))
    best = order[0][1]
    level = [name for name, number in order if not behind(purpose, number, best)]
    return Ranked(purpose, order, level)


def _lifelike(entries: Sequence[Entry]) -> set[str]:
    """Models whose samples lie among the real pictures at least half as often as those of the best."""
    share = {e.name: float(e.numbers["precision"].value or 0.0) for e in entries if "precision" in e.numbers}
    return {name for name, own in share.items() if own >= MISSING * max(share.values())}


def loss_of(measure: str, number: Number) -> float:
    """How far a number is from what it should be: less is better."""
    value = float(number.value or 0.0)
    return {"lower": value, "higher": -value, "one": abs(value - 1), "none": 0.0}[MEASURES[measure].better]


def behind(purpose: Purpose, number: Number, best: Number) -> bool:
    """Whether a number is worse than the best by more than chance and by enough to matter."""
    worse = loss_of(purpose.measure, number) - loss_of(purpose.measure, best)
    scale = 1.0 if MEASURES[purpose.measure].better == "one" else abs(float(best.value or 0.0))
    return worse > max(APART * hypot(number.error or 0.0, best.error or 0.0), purpose.least * scale)


def verdict(entries: Sequence[Entry], budget: str) -> list[Remark]:
    """What to use when, the one model for all, and what is wrong with any: each with its numbers."""
    trained = [entry for entry in entries if entry.by_seed]
    found = [one for purpose in PURPOSES if (one := ranked(trained, purpose)) is not None]
    if any(one.purpose.measure == "bits_per_dim" for one in found):  # which is the bound in other units
        found = [one for one in found if one.purpose.measure != "bound"]
    use = [remark for entry in trained if (remark := _use(entry, found)) is not None]
    return [*_failed(entries), *_overall(trained, found), *use, *_faults(trained), *_uneven(trained, budget)]


def _use(entry: Entry, found: Sequence[Ranked]) -> Remark | None:
    """What a model is the best at, alone or beside others."""
    alone = [_told(one, entry.name) for one in found if one.level == [entry.name]]
    shared = [_told(one, entry.name) for one in found if len(one.level) > 1 and entry.name in one.level]
    if not alone and not shared:
        title = f"{entry.name}: not the best at anything measured here"
        return Remark("notice", title, "Another model serves each purpose better on this data.")
    parts = []
    if alone:
        parts.append(f"For this data, use {entry.name} when {'; when '.join(alone)}.")
    if shared:
        parts.append(f"As good as the best, within chance, when {'; when '.join(shared)}.")
    return Remark("good", f"Use {entry.name}" if alone else f"{entry.name} will do", " ".join(parts))


def _told(one: Ranked, name: str) -> str:
    """When, with the number of this model and that of the next one that is worse."""
    numbers = dict(one.order)
    following = next(((n, number) for n, number in one.order if n not in one.level), None)
    title = in_sentence(one.purpose.measure)
    beside = "" if following is None else f", next {following[0]} {told(following[1])}"
    return f"{one.purpose.when} ({title} {told(numbers[name])}{beside})"


def in_sentence(measure: str) -> str:
    """The title of a measure within a sentence."""
    title = MEASURES[measure].title
    return title if title.startswith("Fréchet") else title[:1].lower() + title[1:]


def told(number: Number) -> str:
    """A number as it is read in a sentence."""
    return "none" if number.value is None else written(number.value, number.error)


def _overall(entries: Sequence[Entry], found: Sequence[Ranked]) -> list[Remark]:
    """The one model for all: of those that both draw and encode the one that is among the best most often."""
    able = [entry for entry in entries if entry.method is not None and entry.method.encodes and entry.method.samples]
    if len(able) < 2 or not found:
        return []
    wins = {entry.name: sum(entry.name in one.level for one in found) for entry in able}
    best = max(wins.values())
    names = [name for name, count in wins.items() if count == best]
    if len(names) > 1:
        text = f"{' and '.join(names)} are each among the best in {best} of {len(found)} purposes."
        return [Remark("good", f"One model for all: {' or '.join(names)}", text, answer=" or ".join(names))]
    text = f"{names[0]} draws and encodes, and is the best or level with it in {best} of {len(found)} purposes."
    return [Remark("good", f"One model for all: {names[0]}", text, answer=names[0])]


def _faults(entries: Sequence[Entry]) -> list[Remark]:
    """What the samples of a model lack, beside the best of the others."""
    covers = {entry.name: entry.numbers["coverage"] for entry in entries if "coverage" in entry.numbers}
    best = max((float(one.value or 0) for one in covers.values()), default=0.0)
    found = []
    for entry in entries:
        cover = covers.get(entry.name)
        if cover is not None and cover.known and float(cover.value or 0) < MISSING * best:
            text = f"{float(cover.value or 0):.0%} of the real pictures have a sample near them; of the best model {best:.0%}."
            found.append(Remark("problem", f"{entry.name} leaves kinds of pictures out", text, _cure(entry)))
        near = entry.numbers.get("nearer_training")
        if near is not None and near.known and _leans(near):
            text = (
                f"{float(near.value or 0):.0%} of its samples are nearer to a training picture than to an unseen one."
            )
            found.append(Remark("notice", f"{entry.name} leans to its training pictures", text))
    return found


def _leans(near: Number) -> bool:
    value = float(near.value or 0.0)
    return value > LEAN and value - APART * (near.error or 0.0) > 0.5


def _cure(entry: Entry) -> str:
    method = entry.method
    if method is not None and method.encodes and not method.samples:
        return "Its codes have no distribution to draw from: lambent refine RUN --prior Diffusion fits one."
    if method is not None and not method.encodes:
        return "The game has collapsed or has only begun: train for longer, or with a smaller pace of the rival."
    return "Train for longer, or fit another prior: lambent refine RUN --prior Diffusion."


def _failed(entries: Sequence[Entry]) -> list[Remark]:
    return [
        Remark("problem", f"{entry.name}, seed {seed}: not trained", text)
        for entry in entries
        for seed, text in entry.failed.items()
    ]


def _uneven(entries: Sequence[Entry], budget: str) -> list[Remark]:
    """Where equal epochs took unequal time, how much."""
    took = {e.name: float(n.value) for e in entries if (n := e.numbers.get("training", Number(None))).value is not None}
    if len(took) < 2 or min(took.values()) <= 0 or max(took.values()) < UNEVEN * min(took.values()):
        return []
    slow, quick = max(took, key=lambda name: took[name]), min(took, key=lambda name: took[name])
    text = f"{slow} took {took[slow]:.0f} s, {quick} {took[quick]:.0f} s, by a budget of {budget}."
    advice = "With --minutes each has the same time." if "epoch" in budget else ""
    return [Remark("notice", "The budget is not the same in time", text, advice)]
