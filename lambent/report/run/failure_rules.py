"""Rules about a training that came to nothing: no numbers, worse than knowing nothing, unmoved; with the likeliest cause."""

import math

from lambent.report.numerals import count, show
from lambent.report.run.curves import Curves, curves, kept_epoch, noise, size_of, trend
from lambent.report.run.findings import Findings
from lambent.report.run.lookup import finite, last, number, settings
from lambent.tasks.sections import Remark

FAST, SLOW = 0.02, 1e-5  # learning rates of AdamW above and below which hardly any model learns
FALLEN = 0.03  # share of the bound's size that training may end below its first epoch
UNMOVED = 0.001  # share of the bound's size by which a run must move to have learned at all
MARGIN = 0.01  # share of what knowing nothing gives that a bound may lie below it, as one of a collapsed code does
RISING = 0.005  # share of the bound's size that is still gained, and so no end of training


def not_trained(findings: Findings) -> Remark | None:
    """Whether the model is worse than one that knows nothing, has no loss left, or is where it began."""
    found = curves(findings)
    found = found.until(kept_epoch(findings)) if kept_epoch(findings) else found
    what = _no_number(findings) or _below_chance(findings, found) or _fell(findings, found) or _unmoved(findings, found)
    if what is None:
        return None
    why, cure = _cause(findings, found)
    return Remark("problem", "Not trained", f"{what}{f' {why}' if why else ''}", cure, "not trained")


def worse_than_nothing(findings: Findings) -> Remark | None:
    """Whether a model that learned its training rows is worse than knowing nothing on others."""
    elbo, chance = findings.metric("elbo"), findings.chance
    if elbo is None or chance is None or not _beneath(findings, elbo) or not_trained(findings) is not None:
        return None
    known = f"{show(elbo)} nats, where {chance.words}, give {show(chance.nats)}"
    gained = _reconstruction(findings)
    if gained is not None and gained > chance.nats:
        text = (
            f"The ELBO of the test rows is {known}: the KL of {show(findings.metric('kl'), 3)} nats costs more than the code "
            f"brings.{_unpriced(findings)}"
        )
        return Remark(
            "problem",
            "The code costs more than it brings",
            f"{text} The posteriors are nearly points, as an autoencoder's are: samples of the prior will not look like data.",
            _price(findings),
            "its code costs more than it brings",
        )
    text = f"The ELBO of the test rows is {known}. What was learned holds for the training rows only."
    advice = "Check that the test rows are like those trained on; then a smaller network, or more data."
    return Remark("problem", "Worse than knowing nothing", text, advice, "worse than knowing nothing on other rows")


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
    text = f"{how_many} had a loss far above that of the epoch before, and left no trace in the weights."
    advice = "Lower the learning rate or warm it up over the first epochs; look for extreme rows in the data."
    if not serious:
        advice = "A few are harmless. If they become more, lower the learning rate."
    return Remark("problem" if serious else "notice", "Steps were skipped", text, advice)


def beneath_chance(findings: Findings, value: float) -> bool:
    """Whether a bound lies below what knowing nothing gives, by more than errors and a code without use explain."""
    return findings.chance is not None and value < findings.chance.nats - margin(findings)


def margin(findings: Findings) -> float:
    """Nats by which two bounds of the test rows may differ and be called the same."""
    error = finite(findings.metrics["elbo"].get("standard_error")) if "elbo" in findings.metrics else None
    nats = 0.0 if findings.chance is None else abs(findings.chance.nats - findings.slope)
    return max(3 * (error or 0.0) if nats else 0.0, MARGIN * nats, 0.1)


def _beneath(findings: Findings, elbo: float) -> bool:
    """Also where more bits are spent on an element than its values need, however few more; and where the test rows differ so
    much that they prove nothing, but the rows that were trained on lie beneath, too.
    """
    wasted = _wasted_bits(findings) and not _collapsed(findings)
    return beneath_chance(findings, elbo) or wasted or _trained_beneath(findings, elbo)


def _trained_beneath(findings: Findings, elbo: float) -> bool:
    own, chance = last(curves(findings).train), findings.chance
    if own is None or chance is None or _collapsed(findings):
        return False
    return max(own, elbo) < chance.nats - max(MARGIN * abs(chance.nats - findings.slope), 1.0)


def _wasted_bits(findings: Findings) -> bool:
    bits, chance = findings.metric("bits_per_dim"), findings.chance
    return bits is not None and chance is not None and chance.levels is not None and bits > math.log2(chance.levels)


def _collapsed(findings: Findings) -> bool:
    return bool(findings.active) and not any(findings.active)


def _reconstruction(findings: Findings) -> float | None:
    """E log p(x|z) of the test rows."""
    value = findings.metric("reconstruction")
    return None if value is None else -value


def _no_number(findings: Findings) -> str | None:
    """The loss had stopped being a number when training ended."""
    losses = [finite(v) for v in findings.raw("loss") or findings.raw("elbo")]
    given = findings.raw("loss") or findings.raw("elbo")
    if not losses or losses[-1] is not None or given[-1] is None:
        return None
    since = max((i for i, v in enumerate(losses) if v is not None), default=-1) + 2
    return f"The loss is no finite number from epoch {since} on."


def _below_chance(findings: Findings, found: Curves) -> str | None:
    """Below knowing nothing on the test rows and on those it was trained on, the code's cost aside."""
    elbo, chance = findings.metric("elbo"), findings.chance
    if elbo is None or chance is None or not _beneath(findings, elbo):
        return None
    gained, own = _reconstruction(findings), last(found.train)
    if (gained is not None and gained > chance.nats) or (own is not None and own > chance.nats):
        return None  # `worse_than_nothing` speaks of it
    if chance.levels is not None:
        bits = findings.metric("bits_per_dim")
        spent = f"{show(bits)} bits per dimension" if bits is not None else f"an ELBO of {show(elbo)} nats"
        return f"{_capital(spent)}: with {chance.words}, it would be {show(math.log2(chance.levels))} bits, without any model."
    return f"The ELBO of the test rows is {show(elbo)} nats, where {chance.words}, give {show(chance.nats)}."


def _fell(findings: Findings, found: Curves) -> str | None:
    """The training score ended far below where it was after the first epoch."""
    present = [v for v in found.train if v is not None]
    if len(present) < 2:
        return None
    fall = present[0] - present[-1]
    if (
        fall <= FALLEN * max(abs(present[0] - findings.slope), findings.metric("kl") or 0.0, 1.0)
        or trend(present).change > 0
    ):
        return None
    if (
        last(findings.series("rival_loss")) is not None
    ):  # the part of the loss that a rival makes rises and falls with it
        losses = [v for v in findings.series("reconstruction") if v is not None]
    else:
        losses = [v for v in findings.series("loss") if v is not None]
    if len(losses) > 1 and losses[-1] < losses[0]:
        return None  # what it was trained for got better
    return f"The training {found.name} ended {show(fall, 3)} nats below that of the first epoch ({show(present[0])})."


def _unmoved(findings: Findings, found: Curves) -> str | None:
    """Nothing changed over the run, at a learning rate at which nothing can."""
    present = [v for v in found.train if v is not None]
    rate = number(findings.training, "learning_rate")
    if len(present) < 2 or rate is None or rate >= SLOW:
        return None
    moved = abs(present[-1] - present[0])
    if moved > max(UNMOVED * size_of(findings, present[-1]), 3 * noise(present)):
        return None
    return f"The training {found.name} moved by {show(moved, 2)} nats in {count(len(present), 'epoch')}."


def _cause(findings: Findings, found: Curves) -> tuple[str, str]:
    """The likeliest cause that settings and curves show, and its cure."""
    rate = number(findings.training, "learning_rate")
    if rate is not None and rate > FAST:
        return f"A learning rate of {show(rate)} is too high.", "Lower it: --learning-rate 0.001."
    if rate is not None and rate < SLOW:
        return f"A learning rate of {show(rate)} is too low for anything to change.", "Raise it: --learning-rate 0.001."
    fixed = _fixed_scale(findings)
    if fixed is not None:
        return (
            f"The scale of the likelihood is fixed at {show(fixed)}, which does not fit the data.",
            "Let it be learned: --likelihood.scale one, or each for one a column.",
        )
    present = [v for v in found.train if v is not None]
    if len(present) < 2 or trend(present).gain > RISING * size_of(findings, present[-1]):
        return (
            f"It was still learning after {count(len(present), 'epoch')}.",
            f"Train for longer: --epochs {max(10, 4 * len(present))}.",
        )
    return "", "Lower the learning rate to a third, warm it up (--warmup 0.1), and look for extreme rows in the data."


def _fixed_scale(findings: Findings) -> float | None:
    """The likelihood's scale, where it was fixed by hand."""
    for key, value in settings(findings.spec):
        if key == "likelihood" and isinstance(value, dict) and value.get("scale") == "fixed":
            return number(value, "value")
    return None


def _unpriced(findings: Findings) -> str:
    beta = number(findings.objective, "beta")
    return "" if beta is None or beta >= 1 else f" Training weighed the KL by β = {show(beta)}."


def _price(findings: Findings) -> str:
    beta, free = number(findings.objective, "beta"), number(findings.objective, "free_bits")
    if beta is not None and beta < 1:
        return "Train with β = 1 (--objective.beta 1), or give the finished model a prior of its own (fit_prior)."
    return "Train without free bits." if free else "Train for longer, or with fewer units (--latent.size)."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
