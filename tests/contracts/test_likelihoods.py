"""The law of every likelihood. What its numbers must be stands under truth/."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import centre, sample
from lambent.errors import DataError
from lambent.model.likelihoods import Likelihood
from lambent.part import Shape, Spec

Event = Callable[[Spec], Shape]
Rows = Callable[..., Tensor]


@pytest.fixture
def made(event: Event, rows: Rows, device: torch.device) -> Callable[[Spec], tuple[Likelihood, Shape, Shape, Tensor]]:
    """The likelihood after setup, its event and raw shapes, and six rows of it."""

    def built(spec: Spec) -> tuple[Likelihood, Shape, Shape, Tensor]:
        shape = event(spec)
        likelihood = Likelihood.from_spec(spec)
        raw = likelihood.setup(shape)
        return likelihood.to(device).eval(), shape, raw, rows(spec, shape, 6).to(device)  # nothing is left out

    return built


Made = Callable[[Spec], tuple[Likelihood, Shape, Shape, Tensor]]


def at(likelihood: Likelihood, raw: Shape, batch: Shape, device: torch.device) -> Distribution:
    values = torch.randn(*batch, *raw, generator=torch.Generator().manual_seed(1))
    return likelihood(values.to(device))


@pytest.mark.parametrize("batch", [(), (6,), (3, 6), (1, 1)])
def test_shapes(any_likelihood_spec: Spec, batch: Shape, made: Made, device: torch.device) -> None:
    likelihood, event, raw, _ = made(any_likelihood_spec)
    px = at(likelihood, raw, batch, device)
    assert tuple(px.batch_shape) == batch
    assert tuple(px.event_shape) == event
    drawn = sample(px, (2,))
    assert tuple(drawn.shape) == (2, *batch, *event)
    assert tuple(px.log_prob(drawn).shape) == (2, *batch)
    assert tuple(centre(px).shape) == (*batch, *event)


def test_rows_are_shared_by_all_samples(any_likelihood_spec: Spec, made: Made, device: torch.device) -> None:
    likelihood, _, raw, x = made(any_likelihood_spec)
    px = at(likelihood, raw, (3, 6), device)
    observed = likelihood.observe(x)
    whole = px.log_prob(observed)
    values = torch.randn(3, 6, *raw, generator=torch.Generator().manual_seed(1)).to(device)
    for k in range(3):
        torch.testing.assert_close(whole[k], likelihood(values[k]).log_prob(observed))


def test_a_row_does_not_depend_on_the_rows_beside_it(
    any_likelihood_spec: Spec, made: Made, device: torch.device
) -> None:
    likelihood, _, raw, x = made(any_likelihood_spec)
    values = torch.randn(6, *raw).to(device)
    whole = likelihood(values).log_prob(likelihood.observe(x))
    alone = torch.cat([likelihood(values[i : i + 1]).log_prob(likelihood.observe(x[i : i + 1])) for i in range(6)])
    torch.testing.assert_close(whole, alone)


def test_it_holds_its_own_draws(any_likelihood_spec: Spec, made: Made) -> None:
    likelihood, _, _, x = made(any_likelihood_spec)
    likelihood.check(x)
    observed = likelihood.observe(x)
    torch.testing.assert_close(likelihood.stored(observed.to(x.dtype), False), x, equal_nan=True)
    embedded = likelihood.embed(observed)
    assert embedded.dtype.is_floating_point
    assert len(embedded) == len(x)
    assert torch.isfinite(embedded).all()


def test_bytes_go_there_and_back(any_likelihood_spec: Spec, made: Made, device: torch.device) -> None:
    likelihood, event, _, _ = made(any_likelihood_spec)
    x = torch.randint(0, 2, (6, *event), dtype=torch.uint8, device=device)
    if likelihood.unit_bytes:
        x = x * 255
    observed = likelihood.observe(x)
    assert (observed.dtype.is_floating_point) or observed.dtype == torch.int64
    torch.testing.assert_close(likelihood.stored(observed, True).double(), x.double())


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_with_its_row(
    any_likelihood_spec: Spec, broken: float, made: Made
) -> None:
    likelihood, _, _, x = made(any_likelihood_spec)
    x.flatten(1)[4, 0] = broken
    with pytest.raises(DataError, match="row 4"):
        likelihood.check(x)


def test_draws_come_from_the_generator_alone(any_likelihood_spec: Spec, made: Made, device: torch.device) -> None:
    likelihood, _, raw, _ = made(any_likelihood_spec)
    px = at(likelihood, raw, (6,), device)
    state = torch.get_rng_state()
    first, second, other = (sample(px, (3,), torch.Generator(device).manual_seed(n)) for n in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    if not likelihood.normalized:
        assert torch.equal(first, centre(px).expand_as(first)), "what is no distribution has no noise"
    elif any_likelihood_spec["type"] != "Bernoulli" or first.numel() > 50:
        assert not torch.equal(first.nan_to_num(-1.0), other.nan_to_num(-1.0))


def test_inputs_are_left_alone(any_likelihood_spec: Spec, made: Made, device: torch.device) -> None:
    likelihood, _, raw, x = made(any_likelihood_spec)
    kept, values = x.clone(), torch.randn(6, *raw, device=device)
    given = values.clone()
    px = likelihood(values)
    observed = likelihood.observe(x)
    likelihood.embed(observed)
    px.log_prob(observed)
    centre(px)
    sample(px)
    likelihood.calibrated(px, observed)
    torch.testing.assert_close(x, kept, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(values, given)


def test_gradient_reaches_all_raw_outputs_and_weights(
    any_likelihood_spec: Spec, made: Made, rows: Rows, device: torch.device
) -> None:
    likelihood, event, raw, _ = made(any_likelihood_spec)
    x = rows(any_likelihood_spec, event, 40).to(device)  # so many that none is at a spike in all of them
    values = torch.randn(40, *raw, device=device, requires_grad=True)
    observed = likelihood.observe(x)
    (likelihood(values).log_prob(observed).sum() + likelihood.embed(observed).square().sum()).backward()
    reached = values.grad.abs().flatten(1).sum(0)
    assert (reached > 0).all(), "a raw output without effect"
    assert all(p.grad is not None and (p.grad != 0).any() for p in likelihood.parameters())


def test_setup_twice_starts_anew(any_likelihood_spec: Spec, made: Made) -> None:
    likelihood, event, raw, _ = made(any_likelihood_spec)
    assert likelihood.setup(event) == raw


@pytest.mark.parametrize(
    ("spec", "rows", "instead"),
    [
        ({"type": "Bernoulli"}, [[0.0, 0.5]], "ContinuousBernoulli"),
        ({"type": "ContinuousBernoulli"}, [[-0.1, 0.5]], "Gaussian"),
        ({"type": "ContinuousBernoulli"}, [[0.1, 1.5]], "Gaussian"),
        ({"type": "Poisson"}, [[-1.0, 2.0]], "Gaussian"),
        ({"type": "NegativeBinomial"}, [[0.5, 2.0]], "Gaussian"),
        ({"type": "ZeroInflatedNegativeBinomial"}, [[0.5, 2.0]], "Gaussian"),
        ({"type": "Categorical", "levels": 3}, [[0.0, 3.0]], "more levels"),
        ({"type": "Categorical", "levels": 3}, [[0.0, -1.0]], "more levels"),
        ({"type": "Categorical", "levels": 3}, [[0.0, 1.5]], "more levels"),
        ({"type": "DiscretizedLogistics"}, [[0.0, 300.0]], r"DiscretizedLogistics\(levels=1024\)"),
        ({"type": "DiscretizedLogistics", "levels": 4096}, [[0.0, 5000.0]], r"DiscretizedLogistics\(levels=65536\)"),
        ({"type": "DiscretizedLogistics"}, [[0.0, 70000.0]], "Gaussian"),
        ({"type": "DiscretizedLogistics"}, [[0.0, 7.5]], "ContinuousBernoulli"),
        ({"type": "DiscretizedLogistics"}, [[0.0, 0.5]], "ContinuousBernoulli"),
        ({"type": "DiscretizedLogistics"}, [[0.0, 1.0]], "multiply by 255"),
        ({"type": "Mixed", "columns": [{"type": "Gaussian"}, {"type": "Bernoulli"}]}, [[0.5, 0.5]], "Bernoulli"),
    ],
)
def test_rows_outside_the_support_are_refused_with_another_likelihood(
    spec: Spec, rows: list[list[float]], instead: str
) -> None:
    likelihood = Likelihood.from_spec(spec)
    x = torch.tensor(rows)
    if spec["type"] == "DiscretizedLogistics":
        x = x.reshape(1, 1, 1, 2)
    likelihood.setup(tuple(x.shape[1:]))
    with pytest.raises(DataError, match=instead):
        likelihood.check(x)


def test_what_a_rival_is_shown_is_read_as_rows_are_and_has_a_gradient(any_likelihood_spec: Spec, made: Made) -> None:
    """`forgeable` says the truth: where it stands, the centre of p(x|z) is a row as the encoder reads it, with a gradient."""
    likelihood, _, raw, x = made(any_likelihood_spec)
    if not likelihood.forgeable:
        return
    values = torch.randn(6, *raw, generator=torch.Generator().manual_seed(1)).to(x.device).requires_grad_()
    shown = likelihood.forged(likelihood(values))
    real = likelihood.seen(likelihood.observe(x))
    assert shown.shape == real.shape
    assert shown.dtype == real.dtype
    shown.sum().backward()
    assert values.grad is not None
    assert torch.isfinite(values.grad).all()
    assert (values.grad != 0).flatten(1).any(1).all()
    assert likelihood.forged(likelihood(values[None])).shape == (1, *real.shape)
