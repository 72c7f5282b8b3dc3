"""The transformer over entries: its probabilities sum to one, and its draws follow them, cached or not."""

import itertools

import pytest
import torch
from torch import Tensor

from lambent.distributions import centre
from lambent.model.priors import Transformer
from lambent.model.recomputing import recomputing


def built(context: int, device: torch.device, entries: int = 3, heads: int = 2) -> Transformer:
    """A transformer over 2 × 2 numbers, away from its start."""
    torch.manual_seed(0)
    prior = Transformer(8, 2, heads)
    prior.setup((entries, 2, 2), torch.zeros(0), context)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return prior.to(device)


def every(entries: int, device: torch.device) -> Tensor:
    return torch.tensor(list(itertools.product(range(entries), repeat=4)), device=device).reshape(-1, 2, 2)


def no_posterior(x: Tensor) -> None:
    raise AssertionError


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_probabilities_sum_to_one(context: int, heads: int, device: torch.device) -> None:
    prior = built(context, device, heads=heads)
    given = torch.randn(5, context, device=device) if context else None
    p = prior(no_posterior, given)
    assert tuple(p.batch_shape) == ((5,) if context else ())
    numbers = every(3, device)
    log_p = p.log_prob(numbers.unsqueeze(1) if context else numbers).detach().double()
    assert log_p.shape == ((81, 5) if context else (81,))
    ones = torch.ones(log_p.shape[1:], device=device, dtype=torch.float64)
    torch.testing.assert_close(log_p.exp().sum(0), ones, rtol=0, atol=1e-6)
    assert float(log_p.std(0).min()) > 0.1, "and are not all the same"
    if context:
        assert float(log_p.std(1).max()) > 0.1, "and hang on the context"


def test_a_place_sees_those_before_it_alone(device: torch.device) -> None:
    prior = built(0, device)
    numbers = torch.tensor([[0, 1, 2, 0]], device=device)
    for place in range(4):
        other = numbers.clone()
        other[0, place] = (other[0, place] + 1) % 3
        change = (prior.logits(other) - prior.logits(numbers)).abs().amax((0, 2))
        assert torch.equal(change[: place + 1], torch.zeros(place + 1, device=device))
        assert bool((change[place + 1 :] > 1e-4).all())


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_draws_are_the_same_with_and_without_the_cache(context: int, temperature: float, device: torch.device) -> None:
    prior = built(context, device, entries=7)
    points = torch.rand(300, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(device)
    given = prior.given(torch.randn(300, 2, device=device)) if context else None
    cached = prior.drawn(points, given, temperature)
    assert torch.equal(cached, prior.drawn(points, given, temperature, cached=False))
    assert temperature == 0.0 or len(cached.unique()) > 2


def test_the_cache_gives_the_same_logits(device: torch.device) -> None:
    prior = built(2, device)
    numbers = every(3, device).flatten(1)
    given = prior.given(torch.randn(81, 2, device=device))
    caches = [block.cache(81, 4) for block in prior._blocks]
    stepped = torch.stack([prior._next(numbers, place, caches, given) for place in range(4)], 1)
    torch.testing.assert_close(stepped, prior.logits(numbers, given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_draws_are_as_frequent_as_they_are_probable(temperature: float, device: torch.device) -> None:
    """Against p of each place at that temperature, multiplied; within five standard errors everywhere."""
    prior = built(0, device)
    n = 40_000
    drawn = prior(no_posterior).rsample((n,), torch.Generator(device).manual_seed(0), temperature)
    numbers = every(3, device)
    each = torch.log_softmax(prior.logits(numbers.flatten(1)).double() / temperature, -1)
    expected = each.gather(2, numbers.flatten(1).unsqueeze(2)).sum((1, 2)).exp()
    codes = (drawn.flatten(1) * torch.tensor([27, 9, 3, 1], device=device)).sum(1)
    found = torch.bincount(codes, minlength=81) / n
    errors = (expected * (1 - expected) / n).sqrt()
    assert bool(((found - expected).abs() < 5 * errors + 1e-6).all())


def test_the_centre_is_the_likeliest_at_each_place(device: torch.device) -> None:
    prior = built(0, device)
    p = prior(no_posterior)
    numbers: list[int] = []
    for place in range(4):
        padded = torch.tensor([numbers + [0] * (4 - place)], device=device)
        numbers.append(int(prior.logits(padded)[0, place].argmax()))
    assert centre(p).flatten().tolist() == numbers


def test_it_begins_as_the_uniform_distribution() -> None:
    prior = Transformer(8, 2, 2)
    prior.setup((5, 2, 3), torch.zeros(0))
    numbers = torch.randint(5, (4, 2, 3))
    torch.testing.assert_close(prior(no_posterior).log_prob(numbers), torch.full((4,), -6 * torch.tensor(5.0).log()))


def test_gradients_are_the_same_when_blocks_are_recomputed(device: torch.device) -> None:
    prior = built(0, device)
    numbers = every(3, device)
    found = []
    for active in (False, True):
        prior.zero_grad()
        with recomputing(active):
            prior(no_posterior).log_prob(numbers).sum().backward()
        found.append([p.grad.clone() for p in prior.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(prior.parameters()))
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)
