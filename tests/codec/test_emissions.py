"""What likelihoods push and pop: rows come back, and cost −log2 p(x | z) of the likelihood itself."""

import math

import numpy as np
import pytest
import torch

from lambent.codec.leaves import emission
from lambent.codec.stack import Stack
from lambent.errors import UsageError
from lambent.model.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistics,
    Gaussian,
    Likelihood,
    Ordinal,
    Poisson,
)
from lambent.part import Shape

LIKELIHOODS: dict[str, tuple[Likelihood, Shape]] = {
    "bits": (Bernoulli(), (1, 8, 8)),
    "bits of a vector": (Bernoulli(), (30,)),
    "tokens": (Categorical(levels=7), (30,)),
    "many tokens": (Categorical(levels=300), (6,)),
    "ordered levels": (Ordinal(levels=6), (30,)),
    "grey": (DiscretizedLogistics(), (1, 8, 8)),
    "grey, mixed": (DiscretizedLogistics(components=5), (1, 8, 8)),
    "colour": (DiscretizedLogistics(), (3, 8, 8)),
    "colour, mixed": (DiscretizedLogistics(components=5), (3, 8, 8)),
    "two levels": (DiscretizedLogistics(levels=2), (1, 8, 8)),
    "12 bits": (DiscretizedLogistics(levels=4096), (2, 8, 8)),
    "16 bits, mixed": (DiscretizedLogistics(components=3, levels=65536), (1, 8, 8)),
    "many channels, mixed": (DiscretizedLogistics(components=2), (9, 4, 4)),
}


def made(name: str, rows: int, spread: float = 1.0) -> tuple[Likelihood, torch.Tensor]:
    given, event = LIKELIHOODS[name]
    likelihood = Likelihood.from_spec(given.spec())
    raw_shape = likelihood.setup(event)
    generator = torch.Generator().manual_seed(5)
    raw = torch.randn(rows, *raw_shape, generator=generator, dtype=torch.float64) * spread
    return likelihood.double(), (raw * 4096).round() / 4096


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e9])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_rows_are_popped_as_they_were_pushed(name: str, spread: float) -> None:
    likelihood, raw = made(name, 5, spread)
    stack = Stack(16, 1)
    under = emission(likelihood, raw)
    x = under.pop(stack)  # a draw
    assert x.shape == (5, *LIKELIHOODS[name][1])
    under.push(stack, x)
    assert stack.is_empty
    other = emission(likelihood, raw.flip(0)).pop(stack)
    under.push(stack, other)
    assert (under.pop(stack) == other).all()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_rows_cost_what_the_likelihood_says(name: str) -> None:
    likelihood, raw = made(name, 200)
    stack = Stack(16, 1)
    under = emission(likelihood, raw)
    x = under.pop(stack)
    before = stack.bits
    under.push(stack, x)
    values = torch.from_numpy(x)
    with torch.no_grad():
        nats = -likelihood(raw).log_prob(values.double() if name.startswith("bits") else values).sum()
    assert stack.bits - before == pytest.approx(float(nats) / math.log(2), rel=5e-4)


def test_a_pixel_that_its_channels_explain_ill_is_coded() -> None:
    likelihood, raw = made("colour, mixed", 3)
    x = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8))
    x[0], x[1] = 0, 255
    stack = Stack(8)
    under = emission(likelihood, raw - 4)
    under.push(stack, x)
    assert (under.pop(stack) == x).all()
    assert stack.is_empty


def test_a_density_is_refused_with_what_to_use() -> None:
    with pytest.raises(UsageError, match=r"Gaussian has a density, no probabilities.*DiscretizedLogistics.*Bernoulli"):
        emission(Gaussian(), torch.zeros(1, 4))


def test_probabilities_without_an_exact_form_are_refused() -> None:
    with pytest.raises(UsageError, match="Poisson has probabilities that the codec has no exact form of"):
        emission(Poisson(), torch.zeros(1, 4))
