"""Noise of rows: normal, evenly spread, the row's own; and averages of bounds whose error is what they say."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from lambent import Flat, Gaussian, LatentModel, evaluate
from lambent.metrics.bound import bounds
from lambent.model import noise
from lambent.model.networks import Network
from lambent.model.networks.base import Half
from lambent.model.noise import DIGITS, MOST_DIMENSIONS, RowNoise, mixed, normal, row_keys
from lambent.part import Part, Shape

LOADINGS = torch.tensor([[1.2, 0.1], [-0.4, 0.9], [0.3, 0.7], [0.8, -0.5]])
SCALE = 0.5


@pytest.fixture
def linear(device: torch.device) -> Iterator[LatentModel]:
    """x = W z + ε, σ = 0.5, under a posterior whose mean is exact and whose scale is half the prior's, too wide."""

    class Affine(Network):
        """Features are the row itself; the raw output is linear in the code."""

        def encoder(self, event: Shape) -> Half:
            return Half(nn.Flatten(), shape=event)

        def decoder(self, hidden: Shape, raw: Shape) -> Half:
            return Half(nn.Linear(hidden[0], raw[0]), shape=raw)

    model = LatentModel(Flat(2), Gaussian(scale="fixed", value=SCALE), Affine()).setup((4,)).to(device)
    precision = LOADINGS.T @ LOADINGS + SCALE**2 * torch.eye(2)
    head = model.latent.posterior.head
    with torch.no_grad():
        model.decoder[0].weight.copy_(LOADINGS)
        model.decoder[0].bias.zero_()
        head.weight.zero_()
        head.bias.zero_()
        head.weight[:2] = torch.linalg.solve(precision, LOADINGS.T)
        head.bias[2:] = math.log(0.5)
    yield model.eval()
    Part._classes.remove(Affine)


def rows(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, generator=generator) @ LOADINGS.T + SCALE * torch.randn(count, 4, generator=generator)


def evidence(x: Tensor) -> Tensor:
    covariance = (LOADINGS @ LOADINGS.T + SCALE**2 * torch.eye(4)).double()
    return MultivariateNormal(torch.zeros(4).double(), covariance).log_prob(x.double())


def test_splitmix_gives_its_published_number() -> None:
    """The first output of SplitMix64 from the seed 1234567, as in its authors' reference."""
    state = torch.tensor([1234567 + 0x9E3779B97F4A7C15 - 2**64])
    assert int(mixed(state)) % 2**64 == 6457827717110365317


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_is_the_quantile_function(dtype: torch.dtype) -> None:
    kept = 24 if dtype == torch.float32 else DIGITS
    digits = torch.tensor([0, 1 << (DIGITS - 1), (1 << DIGITS) - 1, 123456789], dtype=torch.int32)
    found = normal(digits, dtype).double()
    shares = ((digits.double() / 2 ** (DIGITS - kept)).floor() + 0.5) / 2**kept
    torch.testing.assert_close(found, torch.special.ndtri(shares), atol=2e-4 if kept == 24 else 1e-6, rtol=1e-5)
    assert torch.isfinite(found).all()
    assert float(found[0]) == -float(found[2])


@pytest.mark.parametrize("start", [0, MOST_DIMENSIONS - 2, MOST_DIMENSIONS + 5])
def test_each_sample_is_standard_normal_and_rows_are_unrelated(start: int) -> None:
    noise = RowNoise(4, start + 4, torch.device("cpu"))
    keys = row_keys(torch.arange(50_000).unsqueeze(1), 0)
    drawn = noise(keys, 0, 4, start, 4, torch.float32)
    assert drawn.shape == (4, 50_000, 4)
    error = 1 / math.sqrt(50_000)
    flat = drawn.permute(0, 2, 1).flatten(0, 1).double()
    assert float(flat.mean(1).abs().max()) < 5 * error
    assert float((flat.square().mean(1) - 1).abs().max()) < 5 * math.sqrt(2) * error
    assert float((flat.pow(4).mean(1) - 3).abs().max()) < 5 * math.sqrt(96) * error
    for sample in drawn.double():  # dimensions are unrelated, and so are neighbours
        assert float((sample.T @ sample / 50_000 - torch.eye(4)).abs().max()) < 6 * math.sqrt(2) * error
        assert float((sample[1:] * sample[:-1]).mean(0).abs().max()) < 5 * error


def test_samples_of_a_row_lie_evenly() -> None:
    """Of 2^m samples, one lies in each of 2^m slices of equal probability, in every dimension and row."""
    drawn = RowNoise(32, 5, torch.device("cpu"))(
        row_keys(torch.arange(100).unsqueeze(1), 3), 0, 32, 0, 5, torch.float64
    )
    slices = (torch.special.ndtr(drawn) * 32).floor().sort(0).values
    assert torch.equal(slices, torch.arange(32.0, dtype=torch.float64)[:, None, None].expand(32, 100, 5))


def test_parts_of_the_noise_are_the_noise() -> None:
    noise, keys = RowNoise(9, 1030, torch.device("cpu")), row_keys(torch.randn(6, 3), 1)
    whole = noise(keys, 0, 9, 0, 1030, torch.float32)
    assert torch.equal(noise(keys, 4, 3, 1020, 8, torch.float32), whole[4:7, :, 1020:1028])
    assert torch.equal(noise(keys[2:3], 0, 9, 0, 1030, torch.float32), whole[:, 2:3])


def test_equal_rows_have_equal_keys() -> None:
    x = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [math.nan, 1.0], [-math.nan, 1.0]])
    keys = row_keys(x, 0).tolist()
    assert keys[0] == keys[1]
    assert keys[3] == keys[4]
    assert len(set(keys)) == 3
    assert row_keys(x, 1)[0] != keys[0]
    many = torch.cartesian_prod(torch.arange(256), torch.arange(256)).to(torch.uint8)
    assert len(set(row_keys(many, 0).tolist())) == 2**16


def test_the_mean_moves_over_seeds_by_its_sampling_error_and_meets_the_evidence(linear: LatentModel) -> None:
    """Errors of rows cancel: over seeds the mean moves by σ/√rows, which the standard error over rows covers."""
    x = rows(800, 1)
    found = torch.stack([bounds(linear, x, 16, seed).bound for seed in range(40)])
    each = found.var(0).mean().sqrt() / math.sqrt(len(x))
    moved = found.mean(1).std()
    assert 0.6 < float(moved / each) < 1.5  # the deviation of 40 is known to about a ninth
    error = evaluate(linear, x, samples=16).metrics["bound"].standard_error
    assert error is not None
    assert float(moved) < error
    best = bounds(linear, x, 512).bound
    assert float((best.mean() - evidence(x).mean()).abs()) < 0.2 * error
    assert float((best - evidence(x)).abs().max()) < 0.5


def test_the_standard_error_covers_what_other_rows_and_seeds_give(linear: LatentModel) -> None:
    """Forty sets of rows: the mean's deviation from E log p(x) is spread as the standard errors say."""
    covariance = (LOADINGS @ LOADINGS.T + SCALE**2 * torch.eye(4)).double()
    expected = -float(MultivariateNormal(torch.zeros(4).double(), covariance).entropy())
    scores = []
    for seed in range(40):
        bound = evaluate(linear, rows(300, 100 + seed), samples=256, seed=seed).metrics["bound"]
        assert bound.standard_error is not None
        scores.append((bound.value - expected) / bound.standard_error)
    z = torch.tensor(scores)
    assert 0.7 < float(z.std()) < 1.35
    assert float(z.mean().abs()) < 0.6
    assert int((z.abs() < 2).sum()) >= 34


def test_even_samples_err_less_than_lone_ones(linear: LatentModel) -> None:
    x = rows(300, 2)
    even = torch.stack([bounds(linear, x, 32, number).elbo for number in range(12)]).var(0).mean()
    with torch.no_grad():
        trace = linear.trace(x, 32 * 12)
    lone = (trace.log_px - trace.kl).double().var(0).mean() / 32
    assert float(even) < 0.3 * float(lone)


def test_the_key_of_a_long_row_does_not_hang_on_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    whole = row_keys(x, 4)
    monkeypatch.setattr(noise, "PIECE", 7)
    assert torch.equal(row_keys(x, 4), whole)
