"""Where a model starts: the evidence of principal components, and the marginals of pixels."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from lambent.metrics.bound import bounds
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, DiscretizedLogistics, Gaussian, Laplace, StudentT
from lambent.model.networks import Conv, Mlp, ResNet
from lambent.model.starting import components


def correlated(rows: int = 400, columns: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(rows, 3, generator=generator) @ torch.randn(3, columns, generator=generator)
    return mixed + 0.5 * torch.randn(rows, columns, generator=generator) + torch.arange(columns)


@pytest.mark.parametrize("units", [2, 3, 5])
@pytest.mark.parametrize("scale", ["one", "each", "predicted"])
def test_a_linear_map_starts_with_the_evidence_of_probabilistic_components(units: int, scale: str) -> None:
    x = correlated()
    likelihood = Gaussian(scale, floor=1e-6)  # type: ignore[arg-type]
    model = LatentModel(Flat(units), likelihood, Mlp(8, 1, linear=True)).setup((6,), x).eval()
    found = bounds(model, x, 50, 0)
    expected = PCA(units).fit(x.double().numpy()).score(x.double().numpy())
    # Their posterior is exact, too: the bound of one sample is as good as that of fifty.
    assert float(found.elbo.mean()) == pytest.approx(expected, abs=0.05)
    assert float(found.bound.mean()) == pytest.approx(expected, abs=0.01)


def test_with_all_directions_kept_the_start_is_the_gaussian_of_the_rows() -> None:
    x = correlated()
    model = LatentModel(Flat(6), Gaussian("predicted", floor=1e-6), Mlp(8, 1, linear=True)).setup((6,), x).eval()
    expected = PCA().fit(x.double().numpy()).score(x.double().numpy())
    assert float(bounds(model, x, 50, 0).bound.mean()) == pytest.approx(expected, abs=0.02)


def test_units_without_a_direction_and_conditions_begin_without_effect() -> None:
    """Rows on a line, with less noise than any random weight: the evidence is that of their one component."""
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, -2.0, 0.5, 3.0, 1.0])
    found = components(x, 4)
    assert len(found.variances) == 1
    spread = (found.sizes[:, None] * found.directions).T.double()
    covariance = spread @ spread.T + found.noise**2 * torch.eye(5, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(found.mean.double(), covariance)
    likelihood = Gaussian("predicted", floor=1e-6)
    model = LatentModel(Flat(4), likelihood, Mlp(8, 1, linear=True)).setup((5,), x).eval()
    assert float(bounds(model, x, 200, 0).bound.mean()) == pytest.approx(
        float(normal.log_prob(x.double()).mean()), abs=0.5
    )

    x = correlated()
    model = LatentModel(Flat(3), Gaussian("each"), Mlp(8, 1, linear=True), context=2).setup((6,), x).eval()
    expected = PCA(3).fit(x.double().numpy()).score(x.double().numpy())
    under = bounds(model, x, 50, 0, torch.randn(len(x), 2))
    assert float(under.bound.mean()) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("units", [2, 5])
def test_components_are_those_of_scikit_learn(units: int) -> None:
    x = correlated()
    found, known = components(x, units), PCA(units).fit(x.double().numpy())
    share = (len(x) - 1) / len(x)  # maximum likelihood divides by n
    np.testing.assert_allclose(found.variances, known.explained_variance_ * share, rtol=1e-5)
    assert found.noise**2 == pytest.approx(known.noise_variance_ * share, rel=1e-5)
    assert torch.allclose(
        (found.directions @ torch.from_numpy(known.components_).float().T).abs(), torch.eye(units), atol=1e-5
    )


@pytest.mark.parametrize("rows", [torch.ones(5, 4), torch.randn(2, 4), torch.eye(4)[:1].repeat(9, 1)])
def test_rows_without_directions_leave_a_model_that_works(rows: Tensor) -> None:
    model = LatentModel(Flat(3), Gaussian("each"), Mlp(8, 1, linear=True)).setup((4,), rows).eval()
    assert torch.isfinite(bounds(model, rows, 2, 0).bound).all()


@pytest.mark.parametrize("likelihood", [StudentT(), Laplace(), StudentT("predicted"), Laplace("each")])
def test_other_locations_start_at_the_components_too(likelihood: StudentT | Laplace) -> None:
    x = correlated()
    model = LatentModel(Flat(3), likelihood, Mlp(8, 1, linear=True)).setup((6,), x).eval()
    plain = LatentModel(Flat(3), type(likelihood).from_spec(likelihood.spec()), Mlp(8, 1)).setup((6,), x).eval()
    assert float(bounds(model, x, 10, 0).bound.mean()) > float(bounds(plain, x, 10, 0).bound.mean()) + 1


def test_a_linear_map_where_there_are_no_components_is_only_a_map() -> None:
    bits = (correlated() > 0).float()
    model = LatentModel(Flat(3), Bernoulli(), Mlp(8, 1, linear=True)).setup((6,), bits).eval()
    chance = -6 * math.log(2)
    assert float(bounds(model, bits, 10, 0).elbo.mean()) > chance


# ---- pixels ------------------------------------------------------------------------------------------------------


def flat_pictures(channels: int) -> Tensor:
    """Black, with a bright square of nine pixels somewhere."""
    generator, x = torch.Generator().manual_seed(0), torch.zeros(200, channels, 16, 16, dtype=torch.uint8)
    for picture, (row, column) in zip(x, torch.randint(0, 14, (200, 2), generator=generator).tolist(), strict=True):
        picture[:, row : row + 3, column : column + 3] = 255
    return x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mixed", [1, 3])
@pytest.mark.parametrize("network", [Conv(channels=(8,), width=16), ResNet(channels=(8,), width=16), Mlp(16)])
def test_flat_pictures_start_near_the_code_length_of_their_levels(channels: int, mixed: int, network: Mlp) -> None:
    x = flat_pictures(channels)
    model = LatentModel(Flat(2), DiscretizedLogistics(mixed), network).setup(tuple(x.shape[1:]), x).eval()
    start = float(bounds(model, x, 1, 0).log_px.mean())
    share = 9 / 256
    entropy = channels * 256 * (-share * math.log(share) - (1 - share) * math.log(1 - share))
    assert start > -8 * entropy, "a single logistic is no pair of spikes, and yet not thousands of nats away"
    unstarted = LatentModel(Flat(2), DiscretizedLogistics(mixed), network).setup(tuple(x.shape[1:])).eval()
    assert float(bounds(unstarted, x, 1, 0).log_px.mean()) < 2 * start


def test_levels_of_one_logistic_are_found() -> None:
    """Levels drawn from a discretized logistic: the start is where they came from."""
    uniform = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(1)).clamp(1e-6, 1 - 1e-6)
    x = ((0.2 + math.exp(-2.5) * uniform.logit() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    likelihood = DiscretizedLogistics()
    likelihood.setup((1, 8, 8))
    raw = likelihood.start(x.float())
    assert raw.shape == (2, 8, 8)
    assert float(raw[0, 0, 0]) == pytest.approx(0.2, abs=0.01)
    assert float(raw[1, 0, 0]) - 2 == pytest.approx(-2.5, abs=0.02)
