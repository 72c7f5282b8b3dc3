"""The law of every objective: one finite loss a row, gradients where they belong, no randomness but the generator's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model import LatentModel, check
from lambent.objectives import Objective
from lambent.part import Spec

Seed = Callable[[int], torch.Generator]
Assembled = Callable[..., tuple[LatentModel, Tensor]]
Contexts = Callable[[Spec, int], Tensor | None]


@pytest.fixture
def ready(assembled: Assembled) -> Callable[..., tuple[Objective, LatentModel, Tensor]]:
    """The objective after setup, with a model it takes and rows; a variation that needs more company says so."""

    def built(spec: Spec, **parts: Spec) -> tuple[Objective, LatentModel, Tensor]:
        try:
            model, x = assembled(objective=spec, **parts)
        except UsageError as refusal:  # of a prior that is made of posteriors, where there are none
            pytest.skip(str(refusal))
        objective = Objective.from_spec(spec)
        if reason := objective.refusal(model):
            assert "use" in reason or "give" in reason
            pytest.skip(reason)
        objective.setup(model)
        objective.to(model.device)
        objective.rows = 100
        objective.progress = 0.5
        return objective, model, x

    return built


Ready = Callable[..., tuple[Objective, LatentModel, Tensor]]


@pytest.mark.parametrize("count", [1, 2, 8])
def test_one_finite_loss_for_each_row(any_objective_spec: Spec, count: int, ready: Ready, seed: Seed) -> None:
    objective, model, x = ready(any_objective_spec)
    loss = objective(model, x[:count], seed(0)).rows
    assert loss.shape == (count,)
    assert torch.isfinite(loss).all()


def test_its_randomness_is_the_generators(any_objective_spec: Spec, ready: Ready, seed: Seed) -> None:
    objective, model, x = ready(any_objective_spec)
    state = torch.get_rng_state()
    first, same, other = (objective(model, x, seed(n)).rows for n in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_rows_and_weights_are_left_alone(any_objective_spec: Spec, ready: Ready, seed: Seed) -> None:
    objective, model, x = ready(any_objective_spec)
    kept = [t.clone() for t in (x, *model.state_dict().values(), *objective.state_dict().values())]
    objective(model, x, seed(0)).rows.mean().backward()
    now = (x, *model.state_dict().values(), *objective.state_dict().values())
    assert all(torch.equal(a.nan_to_num(-9.5), b.nan_to_num(-9.5)) for a, b in zip(kept, now, strict=True))


@pytest.mark.parametrize("prior", ["Standard", "Mixture", "Vamp", "Flow"])
def test_gradient_reaches_encoder_decoder_and_prior(
    any_objective_spec: Spec, prior: str, ready: Ready, seed: Seed
) -> None:
    if any_objective_spec.get("longest") == 1.0:
        pytest.skip("encoder and decoder learn by turns: see test_lagging.py")
    objective, model, x = ready(any_objective_spec, prior={"type": prior})
    if any_objective_spec.get("pretrain"):
        objective.progress = 1.0  # before, there is nothing to teach a prior
    objective(model, x, seed(0)).rows.mean().backward()
    for name, parameter in model.named_parameters():
        if not objective.encodes and not name.startswith(("decoder", "latent.prior")):
            continue  # neither q(z|x) nor the scale of p(x|z) is anything to it
        if any_objective_spec.get("beta") == "auto" and name == "likelihood.width.log_scale":
            continue  # set to its optimum, not learned
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and (p.grad != 0).any()}
    assert ({"encoder", "decoder", "latent"} if objective.encodes else {"decoder"}) <= reached


def test_both_parts_of_the_bound_are_recorded_without_their_graph(
    any_objective_spec: Spec, ready: Ready, seed: Seed
) -> None:
    objective, model, x = ready(any_objective_spec)
    loss = objective(model, x, seed(0))
    if not objective.bounded:
        assert not loss.seen
        return
    for name in ("reconstruction", "kl"):
        value = loss.seen[name]
        assert value.shape == (len(x),)
        assert torch.isfinite(value).all()
        assert not value.requires_grad


def test_rival_has_a_loss_for_each_row_of_its_own(any_objective_spec: Spec, ready: Ready, seed: Seed) -> None:
    objective, model, x = ready(any_objective_spec)
    objective.progress = 0.9  # by when every rival has begun
    first = objective(model, x, seed(0))
    loss = objective.contest(model, first, seed(1))
    if objective.opponent is None:
        assert loss is None
        return
    assert loss.shape == (len(x),)
    model.zero_grad()
    loss.mean().backward()
    assert all(p.grad is None for p in model.parameters()), "the opponent must not teach the model"
    assert all(torch.isfinite(p.grad).all() for p in objective.opponent.parameters())
    assert torch.equal(loss, objective.contest(model, first, seed(1)))


def test_weights_of_an_objective_come_from_its_seed(objective_spec: Spec, ready: Ready) -> None:
    objective, model, _ = ready(objective_spec)
    states = []
    for number in (3, 3, 4):
        torch.rand(5)
        objective.setup(model, number)
        states.append({k: v.clone() for k, v in objective.state_dict().items()})
    assert all(torch.equal(states[0][k].nan_to_num(9), states[1][k].nan_to_num(9)) for k in states[0])
    if objective.opponent is not None:
        assert any(not torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_it_ends_settled(any_objective_spec: Spec, ready: Ready) -> None:
    objective, _, _ = ready(any_objective_spec)
    objective.progress = 1.0
    assert objective.settled
    assert objective.weighed(3.0, 2.0) >= 3.0


@pytest.mark.parametrize("latent", ["Flat", "Ladder"])
@pytest.mark.parametrize("posterior", ["Diagonal", "Full", "Flow", "Point", "Absent"])
def test_what_it_cannot_serve_it_refuses_when_assembled(
    any_objective_spec: Spec, latent: str, posterior: str, assembled: Assembled, context: Contexts, seed: Seed
) -> None:
    """No error may wait for the first step: either it is refused in a sentence, or it works."""
    spec: Spec = {"type": latent, "size": 3} if latent == "Flat" else {"type": latent, "sizes": [2, 2], "width": 4}
    given = context(any_objective_spec, 8)
    model, x = assembled(latent=spec, posterior={"type": posterior}, context=0 if given is None else 2)
    given = None if given is None else given.to(x.device)
    objective = Objective.from_spec(any_objective_spec)
    try:
        check(model, objective)
    except UsageError as refusal:
        words = str(refusal)
        assert any_objective_spec["type"] in words
        own = any(f"{field}={value}" in words for field, value in any_objective_spec.items())
        assert posterior in words or latent in words or own
        return
    objective.setup(model)
    objective.to(model.device)
    loss = objective(model, x, seed(0), given).rows
    assert torch.isfinite(loss).all()
    loss.mean().backward()


def test_context_goes_through(any_objective_spec: Spec, device: torch.device, seed: Seed) -> None:
    model = LatentModel.from_spec(
        {
            "type": "LatentModel",
            "latent": {"type": "Flat", "size": 2},
            "likelihood": "Gaussian",
            "network": {"type": "Mlp", "width": 4, "depth": 1},
            "context": 3,
        }
    )
    model.setup((4,)).to(device)
    objective = Objective.from_spec(any_objective_spec)
    if objective.refusal(model):
        pytest.skip("refused with this model")
    objective.setup(model)
    objective.to(device)
    x, context = torch.randn(5, 4, device=device), torch.randn(5, 3, device=device)
    loss = objective(model, x, seed(0), context).rows
    assert loss.shape == (5,)
    assert not torch.equal(loss, objective(model, x, seed(0), context + 1).rows)
    with pytest.raises(UsageError, match=r"context of shape \[5, 3\]"):
        objective(model, x, seed(0))


@pytest.mark.parametrize("prior", ["Mixture", "Vamp"])
@pytest.mark.parametrize("posterior", ["Diagonal", "Full", "Flow"])
def test_wae_refuses_priors_whose_weights_it_cannot_teach(prior: str, posterior: str, assembled: Assembled) -> None:
    model, _ = assembled(prior={"type": prior}, posterior={"type": posterior})
    with pytest.raises(UsageError, match=rf"^Wae .*{prior} prior .*: use the Standard or Flow prior"):
        check(model, Objective.from_spec("Wae"))
    other, _ = assembled(prior={"type": "Flow"}, posterior={"type": posterior})
    check(other, Objective.from_spec("Wae"))
