"""The top prior: codes come back, and a mixture costs −log2 p(z) whichever component was popped."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent.codec.leaves import TopPrior, top
from lambent.codec.stack import Numbers, Stack
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli
from lambent.model.networks import Mlp
from lambent.model.priors import Flow, Mixture, Prior, Standard, Vamp

UNITS = 6


def dyadic(x: Tensor) -> Tensor:
    return (x * 4096).round() / 4096


def mixture(covariance: str, spread: float = 1.0) -> Mixture:
    torch.manual_seed(3)
    prior = Mixture(components=4, covariance=covariance)
    prior.setup((UNITS,), torch.zeros(1))
    with torch.no_grad():
        prior.logits.copy_(dyadic(spread * torch.randn(4)))
        prior.location.copy_(dyadic(spread * torch.randn(4, UNITS)))
        prior.log_scale.copy_(dyadic(spread * 0.5 * torch.randn(4, UNITS) - 1))
        if covariance == "full":
            prior.below.copy_(spread * 0.4 * torch.randn(4, UNITS, UNITS))
    return prior


def model(prior: Prior) -> LatentModel:
    torch.manual_seed(0)
    whole = LatentModel(latent=Flat(size=UNITS, prior=prior), likelihood=Bernoulli(), network=Mlp(width=8, depth=1))
    whole.setup((20,), torch.bernoulli(torch.full((50, 20), 0.5)))
    return whole.double().eval()


def pushed(prior: TopPrior, z: Numbers) -> float:
    """Bits of codes on a stack that holds enough to be drawn from."""
    stack = Stack(8, 1)
    before = stack.bits
    prior.push(stack, z)
    spent = stack.bits - before
    assert (prior.pop(stack, len(z)) == z).all()
    assert stack.is_empty
    return spent


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_codes_are_popped_as_they_were_pushed(covariance: str, spread: float) -> None:
    prior = top(mixture(covariance, spread), (UNITS,), model(Standard()))
    stack = Stack(8, 2)
    z = prior.pop(stack, 50)
    prior.push(stack, z)
    assert stack.is_empty
    pushed(prior, np.random.default_rng(0).integers(-(2**14), 2**14, (50, UNITS)))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_mixture_costs_its_density_by_bits_back(covariance: str) -> None:
    given = mixture(covariance)
    z = (given(lambda x: x).rsample((3000,)) * 256).round()
    p = given.double()(lambda x: x)
    nats = -p.log_prob((z / 256).double()).sum().detach() + z.numel() * 8 * math.log(2)
    spent = pushed(top(given, (UNITS,), model(Standard())), z.long().numpy())
    assert spent == pytest.approx(float(nats) / math.log(2), rel=5e-4)


def test_the_standard_prior_costs_its_density() -> None:
    z = np.rint(np.random.default_rng(0).normal(size=(4000, UNITS)) * 256).astype(np.int64)
    bits = (0.5 * np.square(z / 256) + 0.5 * math.log(2 * math.pi)).sum() / math.log(2) + 8 * z.size
    assert pushed(top(Standard(), (UNITS,), model(Standard())), z) == pytest.approx(bits, rel=5e-4)


def test_a_vamp_prior_mixes_the_posteriors_of_its_inputs() -> None:
    whole = model(Vamp(components=5))
    with torch.no_grad():  # weights of another size than at the start, so that the posteriors differ
        for weight in whole.encoder.parameters():
            weight.mul_(2)
        p = whole.latent.prior(lambda x: whole.latent.posterior(whole.encoder(x)))
        z = (p.rsample((2000,)) * 256).round()
        nats = -p.log_prob(z / 256).sum() + z.numel() * 8 * math.log(2)
    spent = pushed(top(whole.latent.prior, (UNITS,), whole), z.long().numpy())
    assert spent == pytest.approx(float(nats) / math.log(2), rel=1e-3)  # its parameters are rounded to 2^-12 besides


def test_a_flow_is_refused_with_the_command_that_helps() -> None:
    with pytest.raises(UsageError, match=r"a Flow prior cannot code.*lambent refine RUN --prior Mixture"):
        top(Flow(), (UNITS,), model(Standard()))
