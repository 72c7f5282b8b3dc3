"""Runs gone wrong in known ways, and what the verdict says of each; and healthy ones, of which it says nothing bad.

Where a training can go wrong within a second it does so here; the rest are the shapes that real histories had.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from lambent import Elbo, Flat, Gaussian, Ladder, LatentModel, Mixture, Mlp, fit
from lambent.data import load
from lambent.data.loading import encode_like
from lambent.fitted import Fitted
from lambent.metrics.chance import Chance
from lambent.model.likelihoods import Categorical, DiscretizedLogistics, Likelihood
from lambent.model.networks import Conv
from lambent.model.posteriors import Point
from lambent.objectives import Objective
from lambent.report import Findings, Remark, summary, verdict
from lambent.report.run.gather import gather
from lambent.tasks.evaluate import UnitUsage, evaluate
from lambent.training.callbacks import Quiet
from lambent.training.run import Run

Column = list[float | None]


class Kept(Quiet):
    epoch: int | None = None

    def on_end(self, run: Run) -> None:
        self.epoch = None if run.kept is None else run.best_epoch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def factors(rows: int, columns: int = 8, of: int = 2, noise: float = 0.3, seed: int = 0) -> Tensor:
    """Columns that are linear in a few factors, and some noise."""
    loads = torch.randn(of, columns, generator=generator(99))
    return torch.randn(rows, of, generator=generator(seed)) @ loads + noise * torch.randn(
        rows, columns, generator=generator(seed + 1)
    )


def trained(
    x: Tensor,
    valid: Tensor | None = None,
    test: Tensor | None = None,
    *,
    latent: Any = None,
    likelihood: Likelihood | None = None,
    network: Any = None,
    objective: Objective | None = None,
    **settings: Any,
) -> Findings:
    """What a report would hold of this training: rows, validation and test rows in thirds of 3 : 1 : 1 unless given."""
    settings = {"epochs": 40, "batch": 64, "patience": 0, "learning_rate": 3e-3, "precision": "fp32"} | settings
    if valid is None:
        x, valid, rest = x.split([len(x) * 3 // 5, len(x) // 5, len(x) - len(x) * 3 // 5 - len(x) // 5])
        test = rest if test is None else test
    encoded = load(x.numpy())
    held, tested = (encode_like(encoded.modality, rows.numpy()) for rows in (valid, valid if test is None else test))
    model = LatentModel(latent or Flat(4), likelihood or Gaussian(), network or Mlp(32, 1))
    chosen, kept = objective or Elbo(), Kept()
    history = fit(model, chosen, encoded, validation=held, callbacks=[kept], **settings)
    provenance = {
        "history": history,
        "objective": chosen.spec(),
        "fit": settings,
        "steps": history["step"][-1],
        "skipped": history["skipped"][-1],
        "kept_epoch": kept.epoch,
    }
    fitted = Fitted(model, encoded.modality, provenance)
    return gather(fitted, tested, evaluate(fitted, tested, 10))


def shaped(train: Column, held: Column | None = None, **parts: Any) -> Findings:
    """A run with these curves and two good units, unless said otherwise."""
    size = len(train)
    history: dict[str, Column] = {"epoch": [float(i + 1) for i in range(size)], "elbo": train}
    history["loss"] = [None if v is None else -v for v in train]
    history["step"] = [float(10 * (i + 1)) for i in range(size)]
    if held is not None:
        history["validation_elbo"] = held
    given: dict[str, Any] = {
        "history": history,
        "training": {"epochs": size, "learning_rate": 1e-3},
        "levels": [UnitUsage("kl", [2.0, 1.5, 0.001], [1.0, 1.0, 0.0], [True, True, False])],
        "metrics": {"kl": {"value": 3.5}, "elbo": {"value": -101.0, "standard_error": 0.3}},
        "objective": {"type": "Elbo", "beta": 1.0},
    } | parts
    return Findings("shaped", **given)


def rise(epochs: int = 40, top: float = -100.0, pace: float = 4.0) -> Column:
    return [top - 60 * math.exp(-i / pace) for i in range(epochs)]


def lower(column: Column, by: float) -> Column:
    return [None if v is None else v - by for v in column]


def pictures(rows: int, seed: int = 0) -> Tensor:
    """A bright disc on a dark ground: where it is, how large and how bright it is are the factors; 8 × 8, bytes."""
    place = torch.rand(rows, 4, generator=generator(seed))
    line = torch.arange(8.0)
    far = (line - 8 * place[:, :1]).square().unsqueeze(1) + (line - 8 * place[:, 1:2]).square().unsqueeze(2)
    bright = (80 + 150 * place[:, 2])[:, None, None] * torch.exp(-far / (2 + 6 * place[:, 3])[:, None, None])
    noisy = bright + 12 + 4 * torch.randn(rows, 8, 8, generator=generator(seed + 1))
    return noisy.clamp(0, 255).to(torch.uint8).unsqueeze(1)


# ---- the runs ----------------------------------------------------------------------------------------------------


def steps_skipped() -> Findings:
    return shaped(rise(), lower(rise(), 1), training={"skipped_spikes": 60, "steps": 400})


def dead_level() -> Findings:
    levels = [
        UnitUsage("kl", [0.0, 0.0], [0.0, 0.0], [False, False]),
        UnitUsage("kl", [2.0, 1.5], [1.0, 1.0], [True, True]),
    ]
    return shaped(rise(), lower(rise(), 1), levels=levels)


def ended_in_nan() -> Findings:
    broken: Column = [*rise(20), *[math.nan] * 3]
    return shaped(broken, [*lower(rise(20), 1), *[math.nan] * 3], metrics={})


def strong_decoder() -> Findings:
    idle = [UnitUsage("kl", [0.001, 0.0], [0.0, 0.0], [False, False])]
    spec = {"type": "LatentModel", "likelihood": {"type": "Autoregressive"}}
    return shaped(rise(), lower(rise(), 1), levels=idle, metrics={"kl": {"value": 0.001}}, spec=spec)


def stale_average() -> Findings:
    """Four steps an epoch, and an average that moves every sixteen."""
    train: Column = [-20 + 0.3 * i for i in range(40)]
    held: Column = [-20 + 0.3 * (i // 4 * 4) - 3 for i in range(40)]
    return shaped(train, held)


def validation_on_other_rows() -> Findings:
    x = factors(400)
    return trained(x, factors(80, seed=7) + 3.0)


def too_many_bits() -> Findings:
    return trained(
        pictures(200), likelihood=DiscretizedLogistics(), network=Conv(), epochs=8, learning_rate=3.0, spike=0
    )


def a_few_bits_too_many() -> Findings:
    """8.05 bits per dimension, which a margin of a hundredth would let pass."""
    nats = -784 * 8.05 * math.log(2)
    metrics = {"elbo": {"value": nats, "standard_error": 20.0}, "bits_per_dim": {"value": 8.05}, "kl": {"value": 30.0}}
    found = shaped(rise(top=nats), lower(rise(top=nats), 1), metrics=metrics)
    return replace(found, chance=Chance(-784 * math.log(256), "256 values, all as likely", 256))


def fell_apart() -> Findings:
    train: Column = [-100 - 30 * i for i in range(12)]
    return shaped(
        train, lower(train, 1), training={"epochs": 12, "learning_rate": 0.005}, metrics={"kl": {"value": 3.0}}
    )


class Case(NamedTuple):
    """A run, the remark that must be made of it (its title, words of it), and what must not be said."""

    make: Callable[[], Findings]
    title: str
    words: tuple[str, ...]
    never: tuple[str, ...] = ()


WIDE = {"latent": Flat(16), "network": Mlp(256, 2)}
JUDGED = (
    "collapsed",
    "over-fitted",
    "trained to the end",
    "too small",
)  # what nobody can say of a model that did not learn

CASES = {
    "learning rate 10": Case(
        lambda: trained(factors(400), learning_rate=10.0), "Not trained", ("rate of 10 is too high", "0.001"), JUDGED
    ),
    "learning rate 1e-7": Case(
        lambda: trained(factors(400), learning_rate=1e-7), "Not trained", ("too low", "--learning-rate 0.001"), JUDGED
    ),
    "scale fixed far too small": Case(
        lambda: trained(factors(400), likelihood=Gaussian("fixed", 1e-3)),
        "Not trained", ("scale of the likelihood is fixed at 0.001", "--likelihood.scale"), JUDGED,
    ),
    "fell apart at a common rate": Case(fell_apart, "Not trained", ("below that of the first epoch", "rate"), JUDGED),
    "loss is no number in the end": Case(ended_in_nan, "Not trained", ("no finite number from epoch 21 on",), JUDGED),
    "more than 8 bits a pixel": Case(too_many_bits, "Not trained", ("bits per dimension", "8 bits", "rate"), JUDGED),
    "8.05 bits a pixel": Case(a_few_bits_too_many, "Not trained", ("8.05 bits per dimension",), JUDGED),
    "over-fitted wide table": Case(
        lambda: trained(factors(300, 400, 12), **WIDE, epochs=100, learning_rate=1e-3),
        "Over-fitted from epoch", ("--patience 20", "smaller network"), ("too small", "trained to the end"),
    ),
    "wide table, best weights kept": Case(
        lambda: trained(factors(300, 400, 12), **WIDE, epochs=150, learning_rate=1e-3, patience=20),
        "gap between", ("whose weights the model has", "training rows only"), ("too small", "trained to the end"),
    ),
    "validation on other rows": Case(validation_on_other_rows, "gap between", ("another kind", "alike"), ("too small",)),
    "too few epochs": Case(
        lambda: trained(factors(400), epochs=8, learning_rate=1e-3), "Not finished learning", ("--epochs 16",),
        ("trained to the end",),
    ),
    "two epochs": Case(lambda: trained(factors(400), epochs=2), "A very short run", ("2 epochs",), ("to the end",)),
    "patience too small": Case(
        lambda: trained(factors(60, 20, 6), epochs=300, learning_rate=1e-3, patience=1, average=0.0),
        "Stopped too early", ("--patience", "still rose"), ("trained to the end", "until validation"),
    ),
    "stale averages": Case(
        stale_average, "averaged weights are stale", ("--average 0", "last digit"), ("trained to the end",)
    ),
    "training goes on alone": Case(
        lambda: shaped([-100 - 60 * math.exp(-i / 4) + 0.3 * i for i in range(40)], lower(rise(), 1)),
        "went on alone", ("still rose by 2.4 nats", "--patience"), ("trained to the end",),
    ),
    "λ far too large": Case(
        lambda: trained(factors(400), objective=Elbo(beta=50.0)), "Collapsed", ("β = 50", "Lower β"), ("not collapsed",)
    ),
    "pure noise": Case(
        lambda: trained(torch.randn(500, 6, generator=generator(3)), epochs=60), "Collapsed", ("noise", "no better than"),
        ("not collapsed", "not trained"),
    ),
    "decoder too strong": Case(strong_decoder, "Collapsed", ("Autoregressive", "weaker decoder"), ("not collapsed",)),
    "all rows equal": Case(
        lambda: trained(torch.ones(200, 4) * torch.arange(4.0)), "Collapsed", ("All rows are equal",), ("not collapsed",)
    ),
    "posterior deviations to nought": Case(
        lambda: trained(factors(400), objective=Elbo(beta=0.0), epochs=80),
        "costs more than it brings", ("β = 0", "autoencoder"), ("not trained: ",),
    ),
    "free bits and no more": Case(
        lambda: trained(torch.randn(500, 6, generator=generator(3)), objective=Elbo(free_bits=0.5), epochs=60),
        "free bits", ("0.5 nats for each of 4 units",), ("trained to the end?",),
    ),
    "one dead level of a ladder": Case(dead_level, "level of the ladder is unused", ("level 1 carried",)),
    "many steps skipped": Case(steps_skipped, "Steps were skipped", ("60 of 400 steps", "Lower the learning rate")),
    "latent too small": Case(
        lambda: trained(factors(3000, 20, 8), latent=Flat(2)), "may be too small", ("size of 4", "--latent.size"),
        ("switch themselves off", "over-fitted from"),
    ),
    "latent too large": Case(
        lambda: trained(factors(1500, 3, 1), latent=Flat(32)), "Most units are unused", ("of 32 units", "cost"), ("cost little",)
    ),
    "an autoencoder": Case(
        lambda: trained(factors(400), latent=Flat(2, posterior=Point())), "This is an autoencoder", ("no bound",),
        ("collapsed",),
    ),
}  # fmt: skip


def said(remarks: list[Remark]) -> str:
    return "\n".join(f"{r.title}: {r.text} {r.advice}" for r in remarks)


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_says_what_went_wrong(name: str) -> None:
    case = CASES[name]
    remarks = verdict(case.make())
    text = said(remarks)
    found = [r for r in remarks if case.title.lower() in r.title.lower() and r.level != "good"]
    assert found, text
    for word in case.words:
        assert word in f"{found[0].text} {found[0].advice}", text
    for word in case.never:
        titles = [r.title.lower() for r in remarks]
        assert not any(word in title for title in titles), text
        assert word not in summary(remarks).lower() or word == "over-fitted", text


HEALTHY: dict[str, Callable[[], Findings]] = {
    "table": lambda: trained(factors(2000), latent=Flat(2)),
    "table, noisy steps": lambda: trained(factors(1000, noise=0.6), latent=Flat(3), batch=16, epochs=25),
    "a constant column": lambda: trained(
        torch.cat((factors(2000), torch.full((2000, 1), 7.0)), 1), latent=Flat(2), epochs=60
    ),
    "pictures, as the defaults are": lambda: trained(
        pictures(1500), latent=Flat(6, prior=Mixture(5, "full")), likelihood=Gaussian(), network=Conv(channels=(8, 16)),
        epochs=20, batch=32,
    ),
    "few values": lambda: trained(
        (pictures(2500) // 64).clamp(max=3), likelihood=Categorical(4), network=Mlp(64, 1), epochs=40
    ),
    "a ladder": lambda: trained(factors(2000, 8, 4), latent=Ladder((2, 2), width=16), epochs=30),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_raises_no_alarm(name: str) -> None:
    remarks = verdict(HEALTHY[name]())
    assert not [r for r in remarks if r.level == "problem"], said(remarks)
    assert "not collapsed" in summary(remarks).lower(), said(remarks)
    assert "over-fitted from" not in summary(remarks), said(remarks)
