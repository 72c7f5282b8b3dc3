"""Cures: what to do, and the flags of `lambent train` that do it, laid on those that a run had."""

from typing import NamedTuple

from lambent.tasks.diagnosis.evidence import Evidence
from lambent.tasks.diagnosis.states import USUAL_RATE


class Cure(NamedTuple):
    """What to do, in words, and the flags of `lambent train` that do it; () where no flag can."""

    words: str
    flags: tuple[str, ...] = ()


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
    flags = (*elbo(e, free_bits=0), "--latent.size", str(max(1, -(-e.living // e.members))))
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
    return Cure(
        "give each level free nats and let the KL's weight grow", elbo(e, free_group=1, anneal="linear", warmup=0.5)
    )


def informed(e: Evidence) -> Cure:
    return Cure(
        "begin as an autoencoder, so that the decoder reads the code before it costs, and keep some of it free",
        elbo(e, pretrain=0.3, floor=4),
    )


def book(e: Evidence) -> Cure:
    return Cure("take the Finite quantizer, which has no entries to lose", ("--latent.quantizer", "Finite"))


def usual_rate(e: Evidence) -> Cure:
    return Cure("take a usual learning rate", ("--learning-rate", f"{USUAL_RATE:g}"))


def learned_scale(e: Evidence) -> Cure:
    return Cure("let the scale be learned", ("--likelihood.scale", "one"))


def fair_price(e: Evidence) -> Cure:
    return Cure("pay for the code what it costs", elbo(e, beta=1))


def early(e: Evidence) -> Cure:
    return Cure("end the warm-up early", elbo(e, warmup=0.2))


def no_capacity(e: Evidence) -> Cure:
    return Cure("leave the capacity out, and weigh the KL by 1", elbo(e, capacity="none", beta=1))


def less_free(e: Evidence) -> Cure:
    given = {name: 0 for name in ("free_bits", "free_group", "floor") if e.setting(name, 0.0)}
    return Cure("give away no nats", elbo(e, **given))


def floored(e: Evidence) -> Cure:
    return Cure("leave each unit a floor", elbo(e, free_bits=0.1))


def other_rows(e: Evidence) -> Cure:
    return Cure("give it rows that differ")


def nothing(e: Evidence) -> Cure:
    return Cure("none: noise has no code, and a VAE of it should collapse")


def blurred(e: Evidence) -> Cure:
    words = "if the data hold no noise that is fine; else look for rows twice, or raise the likelihood's floor"
    return Cure(words, ("--likelihood.floor", "0.05"))


def new_prior(e: Evidence) -> Cure:
    """Fewer components: so many as hold codes, where some hold none."""
    if e.components is None or not e.components.idle:
        return Cure("fit the prior alone anew (lambent refine RUN --prior Mixture)")
    held = max(1, len(e.components.shares) - e.components.idle)
    words = "as many components as hold codes; or fit the prior alone anew (lambent refine RUN --prior Mixture)"
    return Cure(words, ("--latent.prior", "Mixture", "--latent.prior.components", str(held)))


def richer_prior(e: Evidence) -> Cure:
    richer = "Mixture" if e.components is None else "Flow"  # of a model that has a mixture already
    return Cure(f"fit a richer prior afterwards (lambent refine RUN --prior {richer})", ("--latent.prior", richer))


def finer(e: Evidence) -> Cure:
    return Cure("take a richer posterior, or a wider encoder", ("--latent.posterior", "Full"))
