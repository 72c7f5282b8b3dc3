"""Every rule of the verdict: one run that it speaks about, and one that it leaves alone."""

import math
from typing import Any

import pytest

from lambent.report import Findings, Remark, summary, verdict
from lambent.report.run.curves import curves
from lambent.report.run.learning_rules import chance_gap, over_fitting
from lambent.tasks.evaluate import UnitUsage

Column = list[float | None]


def curve(*values: float | None) -> dict[str, Column]:
    return {"elbo": list(values)}


def run(train: Column | None = None, held: Column | None = None, **parts: Any) -> Findings:
    """A run of forty epochs that rises and levels off, unless said otherwise."""
    calm: Column = [-100 - 60 * math.exp(-i / 4) for i in range(40)]
    history = {"elbo": train or calm, "validation_elbo": held or [v - 1 for v in calm if v is not None]}
    parts = {"spec": {"type": "LatentModel", "posterior": {"type": "Diagonal"}}} | parts
    return Findings("a run", history=history, **parts)


def titled(findings: Findings, part: str) -> Remark | None:
    return next((r for r in verdict(findings) if part.lower() in r.title.lower()), None)


def level(*nats: float, active: list[bool] | None = None, measure: str | None = "kl") -> UnitUsage:
    """A level whose units are active above 0.01 nats, unless said otherwise; without a measure the numbers are movements."""
    used = [v > 0.01 for v in nats] if active is None else active
    return UnitUsage(measure, None if measure is None else list(nats), list(nats), used)


def units(*nats: float) -> dict[str, Any]:
    return {"levels": [level(*nats)], "metrics": {"kl": {"value": sum(nats)}}}


def test_nothing_known_says_nothing() -> None:
    assert verdict(Findings("bare")) == []
    assert "too little" in summary([])


def test_a_healthy_run_has_no_problem() -> None:
    remarks = verdict(run(**units(1.0, 0.9, 0.001)))
    assert {r.level for r in remarks} == {"good"}
    assert {r.title for r in remarks} == {"Not over-fitted", "Not collapsed", "Trained to the end"}
    assert summary(remarks) == "Not over-fitted; not collapsed."


def test_problems_come_first() -> None:
    order = [r.level for r in verdict(run(held=[-100.0, -101.0], **units(0.001)))]
    assert order == sorted(order, key=["problem", "notice", "good"].index)


def test_collapse_by_no_active_unit() -> None:
    remark = titled(run(**units(0.001, 0.002)), "collapsed")
    assert remark is not None
    assert remark.level == "problem"
    assert "None of 2 units are active" in remark.text
    assert "free bits" in remark.advice


def test_collapse_by_total_kl_without_units() -> None:
    remark = titled(run(metrics={"kl": {"value": 0.01}}), "collapsed")
    assert remark is not None
    assert remark.level == "problem"


@pytest.mark.parametrize(
    ("objective", "spec", "cause", "cure"),
    [
        ({"type": "Elbo", "beta": 8.0}, {}, "β = 8", "Lower β (now 8)"),
        ({"type": "Elbo", "beta": 1.0}, {"likelihood": {"type": "Autoregressive"}}, "Autoregressive", "weaker decoder"),
        ({"type": "Elbo", "beta": 1.0}, {}, "first step", "raise β from 0"),
    ],
)
def test_collapse_names_cause_and_cure(objective: dict[str, Any], spec: dict[str, Any], cause: str, cure: str) -> None:
    remark = titled(run(objective=objective, spec=spec, **units(0.0, 0.0)), "collapsed")
    assert remark is not None
    assert cause in remark.text
    assert cure in remark.advice


def test_collapse_does_not_advise_what_is_set() -> None:
    objective = {"type": "Elbo", "beta": 1.0, "free_bits": 0.2, "anneal": "linear", "warmup": 0.2}
    remark = titled(run(objective=objective, **units(0.0)), "collapsed")
    assert remark is not None
    assert "free bits" not in remark.advice
    assert "raise β" not in remark.advice


def test_an_annealing_that_is_off_does_not_count() -> None:
    objective = {"type": "Elbo", "beta": 1.0, "anneal": "none", "warmup": 0.2}
    remark = titled(run(objective=objective, **units(0.0)), "collapsed")
    assert remark is not None
    assert "raise β from 0" in remark.advice


def test_close_to_collapse_and_partly_unused() -> None:
    nearly = titled(run(**units(3.0, *[0.0] * 19)), "close to collapse")
    assert nearly is not None
    assert nearly.level == "problem"
    partly = titled(run(**units(3.0, 2.0, 2.0, *[0.0] * 7)), "most units are unused")
    assert partly is not None
    assert partly.level == "notice"
    assert "3 of 10 units are active" in partly.text


def test_unused_units_are_advised_what_is_not_set() -> None:
    few = units(3.0, 2.0, 2.0, *[0.0] * 7)
    annealed = {"type": "Elbo", "beta": 1.0, "anneal": "linear", "warmup": 0.3}
    plain = titled(
        run(spec={"latent": {"type": "Flat", "prior": {"type": "Standard"}}}, **few), "most units are unused"
    )
    assert plain is not None
    assert "anneal" in plain.advice
    assert "Mixture" in plain.advice
    best = titled(run(objective=annealed, spec={"latent": {"prior": {"type": "Flow"}}}, **few), "most units are unused")
    assert best is not None
    assert best.advice == "A latent size near 4 would do."


def test_activity_given_by_the_run_wins() -> None:
    findings = run(levels=[level(0.5, 0.5, active=[False, False])], metrics={"kl": {"value": 1.0}})
    assert titled(findings, "collapsed") is not None


def test_over_fitting() -> None:
    held: Column = [-101 - 60 * math.exp(-i / 4) - max(0, i - 20) * 0.3 for i in range(40)]
    train: Column = [-100 - 60 * math.exp(-i / 4) + i * 0.05 for i in range(40)]
    remark = titled(run(train, held), "over-fitted from epoch")
    assert remark is not None
    assert remark.level == "problem"
    assert "Stop early" in remark.advice
    assert summary(verdict(run(train, held))) == "Over-fitted from epoch 21 on."


def test_the_best_weights_kept_are_judged_where_they_are_from() -> None:
    """The curves of the case above, of which the model has the weights of epoch 21: it is not over-fitted, and that is said."""
    held: Column = [-101 - 60 * math.exp(-i / 4) - max(0, i - 20) * 0.3 for i in range(40)]
    train: Column = [-100 - 60 * math.exp(-i / 4) + i * 0.05 for i in range(40)]
    findings = run(train, held, training={"kept_epoch": 21})
    assert titled(findings, "over-fitted from epoch") is None
    remark = titled(findings, "not over-fitted")
    assert remark is not None
    assert "the weights of epoch 21, best on validation" in remark.text
    assert "Training went on to epoch 40." in remark.text


def test_a_mild_decline_is_a_notice() -> None:
    held: Column = [-101 - 60 * math.exp(-i / 2) - max(0, i - 20) * 0.06 for i in range(40)]
    remark = titled(run([-100.0 + i * 0.1 for i in range(40)], held), "over-fitted from epoch")
    assert remark is not None
    assert remark.level == "notice"


def test_a_decline_of_both_curves_is_not_over_fitting() -> None:
    falling: Column = [-100.0 - i for i in range(40)]
    assert titled(run(falling, falling), "over-fitted from") is None
    assert titled(run(falling, falling), "trained to the end") is None


def test_noise_is_not_over_fitting() -> None:
    held: Column = [-101 - 60 * math.exp(-i / 4) + (1.5 if i % 2 else -1.5) for i in range(40)]
    assert titled(run(held=held), "over-fitted from") is None


def test_gap_between_training_and_validation() -> None:
    calm = [-100 - 60 * math.exp(-i / 4) for i in range(40)]
    remark = titled(run(held=[v - 10 for v in calm]), "gap between")
    assert remark is not None
    assert "10 nats above" in remark.text
    assert titled(run(held=[v - 2 for v in calm]), "gap between") is None
    assert titled(run(held=[v + 10 for v in calm]), "gap between") is None


def test_no_validation() -> None:
    assert titled(Findings("x", history=curve(*[1.0 * i for i in range(9)])), "not checked") is not None
    assert titled(run(), "not checked") is None


def test_under_training() -> None:
    rising: Column = [-200.0 + 2 * i for i in range(40)]
    remark = titled(run(rising, rising), "not finished")
    assert remark is not None
    assert "twice as many epochs" in remark.advice
    assert titled(run(), "not finished") is None


def test_short_run() -> None:
    assert titled(run([-3.0, -2.0], [-3.0, -2.0]), "very short") is not None
    assert titled(run([-3.0], [-3.0]), "very short") is not None
    assert titled(run(), "very short") is None


def test_a_short_run_of_a_gan_has_no_curve_to_judge() -> None:
    for epochs, said in ((3, True), (8, False)):
        history: dict[str, Column] = {"loss": [1.0] * epochs, "rival_loss": [0.7] * epochs}
        gan = Findings("a run", history=history, objective={"type": "Gan"})
        assert (titled(gan, "very short") is not None) == said


def test_a_loss_with_a_rival_in_it_does_not_say_whether_a_model_learned() -> None:
    """The rival's part rises as the rival learns, and the KL is not asked for: what rows cost is what counts."""
    history: dict[str, Column] = {
        "elbo": [-21.7, -22.8, -22.4],
        "reconstruction": [21.3, 21.2, 21.1],
        "loss": [28.4, 30.2, 29.6],
        "rival_loss": [0.69, 0.66, 0.68],
    }
    aae = Findings("a run", history=history, objective={"type": "Aae"})
    assert titled(aae, "not trained") is None
    worse = history | {"reconstruction": [21.3, 21.8, 21.6]}
    assert titled(Findings("a run", history=worse, objective={"type": "Aae"}), "not trained") is not None


def test_instability() -> None:
    values: Column = [-100.0] * 10
    values[4] = math.nan
    remark = titled(Findings("x", history={"loss": values}), "unstable")
    assert remark is not None
    assert remark.level == "problem"
    values[4] = None
    assert titled(Findings("x", history={"loss": values}), "unstable") is None


def test_skipped_steps() -> None:
    few = titled(run(training={"skipped_spikes": 2, "steps": 10000}), "skipped")
    assert few is not None
    assert few.level == "notice"
    history: dict[str, Column] = {"loss": [1.0, 1.0], "skipped": [0.0, 3.0], "step": [50.0, 100.0]}
    counted = titled(Findings("x", history=history), "skipped")
    assert counted is not None
    assert "3 of 100 steps" in counted.text
    assert "2 of 10,000 steps" in few.text
    many = titled(run(training={"skipped_spikes": 900, "steps": 10000}), "skipped")
    assert many is not None
    assert many.level == "problem"
    assert titled(run(training={"skipped_spikes": 0}), "skipped") is None


def test_empty_level_of_a_ladder() -> None:
    assert titled(run(levels=[level(1.0, 1.0), level(0.0, 0.0)]), "ladder") is not None
    assert titled(run(levels=[level(1.0, 1.0), level(0.5)]), "ladder") is None
    assert titled(run(levels=[level(1.0, 1.0), level()]), "ladder") is None


def test_too_small() -> None:
    remark = titled(run(**units(2.0, 1.8, 1.9)), "too small")
    assert remark is not None
    assert "size of 6" in remark.advice
    assert titled(run(**units(2.0, 1.8, 0.001)), "too small") is None
    assert titled(run(**units(0.2, 0.1)), "too small") is None
    mixture = {"latent": {"prior": {"type": "Mixture", "covariance": "diagonal"}}}
    assert titled(run(**units(2.0, 1.8, 1.9), spec=mixture), "too small") is not None
    of_directions = run(levels=[level(2.0, 1.8, 1.9, measure="direction")], metrics={"kl": {"value": 5.7}})
    assert titled(of_directions, "too small") is None  # the code may be turned: no direction of it is ever idle


@pytest.mark.parametrize("measure", ["matched", None])
def test_without_a_kl_of_each_unit_no_rule_speaks_of_it(measure: str | None) -> None:
    full = [level(2.0, 1.8, 1.9, measure=measure)]
    assert titled(run(levels=full), "too small") is None
    unknown = titled(run(levels=full), "not collapsed")
    assert unknown is not None
    assert "is not known" in unknown.text  # not 5.7: these are no parts of the KL
    known = titled(run(levels=full, metrics={"kl": {"value": 0.17}}), "not collapsed")
    assert known is not None
    assert "0.17 nats" in known.text
    assert "3 of 3 units are active" in known.text


def test_one_level_without_a_kl_of_each_unit_takes_the_sum_from_all() -> None:
    both = run(levels=[level(2.0, 1.8, measure="matched"), level(1.9, 1.7)])
    assert titled(both, "too small") is None
    assert both.kl_of_units == []
    assert both.active == [True] * 4


def test_loose_bound() -> None:
    def gap(bound: float, posterior: str = "Diagonal", error: float = 0.1) -> Remark | None:
        metrics: Any = {"elbo": {"value": -100.0, "standard_error": error}, "bound": {"value": bound}}
        return titled(run(metrics=metrics, spec={"posterior": {"type": posterior}}), "posterior is too simple")

    remark = gap(-95.0)
    assert remark is not None
    assert "5 nats" in remark.text
    assert "Flow posterior" in remark.advice
    flow = gap(-95.0, "Flow")
    assert flow is not None
    assert "wider encoder" in flow.advice
    assert gap(-99.5) is None
    assert gap(-95.0, error=4.0) is None


def test_prior_gap() -> None:
    def gap(nats: float) -> Remark | None:
        metrics: Any = {"kl": {"value": 10.0}, "prior_gap": {"value": nats}}
        return titled(run(metrics=metrics, spec={"prior": {"type": "Vamp"}}), "prior does not fit")

    remark = gap(3.0)
    assert remark is not None
    assert "Mixture or Flow" in remark.advice
    assert gap(0.5) is None


def test_weighted_objective() -> None:
    assert titled(run(objective={"type": "Elbo", "beta": 4}), "not trained for the elbo") is not None
    assert titled(run(objective={"type": "Elbo", "beta": 1}), "not trained for the elbo") is None


def test_autoencoder_and_gan_are_explained() -> None:
    point = {"latent": {"type": "Flat", "posterior": {"type": "Point"}}}
    loss: Column = [100 + 60 * math.exp(-i / 4) for i in range(40)]
    history: dict[str, Column] = {"loss": loss, "validation_loss": [v + i for i, v in enumerate(loss) if v is not None]}
    remarks = verdict(Findings("x", spec=point, levels=[level(0.0, measure=None)], history=history))
    assert [r.title.split(" from ")[0] for r in remarks] == ["Over-fitted", "This is an autoencoder"]
    assert "score (minus the loss)" in remarks[0].text
    assert titled(run(spec=point), "autoencoder") is not None
    assert titled(run(), "autoencoder") is None
    absent = {"latent": {"type": "Flat", "posterior": {"type": "Absent"}}}
    gan = Findings("x", spec=absent, objective={"type": "Gan"}, history={"loss": loss})
    assert [r.title for r in verdict(gan)] == ["There is no ELBO here"]


def test_a_model_with_an_encoder_and_a_rival_has_its_bound_read() -> None:
    """Its history holds a plain ELBO, whatever the objective is called."""
    assert titled(run(objective={"type": "VaeGan"}), "no elbo") is None
    assert curves(run(objective={"type": "VaeGan"})).name == "ELBO"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "nonsense", [], {}])
def test_strange_values_never_crash(value: Any) -> None:
    findings = run(
        [value] * 12,
        [value] * 12,
        metrics={k: {"value": value, "standard_error": value} for k in ("elbo", "bound", "kl", "prior_gap")},
        training={"skipped_spikes": value, "steps": value},
        objective={"beta": value, "free_bits": value},
        levels=[level(value, active=[False]), level()],
    )
    assert isinstance(summary(verdict(findings)), str)


@pytest.mark.parametrize(("held", "told"), [(10, False), (1000, True)])
def test_a_gap_within_the_noise_of_few_rows_is_none(held: int, told: bool) -> None:
    """Test rows spread by 0.66 · √11 = 2.2 nats: ten lie 1.4 nats apart by chance, twice; a thousand, 0.14."""
    findings = Findings(
        "few",
        data={"part": {"fraction": 0.1, "of": 10 * held}, "tested_on": 11},
        history={"elbo": [-3.5, -3.4, -3.4, -3.4, -3.4, -3.4], "validation_elbo": [-3.9] * 6},
        metrics={"elbo": {"value": -4.3, "standard_error": 0.66}, "kl": {"value": 8.0}},
    )
    assert chance_gap(findings) == pytest.approx(2 * 0.66 * (11 / held) ** 0.5)
    remark = over_fitting(findings)
    assert remark is not None
    assert ("A gap" in remark.title) is told
