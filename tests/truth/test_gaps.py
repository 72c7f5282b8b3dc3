"""Values that are missing are left out: what is computed is the exact marginal of those that were observed."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from lambent.distributions import ColumnProduct, Observed
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import DiscretizedLogistics, Gaussian, Likelihood, Mixed
from lambent.model.networks import Conv, Mlp
from lambent.model.posteriors import Diagonal
from lambent.model.trace import from_posterior, mean
from lambent.objectives import Elbo
from lambent.part import Shape, Spec
from lambent.training.diagnosis import likeliest_cause
from lambent.training.fitting import fit

ROWS, OBSERVED, HIDDEN, SCALE = 30, 5, 2, 0.3


def gapped(x: Tensor, share: float = 0.4) -> Tensor:
    """With values missing at random; of the first row all, of the second none."""
    missing = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < share
    missing[0], missing[1] = True, False
    return x.masked_fill(missing.to(x.device), math.nan)


# ---- the evidence of a linear-Gaussian model ----------------------------------------------------------------------


@pytest.fixture
def loadings() -> Tensor:
    return torch.randn(OBSERVED, HIDDEN, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.fixture
def offset() -> Tensor:
    return torch.randn(OBSERVED, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.fixture
def linear(loadings: Tensor, offset: Tensor) -> LatentModel:
    """x = W z + b + σε in float64, its posterior much too wide: N(0, 0.8²)."""
    likelihood = Gaussian(scale="fixed", value=SCALE)
    model = (
        LatentModel(Flat(HIDDEN, posterior=Diagonal()), likelihood, Mlp(4, 1), gaps=True).setup((OBSERVED,)).double()
    )
    model.decoder = nn.Linear(HIDDEN, OBSERVED).double()
    with torch.no_grad():
        model.decoder.weight.copy_(loadings)
        model.decoder.bias.copy_(offset)
        model.likelihood.width.log_scale.fill_(math.log(SCALE))
        model.latent.posterior.head.weight.zero_()
        model.latent.posterior.head.bias.copy_(torch.tensor([0.0, 0.0, math.log(0.8), math.log(0.8)]))
    return model


def evidence(x: Tensor, loadings: Tensor, offset: Tensor) -> Tensor:
    """log N(x_o; b_o, (W Wᵀ + σ²I)_oo) of each row's observed values o; 0 of none."""
    covariance = loadings @ loadings.T + SCALE**2 * torch.eye(OBSERVED, dtype=torch.float64)
    found = []
    for row in x:
        there = ~torch.isnan(row)
        if not there.any():
            found.append(torch.zeros((), dtype=torch.float64))
            continue
        found.append(MultivariateNormal(offset[there], covariance[there][:, there]).log_prob(row[there]))
    return torch.stack(found)


@pytest.fixture
def x(loadings: Tensor, offset: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(ROWS, HIDDEN, generator=generator, dtype=torch.float64)
    noise = torch.randn(ROWS, OBSERVED, generator=generator, dtype=torch.float64)
    return gapped(z @ loadings.T + offset + SCALE * noise)


@torch.no_grad()
def test_the_bound_reaches_the_evidence_of_what_was_observed(
    linear: LatentModel, x: Tensor, loadings: Tensor, offset: Tensor
) -> None:
    """The mean of the weights is p(x_o) itself, whatever the posterior, to the error of 200,000 samples."""
    weight = linear.trace(x, 200_000, from_posterior(torch.Generator().manual_seed(0))).log_weight
    truth = evidence(x, loadings, offset)
    assert weight.shape == (200_000, ROWS)
    ratio = (weight - truth).exp()
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert error.max() < 0.1
    assert ((ratio.mean(0) - 1).abs() < 5 * error + 1e-12).all()


@torch.no_grad()
def test_every_weight_is_that_evidence_under_the_exact_posterior(
    linear: LatentModel, x: Tensor, loadings: Tensor, offset: Tensor
) -> None:
    """Each row has its own, N(M⁻¹W_oᵀ(x_o − b_o), σ²M⁻¹), M = W_oᵀW_o + σ²I."""
    for row in x[:8]:
        there = ~torch.isnan(row)
        seen = loadings[there]
        precision = seen.T @ seen / SCALE**2 + torch.eye(HIDDEN, dtype=torch.float64)
        centre = torch.linalg.solve(precision, seen.T @ (row[there] - offset[there]) / SCALE**2)
        q = MultivariateNormal(centre, precision_matrix=precision)
        z = q.sample((3,))
        px = linear.likelihood(linear.decoder(z))
        weight = px.log_prob(row) + MultivariateNormal(torch.zeros_like(centre), torch.eye(HIDDEN).double()).log_prob(z)
        torch.testing.assert_close(weight - q.log_prob(z), evidence(row[None], loadings, offset).expand(3))


def test_a_model_of_gaps_learns_the_covariance_from_them(loadings: Tensor, offset: Tensor) -> None:
    """Trained on rows of which two fifths are missing, it explains whole rows nearly as well as the truth does."""
    generator = torch.Generator().manual_seed(6)
    z = torch.randn(2000, HIDDEN, generator=generator, dtype=torch.float64)
    whole = z @ loadings.T + offset + SCALE * torch.randn(2000, OBSERVED, generator=generator, dtype=torch.float64)
    model = LatentModel(Flat(HIDDEN), Gaussian(), Mlp(64, 1), gaps=True)
    settings = {"epochs": 50, "learning_rate": 5e-3, "schedule": "cosine", "average": 0.9, "precision": "fp32"}
    history = fit(model, Elbo(), gapped(whole).float(), **settings)
    assert all(math.isfinite(v) for v in history["loss"])
    with torch.no_grad():
        weight = model.trace(whole.float(), 500, from_posterior(torch.Generator().manual_seed(0))).log_weight
        bound = (torch.logsumexp(weight, 0) - math.log(500)).mean()
    lost = float(evidence(whole, loadings, offset).mean()) - float(bound)
    assert -0.02 < lost < 0.4  # independent columns would lose 2.8 nats


# ---- every likelihood -----------------------------------------------------------------------------------------------


def prepared(spec: Spec, event: Shape) -> tuple[Likelihood, Shape]:
    likelihood = Likelihood.from_spec(spec)
    likelihood.gaps = True
    return likelihood, likelihood.setup(event)


def test_each_element_that_is_there_counts_and_no_other(
    any_likelihood_spec: Spec, event: Callable[[Spec], Shape], rows: Callable[..., Tensor], device: torch.device
) -> None:
    """log p of rows with gaps is the sum over single elements, each alone in a row whose others are missing."""
    shape = event(any_likelihood_spec)
    likelihood, raw_shape = prepared(any_likelihood_spec, shape)
    if not likelihood.elementwise:
        pytest.skip("refuses gaps, see below")
    if any_likelihood_spec["type"] == "Autoregressive":
        pytest.skip("its columns see each other: gaps are summed out exactly in test_autoregressive")
    likelihood.to(device)
    whole = rows(any_likelihood_spec, shape, 6).to(device)
    x = gapped(whole)
    raw = torch.randn(2, 6, *raw_shape, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()
    px = likelihood(raw)
    assert isinstance(px, (Observed, ColumnProduct))
    likelihood.check(x)
    found = px.log_prob(likelihood.observe(x))
    total = torch.zeros_like(found)
    for place in range(whole[0].numel()):
        alone = torch.full_like(x.flatten(1), math.nan)
        alone[:, place] = x.flatten(1)[:, place]
        total = total + px.log_prob(likelihood.observe(alone.reshape(x.shape)))
    torch.testing.assert_close(found, total, rtol=1e-5, atol=1e-4)
    assert (found[:, 0] == 0).all(), "a row of which nothing was observed"
    found.sum().backward()
    assert torch.isfinite(raw.grad).all()
    assert (raw.grad[:, 0] == 0).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in likelihood.parameters())


def test_rows_without_gaps_are_what_they_are_without_the_option(
    any_likelihood_spec: Spec, event: Callable[[Spec], Shape], rows: Callable[..., Tensor]
) -> None:
    shape = event(any_likelihood_spec)
    likelihood, raw_shape = prepared(any_likelihood_spec, shape)
    if not likelihood.elementwise:
        pytest.skip("refuses gaps, see below")
    if any_likelihood_spec["type"] == "Autoregressive":
        pytest.skip("holds a network whose weights are drawn at setup, and reads features of its own")
    plain = Likelihood.from_spec(any_likelihood_spec)
    plain.setup(shape)
    x, raw = rows(any_likelihood_spec, shape, 6), torch.randn(6, *raw_shape)
    torch.testing.assert_close(
        likelihood(raw).log_prob(likelihood.observe(x)), plain(raw).log_prob(plain.observe(x)), rtol=1e-5, atol=1e-5
    )
    embedded = plain.embed(plain.observe(x))
    seen = likelihood.seen(likelihood.observe(x))
    count = embedded[0].numel()
    if embedded.dim() < 3 or embedded.shape == x.shape:
        torch.testing.assert_close(seen[:, : embedded.shape[1]].flatten(1), embedded.flatten(1))
    assert seen[0].numel() == count + x[0].numel()
    assert (seen.flatten(1)[:, count:] == 1).all()


def test_the_encoder_sees_value_and_mask() -> None:
    """Nought and 0 where a value is missing; images as further channels, columns of several kinds flat."""
    nan = math.nan
    vectors, _ = prepared({"type": "Bernoulli"}, (2,))
    seen = vectors.seen(torch.tensor([[0.0, nan], [1.0, 0.0]]))
    assert seen.tolist() == [[-1.0, 0.0, 1.0, 0.0], [1.0, -1.0, 1.0, 1.0]]
    images, _ = prepared({"type": "Gaussian"}, (3, 4, 4))
    assert images.seen(torch.randn(2, 3, 4, 4)).shape == (2, 6, 4, 4)
    tokens, _ = prepared({"type": "Categorical", "levels": 3}, (2,))
    assert tokens.seen(tokens.observe(torch.tensor([[2.0, nan]]))).tolist() == [[0, 0, 1, 0, 0, 0, 1, 0]]
    columns = [{"type": "Gaussian"}, {"type": "Categorical", "levels": 2}, {"type": "Gaussian"}]
    mixed, _ = prepared({"type": "Mixed", "columns": columns}, (3,))
    # Gaussian columns first, as they are computed: values 5 and −, tokens, then the mask in the order of the row.
    assert mixed.seen(torch.tensor([[5.0, nan, nan]])).tolist() == [[5, 0, 0, 0, 1, 0, 0]]
    assert mixed.seen(torch.tensor([[nan, 1.0, 7.0]])).tolist() == [[0, 7, 0, 1, 0, 1, 1]]


def test_a_missing_value_is_refused_without_the_option_and_passes_with_it() -> None:
    x = torch.tensor([[0.0, 1.0], [math.nan, 1.0]])
    plain = Likelihood.from_spec("Bernoulli")
    with pytest.raises(
        DataError, match=r"row 1 holds a number that is not finite; .*missing value: LatentModel\(gaps=True\)"
    ):
        plain.check(x)
    likelihood, _ = prepared({"type": "Bernoulli"}, (2,))
    likelihood.check(x)
    with pytest.raises(DataError, match="row 0"):
        likelihood.check(torch.tensor([[math.inf, 1.0]]))
    with pytest.raises(DataError, match="ContinuousBernoulli"):
        likelihood.check(torch.tensor([[math.nan, 0.3]]))


def test_pixels_that_are_chained_refuse_gaps() -> None:
    with pytest.raises(UsageError, match=r"DiscretizedLogistics .* Gaussian"):
        LatentModel(Flat(2), DiscretizedLogistics(), gaps=True).setup((1, 4, 4))
    with pytest.raises(UsageError, match="DiscretizedLogistics"):
        LatentModel(Flat(2), Mixed([DiscretizedLogistics()]), gaps=True).setup((1,))


def test_the_calibrated_scale_is_that_of_what_was_observed() -> None:
    likelihood, raw_shape = prepared({"type": "Gaussian"}, (4,))
    x = gapped(0.7 * torch.randn(50, 4))
    raw = torch.zeros(1, 50, *raw_shape, requires_grad=True)
    best = likelihood.calibrated(likelihood(raw), x)
    there = x[~torch.isnan(x)]
    expected = (there.square().mean() + likelihood.floor**2).sqrt()
    assert best is not None
    torch.testing.assert_close(best.base_dist.stddev.flatten()[0].detach(), expected)
    best.log_prob(x).sum().backward()
    assert torch.isfinite(raw.grad).all()
    torch.testing.assert_close(likelihood.best, there.square().mean().log() / 2)


@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_images_with_gaps_train(beta: float | str) -> None:
    x = gapped(torch.randn(64, 1, 6, 6))
    model = LatentModel(Flat(2), Gaussian(), Conv((2,), 8), gaps=True)
    history = fit(model, Elbo(beta=beta), x, epochs=3, precision="fp32")
    assert all(math.isfinite(v) for v in history["loss"])
    found = model.trace(x, 1, mean)
    assert torch.isfinite(found.log_weight).all()
    assert float(found.log_px.detach()[0, 0]) == 0


def test_missing_values_are_no_cause_of_a_broken_training() -> None:
    model = LatentModel(Flat(2), Gaussian(), Mlp(4, 1), gaps=True).setup((3,))
    x = torch.tensor([[0.0, 1.0, 2.0], [0.0, math.nan, 1.0]])
    assert "rows" not in likeliest_cause(model, {}, x, 1e-3)
    x[1, 0] = math.inf
    assert "at [1] of this batch" in likeliest_cause(model, {}, x, 1e-3)


def test_the_start_of_a_decoder_counts_what_was_observed() -> None:
    likelihood, _ = prepared({"type": "Bernoulli"}, (2,))
    x = torch.tensor([[1.0, math.nan], [1.0, 0.0], [0.0, math.nan], [1.0, math.nan]])
    torch.testing.assert_close(likelihood.start(x).sigmoid(), torch.tensor([3.5 / 5, 0.5 / 2]))
