"""The rules of the doctor: one table of causes, each with the numbers that show it and the flags of `lambent train` that cure it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from lambent.metrics.collapse import COLLAPSED, NEARLY, POINTS
from lambent.tasks.diagnosis.evidence import Evidence

FAST, SLOW = 0.02, 1e-4  # learning rates of AdamW above which, and below which in few epochs, hardly any model learns
USUAL_RATE = 1e-3
MUCH, SOME = 0.5, 0.1  # shares of what the code is worth that further steps, or a better encoder, may bring
WIDE = 2.0  # times by which a fixed scale may miss the error that there is
LATE = 0.9  # share of training from which a warm-up leaves none for the full weight
STRONG = 1.0  # nats that p(x|z) knows of how values hang together without z
GHOSTLY = 0.1  # share of samples from where no codes lie
HALF = 0.5  # of the entries of a codebook
ALONE = 2.0  # entries in use, as if evenly, below which a place tells next to nothing


class Cure(NamedTuple):
    """What to do, in words, and the flags of `lambent train` that do it; () where no flag can."""

    words: str
    flags: tuple[str, ...] = ()


class Rule(NamedTuple):
    """A cause: in which state of the model it is looked for, what shows it (None: it does not), and what cures it.

    level: "end" where nothing else is worth saying then. Of the rules for one state the first that speaks counts.
    """

    cause: str
    name: str
    level: Literal["end", "problem", "notice"]
    state: Callable[[Evidence], str]
    shown: Callable[[Evidence], str | None]
    cure: Callable[[Evidence], Cure]


# ---- states: what is wrong, before why ---------------------------------------------------------------------------


def any_(e: Evidence) -> str:
    return "any"


def collapsed(e: Evidence) -> str:
    """No unit, or hardly any, lives, or the code carries far less than further steps at full weight make of it."""
    if e.codebook is not None:
        return ""
    nothing = e.kl < COLLAPSED or e.living < max(1.0, NEARLY * e.units)
    return "collapsed" if nothing or (brought(e) > MUCH and e.further.kl_after > 2 * e.further.kl) else ""


def pointlike(e: Evidence) -> str:
    """The posteriors are nearly points, or the code costs more than it brings."""
    if collapsed(e) or e.codebook is not None:
        return ""
    return "pointlike" if e.per_unit >= POINTS or costly(e) else ""


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


# ---- what shows a cause ------------------------------------------------------------------------------------------


def too_fast(e: Evidence) -> str | None:
    if e.rate is None or e.rate <= FAST or not (collapsed(e) or unlearned(e)):
        return None
    return f"the learning rate is {e.rate:g}, and {_further(e)}"


def too_slow(e: Evidence) -> str | None:
    if e.rate is None or e.rate >= SLOW or brought(e) <= MUCH:
        return None
    return f"the learning rate is {e.rate:g}, and {_further(e)}"


def alike(e: Evidence) -> str | None:
    return "every value is the same in all rows" if e.structure is not None and e.structure.alike else None


def noise(e: Evidence) -> str | None:
    if structured(e) or e.structure is None:
        return None
    s = e.structure
    return (
        f"covariances gain {s.gain:.2g} ± {s.gain_error:.2g} nats on rows held out, and trees tell {s.told:.0%} of the rows from rows "
        f"with shuffled columns (chance 50 ± {100 * s.told_error:.0f} %)"
    )


def scale_small(e: Evidence) -> str | None:
    if e.scale is None or e.scale.fixed is None or e.scale.fixed * WIDE > e.scale.residual:
        return None
    return f"it is fixed at {e.scale.fixed:.3g}, and the error of reconstructions is {e.scale.residual:.3g}; {_dear(e)}"


def scale_large(e: Evidence) -> str | None:
    if e.scale is None or e.scale.fixed is None:
        return None
    price = e.setting("beta", 1.0) * e.scale.fixed**2
    kept = e.scale.kept(price)
    if kept and e.scale.fixed < WIDE * e.scale.residual:
        return None
    return (
        f"it is fixed at {e.scale.fixed:.3g}, and the error of reconstructions is {e.scale.residual:.3g}: a code earns its nats along "
        f"directions of a variance above {price:.3g}, of which there are {kept} (the largest variance is {e.scale.variances[0]:.3g})"
    )


def cheap(e: Evidence) -> str | None:
    beta = e.setting("beta", 1.0)
    return f"β = {beta:g}: a nat of code costs {beta:g} nats of loss; {_dear(e)}" if _weighs(e) and beta < 1 else None


def dear(e: Evidence) -> str | None:
    beta = e.setting("beta", 1.0)
    if not _weighs(e) or beta <= 1:
        return None
    return f"β = {beta:g}: each nat of code costs {beta:g} nats of loss, and {_further(e, ' at β = 1')}"


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
        f"the KL's weight grows over {warmup:.0%} of the training, so that the model never learned at its full weight: there {_further(e)}"
    )


def overpaid(e: Evidence) -> str | None:
    """Free bits beyond what the code is worth: at full price it would carry far less."""
    free = max(_free(e))
    if not free or e.further.kl_after > 0.7 * e.further.kl or not e.further.gain.above(SOME * worth(e)):
        return None
    return f"{free:g} nats are free, and at full price {_further(e)}"


def _free(e: Evidence) -> list[float]:
    return [e.setting(name, 0.0) for name in ("free_bits", "free_group", "floor")]


def given_away(e: Evidence) -> str | None:
    free = e.setting("free_bits", 0.0)
    if not free or e.reading.units is None:
        return None
    apparent = [n for level in e.levels if level.measure == "kl" and level.nats is not None for n in level.nats.tolist()]
    seem = sum(n > 0.5 * free for n in apparent)
    if not seem or seem - e.living < max(1.0, 0.25 * e.units):
        return None
    return (
        f"{seem} of {e.units} units have a KL near or above the {free:g} nats that are free, and removing them costs likelihood "
        f"for {e.living} alone"
    )


def strong(e: Evidence) -> str | None:
    if not e.reading.alone.above(STRONG):
        return None
    return (
        f"under one code for all, p(x|z) tells rows from rows with shuffled columns by {_nats(e.reading.alone)}: it models "
        f"x without z; another row's code costs {_nats(e.reading.exchanged)}"
    )


def lost(e: Evidence) -> str | None:
    course = [v for v in e.history.get("kl", ()) if v is not None]
    if len(course) < 3 or e.objective.get("anneal", "none") == "none" or max(course) < 1.0:
        return None
    epoch = course.index(max(course)) + 1
    return f"the KL was {max(course):.3g} nats in epoch {epoch}, and {course[-1]:.2g} once its weight had grown"


def unfinished(e: Evidence) -> str | None:
    return _further(e) if brought(e) > (MUCH if collapsed(e) else SOME) else None


def at_once(e: Evidence) -> str | None:
    if e.objective.get("anneal", "none") != "none":
        return None
    told = (
        "" if e.independent is None else f"; columns by themselves give {e.independent:.4g} nats, the ELBO is {e.elbo.nats:.4g}"
    )
    return f"the KL is at full weight from the first step, before the decoder can use a code, though rows have structure{told}"


def skipped(e: Evidence) -> str | None:
    live = [any(level) for level in e.alive]
    if len(live) < 2 or all(live) or not any(live):
        return None
    idle = [i for i, alive in enumerate(live) if not alive]
    told = "; ".join(
        f"level {i + 1}: a KL of {e.level_kls[i]:.2g} nats, drawn from the prior instead it costs {_nats(e.reading.levels[i])}"
        for i in idle
    )
    return f"of {len(live)} levels {len(idle)} carry nothing ({told})"


def lagging(e: Evidence) -> str | None:
    gain = e.lag.gain
    if not e.trained_for_bound or not gain.above(SOME * worth(e)) or e.behind.gain.nats > MUCH * gain.nats:
        return None
    return (
        f"two hundred steps of the encoder alone, the decoder at rest, raise the bound by {_nats(gain)}; as many of the decoder alone "
        f"by {_nats(e.behind.gain)}"
    )


def few(e: Evidence) -> str | None:
    if e.own_elbo is None:
        return None
    gap = e.own_elbo.nats - e.elbo.nats
    if gap <= max(3 * (e.own_elbo.error**2 + e.elbo.error**2) ** 0.5, 0.3 * worth(e)):
        return None
    rows = "" if e.trained is None else f" of {e.trained:,} rows beside {e.parameters:,} parameters"
    gaps = ""
    if e.gap is not None and e.own_gap is not None:
        gaps = f"; the amortization gap is {e.own_gap.nats:.2g} nats on rows of the training and {e.gap.nats:.2g} on others"
    return f"the ELBO is {gap:.3g} nats higher on rows of the training{rows}{gaps}"


def exact(e: Evidence) -> str | None:
    return f"each unit that lives carries {e.per_unit:.3g} nats" if e.per_unit >= POINTS else None


def ghosts(e: Evidence) -> str | None:
    if e.components is None or e.components.ghostly <= GHOSTLY:
        return None
    return (
        f"{e.components.ghostly:.0%} of the prior's weight lies on components from which no codes come: so many samples look like "
        "nothing in the data"
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
    return f"a posterior of each row's own raises its bound by {_nats(e.gap)}"


# ---- cures -------------------------------------------------------------------------------------------------------


def elbo(e: Evidence, **fields: object) -> tuple[str, ...]:
    """Flags that set fields of the Elbo, and choose it where the model had another objective."""
    chosen = () if e.objective.get("type", "Elbo") == "Elbo" else ("--objective", "Elbo")
    return chosen + tuple(part for name, value in fields.items() for part in (f"--objective.{name}", f"{value}"))


def longer(e: Evidence) -> Cure:
    epochs = max(10, 4 * e.epochs)
    return Cure("train for longer", ("--epochs", str(epochs)))


def gently(e: Evidence) -> Cure:
    free = {} if e.setting("free_bits", 0.0) else {"free_bits": 0.1}
    return Cure("let the KL's weight grow, with free bits", elbo(e, anneal="linear", warmup=0.5, **free))


def fewer_units(e: Evidence) -> Cure:
    if not e.living:
        return gently_without(e)
    flags = (*elbo(e, free_bits=0), "--latent.size", str(max(1, e.living)))
    return Cure("take no free bits and as many units as live", flags)


def gently_without(e: Evidence) -> Cure:
    return Cure("take no free bits, and let the KL's weight grow", elbo(e, free_bits=0, anneal="linear", warmup=0.5))


def smaller(e: Evidence) -> Cure:
    flags = ("--validation", "0.1", "--patience", str(max(10, e.epochs // 5)))
    return Cure("keep the weights that are best on rows held out; then a smaller network, or more rows", flags)


def ahead(e: Evidence) -> Cure:
    if e.setting("settle", 1.0) < 1:
        return Cure("let the encoder learn to the end", elbo(e, settle=1))
    return Cure("let the encoder take many steps for each of the decoder", ("--objective", "Lagging"))


def levels(e: Evidence) -> Cure:
    return Cure("give each level free nats and let the KL's weight grow", elbo(e, free_group=1, anneal="linear", warmup=0.5))


def informed(e: Evidence) -> Cure:
    return Cure(
        "begin as an autoencoder, so that the decoder reads the code before it costs, and keep some of it free",
        elbo(e, pretrain=0.3, floor=4),
    )


def book(e: Evidence) -> Cure:
    return Cure("take the Finite quantizer, which has no entries to lose", ("--latent.quantizer", "Finite"))


def to(words: str, *flags: str) -> Callable[[Evidence], Cure]:
    return lambda e: Cure(words, flags)


# ---- the table ---------------------------------------------------------------------------------------------------

RATE = to("take a usual learning rate", "--learning-rate", f"{USUAL_RATE:g}")
LEARNED = to("let the scale be learned", "--likelihood.scale", "one")
PRICED = lambda e: Cure("pay for the code what it costs", elbo(e, beta=1))  # noqa: E731

# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("alike",      "The rows are all alike",                    "end",     any_,      alike,       to("give it rows that differ")),
    Rule("fast",       "The learning rate is too high",             "end",     any_,      too_fast,    RATE),
    Rule("noise",      "The data have no structure",                "end",     any_,      noise,       to("nothing to cure: noise has no code, and a VAE of it should collapse")),
    Rule("slow",       "The learning rate is too low",              "end",     any_,      too_slow,    RATE),
    Rule("scale-low",  "The likelihood's scale is fixed too small", "problem", any_,      scale_small, LEARNED),
    Rule("scale-high", "The likelihood's scale is fixed too large", "problem", any_,      scale_large, LEARNED),
    Rule("cheap",      "λ is too small: an autoencoder",            "problem", pointlike, cheap,       PRICED),
    Rule("free-price", "Free bits exceed what the code is worth",   "problem", any_,      overpaid,    lambda e: Cure("take fewer free nats", elbo(e, free_bits=0, free_group=0, floor=0))),
    Rule("late",       "The warm-up is longer than the training",   "problem", pointlike, late,        lambda e: Cure("end the warm-up early", elbo(e, warmup=0.2))),
    Rule("few",        "Too few rows: over-fitted",                 "problem", pointlike, few,         smaller),
    Rule("exact",      "Posteriors are nearly points",              "notice",  pointlike, exact,       to("if the data hold no noise that is fine; else look for rows twice, or raise the likelihood's floor", "--likelihood.floor", "0.05")),
    Rule("capacity",   "The KL is steered to nought",               "problem", collapsed, capacity,    lambda e: Cure("leave the capacity out", elbo(e, capacity="none"))),
    Rule("dear",       "λ is too large",                            "problem", collapsed, dear,        PRICED),
    Rule("strong",     "The decoder does without the code",         "problem", collapsed, strong,      informed),
    Rule("free-bits",  "Free bits make dead units look alive",      "problem", collapsed, given_away,  gently_without),
    Rule("lag",        "The encoder lags behind",                   "problem", collapsed, lagging,     ahead),
    Rule("short",      "The training is too short",                 "problem", collapsed, unfinished,  longer),
    Rule("lost",       "Units were lost as λ grew",                 "problem", collapsed, lost,        lambda e: Cure("leave each unit a floor", elbo(e, free_bits=0.1))),
    Rule("at-once",    "The KL weighs in full from the first step", "problem", collapsed, at_once,     gently),
    Rule("free-bits",  "Free bits make dead units look alive",      "problem", any_,      given_away,  fewer_units),
    Rule("level",      "A level is skipped",                        "problem", any_,      skipped,     levels),
    Rule("late",       "The warm-up is longer than the training",   "problem", any_,      late,        lambda e: Cure("end the warm-up early", elbo(e, warmup=0.2))),
    Rule("lag",        "The encoder lags behind",                   "problem", any_,      lagging,     ahead),
    Rule("few",        "Too few rows: over-fitted",                 "problem", any_,      few,         smaller),
    Rule("ghosts",     "The prior has ghost components",            "problem", any_,      ghosts,      to("fit the prior anew, by expectation-maximization (lambent refine RUN --prior Mixture), or take fewer components", "--latent.prior", "Mixture", "--latent.prior.components", "4")),
    Rule("dead-codes", "Most entries of the codebook are dead",     "problem", any_,      dead_codes,  book),
    Rule("short",      "The training is too short",                 "notice",  any_,      unfinished,  longer),
    Rule("prior",      "The prior does not fit the codes",          "notice",  any_,      unmatched,   to("fit a richer prior afterwards (lambent refine RUN)", "--latent.prior", "Mixture")),
    Rule("coarse",     "The encoder is too coarse",                 "notice",  any_,      coarse,      to("take a richer posterior, or a wider encoder", "--latent.posterior", "Full")),
)
# fmt: on


# ---- words -------------------------------------------------------------------------------------------------------


def _weighs(e: Evidence) -> bool:
    """Whether β stands before the whole KL."""
    return e.objective.get("type", "Elbo") == "Elbo" and "beta" in e.objective and e.objective["beta"] != "auto"


def _nats(cost: tuple[float, float]) -> str:
    return f"{cost[0]:.2f} ± {cost[1]:.2f} nats"


def _further(e: Evidence, where: str = "") -> str:
    kl, after = e.further.kl, e.further.kl_after
    return (
        f"two hundred further steps{where} at a rate of {USUAL_RATE:g} raise the bound by {_nats(e.further.gain)}, the KL going from "
        f"{kl:.3g} to {after:.3g}"
    )


def _dear(e: Evidence) -> str:
    told = f"the KL is {e.kl:.3g} nats, {e.per_unit:.3g} for each unit that lives"
    if costly(e):
        told += f", and the ELBO ({e.elbo.nats:.4g}) is below that of columns by themselves ({e.independent:.4g})"
    return told
