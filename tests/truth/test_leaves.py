"""The likelihoods of a table's columns, each against its formula; a row of them is their product; each starts at its shares."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from lambent.distributions.columnwise import columnwise
from lambent.distributions.quantiles import below, quantile
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel, check
from lambent.model.latents import Flat
from lambent.model.likelihoods import (
    Bernoulli,
    Categorical,
    Gaussian,
    Hurdle,
    Likelihood,
    Mixed,
    NegativeBinomial,
    Ordinal,
    Poisson,
    RoundedLogistic,
    StudentT,
)
from lambent.model.networks import Mlp
from lambent.model.priors import Vamp


def set_up(likelihood: Likelihood, size: int = 1) -> Likelihood:
    likelihood.setup((size,))
    return likelihood.double()


def test_ordinal_is_differences_of_sigmoids() -> None:
    """P(x = k) = σ(θ_k − μ) − σ(θ_k−1 − μ), θ = (−1, 0.5, 2)."""
    likelihood = set_up(Ordinal(4))
    thresholds = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    with torch.no_grad():
        likelihood.edges.copy_(torch.tensor([[-1.0, math.log(math.expm1(1.5)), math.log(math.expm1(1.5))]]))
    torch.testing.assert_close(likelihood.thresholds[0].detach(), thresholds)
    for location in (-3.0, 0.0, 0.7, 30.0):
        px = likelihood(torch.tensor([[location]], dtype=torch.float64))
        below = torch.cat((torch.zeros(1), torch.sigmoid(thresholds - location), torch.ones(1)))
        found = px.log_prob(torch.arange(4).unsqueeze(-1)).exp()
        torch.testing.assert_close(found.detach(), below.diff(), atol=1e-15, rtol=1e-7)


def test_a_higher_location_means_higher_levels() -> None:
    likelihood = set_up(Ordinal(5))
    probabilities = torch.stack(
        [
            likelihood(torch.tensor([[m]]).double()).log_prob(torch.arange(5).unsqueeze(-1)).exp()
            for m in (-1.0, 0.0, 1.0)
        ]
    )
    above = probabilities.flip(1).cumsum(1)[:, :-1]
    assert (above.diff(dim=0) > 0).all()


def test_hurdle_is_a_probability_at_each_spike_and_a_density_beside() -> None:
    likelihood = set_up(Hurdle(StudentT("fixed", value=0.7), (0.0, 3.0)))
    raw = torch.tensor([[0.2, -1.0, 0.4]], dtype=torch.float64)
    shares = torch.softmax(torch.tensor([-1.0, 0.4, 0.0], dtype=torch.float64), 0)
    degrees = 2 + math.log1p(math.exp(8.0))
    x = torch.tensor([[0.0], [3.0], [0.5], [-2.0]], dtype=torch.float64)
    found = likelihood(raw).log_prob(x).detach()
    density = [float(shares[2]) * stats.t.pdf(value, degrees, 0.2, 0.7) for value in (0.5, -2.0)]
    expected = torch.tensor([float(shares[0]), float(shares[1]), *density], dtype=torch.float64).log()
    torch.testing.assert_close(found, expected)


def test_a_spike_is_known_in_float64_by_what_was_stored() -> None:
    """0.1 is another number in float32: rows are stored in it, models score in float64."""
    likelihood = set_up(Hurdle(Gaussian(), (0.1,)))
    at = likelihood(torch.zeros(1, 2).double()).log_prob(torch.tensor([[0.1]]).double())
    assert float(at.detach()) == pytest.approx(math.log(0.5))
    seen = likelihood.embed(torch.tensor([[0.1], [0.3]]))
    torch.testing.assert_close(seen, torch.tensor([[0.0, 1.0], [0.3, 0.0]]))


def test_rounded_logistic_is_a_difference_of_its_cdf() -> None:
    likelihood = set_up(RoundedLogistic(0.5, "fixed", 0.8))
    px = likelihood(torch.tensor([[1.3]], dtype=torch.float64))
    x = np.array([-20.0, -0.5, 0.0, 1.5, 40.0])
    expected = stats.logistic.cdf(x + 0.25, 1.3, 0.8) - stats.logistic.cdf(x - 0.25, 1.3, 0.8)
    found = px.log_prob(torch.from_numpy(x).unsqueeze(-1)).exp()
    torch.testing.assert_close(found[:4], torch.from_numpy(expected[:4]), rtol=1e-6, atol=0)
    # Where the difference of two cdfs near one has no digits left, the tail has: h/s e^{−(x−μ)/s} to the first order.
    assert float(found[4]) == pytest.approx(2 * math.sinh(0.25 / 0.8) * math.exp(-(40 - 1.3) / 0.8), rel=1e-6)


@pytest.mark.parametrize("scale", [0.02, 0.3, 0.99, 1.01, 50.0])
def test_moments_of_a_rounded_logistic_hold_at_every_scale(scale: float) -> None:
    likelihood = set_up(RoundedLogistic(0.5, "fixed", scale))
    px = likelihood(torch.tensor([[0.37]], dtype=torch.float64))
    x = 0.5 * torch.arange(-8000, 8001, dtype=torch.float64).unsqueeze(-1)
    mass = px.log_prob(x).exp()
    mean = (mass * x[:, 0]).sum()
    torch.testing.assert_close(px.mean.flatten()[0], mean, rtol=0, atol=1e-7)
    torch.testing.assert_close(px.variance.flatten()[0], (mass * (x[:, 0] - mean).square()).sum(), rtol=1e-6, atol=1e-7)


def test_values_between_the_steps_are_refused() -> None:
    likelihood = RoundedLogistic(0.25)
    likelihood.setup((1,))
    likelihood.check(torch.tensor([[0.25], [-1.75], [1e5 + 0.25]]))
    with pytest.raises(DataError, match="another step"):
        likelihood.check(torch.tensor([[0.1]]))


LEAVES: tuple[Likelihood, ...] = (
    StudentT("predicted"), Bernoulli(), Ordinal(3), Categorical(4), Hurdle(StudentT("predicted"), (0.0,)), NegativeBinomial(),
    RoundedLogistic(), StudentT("predicted"), Categorical(300),
)  # fmt: skip
ROW = torch.tensor([[0.3, 1, 2, 3, 0.0, 7, -4, -1.2, 299], [1.0, 0, 0, 1, 0.8, 0, 9, 0.1, 5]])


@pytest.mark.parametrize("gaps", [False, True])
def test_a_row_is_the_product_of_its_columns(gaps: bool) -> None:
    """Σ_j log p_j, of those that are there; the raw output is laid out group by group."""
    mixed = Mixed(LEAVES)
    mixed.gaps = gaps
    (size,) = mixed.setup((len(LEAVES),))
    raw = torch.randn(2, size, generator=torch.Generator().manual_seed(0))
    x = ROW.clone()
    if gaps:
        x[0, 3], x[1, 4], x[1, 7] = math.nan, math.nan, math.nan
    mixed.check(x)
    pieces = raw.split([math.prod(shape) for shape in mixed.shapes], -1)
    total = torch.zeros(2)
    for part, piece, shape, places in zip(mixed.groups, pieces, mixed.shapes, mixed.places, strict=True):
        for place, index in enumerate(places):
            alone = Likelihood.from_spec(LEAVES[index].spec())
            own = alone.setup((1,))
            state = {
                name: value[place : place + 1] if value.shape[:1] == (len(places),) else value
                for name, value in part.state_dict().items()
            }
            alone.load_state_dict(state)
            per = piece.reshape(2, *shape)
            emitted = per.unflatten(1, (-1, len(places)))[:, :, place] if per.dim() == 2 else per[:, place : place + 1]
            term = alone(emitted.reshape(2, *own)).log_prob(alone.observe(ROW[:, index : index + 1]))
            total = total + term * (~torch.isnan(x[:, index]))
    torch.testing.assert_close(mixed(raw).log_prob(x), total)
    seen = mixed.seen(x)
    assert torch.isfinite(seen).all()
    assert seen.shape[1] == 1 + 1 + 1 + 4 + 2 + 1 + 1 + 1 + 16 + (9 if gaps else 0)  # 300 levels are read as 16 numbers


def test_without_columns_each_is_a_gaussian_and_a_table_may_say_otherwise() -> None:
    mixed = Mixed()
    assert mixed.setup((3,)) == (3,)
    x = torch.randn(4, 3)
    torch.testing.assert_close(mixed(torch.zeros(4, 3)).log_prob(x), stats_normal(x))
    given = mixed.of_columns([{"type": "Bernoulli"}, {"type": "Poisson"}])
    assert [type(column).__name__ for column in given.columns] == ["Bernoulli", "Poisson"]
    assert given.discrete
    assert not mixed.discrete
    own = Mixed((Poisson(),))
    assert own.of_columns([{"type": "Bernoulli"}]) is own
    plain = Gaussian()
    assert plain.of_columns([{"type": "Bernoulli"}]) is plain
    with pytest.raises(UsageError, match="Mixed has columns and the rows have shape"):
        Mixed().setup((1, 2, 2))


def stats_normal(x: Tensor) -> Tensor:
    return (-0.5 * x.square() - 0.5 * math.log(2 * math.pi)).sum(-1)


def test_many_levels_are_read_by_a_learned_embedding() -> None:
    likelihood = Categorical(257)
    likelihood.setup((2,))
    assert Categorical(256).setup((2,)) == (2, 256)
    seen = likelihood.embed(torch.tensor([[0, 256], [256, 3]]))
    assert seen.shape == (2, 2, 16)
    assert torch.equal(seen[0, 1], seen[1, 0])
    assert torch.equal(seen[0, 1], likelihood.embedding.weight[256])
    seen.sum().backward()
    assert float(likelihood.embedding.weight.grad[256].sum()) == 32.0
    x = torch.randint(0, 257, (50, 2), generator=torch.Generator().manual_seed(0)).float()
    model = LatentModel(Flat(2, prior=Vamp(4)), Categorical(257), Mlp(8, 1)).setup((2,), x)
    model.trace(x).log_weight.sum().backward()
    assert bool((model.likelihood.embedding.weight.grad != 0).any())


def test_every_column_starts_at_its_shares() -> None:
    """With a code of nought and no hidden layer's say, p(x) of the decoder's biases is the frequencies of the rows."""
    generator = torch.Generator().manual_seed(1)
    n = 4000
    x = torch.stack(
        [
            (torch.rand(n, generator=generator) < 0.9).float(),
            torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), n, True, generator=generator).float(),
            torch.multinomial(torch.tensor([0.1, 0.2, 0.7]), n, True, generator=generator).float(),
            torch.poisson(torch.full((n,), 40.0), generator=generator),
            torch.where(torch.rand(n, generator=generator) < 0.25, 0.0, torch.randn(n, generator=generator)),
            (50 + 5 * torch.randn(n, generator=generator)).round(),
        ],
        1,
    )
    x[::7, 1:5] = math.nan
    mixed = Mixed((Bernoulli(), Categorical(3), Ordinal(3), Poisson(), Hurdle(), RoundedLogistic(1.0, "predicted")))
    mixed.gaps = True
    mixed.setup((6,))
    px = mixed(mixed.start(x[:3500]).unsqueeze(0))
    parts = [part.base_dist for part in px.parts]
    assert float(parts[0].probs) == pytest.approx(0.9, abs=0.02)
    for place, expected in ((1, [0.7, 0.2, 0.1]), (2, [0.1, 0.2, 0.7])):
        torch.testing.assert_close(parts[place].probs.flatten().detach(), torch.tensor(expected), atol=0.02, rtol=0)
    assert float(parts[3].rate) == pytest.approx(40, rel=0.02)
    assert float(parts[4].log_weights[0].exp()) == pytest.approx(0.25, abs=0.02)
    assert float(parts[5].mean) == pytest.approx(50, abs=0.3)
    assert float(parts[5].variance) == pytest.approx(25, rel=0.1)


def test_a_spike_beside_probabilities_is_refused() -> None:
    for rest in (Poisson(), Categorical(3), Hurdle()):
        with pytest.raises(UsageError, match=r"Hurdle sets spikes beside a density, .* use StudentT or Gaussian"):
            check(LatentModel(Flat(1), Hurdle(rest), Mlp(4, 1)))


@pytest.mark.parametrize(
    ("spec", "raw"),
    [
        ({"type": "RoundedLogistic", "step": 0.5, "scale": "fixed", "value": 0.8}, [[1.3]]),
        ({"type": "Hurdle", "rest": {"type": "Gaussian", "scale": "fixed"}, "spikes": [0.5, -2.0]}, [[0.2, -0.5, 0.3]]),
    ],
)
def test_shares_and_quantiles_are_sums_of_the_probabilities(spec: dict[str, object], raw: list[list[float]]) -> None:
    likelihood = set_up(Likelihood.from_spec(spec))
    px = likelihood(torch.tensor(raw, dtype=torch.float64))
    elements = px.base_dist
    if spec["type"] == "Hurdle":
        spikes = torch.tensor([0.5, -2.0], dtype=torch.float64)
        line = torch.linspace(-12, 12, 48_001, dtype=torch.float64) + 1e-4
        x = torch.cat((line, spikes)).sort().values
        mass = px.log_prob(x[:, None]).exp() * torch.where(torch.isin(x, spikes), 1.0, float(line[1] - line[0]))
    else:
        x = 0.5 * torch.arange(-60, 61, dtype=torch.float64)
        mass = px.log_prob(x[:, None]).exp()
    ends = mass.detach().cumsum(0)
    asked = torch.tensor([-2.5, -2.0, -1.7, 0.0, 0.5, 0.51, 3.0], dtype=torch.float64)
    expected = torch.stack([mass.detach()[x < value - 1e-9].sum() for value in asked])
    torch.testing.assert_close(below(elements, asked[:, None])[:, 0], expected, atol=1e-3, rtol=0)
    for share in (0.02, 0.3, 0.5, 0.62, 0.9, 0.99):
        found = float(quantile(elements, torch.tensor([share]).double())[0])
        assert found == pytest.approx(float(x[int((ends >= share).int().argmax())]), abs=3e-3)


def test_a_gap_is_drawn_from_an_interval_beside_a_spike() -> None:
    """Of 3 ≤ x < 5 and the spike at 0: their shares, and nothing else."""
    likelihood = Hurdle(Gaussian("fixed", value=2.0), (0.0,))
    likelihood.gaps = True
    likelihood.setup((1,))
    px = columnwise(likelihood(torch.tensor([[1.0, 0.2]]).expand(20_000, 2)))
    gaps = torch.full((20_000, 1), math.nan)
    spike = (0.0, float(np.nextafter(np.float32(0), np.float32(1))))
    drawn, log_share = px.completed(gaps, torch.Generator().manual_seed(0), {0: [spike, (3.0, 5.0)]})
    at = torch.sigmoid(torch.tensor(0.2)).item()
    band = (1 - at) * (stats.norm.cdf(5, 1, 2) - stats.norm.cdf(3, 1, 2))
    torch.testing.assert_close(log_share.exp(), torch.full((20_000,), at + band), atol=1e-4, rtol=0)
    assert float((drawn == 0).float().mean()) == pytest.approx(at / (at + band), abs=0.02)
    assert (((drawn >= 3) & (drawn < 5)) | (drawn == 0)).all()
