"""Every rule on a contest: one history that it speaks about, one that it leaves alone; and contests that truly go wrong."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.posteriors import Absent
from lambent.objectives import Aae, Adversarial, Elbo, Factor, Gan, Invariant, VaeGan, Wae
from lambent.report import Findings, verdict
from lambent.training.fitting import fit
from lambent.training.rivalry import RULES, Watch, remarks

GAN = Gan().spec()
HEALTHY: dict[str, list[float | None]] = {
    "loss": [0.8, 0.76, 0.74, 0.73, 0.72, 0.72, 0.72, 0.72],
    "rival_accuracy": [0.85, 0.78, 0.72, 0.68, 0.66, 0.66, 0.65, 0.66],
    "rival_loss": [0.60, 0.64, 0.66, 0.67, 0.67, 0.67, 0.67, 0.67],
    "spread": [0.4, 0.7, 0.9, 0.97, 1.0, 1.02, 0.99, 1.0],
    "gradient": [0.2, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "rival_gradient": [0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4],
}


def history(**columns: list[float | None]) -> dict[str, list[float | None]]:
    return HEALTHY | columns


def level(*values: float | None) -> list[float | None]:
    """A column of eight epochs that ends with these."""
    return [values[0]] * (8 - len(values)) + list(values)


@pytest.mark.parametrize("objective", [Gan(), VaeGan(), Adversarial(), Factor()])
def test_a_healthy_contest_is_left_alone(objective: Any) -> None:
    assert remarks(HEALTHY, objective.spec()) == []


def test_nothing_is_said_without_a_rival() -> None:
    assert remarks({"loss": [1.0] * 9, "elbo": [-1.0] * 9, "kl": [None] * 9}, Elbo().spec()) == []
    assert remarks({}, GAN) == []


CASES: dict[str, tuple[dict[str, list[float | None]], dict[str, Any], str]] = {
    "The rival has won": ({"rival_accuracy": level(0.985)}, GAN, "--objective.r1 10, now 1; or --objective.pace 0.25, now 1"),
    "The rival has lost": ({"rival_accuracy": level(0.08)}, GAN, "--objective.pace 4, now 1"),
    "The rival sees nothing": (
        {"spread": level(0.4), "rival_loss": level(math.log(2)), "rival_accuracy": level(0.52)},
        Gan(r1=100.0).spec(), "--objective.r1 10, now 100",
    ),
    "Mode collapse": ({"spread": level(0.9, 0.4, 0.22, 0.2, 0.21)}, GAN, "--objective.r1 10, now 1"),
    "The model has left the data": ({"spread": level(8.3)}, GAN, "--objective.pace 4, now 1; or lower the learning rate"),
    "The contest swings": ({"spread": [1.0] * 6 + [0.6, 1.4, 0.7, 1.5, 0.6, 1.4]}, GAN, "--objective.r1 10, now 1"),
    "The contest diverges": ({"rival_gradient": level(0.4, 0.5, 300.0, 500.0, 900.0)}, GAN, "clip gradients"),
    "Both stand still": ({"loss": level(0.7, None, None)}, GAN, "--spike 0"),
}  # fmt: skip


@pytest.mark.parametrize("title", CASES)
def test_each_fault_is_named_alone_with_its_cure(title: str) -> None:
    columns, objective, cure = CASES[title]
    found = remarks(history(**columns), objective)
    assert [remark.title for remark in found] == [title]
    assert found[0].level == "problem"
    assert cure in found[0].advice


def test_every_rule_is_tried() -> None:
    assert len(RULES) == len(CASES) + 1  # that codes match the prior is no fault: below


@pytest.mark.parametrize("rising", [[0.1, 0.2, 0.3, 0.35, 0.4, 0.45], [0.05, 0.1, 0.2, 0.3]])
def test_rows_that_spread_out_have_not_collapsed(rising: list[float | None]) -> None:
    assert remarks(history(spread=rising), GAN) == []


def test_two_epochs_say_nothing() -> None:
    assert remarks(history(rival_accuracy=[1.0, 1.0], spread=[0.1, 0.1]), GAN) == []


def test_epochs_before_the_rival_began_say_nothing() -> None:
    gaps: list[float | None] = [None] * 6
    assert remarks({"rival_accuracy": [*gaps, 0.99, 0.99], "loss": [3.0] * 8}, VaeGan().spec()) == []
    found = remarks({"rival_accuracy": [*gaps, 0.99, 0.99, 0.99], "loss": [3.0] * 9}, VaeGan().spec())
    assert [remark.title for remark in found] == ["The rival has won"]


def test_cures_name_the_flag_where_the_field_is() -> None:
    inner = Adversarial(of=Factor()).spec()
    nested = {"type": "Invariant", "of": inner}
    found = remarks(history(rival_accuracy=level(0.05)), nested)[0]
    assert "--objective.of.pace 4, now 1" in found.advice


def test_a_rival_around_another_is_not_taken_for_it() -> None:
    """Invariant has a rival, an r1 and a weight, too; the history is that of the one within."""
    assert remarks(HEALTHY, Invariant(of=VaeGan()).spec()) == []
    calmer = remarks(history(spread=level(0.2)), Invariant(of=VaeGan()).spec())[0].advice
    assert "--objective.of.r1 10, now 1" in calmer
    heavier = remarks({"rival_accuracy": [0.99] * 4}, Invariant(of=Aae(weight=2.0)).spec())[0].advice
    assert "--objective.of.weight 8, now 2" in heavier
    assert [r.title for r in remarks({"rival_accuracy": [0.52] * 4}, Invariant(of=Aae()).spec())] == [
        "The codes match the prior"
    ]


def test_cures_of_what_is_set_already_are_left_out() -> None:
    """No cure repeats what stands: without penalties they are begun with, and a relativistic loss is not advised again."""
    calm = remarks(history(spread=level(0.2)), Gan(loss="non-saturating", r1=0.0, r2=0.0).spec())[0].advice
    assert "--objective.r1 1, now 0" in calm
    assert "--objective.loss relativistic" in calm
    assert "relativistic" not in remarks(history(spread=level(0.2)), GAN)[0].advice


@pytest.mark.parametrize(
    ("objective", "cure"),
    [
        (Aae(weight=2.0), "(--objective.weight 8, now 2)"),
        (Wae(by="rival"), "(--objective.weight 40, now 10)"),
        (Factor(gamma=5.0), "(--objective.gamma 20, now 5)"),
    ],
)
def test_of_a_rival_of_codes_that_has_won_the_model_pays_more(objective: Any, cure: str) -> None:
    found = remarks({"rival_accuracy": [0.99] * 4}, objective.spec())
    assert [remark.title for remark in found] == ["The rival has won"]
    assert cure in found[0].advice


@pytest.mark.parametrize("objective", [Aae(), Wae(by="rival")])
def test_whether_codes_match_the_prior_is_said(objective: Any) -> None:
    for accuracy, title, level_ in (
        (0.52, "The codes match the prior", "good"),
        (0.8, "The codes do not match the prior", "notice"),
    ):
        found = remarks({"rival_accuracy": [accuracy] * 4}, objective.spec())
        assert [(remark.title, remark.level) for remark in found] == [(title, level_)]
    assert remarks({"rival_accuracy": [0.68] * 4}, objective.spec()) == []
    assert remarks({"rival_accuracy": [0.52] * 4}, Factor().spec()) == []


def test_the_report_says_the_same_as_the_training() -> None:
    columns, objective, _ = CASES["Mode collapse"]
    found = verdict(Findings("a run", history=history(**columns), objective=objective))
    said = remarks(history(**columns), objective)[0]
    assert (said.title, said.text, said.advice) in [(remark.title, remark.text, remark.advice) for remark in found]
    assert not [r for r in verdict(Findings("a run", history=HEALTHY, objective=GAN)) if r.level == "problem"]


# ---- contests that truly go wrong --------------------------------------------------------------------------------


def rows(n: int = 1000) -> Tensor:
    """Eight groups on a ring."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    return 2 * torch.stack((angles.cos(), angles.sin()), 1) + 0.05 * torch.randn(n, 2, generator=generator)


def contested(objective: Any, size: int = 2, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    posterior = {} if objective.encodes else {"posterior": Absent()}
    model = LatentModel(Flat(size, **posterior), Gaussian(), Mlp(32, 2))
    said: list[str] = []
    given = {"epochs": 8, "batch": 50, "device": "cpu", "precision": "fp32", "average": 0.0} | settings
    return fit(model, objective, rows(), callbacks=[Watch(said.append)], **given), said


def test_a_rival_that_stands_nearly_still_is_noticed_once() -> None:
    """A rival of a thousandth of the pace: the model runs ahead of it and leaves the data."""
    history, said = contested(Gan(pace=0.001))
    assert any("The rival has lost" in line or "left the data" in line or "swings" in line for line in said), history
    assert len(said) == len({line.partition(": ")[2][:30] for line in said})
    assert all("--objective.pace 0.004, now 0.001" in line for line in said)


def test_a_rival_held_down_by_its_penalty_is_noticed() -> None:
    history, said = contested(Gan(r1=1e5, r2=1e5))
    assert said, history
    assert "--objective.r1 10000, now 100000" in said[0]


def test_a_rival_of_codes_that_the_encoder_cannot_fool_is_noticed() -> None:
    """Eight units for rows on a ring, which take up no volume there, with hardly any weight on the rival."""
    history, said = contested(Aae(weight=1e-3, pace=3.0), size=8, learning_rate=3e-3, epochs=12)
    assert any("The rival has won" in line for line in said), history


def test_a_contest_that_goes_well_is_left_alone() -> None:
    history, said = contested(Gan())
    assert said == [], history
    assert 0.75 < history["spread"][-1] < 1.25


def test_no_rival_no_word() -> None:
    assert contested(Elbo(), epochs=2)[1] == []


def test_the_rival_of_rows_is_set_where_it_stands_though_what_is_around_it_has_a_field_of_that_name() -> None:
    around = Invariant(r1=0.1, of=VaeGan(r1=1.0)).spec()
    advice = remarks(history(rival_accuracy=level(0.985)), around)[0].advice
    assert "--objective.of.r1 10, now 1; or --objective.of.pace 0.25, now 1" in advice
    inside = Adversarial(r1=1.0, of=Invariant(r1=0.1)).spec()
    assert "--objective.r1 10, now 1;" in remarks(history(rival_accuracy=level(0.985)), inside)[0].advice
