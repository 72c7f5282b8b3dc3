"""Scores have the values that a model, a distance or a kernel solved by hand gives."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

from lambent import fit
from lambent.data.kinds.table import Table
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Network
from lambent.model.networks.base import Half
from lambent.model.posteriors import Diagonal, Point
from lambent.objectives import Elbo
from lambent.part import Part, Shape
from lambent.tasks.detection import (
    Blend,
    Density,
    Drawing,
    Evidence,
    LatentDistance,
    Nearest,
    Ratio,
    Reconstruction,
    Score,
)
from lambent.tasks.detection.scores.members import described

SCALE = 0.5
LOADINGS = torch.tensor([[1.0], [2.0], [-1.0]])
OFFSET = torch.tensor([0.5, -1.0, 2.0])
VARIANCE = SCALE**2 / (6 + SCALE**2)  # of the posterior: σ² / (WᵀW + σ²)


@pytest.fixture(scope="module")
def linear() -> Iterator[Fitted]:
    """x = W z + b + σ ε with one unit, its exact posterior N(WᵀW + σ²)⁻¹Wᵀ(x − b), σ²(…)⁻¹) in place."""

    class OneUnit(Network):
        """Features are the row itself; the raw output is linear in the code."""

        def encoder(self, event: Shape) -> Half:
            return Half(nn.Flatten(), shape=event)

        def decoder(self, hidden: Shape, raw: Shape) -> Half:
            return Half(nn.Linear(hidden[0], raw[0]), shape=raw)

    model = LatentModel(Flat(1), Gaussian(scale="fixed", value=SCALE), OneUnit()).setup((3,))
    head = model.latent.posterior.head
    with torch.no_grad():
        model.decoder[0].weight.copy_(LOADINGS)
        model.decoder[0].bias.copy_(OFFSET)
        head.weight.zero_()
        head.weight[0] = LOADINGS[:, 0] / (6 + SCALE**2)
        head.bias[0] = -(LOADINGS[:, 0] @ OFFSET) / (6 + SCALE**2)
        head.bias[1] = 0.5 * math.log(VARIANCE)
    yield Fitted(model)
    Part._classes.remove(OneUnit)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows(3 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), None)


def centres(x: Tensor) -> Tensor:
    """The means of the exact posteriors, [rows]."""
    return ((x - OFFSET) @ LOADINGS)[:, 0] / (6 + SCALE**2)


def evidence(x: Tensor) -> Tensor:
    covariance = LOADINGS @ LOADINGS.T + SCALE**2 * torch.eye(3)
    return MultivariateNormal(OFFSET, covariance).log_prob(x)


def test_evidence_is_the_density(linear: Fitted, rows: Rows) -> None:
    """Under the exact posterior every sample's weight is p(x)."""
    torch.testing.assert_close(Evidence(samples=4)(linear, rows).float(), -evidence(rows.x), rtol=1e-4, atol=1e-3)


def test_reconstruction_is_the_expected_log_likelihood(linear: Fitted, rows: Rows) -> None:
    residual = (rows.x - OFFSET - centres(rows.x)[:, None] * LOADINGS[:, 0]).square().sum(1)
    exact = 1.5 * math.log(2 * math.pi * SCALE**2) + (residual + 6 * VARIANCE) / (2 * SCALE**2)
    found = Reconstruction(samples=4096)(linear, rows)
    torch.testing.assert_close(found.float(), exact, rtol=1e-3, atol=2e-2)


def test_a_row_is_described_by_the_middle_of_its_code(linear: Fitted, rows: Rows) -> None:
    residual = (rows.x - OFFSET - centres(rows.x)[:, None] * LOADINGS[:, 0]).square().sum(1)
    kl = 0.5 * (centres(rows.x).square() + VARIANCE - 1 - math.log(VARIANCE))
    exact = 1.5 * math.log(2 * math.pi * SCALE**2) + residual / (2 * SCALE**2) + kl
    torch.testing.assert_close(described(linear, rows)[0].float(), exact, rtol=1e-4, atol=1e-3)


def test_the_distance_from_the_prior_is_the_kl(linear: Fitted, rows: Rows) -> None:
    exact = 0.5 * (centres(rows.x).square() + VARIANCE - 1 - math.log(VARIANCE))
    found = LatentDistance(origin="prior").learn(linear, rows)(linear, rows)
    torch.testing.assert_close(found.float(), exact, rtol=1e-4, atol=1e-4)


def test_the_distance_from_the_codes_is_mahalanobis(linear: Fitted, rows: Rows) -> None:
    z = centres(rows.x)
    exact = 0.5 * (z - z.mean()).square() / z.var()
    found = LatentDistance().learn(linear, rows)(linear, rows)
    torch.testing.assert_close(found.float(), exact, rtol=1e-3, atol=1e-4)


def test_density_counts_codes_in_a_ball(linear: Fitted) -> None:
    """Codes at 0, 1, 2, …, 9: of one unit −log (k / (n · 2 r)); a row that is among them is left out once."""
    codes = torch.arange(10.0)
    x = OFFSET + codes[:, None] * LOADINGS[:, 0] * (6 + SCALE**2) / 6
    score = Density(neighbour=2).learn(linear, Rows(x, None))
    new = OFFSET + torch.tensor([[4.25], [4.0], [0.0], [12.0]]) * LOADINGS[:, 0] * (6 + SCALE**2) / 6
    radii = torch.tensor([0.75, 1.0, 2.0, 4.0])
    found = score(linear, Rows(new, None))
    torch.testing.assert_close(found.float(), (10 * 2 * radii / 2).log(), rtol=1e-3, atol=1e-3)


def test_the_ratio_is_that_of_two_densities(linear: Fitted) -> None:
    """Kernels of Silverman's width on the training values against the exact evidence."""
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    new = 2 * torch.randn(7, 3, generator=torch.Generator().manual_seed(2))
    exact = -evidence(new).double()
    for column, values in zip(new.T.double(), x.T.double(), strict=True):
        ordered = values.sort().values
        inner = float(ordered[36] - ordered[12]) / 1.349
        width = 0.9 * min(float(values.std(correction=0)), inner) * 50**-0.2
        exact += Normal(values, width).log_prob(column[:, None]).logsumexp(1) - math.log(50)
    found = Ratio(samples=4).learn(linear, Rows(x, None))(linear, Rows(new, None))
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-3)


def test_the_ratio_of_independent_columns_is_nought() -> None:
    """Where the model is the same normal columns as the kernels nearly are, neither knows more."""
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    model = LatentModel(Flat(1), Gaussian(scale="fixed", value=1.0)).setup((2,))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    fitted = Fitted(model)
    found = Ratio(samples=1).learn(fitted, Rows(x, None))(fitted, Rows(x[:500], None))
    assert abs(float(found.mean())) < 0.05


def test_the_nearest_row_is_so_many_deviations_away(linear: Fitted) -> None:
    x = torch.tensor([[0.0, 0.0, 5.0], [2.0, 10.0, 5.0], [4.0, 20.0, 5.0], [6.0, 30.0, 5.0]])
    deviation = x.std(0, correction=0)[0]
    new = Rows(torch.tensor([[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [6.0, 40.0, 5.0], [6.0, 30.0, 7.0]]), None)
    one = float(2 / deviation)
    score = Nearest().learn(linear, Rows(x, None))
    # The first row is one of those kept, and compared with the others; the last column holds one value, of deviation 1.
    exact = torch.tensor([math.sqrt(2) * one, one / 2, one, 2.0]).double()
    torch.testing.assert_close(score(linear, new), exact, rtol=1e-6, atol=1e-6)
    second = Nearest(neighbour=2).learn(linear, Rows(x, None))
    exact = torch.tensor([2 * math.sqrt(2) * one, math.hypot(one / 2, one), math.hypot(one, 2 * one)]).double()
    torch.testing.assert_close(second(linear, new)[:3], exact, rtol=1e-6, atol=1e-6)


def test_squashed_numbers_count_by_their_order(linear: Fitted) -> None:
    x = torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    new = Rows(torch.tensor([[9.0, 0.0, 0.0]]), None)
    found = Nearest(squashed=True).learn(linear, Rows(x, None))(linear, new)
    assert float(found) == pytest.approx(math.log(10) - math.log(2), rel=1e-6)


def test_twins_are_near_and_a_row_is_not_its_own_neighbour(linear: Fitted) -> None:
    x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    found = Nearest().learn(linear, Rows(x, None))(linear, Rows(x, None))
    deviation = float(x[:, 0].std(correction=0))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 4 / deviation]).double(), rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def mixed() -> tuple[Fitted, pd.DataFrame]:
    """Two columns of names and one of numbers, with gaps, by ranks."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "colour": generator.choice(["red", "green", "blue"], 200),
            "shape": generator.choice(["round", "square"], 200),
            "size": generator.normal(size=200),
        }
    )
    frame.loc[:9, "shape"] = None
    table = Table().fit(frame)
    return Fitted(LatentModel(), table), frame


def among(fitted: Fitted, kept: pd.DataFrame, new: pd.DataFrame) -> list[float]:
    """The distances of new rows to the nearest of those kept."""
    assert fitted.modality is not None
    score = Nearest().learn(fitted, Rows(fitted.modality.encode(kept), None))
    return score(fitted, Rows(fitted.modality.encode(new), None)).tolist()


def test_levels_differ_by_one_and_gaps_are_left_out(mixed: tuple[Fitted, pd.DataFrame]) -> None:
    fitted, frame = mixed
    middle = float(frame["size"].iloc[50])
    kept = pd.DataFrame({"colour": ["red"], "shape": ["round"], "size": [middle]})
    new = pd.DataFrame(
        {
            "colour": ["red", "blue", "blue", "blue"],
            "shape": ["square", "square", "round", None],
            "size": [middle] * 4,
        }
    )
    # Of three columns two are left where one is missing: their sum counts for three.
    assert among(fitted, kept, new) == pytest.approx([1.0, math.sqrt(2), 1.0, math.sqrt(3 / 2)], rel=1e-5)


def test_ranks_differ_by_shares_of_the_rows(mixed: tuple[Fitted, pd.DataFrame]) -> None:
    fitted, frame = mixed
    values = frame["size"].sort_values().to_numpy()
    kept = pd.DataFrame({"colour": ["red"], "shape": ["round"], "size": [values[20]]})
    new = kept.loc[[0, 0]].assign(size=[values[120], 1e6])
    half, beside = among(fitted, kept, new)
    assert half == pytest.approx(0.5, abs=0.05)
    assert beside > 1  # what lies beside all that was learned from differs as a level does, and in its rank


@pytest.fixture(scope="module")
def ensemble() -> tuple[Fitted, Tensor]:
    """A small trained ensemble whose last two members leave rows out, and its training rows, a tenth of them odd and alike."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, generator=generator) @ torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, -1]])
    x = x + 0.1 * torch.randn(300, 4, generator=generator)
    x[:30] = torch.tensor([1.5, -1.5, 1.5, 1.5]) + 0.05 * torch.randn(30, 4, generator=generator)
    model = LatentModel(Flat(2), Gaussian(scale="predicted", floor=0.1), members=4).setup((4,))
    objective = Elbo(trim=0.3, untrimmed=2)
    fit(model, objective, x, epochs=150, batch=100, learning_rate=3e-3, progress=False)
    return Fitted(model.eval(), provenance={"objective": objective.spec()}), x


def test_a_row_has_the_same_score_beside_whatever_others(ensemble: tuple[Fitted, Tensor]) -> None:
    fitted, x = ensemble
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    for score in (Blend(untrimmed=2), Nearest(), Density(), LatentDistance(), Ratio(samples=2)):
        known = score.learn(fitted, Rows(x, None))
        whole = known(fitted, Rows(x, None))
        assert whole.dtype == torch.float64
        assert torch.equal(known(fitted, Rows(x[order], None)), whole[order]), score
        assert torch.equal(known(fitted, Rows(x[7:8], None)), whole[7:8]), score
        again = type(score).from_spec(score.spec()).learn(fitted, Rows(x[order], None))
        assert set(again.kept) == set(known.kept)
        for name, kept in known.kept.items():
            torch.testing.assert_close(again.kept[name], kept, rtol=1e-5, atol=1e-8)


def test_what_a_score_keeps_is_all_that_it_needs(ensemble: tuple[Fitted, Tensor]) -> None:
    fitted, x = ensemble
    known = Blend(untrimmed=2).learn(fitted, Rows(x, None))
    other = Blend(untrimmed=2)
    other.kept = dict(known.kept)
    assert torch.equal(other.seen(fitted, Rows(x, None)), known.seen(fitted, Rows(x, None)))


def test_a_crowd_of_odd_rows_is_odd_where_it_was_trained_on(ensemble: tuple[Fitted, Tensor]) -> None:
    """They are one another's neighbours, and a model that is shown all rows learns them; what trims does not."""
    fitted, x = ensemble
    score = Score.default(fitted).learn(fitted, Rows(x, None))
    assert isinstance(score, Blend)
    assert score.untrimmed == 2
    found = score.seen(fitted, Rows(x, None))
    assert float(found[:30].min()) > float(found[30:].median())
    assert auroc(found) > 0.98
    nearest = Nearest().learn(fitted, Rows(x, None))
    assert auroc(nearest(fitted, Rows(x, None))) < 0.6


def auroc(scores: Tensor) -> float:
    """How often one of the first 30 is odder than one of the others."""
    return float((scores[:30, None] > scores[None, 30:]).double().mean())


def test_no_more_rows_are_kept_than_asked_for(ensemble: tuple[Fitted, Tensor]) -> None:
    fitted, x = ensemble
    score = Blend(untrimmed=2, most=50).learn(fitted, Rows(x, None))
    assert len(score.kept["rows"]) == 50
    assert len(score.kept["typical"]) == 35
    assert len(score(fitted, Rows(x, None))) == len(x)


def test_what_cannot_be_scored_is_refused(linear: Fitted, rows: Rows) -> None:
    point = Fitted(LatentModel(Flat(1, posterior=Point()), Gaussian()).setup((3,)))
    for score in (Evidence(), Ratio(), LatentDistance(origin="prior")):
        with pytest.raises(UsageError, match="Point posterior has no density"):
            score.refuse(point)
    pictures = Fitted(LatentModel(Flat(1, posterior=Diagonal())).setup((1, 6, 5)))
    for columns in (Nearest(), Blend(), Ratio()):
        with pytest.raises(UsageError, match=r"compares columns, and these rows have shape \[1, 6, 5\]"):
            columns.refuse(pictures)
    with pytest.raises(UsageError, match="knows no training rows yet"):
        Nearest()(linear, rows)
    assert isinstance(Score.default(pictures), Drawing)
