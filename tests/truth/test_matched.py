"""Matched: partners that are known are found by their codes, what they are decoded as is paid for, and styles change alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model import LatentModel, check
from lambent.model.latents import Flat, Styled
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.trace import fixed, from_posterior, mean
from lambent.objectives import Elbo, Invariant, Lagging, Matched
from lambent.objectives.matched import partners
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]
Build = Callable[..., LatentModel]


def ready(model: LatentModel, **fields: object) -> Matched:
    objective = Matched(of=Elbo(), **fields)
    objective.setup(model)
    objective.to(model.device)
    objective.progress = 0.5
    return objective


def test_partners_are_each_others_nearest() -> None:
    """Codes on a line: 0, 4 and 10 beside 0.5, 4.1 and 4.4; the last two of both sides have no nearest that is theirs."""
    codes = torch.tensor([0.5, 0.0, 4.1, 4.0, 4.4, 10.0]).unsqueeze(1)
    one, other = torch.tensor([1, 3, 5]), torch.tensor([0, 2, 4])
    found = {tuple(pair) for pair in partners(codes, one, other).tolist()}
    assert {(1, 0), (3, 2)} <= found
    assert len({pair[0] for pair in found}) == len({pair[1] for pair in found}) == len(found)
    assert not len(partners(codes, one, other[:0]))


def test_a_code_in_a_crowd_is_not_everybodys_nearest() -> None:
    """Around a hub lie four codes, each with a partner a little farther out; by distance alone the hub is nearest to all."""
    out = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    codes = torch.cat((out, 2.1 * out, torch.zeros(1, 2), torch.full((1, 2), 50.0)))
    one, other = torch.tensor([0, 1, 2, 3, 9]), torch.tensor([4, 5, 6, 7, 8])
    apart = torch.cdist(codes[one], codes[other])
    assert apart[:4].argmin(1).tolist() == [4] * 4
    found = {tuple(pair) for pair in partners(codes, one, other).tolist()}
    assert {(0, 4), (1, 5), (2, 6), (3, 7)} <= found


def test_partners_are_paid_for_as_they_are_decoded(small_model: Build, seed: Seed, device: torch.device) -> None:
    """λ times −log p(x_j | z_i, c_j), with the code of the one row and the context of the other, in both directions."""
    model, x = small_model(context=2), torch.randn(2, 4, device=device)
    context = torch.eye(2, device=device)
    objective = ready(model, weight=3.0)
    without = objective(model, x, seed(0), context)
    assert without.within is not None
    assert torch.equal(without.rows, without.within.rows), "before any partners are found"
    objective.examine(model, x, context)
    assert sorted(objective.found.pairs[0].tolist()) == [0, 1]
    assert objective.told()["partnered"] == 1
    drawn: list[Tensor] = []
    infer = model.infer

    def noted(*arguments: object) -> object:
        nodes = infer(*arguments)
        drawn.append(nodes[0].z[0])
        return nodes

    model.infer = noted  # type: ignore[method-assign, assignment]
    loss = objective(model, x, seed(0), context)
    assert loss.within is not None
    there, back = objective.found.pairs[0].tolist(), objective.found.pairs[0].flip(0).tolist()
    px = model.generate(2, fixed(drawn[0]), context[back])
    expected = -3.0 * px.log_prob(x[back])
    assert len(there) == len(drawn[0]) == 2
    torch.testing.assert_close(loss.rows - loss.within.rows, expected, rtol=1e-4, atol=1e-4)
    loss.rows.mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_partners_are_looked_for_from_the_start_on(small_model: Build) -> None:
    model, x, context = small_model(context=2), torch.randn(8, 4), torch.eye(2).repeat(4, 1)
    objective = ready(model, start=0.6)
    objective.examine(model, x, context)
    assert objective.told()["partnered"] is None
    objective.progress = 0.6
    objective.examine(model, x, context)
    assert len(objective.found.pairs) >= 1
    assert set((objective.found.pairs % 2).sum(1).tolist()) == {1}, "partners are of two contexts"


def test_what_cannot_be_matched_is_said(small_model: Build) -> None:
    with pytest.raises(UsageError, match="Matched is about the context of a model"):
        check(small_model(), Matched(of=Elbo()))
    with pytest.raises(UsageError, match="Lagging at rows of its own"):
        check(small_model(context=2), Matched(of=Lagging()))
    model = small_model(context=1)
    with pytest.raises(UsageError, match=r"contexts that many rows share, and 200 rows have 200 here"):
        ready(model).examine(model, torch.randn(200, 4), torch.randn(200, 1))


def seen(count: int, seed: Seed, mirrored: bool = False) -> Tensor:
    """Two numbers, seen in eight; mirrored, the first of them runs the other way, and rows as a whole look as they did."""
    content = torch.rand(count, 2, generator=seed(count))
    if mirrored:
        content[:, 0] = 1 - content[:, 0]
    content = content * torch.tensor([3.0, 1.5])
    return torch.tanh(content @ torch.randn(2, 8, generator=seed(3)))


def missed(model: LatentModel, new: Tensor, wanted: Tensor) -> float:
    """The squared error of rows decoded under the second context, as a share of that of rows unchanged."""
    given, other = (torch.eye(2)[[k]].expand(len(new), 2) for k in (0, 1))
    model.eval()
    with torch.no_grad():
        codes = [node.z[0] for node in model.infer(new, 1, mean, given)]
        made = model.generate(len(new), fixed(*codes), other).mean
    return float((made - wanted).square().mean() / (new - wanted).square().mean())


def test_after_training_a_row_is_decoded_as_what_it_is_in_the_other_style(seed: Seed) -> None:
    """The second style is half as strong, and moved by one; no row of training is there in both."""
    rows, new = seen(600, seed), seen(100, seed)
    x = torch.cat((rows[:300], 1 + 0.5 * rows[300:]))
    model = LatentModel(Flat(2), Gaussian(), Mlp(32, 1), context=2)
    objective = Matched(of=Invariant(weight=10.0, width=32, depth=1))
    settings = {"epochs": 20, "batch": 50, "learning_rate": 3e-3, "patience": 0, "device": "cpu"}
    history = fit(model, objective, x, context=torch.eye(2).repeat_interleave(300, 0), seed=0, **settings)
    assert history["partnered"][0] is None
    assert 0.02 < history["partnered"][-1] < 1
    assert missed(model, new, 1 + 0.5 * new) < 0.05


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_partners_teach_what_nothing_else_tells(weight: float, seed: Seed) -> None:
    """Under the second style all is mirrored, and rows of both look alike: without partners each would stay what it is."""
    new = seen(100, seed)
    x, context = torch.cat((seen(200, seed), seen(200, seed, mirrored=True))), torch.eye(2).repeat_interleave(200, 0)
    model = LatentModel(Flat(2), Gaussian(), Mlp(32, 1), context=2).setup((8,), seed=0)
    objective = ready(model, weight=weight)
    objective.found.keep(x, context, torch.stack((torch.arange(200), torch.arange(200, 400)), 1))
    optimizer, generator = torch.optim.Adam(model.parameters(), 5e-3), seed(0)
    for _ in range(400):
        batch = torch.randint(400, (50,), generator=generator)
        optimizer.zero_grad()
        objective(model, x[batch], generator, context[batch]).rows.mean().backward()
        optimizer.step()
    error = missed(model, new, seen(100, seed, mirrored=True))
    assert error < 0.5 if weight else error > 0.8


def test_a_code_of_style_gives_partners_the_mean_style_of_their_label(seed: Seed) -> None:
    """The content of the one row and the mean style of the other's label, whatever the other's own style."""
    model = LatentModel(Styled(content=Flat(2), style=2, group=4), Gaussian(), Mlp(8, 1), context=2).setup((4,), seed=1)
    latent = model.latent
    assert isinstance(latent, Styled)
    x, context = torch.randn(2, 4, generator=seed(5)), torch.eye(2)
    objective = ready(model)
    objective.examine(model, x, context)
    there, back = objective.found.drawn(2, seed(7)).unbind(1)
    with torch.no_grad():
        lost = objective._lost(model, 2, seed(7))
        generator = seed(7)
        objective.found.drawn(2, generator)
        codes = [node.z[0] for node in model.infer(x[there], 1, from_posterior(generator))]
        px = model.generate(2, fixed(latent.expected_style(context[back]), *codes[1:]))
    torch.testing.assert_close(lost, -px.log_prob(x[back]))
