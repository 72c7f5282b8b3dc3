"""Every objective against its definition, and what each is known to reach."""

import gzip
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from lambent.distributions import DiagonalNormal, StandardNormal
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat, Ladder
from lambent.model.likelihoods import Bernoulli, Gaussian, Laplace
from lambent.model.networks import Mlp
from lambent.model.posteriors import Diagonal, Full, Point
from lambent.model.priors import Mixture
from lambent.model.trace import Node, Trace, from_posterior, from_prior
from lambent.objectives import BetaTc, DipVae, Elbo, InfoVae, Loss, Objective, Wae
from lambent.objectives.factor import Factor
from lambent.objectives.spread import SCALES, discrepancy
from lambent.training.fitting import fit
from lambent.training.run import Run

Seed = Callable[[int], torch.Generator]
Build = Callable[..., LatentModel]


@pytest.fixture
def x(device: torch.device) -> Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).to(device)


def traced(model: LatentModel, x: Tensor, generator: torch.Generator) -> Trace:
    return model.trace(x, 1, from_posterior(generator))


def learn(model: LatentModel, objective: Objective, x: Tensor, **given: object) -> None:
    options = {"epochs": 20, "batch": 50, "learning_rate": 0.01, "precision": "fp32", "average": 0.0, **given}
    fit(model, objective, x, device=model.device.type, **options)


# ---- the ELBO and its weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", [Flat(2), Flat(2, posterior=Full()), Flat(2, prior=Mixture(3)), Ladder((2, 3), 4)])
def test_elbo_at_weight_one_is_the_bound(latent: Flat, small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model(latent=latent)
    trace = traced(model, x, seed(1))
    torch.testing.assert_close(Elbo()(model, x, seed(1)).rows, -(trace.log_px - trace.kl)[0])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_beta_weighs_the_whole_kl_and_clamps_nothing(beta: float, small_model: Build, x: Tensor, seed: Seed) -> None:
    """A KL below a capacity of nought is what one package minimizes at any β, so that its VAE has none."""
    model = small_model()
    trace = traced(model, x, seed(1))
    kl = trace.nodes[0].kl
    assert (kl > 0).all()
    torch.testing.assert_close(Elbo(beta=beta)(model, x, seed(1)).rows, beta * kl - trace.log_px[0])
    assert Elbo().capacity is None


def test_what_is_recorded_is_the_unweighted_bound(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    trace = traced(model, x, seed(1))
    for objective in (Elbo(beta=7.0, free_bits=3.0), BetaTc(beta=9.0), DipVae(), Wae()):
        seen = objective(model, x, seed(1)).seen
        torch.testing.assert_close(seen["reconstruction"], -trace.log_px[0])
        torch.testing.assert_close(seen["kl"], trace.kl.reshape(-1, len(x))[0])


def test_loss_scales_with_the_number_of_pixels(small_model: Build, seed: Seed) -> None:
    """The same picture four times as large weighs four times as much against the same KL."""
    small, large = (small_model((1, n, n), likelihood=Bernoulli()) for n in (4, 8))
    for model in (small, large):
        with torch.no_grad():
            for parameter in model.decoder.parameters():
                parameter.zero_()
    losses = [Elbo(beta=0.0)(m, torch.ones(3, *m.event_shape), seed(0)).rows for m in (small, large)]
    torch.testing.assert_close(losses[0], torch.full((3,), 16 * math.log(2)))
    torch.testing.assert_close(losses[1], 4 * losses[0])


def test_free_bits_cost_the_same_as_none(small_model: Build, x: Tensor, seed: Seed) -> None:
    """Σ_j max(λ, mean KL_j), the mean over the batch; units above are weighed as they are."""
    model = small_model(latent=Flat(3))
    trace = traced(model, x, seed(1))
    units = trace.nodes[0].unit_kl
    assert units is not None
    floor = float(units.detach().mean(0).sort().values[1]) + 1e-6  # two units below, one above
    loss = Elbo(free_bits=floor)(model, x, seed(1)).rows
    expected = units.mean(0).clamp_min(floor).sum() - trace.log_px.mean()
    torch.testing.assert_close(loss.mean(), expected)
    loss.mean().backward()
    pushed = model.latent.posterior.head.bias.grad
    everything = Elbo(free_bits=1e3)(model, x, seed(1)).rows.mean() + trace.log_px.mean()
    torch.testing.assert_close(everything, torch.tensor(3e3, device=x.device))
    assert pushed is not None


def test_free_units_are_not_pushed(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    Elbo(free_bits=1e3)(model, x, seed(1)).rows.mean().backward()
    free = [p.grad.clone() for p in model.encoder.parameters()]
    model.zero_grad()
    Elbo(beta=0.0)(model, x, seed(1)).rows.mean().backward()
    for gradient, parameter in zip(free, model.encoder.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_capacity_is_the_distance_of_the_kl_from_it(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    trace = traced(model, x, seed(1))
    objective = Elbo(beta=30.0, capacity=5.0, warmup=0.5)
    for progress, reached in ((0.25, 2.5), (0.5, 5.0), (1.0, 5.0)):
        objective.progress = progress
        expected = 30 * (trace.kl.mean() - reached).abs() - trace.log_px[0]
        torch.testing.assert_close(objective(model, x, seed(1)).rows, expected)


def test_capacity_is_reached_in_training(small_model: Build, device: torch.device) -> None:
    x = correlated(500, 4).to(device)
    model = small_model(likelihood=Gaussian("fixed", 0.3))
    learn(model, Elbo(beta=30.0, capacity=3.0), x, epochs=40)
    with torch.no_grad():
        kl = traced(model, x, torch.Generator(device).manual_seed(0)).kl
    assert abs(float(kl.mean()) - 3.0) < 0.3


def correlated(rows: int, columns: int) -> Tensor:
    """Rows with one strong direction and a weak one."""
    generator = torch.Generator().manual_seed(8)
    hidden = torch.randn(rows, 2, generator=generator) * torch.tensor([2.0, 0.5])
    return hidden @ torch.randn(2, columns, generator=generator) + 0.2 * torch.randn(rows, columns, generator=generator)


# ---- growing weights ---------------------------------------------------------------------------------------------


class Weights:
    """Notes the ramp of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_step(self, run: Run) -> None:
        self.seen.append(run.objective.ramp)


@pytest.mark.parametrize("objective", [Elbo, BetaTc, DipVae])
@settings(max_examples=12, deadline=None)
@given(
    epochs=st.integers(1, 5),
    rows=st.integers(1, 30),
    batch=st.integers(1, 40),
    warmup=st.floats(0.01, 1.0),
    anneal=st.sampled_from(["linear", "cyclical"]),
    cycles=st.integers(1, 6),
)
def test_weight_has_reached_one_in_the_last_step(
    objective: type[Objective], epochs: int, rows: int, batch: int, warmup: float, anneal: str, cycles: int
) -> None:
    """Whatever the number of steps: a warm-up longer than the training is impossible to ask for."""
    model = LatentModel(latent=Flat(2), likelihood=Gaussian(), network=Mlp(2, 1))
    weights = Weights()
    chosen = objective(anneal=anneal, warmup=warmup, cycles=cycles)
    fit(model, chosen, torch.randn(rows, 2), epochs=epochs, batch=batch, callbacks=[weights], average=0, device="cpu")
    assert len(weights.seen) == epochs * math.ceil(rows / batch)
    assert weights.seen[-1] == 1.0
    assert all(0 <= w <= 1 for w in weights.seen)
    assert chosen.settled
    if anneal == "linear":
        assert weights.seen == sorted(weights.seen)


def test_ramp_by_hand() -> None:
    linear, cyclical = Elbo(anneal="linear", warmup=0.5), Elbo(anneal="cyclical", warmup=0.5, cycles=4)
    expected = {0.125: (0.25, 1.0), 0.25: (0.5, 0.0), 0.3125: (0.625, 0.5), 0.5: (1.0, 0.0), 1.0: (1.0, 1.0)}
    for progress, (straight, sawtooth) in expected.items():
        linear.progress = cyclical.progress = progress
        assert linear.ramp == pytest.approx(straight)
        assert cyclical.ramp == pytest.approx(sawtooth)
    assert Elbo().ramp == 1.0


def test_growing_weight_multiplies_the_kl_alone(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    trace = traced(model, x, seed(1))
    objective = Elbo(beta=3.0, anneal="linear", warmup=1.0)
    objective.progress = 0.25
    torch.testing.assert_close(objective(model, x, seed(1)).rows, 0.75 * trace.kl - trace.log_px[0])


# ---- the weight that finds itself --------------------------------------------------------------------------------


def test_geco_holds_its_constraint(small_model: Build, device: torch.device) -> None:
    """The reconstruction ends at the target; λ is the price of holding it."""
    x = correlated(600, 6).to(device)
    ends = []
    for target in (2.0, 4.0, 7.0):
        model = small_model((6,), likelihood=Laplace("fixed", 0.3), network=Mlp(32, 1))
        objective = Elbo(beta="auto", target=target)
        learn(model, objective, x, epochs=120, batch=60, schedule="linear")
        with torch.no_grad():
            trace = model.trace(x, 20, from_posterior(torch.Generator(device).manual_seed(0)))
            reconstruction, kl = -float(trace.log_px.mean()), float(trace.kl.mean())
        assert abs(reconstruction - target) < 0.3, (reconstruction, float(objective.log_beta))
        ends.append((float(objective.log_beta), kl))
    assert ends[0][0] < ends[1][0] < ends[2][0]  # the stricter target needs the lighter λ …
    assert ends[0][1] > ends[1][1] > ends[2][1]  # … and buys more nats of code


def test_geco_comes_to_rest(small_model: Build, device: torch.device) -> None:
    """An integrator alone, acting late, would swing about the goal for ever."""
    x = correlated(600, 6).to(device)
    model = small_model((6,), likelihood=Laplace("fixed", 0.3), network=Mlp(32, 1))
    seen: list[float] = []

    class Watch:
        def on_step(self, run: Run) -> None:
            seen.append(float(run.records[-1][1]["reconstruction"].mean()))

    learn(model, Elbo(beta="auto", target=4.0), x, epochs=200, batch=60, callbacks=[Watch()])
    late = torch.tensor(seen[-500:]).reshape(10, 50).mean(1)
    assert float((late - 4.0).abs().max()) < 0.3, late


def test_geco_finds_a_target_of_its_own(small_model: Build, device: torch.device) -> None:
    x = correlated(600, 6).to(device)
    model = small_model((6,), likelihood=Laplace("fixed", 0.3), network=Mlp(32, 1))
    objective = Elbo(beta="auto")
    learn(model, objective, x, epochs=120, batch=60, schedule="linear")
    with torch.no_grad():
        trace = model.trace(x, 20, from_posterior(torch.Generator(device).manual_seed(0)))
    assert abs(-float(trace.log_px.mean()) - float(objective.goal)) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("target", [90.0, 130.0, None])
def test_geco_on_handwritten_digits(target: float | None, real_data: Path, device: torch.device) -> None:
    raw = gzip.decompress((real_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    x = (torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=16).reshape(-1, 784)[:4000] > 127).float()
    model = LatentModel(latent=Flat(16), likelihood=Bernoulli(), network=Mlp(128, 1))
    objective = Elbo(beta="auto", target=target)
    learn(model.setup((784,)).to(device), objective, x, epochs=60, batch=100, learning_rate=0.001)
    with torch.no_grad():
        trace = model.trace(x.to(device), 5, from_posterior(torch.Generator(device).manual_seed(0)))
    reconstruction = -float(trace.log_px.mean())
    assert abs(reconstruction - float(objective.goal)) < 0.06 * float(objective.goal)


@pytest.mark.parametrize("rows", [1, 2, 9, 15])
def test_geco_in_very_few_steps(rows: int, small_model: Build, device: torch.device) -> None:
    """Where no step falls in the tenth that looks for the target, the first one sets it."""
    objective = Elbo(beta="auto")
    learn(small_model(likelihood=Laplace()), objective, correlated(rows, 4).to(device), epochs=1, batch=1)
    assert math.isfinite(float(objective.log_beta))
    assert math.isfinite(float(objective.goal))


def test_forward_moves_no_state_but_after_does(small_model: Build, x: Tensor, seed: Seed) -> None:
    """A skipped step may not move λ, its average or the calibrated scale; nor may a pass for another purpose."""
    cases = [small_model(), small_model(likelihood=Laplace())]  # the scale to its optimum; λ by a constraint
    for model in cases:
        objective = Elbo(beta="auto")
        objective.setup(model)
        objective.to(model.device)
        objective.progress = 0.5

        def state(model: LatentModel = model, objective: Elbo = objective) -> list[Tensor]:
            return [t.clone() for t in (*model.state_dict().values(), *objective.state_dict().values())]

        before = state()
        loss = objective(model, x, seed(1))
        objective.after(model, loss, torch.tensor(False, device=x.device))
        assert all(torch.equal(a.nan_to_num(-99), b.nan_to_num(-99)) for a, b in zip(before, state(), strict=True))
        objective.after(model, loss, torch.tensor(True, device=x.device))
        assert any(not torch.equal(a.nan_to_num(-99), b.nan_to_num(-99)) for a, b in zip(before, state(), strict=True))


def test_calibrated_elbo_is_the_elbo_at_the_best_scale(small_model: Build, x: Tensor, seed: Seed) -> None:
    """−ELBO under N(μ, σ*²), σ*² the mean squared error: D/2 log 2πσ*² + D/2 on average."""
    model = small_model()
    objective = Elbo(beta="auto")
    objective.setup(model)
    trace = traced(model, x, seed(1))
    error = (trace.x - trace.px.mean).square().mean()
    expected = trace.kl.mean() + 0.5 * 4 * (torch.log(2 * math.pi * error) + 1)
    torch.testing.assert_close(objective(model, x, seed(1)).rows.mean(), expected)


# ---- total correlation, moments, discrepancies -------------------------------------------------------------------


def gaussian_codes(correlation: float, rows: int, device: torch.device) -> tuple[Node, float]:
    """q(z|x_n) = N(μ_n, s²I) with μ so spread that q(z) is a Gaussian of that correlation; its total correlation."""
    generator = torch.Generator().manual_seed(0)
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
    within = 0.3
    factor = torch.linalg.cholesky(covariance - within**2 * torch.eye(2, dtype=torch.float64))
    location = torch.randn(rows, 2, generator=generator, dtype=torch.float64) @ factor.T
    q = DiagonalNormal(location.to(device), torch.full_like(location, math.log(within)).to(device))
    node = Node(StandardNormal(2, q.location), q, (1, rows))
    node.z = q.rsample(torch.Size((1,)), torch.Generator(device).manual_seed(1))
    return node, -0.5 * math.log(1 - correlation**2)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.85])
def test_total_correlation_of_gaussian_codes(correlation: float, device: torch.device) -> None:
    """Minibatch weights carry 1/N for each density, which leaves (units − 1) log N on top: a constant of no effect."""
    rows = 3000
    node, truth = gaussian_codes(correlation, rows, device)
    estimate = BetaTc._total_correlation(node, rows)
    assert estimate.shape == (rows,)
    assert abs(float(estimate.mean()) - math.log(rows) - truth) < 0.06


def test_total_correlation_weighs_the_batch_by_the_data_set(device: torch.device) -> None:
    """log q(z) ≈ log (1/NM) Σ_j q(z|x_j), and the same for each unit. Chen et al., eq. 4."""
    node, _ = gaussian_codes(0.6, 50, device)
    q, z = node.q, node.z[0]
    densities = torch.distributions.Normal(q.location, q.log_scale.exp()).log_prob(z.unsqueeze(1)).exp()
    joint = (densities.prod(-1).sum(1) / (50 * 7000)).log()
    marginals = (densities.sum(1) / (50 * 7000)).log().sum(-1)
    torch.testing.assert_close(BetaTc._total_correlation(node, 7000), joint - marginals)


def test_beta_tc_of_one_is_the_elbo(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    objective = BetaTc(beta=1.0)
    objective.rows = 1000
    torch.testing.assert_close(objective(model, x, seed(1)).rows, Elbo()(model, x, seed(1)).rows)


def test_beta_tc_adds_the_surplus_of_total_correlation(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    objective = BetaTc(beta=6.0)
    objective.rows = 1000
    trace = traced(model, x, seed(1))
    surplus = 5.0 * BetaTc._total_correlation(trace.nodes[0], 1000)
    torch.testing.assert_close(objective(model, x, seed(1)).rows, Elbo()(model, x, seed(1)).rows + surplus)


@pytest.mark.parametrize("version", ["I", "II"])
@pytest.mark.parametrize("posterior", [Diagonal, Full])
def test_dip_vae_penalizes_the_covariance_of_codes(
    version: str, posterior: type, small_model: Build, x: Tensor, seed: Seed
) -> None:
    model = small_model(latent=Flat(3, posterior=posterior()))
    q = model.infer(x)[0].q
    covariance = torch.cov(q.mean.T, correction=0)
    if version == "II":
        factor = q.factor if posterior is Full else torch.diag_embed(q.log_scale.exp())
        covariance = covariance + (factor @ factor.transpose(-1, -2)).mean(0)
    penalty = sum(
        (7.0 if i != j else 3.0) * (covariance[i, j] - float(i == j)) ** 2 for i in range(3) for j in range(3)
    )
    objective = DipVae(version=version, off_diagonal=7.0, diagonal=3.0)
    torch.testing.assert_close(objective(model, x, seed(1)).rows, Elbo()(model, x, seed(1)).rows + penalty)


def test_wae_adds_the_weighted_discrepancy(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    generator = seed(1)
    trace = traced(model, x, generator)
    prior = model.imagine(len(x), from_prior(generator))[0].z[0]
    expected = 13.0 * discrepancy(trace.z[0], prior) - trace.log_px[0]
    torch.testing.assert_close(Wae(weight=13.0)(model, x, seed(1)).rows, expected)


def test_info_vae_is_the_elbo_with_a_share_of_its_kl_and_the_discrepancy(
    small_model: Build, x: Tensor, seed: Seed
) -> None:
    """α = 1 is Wae, and α = 0 with λ = 1 the ELBO; between them the three terms, each by itself."""
    for latent in (Flat(2), Flat(2, prior="Flow", posterior="Flow")):
        model = small_model(latent=latent)
        generator = seed(1)
        trace = traced(model, x, generator)
        apart = discrepancy(trace.z[0], model.imagine(len(x), from_prior(generator))[0].z[0])
        kl = trace.kl.reshape(-1, len(x))[0]
        found = InfoVae(alpha=0.25, weight=13.0)(model, x, seed(1)).rows
        torch.testing.assert_close(found, 0.75 * kl - trace.log_px[0] + 12.25 * apart)
        torch.testing.assert_close(
            InfoVae(alpha=1.0, weight=13.0)(model, x, seed(1)).rows, Wae(weight=13.0)(model, x, seed(1)).rows
        )
        torch.testing.assert_close(
            InfoVae(alpha=0.0, weight=1.0)(model, x, seed(1)).rows, Elbo()(model, x, seed(1)).rows
        )
    assert InfoVae(alpha=0.25).weighed(3.0, 2.0) == 4.5
    with pytest.raises(UsageError, match=r"InfoVae with alpha=-3 and weight=1 .* a weight of at least 4"):
        learn(small_model(), InfoVae(alpha=-3.0, weight=1.0), x)


def test_discrepancy_is_unbiased(device: torch.device, seed: Seed) -> None:
    """Nought on average for equal distributions (so negative at times), positive for others."""
    generator = seed(0)

    def drawn(shift: float, scale: float) -> Tensor:
        estimates = [
            discrepancy(
                shift + scale * torch.randn(20, 3, generator=generator, device=device),
                torch.randn(20, 3, generator=generator, device=device),
            )
            for _ in range(1500)
        ]
        return torch.stack(estimates)

    same = drawn(0.0, 1.0)
    assert abs(float(same.mean())) < 4 * float(same.std()) / math.sqrt(len(same))
    assert float(same.min()) < 0 < float(same.max())
    for shift, scale in ((0.5, 1.0), (0.0, 0.3)):
        other = drawn(shift, scale)
        assert float(other.mean()) > 20 * float(other.std()) / math.sqrt(len(other))


def test_discrepancy_by_its_formula(device: torch.device) -> None:
    """Σ_s C/(C + ‖z − z'‖²), C = 2ds, over pairs of different rows within a set and all pairs across."""
    codes, prior = torch.randn(5, 2, device=device), torch.randn(5, 2, device=device)

    def kernel(a: Tensor, b: Tensor) -> float:
        squares = float((a - b).square().sum())
        return sum(4 * s / (4 * s + squares) for s in SCALES)

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    within = sum(kernel(codes[i], codes[j]) + kernel(prior[i], prior[j]) for i, j in pairs) / 20
    across = sum(kernel(a, b) for a in codes for b in prior) / 25
    torch.testing.assert_close(discrepancy(codes, prior), torch.tensor(within - 2 * across, device=device))
    assert float(discrepancy(codes[:1], prior[:1])) == 0.0


def test_wae_draws_the_codes_of_a_point_posterior_to_the_prior(small_model: Build, device: torch.device) -> None:
    x = correlated(600, 4).to(device)
    model = small_model(latent=Flat(2, posterior=Point()), network=Mlp(32, 1))
    learn(model, Wae(weight=300.0), x, epochs=60, batch=100)
    with torch.no_grad():
        codes = model.infer(x)[0].q.mean
    assert float(codes.mean(0).abs().max()) < 0.25
    torch.testing.assert_close(codes.std(0), torch.ones(2, device=device), rtol=0.25, atol=0)


# ---- the opponent ------------------------------------------------------------------------------------------------


def passed(codes: Tensor) -> Loss:
    """What `forward` returns of a pass that left these codes [rows, units]."""
    node = Node(StandardNormal(codes.shape[-1], codes), None, (1, len(codes)))
    node.z = codes.unsqueeze(0)
    return Loss(codes.new_zeros(len(codes)), trace=Trace(codes, node.p, [node], 1))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_rival_learns_the_total_correlation(correlation: float, small_model: Build, device: torch.device) -> None:
    """log D/(1 − D), averaged over dependent codes, is their total correlation; over independent ones it is nought."""
    objective = Factor(width=32, depth=2)
    model = small_model()
    objective.setup(model)
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]])
    codes = MultivariateNormal(torch.zeros(2), covariance).sample((4000,)).to(device)
    optimizer = torch.optim.Adam(objective.opponent.parameters(), 3e-3)
    generator = torch.Generator(device).manual_seed(0)
    for step in range(400):
        loss = objective.contest(model, passed(codes[(step * 500) % 4000 :][:500]), generator)
        assert loss.shape == (500,)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    with torch.no_grad():
        estimate = float(objective.opponent(codes).mean())
    truth = -0.5 * math.log(1 - correlation**2)
    assert abs(estimate - truth) < 0.12, (estimate, truth)


def test_factor_adds_the_rivals_estimate(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    objective = Factor(gamma=6.0, width=8, depth=1)
    objective.setup(model)
    estimate = objective.opponent(traced(model, x, seed(1)).z[0]).squeeze(-1)
    torch.testing.assert_close(objective(model, x, seed(1)).rows, Elbo()(model, x, seed(1)).rows + 6 * estimate)


def test_rival_learns_during_a_training_whatever_the_scale_of_the_loss(
    small_model: Build, device: torch.device
) -> None:
    """Densities make the first loss very negative; the limit on its spikes is none on the opponent's."""
    x = 1e-3 * correlated(200, 4).to(device)
    model = small_model(likelihood=Gaussian("fixed", 0.01))
    with torch.no_grad():
        for parameter in [m for m in model.decoder if isinstance(m, nn.Linear)][-1].parameters():
            parameter.zero_()
    moved = []

    class Watch:
        def on_epoch(self, run: Run) -> None:
            moved.append(torch.cat([p.detach().flatten().clone() for p in run.objective.opponent.parameters()]))

    history = fit(
        model, Factor(width=8, depth=1), x, epochs=4, batch=20, learning_rate=1e-4, device=device.type, precision="fp32",
        callbacks=[Watch()],
    )  # fmt: skip
    assert history["loss"][1] < 0
    for before, after in itertools.pairwise(moved):
        assert not torch.equal(before, after)
