"""Likelihoods and networks of sound: what their numbers are, beside ways of computing them that share nothing with them."""

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch.distributions import Normal

from lambent.codec.exact.compiling import exact
from lambent.distributions import sample
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, ItakuraSaito, Likelihood, Spectrogram
from lambent.model.networks import Mlp, Network, Wave
from lambent.part import Shape

EVENT: Shape = (2, 16, 5)


def lapped(wave: np.ndarray, bands: int) -> np.ndarray:
    """Coefficients [bands, frames] of a waveform, sum by sum: a sine window over a frame and half of both its neighbours."""
    n, k = np.arange(2 * bands), np.arange(bands)
    window = np.sin(np.pi / (2 * bands) * (n + 0.5))
    basis = np.sqrt(2 / bands) * np.cos(np.pi / bands * (n[:, None] + 0.5 - bands / 2) * (k + 0.5))
    padded = np.pad(wave, bands // 2)
    return np.stack([(window * padded[t : t + 2 * bands]) @ basis for t in range(0, len(wave), bands)], 1)


def test_the_divergence_of_itakura_and_saito_is_what_is_left_of_the_likelihood() -> None:
    likelihood = ItakuraSaito(floor=1e-6)
    raw = torch.randn(likelihood.setup((7,)), dtype=torch.float64)
    x = torch.randn(4, 7, dtype=torch.float64)
    ratio = x.square() / (2 * raw).exp()
    expected = 0.5 * (ratio - ratio.log() - 1).sum(-1)
    best = Normal(0.0, x.abs()).log_prob(x).sum(-1)  # no σ makes x likelier than |x|
    torch.testing.assert_close(best - likelihood(raw).log_prob(x), expected)


def test_quiet_and_loud_count_alike() -> None:
    """A factor of e between what is there and what is expected costs the same at any level far above the floor."""
    likelihood = ItakuraSaito(floor=1e-5)
    likelihood.setup((1,))
    level = torch.tensor([[-6.0], [-2.0], [1.0]], dtype=torch.float64)
    lost = likelihood(level + 1).log_prob(level.exp()) - likelihood(level).log_prob(level.exp())
    torch.testing.assert_close(lost, lost[:1].expand(3), atol=1e-4, rtol=0)


def test_what_is_far_below_the_floor_is_all_the_same() -> None:
    likelihood = ItakuraSaito(floor=0.1)
    likelihood.setup((1,))
    x = torch.tensor([[0.0], [0.05]], dtype=torch.float64)
    expected = Normal(0.0, 0.1).log_prob(x)[:, 0].double()
    each = [likelihood(torch.full((2, 1), deep, dtype=torch.float64)).log_prob(x) for deep in (-50.0, -9.0)]
    torch.testing.assert_close(each[0], each[1])
    torch.testing.assert_close(each[0], expected, atol=0.07, rtol=0)


def test_what_is_shown_is_as_loud_as_what_is_drawn() -> None:
    likelihood = ItakuraSaito()
    px = likelihood(torch.randn(3, *likelihood.setup(EVENT), generator=torch.Generator().manual_seed(3)))
    drawn = sample(px, (4000,), torch.Generator().manual_seed(0)).square().mean(0)
    torch.testing.assert_close(likelihood.shown(px).square(), drawn, rtol=0.2, atol=0.0)
    assert not px.mean.any()
    assert 0.3 < float((likelihood.shown(px) > 0).float().mean()) < 0.7


def test_it_starts_at_the_power_of_each_band() -> None:
    """A decoder of Wave has one bias a band, and these are what the rows say."""
    torch.manual_seed(0)
    rows = torch.randn(300, *EVENT) * torch.linspace(0.2, 3, 16)[:, None]
    model = LatentModel(Flat(3), ItakuraSaito(), Wave((4, 4), width=8)).setup(EVENT, rows)
    last = next(layer for layer in reversed(list(model.decoder)) if isinstance(layer, torch.nn.Conv2d))
    assert last.bias is not None
    expected = rows.square().mean((0, 3)).sqrt().flatten()
    torch.testing.assert_close(last.bias.detach().exp(), expected, rtol=0.02, atol=0.0)


def test_coefficients_become_the_sound_that_they_came_of() -> None:
    """By the definition of the transform; at both ends, where a frame has but one neighbour, nothing is there to overlap."""
    bands, frames = 16, 6
    wave = np.random.default_rng(0).normal(size=bands * frames)
    likelihood = Spectrogram()
    likelihood.setup((1, bands, frames))
    back = likelihood.waveform(torch.from_numpy(lapped(wave, bands)).float()).numpy()
    inner = slice(bands // 2, -bands // 2)
    np.testing.assert_allclose(back[inner], wave[inner], atol=1e-5)


def test_the_transform_keeps_the_energy() -> None:
    for window in ("sine", "kaiser"):
        likelihood = Spectrogram(lapped=window)
        likelihood.setup(EVENT)
        x = torch.randn(3, *EVENT)
        wave = likelihood.waveform(x)
        assert tuple(wave.shape) == (3, 2, 80)
        torch.testing.assert_close(wave.square().sum((1, 2)), x.square().sum((1, 2, 3)), rtol=1e-5, atol=1e-5)


def test_magnitudes_are_those_of_scipy() -> None:
    likelihood = Spectrogram()
    wave = np.random.default_rng(1).normal(size=256)
    taper = signal.windows.hann(64, sym=False)
    transform = signal.ShortTimeFFT(taper, 16, 1.0)
    likelihood.setup((1, 16, 16))
    found = likelihood._magnitudes(torch.from_numpy(wave), 64).numpy()
    expected = np.abs(transform.stft(wave, p0=0, p1=found.shape[1])) / math.sqrt(float((taper**2).sum()))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_sound_costs_nothing_beside_itself_and_as_much_as_told_beside_another() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1, 16, 8) * torch.rand(64, 1, 16, 1)
    likelihood = Spectrogram(weight=3.0)
    raw = likelihood.setup((1, 16, 8))
    assert raw == (1, 16, 8)
    likelihood.study(x, torch.Generator())
    torch.testing.assert_close(likelihood(x).log_prob(x), torch.zeros(64))
    lost = -likelihood(x).log_prob(x.roll(1, 0)).mean()
    assert float(lost) == pytest.approx(3.0 * 16 * 8, rel=1e-4)
    assert float(-likelihood(-x).log_prob(x).abs().max()) == pytest.approx(0, abs=1e-3)  # a sign is not heard
    assert float(-likelihood(1.1 * x).log_prob(x).mean()) < float(-likelihood(2 * x).log_prob(x).mean())


@pytest.mark.parametrize("event", [(4,), (6, 5), (1, 5, 6)], ids=str)
def test_what_is_no_sound_is_refused(event: Shape) -> None:
    with pytest.raises(UsageError, match=r"Spectrogram takes sounds.*even number of bands.*use Gaussian"):
        Spectrogram().setup(event)


def test_only_a_likelihood_of_its_shape_goes_with_convolutions_along_time() -> None:
    with pytest.raises(UsageError, match=r"Wave emits channels along time, which Categorical cannot read: use the Mlp"):
        LatentModel(Flat(2), Likelihood.from_spec({"type": "Categorical", "levels": 3}), Wave((4,))).setup((1, 4, 4))


def test_a_pattern_may_come_at_any_time() -> None:
    """Convolutions along time: what is later comes out later; bands are not interchangeable."""
    torch.manual_seed(0)
    network = Wave((6,), width=4)
    layers = list(network.encoder((1, 5, 32)))
    first = torch.nn.Sequential(*layers[:3])
    x = torch.zeros(1, 1, 5, 32)
    x[..., 10:14] = torch.randn(5, 4)
    torch.testing.assert_close(first(x.roll(4, -1)), first(x).roll(2, -1))
    assert not torch.allclose(first(x.roll(1, -2)), first(x), atol=1e-3)


def test_rows_in_time_of_other_shapes() -> None:
    """A waveform is one channel; an even kernel reads one frame more, so that halves meet."""
    for event in ((48,), (3, 17), (1,)):
        for kernel in (1, 4, 9):
            network = Network.from_spec({"type": "Wave", "channels": [4, 5], "kernel": kernel, "blocks": 1, "width": 6})
            assert network.encoder(event)(torch.randn(2, *event)).shape == (2, 6)
            assert network.decoder((3,), event)(torch.randn(2, 3)).shape == (2, *event)


def test_convolutions_along_time_have_an_exact_form() -> None:
    torch.manual_seed(0)
    model = LatentModel(Flat(3), Bernoulli(), Wave((6, 8), width=12, blocks=1)).setup((1, 5, 9)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        codes = torch.randn(4, 3)
        found = exact(model).unfolded([codes.double()])
        torch.testing.assert_close(found, model.unfolded([codes]).double(), atol=5e-3, rtol=0)
        assert found.std() > 0.05


def test_powers_are_learned() -> None:
    """Noise of two spectra, told apart by nothing but its power in each band: the code finds which, the decoder both powers."""
    torch.manual_seed(0)
    kinds = torch.arange(400) % 2
    slope = torch.linspace(-1.5, 1.5, 8)[:, None]
    scale = torch.where(kinds[:, None, None, None] == 0, slope, -slope).exp()
    rows = torch.randn(400, 1, 8, 8) * scale
    model = LatentModel(Flat(2), ItakuraSaito(), Mlp(32, 1)).setup((1, 8, 8), rows)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for step in range(150):
        part = slice(100 * (step % 4), 100 * (step % 4) + 100)
        trace = model.trace(rows[part])
        loss = (trace.nodes[0].kl - trace.log_px).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        px = model.trace(rows).px
        found = px.stddev.log().mean(-1)[0, :, 0]
    for kind in (0, 1):
        expected = slope[:, 0] if kind == 0 else -slope[:, 0]
        assert float((found[kinds == kind].mean(0) - expected).abs().max()) < 0.25
