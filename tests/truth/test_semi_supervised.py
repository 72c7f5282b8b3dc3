"""SemiSupervised: its loss by hand, what all labels make of it, and how few labels name two clusters."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lambent
from lambent.data.conditions import Conditions
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel, check
from lambent.model.labelling import log_labels, with_labels
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.trace import mean
from lambent.objectives import Elbo, Invariant, Iwae, Matched, Objective, SemiSupervised
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]
LEVELS = 3


def small_model(context: int = LEVELS) -> LatentModel:
    model = LatentModel(Flat(2), Gaussian(), Mlp(8, 1), context=context)
    return model.setup((4,), torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), 1)


def ready(model: LatentModel, labels: Tensor | None = None, **fields: Any) -> SemiSupervised:
    objective = SemiSupervised(**fields)
    objective.meet(Conditions(), labels)
    objective.setup(model, 0)
    objective.rows, objective.progress = 100, 1.0
    assert model.labelling is not None
    with torch.no_grad():
        model.labelling.answer.weight.normal_(generator=torch.Generator().manual_seed(3))
    return objective


@pytest.fixture
def x() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def labels() -> Tensor:
    """The labels of six rows: known of the second and the fifth alone."""
    return torch.zeros(6, LEVELS).index_put((torch.tensor([1, 4]), torch.tensor([0, 2])), torch.tensor(1.0))


class Quiet(Elbo):
    """−ELBO at the mean of q(z|x), so that it can be computed again by hand."""

    no_paper = "for tests"

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Any:
        loss = super().forward(model, x, generator, context)
        trace = model.trace(x, 1, mean, context)
        loss.rows = trace.kl.reshape(len(x)) - trace.log_px[0]
        return loss


def cost(model: LatentModel, x: Tensor, label: int) -> float:
    """−ELBO(x|y) of one row [1, 4] at the mean of q(z|x, y)."""
    trace = model.trace(x, 1, mean, torch.eye(LEVELS)[[label]])
    return float((trace.kl.reshape(1) - trace.log_px[0]).detach())


@pytest.mark.parametrize("shares", ["labelled", "uniform"])
def test_the_loss_is_the_sum_by_hand(x: Tensor, labels: Tensor, shares: str, seed: Seed) -> None:
    model = small_model()
    objective = ready(model, labels, of=Quiet(), weight=2.5, shares=shares)
    lost = objective(model, x, seed(0), labels).rows
    counts = (labels.sum(0) + 0.5).tolist() if shares == "labelled" else [1.0] * LEVELS
    log_p = [math.log(n / sum(counts)) for n in counts]
    q = log_labels(model, x, labels).exp().tolist()
    for row in range(6):
        own = [cost(model, x[row : row + 1], y) - log_p[y] for y in range(LEVELS)]
        if labels[row].any():
            y = int(labels[row].argmax())
            wanted = own[y] - 2.5 * math.log(q[row][y])
        else:
            wanted = sum(p * (each + math.log(p)) for p, each in zip(q[row], own, strict=True))
        assert float(lost[row].detach()) == pytest.approx(wanted, rel=1e-4)


def test_all_labels_make_it_the_conditional_bound_and_the_cross_entropy(x: Tensor, seed: Seed) -> None:
    model, labels = small_model(), torch.eye(LEVELS).repeat(2, 1)
    objective = ready(model, labels, weight=2.0)
    lost = objective(model, x, seed(0), labels)
    bound = Elbo()
    bound.setup(model)
    plain = bound(model, x, seed(0), labels)
    surprise = -(labels * log_labels(model, x, labels)).sum(1)
    torch.testing.assert_close(lost.rows, plain.rows + math.log(LEVELS) + 2.0 * surprise)
    torch.testing.assert_close(lost.seen["kl"], plain.seen["kl"])


def test_it_is_the_sum_over_labels_where_the_classifier_is_the_posterior(seed: Seed) -> None:
    """At q(y|x) ∝ p(y) exp(−L(x, y)) the loss is −log Σ_y p(y) exp(−L(x, y)), and with any other q more."""
    model = small_model()
    objective = ready(model, of=Quiet())
    x, none = torch.randn(1, 4, generator=seed(1)), torch.zeros(1, LEVELS)
    costs = torch.tensor([cost(model, x, y) for y in range(LEVELS)])
    least = -torch.logsumexp(-costs - math.log(LEVELS), 0)
    assert model.labelling is not None
    with torch.no_grad():
        assert float(objective(model, x, seed(0), none).rows) > float(least)
        model.labelling.answer.weight.zero_()
        model.labelling.answer.bias.copy_(-costs)
        assert float(objective(model, x, seed(0), none).rows) == pytest.approx(float(least), rel=1e-5)


def test_rows_without_a_label_teach_the_classifier(x: Tensor, seed: Seed) -> None:
    model = small_model()
    objective = ready(model)
    objective(model, x, seed(0), torch.zeros(6, LEVELS)).rows.mean().backward()
    assert model.labelling is not None
    for name, parameter in model.labelling.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name
    assert objective.told() == {"label_surprise": None}


def test_other_conditions_stay_as_they_are(x: Tensor, seed: Seed) -> None:
    """A batch beside the label: the label's place is found by its name, and the classifier reads the batch."""
    conditions = Conditions.fit(
        {"batch": np.array(["s", "t"], object), "kind": np.array(["a", "b", None], object)}, gaps=True
    )
    model = small_model(4)
    objective = SemiSupervised(label="kind")
    objective.meet(conditions)
    objective.setup(model, 0)
    assert model.labelling is not None
    assert (model.labelling.first, model.labelling.levels) == (2, 2)
    context = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]])
    with torch.no_grad():
        model.labelling.answer.weight.normal_(generator=seed(0))
    whole = with_labels(model, x[:2], context)
    assert torch.equal(whole[:, :2], context[:, :2])
    assert torch.equal(whole[:, 2:].sum(1), torch.ones(2))
    assert not torch.equal(*log_labels(model, x[:1].expand(2, -1), context))
    with pytest.raises(UsageError, match="say which one with label=NAME"):
        SemiSupervised().meet(conditions)
    with pytest.raises(UsageError, match="no condition 'kin' has levels; did you mean 'kind'"):
        SemiSupervised(label="kin").meet(conditions)


def test_any_bound_of_single_rows_may_be_within(x: Tensor, labels: Tensor, seed: Seed) -> None:
    model = small_model()
    objective = ready(model, labels, of=Iwae(samples=3))
    assert bool(torch.isfinite(objective(model, x, seed(0), labels).rows).all())


@pytest.mark.parametrize(
    ("objective", "context", "words"),
    [
        (SemiSupervised(), 0, "give the column of labels as condition, such as condition=label"),
        (SemiSupervised(of=Elbo(free_bits=0.1)), 3, "use the Elbo or Iwae objective as `of`"),
        (Invariant(of=SemiSupervised()), 3, "Invariant cannot be around SemiSupervised"),
        (Matched(of=SemiSupervised()), 3, "Matched cannot be around SemiSupervised"),
    ],
)
def test_what_it_cannot_do_is_said(objective: Objective, context: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check(small_model(context), objective)


def test_a_context_that_is_no_label_is_refused(x: Tensor) -> None:
    with pytest.raises(DataError, match="row 0 of the context: SemiSupervised takes a label as one 1 among noughts"):
        fit(small_model(), SemiSupervised(), x, context=torch.full((6, LEVELS), 0.5), epochs=1)


def clusters(rows: int = 1000, known: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two clusters, the label of each row, and the same with gaps in all but the first few."""
    chance = np.random.default_rng(0)
    y = chance.integers(0, 2, rows)
    x = chance.normal(size=(rows, 4)) * 0.7 + np.where(y[:, None] == 1, 1.5, -1.5) * np.array([1, 1, -1, 0.5])
    names = np.array(["zero", "one"], object)[y]
    return x, names, np.where(np.arange(rows) < known, names, None)


@pytest.fixture(scope="module")
def taught() -> Any:
    x, _, given = clusters()
    return lambent.VAE(
        2, condition="label", objective="SemiSupervised", network=Mlp(64, 1), epochs=30, batch=64, precision="fp32"
    ).fit(x, given)


def test_six_labels_name_two_clusters(taught: Any) -> None:
    x, names, given = clusters()
    for bayes in (False, True):
        found = lambent.predict(taught, x, bayes=bayes)
        assert np.mean(np.array(found.likeliest) == names) > 0.97
    assert taught.predict_proba(x).shape == (len(x), 2)
    for y in (given, None):  # rows without a label have the one that the model tells
        assert (
            taught.transform(x, y).shape == (len(x), 2) if y is not None else np.isfinite(taught.score_samples(x)).all()
        )
    assert taught.history_["label_surprise"][-1] < 0.5


def test_the_model_file_alone_tells_labels(taught: Any, tmp_path: Path) -> None:
    x = clusters()[0]
    again = lambent.load(taught.save(tmp_path / "model.lambent"))
    np.testing.assert_array_equal(again.predict_proba(x), taught.predict_proba(x))


def test_every_other_objective_refuses_gaps() -> None:
    x, _, given = clusters(60)
    with pytest.raises(DataError, match=r"condition 'label', row 7: has no value .* SemiSupervised"):
        lambent.VAE(2, condition="label", epochs=1, validation=0.0).fit(x, given)
