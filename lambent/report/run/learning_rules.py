"""Rules about the course of training: too long, too short, cut short, or not to be judged.

The rules compare differences of bounds with the bound's own size, max(|ELBO|, KL, 1 nat): an ELBO of a density can lie
near zero, where a share of the ELBO alone would mean nothing. Where there is no ELBO, minus the loss takes its place.
"""

import math
import statistics
from itertools import pairwise

from lambent.report.numerals import count, show
from lambent.report.run.findings import Findings
from lambent.report.run.lookup import finite, last
from lambent.tasks.sections import Remark

DECLINE = 0.005  # share of the bound's size that validation may lose after its best epoch
SEVERE = 0.03  # share from which a decline or a gap is a problem, not a note
GAP = 0.05  # share of the bound's size that may lie between training and validation
IMPROVING = 0.005  # share gained over the last fifth of the epochs that shows an unfinished run
SHORT = 5  # epochs: fewer show no trend


def over_fitting(findings: Findings) -> Remark | None:
    """Whether validation fell from its best while training rose, or lies far below training."""
    name, train, held = _scores(findings)
    kept = int(finite(findings.training.get("kept_epoch")) or 0)
    if kept:  # the model ends there, however the curves go on
        train, held = train[:kept], held[:kept]
    present = [(v, i) for i, v in enumerate(held) if v is not None]
    if not present:
        return _no_validation() if last(train) is not None else None
    best, at = max(present)
    tail = statistics.median(v for v, _ in present[-3:])
    drop = best - tail
    size = _size(findings, best)
    since = len(present) - 1 - [i for _, i in present].index(at)
    if since >= 3 and drop > max(DECLINE * size, 2 * _noise(held)) and _rose(train, at):
        return _declined(findings, name, (best, tail), at, drop / size)
    own = last(train)
    gap = (own - tail) if own is not None else 0.0
    if gap > max(GAP * size, 2 * _noise(held)):
        return _apart(name, own or 0.0, tail, gap / size)
    if len(present) < SHORT:
        return None
    beside = f"{_side(gap)} the training {name} and " if own is not None else ""
    text = f"The validation {name} ends {beside}within {show(max(0.0, drop), 2)} nats of its best."
    if kept and kept < findings.epochs:
        text += f" These are the weights of epoch {kept}, the best; training went on to epoch {findings.epochs}."
    return Remark("good", "Not over-fitted", text, answer="not over-fitted")


def _side(gap: float) -> str:
    return f"{show(abs(gap), 2)} nats {'below' if gap >= 0 else 'above'}"


def _no_validation() -> Remark:
    text = "Nothing was held out, so this page cannot tell learning from memorizing."
    return Remark(
        "notice",
        "Over-fitting was not checked",
        text,
        "Hold out a tenth of the rows for validation.",
        "over-fitting was not checked",
    )


def _declined(findings: Findings, name: str, values: tuple[float, float], at: int, share: float) -> Remark:
    """`values`: the best and the final validation score."""
    epochs = [v for v in findings.series("epoch") if v is not None]
    epoch = show(epochs[at]) if len(epochs) == findings.epochs else str(at + 1)
    text = (
        f"The validation {name} was best at epoch {epoch} ({show(values[0])} nats) and has since fallen to "
        f"{show(values[1])}, {show(100 * share, 2)} % worse, while the training {name} kept rising."
    )
    advice = (
        f"Stop early: keep the weights of epoch {epoch}. For a better model, not only a shorter run, use a smaller "
        "network, more data, or noise on the input (for binary pictures: draw the pixels anew each epoch)."
    )
    return Remark(
        "problem" if share >= SEVERE else "notice",
        f"Over-fitted from epoch {epoch} on",
        text,
        advice,
        f"over-fitted from epoch {epoch} on",
    )


def _apart(name: str, own: float, held: float, share: float) -> Remark:
    text = (
        f"The training {name} ({show(own)}) ends {show(own - held, 3)} nats above the validation one ({show(held)}): "
        f"{show(100 * share, 2)} % of it. Part of what the model learned holds for the training rows only."
    )
    advice = "Use a smaller network, more data, or noise on the input; check that both parts of the data are alike."
    return Remark(
        "problem" if share >= 4 * GAP else "notice",
        "A gap between training and validation",
        text,
        advice,
        "better on the training rows than on others",
    )


def under_training(findings: Findings) -> Remark | None:
    """Whether the bound was still rising when training ended."""
    name, train, held = _scores(findings)
    side, column = ("validation", held) if last(held) is not None else ("training", train)
    values, name = [v for v in column if v is not None], f"{side} {name}"
    if not values:
        return None
    if len(values) < SHORT:
        text = f"{count(len(values), 'epoch')}: too few to see a trend."
        return Remark("notice", "A very short run", text, "Train for at least ten epochs before you judge the model.")
    window = min(len(values) - 1, max(3, len(values) // 5))
    gain = statistics.median(values[-3:]) - statistics.median(values[-1 - window :][:3])
    size = _size(findings, values[-1])
    if gain > max(IMPROVING * size, _noise(values)):
        rise = f"{show(gain, 2)} nats ({show(100 * gain / size, 2)} %)"
        text = f"The {name} still rose by {rise} over the last {count(window, 'epoch')}."
        advice = (
            "Train for about twice as many epochs; if the learning rate has decayed to zero, stretch its schedule too."
        )
        return Remark("notice", "Not finished learning", text, advice)
    if values[-1] < max(values) - DECLINE * size:
        return None  # a falling curve is no sign of a finished run; `over_fitting` speaks about it
    return Remark(
        "good",
        "Trained to the end",
        f"The {name} changed by {show(abs(gain), 2)} nats over the last {count(window, 'epoch')}.",
    )


def instability(findings: Findings) -> Remark | None:
    """Whether epochs hold numbers that are not finite."""
    raw = [v for column in ("loss", "elbo") for v in findings.raw(column)]
    bad = sum(1 for v in raw if isinstance(v, float) and not math.isfinite(v))
    if not bad:
        return None
    text = f"The history holds {count(bad, 'number')} that {'is' if bad == 1 else 'are'} not finite."
    advice = "Lower the learning rate to a third, clip gradients, and look for extreme rows in the data."
    return Remark("problem", "Training was unstable", text, advice, "training was unstable")


def skipped_steps(findings: Findings) -> Remark | None:
    """Whether steps were skipped as spikes, and whether they were many."""
    spikes = finite(findings.training.get("skipped_spikes")) or last(findings.series("skipped")) or 0.0
    if spikes <= 0:
        return None
    steps = finite(findings.training.get("steps")) or last(findings.series("step"))
    serious = bool(steps) and spikes > 0.01 * (steps or 0.0)
    how_many = f"{int(spikes):,} of {count(int(steps), 'step')}" if steps else count(int(spikes), "step")
    text = f"{how_many} gave a gradient far out of line and left no trace in the weights."
    advice = "Lower the learning rate or warm it up over the first epochs; look for extreme rows in the data."
    if not serious:
        advice = "A few are harmless. If they become more, lower the learning rate."
    return Remark("problem" if serious else "notice", "Steps were skipped", text, advice)


def _scores(findings: Findings) -> tuple[str, list[float | None], list[float | None]]:
    """What should rise, for training and validation: the ELBO, or minus the loss where there is none."""
    curves = findings.series("elbo"), findings.series("validation_elbo")
    if not findings.autoencoder and any(last(values) is not None for values in curves):
        return "ELBO", *curves
    if "gan" in str(findings.objective.get("type", "")).lower():
        return "score", [], []  # the loss against a rival rises and falls with the rival
    train, held = (findings.series(name) for name in ("loss", "validation_loss"))
    return (
        "score (minus the loss)",
        [None if v is None else -v for v in train],
        [None if v is None else -v for v in held],
    )


def _size(findings: Findings, bound: float) -> float:
    return max(abs(bound), findings.metric("kl") or last(findings.series("kl")) or 0.0, 1.0)


def _noise(values: list[float | None] | list[float]) -> float:
    """The usual change from one epoch to the next over the second half: the curve's own unrest, in nats."""
    present = [v for v in values if v is not None]
    tail = present[len(present) // 2 :]
    steps = [abs(b - a) for a, b in pairwise(tail)]
    return statistics.median(steps) if steps else 0.0


def _rose(train: list[float | None], since: int) -> bool:
    """Whether the training curve rose after epoch index `since`; true where there is no training curve."""
    before, after = last(train[: since + 1]), last(train)
    return before is None or after is None or after > before
