"""What a unit carries, on codes whose every moment is known."""

import json
import math

import pytest
import torch
from torch import Tensor

from lambent import Flat, Gaussian, Ladder, LatentModel, Mixture, Mlp, evaluate
from lambent.metrics.collapse import levels
from lambent.metrics.directions import principal
from lambent.model.latents import Latent
from lambent.model.posteriors import Flow, Full, Point, Posterior
from lambent.model.priors import Flow as FlowPrior
from lambent.model.priors import Prior, Standard
from lambent.tasks.evaluate import MEASURES
from lambent.tasks.explore import decode, encode, traverse

WEIGHTS = torch.tensor([1.5, 0.0])  # the first unit's centre follows x, the second stands still
LOG_SCALES = torch.tensor([-1.0, 0.0])


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(700, 2, generator=torch.Generator().manual_seed(1))


def reading_x(latent: Latent) -> LatentModel:
    """A model whose encoder's first two features are the row itself, and nothing else."""
    model = LatentModel(latent, Gaussian(), Mlp(8, 1)).setup((2,))
    model.encoder = torch.nn.Sequential(torch.nn.Linear(2, 8))
    with torch.no_grad():
        model.encoder[0].bias.zero_()
        model.encoder[0].weight.copy_(torch.eye(8)[:, :2])
    return model


@torch.no_grad()
def known(posterior: Posterior | None = None, prior: Prior | None = None) -> LatentModel:
    """q(z|x) = N((1.5 x₁, 0), diag(e⁻², 1)), or with a Full posterior the covariance of L = [[e⁻¹, 0], [0.7, 1]]."""
    chosen = {} if posterior is None else {"posterior": posterior}
    model = reading_x(Flat(2, prior=prior or Standard(), **chosen))
    head = model.latent.posterior.head
    head.weight.zero_()
    head.weight[0, 0] = WEIGHTS[0]
    if not isinstance(posterior, Point):
        head.bias[2:4] = LOG_SCALES
    if isinstance(posterior, Full):
        head.bias[4] = 0.7
    return model


def kl_of_units(x: Tensor) -> list[float]:
    """½ (μ² + σ² − 1) − log σ, the mean over rows."""
    squares = (WEIGHTS * x).double().square().mean(0)
    return (0.5 * (squares + (2 * LOG_SCALES).exp() - 1) - LOG_SCALES).tolist()


def movement(x: Tensor) -> list[float]:
    return [float((1.5 * x[:, 0]).double().var(unbiased=False)), 0.0]


def matched(x: Tensor, variances: list[float]) -> list[float]:
    """½ log((Var μ + σ²) / σ²)."""
    return [0.5 * math.log((moved + v) / v) for moved, v in zip(movement(x), variances, strict=True)]


def test_a_diagonal_posterior_under_the_standard_prior(x: Tensor) -> None:
    found = evaluate(known(), x, 2)
    (level,) = found.levels
    assert level.measure == "kl"
    assert level.nats == pytest.approx(kl_of_units(x), abs=1e-5)
    assert sum(level.nats or []) == pytest.approx(found.metrics["kl"].value, rel=1e-5)
    assert level.movement == pytest.approx(movement(x), rel=1e-5)
    assert level.active == [True, False]


def test_a_mixture_of_one_component_is_its_component(x: Tensor) -> None:
    model = known(prior=Mixture(1))
    with torch.no_grad():
        model.latent.prior.location.zero_()
    (level,) = evaluate(model, x, 2).levels
    assert level.measure == "kl"
    assert level.nats == pytest.approx(kl_of_units(x), abs=1e-5)


@pytest.mark.parametrize("prior", [Mixture(3), FlowPrior()], ids=repr)
def test_a_prior_that_does_not_factorize_leaves_the_matched_gaussian(x: Tensor, prior: Prior) -> None:
    (level,) = evaluate(known(prior=prior), x, 2).levels
    assert level.measure == "matched"
    assert level.nats == pytest.approx(matched(x, [math.exp(-2), 1.0]), abs=1e-5)
    assert level.active == [True, False]


def test_the_matched_gaussian_is_not_the_kl_to_the_prior(x: Tensor) -> None:
    """Were the prior the standard one, a unit that stands still far from it would cost nats and yet tell nothing."""
    model = known(prior=Mixture(3))
    with torch.no_grad():
        model.latent.posterior.head.bias[1] = 5.0
    found = evaluate(model, x, 2)
    assert found.metrics["kl"].value > 10
    assert (found.levels[0].nats or [])[1] == pytest.approx(0, abs=1e-6)


def test_of_two_units_the_active_one_has_the_larger_bar_whatever_the_scale_of_the_code(x: Tensor) -> None:
    """A unit that a learned prior has made small moves by less than 0.01, and is no less in use for that."""
    model = known(prior=Mixture(3))
    with torch.no_grad():
        model.latent.posterior.head.weight[0, 0] = 0.05
        model.latent.posterior.head.bias[2] = -4.0
    (level,) = evaluate(model, x, 2).levels
    assert level.movement[0] < 0.01
    assert level.nats == pytest.approx([0.5 * math.log1p(level.movement[0] * math.exp(8)), 0.0], abs=1e-5)
    assert level.active == [True, False]


@pytest.mark.parametrize("prior", [Mixture(1, "full"), Mixture(4, "full")], ids=repr)
def test_under_full_covariances_there_are_directions(x: Tensor, prior: Prior) -> None:
    found = evaluate(known(prior=prior), x, 2)
    (level,) = found.levels
    moved = movement(x)[0]
    assert (level.noun, level.measure) == ("direction", "direction")
    assert level.nats == pytest.approx([0.5 * math.log1p(moved * math.exp(2)), 0.0], abs=1e-6)
    assert level.movement == pytest.approx([moved * math.exp(2), 0.0], rel=1e-5, abs=1e-6)
    assert level.active == [True, False]
    assert level.directions is not None
    axes = level.directions.axes.abs()  # one standard deviation of q(z), which is √(Var μ + σ²)
    torch.testing.assert_close(axes, torch.tensor([[moved + math.exp(-2), 0.0], [0.0, 1.0]]).double().sqrt())
    assert found.metrics["active_units"].unit == "of 2 directions"
    assert json.loads(json.dumps(level.plain()))["of"] == "direction"


def test_a_full_posterior_of_known_covariance(x: Tensor) -> None:
    """W = L Lᵀ with L = [[e⁻¹, 0], [0.7, 1]], and the first unit alone moves: m = Var μ₁ (W⁻¹)₁₁, (W⁻¹)₁₁ = (1 + 0.7²) e²."""
    (level,) = evaluate(known(Full()), x, 2).levels
    moved = movement(x)[0] * (1 + 0.7**2) * math.exp(2)
    assert level.measure == "direction"
    assert level.nats == pytest.approx([0.5 * math.log1p(moved), 0.0], abs=1e-6)


def test_directions_carry_the_information_of_a_gaussian_code_and_do_not_hang_on_the_units(x: Tensor) -> None:
    generator = torch.Generator().manual_seed(5)
    turn = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    centres = torch.randn(500, 4, generator=generator, dtype=torch.float64) * torch.tensor([3.0, 1.0, 0.1, 0.0])
    noise = torch.diag(torch.tensor([0.1, 0.5, 2.0, 1.0], dtype=torch.float64))
    found, movement = principal(centres, noise)
    turned, again = principal(centres @ turn.T, turn @ noise @ turn.T)
    torch.testing.assert_close(again, movement)
    torch.testing.assert_close(turned.axes.abs(), (turn @ found.axes).abs())
    total = torch.cov(centres.T, correction=0) + noise
    information = 0.5 * (torch.logdet(total) - torch.logdet(noise))  # I(x; z) where q(z|x) = N(μ, noise), μ Gaussian
    assert float(0.5 * movement.log1p().sum()) == pytest.approx(float(information))
    assert movement.tolist() == sorted(movement.tolist(), reverse=True)
    torch.testing.assert_close(found.axes @ found.axes.T, total)  # so coordinates are uncorrelated, of variance 1


def test_a_code_moves_along_one_direction_alone(x: Tensor) -> None:
    generator = torch.Generator().manual_seed(6)
    centres = (
        torch.randn(300, 3, generator=generator, dtype=torch.float64) @ torch.randn(3, 3, generator=generator).double()
    )
    found, _ = principal(centres, torch.eye(3, dtype=torch.float64))
    z, values = centres[0].float(), torch.tensor([-2.0, 0.0, 1.5])
    own = torch.linalg.solve(found.axes, centres[0] - found.centre)
    walk = found.moved(z, 1, values)
    coordinates = torch.linalg.solve(found.axes, (walk.double() - found.centre).T).T
    wanted = own.repeat(3, 1)
    wanted[:, 1] = values.double()
    torch.testing.assert_close(coordinates, wanted, atol=1e-5, rtol=1e-5)


def test_a_traversal_along_a_direction_decodes_the_moved_code(x: Tensor) -> None:
    model = known(prior=Mixture(2, "full"))
    (level,) = levels(model, x)
    values = torch.tensor([-1.0, 2.0])
    found = traverse(model, x[:1], [(0, 0)], values, along=[level.directions])
    assert level.directions is not None
    code = encode(model, x[:1])[0].repeat(2, 1)
    code[:, 0] = level.directions.centre[0] + values * level.directions.axes[0, 0]
    torch.testing.assert_close(found[0], decode(model, [code.float()]))


def test_a_flow_that_bends_nothing_has_a_kl_but_none_by_unit(x: Tensor) -> None:
    found = evaluate(known(Flow()), x, 100)
    (level,) = found.levels
    assert level.measure is None
    assert level.nats is None
    assert level.movement == pytest.approx(movement(x), rel=1e-5)
    assert level.active == [True, False]
    assert found.metrics["kl"].value == pytest.approx(sum(kl_of_units(x)), rel=0.01)


def test_a_point_has_no_kl_but_moves(x: Tensor) -> None:
    found = evaluate(known(Point()), x, 2)
    (level,) = found.levels
    assert (level.measure, level.nats) == (None, None)
    assert level.movement == pytest.approx(movement(x), rel=1e-5)
    assert found.metrics["active_units"].value == 1
    assert "kl" not in found.metrics


@torch.no_grad()
def copying(carrying: bool, posterior: Posterior | None = None) -> LatentModel:
    """A ladder whose second level is its prior p(z₂|z₁), which hangs on z₁; the first is N(0, I), or one unit follows x."""
    chosen = {} if posterior is None else {"posterior": posterior}
    model = reading_x(Ladder((2, 3), width=16, **chosen))
    latent = model.latent
    top, below = latent.posterior.head, latent.posteriors[0].head
    for head in (top, below):
        head.weight.zero_()
        head.bias.zero_()
    latent.priors[0].weight.normal_(0, 0.5, generator=torch.Generator().manual_seed(2))
    below.weight[:6, 8:] = latent.priors[0].weight  # the features come first, then the state
    if carrying:
        linear = [module for module in latent.ups[0].modules() if isinstance(module, torch.nn.Linear)]
        linear[0].weight.zero_()
        linear[0].weight[0, 0] = 2.0  # of silu(2 x₁) the second layer makes a feature of its own
        linear[1].weight.zero_()
        linear[1].weight[0, 0] = 2.0
        top.weight[0, 0] = 3.0
    return model


@pytest.mark.parametrize("posterior", [None, Full()], ids=["diagonal", "full"])
def test_a_ladder_with_no_kl_has_no_active_unit(x: Tensor, posterior: Posterior | None) -> None:
    found = evaluate(copying(False, posterior), x, 4)
    assert found.metrics["kl"].value == pytest.approx(0, abs=1e-5)
    assert found.metrics["active_units"].value == 0
    assert [level.active for level in found.levels] == [[False] * 2, [False] * 3]
    assert [v for level in found.levels for v in level.nats or []] == pytest.approx([0] * 5, abs=1e-5)


def test_a_ladder_with_one_carrying_unit_has_one_active(x: Tensor) -> None:
    """Below it, a level that copies its prior moves with it and tells nothing more."""
    found = evaluate(copying(True), x, 4)
    first, second = found.levels
    assert first.active == [True, False]
    assert second.active == [False] * 3
    assert found.metrics["active_units"].value == 1
    assert (first.nats or [])[0] == pytest.approx(found.metrics["kl"].value, rel=1e-4)
    assert second.nats == pytest.approx([0] * 3, abs=1e-5)


def test_a_carrying_unit_of_a_lower_level_is_seen(x: Tensor) -> None:
    model = copying(False)
    with torch.no_grad():
        model.latent.posteriors[0].head.weight[1, 0] = 0.5  # its centre: the prior's and half of x₁
    _, second = evaluate(model, x, 4).levels
    assert second.active == [False, True, False]
    assert second.movement[1] == pytest.approx(float((0.5 * x[:, 0]).var(unbiased=False)), rel=1e-4)
    assert second.measure == "kl"


def test_usage_does_not_hang_on_the_size_of_a_chunk(x: Tensor) -> None:
    whole = levels(known(prior=Mixture(3)), x)[0]  # 700 rows are two chunks
    assert whole.nats is not None
    assert whole.nats.tolist() == pytest.approx(matched(x, [math.exp(-2), 1.0]), abs=1e-5)
    assert len(whole.movement) == 2


@pytest.mark.parametrize(("posterior", "measure"), [(None, "kl"), (Full(), "direction"), (Flow(), None)], ids=repr)
def test_json_says_what_is_measured(x: Tensor, posterior: Posterior | None, measure: str | None) -> None:
    found = evaluate(known(posterior), x, 2)
    (level,) = json.loads(json.dumps(found.plain(), allow_nan=False))["levels"]
    assert level["measure"] == measure
    assert level["meaning"] == MEASURES[measure]
    assert (level["nats"] is None) == (measure is None)
    assert "by_row" not in found.plain()


@torch.no_grad()
def test_an_estimate_of_the_information_that_is_at_its_limit_says_so(x: Tensor) -> None:
    """log 700 is the most for 700 rows; a code that tells every row from every other carries more."""
    assert "far larger" not in evaluate(known(), x, 2).metrics["mutual_information"].meaning
    sharp = known()
    sharp.latent.posterior.head.bias[2] = -12.0
    found = evaluate(sharp, x, 2).metrics["mutual_information"]
    assert found.value == pytest.approx(math.log(700), rel=0.01)
    assert "far larger" in found.meaning
