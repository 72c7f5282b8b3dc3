"""The robust scale: the squash counts in the density, so that a bound is that of the data scaled by median and quartiles."""

import numpy as np
import pytest
import torch
from scipy import stats

from lambent import VAE, JohnsonSU, LatentModel, Table
from lambent.data.kinds.census import IQR_OF_GAUSSIAN
from lambent.data.loading import load
from lambent.metrics.bound import bounds


def heavy() -> np.ndarray:
    rows = np.random.default_rng(0).standard_t(2, size=(400, 2)) * [3.0, 1e-3] + [100.0, 0.0]
    rows[7, 0] = 1e15
    return rows


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("location", [-2.0, 0.0, 0.7])
def test_the_density_is_johnsons(location: float, sigma: float) -> None:
    likelihood = JohnsonSU(scale="fixed", value=sigma)
    likelihood.setup((1,))
    u = torch.tensor([0.0, 1e-8, -0.3, 5.0, -2e3, 9.9e3, 1.1e4, 1e15, -1e30], dtype=torch.float64)
    px = likelihood.double()(torch.full((1,), location, dtype=torch.float64))
    found, v = px.log_prob(u[:, None]).detach().numpy(), u.numpy()
    expected = stats.norm(location, sigma).logpdf(np.arcsinh(v)) - 0.5 * np.log1p(v**2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if sigma == 1.0:  # of others scipy's own density ends early, far out
        np.testing.assert_allclose(found[:5], stats.johnsonsu(-location, 1).logpdf(v[:5]), rtol=1e-6)


def test_the_bound_of_a_table_is_the_analytic_density_of_its_rows() -> None:
    """A model that says N(0, σ²) of every asinh((x − median) / scale), whatever the code."""
    rows = heavy()
    encoded = load(rows, modality=Table(scale="robust"))
    model = LatentModel(latent="Flat", likelihood="JohnsonSU", network={"type": "Mlp", "width": 4}).setup((2,))
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    found = bounds(model.double(), encoded.x.double(), samples=4)
    assert float(found.kl.abs().max()) == pytest.approx(0, abs=1e-12)
    low, median, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / IQR_OF_GAUSSIAN
    sigma = np.hypot(1, 0.001)
    u = (rows - median) / scale
    of_data = (
        stats.norm(0, sigma).logpdf(np.arcsinh(u)) - 0.5 * np.log1p(u**2) - np.log(scale)
    )  # in the data's own units
    np.testing.assert_allclose(found.bound - np.log(scale).sum(), of_data.sum(1), rtol=1e-5)


def test_a_cell_of_1e15_does_not_spoil_the_rest() -> None:
    rows, network = heavy(), {"type": "Mlp", "width": 16}
    vae = VAE(2, modality=Table(scale="robust"), network=network, epochs=100, validation=0).fit(rows)
    assert type(vae.model_.likelihood).__name__ == "JohnsonSU"
    without = np.delete(rows, 7, axis=0)
    alone = VAE(2, modality=Table(scale="robust"), network=network, epochs=100, validation=0).fit(without)
    assert vae.score(without) == pytest.approx(alone.score(without), abs=0.15)
    assert vae.score_samples(rows[7:8])[0] < vae.score_samples(without).min() - 10
    drawn = vae.sample(2000)
    assert np.isfinite(drawn).all()
    np.testing.assert_allclose(np.median(drawn, 0), np.median(without, 0), atol=0.5 * without.std(0).min() + 1)
