"""Rules about the latent code: unused, too small, badly matched by its posterior or its prior."""

from lambent.metrics.collapse import COLLAPSED, NEARLY, POINTS
from lambent.report.numerals import count, joined, show
from lambent.report.run.failure_rules import margin
from lambent.report.run.findings import Findings
from lambent.report.run.learning_rules import generalizes
from lambent.report.run.lookup import finite, kind, last, number, settings
from lambent.tasks.sections import Remark

PARTLY = 0.5  # share of active units below which the rest is worth a note
FULL = 0.5  # nats per unit: if all units are active and carry this much, the code may be too small
LOOSE = 0.01  # share of the bound by which more samples may tighten it
UNMATCHED = 0.1  # share of the KL that may come from a prior that does not fit
STRONG = ("autoregress", "transformer", "wave", "pixelcnn")  # in a part's name: it can model x without z


def no_bound(findings: Findings) -> Remark | None:
    """An autoencoder, a distance or a GAN has no evidence bound: say so, instead of showing empty places."""
    if _has_bound(findings):
        return None
    if findings.autoencoder:
        text = "The encoder gives one point, not a distribution: there is no KL, and no bound on log p(x)."
        advice = (
            "To sample from it or to compare bounds, use the Diagonal posterior; the networks may stay as they are."
        )
        return Remark("notice", "This is an autoencoder", text, advice, "an autoencoder, without a bound")
    if not findings.normalized:
        text = (
            "A distance between pictures stands in the place of log p(x | z): there is a KL, and no bound on log p(x)."
        )
        advice = (
            "Judge it by its samples (--generated) and reconstructions. To compare bounds, train with the DiscretizedLogistics "
            "or Gaussian likelihood."
        )
        return Remark("notice", "There is no ELBO here", text, advice, "trained by a distance, without a bound")
    if findings.generator:
        text = (
            "It was trained against a rival and gives no bound on the probability of the data; judge it by its samples."
        )
        return Remark("notice", "There is no ELBO here", text, answer="trained against a rival, without a bound")
    return None


def collapse(findings: Findings) -> Remark | None:
    """Whether the model uses its latent code."""
    units, total = findings.active, _kl(findings)
    used = sum(units)
    if not _has_kl(findings) or (not units and total is None) or findings.metric("codebook_usage") is not None:
        return None
    nats = f"{show(total, 3)} nats a row" if total is not None else "not known"
    kl = f"The KL, the most that the code can carry, is {nats}."
    if (units and not used) or (total is not None and total < COLLAPSED):
        text = f"{_used(findings)}{kl} The decoder ignores the code, all samples look alike.{_causes(findings)}"
        return Remark("problem", "Collapsed", text, _cures(findings), "collapsed")
    text = f"{_used(findings)}{kl}"
    if units and used / len(units) < NEARLY and not _earns(findings):
        text = f"{text}{_causes(findings)}"
        return Remark("problem", "Close to collapse", text, _cures(findings), "close to collapse")
    if units and used / len(units) < PARTLY:
        noun = findings.noun
        return Remark(
            "notice", f"Most {noun}s are unused", f"{text}{_idle(findings)}", _fuller(findings, used), "not collapsed"
        )
    return Remark("good", "Not collapsed", text, answer="not collapsed")


def _earns(findings: Findings) -> bool:
    """Whether the ELBO is better than columns by themselves could be: the few units in use are all that the data need."""
    elbo, chance = findings.metric("elbo"), findings.chance
    if elbo is None or chance is None or chance.levels is not None:
        return False
    return elbo > chance.nats + margin(findings)


def _idle(findings: Findings) -> str:
    """What the units without use cost in this run, where their KL is known."""
    if not findings.kl_of_units:
        return ""
    cost = sum(v for v, active in zip(findings.kl_of_units, findings.active, strict=True) if not active)
    return f" Those without use cost {show(max(0.0, cost), 2)} nats of it."


def free_bits_alone(findings: Findings) -> Remark | None:
    """Whether the code holds what free bits give away, and no more."""
    free, units = number(findings.objective, "free_bits"), findings.kl_of_units
    if not free or not units or not any(findings.active) or sum(units) > 1.15 * free * len(units):
        return None
    text = (
        f"The KL of {show(sum(units), 3)} nats is what free bits give away: {show(free)} nats for each of "
        f"{count(len(units), 'unit')}. Nothing shows that the code earns any nat that it has to pay for."
    )
    return Remark(
        "notice", "The code holds its free bits and no more", text, "Compare the ELBO with that of a run without."
    )


def nearly_points(findings: Findings) -> Remark | None:
    """Whether the posteriors have become points, as those of an autoencoder are."""
    every = [
        (v, active) for level in findings.levels for v, active in zip(level.nats or [], level.active, strict=False)
    ]
    used = [finite(v) or 0.0 for v, active in every if active]
    if not used or not _has_bound(findings) or sum(used) / len(used) < POINTS:
        return None
    beta = number(findings.objective, "beta")
    noun = findings.noun
    text = (
        f"Each {noun} in use carries {show(sum(used) / len(used), 3)} nats on average: q(z|x) is nearly a point, as an "
        "autoencoder's is, and codes lie too far apart for samples of the prior to fall among them."
    )
    if beta is not None and beta < 1:
        advice = f"β = {show(beta)} lets the KL grow: train with β = 1 (--objective.beta 1)."
    else:
        advice = "If the data hold no noise that is fine; else raise the floor of the likelihood's scale, or look for rows twice."
    return Remark("notice", "The posteriors are nearly points", text, advice)


def empty_levels(findings: Findings) -> Remark | None:
    """Whether a level of a ladder carries nothing while others do."""
    levels = [level for level in findings.levels if level.active]
    idle = [i + 1 for i, level in enumerate(findings.levels) if level.active and not any(level.active)]
    if len(levels) < 2 or not idle or len(idle) == len(levels):
        return None
    which = ", ".join(str(i) for i in idle)
    text = f"Of {len(levels)} latent levels, {'level' if len(idle) == 1 else 'levels'} {which} carried no information."
    return Remark(
        "notice",
        "A level of the ladder is unused",
        text,
        "Use fewer levels, or free bits per level and a slower KL warm-up.",
    )


def too_small(findings: Findings) -> Remark | None:
    """Whether every unit is in use and carries much; without a KL of each unit there is nothing to say."""
    units = findings.kl_of_units
    if not units or not _has_bound(findings) or not all(findings.active):
        return None
    if not generalizes(findings):  # the code is not what is short
        return None
    mean = sum(units) / len(units)
    if mean < FULL or min(units) < 0.2 * mean:
        return None
    text = f"All {count(len(units), 'unit')} are active and carry {show(mean, 2)} nats each: none is to spare."
    return Remark(
        "notice",
        "The code may be too small",
        text,
        f"Try a latent size of {2 * len(units)} (--latent.size) and compare the ELBO on rows held out.",
    )


def loose_bound(findings: Findings) -> Remark | None:
    """Whether the bound of many samples lies well above the ELBO: the posterior is too simple."""
    elbo, bound = findings.metric("elbo"), findings.metric("bound", "iwae", "k_sample_bound")
    if elbo is None or bound is None:
        return None
    gap = bound - elbo
    errors = [
        finite(findings.metrics[m].get("standard_error")) or 0.0 for m in ("elbo", "bound") if m in findings.metrics
    ]
    if gap <= max(LOOSE * max(abs(elbo - findings.slope), 1.0), 1.0, 2 * max(errors, default=0.0)):
        return None
    posterior = kind(findings.spec, "posterior")
    richer = "the Full or the Flow posterior" if posterior in ("", "Diagonal") else "a wider encoder"
    text = (
        f"With many samples the bound rises by {show(gap, 3)} nats, from {show(elbo)} to {show(bound)}: "
        f"{f'the {posterior} posterior' if posterior else 'the posterior'} cannot follow the true one."
    )
    return Remark("notice", "The posterior is too simple", text, f"Try {richer}, or train with the Iwae objective.")


def prior_gap(findings: Findings) -> Remark | None:
    """Whether a measured part of the KL is the prior's fault: KL(q(z) ‖ p(z)), where the metrics hold it."""
    gap, total = findings.metric("prior_gap", "marginal_kl", "aggregate_kl"), _kl(findings)
    if gap is None or gap <= max(1.0, UNMATCHED * (total or 0.0)):
        return None
    prior = kind(findings.spec, "prior")
    richer = joined([p for p in ("Mixture", "Vamp", "Flow") if p != prior])
    text = f"Codes of rows lie {show(gap, 3)} nats from the prior: samples come from places new to the decoder."
    return Remark(
        "notice",
        "The prior does not fit the codes",
        text,
        f"Try a richer prior ({richer}); reconstructions will stay, samples will improve.",
    )


def weighted(findings: Findings) -> Remark | None:
    """Whether the model was trained for something else than the ELBO shown."""
    beta = number(findings.objective, "beta")
    if beta is None or beta == 1 or not _has_bound(findings):
        return None
    what = "the KL" if _weighs_kl(findings) else "a part of the KL"
    text = f"Training weighed {what} by β = {show(beta)}. Every ELBO on this page is the plain one (β = 1)."
    return Remark("notice", "Not trained for the ELBO itself", text, "For the best ELBO, train with β = 1.")


def _weighs_kl(findings: Findings) -> bool:
    """Whether β stands before the whole KL: the β of a total-correlation objective does not."""
    return "tc" not in str(findings.objective.get("type", "")).lower()


def _has_bound(findings: Findings) -> bool:
    if findings.autoencoder:
        return False
    series = (last(findings.series(c)) for c in ("elbo", "validation_elbo"))
    return findings.metric("elbo", "bound") is not None or any(v is not None for v in series)


def _has_kl(findings: Findings) -> bool:
    """Whether the code has a price: under every bound, and under a distance in the place of log p(x | z)."""
    return _has_bound(findings) or (not findings.autoencoder and findings.metric("kl") is not None)


def _kl(findings: Findings) -> float | None:
    """The total KL in nats per example: the metric, else the units' sum where there is one, else the last epoch's."""
    units, measured = findings.kl_of_units, findings.metric("kl")
    if measured is not None:
        return measured
    return sum(units) if units else last(findings.series("validation_kl")) or last(findings.series("kl"))


def _used(findings: Findings) -> str:
    units = findings.active
    used = sum(units)
    if not units:
        return ""
    of = count(len(units), findings.noun)
    return f"{used if used else 'None'} of {of} {'is' if used == 1 else 'are'} active. "


def _causes(findings: Findings) -> str:
    """The likeliest cause that data and settings show, as a sentence."""
    if findings.alike:
        return " All rows are equal: there is nothing that a code could tell."
    beta = number(findings.objective, "beta")
    if beta is not None and beta > 1 and _weighs_kl(findings):
        return f" The likeliest cause is β = {show(beta)}: each nat of code costs {show(beta)} nats of loss."
    strong = _strong(findings)
    if strong:
        return f" The likeliest cause is a decoder ({strong}) strong enough to do without the code."
    if number(findings.objective, "free_bits"):
        return " The KL that is there lies within the free bits, which cost nothing and tell nothing."
    elbo, chance = findings.metric("elbo"), findings.chance
    if elbo is not None and chance is not None and elbo < chance.nats + margin(findings):
        return (
            f" The ELBO, {show(elbo)} nats, is no better than {chance.words}, which give {show(chance.nats)}: "
            "the rows may be noise, in which no value tells of another."
        )
    if not _annealed(findings):
        return " The likeliest cause is a KL at full weight from the first step, before the decoder can use the code."
    return ""


def _cures(findings: Findings) -> str:
    """What to try, most promising first, without what is already set."""
    if findings.alike:
        return "Give it rows that differ."
    beta = number(findings.objective, "beta")
    cures = [f"lower β (now {show(beta)})"] if beta is not None and beta > 1 else []
    if not number(findings.objective, "free_bits"):
        cures.append("add free bits (0.1 to 0.5 nats per unit)")
    if not _annealed(findings):
        cures.append("raise β from 0 to its value over the first tenth of training")
    cures.append("use a weaker decoder" if _strong(findings) else "let β find its own value (beta: auto)")
    words = joined(cures)
    return words[0].upper() + words[1:] + "."


def _fuller(findings: Findings, used: int) -> str:
    """What brings more units into use and is not set yet; on binary digits each gained nats where most had been idle."""
    ways = [] if _annealed(findings) else ["let the KL's weight grow over the first third of training (anneal: linear)"]
    ways += ["take a Mixture prior"] if kind(findings.spec, "prior") == "Standard" else []
    size = f"a latent size near {_round_size(used)} would do"
    return (
        f"If more came into use the bound might rise: {joined(ways)}; else {size}." if ways else f"{size.capitalize()}."
    )


def _strong(findings: Findings) -> str:
    names = [str(value) for key, value in settings(findings.spec) if key == "type"]
    return next((name for name in names if any(word in name.lower() for word in STRONG)), "")


def _annealed(findings: Findings) -> bool:
    """Whether the KL's weight grows: by an `anneal` that is on, or, where there is none, by a warm-up."""
    found = dict(settings(findings.objective))
    if "anneal" in found:
        return found["anneal"] not in (None, False, 0, "", "none")
    return any(bool(value) for key, value in found.items() if "anneal" in key or "warm" in key)


def _round_size(used: int) -> int:
    """A latent size with some room above the units in use: a multiple of 4."""
    return max(2, -(-round(used * 1.25) // 4) * 4)
