"""What knowing nothing gives, against what is known of it."""

import math

import pytest
import torch
from torch import Tensor

from lambent.metrics.chance import chance
from lambent.model.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistics,
    Gaussian,
    Mixed,
    NegativeBinomial,
    Poisson,
)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(20_000, 3, generator=torch.Generator().manual_seed(2)) * torch.tensor([1.0, 2.0, 5.0])


def test_independent_gaussians(x: Tensor) -> None:
    """−½ Σ log 2πe s_j², the negative entropy."""
    found = chance(Gaussian(), x)
    assert found is not None
    assert found.levels is None
    assert found.nats == pytest.approx(-1.5 * math.log(2 * math.pi * math.e) - math.log(10), abs=0.02)


def test_fitted_to_few_rows_they_are_no_better_on_these_than_on_others(x: Tensor) -> None:
    """The mean over many small sets is what Gaussians fitted to such a set give on other rows, to the first order in 1/n."""
    few = [chance(Gaussian(), part) for part in x.split(40)]
    assert sum(found.nats for found in few if found) / len(few) == pytest.approx(
        -1.5 * math.log(2 * math.pi * math.e) - math.log(10) - 3 / 40, abs=0.03
    )


def test_a_constant_column_adds_nothing_and_what_is_missing_is_left_out(x: Tensor) -> None:
    beside = torch.cat((x, torch.full((len(x), 1), 4.0)), 1)
    assert chance(Gaussian(), beside) == chance(Gaussian(), x)
    half = x.clone()
    half[::2] = math.nan
    whole, found = chance(Gaussian(), x), chance(Gaussian(), half)
    assert whole is not None
    assert found is not None
    assert found.nats == pytest.approx(whole.nats / 2, rel=0.01)


def test_values_that_are_counted() -> None:
    bytes_ = torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8)
    assert chance(DiscretizedLogistics(), bytes_) == (-16 * math.log(256), "256 values, all as likely", 256)
    assert chance(Bernoulli(), torch.zeros(5, 7)) == (-7 * math.log(2), "2 values, all as likely", 2)
    assert chance(Categorical(9), torch.zeros(5, 2)) == (-2 * math.log(9), "9 values, all as likely", 9)
    counts = torch.poisson(torch.full((5000, 2), 3.0), torch.Generator().manual_seed(1))
    found = chance(Poisson(), counts)
    assert found is not None
    chances = torch.distributions.Poisson(3.0).log_prob(torch.arange(60.0)).double()
    assert found.nats == pytest.approx(2 * float((chances.exp() * chances).sum()), abs=0.03)
    assert chance(NegativeBinomial(), counts) is None


def test_columns_of_several_kinds_add_up(x: Tensor) -> None:
    mixed = Mixed(columns=(Gaussian(), Gaussian(), Gaussian(), Categorical(4)))
    mixed.setup((4,))
    found, alone = chance(mixed, torch.cat((x, torch.zeros(len(x), 1)), 1)), chance(Gaussian(), x)
    assert found is not None
    assert alone is not None
    assert found.nats == pytest.approx(alone.nats - math.log(4))
