"""States of a model, before anything is said of why: collapsed, pointlike, unlearned; and by what margins numbers are judged."""

from lambent.metrics.collapse import COLLAPSED, NEARLY, POINTS
from lambent.tasks.diagnosis.evidence import Evidence

USUAL_RATE = 1e-3  # of the further steps
MUCH, SOME = 0.5, 0.1  # shares of what the code is worth that further steps, or a better encoder, may bring
CHEAP, CHEAP_POINTS = (
    0.1,
    5.0,
)  # a price of the code, and nats of a unit from which that shows: 150 times narrower than the codes
LITTLE = 1.0  # nats of a code that a decoder hardly reads
STRONG = 1.0  # nats that p(x|z) knows of how values hang together without z


def anywhere(e: Evidence) -> str:
    return "any"


def collapsed(e: Evidence) -> str:
    """No unit, or hardly any, lives, or the code carries far less than further steps at full weight make of it."""
    if e.codebook is not None:
        return ""
    nothing = e.kl < COLLAPSED or e.living < max(1.0, NEARLY * e.units) or unread(e)
    return "collapsed" if nothing or (brought(e) > MUCH and e.further.kl_after > 2 * e.further.kl) else ""


def unread(e: Evidence) -> bool:
    """Whether the decoder knows far more without the code than the code tells it, which is next to nothing."""
    alone = e.reading.alone
    return alone.above(STRONG) and e.kl < LITTLE and e.reading.exchanged.nats < NEARLY * alone.nats


def pointlike(e: Evidence) -> str:
    """The posteriors are nearly points, or the code costs more than it brings."""
    if collapsed(e) or e.codebook is not None:
        return ""
    return "pointlike" if e.per_unit >= (CHEAP_POINTS if cheaply(e) else POINTS) or costly(e) else ""


def cheaply(e: Evidence) -> bool:
    """Whether a nat of code cost a tenth of a nat of loss, or less: narrow posteriors are no surprise then."""
    return weighs(e) and e.setting("beta", 1.0) <= CHEAP


def costly(e: Evidence) -> bool:
    """Whether columns by themselves do better than the bound, and not than the reconstruction."""
    usual = e.independent
    return usual is not None and e.reconstruction > usual and e.elbo.nats < usual - margin(e)


def unlearned(e: Evidence) -> bool:
    """Whether columns by themselves explain rows better than they are reconstructed, or steps change everything still."""
    beneath = e.independent is not None and e.reconstruction < e.independent - margin(e)
    return beneath or brought(e) > MUCH


def margin(e: Evidence) -> float:
    return max(3 * e.elbo.error, 0.01 * abs(e.independent or 0.0), 0.1)


def worth(e: Evidence) -> float:
    """Nats by which gains are judged: what the code carries, or brings over columns by themselves."""
    gained = 0.0 if e.independent is None else e.elbo.nats - e.independent
    return max(e.kl, gained, 1.0)


def brought(e: Evidence) -> float:
    """The share of `worth` that further steps bring, nought where they bring nothing beyond chance."""
    return e.further.gain.nats / worth(e) if e.further.gain.above() else 0.0


def structured(e: Evidence) -> bool:
    """Whether values of a row tell of each other, to whatever has looked for it, the model itself included."""
    if e.structure is None or e.structure.found:
        return True
    learned = e.independent is not None and e.elbo.nats > e.independent + margin(e)
    return not e.structure.alike and (learned or e.reading.alone.above(STRONG))


# ---- words ----------------------------------------------------------------------------------------------------------


def weighs(e: Evidence) -> bool:
    """Whether β stands before the whole KL."""
    return e.objective.get("type", "Elbo") == "Elbo" and "beta" in e.objective and e.objective["beta"] != "auto"


def nats_of(cost: tuple[float, float]) -> str:
    return f"{cost[0]:.2f} ± {cost[1]:.2f} nats"


def further_steps(e: Evidence, where: str = "") -> str:
    kl, after = e.further.kl, e.further.kl_after
    return (
        f"two hundred further steps{where} at a rate of {USUAL_RATE:g} raise the bound by {nats_of(e.further.gain)}, "
        f"the KL going from {kl:.3g} to {after:.3g}"
    )


def price_paid(e: Evidence) -> str:
    told = f"the KL is {e.kl:.3g} nats, {e.per_unit:.3g} for each unit that lives"
    if costly(e):
        told += f", and the ELBO ({e.elbo.nats:.4g}) is below that of columns by themselves ({e.independent:.4g})"
    return told
