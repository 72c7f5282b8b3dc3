"""What rows known in part may be, against the exact conditionals of a linear-Gaussian model."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from lambent import Fitted, Flat, Gaussian, LatentModel, UsageError
from lambent.model.networks import Mlp
from lambent.model.posteriors import Diagonal
from lambent.tasks.conditional import Conditional, conditionals

COLUMNS, HIDDEN, SCALE, ROWS = 5, 2, 0.5, 40
NAN = math.nan


def loadings() -> Tensor:
    return torch.randn(COLUMNS, HIDDEN, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


OFFSET = torch.arange(COLUMNS).double()


def linear(gaps: bool = True) -> LatentModel:
    """x = W z + b + σε in float64, its posterior near the prior, which is too wide."""
    likelihood = Gaussian(scale="fixed", value=SCALE)
    model = LatentModel(Flat(HIDDEN, posterior=Diagonal()), likelihood, Mlp(4, 1), gaps=gaps)
    model.setup((COLUMNS,)).double()
    model.decoder = nn.Linear(HIDDEN, COLUMNS).double()
    with torch.no_grad():
        model.decoder.weight.copy_(loadings())
        model.decoder.bias.copy_(OFFSET)
        model.likelihood.width.log_scale.fill_(math.log(SCALE))
        model.latent.posterior.head.weight.zero_()
        model.latent.posterior.head.bias.zero_()
    return model


def rows() -> Tensor:
    """With gaps; of the first two all cells are missing, of the third none."""
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(ROWS, HIDDEN, generator=generator, dtype=torch.float64)
    x = z @ loadings().T + OFFSET + SCALE * torch.randn(ROWS, COLUMNS, generator=generator, dtype=torch.float64)
    missing = torch.rand(x.shape, generator=generator) < 0.5
    missing[:2], missing[2], missing[3:, 0] = True, False, True
    missing[3:, 4] = False
    return x.float().double().masked_fill(missing, NAN)  # a model takes float32


def exact(row: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of every column given those that are there; of one that is there its value and 0."""
    covariance = loadings() @ loadings().T + SCALE**2 * torch.eye(COLUMNS, dtype=torch.float64)
    there = ~row.isnan()
    gain = covariance[:, there] @ torch.linalg.inv(covariance[there][:, there])
    mean = OFFSET + gain @ (row[there] - OFFSET[there])
    return mean, (covariance - gain @ covariance[there]).diagonal()


def collected(samples: int = 4000, x: Tensor | None = None) -> dict[int, tuple[Conditional, int]]:
    fitted = Fitted(linear())
    found = {}
    for index, one in conditionals(fitted, fitted.rows(rows() if x is None else x), samples):
        found |= {int(row): (one, place) for place, row in enumerate(index)}
    return found


@pytest.fixture(scope="module")
def found() -> dict[int, tuple[Conditional, int]]:
    return collected()


def test_means_and_quantiles_are_the_exact_ones(found: dict[int, tuple[Conditional, int]]) -> None:
    x = rows()
    for row in range(3, ROWS):
        one, place = found[row]
        mean, variance = exact(x[row])
        assert float(one.mean(0)[place]) == pytest.approx(float(mean[0]), abs=0.08)
        points = one.points(0)
        values, weights = points.values[:, place].numpy(), points.weights[:, place].numpy()
        order = np.argsort(values)
        assert weights.sum() == pytest.approx(1)
        low, high = np.interp([0.1, 0.9], weights[order].cumsum(), values[order])
        ends = stats.norm(float(mean[0]), math.sqrt(float(variance[0]))).ppf([0.1, 0.9])
        np.testing.assert_allclose([low, high], ends, atol=0.15)


def test_evidence_is_that_of_what_is_there(found: dict[int, tuple[Conditional, int]]) -> None:
    covariance = loadings() @ loadings().T + SCALE**2 * torch.eye(COLUMNS, dtype=torch.float64)
    for row, line in enumerate(rows()):
        there = ~line.isnan()
        exact_one = 0.0
        if there.any():
            normal = torch.distributions.MultivariateNormal(OFFSET[there], covariance[there][:, there])
            exact_one = float(normal.log_prob(line[there]))
        one, place = found[row]
        assert float(one.evidence[place]) == pytest.approx(exact_one, abs=0.1)


def test_a_row_of_nothing_but_gaps_is_what_the_prior_says(found: dict[int, tuple[Conditional, int]]) -> None:
    one, place = found[0]
    for column in range(COLUMNS):
        assert float(one.mean(column)[place]) == pytest.approx(column, abs=0.1)
    assert float(one.effective[place]) == pytest.approx(4000)
    assert torch.equal(one.mean(1)[:1], one.mean(1)[1:2]), "two such rows are alike"


def test_the_effective_number_of_codes_is_that_of_the_weights() -> None:
    one = collected(4)[5][0]
    weights = one.log_weight.exp()
    np.testing.assert_allclose(weights.sum(0), 1)
    np.testing.assert_allclose(one.effective, (weights.sum(0) ** 2 / (weights**2).sum(0))[: one.rows])


def test_a_row_is_the_same_in_any_company(found: dict[int, tuple[Conditional, int]]) -> None:
    x = rows()
    turned = collected(4000, x.flip(0))
    alone = collected(4000, x[7:8])
    one, place = found[7]
    other, there = turned[ROWS - 8]
    assert torch.equal(one.mean(0)[place], other.mean(0)[there])
    assert torch.equal(one.mean(0)[place], alone[0][0].mean(0)[0])


@pytest.mark.slow
def test_draws_have_the_exact_moments_and_keep_what_is_there() -> None:
    x = rows()[5:6]
    one = collected(4000, x)[0][0]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([one.drawn(generator)[0] for _ in range(2000)])
    there = ~x[0].isnan()
    assert bool((drawn[:, there] == x[0, there]).all())
    mean, variance = exact(x[0])
    np.testing.assert_allclose(drawn.mean(0), mean.where(~there, x[0]), atol=0.06)
    np.testing.assert_allclose(drawn[:, ~there].var(0), variance[~there], rtol=0.12)


def test_restricted_draws_weigh_as_much_as_the_restriction_is_probable() -> None:
    x = torch.full((1, COLUMNS), NAN, dtype=torch.float64)
    one = collected(4000, x)[0][0]
    generator = torch.Generator().manual_seed(0)
    pairs = [one.drawn(generator, {1: [(2.0, math.inf)]}) for _ in range(20)]
    drawn, weight = (torch.cat(each) for each in zip(*pairs, strict=True))
    assert bool((drawn[:, 1] >= 2).all())
    deviation = math.sqrt(float((loadings()[1] ** 2).sum()) + SCALE**2)
    assert float(weight.exp().mean()) == pytest.approx(stats.norm(1, deviation).sf(2), rel=0.1)


def test_what_cannot_be_asked() -> None:
    whole = Fitted(linear(gaps=False))
    with pytest.raises(UsageError, match="trained on rows without gaps"):
        next(conditionals(whole, whole.rows(rows()[2:3]).__class__(rows()[3:4])))
    with pytest.raises(UsageError, match="at least 1"):
        next(conditionals(Fitted(linear()), Fitted(linear()).rows(rows()), 0))
