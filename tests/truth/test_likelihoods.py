"""Every likelihood is a normalized distribution whose moments and samples are those of its log-probability."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from lambent.distributions import centre, sample
from lambent.model.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistics,
    Gaussian,
    Likelihood,
    Mixed,
    NegativeBinomial,
    Poisson,
)
from lambent.part import Shape, Spec

Support = tuple[Tensor, Tensor]  # values [n, *event] and their weights [n], 1 where the likelihood is discrete
PIXEL: dict[str, Shape] = {"DiscretizedLogistics": (1, 1, 1)}
COLUMNS = [{"type": "Gaussian"}, {"type": "Categorical", "levels": 3}, {"type": "Bernoulli"}]
COUNTS = ("Poisson", "NegativeBinomial", "ZeroInflatedNegativeBinomial")


def whole_numbers(last: int) -> Support:
    values = torch.arange(last + 1, dtype=torch.float64)
    return values.unsqueeze(-1), torch.ones_like(values)


def real_line(centre: float) -> Support:
    """x = centre + sinh(t): even steps of t reach both a peak 0.001 wide and the far tails."""
    t = torch.linspace(-22, 22, 200_001, dtype=torch.float64)
    weight = torch.cosh(t) * (t[1] - t[0])
    return (centre + torch.sinh(t)).unsqueeze(-1), weight


def unit_interval() -> Support:
    x = torch.linspace(0, 1, 40_001, dtype=torch.float64)
    weight = torch.full_like(x, float(x[1]))
    weight[0] = weight[-1] = x[1] / 2
    return x.unsqueeze(-1), weight


def support(spec: Spec, raw: Tensor) -> Support:
    """All values of one element, or nodes of a quadrature over them."""
    values, weight = values_of(spec, float(raw.flatten()[0]))
    return values.to(raw.device), weight.to(raw.device)


# Whose columns differ, or see each other; and what is no probability at all, whose numbers stand in files of their own.
JOINT = ("Mixed", "Autoregressive", "Tokens", "Perceptual", "Spectrogram")


def values_of(spec: Spec, location: float) -> Support:
    """The same by name; a new likelihood must be added here."""
    name = spec["type"]
    if name in ("Gaussian", "StudentT", "Laplace", "JohnsonSU"):
        return real_line(location)
    if name == "ItakuraSaito":
        return real_line(0.0)
    if name == "ContinuousBernoulli":
        return unit_interval()
    if name == "Bernoulli":
        return whole_numbers(1)
    if name == "RoundedLogistic":
        step = spec.get("step", 1.0)
        values = step * torch.arange(-4000, 4001, dtype=torch.float64)
        return values.unsqueeze(-1), torch.ones_like(values)
    if name == "Hurdle":
        values, weight = real_line(location)
        spikes = torch.tensor(spec.get("spikes", [0.0]), dtype=torch.float64).unsqueeze(-1)
        return torch.cat((spikes, values)), torch.cat((torch.ones(len(spikes)), weight))
    if name in ("Categorical", "Ordinal"):
        return whole_numbers(spec.get("levels", 2) - 1)
    if name in COUNTS:
        return whole_numbers(30_000)
    if name == "DiscretizedLogistics":
        values, weight = whole_numbers(spec.get("levels", 256) - 1)
        return values.reshape(-1, 1, 1, 1), weight
    raise AssertionError(f"{name} has no support listed in this test: add it")


def element(spec: Spec, device: torch.device, number: int = 0) -> tuple[Likelihood, Tensor]:
    """The likelihood of one element and raw outputs of it, in float64."""
    likelihood = Likelihood.from_spec(spec)
    raw = likelihood.setup(PIXEL.get(spec["type"], (1,)))
    generator = torch.Generator().manual_seed(number)
    return likelihood.double().to(device), torch.randn(raw, generator=generator, dtype=torch.float64).to(device)


@pytest.mark.parametrize("number", range(3))
def test_probabilities_sum_to_one(any_likelihood_spec: Spec, number: int, device: torch.device) -> None:
    if any_likelihood_spec["type"] in JOINT:
        pytest.skip(
            "summed over a joint support: Mixed below, Autoregressive in test_autoregressive, Tokens in test_sequences"
        )
    likelihood, raw = element(any_likelihood_spec, device, number)
    values, weight = support(any_likelihood_spec, raw)
    probability = likelihood(raw).log_prob(values).exp()
    assert abs(float((weight * probability).detach().sum()) - 1) < 2e-6


@pytest.mark.parametrize("number", range(3))
def test_moments_are_those_of_the_probabilities(any_likelihood_spec: Spec, number: int, device: torch.device) -> None:
    name = any_likelihood_spec["type"]
    if name in (*JOINT, "Categorical", "Ordinal"):
        pytest.skip("names have no mean; Mixed is tested below")
    likelihood, raw = element(any_likelihood_spec, device, number)
    values, weight = support(any_likelihood_spec, raw)
    px = likelihood(raw)
    mass = weight * px.log_prob(values).exp()
    mean = (mass * values.flatten()).sum()
    torch.testing.assert_close(px.mean.flatten()[0].detach(), mean.detach(), rtol=1e-5, atol=1e-6)
    if name != "DiscretizedLogistics":  # which offers no variance
        variance = (mass * (values.flatten() - mean).square()).sum()
        torch.testing.assert_close(px.variance.flatten()[0].detach(), variance.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("number", range(2))
def test_samples_follow_the_probabilities(any_likelihood_spec: Spec, number: int, device: torch.device) -> None:
    name = any_likelihood_spec["type"]
    if name in JOINT:
        pytest.skip("Mixed is tested below, Autoregressive in test_autoregressive")
    likelihood, raw = element(any_likelihood_spec, device, number)
    values, weight = support(any_likelihood_spec, raw)
    with torch.no_grad():
        px = likelihood(raw)
        drawn = sample(px, (20_000,), torch.Generator(device).manual_seed(number)).flatten().double().cpu()
        mass = (weight * px.log_prob(values).exp()).cpu()
    if name == "Hurdle":
        spikes = values[: len(likelihood.spikes), 0].cpu()
        for spike, expected in zip(spikes, mass, strict=False):
            assert abs(float((drawn == spike).double().mean()) - float(expected)) < 0.015
        drawn, values, mass = (
            drawn[~torch.isin(drawn, spikes)],
            values[len(spikes) :],
            mass[len(spikes) :] / mass[len(spikes) :].sum(),
        )
    if likelihood.discrete:
        line = values.flatten().cpu()
        assert chi_square(torch.searchsorted(line, drawn - 1e-6), mass) > 1e-4
    else:
        order = torch.cumsum(mass, 0) - mass / 2
        below = np.interp(drawn.numpy(), values.flatten().cpu().numpy(), order.numpy())
        assert stats.kstest(below, "uniform").pvalue > 1e-4


def chi_square(drawn: Tensor, mass: Tensor) -> float:
    """The p-value of counts against probabilities of values by number, 0, 1, 2, …, rare ones taken together."""
    counts = torch.bincount(drawn.long(), minlength=len(mass)).double()
    expected = mass * len(drawn)
    common = expected >= 5
    seen = torch.cat((counts[common], counts[~common].sum().reshape(1)))
    awaited = torch.cat((expected[common], (len(drawn) - expected[common].sum()).reshape(1).clamp_min(1e-9)))
    if awaited[-1] < 5:  # too rare to test: only nothing wild may happen there
        assert seen[-1] < 25
        seen, awaited = seen[:-1], awaited[:-1]
    if len(awaited) < 2:
        return 1.0
    return float(stats.chi2.sf(((seen - awaited).square() / awaited).sum(), len(awaited) - 1))


@pytest.mark.parametrize("magnitude", [0.0, 30.0, 1e4])
@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_raw_outputs_keep_value_and_gradient_finite(
    any_likelihood_spec: Spec,
    magnitude: float,
    sign: int,
    event: Callable[[Spec], Shape],
    rows: Callable[..., Tensor],
    device: torch.device,
) -> None:
    """In float32, at data both likely and unlikely."""
    shape = event(any_likelihood_spec)
    x = rows(any_likelihood_spec, shape, 6).to(device)
    if any_likelihood_spec["type"] in COUNTS:
        x[0], x[1] = 0, 100_000
    if any_likelihood_spec["type"] == "DiscretizedLogistics":
        x[0], x[1] = 0, 255
    if any_likelihood_spec["type"] == "ContinuousBernoulli":
        x[0], x[1] = 0, 1
    likelihood = Likelihood.from_spec(any_likelihood_spec)
    raw = torch.full((6, *likelihood.setup(shape)), sign * magnitude, requires_grad=True, device=device)
    likelihood.to(device)
    log_px = likelihood(raw).log_prob(likelihood.observe(x))
    assert log_px.shape == (6,)
    assert torch.isfinite(log_px).all()
    log_px.sum().backward()
    assert torch.isfinite(raw.grad).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in likelihood.parameters())


def test_log_probability_is_a_sum_over_elements(any_likelihood_spec: Spec, device: torch.device) -> None:
    """Thirty equal pixels weigh thirty times one: a mean over them beside a KL would be the classic collapse."""
    if any_likelihood_spec["type"] in JOINT:
        pytest.skip("the columns of Mixed are summed below, those of Autoregressive are no independent elements")
    one, raw = element(any_likelihood_spec, device)
    many = Likelihood.from_spec(any_likelihood_spec)
    wide = many.setup((1, 6, 5)) if any_likelihood_spec["type"] != "Categorical" else many.setup((30,))
    many.double().to(device)
    if any_likelihood_spec.get("library") == "observed":  # thirty equal shares of thirty times the sum
        many.log_library += math.log(30)
    pixels = raw.reshape(-1, 1, 1).expand(-1, 6, 5) if len(wide) == 3 else raw.expand(*wide)
    value = torch.ones(30, dtype=torch.float64, device=device)
    single = one(raw).log_prob(value[:1].reshape(one.event))
    whole = many(pixels.reshape(wide)).log_prob(value.reshape(many.event))
    torch.testing.assert_close(whole, 30 * single, rtol=1e-6, atol=1e-9)


# ---- one by one --------------------------------------------------------------------------------------------------


def test_gaussian_has_its_constant() -> None:
    likelihood = Gaussian(scale="fixed")
    raw = likelihood.setup((784,))
    log_px = likelihood(torch.zeros(raw)).log_prob(torch.zeros(784))
    torch.testing.assert_close(log_px, torch.tensor(-392 * math.log(2 * math.pi)))


def test_fixed_scale_is_the_scale_whatever_the_floor() -> None:
    likelihood = Gaussian(scale="fixed", value=1e-4)
    likelihood.setup((1,))
    torch.testing.assert_close(likelihood(torch.zeros(1)).stddev, torch.tensor([1e-4]))


def test_grey_is_no_binary_likelihood(rows: Callable[..., Tensor]) -> None:
    """−BCE of grey values is no log-probability: its sum over a pixel's values is not one; so Bernoulli refuses them."""
    likelihood = Bernoulli()
    likelihood.setup((1,))
    with pytest.raises(ValueError, match="ContinuousBernoulli"):
        likelihood.check(torch.rand(5, 1))


@pytest.mark.parametrize("logit", [-1e4, -30.0, -1.0, -0.4, -1e-3, 0.0, 1e-4, 0.02, 0.6, 5.0, 17.0, 30.0, 1e4])
def test_continuous_bernoulli_at_every_logit_in_float32(logit: float) -> None:
    """Against the closed forms in high precision; the probability itself ends at a logit of 16 in float32."""
    from mpmath import mp, mpf

    mp.dps = 60
    likelihood = ContinuousBernoulli()
    likelihood.setup((1,))
    px = likelihood(torch.tensor([logit]))
    exact = mpf(float(torch.tensor(logit)))
    mean = mpf(1) / 2 if exact == 0 else 1 / (1 - mp.exp(-exact)) - 1 / exact
    spread = mpf(1) / 12 if exact == 0 else 1 / exact**2 - mp.exp(-exact) / (1 - mp.exp(-exact)) ** 2
    if abs(exact) < mpf("0.1"):  # the differences above lose most digits there, even of sixty
        mean = mpf(1) / 2 + exact / 12 - exact**3 / 720
        spread = mpf(1) / 12 - exact**2 / 240 + exact**4 / 6048
    torch.testing.assert_close(px.mean, torch.tensor([float(mean)]), rtol=2e-6, atol=1e-8)
    torch.testing.assert_close(px.variance, torch.tensor([float(spread)]), rtol=2e-5, atol=0)
    for value in (0.0, 0.25, 1.0):
        log_c = mp.log(2) if exact == 0 else mp.log(exact / mp.tanh(exact / 2))
        log_px = exact * mpf(value) - mp.log(1 + mp.exp(exact)) + log_c
        torch.testing.assert_close(
            px.log_prob(torch.tensor([value])), torch.tensor(float(log_px)), rtol=2e-6, atol=2e-6
        )
    drawn = px.sample((4000,))
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert abs(float(drawn.mean()) - float(mean)) < 5 * math.sqrt(float(spread) / 4000) + 1e-6


@pytest.mark.parametrize("dispersion", [1e-3, 1.0, 15.9, 16.1, 300.0, 1.6e5])
@pytest.mark.parametrize("mean", [0.01, 3.0, 200.0])
def test_negative_binomial_in_float32_keeps_its_probabilities(dispersion: float, mean: float) -> None:
    """A learned dispersion runs to infinity where the counts are Poisson: log Γ(r) must not swallow the rest."""
    likelihood = NegativeBinomial(dispersion="fixed", value=dispersion)
    likelihood.setup((1,))
    values = torch.arange(600.0).unsqueeze(-1)
    found = likelihood(torch.tensor([math.log(mean)])).log_prob(values)
    exact = stats.nbinom(dispersion, dispersion / (dispersion + mean)).logpmf(values.flatten().numpy())
    torch.testing.assert_close(found.double(), torch.from_numpy(exact), rtol=2e-6, atol=1.5e-3)


def test_counts_far_out_in_float32() -> None:
    """Half a million transcripts of one gene, say: the two large terms of the Poisson must still cancel."""
    likelihood = Poisson()
    likelihood.setup((1,))
    for count in (1e3, 1e5):
        found = likelihood(torch.tensor([math.log(count)])).log_prob(torch.tensor([count]))
        assert abs(float(found) - stats.poisson(count).logpmf(count)) < 2e-6 * count + 1e-3


@pytest.mark.parametrize("components", [1, 3])
def test_colour_pixel_sums_to_one_channel_by_channel(components: int) -> None:
    """Σ_g Σ_b P(r, g, b) = P(r), a mixture of cut logistics written out here by its own formula, which sums to one."""
    likelihood = DiscretizedLogistics(components=components)
    raw = torch.randn(likelihood.setup((3, 1, 1)), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    px = likelihood(raw)
    levels = torch.arange(256, dtype=torch.float64)
    weights = torch.ones(1) if px.log_weights is None else px.log_weights.exp().flatten()
    red = torch.zeros(256, dtype=torch.float64)
    for weight, location, log_scale in zip(weights, px.location[:, 0], px.log_scale[:, 0], strict=True):
        upper = torch.sigmoid(((levels + 0.5) / 127.5 - 1 - location.squeeze()) / log_scale.squeeze().exp())
        upper[-1] = 1.0
        red += weight * torch.diff(upper, prepend=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(red.sum(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(px.mean[0].squeeze(), (levels * red).sum())
    green, blue = torch.meshgrid(levels, levels, indexing="ij")
    for level in (0, 7, 130, 255):
        pixels = torch.stack((torch.full_like(green, level), green, blue), -1).reshape(-1, 3, 1, 1)
        total = torch.cat([px.log_prob(part) for part in pixels.split(8192)]).exp().sum()
        torch.testing.assert_close(total, red[level], rtol=1e-9, atol=1e-12)


def test_colour_samples_follow_the_chain() -> None:
    """The mean log-probability of samples is minus the entropy: of one set by sampling, of the other by summing."""
    likelihood = DiscretizedLogistics(components=2)
    raw = torch.randn(likelihood.setup((3, 1, 1)), generator=torch.Generator().manual_seed(4))
    px = likelihood(raw)
    drawn = sample(px, (20_000,), torch.Generator().manual_seed(0))
    assert drawn.shape == (20_000, 3, 1, 1)
    assert (drawn == drawn.round()).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    # P(x)/P'(x) averages to one under P' when P' is what is sampled from; P is the same with its own parameters moved.
    other = DiscretizedLogistics(components=2)
    other.setup((3, 1, 1))
    ratio = (other(raw + 0.1).log_prob(drawn) - px.log_prob(drawn)).exp()
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / math.sqrt(len(ratio))
    for exponent in (1, 2):  # a sharper look: the ratio's own weights move its mean for a wrong sampler
        tilted = (other(raw + 0.3 * exponent).log_prob(drawn) - px.log_prob(drawn)).exp()
        assert abs(float(tilted.mean()) - 1) < 5 * float(tilted.std()) / math.sqrt(len(tilted))


@pytest.mark.parametrize("scale", [-9.0, 0.0, 9.0])
@pytest.mark.parametrize("location", [-3.0, 0.0, 0.999, 50.0])
def test_cut_logistics_sum_to_one_in_float32_at_every_scale(scale: float, location: float) -> None:
    likelihood = DiscretizedLogistics()
    likelihood.setup((1, 1, 1))
    px = likelihood(torch.tensor([location, scale]).reshape(2, 1, 1))
    total = px.log_prob(torch.arange(256.0).reshape(-1, 1, 1, 1)).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0), rtol=0, atol=2e-5)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("scale", [-20.0, -4.0, 0.0, 9.0])
@pytest.mark.parametrize("location", [-3.0, 0.1234567, 0.999])
def test_logistics_of_many_levels_sum_to_one_in_float32_and_have_the_mean_of_their_sum(
    bits: int, scale: float, location: float
) -> None:
    """Of 2^10 … 2^16 levels, and scales from a ninth of a level to twenty times the range."""
    likelihood = DiscretizedLogistics(levels=2**bits)
    likelihood.setup((1, 1, 1))
    px = likelihood(torch.tensor([location, scale]).reshape(2, 1, 1))
    levels = torch.arange(float(2**bits))
    mass = px.log_prob(levels.reshape(-1, 1, 1, 1)).exp().double()
    assert abs(float(mass.sum()) - 1) < 5e-5
    assert abs(float((mass / mass.sum() * levels).sum()) - float(px.mean)) < 2e-5 * 2**bits + 1e-3


def test_a_pixel_of_12_bits_has_the_probability_of_its_formula() -> None:
    """F(x + ½) − F(x − ½) with the mean at level 1000 and a scale of 50 levels, by scipy in float64."""
    likelihood = DiscretizedLogistics(levels=4096)
    likelihood.setup((1, 1, 1))
    raw = torch.tensor([1000 / 2047.5 - 1, math.log(50 / 2047.5) + 2], dtype=torch.float64).reshape(2, 1, 1)
    px = likelihood(raw)
    spread = float(px.log_scale.exp()) * 2047.5
    assert abs(spread - 50) < 0.5  # the smooth limits move it by a little
    for level in (0, 1, 700, 1000, 1049, 3000, 4095):
        low, high = (stats.logistic(1000, spread).cdf(level + side) for side in (-0.5, 0.5))
        wanted = (1.0 if level == 4095 else high) - (0.0 if level == 0 else low)
        found = float(px.log_prob(torch.full((1, 1, 1), float(level), dtype=torch.float64)).exp())
        assert abs(found - wanted) < 1e-12


@pytest.mark.parametrize("channels", [2, 4])
def test_bands_are_conditioned_on_those_before_them(channels: int) -> None:
    """Σ over all values of the other bands gives the first band's own probability; of 4 levels, so that all can be summed."""
    likelihood = DiscretizedLogistics(levels=4)
    raw = torch.randn(
        likelihood.setup((channels, 1, 1)), generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    px, alone = likelihood(raw), DiscretizedLogistics(levels=4)
    alone.setup((1, 1, 1))
    assert likelihood.couplings == channels * (channels - 1) // 2
    first = alone(raw[[0, channels]])
    rest = torch.tensor(list(itertools.product(range(4), repeat=channels - 1)), dtype=torch.float64)
    for level in range(4):
        pixels = torch.cat((torch.full((len(rest), 1), float(level)), rest), 1).reshape(-1, channels, 1, 1)
        wanted = first.log_prob(torch.full((1, 1, 1), float(level))).exp()
        torch.testing.assert_close(px.log_prob(pixels).exp().sum(), wanted.double(), rtol=1e-9, atol=1e-12)


def test_bands_beyond_eight_stand_by_themselves() -> None:
    likelihood = DiscretizedLogistics()
    assert likelihood.setup((8, 2, 2)) == (16 + 28, 2, 2)
    assert likelihood.setup((9, 2, 2)) == (18, 2, 2)


def mixed() -> tuple[Likelihood, Tensor]:
    likelihood = Likelihood.from_spec({"type": "Mixed", "columns": COLUMNS})
    raw = torch.randn(likelihood.setup((3,)), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return likelihood.double(), raw


def test_mixed_columns_sum_and_integrate_to_one() -> None:
    likelihood, raw = mixed()
    line, weight = real_line(float(raw[0]))
    total = torch.zeros((), dtype=torch.float64)
    for token, bit in itertools.product(range(3), range(2)):
        rows = torch.cat((line, torch.tensor([[token, bit]]).expand(len(line), 2)), 1)
        total = total + (weight * likelihood(raw).log_prob(rows).exp()).sum()
    torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64), rtol=0, atol=1e-6)


def test_mixed_columns_stand_in_their_own_places() -> None:
    """Columns of equal kind are computed together; each value must still meet its own parameters."""
    kinds = [Gaussian(scale="fixed"), Categorical(3), Gaussian(scale="fixed"), Bernoulli(), Categorical(3)]
    likelihood = Mixed(kinds)
    raw = torch.randn(likelihood.setup((5,)))
    drawn = sample(likelihood(raw.expand(4000, -1)), (), torch.Generator().manual_seed(0))
    for place in (0, 2):
        centred = torch.zeros(5)
        centred[place] = 2.5
        moved, still = (likelihood(raw).log_prob(v) for v in (centred, torch.zeros(5)))
        location = (float(moved - still) + 3.125) / 2.5  # log N(2.5; μ) − log N(0; μ) = 2.5 μ − 3.125
        assert abs(float(drawn[:, place].mean()) - location) < 5 / math.sqrt(4000)
        assert abs(float(centre(likelihood(raw))[place]) - location) < 1e-4
    for place, count in ((1, 3), (3, 2), (4, 3)):
        values = torch.zeros(count, 5)
        values[:, place] = torch.arange(count)
        log_px = likelihood(raw).log_prob(values)
        assert chi_square(drawn[:, place], torch.softmax(log_px, 0).detach().double()) > 1e-4


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_bytes_in_a_table_are_numbers_and_in_an_image_255ths(dtype: torch.dtype) -> None:
    x = torch.tensor([[3, 1], [200, 0]]).to(dtype)
    columns = Mixed([Gaussian(), Bernoulli()])
    columns.setup((2,))
    columns.check(x)
    torch.testing.assert_close(columns.observe(x).double(), x.double())
    image = Gaussian()
    expected = x.double() / 255 if dtype == torch.uint8 else x.double()
    torch.testing.assert_close(image.observe(x).double(), expected)


def test_calibrated_scale_is_the_maximum_of_the_likelihood() -> None:
    likelihood = Gaussian()
    raw = torch.randn(1, 50, likelihood.setup((4,))[0])
    x = torch.randn(50, 4) * 0.7
    best = likelihood.calibrated(likelihood(raw), x)
    assert best is not None
    for factor in (0.9, 1.1):
        scale = best.base_dist.stddev * factor
        other = torch.distributions.Normal(raw, scale).log_prob(x).sum()
        assert float(other) < float(best.log_prob(x).sum())


def test_calibration_survives_a_perfect_reconstruction() -> None:
    likelihood = Gaussian()
    raw = torch.zeros(1, 5, likelihood.setup((4,))[0], requires_grad=True)
    log_px = likelihood.calibrated(likelihood(raw), torch.zeros(5, 4)).log_prob(torch.zeros(5, 4))
    log_px.sum().backward()
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_logistics_start_at_the_levels_of_the_data_whatever_their_number(bits: int) -> None:
    """Pictures of one level, a quarter of white: there the mean of the start lies, to a thousandth of the range."""
    likelihood = DiscretizedLogistics(levels=2**bits)
    likelihood.setup((1, 4, 4))
    level = float(2 ** (bits - 2))
    px = likelihood(likelihood.start(torch.full((5, 1, 4, 4), level)))
    assert abs(float(px.mean.mean()) - level) < max(0.5, 2**bits / 1000)
