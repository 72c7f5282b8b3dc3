"""An ensemble in one pass: a mixture whose evidence is known, members that know nothing of each other, and rows left out."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from lambent import fitted as store
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import bounds
from lambent.metrics.by_column import column_terms
from lambent.metrics.collapse import levels
from lambent.model import LatentModel, check
from lambent.model.latents import Flat, Ladder
from lambent.model.likelihoods import Categorical, Gaussian, Mixed, StudentT
from lambent.model.networks import Conv, Mlp, Network
from lambent.model.networks.base import Half
from lambent.model.networks.stacked import by_member, in_turn
from lambent.model.priors import Mixture
from lambent.model.trace import fixed, from_posterior, mean
from lambent.objectives import Elbo, Iwae
from lambent.part import Part, Shape
from lambent.tasks.conditional import conditionals
from lambent.tasks.detection.scores.members import described
from lambent.tasks.explore import decode, encode, reconstruct
from lambent.training.fitting import fit
from lambent.training.room import kept_by, on_meta

OBSERVED, HIDDEN, SCALE, MEMBERS = 5, 2, 0.4, 3


@pytest.fixture
def linear() -> Iterator[Network]:
    """An encoder that hands on the row and a linear decoder; known to the registry for the length of a test."""

    class Linear(Network):
        """Features are the row itself; the raw output is linear in the code."""

        many = True

        def encoder(self, event: Shape) -> Half:
            return Half(nn.Flatten(), shape=event)

        def decoder(self, hidden: Shape, raw: Shape) -> Half:
            return Half(nn.Linear(hidden[0], raw[0]), shape=raw)

    yield Linear()
    Part._classes.remove(Linear)


@pytest.fixture
def exact(linear: Network) -> tuple[LatentModel, list[MultivariateNormal]]:
    """Members that are linear-Gaussian, x ~ N(b_m, W_m W_mᵀ + σ²I), with their exact posteriors; and their evidences."""
    model = LatentModel(Flat(HIDDEN), Gaussian(scale="fixed", value=SCALE), linear, members=MEMBERS)
    model.setup((OBSERVED,)).double()
    model.likelihood.width.log_scale.fill_(math.log(SCALE))  # to more digits than float32 has
    generator = torch.Generator().manual_seed(5)
    evidences = []
    for member in range(MEMBERS):
        axes = torch.linalg.qr(torch.randn(OBSERVED, HIDDEN, generator=generator, dtype=torch.float64))[0]
        loadings = axes * torch.tensor([1.5, 0.7], dtype=torch.float64)  # at right angles: q(z|x) is diagonal
        offset = torch.randn(OBSERVED, generator=generator, dtype=torch.float64)
        variance = 1 / (1 + loadings.square().sum(0) / SCALE**2)
        weight = variance[:, None] * loadings.T / SCALE**2
        with torch.no_grad():
            model.decoder[0].weight[member], model.decoder[0].bias[member] = loadings.T, offset
            head = model.latent.posterior.head
            head.weight[member] = torch.cat((weight, torch.zeros_like(weight))).T
            head.bias[member] = torch.cat((-weight @ offset, 0.5 * variance.log()))
        covariance = loadings @ loadings.T + SCALE**2 * torch.eye(OBSERVED, dtype=torch.float64)
        evidences.append(MultivariateNormal(offset, covariance))
    return model, evidences


def small(members: int = MEMBERS, x: Tensor | None = None, linear: bool = False) -> LatentModel:
    network = Mlp(width=12, depth=2, linear=linear)
    return LatentModel(Flat(3), StudentT("predicted"), network, members=members).setup((4,), x)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(40, 4, generator=torch.Generator().manual_seed(1))


def test_the_bound_is_the_evidence_of_a_mixture(exact: tuple[LatentModel, list[MultivariateNormal]]) -> None:
    """With exact posteriors: log 1/M Σ_m N(x; b_m, W_m W_mᵀ + σ²I) for any K; the ELBO is the mean of the members' evidences."""
    model, evidences = exact
    x = torch.randn(20, OBSERVED, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    each = torch.stack([evidence.log_prob(x) for evidence in evidences])
    found = bounds(model, x, samples=4)
    expected = torch.logsumexp(each, 0) - math.log(MEMBERS)
    torch.testing.assert_close(found.bound, expected, rtol=0, atol=1e-9)
    assert bool((found.elbo < expected).all())
    trace = model.trace(x, 50, from_posterior(torch.Generator().manual_seed(0)))
    torch.testing.assert_close(trace.log_weight.unflatten(0, (MEMBERS, 50)).mean(1), each, rtol=0, atol=1e-9)


def test_rows_come_from_every_member(exact: tuple[LatentModel, list[MultivariateNormal]]) -> None:
    """Each in turn, or as told; their means are those of the members."""
    model, evidences = exact
    codes = torch.zeros(7, HIDDEN, dtype=torch.float64)
    offsets = torch.stack([evidence.mean for evidence in evidences])
    torch.testing.assert_close(model.generate(7, fixed(codes)).mean, offsets[[0, 1, 2, 0, 1, 2, 0]])
    told = torch.tensor([2, 2, 0, 2, 1, 2, 2])
    torch.testing.assert_close(model.generate(7, fixed(codes), member=told).mean, offsets[told])


def test_members_by_their_order() -> None:
    member = torch.tensor([1, 0, 1, 1, 3])
    places, back = by_member(member, 4)
    rows = torch.arange(5)
    assert torch.equal(rows[places][back], rows)
    assert torch.equal(back // 3, member)  # equal shares of the three that the largest has
    assert in_turn(5, 2).tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("linear", [False, True])
def test_a_member_alone_is_what_it_is_among_others(x: Tensor, linear: bool) -> None:
    model = small(x=x, linear=linear)
    whole = model.trace(x, 2, mean)
    for number in range(MEMBERS):
        alone = model.member(number)
        own = alone.trace(x, 2, mean)
        assert alone.members == 1
        torch.testing.assert_close(whole.log_px[2 * number : 2 * number + 2], own.log_px, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(whole.kl[2 * number], own.kl, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(told(model, x)[number], told(alone, x)[0], rtol=1e-5, atol=1e-5)
    starts = dict(model.named_parameters())["decoder.1.layers.0.weight" if linear else "decoder.1.weight"]
    assert not torch.equal(starts[0], starts[1])


def test_members_of_equal_weights_are_the_one_model(x: Tensor) -> None:
    """Bounds, terms by column and the loss of an ensemble of copies are those of what was copied."""
    model = small()
    alone = model.member(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 3:
                parameter.copy_(parameter[:1].expand_as(parameter).clone())
            else:
                assert "likelihood" in name
    for whole, one in zip(bounds(model, x, 8), bounds(alone, x, 8), strict=True):
        torch.testing.assert_close(whole, one, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(column_terms(model, x, 8), column_terms(alone, x, 8), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(reconstruct(model, x), reconstruct(alone, x), rtol=1e-5, atol=1e-5)
    usage, single = levels(model, x)[0], levels(alone, x)[0]
    torch.testing.assert_close(usage.movement, single.movement.repeat(MEMBERS), rtol=1e-4, atol=1e-7)


def test_codes_lie_side_by_side(x: Tensor) -> None:
    model = small()
    codes = encode(model, x)[0]
    assert codes.shape == (40, *model.code_shapes[0]) == (40, 3 * MEMBERS)
    each = [model.member(number) for number in range(MEMBERS)]
    torch.testing.assert_close(codes, torch.cat([encode(one, x)[0] for one in each], 1), rtol=1e-5, atol=1e-5)
    middle = torch.stack([reconstruct(one, x) for one in each]).median(0).values
    torch.testing.assert_close(decode(model, [codes]), middle, rtol=1e-4, atol=1e-5)


def test_a_members_gradient_hangs_on_no_other(x: Tensor) -> None:
    """To the bit, whatever the others' weights are; a whole's is a single one's divided by their number."""

    def gradients(model: LatentModel) -> list[Tensor]:
        model.zero_grad()
        loss = Elbo()(model, x, torch.Generator().manual_seed(0))
        loss.rows.mean().backward()
        return [p.grad[1].clone() for p in model.parameters() if p.dim() == 3]

    model = small()
    before = gradients(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 3:
                parameter[0] += 0.3
    assert all(torch.equal(a, b) for a, b in zip(before, gradients(model), strict=True))
    alone = model.member(1)
    trace, whole = alone.trace(x, 1, mean), model.trace(x, 1, mean)
    (trace.kl - trace.log_px[0]).mean().backward()
    model.zero_grad()
    (whole.kl - whole.log_px).mean().backward()
    torch.testing.assert_close(
        MEMBERS * model.decoder[1].weight.grad[1].T, alone.decoder[1].weight.grad, rtol=1e-4, atol=1e-6
    )


def losses(model: LatentModel, objective: Elbo, x: Tensor, progress: float) -> tuple[Tensor, Tensor]:
    """The loss of each row, and −ELBO of each member and row, of the same noise."""
    objective.setup(model)
    objective.progress = progress
    loss = objective(model, x, torch.Generator().manual_seed(3))
    trace = model.trace(x, 1, from_posterior(torch.Generator().manual_seed(3)))
    return loss.rows, (trace.kl - trace.log_px).reshape(model.members, -1)


@pytest.mark.parametrize("members", [1, MEMBERS])
def test_the_worst_rows_of_each_member_do_not_count(x: Tensor, members: int) -> None:
    """By hand: of 40 rows the 12 largest −ELBO of each member left out, the mean that of the rest."""
    rows, lost = losses(small(members), Elbo(trim=0.3), x, 0.5)
    kept = lost.sort(-1).values[:, :28]
    torch.testing.assert_close(rows.mean(), kept.mean(), rtol=1e-5, atol=1e-5)
    limit = kept[:, -1:]
    by_hand = torch.where(lost <= limit, lost * 40 / 28, torch.zeros(())).mean(0)
    torch.testing.assert_close(rows, by_hand, rtol=1e-5, atol=1e-5)


def test_trimming_begins_after_a_tenth_and_spares_the_first_members(x: Tensor) -> None:
    model = small()
    early, lost = losses(model, Elbo(trim=0.3), x, 0.1)
    torch.testing.assert_close(early, lost.mean(0), rtol=1e-5, atol=1e-5)
    rows, lost = losses(model, Elbo(trim=0.3, untrimmed=2), x, 1.0)
    kept = torch.cat((lost[:2].mean(1), lost[2].sort().values[:28].mean()[None]))
    torch.testing.assert_close(rows.mean(), kept.mean(), rtol=1e-5, atol=1e-5)
    objective = Elbo(trim=0.3)
    objective.progress = 0.1
    assert not objective.settled  # nothing is kept as the best before rows are left out
    objective.progress = 0.2
    assert objective.settled


def test_what_is_told_of_the_bound_is_of_all_rows(x: Tensor) -> None:
    model = small()
    objective = Elbo(trim=0.5)
    objective.setup(model)
    objective.progress = 1.0
    loss = objective(model, x, torch.Generator().manual_seed(3))
    trace = model.trace(x, 1, from_posterior(torch.Generator().manual_seed(3)))
    torch.testing.assert_close(loss.seen["reconstruction"], -trace.log_px.mean(0))
    torch.testing.assert_close(loss.seen["kl"], trace.kl.mean(0))
    assert bool(loss.rows.mean() < (trace.kl - trace.log_px).mean())


def test_odd_rows_are_not_learned() -> None:
    """One row in ten lies at 8: the model that leaves out a fifth puts its mean at 0, the other one between."""
    generator = torch.Generator().manual_seed(0)
    rows = 0.5 * torch.randn(400, 2, generator=generator)
    rows[:40] += 8.0
    middles = {}
    for trim in (0.0, 0.2):
        network = Mlp(width=8, depth=1)
        model = LatentModel(Flat(1), Gaussian("fixed", value=8.0), network, members=2).setup((2,))
        fit(model, Elbo(trim=trim), rows, epochs=60, learning_rate=2e-2, device="cpu", precision="fp32")
        middles[trim] = float(reconstruct(model, rows[40:]).mean())
    assert middles[0.0] == pytest.approx(0.8, abs=0.15)
    assert middles[0.2] == pytest.approx(0.0, abs=0.15)


def test_resumed_to_the_bit(x: Tensor, tmp_path: Path) -> None:
    class Stop:
        def on_epoch(self, run: object) -> None:
            if run.epoch == 3:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

    def trained(name: str, **more: object) -> LatentModel:
        model = small()
        how = {"epochs": 6, "batch": 16, "validation": 0.2, "clip": 0.5, "device": "cpu", "precision": "fp32"}
        fit(model, Elbo(trim=0.2, untrimmed=1), x, checkpoint=tmp_path / name, **how | more)  # type: ignore[arg-type]
        return model

    whole = trained("whole")
    with pytest.raises(KeyboardInterrupt):
        trained("parts", callbacks=[Stop()])
    resumed = trained("parts", resume=True)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_saved_and_loaded(x: Tensor, tmp_path: Path) -> None:
    model = small(x=x)
    path = store.save(tmp_path / "model.safetensors", Fitted(model))
    loaded = store.load(path).model
    assert loaded.members == MEMBERS
    assert torch.equal(bounds(model, x).bound, bounds(loaded, x).bound)


def test_room_is_counted_for_every_member() -> None:
    """Of a batch that its members do not divide, too."""
    several, one = on_meta(small(), (4,)), on_meta(small(1), (4,))
    assert several is not None
    assert one is not None
    assert kept_by(several, 7) == pytest.approx(MEMBERS * kept_by(one, 7), rel=0.2)


def told(model: LatentModel, x: Tensor) -> Tensor:
    """What each member needs to describe rows."""
    return described(Fitted(model), Rows(x))


def test_a_rows_numbers_hang_on_no_other_row() -> None:
    x = torch.randn(1500, 4, generator=torch.Generator().manual_seed(8))
    model, order = small(), torch.randperm(1500, generator=torch.Generator().manual_seed(9))
    whole = told(model, x)
    assert whole.shape == (MEMBERS, 1500)
    assert torch.equal(told(model, x[order]), whole[:, order])
    assert torch.equal(told(model, x[77:78]), whole[:, 77:78])
    some = x[:200]
    assert torch.equal(bounds(model, some.flip(0), 8).bound.flip(0), bounds(model, some, 8).bound)
    trace = model.trace(x, 1, mean)
    torch.testing.assert_close(whole, trace.kl.double() - trace.log_px.double(), rtol=1e-4, atol=1e-4)


def test_columns_of_kinds_and_gaps_have_members_too() -> None:
    columns = (Gaussian(), Categorical(levels=3), StudentT())
    model = LatentModel(Flat(2), Mixed(columns), Mlp(width=8, depth=1), gaps=True, members=2).setup((3,))
    x = torch.tensor([[0.3, 1.0, -0.2], [math.nan, 2.0, 0.1], [0.5, math.nan, math.nan]])
    found = bounds(model, x, 4)
    assert bool(torch.isfinite(found.bound).all())
    torch.testing.assert_close(column_terms(model, x, 4).sum(1), found.log_px, rtol=1e-5, atol=1e-5)
    assert set(decode(model, encode(model, x))[:, 1].tolist()) <= {0.0, 1.0, 2.0}


def test_what_is_missing_is_told_by_all_members() -> None:
    """What an ensemble says of gaps is the mixture of what its members say, weighed by their evidences."""
    model = LatentModel(
        Flat(2), Mixed((Gaussian(), Categorical(levels=3), Gaussian())), Mlp(width=8, depth=1), gaps=True, members=2
    )
    model.setup((3,))
    x = torch.tensor([[0.3, math.nan, -0.2], [math.nan, 2.0, 0.1]])
    each = []
    for fitted in (Fitted(model), Fitted(model.member(0)), Fitted(model.member(1))):
        index, found = next(conditionals(fitted, fitted.rows(x), 16))
        order = index.argsort()
        each.append((found.probabilities(1)[order], found.mean(0)[order], found.evidence[order]))
    (chances, means, evidence), *alone = each
    shares = torch.softmax(torch.stack([one[2] for one in alone]), 0)
    for whole, place in ((chances, 0), (means, 1)):
        parts = torch.stack([one[place] for one in alone])
        weights = shares if parts.dim() == 2 else shares[..., None]
        torch.testing.assert_close(whole, (weights * parts).sum(0), rtol=1e-4, atol=1e-5)
    expected = torch.logsumexp(torch.stack([one[2] for one in alone]), 0) - math.log(2)
    torch.testing.assert_close(evidence, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(alone[0][0], alone[1][0], atol=1e-3)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"network": Conv()}, "Conv serves one alone: use Mlp, or members=1"),
        ({"latent": Ladder()}, "Ladder serves one alone: use Flat, or members=1"),
        ({"latent": Flat(prior=Mixture())}, "Mixture serves one alone: use Standard, or members=1"),
    ],
)
def test_what_cannot_serve_several_is_refused(parts: dict[str, Part], sentence: str) -> None:
    model = LatentModel(**{"likelihood": Gaussian(), "members": 2} | parts)
    with pytest.raises(UsageError, match=f"a LatentModel of 2 members computes them in one pass, and {sentence}"):
        model.setup((1, 8, 8))
    with pytest.raises(UsageError, match="Iwae serves one alone: use Elbo"):
        check(small(), Iwae())
