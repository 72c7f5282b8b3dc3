"""Rules about the course of training: too long, too short, cut short, or not to be judged."""

import statistics
from itertools import pairwise

from lambent.report.numerals import count, show
from lambent.report.run.curves import Column, Curves, Trend, curves, kept_epoch, noise, size_of, trend
from lambent.report.run.findings import Findings
from lambent.report.run.lookup import finite, last
from lambent.tasks.sections import Remark

DECLINE = 0.005  # share of the bound's size that validation may lose after its best epoch
SEVERE = 0.03  # share from which a decline or a gap is a problem, not a note
GAP = 0.05  # share of the bound's size that may lie between training and validation
IMPROVING = 0.005  # share gained over the last fifth of the epochs that shows an unfinished run
SHORT = 5  # epochs: fewer show no trend
WAITED = 10  # epochs, and steps by the hundred, that patience should last
WAITED_STEPS = 100


def over_fitting(findings: Findings) -> Remark | None:
    """Whether validation fell from its best while training rose, or lies far below training."""
    found, kept = curves(findings), kept_epoch(findings)
    found = found.until(kept) if kept else found  # the model ends there, however the curves go on
    present = [(v, i) for i, v in enumerate(found.held) if v is not None]
    own = last(found.train)
    if not present:
        return _no_validation() if own is not None else None
    best, at = max(present, key=lambda pair: pair[0])
    end = present[-1][0]
    size, unrest = size_of(findings, best), 2 * noise(found.held)
    drop = best - max(end, statistics.median(v for v, _ in present[-3:]))
    since = sum(i > at for _, i in present)
    gap = own - end if own is not None else 0.0
    of_another_kind = gap > 4 * GAP * size and _from_the_start(found, 4 * GAP, findings.slope)
    if since >= 3 and drop > max(DECLINE * size, unrest) and _rose(found.train, at) and not of_another_kind:
        return _declined(findings, found.name, (best, end), at, drop / size)
    if gap > max(GAP * size, unrest, chance_gap(findings)):
        return _apart(findings, found, gap, gap / size)
    return None if len(present) < SHORT else _level(findings, found, best)


def chance_gap(findings: Findings) -> float:
    """Two standard errors of the validation ELBO, by the spread of the test rows and the number held out; 0 where unknown.

    Ten rows of a spread of 2 nats lie 0.6 nats from the mean of their kind, whatever the model.
    """
    part, tested = findings.data.get("part"), finite(findings.data.get("tested_on"))
    error = finite(findings.metrics["elbo"].get("standard_error")) if "elbo" in findings.metrics else None
    if not isinstance(part, dict) or not tested or error is None:
        return 0.0
    held = (finite(part.get("of")) or 0.0) * (finite(part.get("fraction")) or 0.0)
    return 2 * error * (tested / held) ** 0.5 if held >= 1 else 0.0


def generalizes(findings: Findings) -> bool:
    """Whether nothing speaks for more than noise between the training rows and others."""
    remark = over_fitting(findings)
    return remark is None or remark.level == "good" or not remark.answer.startswith(("over-fitted", "better on"))


def _level(findings: Findings, found: Curves, best: float) -> Remark:
    """Training and validation end beside each other."""
    kept, end, own = kept_epoch(findings), last(found.held) or 0.0, last(found.train)
    beside = "" if own is None else f", {_side(own - end)} the training {found.name}"
    if kept:
        text = f"The model has the weights of epoch {kept}, best on validation: an {found.name} of {show(end)} nats{beside}."
        text += f" Training went on to epoch {findings.epochs}." if kept < findings.epochs else ""
    else:
        short = "its best, " if best == end else ""
        below = "" if best == end else f" and {show(best - end, 2)} nats below its best"
        text = f"The validation {found.name} ends at {short}{show(end)} nats{beside}{below}."
    return Remark("good", "Not over-fitted", text, answer="not over-fitted")


def _side(gap: float) -> str:
    return f"{show(abs(gap), 2)} nats {'below' if gap >= 0 else 'above'}"


def _no_validation() -> Remark:
    text = "Nothing was held out, so this page cannot tell learning from memorizing."
    return Remark(
        "notice",
        "Over-fitting was not checked",
        text,
        "Hold out a tenth of the rows for validation (--validation 0.1).",
        "over-fitting was not checked",
    )


def _declined(findings: Findings, name: str, values: tuple[float, float], at: int, share: float) -> Remark:
    """`values`: the best and the final validation score."""
    epochs = [v for v in findings.series("epoch") if v is not None]
    epoch = show(epochs[at]) if len(epochs) == findings.epochs else str(at + 1)
    text = (
        f"The validation {name} was best at epoch {epoch} ({show(values[0])} nats) and ended at {show(values[1])}, "
        f"{show(values[0] - values[1], 3)} nats lower, while the training {name} kept rising."
    )
    advice = (
        f"Stop early: --patience {patience_for(findings)} keeps the weights of the best epoch, here {epoch}. For a better "
        "model, not only a shorter run, use a smaller network, more data, or noise on the input "
        "(for binary pictures: draw the pixels anew each epoch)."
    )
    return Remark(
        "problem" if share >= SEVERE else "notice",
        f"Over-fitted from epoch {epoch} on",
        text,
        advice,
        f"over-fitted from epoch {epoch} on",
    )


def patience_for(findings: Findings) -> int:
    """Epochs to wait for a better one: a fifth of those asked for, at least ten."""
    return max(WAITED, findings.epochs // 5)


def _apart(findings: Findings, found: Curves, gap: float, share: float) -> Remark:
    own, held, kept = last(found.train) or 0.0, last(found.held) or 0.0, kept_epoch(findings)
    where = f"at epoch {kept}, whose weights the model has," if kept else "at the end"
    text = f"The training {found.name} {where} is {show(own)}, {show(gap, 3)} nats above the validation one ({show(held)})."
    if _from_the_start(found, GAP, findings.slope):
        text += " They were apart from the first epochs on, before any row was memorized: those held out may be of another kind."
        advice = (
            "Check that both parts of the data are alike: shuffle rows that stand in an order before they are parted."
        )
    else:
        text += " Part of what the model learned holds for the training rows only."
        advice = "Use a smaller network, more data, or noise on the input; check that both parts of the data are alike."
    return Remark(
        "problem" if share >= 4 * GAP else "notice",
        "A gap between training and validation",
        text,
        advice,
        "better on the training rows than on others",
    )


def _from_the_start(found: Curves, share: float, slope: float) -> bool:
    """Whether both lay apart by that share of the bound in each of the first epochs, where training has yet to memorize.

    A training score is a mean over an epoch in which it rises, so that validation begins above it where the rows are alike.
    """
    pairs = [(a, b) for a, b in zip(found.train, found.held, strict=False) if a is not None and b is not None]
    early = pairs[: max(2, len(pairs) // 10)]
    return len(pairs) >= SHORT and all(a - b > share * max(abs(b - slope), 1.0) for a, b in early)


def under_training(findings: Findings) -> Remark | None:
    """Whether the bound was still rising when training ended, or training went on alone."""
    found = curves(findings)
    side, column = ("validation", found.held) if last(found.held) is not None else ("training", found.train)
    values, name = [v for v in column if v is not None], f"{side} {found.name}"
    epochs = len(values)
    if not values and last(findings.series("rival_loss")) is not None:
        epochs = findings.epochs
    if 0 < epochs < SHORT:
        text = f"{count(epochs, 'epoch')}: too few to see a trend."
        return Remark("notice", "A very short run", text, "Train for at least ten epochs before you judge the model.")
    if not values:
        return None
    size, moved, train = size_of(findings, values[-1]), trend(values), _trend_of_training(found)
    steep = train is not None and train.gain > max(2 * IMPROVING * size, noise(found.train))
    if stale := _stale(found, steep):
        return stale
    if _stopped(findings):
        return _patience(findings, found, train if steep else None)
    if moved.gain > max(IMPROVING * size, noise(values)):
        return _unfinished(findings, name, moved, size)
    if values[-1] < max(values) - DECLINE * size:
        return None  # a falling curve is no sign of a finished run; `over_fitting` speaks about it
    if steep and train is not None:
        return _alone(findings, found.name, train, moved)
    text = f"The {name} changed by {show(abs(moved.change), 2)} nats over the last {count(moved.window, 'epoch')}."
    return Remark("good", "Trained to the end", text)


def _trend_of_training(found: Curves) -> Trend | None:
    return trend(found.train) if sum(v is not None for v in found.train) >= SHORT else None


def _unfinished(findings: Findings, name: str, moved: Trend, size: float) -> Remark:
    rise = f"{show(moved.change, 2)} nats ({show(100 * moved.change / size, 2)} %)"
    text = f"The {name} still rose by {rise} over the last {count(moved.window, 'epoch')}."
    advice = f"Train for about twice as many epochs (--epochs {2 * findings.epochs})."
    if findings.training.get("schedule") not in (None, "constant"):
        advice += " The learning rate's schedule is stretched with them."
    return Remark("notice", "Not finished learning", text, advice)


def _alone(findings: Findings, name: str, train: Trend, held: Trend) -> Remark:
    text = (
        f"Over the last {count(train.window, 'epoch')} the training {name} still rose by {show(train.change, 2)} nats, "
        f"the validation {name} changed by {show(abs(held.change), 2)}: what is learned now holds for those rows only."
    )
    advice = f"More epochs will not help (--patience {patience_for(findings)} ends such a run); more data may."
    return Remark("notice", "Training went on alone", text, advice)


def _stale(found: Curves, steep: bool) -> Remark | None:
    """Validation that repeats itself to the bit while training moves does not see the weights that are trained."""
    tail = [v for v in found.held if v is not None]
    tail = tail[len(tail) // 2 :]
    same = sum(a == b for a, b in pairwise(tail))
    if not steep or same * 2 <= len(tail) - 1 or len(tail) < 3:
        return None
    text = (
        f"The validation {found.name} stayed the same to the last digit in {same} of the last {len(tail) - 1} epochs while the "
        f"training {found.name} rose: it was taken of averaged weights that had not moved. The model lags behind."
    )
    return Remark(
        "problem", "The averaged weights are stale", text, "Train without the average: --average 0.", "averages stale"
    )


def _stopped(findings: Findings) -> bool:
    """Whether patience ended the run."""
    asked = finite(findings.training.get("epochs"))
    return bool(kept_epoch(findings)) and asked is not None and findings.epochs < asked


def _patience(findings: Findings, found: Curves, steep: Trend | None) -> Remark:
    kept, asked = kept_epoch(findings), int(finite(findings.training.get("epochs")) or 0)
    waited = findings.epochs - kept
    waiting = f"{count(waited, 'epoch')} without a better validation {found.name}"
    text = f"The run was stopped at epoch {findings.epochs} of {asked:,}, after {waiting}"
    steps = _steps_of(findings.series("step"), kept)
    if steep is not None and (waited < WAITED or (steps is not None and steps < WAITED_STEPS)):
        text += (
            f"{'' if steps is None else f' ({steps:,} steps)'}, too few to know. The training {found.name} still rose by "
            f"{show(steep.change, 2)} nats over the last {count(steep.window, 'epoch')}."
        )
        more = max(5 * waited, 50)
        return Remark(
            "notice", "Stopped too early", text, f"Wait for longer: --patience {more}, or 0 to go to the end."
        )
    return Remark("good", "Trained until validation stopped rising", f"{text}.")


def _steps_of(steps: Column, since: int) -> int | None:
    """Steps taken after so many epochs."""
    before, after = last(steps[:since]), last(steps)
    return None if before is None or after is None else int(after - before)


def _rose(train: Column, since: int) -> bool:
    """Whether the training curve rose after epoch index `since`; true where there is no training curve."""
    before, after = last(train[: since + 1]), last(train)
    return before is None or after is None or after > before
