"""Rivals that judge rows: their losses at the optimum, their penalties by finite differences, the balance at known gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import DiscretizedLogistics, Gaussian
from lambent.model.networks import Conv, Mlp
from lambent.model.posteriors import Absent
from lambent.model.trace import from_prior
from lambent.objectives import Adversarial, Elbo, Factor, Gan, Objective, VaeGan
from lambent.objectives.adversarial.augment import View
from lambent.objectives.adversarial.balance import balance, last_weight
from lambent.objectives.adversarial.judge import Judge
from lambent.objectives.adversarial.losses import feature_distance, models_loss, rivals_loss, share_right
from lambent.objectives.adversarial.penalties import penalized
from lambent.training.fitting import fit

Built = Callable[..., LatentModel]
ROWS = 400_000


def divergence(p: Normal, q: Normal) -> float:
    """JSD(p ‖ q) in nats, by the trapezoidal rule."""
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64)
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return float(torch.trapezoid(0.5 * log_p.exp() * (log_p - log_m) + 0.5 * log_q.exp() * (log_q - log_m), x))


def spaced(p: Normal) -> Tensor:
    """Values of equal probability, which stand for the whole of p."""
    return p.icdf((torch.arange(ROWS, dtype=torch.float64) + 0.5) / ROWS)


def normal(mean: float, deviation: float) -> Normal:
    return Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(deviation, dtype=torch.float64))


# ---- losses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.7), (-4.0, 2.0)])
def test_the_best_rival_of_two_gaussians_pays_log_4_less_twice_their_divergence(mean: float, deviation: float) -> None:
    p, q = normal(0.0, 1.0), normal(mean, deviation)

    def paid(bend: float) -> float:
        real, fake = ((1 + bend) * (p.log_prob(x) - q.log_prob(x)) + bend for x in (spaced(p), spaced(q)))
        return float(rivals_loss("non-saturating", real, fake).mean())

    assert paid(0.0) == pytest.approx(math.log(4) - 2 * divergence(p, q), abs=2e-4)
    if mean == 0:
        assert paid(0.0) == pytest.approx(math.log(4), abs=1e-12)
    assert paid(0.0) < min(paid(-0.1), paid(0.1))


def test_a_rival_that_learns_comes_to_that_loss() -> None:
    p, q = normal(0.0, 1.0), normal(1.5, 0.7)
    judge = Judge(Mlp(width=32, depth=2), (1,), seed=1)
    adam = torch.optim.Adam(judge.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        noise = torch.randn(2, 256, 1, generator=generator)
        loss = rivals_loss("non-saturating", judge(noise[0]), judge(1.5 + 0.7 * noise[1])).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        real, fake = (judge(spaced(each).float()[:, None]) for each in (p, q))
        reached = float(rivals_loss("non-saturating", real, fake).mean())
    best = math.log(4) - 2 * divergence(p, q)
    assert best - 1e-3 < reached < best + 0.02


def test_where_nothing_can_be_told_apart_each_pays_log_2_and_half_is_right_by_chance() -> None:
    nought = torch.zeros(4)
    assert rivals_loss("relativistic", nought, nought).tolist() == pytest.approx([math.log(2)] * 4)
    assert models_loss("relativistic", nought, nought).tolist() == pytest.approx([math.log(2)] * 4)
    assert models_loss("non-saturating", nought, nought).tolist() == pytest.approx([math.log(2)] * 4)
    real, fake = torch.tensor([1.0, -1.0, 2.0, 3.0]), torch.tensor([2.0, -2.0, -1.0, 1.0])
    assert float(share_right("relativistic", real, fake)) == 0.75
    assert float(share_right("non-saturating", real, fake)) == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_the_distance_of_features_is_free_of_their_scale() -> None:
    real, made = [torch.tensor([[3.0, 4.0], [0.0, 5.0]])], [torch.tensor([[0.0, 0.0], [0.0, 5.0]])]
    assert feature_distance(real, made).tolist() == [1.0, 0.0]
    assert feature_distance([7 * real[0]], [7 * made[0]]).tolist() == pytest.approx([1.0, 0.0])
    assert feature_distance(real * 2, [made[0], real[0]]).tolist() == [0.5, 0.0]


# ---- penalties ---------------------------------------------------------------------------------------------------


def judging(event: tuple[int, ...] = (5,)) -> Judge:
    return Judge(Mlp(width=7, depth=2) if len(event) == 1 else Conv((3, 4)), event, seed=3).double()


@pytest.mark.parametrize("event", [(5,), (2, 6, 5)])
def test_the_penalty_is_the_squared_slope_by_finite_differences(event: tuple[int, ...]) -> None:
    judge, x = judging(event), torch.randn(6, *event, dtype=torch.float64)
    logits, squares = penalized(judge, x, None, 1.0)
    assert torch.allclose(logits, judge(x))
    step, flat = 1e-6, torch.zeros(6, dtype=torch.float64)
    with torch.no_grad():
        for place in range(x[0].numel()):
            moved = torch.zeros_like(x).flatten(1)
            moved[:, place] = step
            moved = moved.view_as(x)
            flat += ((judge(x + moved) - judge(x - moved)) / (2 * step)).square()
    assert torch.allclose(squares, flat, rtol=1e-6)


def test_the_penalty_teaches_the_rival_by_its_own_gradient() -> None:
    judge, x = judging(), torch.randn(6, 5, dtype=torch.float64)
    weight = judge.logit.weight
    penalized(judge, x, None, 1.0)[1].mean().backward()
    assert weight.grad is not None
    found, step = weight.grad[0, 0].item(), 1e-6
    around = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0] += sign * step
        around.append(float(penalized(judge, x, None, 1.0)[1].mean().detach()))
        with torch.no_grad():
            weight[0, 0] -= sign * step
    assert found == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-5)


def test_a_share_of_the_rows_stands_for_all_of_them() -> None:
    judge, x = judging(), torch.randn(8, 5, dtype=torch.float64)
    logits, squares = penalized(judge, x, None, 0.5)
    _, whole = penalized(judge, x, None, 1.0)
    assert torch.allclose(logits, judge(x))
    assert float(squares.mean().detach()) == pytest.approx(float(whole[:4].mean().detach()))
    assert squares[4:].tolist() == [0.0] * 4


def test_the_rival_pays_half_gamma_times_the_squared_slopes(small_model: Built, seed: Callable[..., object]) -> None:
    model = small_model((4,))
    x = torch.randn(6, 4)
    paid = []
    for r1, r2 in ((0.0, 0.0), (3.0, 0.0), (0.0, 5.0)):
        gan = Gan(r1=r1, r2=r2, penalized=1.0)
        gan.setup(model)
        loss = gan(model, x, torch.Generator().manual_seed(1))
        paid.append(gan.contest(model, loss).detach())
    made = loss.forged[0]
    for index, gamma, rows in ((1, 3.0, x), (2, 5.0, made)):
        squares = penalized(gan.discriminator, rows, None, 1.0)[1]
        assert torch.allclose(paid[index] - paid[0], 0.5 * gamma * squares, atol=1e-5)


# ---- the balance of two losses -----------------------------------------------------------------------------------


def test_the_balance_is_the_ratio_of_two_known_gradients() -> None:
    weight = torch.nn.Parameter(torch.tensor([[2.0, -1.0], [0.5, 3.0]]))
    hidden = torch.tensor([[1.0, 2.0]])
    picture = hidden @ weight.T  # [0, 6.5]
    loss = 0.5 * picture.square().sum()  # ∂/∂W = pictureᵀ hidden, of norm 6.5 √5
    slope = torch.tensor([[0.3, 0.4]])  # ∂/∂W = slopeᵀ hidden, of norm ½ √5
    assert float(balance(loss, [picture], [slope], weight)) == pytest.approx(13.0)
    assert float(balance(loss, [picture], [0 * slope], weight)) == pytest.approx(1e6)
    assert (
        float(
            balance((2 * hidden).sum() + 0 * loss.detach() + hidden.requires_grad_().sum(), [picture], [slope], weight)
        )
        == 0
    )


@pytest.mark.parametrize("weight", [0.5, 2.0])
@pytest.mark.parametrize("kind", [Adversarial, VaeGan])
def test_the_rival_asks_as_much_of_the_last_layer_as_its_weight_says(
    small_model: Built, weight: float, kind: type[Adversarial] | type[VaeGan]
) -> None:
    model, x = small_model((4,)), torch.randn(16, 4)
    objective, plain = kind(weight=weight, start=0.2, rise=0.1), Elbo()
    last = last_weight(model.decoder)
    gradients = []
    for each, progress in ((plain, 0.9), (objective, 0.9), (objective, 0.25), (objective, 0.1)):
        each.setup(model)
        each.progress = progress
        model.zero_grad()
        each(model, x, torch.Generator().manual_seed(0)).rows.mean().backward()
        assert last.grad is not None
        gradients.append(last.grad.clone())
    own = gradients[0].norm()
    assert float((gradients[1] - gradients[0]).norm() / own) == pytest.approx(weight, rel=1e-4)
    assert float((gradients[2] - gradients[0]).norm() / own) == pytest.approx(weight / 2, rel=1e-4)
    assert torch.equal(gradients[3], gradients[0]), "the rival has begun too early"


@pytest.mark.parametrize("loss", ["relativistic", "non-saturating"])
def test_what_is_carried_to_the_model_is_the_gradient_of_its_loss(small_model: Built, loss: str) -> None:
    model, x = small_model((4,)), torch.randn(6, 4)
    gan = Objective.from_spec({"type": "Gan", "loss": loss})
    gan.setup(model)
    found = gan(model, x, torch.Generator().manual_seed(1)).rows
    found.mean().backward()
    carried = [p.grad.clone() for p in model.decoder.parameters() if p.grad is not None]
    assert all(p.grad is None for p in gan.discriminator.parameters()), "the model's loss taught the rival"
    model.zero_grad()
    picture = model.likelihood.forged(model.generate(6, from_prior(torch.Generator().manual_seed(1))))
    direct = models_loss(loss, gan.discriminator(x).detach(), gan.discriminator(picture))  # type: ignore[arg-type]
    direct.mean().backward()
    assert torch.allclose(found, direct)
    for own, other in zip(carried, model.decoder.parameters(), strict=True):
        assert other.grad is not None
        assert torch.allclose(own, other.grad, atol=1e-7)


# ---- what is judged ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("components", [1, 3])
def test_what_a_rival_is_shown_of_cut_logistics_is_their_mean(components: int) -> None:
    likelihood = DiscretizedLogistics(components=components)
    raw = likelihood.setup((2, 3, 4))
    raw = torch.randn(5, *raw, generator=torch.Generator().manual_seed(0)).mul(2).requires_grad_()
    px = likelihood(raw)
    shown = likelihood.forged(px)
    apart = (shown - likelihood.embed(px.mean)).abs() * 127.5
    assert float(apart.max().detach()) < 0.3  # of a level
    shown.sum().backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_the_context_is_projected_on_the_last_hidden_layer() -> None:
    judge = Judge(Mlp(width=7, depth=1), (5,), context=3, seed=0)
    x, context = torch.randn(4, 5), torch.randn(4, 3)
    nought, once, twice = (judge(x, factor * context) for factor in (0.0, 1.0, 2.0))
    assert torch.allclose(twice - nought, 2 * (once - nought), atol=1e-5)
    assert not torch.allclose(once, nought)


def test_a_view_is_the_same_for_rows_and_what_was_made_beside_them() -> None:
    x = torch.rand(3, 2, 16, 12)
    for kinds in ("none", "translation", "translation,cutout", "color,translation,cutout"):
        view = View(kinds, x, torch.Generator().manual_seed(0))
        assert torch.equal(view(x), view(x.clone()))
        assert (kinds == "none") == torch.equal(view(x), x)


def test_a_picture_is_moved_and_cut_by_whole_pixels() -> None:
    x = torch.zeros(64, 1, 16, 16)
    x[:, :, 8, 8] = 1.0
    moved = View("translation", x, torch.Generator().manual_seed(0))(x)
    places = moved.flatten(1).argmax(1)
    assert torch.equal(moved.flatten(1).sum(1), torch.ones(64))
    assert {int(p) // 16 for p in places} == {int(p) % 16 for p in places} == {6, 7, 8, 9, 10}
    ones = torch.ones(400, 1, 16, 16)
    holes = View("translation,cutout", ones, torch.Generator().manual_seed(0))
    holes.kinds = ["cutout"]
    lost = 1 - float(holes(ones).mean())
    assert lost == pytest.approx(0.4375**2, abs=0.01)  # of each side a half, less the sixteenth that hangs over an edge


# ---- learning ----------------------------------------------------------------------------------------------------


def test_a_gan_learns_a_gaussian(small_model: Built) -> None:
    mean, root = torch.tensor([2.0, -1.0]), torch.tensor([[1.0, 0.0], [0.8, 0.5]])
    x = mean + torch.randn(4096, 2, generator=torch.Generator().manual_seed(0)) @ root.T
    model = small_model(
        (2,), latent=Flat(2, posterior=Absent()), network=Mlp(width=32, depth=1), likelihood=Gaussian(scale="fixed")
    )
    history = fit(model, Gan(), x, epochs=20, batch=128, learning_rate=3e-3, precision="fp32")
    with torch.no_grad():
        drawn = model.likelihood.forged(model.generate(4096, from_prior(torch.Generator().manual_seed(1))))
    assert (drawn.mean(0) - mean).abs().max() < 0.2
    assert (torch.cov(drawn.T) - root @ root.T).abs().max() < 0.3
    assert history["rival_accuracy"][-1] == pytest.approx(0.5, abs=0.1)
    assert history["spread"][-1] == pytest.approx(1.0, abs=0.15)
    assert "balance" not in history


def test_what_an_epoch_told_is_the_mean_of_its_steps_without_those_skipped(small_model: Built) -> None:
    model, x = small_model((4,)), torch.randn(8, 4)
    gan = Gan(loss="non-saturating")
    gan.setup(model)
    told = []
    for step, taken in ((0, True), (1, True), (2, False)):
        loss = gan(model, x, torch.Generator().manual_seed(step))
        gan.contest(model, loss)
        with torch.no_grad():
            real, fake = gan.discriminator(x), gan.discriminator(loss.forged[0])
        if taken:
            told.append(
                [float(t) for t in (rivals_loss(gan.loss, real, fake).mean(), share_right(gan.loss, real, fake))]
            )
        gan.after(model, loss, torch.tensor(taken))
    found = gan.told()
    for place, name in enumerate(("rival_loss", "rival_accuracy")):
        assert found[name] == pytest.approx((told[0][place] + told[1][place]) / 2, abs=1e-6)
    assert gan.told() == {"rival_loss": None, "rival_accuracy": None, "spread": None}


def test_two_rivals_side_by_side_each_pay_their_own(small_model: Built) -> None:
    model, x = small_model((4,)), torch.randn(8, 4)
    objective = Adversarial(of=Factor(width=4, depth=1))
    objective.setup(model)
    objective.progress = 1.0
    loss = objective(model, x, torch.Generator().manual_seed(0))
    assert loss.within is not None
    both = objective.contest(model, loss, torch.Generator().manual_seed(1))
    own = objective.fought(model, loss, None, None)
    other = objective.of.contest(model, loss.within, torch.Generator().manual_seed(1))
    assert both is not None
    assert other is not None
    assert torch.allclose(both, own + other)
    both.mean().backward()
    assert objective.opponent is not None
    assert all(p.grad is not None for p in objective.opponent.parameters())
    assert len(list(objective.opponent.parameters())) == sum(
        len(list(each.discriminator.parameters())) for each in (objective, objective.of)
    )


def test_of_a_codebook_reconstructions_alone_are_judged(assembled: Callable[..., tuple[LatentModel, Tensor]]) -> None:
    model, x = assembled(quantizer={"type": "Finite", "levels": [3, 2]}, prior={"type": "Uniform"})
    for objective in (Adversarial(), VaeGan()):
        objective.setup(model)
        objective.progress = 1.0
        assert len(objective(model, x, torch.Generator().manual_seed(0)).forged) == 1
