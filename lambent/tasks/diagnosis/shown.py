"""What shows a cause: each looks at the evidence, and tells its numbers in a sentence, or None where they show nothing."""

from lambent.metrics.collapse import POINTS
from lambent.tasks.diagnosis.evidence import Evidence
from lambent.tasks.diagnosis.states import (
    MUCH,
    SOME,
    STRONG,
    brought,
    collapsed,
    further_steps,
    nats_of,
    price_paid,
    structured,
    unlearned,
    weighs,
    worth,
)

FAST, SLOW = 0.02, 1e-4  # learning rates of AdamW above which, and below which in few epochs, hardly any model learns
WIDE = 2.0  # times by which a fixed scale may miss the error that there is
LATE = 0.9  # share of training from which a warm-up leaves none for the full weight
WIDER, APART = 0.5, 0.05  # shares of what the code is worth, and of the bound, by which training and others may differ
GHOSTLY = 0.1  # share of samples from where no codes lie
HALF = 0.5  # of the entries of a codebook
ALONE = 2.0  # entries in use, as if evenly, below which a place tells next to nothing


def too_fast(e: Evidence) -> str | None:
    if e.rate is None or e.rate <= FAST or not (collapsed(e) or unlearned(e)):
        return None
    return f"the learning rate is {e.rate:g}, and {further_steps(e)}"


def too_slow(e: Evidence) -> str | None:
    if e.rate is None or e.rate >= SLOW or brought(e) <= MUCH:
        return None
    return f"the learning rate is {e.rate:g}, and {further_steps(e)}"


def alike(e: Evidence) -> str | None:
    return "every value is the same in all rows" if e.structure is not None and e.structure.alike else None


def noise(e: Evidence) -> str | None:
    if structured(e) or e.structure is None:
        return None
    s = e.structure
    return (
        f"covariances gain {s.gain:.2g} ± {s.gain_error:.2g} nats on rows held out, and trees tell {s.told:.0%} of the rows "
        f"from rows with shuffled columns (chance 50 ± {100 * s.told_error:.0f} %)"
    )


def scale_small(e: Evidence) -> str | None:
    if e.scale is None or e.scale.fixed is None or e.scale.fixed * WIDE > e.scale.residual:
        return None
    return f"it is fixed at {e.scale.fixed:.3g}, and the error of reconstructions is {e.scale.residual:.3g}; {price_paid(e)}"


def scale_large(e: Evidence) -> str | None:
    if e.scale is None or e.scale.fixed is None:
        return None
    price = e.setting("beta", 1.0) * e.scale.fixed**2
    kept = e.scale.kept(price)
    if kept and e.scale.fixed < WIDE * e.scale.residual:
        return None
    return (
        f"it is fixed at {e.scale.fixed:.3g}, and the error of reconstructions is {e.scale.residual:.3g}: a code earns its "
        f"nats along directions of a variance above {price:.3g}, of which there are {kept} (the largest variance is "
        f"{e.scale.variances[0]:.3g})"
    )


def cheap(e: Evidence) -> str | None:
    beta = e.setting("beta", 1.0)
    return (
        f"β = {beta:g}: a nat of code costs {beta:g} nats of loss; {price_paid(e)}" if weighs(e) and beta < 1 else None
    )


def dear(e: Evidence) -> str | None:
    beta = e.setting("beta", 1.0)
    if not weighs(e) or beta <= 1:
        return None
    return f"β = {beta:g}: each nat of code costs {beta:g} nats of loss, and {further_steps(e, ' at β = 1')}"


def capacity(e: Evidence) -> str | None:
    nats = e.objective.get("capacity")
    if nats is None or float(nats) > 1.0:
        return None
    return f"the KL is steered to {nats:g} nats"


def late(e: Evidence) -> str | None:
    warmup = e.setting("warmup", 0.0)
    if e.objective.get("anneal", "none") == "none" or warmup < LATE or not e.further.gain.above(SOME * worth(e)):
        return None
    return (
        f"the KL's weight grows over {warmup:.0%} of the training, so that the model never learned at its full weight: "
        f"there {further_steps(e)}"
    )


def overpaid(e: Evidence) -> str | None:
    """Free bits beyond what the code is worth: at full price it would carry far less."""
    free = max(_free(e))
    if not free or e.further.kl_after > 0.7 * e.further.kl or not e.further.gain.above(SOME * worth(e)):
        return None
    return f"{free:g} nats are free, and at full price {further_steps(e)}"


def _free(e: Evidence) -> list[float]:
    return [e.setting(name, 0.0) for name in ("free_bits", "free_group", "floor")]


def given_away(e: Evidence) -> str | None:
    free = e.setting("free_bits", 0.0)
    if not free or e.reading.units is None:
        return None
    known = [level.nats for level in e.levels if level.measure == "kl" and level.nats is not None]
    apparent = [nats for level in known for nats in level.tolist()]
    seem = sum(n > 0.5 * free for n in apparent)
    if not seem or seem - e.living < max(1.0, 0.25 * e.units):
        return None
    return (
        f"{seem} of {e.units} units have a KL near or above the {free:g} nats that are free, and removing them costs "
        f"likelihood for {e.living} alone"
    )


def strong(e: Evidence) -> str | None:
    if not e.reading.alone.above(STRONG):
        return None
    return (
        f"under one code for all, p(x|z) tells rows from rows with shuffled columns by {nats_of(e.reading.alone)}: it models "
        f"x without z; another row's code costs {nats_of(e.reading.exchanged)}"
    )


def lost(e: Evidence) -> str | None:
    course = [v for v in e.history.get("kl", ()) if v is not None]
    if len(course) < 3 or e.objective.get("anneal", "none") == "none" or max(course) < 1.0:
        return None
    epoch = course.index(max(course)) + 1
    return f"the KL was {max(course):.3g} nats in epoch {epoch}, and {course[-1]:.2g} once its weight had grown"


def unfinished(e: Evidence) -> str | None:
    return further_steps(e) if brought(e) > (MUCH if collapsed(e) else SOME) else None


def at_once(e: Evidence) -> str | None:
    if e.objective.get("anneal", "none") != "none":
        return None
    known = [f"the code holds {e.kl:.2g} nats"]
    if e.structure is not None:
        known.append(f"trees tell {e.structure.told:.0%} of the rows from rows with shuffled columns (chance 50 %)")
    if e.independent is not None:
        known.append(f"columns by themselves give {e.independent:.4g} nats, the ELBO is {e.elbo.nats:.4g}")
    begun = (
        "the KL is at full weight from the first step, before the decoder can use a code, though rows have structure"
    )
    return f"{begun}: {'; '.join(known)}"


def skipped(e: Evidence) -> str | None:
    live = [any(level) for level in e.alive]
    if len(live) < 2 or all(live) or not any(live):
        return None
    idle = [i for i, alive in enumerate(live) if not alive]
    told = "; ".join(
        f"level {i + 1}: a KL of {e.level_kls[i]:.2g} nats, drawn from the prior instead it costs {nats_of(e.reading.levels[i])}"
        for i in idle
    )
    return f"of {len(live)} levels {len(idle)} carry nothing ({told})"


def lagging(e: Evidence) -> str | None:
    gain = e.lag.gain
    if not e.trained_for_bound or not gain.above(SOME * worth(e)) or e.behind.gain.nats > MUCH * gain.nats:
        return None
    return (
        f"two hundred steps of the encoder alone, the decoder at rest, raise the bound by {nats_of(gain)}; as many of the "
        f"decoder alone by {nats_of(e.behind.gain)}"
    )


def few(e: Evidence) -> str | None:
    # Rows of other origin differ a little without over-fitting: the difference is to be beyond that for certain.
    if e.over is None or not e.over.less(max(WIDER * worth(e), APART * abs(e.elbo.nats))).above():
        return None
    rows = "" if e.trained is None else f"; there are {e.trained:,} of these beside {e.parameters:,} parameters"
    gaps = ""
    if e.gap is not None and e.own_gap is not None:
        gaps = f"; the amortization gap is {e.own_gap.nats:.2g} nats on rows of the training and {e.gap.nats:.2g} on others"
    return f"the ELBO of a usual row of the training is {nats_of(e.over)} higher{rows}{gaps}"


def exact(e: Evidence) -> str | None:
    return f"each unit that lives carries {e.per_unit:.3g} nats" if e.per_unit >= POINTS else None


def ghosts(e: Evidence) -> str | None:
    if e.components is None or e.components.ghostly - e.components.chance <= GHOSTLY:
        return None
    return (
        f"{e.components.ghostly:.0%} of the prior's weight lies on components from which no codes come: so many samples look "
        "like nothing in the data"
    )


def dead_codes(e: Evidence) -> str | None:
    if e.codebook is None or e.codebook[0].share is None or e.codebook[0].perplexity is None:
        return None
    share, perplexity = e.codebook[0].share, e.codebook[0].perplexity
    if share >= HALF and perplexity >= ALONE:
        return None
    return f"{share:.0%} of {e.codebook[1]:,} entries are used, with a perplexity of {perplexity:.3g}"


def unmatched(e: Evidence) -> str | None:
    if e.saturated or e.prior_gap <= max(1.0, 0.2 * e.level_kls[0]):
        return None
    return f"KL(q(z) ‖ p(z)) is {e.prior_gap:.3g} of the KL's {e.level_kls[0]:.3g} nats: codes do not lie as the prior says"


def coarse(e: Evidence) -> str | None:
    if e.gap is None or not e.gap.above(max(1.0, 0.2 * e.kl)):
        return None
    return f"a posterior of each row's own raises its bound by {nats_of(e.gap)}"
