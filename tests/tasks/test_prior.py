"""fit_prior and the moments of a prior: the closed numbers under a context, and nothing left behind by a refusal."""

import math

import pytest
import torch

from lambent import Flat, Gaussian, LatentModel, Mixture, Mlp, fit_prior, priors
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.tasks.explore import generate, prior_moments


def conditioned_mixture() -> LatentModel:
    """Two Gaussians at −1 and 3, N(·, 0.5²), of weights σ(∓2c): p(z | c)."""
    model = LatentModel(Flat(1, prior=Mixture(components=2, conditional=True)), Gaussian(), Mlp(8, 1), context=1).setup(
        (2,)
    )
    prior = model.latent.prior
    with torch.no_grad():
        prior.location.copy_(torch.tensor([[-1.0], [3.0]]))
        prior.log_scale.fill_(math.log(0.5))
        prior.logits.zero_()
        prior.weigh.weight.copy_(torch.tensor([[-2.0], [2.0]]))
    return model


@pytest.mark.parametrize("c", [0.0, 0.3, -1.0])
def test_moments_of_a_prior_under_a_context_are_the_closed_ones(c: float) -> None:
    share = 1 / (1 + math.exp(-4 * c))  # of the Gaussian at 3
    mean = -1 + 4 * share
    variance = 0.25 + 16 * share * (1 - share)
    ((found, spread),) = prior_moments(conditioned_mixture(), context=torch.tensor([[c]]))
    torch.testing.assert_close(found, torch.tensor([mean]))
    torch.testing.assert_close(spread, torch.tensor([math.sqrt(variance)]))


def test_a_prior_that_cannot_be_fitted_leaves_the_old_one() -> None:
    model = conditioned_mixture()
    old, x = model.latent.prior, torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    c = torch.ones(30, 1)
    with pytest.raises(UsageError, match="Vamp prior has no context"):
        fit_prior(model, x, priors.Vamp(components=3), context=c)
    assert model.latent.prior is old
    with pytest.raises(UsageError, match="batch"):
        fit_prior(model, x, Mixture(components=3), context=c, batch=0)
    assert model.latent.prior is old
    assert all(p.requires_grad for p in model.parameters())


def test_a_prior_is_fitted_on_rows_as_the_model_takes_them() -> None:
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    weights = []
    for wide, rows in ((False, x), (False, None), (True, x)):
        model = LatentModel(Flat(1), Gaussian(), Mlp(8, 1)).setup((2,))
        model = model.double() if wide else model
        prior = Mixture(components=2)
        fit_prior(model, Fitted(model).rows(x) if rows is None else rows, prior, epochs=1)
        assert prior.location.dtype == model.anchor.dtype  # else nothing could be decoded
        assert generate(model, 3).dtype == model.anchor.dtype
        weights.append(prior.location.detach().double())
    assert torch.equal(weights[0], weights[1])
