"""The verdict of a comparison in plain words: for this data, use … when …, each with the numbers that say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot

from lambent.tasks.compare.comparison import MEASURES, Entry, Number, Numbers, Use
from lambent.tasks.samples.sections import written
from lambent.tasks.sections import Remark

APART = 2.0  # standard errors of a difference beyond which it is no chance
LEAN = 0.55  # share of samples nearer to training pictures than to unseen ones
MISSING = 0.5  # of the best model's coverage, or precision
FAR = 0.25  # of the coverage that real pictures reach, below which no samples look like the data
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


OF_SAMPLES = ("frechet", "coverage", "sharpness")  # purposes that ask for samples like the data


def use(entries: Sequence[Entry], purpose: Purpose) -> Use | None:
    """Which models serve a purpose best, within chance; None where fewer than two have its number."""
    own = [(entry.name, entry.numbers[purpose.measure]) for entry in entries if purpose.measure in entry.numbers]
    known = [(name, number) for name, number in own if number.known and not number.how]
    if purpose.measure == "sharpness":  # which noise has, too
        known = [(name, number) for name, number in known if name in _lifelike(entries)]
    if len(known) < 2:
        return None
    order = sorted(known, key=lambda each: loss_of(purpose.measure, each[1]))
    level = [each for each in order if not behind(purpose, each[1], order[0][1])]
    following = next((each for each in order if each not in level), None)
    return Use(purpose.when, purpose.measure, dict(level), following)


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


def uses(entries: Sequence[Entry], beside: Mapping[str, Numbers] | None = None) -> list[Use]:
    """Every purpose for which two models at least have a number, with those that serve it best.

    beside: numbers of real pictures, by the same yardstick. Where no model comes near them, none is named for its samples.
    """
    trained = [entry for entry in entries if entry.by_seed]
    far = far_from_data(trained, beside or {}) is not None
    asked = [purpose for purpose in PURPOSES if not (far and purpose.measure in OF_SAMPLES)]
    found = [one for purpose in asked if (one := use(trained, purpose)) is not None]
    if any(one.measure == "bits_per_dim" for one in found):  # which is the bound in other units
        found = [one for one in found if one.measure != "bound"]
    return found


def far_from_data(entries: Sequence[Entry], beside: Mapping[str, Numbers]) -> tuple[float, float] | None:
    """The best coverage of any model and that of real pictures, where the first is a small part of the second."""
    real = (beside.get("holdout") or beside.get("copies") or {}).get("coverage")
    own = [float(n.value or 0.0) for e in entries if (n := e.numbers.get("coverage")) is not None and n.known]
    if not own or real is None or not real.known or max(own) >= FAR * float(real.value or 0.0):
        return None
    return max(own), float(real.value or 0.0)


def sentence(one: Use) -> str:
    """For this data, use … when …, with the numbers."""
    names = list(one.best)
    told_ = ", ".join(
        f"{told(number)}" if len(names) == 1 else f"{name} {told(number)}" for name, number in one.best.items()
    )
    beside = "" if one.next is None else f"; next {one.next[0]} {told(one.next[1])}"
    return f"For this data, use {' or '.join(names)} when {one.when} ({in_sentence(one.measure)} {told_}{beside})."


def verdict(
    entries: Sequence[Entry], found: Sequence[Use], budget: str, beside: Mapping[str, Numbers] | None = None
) -> list[Remark]:
    """The one model for all, and what is wrong with any: each with its numbers. beside: numbers of real pictures."""
    trained = [entry for entry in entries if entry.by_seed]
    far = far_from_data(trained, beside or {})
    faults = _faults(trained) if far is None else _none_like_data(*far)
    return [
        *_failed(entries), *_overall(trained, found), *_idle(trained, found), *faults, *_unlike(trained),
        *_uneven(trained, budget),
    ]  # fmt: skip


def _none_like_data(best: float, real: float) -> list[Remark]:
    text = (
        f"{best:.0%} of the real pictures have a sample of the best model near them; {real:.0%} have a real one that was not "
        "trained on. So no model is named for its samples, and what else is measured may change, too."
    )
    advice = "Train for longer (--epochs, --minutes), on more pictures, or with a larger network."
    return [Remark("problem", "No model's samples look like the data", text, advice)]


def _idle(entries: Sequence[Entry], found: Sequence[Use]) -> list[Remark]:
    """Models that are the best at nothing."""
    asked = [e for e in entries if any(e.numbers.get(one.measure, Number(None)).known for one in found)]
    names = [entry.name for entry in asked if not any(entry.name in one.best for one in found)]
    if not names:
        return []
    text = "For each purpose measured here another model serves this data better."
    return [Remark("notice", f"Not the best at anything: {', '.join(names)}", text)]


def in_sentence(measure: str) -> str:
    """The title of a measure within a sentence."""
    title = MEASURES[measure].title
    return title if title.startswith("Fréchet") else title[:1].lower() + title[1:]


def told(number: Number) -> str:
    """A number as it is read in a sentence."""
    return "none" if number.value is None else written(number.value, number.error, 1)


def _overall(entries: Sequence[Entry], found: Sequence[Use]) -> list[Remark]:
    """The one model for all: of those that both draw and encode the one that is among the best most often."""
    able = [entry for entry in entries if entry.method is not None and entry.method.encodes and entry.method.samples]
    if len(able) < 2 or not found:
        return []
    wins = {entry.name: sum(entry.name in one.best for one in found) for entry in able}
    best = max(wins.values())
    names = [name for name, count in wins.items() if count == best]
    many = f"{best} of the {len(found)} purposes measured"
    text = f"It draws and encodes, and is the best, or level with the best within chance, in {many}."
    if len(names) > 1:
        text = f"Each draws and encodes, and is the best, or level with the best within chance, in {many}."
    return [Remark("good", f"If it is to be one model: {' or '.join(names)}", text, answer=" or ".join(names))]


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
    found = []
    for entry in entries:
        for text in dict.fromkeys(entry.failed.values()):
            seeds = [str(seed) for seed, own in entry.failed.items() if own == text]
            whose = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"
            found.append(Remark("problem", f"{entry.name}, {whose}: not trained", text))
    return found


def _unlike(entries: Sequence[Entry]) -> list[Remark]:
    """Where networks differ, as recipes may have it, whose."""
    first = [entry.spec.get("network") for entry in entries]
    usual = max(first, key=first.count, default=None)
    names = [entry.name for entry, own in zip(entries, first, strict=True) if own != usual]
    if not names:
        return []
    return [
        Remark(
            "notice", f"Other networks than the rest: {', '.join(names)}", "What differs may be the network's doing."
        )
    ]


def _uneven(entries: Sequence[Entry], budget: str) -> list[Remark]:
    """Where equal epochs took unequal time, how much."""
    took = {e.name: float(n.value) for e in entries if (n := e.numbers.get("training", Number(None))).value is not None}
    if len(took) < 2 or min(took.values()) < 1 or max(took.values()) < UNEVEN * min(took.values()):
        return []
    slow, quick = max(took, key=lambda name: took[name]), min(took, key=lambda name: took[name])
    text = f"{slow} took {took[slow]:.0f} s, {quick} {took[quick]:.0f} s, by a budget of {budget}."
    advice = "With --minutes each has the same time." if "epoch" in budget else ""
    return [Remark("notice", "The budget is not the same in time", text, advice)]
