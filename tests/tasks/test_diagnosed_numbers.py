"""The numbers of a diagnosis against cases of known value."""

import copy
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent import VAE, Elbo, Flat, Gaussian, LatentModel, Mixture, Mlp, Standard, fit
from lambent.metrics.collapse import levels
from lambent.metrics.encoder_gaps import amortization_gap, learned
from lambent.metrics.ghosts import Components, components
from lambent.metrics.reading import alone, reading, shuffled
from lambent.metrics.structure import structure
from lambent.tasks.diagnosis.evidence import apart
from lambent.training.alarm import collapsed


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def halves(x: NDArray[np.float64]) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    """Each half of rows beside itself with columns shuffled."""
    rng = np.random.default_rng(0)
    return tuple((half, np.stack([rng.permutation(column) for column in half.T], 1)) for half in np.array_split(x, 2))


def model_of(x: Tensor, size: int = 2, epochs: int = 0, prior: object = None, seed: int = 0) -> LatentModel:
    model = LatentModel(Flat(size, prior=prior or Standard()), Gaussian(), Mlp(16, 1))
    if epochs:
        fit(model, Elbo(), x, epochs=epochs, batch=32, learning_rate=0.005, seed=seed)
    else:
        model.setup(tuple(x.shape[1:]), x, seed)
    return model.eval()


def test_noise_has_no_structure_and_a_correlation_has_what_its_gaussian_gains() -> None:
    x = normal(2000, 2).double().numpy()
    none = structure(halves(x))
    assert none is not None
    assert not none.found
    rho = 0.8
    y = np.stack((x[:, 0], rho * x[:, 0] + math.sqrt(1 - rho**2) * x[:, 1]), 1)
    found = structure(halves(y))
    assert found is not None
    assert found.found
    assert found.gain == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.05)  # the mutual information of the two


def test_structure_without_any_correlation_is_found_by_trees() -> None:
    x = normal(1500, 2).double().numpy()
    y = np.stack((np.sign(x[:, 0]) * np.sign(x[:, 1]) * abs(x[:, 0]), x[:, 1], np.sign(x[:, 0])), 1)
    found = structure(halves(y))
    assert found is not None
    assert found.gain < 3 * found.gain_error + 0.02
    assert found.told > 0.7
    assert found.found


def test_rows_all_alike_and_too_few_rows() -> None:
    found = structure(halves(np.ones((100, 3))))
    assert found is not None
    assert found.alike
    assert not found.found
    assert structure(halves(np.ones((10, 3)))) is None


def test_a_decoder_of_independent_values_knows_nothing_without_a_code() -> None:
    x = normal(300, 1) @ normal(1, 6, seed=1) + 0.1 * normal(300, 6, seed=2)
    model = model_of(x, epochs=20)
    assert alone(model, x).nats == pytest.approx(0.0, abs=1e-4)
    found = reading(model, x)
    assert found.exchanged.nats > 5
    assert found.levels[0] == found.exchanged


def test_a_code_that_the_decoder_does_not_read_costs_nothing() -> None:
    x = normal(200, 4)
    model = model_of(x)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    found = reading(model, x)
    assert found.exchanged.nats == 0.0
    assert found.units is not None
    assert [cost.nats for cost in found.units[0]] == [0.0, 0.0]


def test_shuffled_columns_hold_the_same_values_and_gaps_stay() -> None:
    x = normal(50, 3)
    x[3, 1] = math.nan
    mixed = shuffled(model_of(x.nan_to_num()).likelihood, x)
    assert bool(torch.isnan(mixed[3, 1]))
    assert torch.equal(mixed.nan_to_num(9.0).sort(0).values, x.nan_to_num(9.0).sort(0).values)
    assert not torch.equal(mixed.nan_to_num(), x.nan_to_num())


def test_each_row_gains_nothing_where_the_posterior_is_exact_and_much_where_it_was_moved() -> None:
    x = normal(64, 4)
    model = model_of(x)
    with torch.no_grad():  # p(x|z) does not hang on z, so that the posterior is the prior
        for parameter in model.decoder.parameters():
            parameter.zero_()
        for parameter in model.latent.posterior.parameters():
            parameter.zero_()
    exact = amortization_gap(model, x)
    assert exact is not None
    assert exact.nats == pytest.approx(0.0, abs=0.02)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.copy_(normal(*parameter.shape))
        head = next(part for part in model.latent.posterior.modules() if isinstance(part, torch.nn.Linear))
        head.weight.copy_(0.5 * normal(*head.weight.shape))
    moved = amortization_gap(model, x)
    assert moved is not None
    assert moved.nats > 0.5


def test_an_encoder_that_was_spoilt_catches_up_and_the_model_stays_as_it_is() -> None:
    x = normal(400, 2) @ normal(2, 6, seed=1) + 0.2 * normal(400, 6, seed=2)
    model = model_of(x[:300], epochs=60)
    rows, judged = (x[:300], None), (x[300:], None)
    before = learned(model, rows, judged, "encoder")
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.2 * normal(*parameter.shape, seed=3))
    kept = copy.deepcopy(model.state_dict())
    after = learned(model, rows, judged, "encoder")
    assert after.gain.nats > 10 * max(before.gain.nats, 0.05)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert learned(model, rows, judged, "decoder").gain.nats < after.gain.nats


def test_the_shares_of_components_are_their_weights_where_the_prior_is_that_of_the_codes() -> None:
    x = normal(200, 3)
    model = model_of(x, prior=Mixture(2))
    prior = model.latent.prior
    with torch.no_grad():
        for parameter in model.latent.posterior.parameters():
            parameter.zero_()  # q(z|x) is about the standard normal, whatever x
        prior.location.zero_()
    found = components(model, x)
    assert found is not None
    assert found.shares.tolist() == pytest.approx([0.5, 0.5], abs=1e-4)
    assert found.ghostly == pytest.approx(0.0, abs=1e-4)
    with torch.no_grad():
        prior.location[1] += 50.0
    away = components(model, x)
    assert away is not None
    assert away.ghostly == pytest.approx(0.5, abs=1e-6)
    assert away.idle == 1
    assert components(model_of(x), x) is None


@pytest.mark.parametrize("count", [4, 500])
def test_few_rows_spread_over_many_components_make_no_ghosts(count: int) -> None:
    rows, weights = 400, torch.full((count,), 1 / count, dtype=torch.float64)
    drawn = torch.multinomial(weights, rows, replacement=True, generator=torch.Generator().manual_seed(0))
    found = Components(weights, torch.bincount(drawn, minlength=count).double() / rows, rows)
    assert found.ghostly == pytest.approx(found.chance, abs=0.05)


@pytest.mark.parametrize(
    ("kl", "free", "said"),
    [
        ([3.0, 0.05, 0.04, 0.03], 0.0, "collapsed"),
        ([0.01, 0.02, 0.05], 0.0, None),  # it wakes up
        ([0.05, 0.04], 0.0, None),  # too early to tell
        ([3.0, 2.9, 2.8], 0.0, None),
        ([2.02, 2.01, 2.0], 2.0, "free"),
        ([2.6, 2.6, 2.6], 2.0, None),
        ([math.nan, math.nan, math.nan], 0.0, None),
    ],
)
def test_the_alarm_sounds_when_it_is_certain(kl: list[float | None], free: float, said: str | None) -> None:
    told = collapsed({"kl": kl}, free)
    assert told is None if said is None else told is not None and said in told


def test_two_groups_lie_apart_by_their_medians_whatever_a_few_rows_are() -> None:
    first, second = normal(2000, seed=1) + 3.0, normal(2000, seed=2)
    second[:20] = -1e6
    found = apart(first, second)
    assert found.nats == pytest.approx(3.0, abs=0.15)
    assert found.error == pytest.approx(1.253 * math.sqrt(2 / 2000), rel=0.1)


def test_units_of_an_ensemble_are_those_of_its_members_side_by_side() -> None:
    """The second member's decoder does not read its code: nothing is lost with its units, and something with the first's."""
    x = normal(300, 1) @ normal(1, 6, seed=1) + 0.1 * normal(300, 6, seed=2)
    model = VAE(2, prior="Standard", likelihood="Gaussian", members=2, epochs=20).fit(x.numpy()).model_
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            assert parameter.shape[0] == 2
            parameter[1] = 0.0
    model.eval()
    found = reading(model, x)
    assert found.units is not None
    lost = [cost.nats for cost in found.units[0]]
    assert len(lost) == 4
    assert max(lost[:2]) > 1
    assert lost[2:] == [0.0, 0.0]
    units = levels(model, x)[0]
    assert len(units.active) == 4
