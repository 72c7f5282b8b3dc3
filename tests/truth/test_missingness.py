"""Values missing not at random: the bound approaches the integrated evidence of what was observed and of what was missing."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from lambent import fitted
from lambent.errors import UsageError
from lambent.model import LatentModel, check
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, Categorical, Gaussian, Mixed
from lambent.model.missingness import LinearMasking, Missingness, MlpMasking, SelfMasking
from lambent.model.networks import Conv, Mlp
from lambent.model.posteriors import Diagonal
from lambent.model.trace import from_posterior
from lambent.objectives.bounds import Iwae
from lambent.objectives.missing import NotMiwae
from lambent.training.fitting import fit

SCALE = 0.4
LOADINGS = torch.tensor([[1.0], [-0.7]], dtype=torch.float64)
OFFSET = torch.tensor([0.3, -0.2], dtype=torch.float64)
SLOPE, SHIFT = torch.tensor([1.5, -2.0], dtype=torch.float64), torch.tensor([-0.5, 0.4], dtype=torch.float64)
NAN = math.nan
ROWS = torch.tensor([[0.5, -1.0], [1.2, NAN], [NAN, 0.1], [NAN, NAN]], dtype=torch.float64)


@pytest.fixture
def linear() -> LatentModel:
    """x = W z + b + σε with values that mask themselves, in float64; its posterior is wide: N(0, 0.9²)."""
    likelihood = Gaussian(scale="fixed", value=SCALE)
    model = LatentModel(Flat(1, posterior=Diagonal()), likelihood, Mlp(4, 1), gaps=True, missingness=SelfMasking())
    model.setup((2,)).double()
    model.decoder = nn.Linear(1, 2).double()
    with torch.no_grad():
        model.decoder.weight.copy_(LOADINGS)
        model.decoder.bias.copy_(OFFSET)
        model.likelihood.width.log_scale.fill_(math.log(SCALE))
        model.latent.posterior.head.weight.zero_()
        model.latent.posterior.head.bias.copy_(torch.tensor([0.0, math.log(0.9)]))
        model.missingness.slope.copy_(SLOPE)
        model.missingness.offset.copy_(SHIFT)
    return model


def evidence(row: Tensor) -> Tensor:
    """log p(x_o, m) = log ∫ N(x; b, W Wᵀ + σ²I) Π_j P(m_j | x_j) dx_m, by the trapezoid rule."""
    joint = MultivariateNormal(OFFSET, LOADINGS @ LOADINGS.T + SCALE**2 * torch.eye(2, dtype=torch.float64))
    line = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    step = float(line[1] - line[0])
    axes = [line if math.isnan(value) else value.reshape(1) for value in row]
    x = torch.cartesian_prod(*axes)
    missing = torch.isnan(row).double()
    logits = SLOPE * x + SHIFT
    log_mask = (missing * nn.functional.logsigmoid(logits) + (1 - missing) * nn.functional.logsigmoid(-logits)).sum(-1)
    return torch.logsumexp(joint.log_prob(x) + log_mask, 0) + float(missing.sum()) * math.log(step)


@torch.no_grad()
def test_the_mean_of_the_weights_is_the_evidence_of_values_and_mask(linear: LatentModel) -> None:
    """Whatever the posterior, to the error of 400,000 samples; every row by its own integral."""
    objective, generator = NotMiwae(), torch.Generator().manual_seed(0)
    trace = linear.trace(ROWS, 400_000, from_posterior(generator))
    weight = trace.log_weight + objective.further(linear, trace, generator)
    truth = torch.stack([evidence(row) for row in ROWS])
    ratio = (weight - truth).exp()
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert error.max() < 0.01
    assert ((ratio.mean(0) - 1).abs() < 5 * error).all()
    # Values missing at random would have another evidence.
    assert ((trace.log_weight.logsumexp(0) - math.log(400_000) - truth).abs() > 0.2).all()


def test_the_bound_grows_with_k_towards_the_evidence(linear: LatentModel) -> None:
    truth = torch.stack([evidence(row) for row in ROWS])
    lost = []
    for samples in (1, 8, 512):
        generator = torch.Generator().manual_seed(1)
        losses = torch.stack([NotMiwae(samples)(linear, ROWS, generator).rows.detach() for _ in range(60)])
        lost.append((truth + losses.mean(0)).mean())
    assert lost[0] > lost[1] > lost[2] > -0.01
    assert lost[2] < 0.02


def test_the_doubly_reparameterized_gradient_is_that_of_the_bound(linear: LatentModel) -> None:
    """The mean over many draws: of the encoder, of the decoder through what is drawn, and of the missingness."""
    found = {}
    for gradient in ("plain", "doubly"):
        linear.zero_grad()
        generator = torch.Generator().manual_seed(2)
        rows = ROWS.repeat(20_000, 1)
        NotMiwae(4, gradient)(linear, rows, generator).rows.mean().backward()
        grads = [linear.latent.posterior.head.bias, linear.decoder.weight, linear.missingness.slope]
        found[gradient] = torch.cat([g.grad.flatten() for g in grads])
    torch.testing.assert_close(found["doubly"], found["plain"], rtol=0.05, atol=0.01)


@torch.no_grad()
def test_iwae_of_gaps_is_miwae(linear: LatentModel) -> None:
    """log (1/K) Σ_k p(x_o|z_k) p(z_k) / q(z_k|x_o): its mean weight is N(x_o; b_o, Σ_oo)."""
    covariance = LOADINGS @ LOADINGS.T + SCALE**2 * torch.eye(2, dtype=torch.float64)
    loss = Iwae(100_000)(linear, ROWS, torch.Generator().manual_seed(3)).rows
    for row, bound in zip(ROWS, -loss, strict=True):
        there = ~torch.isnan(row)
        truth = 0.0
        if there.any():
            truth = float(MultivariateNormal(OFFSET[there], covariance[there][:, there]).log_prob(row[there]))
        assert float(bound) == pytest.approx(truth, abs=0.01)


def test_without_a_part_the_mask_tells_nothing(linear: LatentModel) -> None:
    linear.missingness = None
    assert torch.equal(linear.log_missing(ROWS, ROWS.nan_to_num().expand(3, 4, 2)), torch.zeros(3, 4).double())


@pytest.mark.parametrize(
    ("masking", "expected"),
    [
        (SelfMasking(), lambda x, w: w["slope"] * x + w["offset"]),
        (SelfMasking("rising"), lambda x, w: nn.functional.softplus(w["slope"]) * x + w["offset"]),
        (SelfMasking("falling"), lambda x, w: -nn.functional.softplus(w["slope"]) * x + w["offset"]),
        (LinearMasking(), lambda x, w: x @ w["map.weight"].T + w["map.bias"]),
        (
            MlpMasking(5),
            lambda x, w: (
                (x @ w["network.0.weight"].T + w["network.0.bias"]).tanh() @ w["network.2.weight"].T
                + w["network.2.bias"]
            ),
        ),
    ],
    ids=["self", "rising", "falling", "linear", "mlp"],
)
def test_the_parts_are_their_formulas(masking: Missingness, expected: object) -> None:
    masking.setup((3,))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in masking.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x, mask = torch.randn(5, 3, generator=generator), torch.rand(5, 3, generator=generator).round()
    logits = expected(x, masking.state_dict())  # type: ignore[operator]
    log_p = -nn.functional.binary_cross_entropy_with_logits(logits, mask, reduction="none").sum(1)
    torch.testing.assert_close(masking(x).log_prob(mask), log_p)
    assert masking(x).batch_shape == (5,)


def test_a_mask_of_an_image_has_its_shape() -> None:
    for part in (SelfMasking(), LinearMasking(), MlpMasking(4)):
        part.setup((2, 3, 4))
        assert part(torch.randn(6, 5, 2, 3, 4)).log_prob(torch.zeros(5, 2, 3, 4)).shape == (6, 5)


@pytest.mark.parametrize("masking", [SelfMasking(), LinearMasking(), MlpMasking(4)], ids=lambda one: type(one).__name__)
def test_images_with_gaps_train(masking: Missingness) -> None:
    x = torch.randn(40, 1, 6, 6, generator=torch.Generator().manual_seed(8))
    x[x > 1] = NAN
    model = LatentModel(Flat(2), Gaussian(), Conv((2,), 8), gaps=True)
    history = fit(model, NotMiwae(3, missingness=masking), x, epochs=2, precision="fp32")
    assert all(math.isfinite(value) for value in history["loss"])
    assert isinstance(model.missingness, type(masking))


def test_it_learns_how_values_hide_and_what_they_are(tmp_path: Path) -> None:
    """Of one Gaussian column beside one it hangs on, high values are gone: the mean and the slope are found, and kept."""
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(3000, 1, generator=generator)
    whole = torch.cat((z, z), 1) + 0.5 * torch.randn(3000, 2, generator=generator)
    hidden = torch.rand(3000, generator=generator) < torch.sigmoid(3 * whole[:, 0])
    x = whole.clone()
    x[hidden, 0] = NAN
    model = LatentModel(Flat(1), Gaussian("each"), Mlp(16, 1), gaps=True)
    objective = NotMiwae(10, missingness=SelfMasking("rising"))
    fit(model, objective, x, epochs=30, learning_rate=3e-3, schedule="cosine", precision="fp32")
    again = fitted.load(fitted.save(tmp_path / "m.safetensors", model)).model
    assert isinstance(again.missingness, SelfMasking)
    assert again.missingness.sign == "rising"
    draw = torch.Generator().manual_seed(6)
    with torch.no_grad():
        trace = again.trace(x, 200, from_posterior(draw))
        drawn = trace.px.rsample()
        completed = torch.where(torch.isnan(x), drawn, x)
        weight = torch.softmax(trace.log_weight + again.log_missing(x, completed), 0).unsqueeze(-1)
        at_random = torch.softmax(trace.log_weight, 0).unsqueeze(-1)
    bias = {
        name: float(((w * completed).sum(0) - whole)[hidden, 0].mean())
        for name, w in (("modelled", weight), ("at random", at_random))
    }
    assert abs(bias["modelled"]) < 0.1
    assert abs(bias["at random"]) > 2 * abs(bias["modelled"])
    slope = float(again.missingness.slopes[0].detach())
    assert 2.0 < slope < 4.5


def test_validation_counts_the_mask() -> None:
    """Its loss is the objective's own, and not that of the observed values alone."""
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(7))
    x[x > 0.5] = NAN
    model = LatentModel(Flat(1), Gaussian("each"), Mlp(8, 1), gaps=True)
    history = fit(model, NotMiwae(1), x[:300], validation=x[300:], epochs=3, precision="fp32", patience=0)
    beside = [
        a - b - c
        for a, b, c in zip(*(history[f"validation_{name}"] for name in ("loss", "reconstruction", "kl")), strict=True)
    ]
    assert all(0.1 < value < 2 * math.log(2) + 0.2 for value in beside)  # a coin for each of two values costs 1.39 nats


@pytest.mark.parametrize("likelihood", [Bernoulli(), Categorical(3), Mixed((Gaussian(), Bernoulli()))])
def test_draws_without_a_gradient_are_refused(likelihood: object) -> None:
    model = LatentModel(Flat(1), likelihood, Mlp(4, 1), gaps=True)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"NotMiwae .* no gradient: use Gaussian or StudentT, or the Iwae objective"):
        check(model, NotMiwae())


def test_the_models_own_part_counts() -> None:
    model = LatentModel(Flat(1), Gaussian(), Mlp(4, 1), gaps=True, missingness="LinearMasking").setup((2,))
    own = model.missingness
    NotMiwae().setup(model)
    assert model.missingness is own
