"""Rows completed and columns asked for, where likelihoods are of independent elements: against sums and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Laplace,
    MixtureSameFamily,
    Normal,
    Poisson,
    StudentT,
)

from lambent.distributions import ColumnProduct, Dispersed, Observed, SquashedNormal, UnitInterval, ZeroInflated
from lambent.distributions.columnwise import columnwise
from lambent.distributions.quantiles import below, known, quantile
from lambent.errors import UsageError

NAN = math.nan
T = torch.tensor


def of(d: Distribution) -> Observed:
    return Observed(d, 1)


ELEMENTS = {
    "normal": (Normal(T(1.0), T(2.0)), stats.norm(1, 2)),
    "laplace": (Laplace(T(1.0), T(2.0)), stats.laplace(1, 2)),
    "student": (StudentT(T(3.0), T(1.0), T(2.0)), stats.t(3, 1, 2)),
    "johnson": (SquashedNormal(T(0.5), T(2.0)), stats.johnsonsu(-0.25, 0.5)),
    "poisson": (Poisson(T(3.5)), stats.poisson(3.5)),
    "negative binomial": (Dispersed(T(3.5).log(), T(1.5).log()), stats.nbinom(1.5, 1.5 / 5)),
    "bernoulli": (Bernoulli(logits=T(0.7)), stats.bernoulli(1 / (1 + math.exp(-0.7)))),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_shares_below_a_value_are_those_of_scipy(name: str) -> None:
    ours, theirs = ELEMENTS[name]
    values = torch.tensor([-math.inf, -30.0, -1.0, 0.0, 0.5, 1.0, 2.0, 7.0, 30.0, math.inf], dtype=torch.float64)
    whole = ours.support.is_discrete  # type: ignore[attr-defined]
    wanted = theirs.cdf(np.ceil(values.numpy()) - 1) if whole else theirs.cdf(values.numpy())
    np.testing.assert_allclose(below(ours, values), wanted, rtol=3e-6, atol=1e-12)


@pytest.mark.parametrize("name", ELEMENTS)
def test_quantiles_are_those_of_scipy(name: str) -> None:
    ours, theirs = ELEMENTS[name]
    shares = torch.tensor([1e-6, 0.05, 0.31, 0.5, 0.77, 0.95, 1 - 1e-6], dtype=torch.float64)
    np.testing.assert_allclose(quantile(ours, shares), theirs.ppf(shares.numpy()), rtol=2e-5, atol=1e-5)


def test_shares_of_numbers_in_the_unit_interval() -> None:
    for logit in (-30.0, -2.0, 0.0, 1e-4, 3.0, 50.0):
        d = UnitInterval(T(logit))
        x = torch.linspace(0, 1, 100_001, dtype=torch.float64)
        sums = torch.cumulative_trapezoid(UnitInterval(T(logit, dtype=torch.float64)).log_prob(x).exp(), x)
        np.testing.assert_allclose(below(d, x[1:]), sums, atol=2e-6)
        np.testing.assert_allclose(below(d, quantile(d, T([0.2, 0.9]))), [0.2, 0.9], atol=1e-5)


def test_zero_inflation_and_tokens() -> None:
    inflated = ZeroInflated(torch.logit(T(0.3)), Poisson(T(2.0)))
    np.testing.assert_allclose(
        below(inflated, T([0.0, 1.0, 3.0])),
        [0, 0.3 + 0.7 * math.exp(-2), 0.3 + 0.7 * stats.poisson(2).cdf(2)],
        rtol=1e-6,
    )
    assert quantile(inflated, T([0.2, 0.5, 0.9])).tolist() == [
        0,
        stats.poisson(2).ppf(0.2 / 0.7),
        stats.poisson(2).ppf(0.6 / 0.7),
    ]
    tokens = Categorical(probs=T([0.2, 0.5, 0.3]))
    np.testing.assert_allclose(
        below(tokens, T([0.0, 0.5, 1.0, 2.0, 2.5, 3.0, math.inf])), [0, 0.2, 0.2, 0.7, 1, 1, 1], rtol=1e-6
    )
    assert quantile(tokens, T([0.1, 0.3, 0.69, 0.71, 1.0])).tolist() == [0, 1, 1, 2, 2]


def product(rows: int) -> ColumnProduct:
    location = torch.zeros(rows, 2) + T([1.0, -1.0])
    tokens = Categorical(probs=T([0.2, 0.5, 0.3]).expand(rows, 1, 3))
    return ColumnProduct(
        [of(Normal(location, 2.0)), of(tokens), of(Poisson(torch.full((rows, 1), 3.5)))], [[0, 2], [3], [1]]
    )


def test_what_is_there_stays_to_the_bit_and_counts() -> None:
    d = columnwise(product(3))
    value = T([[0.1, NAN, NAN, 1.0], [NAN, NAN, NAN, NAN], [0.3, 2.0, 5.0, 2.0]])
    rows, weight = d.completed(value, torch.Generator().manual_seed(0))
    assert torch.equal(rows[~value.isnan()], value[~value.isnan()])
    assert not rows.isnan().any()
    wanted = [
        stats.norm(1, 2).logpdf(0.1) + math.log(0.5),
        0,
        stats.norm(1, 2).logpdf(0.3) + stats.norm(-1, 2).logpdf(5) + stats.poisson(3.5).logpmf(2) + math.log(0.3),
    ]
    np.testing.assert_allclose(weight, wanted, rtol=1e-5)
    np.testing.assert_allclose(d.column_log_prob(value).sum(-1), wanted, rtol=1e-5)
    np.testing.assert_allclose(d.log_prob(rows), product(3).log_prob(rows), rtol=1e-5)


def test_restricted_draws_lie_inside_as_often_as_they_should() -> None:
    n = 20_000
    d = columnwise(product(n))
    among = {0: [(-math.inf, -1.0), (2.0, 3.0)], 1: [(2, 4), (6, math.inf)], 3: [(1, 3)]}
    rows, weight = d.completed(torch.full((n, 4), NAN), torch.Generator().manual_seed(0), among)
    normal, poisson = stats.norm(1, 2), stats.poisson(3.5)
    low, middle = normal.cdf(-1), normal.cdf(3) - normal.cdf(2)
    few, many = poisson.pmf([2, 3]).sum(), poisson.sf(5)
    np.testing.assert_allclose(weight, math.log((low + middle) * (few + many) * 0.8), rtol=1e-5)
    first, second, last = rows[:, 0], rows[:, 1], rows[:, 3]
    assert bool(((first < -1) | ((first >= 2) & (first < 3))).all())
    assert set(second.unique().tolist()) <= {2.0, 3.0, *range(6, 30)}
    assert set(last.unique().tolist()) == {1.0, 2.0}
    assert float((first < -1).double().mean()) == pytest.approx(low / (low + middle), abs=0.015)
    assert float((second < 4).double().mean()) == pytest.approx(few / (few + many), abs=0.015)
    assert float((last == 1).double().mean()) == pytest.approx(5 / 8, abs=0.015)
    assert float(rows[:, 2].mean()) == pytest.approx(-1, abs=0.06)


def test_an_element_that_knows_no_shares_is_tried() -> None:
    n = 4000
    weights = Categorical(probs=torch.full((n, 1, 2), 0.5))
    bumps = MixtureSameFamily(weights, Normal(T([-3.0, 3.0]).expand(n, 1, 2), 1.0))
    d = columnwise(of(bumps))
    assert not known(bumps)
    rows, weight = d.completed(torch.full((n, 1), NAN), torch.Generator().manual_seed(0), {0: [(3.0, math.inf)]})
    found = rows[weight > -math.inf]
    assert bool((found >= 3).all())
    assert float(weight.exp().mean()) == pytest.approx(0.25, abs=0.01)


def test_what_cannot_be_has_no_probability() -> None:
    d = columnwise(product(2))
    _, weight = d.completed(torch.full((2, 4), NAN), None, {3: [(5, 6)]})
    assert weight.tolist() == [-math.inf] * 2
    _, weight = d.completed(torch.full((2, 4), NAN), None, {0: []})
    assert weight.tolist() == [-math.inf] * 2


def test_tokens_given_the_rest() -> None:
    d = columnwise(product(2))
    np.testing.assert_allclose(
        d.conditional_probabilities(torch.zeros(2, 4), 3).exp(), [[0.2, 0.5, 0.3]] * 2, rtol=1e-6
    )
    bits = columnwise(of(Bernoulli(probs=torch.full((2, 1), 0.7))))
    np.testing.assert_allclose(bits.conditional_probabilities(torch.zeros(2, 1), 0).exp(), [[0.3, 0.7]] * 2, rtol=1e-6)
    with pytest.raises(UsageError, match="column 0 holds numbers"):
        d.conditional_probabilities(torch.zeros(2, 4), 0)
    with pytest.raises(UsageError, match="no column 4"):
        d.conditional_probabilities(torch.zeros(2, 4), 4)


def test_pictures_have_no_columns() -> None:
    with pytest.raises(UsageError, match="no columns that can be asked"):
        columnwise(Observed(Normal(torch.zeros(2, 3, 3), 1.0), 2))


@pytest.mark.parametrize("family", ["StudentT", "Normal", "Laplace"])
def test_a_column_asked_alone_is_as_among_the_others(family: str) -> None:
    location, scale = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5, 1.0, 2.0])
    own = {"df": torch.tensor([2.5, 4.0, 9.0])} if family == "StudentT" else {}
    elements = getattr(torch.distributions, family)(**own, loc=location, scale=scale)
    rows = columnwise(torch.distributions.Independent(elements, 1))
    reference = {"StudentT": stats.t, "Normal": stats.norm, "Laplace": stats.laplace}[family]
    shape = (4.0,) if own else ()
    for share in (0.03, 0.5, 0.9):
        exact = reference.ppf(share, *shape, location[..., 1].double().numpy(), 1.0)
        found = rows.quantile(1, torch.full((1, 1), share, dtype=torch.float64)).expand(5, 7)
        np.testing.assert_allclose(found.numpy(), exact, atol=1e-6)
        np.testing.assert_allclose(rows.below(1, found).numpy(), share, atol=1e-6)
