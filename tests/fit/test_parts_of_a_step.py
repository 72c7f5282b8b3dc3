"""A step in parts, and one that recomputes: the gradients of the whole batch, in less memory."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Codebook, Flat, Grid, Ladder, Latent
from lambent.model.likelihoods import Bernoulli, Gaussian
from lambent.model.networks import Conv, Mlp, Network, ResNet
from lambent.model.posteriors import Point
from lambent.model.priors import Mixture
from lambent.objectives import BetaTc, Elbo, InfoVae, Iwae, Lagging, Objective
from lambent.tasks.prior import fit_prior
from lambent.training import room
from lambent.training.fitting import fit, prepared
from lambent.training.run import Run
from lambent.training.saving import _of_a_row, saved
from lambent.training.settings import Training
from lambent.training.stepping import gradient

NETWORKS = [Mlp(16, 2), Conv((4, 8), 16), ResNet((4, 8), 2, 16)]
IMAGES = torch.rand(32, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def gradients(objective: Objective, network: Network, latent: Latent | None = None, **settings: Any) -> list[Tensor]:
    """Of one step on all images at once, the mean loss first."""
    # 16 units: a processor draws normal numbers sixteen at a time, so that parts of a batch get the numbers of the whole.
    model = LatentModel(latent or Flat(16), Gaussian(), Network.from_spec(network.spec()))
    run = prepared(model, objective, IMAGES, Training(batch=32, precision="fp32", device="cpu", **settings))
    for name, parameter in model.named_parameters():
        if name.endswith("gain"):  # residual blocks start as the identity, under which their branches learn nothing
            parameter.data.fill_(0.5)
    loss, mean = gradient(run, IMAGES, None)
    assert loss.rows.shape == (32,)
    assert loss.seen["kl"].shape == (32,)
    return [mean, *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("objective", [Elbo(), Elbo(beta=2.0)], ids=["elbo", "beta"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
@pytest.mark.parametrize("parts", [2, 4])
def test_in_parts_the_gradient_is_the_whole_batchs(objective: Objective, network: Network, parts: int) -> None:
    whole = gradients(objective, network)
    split = gradients(Objective.from_spec(objective.spec()), network, accumulate=parts)
    assert len(whole) == len(split) > 5
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * float(one.abs().max()))


def test_of_an_uneven_batch_every_row_counts_the_same() -> None:
    """Ten rows in three parts, of 4, 4 and 2: without noise the gradient is the mean's over ten."""
    found = []
    for parts in (1, 3):
        model = LatentModel(Flat(2, posterior=Point()), Gaussian(), Mlp(8, 1))
        run = prepared(model, Elbo(), IMAGES[:10], Training(batch=10, precision="fp32", device="cpu", accumulate=parts))
        gradient(run, IMAGES[:10], None)
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", [Elbo(), Elbo(free_bits=0.5, settle=0.5), Iwae(4), BetaTc()], ids=repr)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_recomputed_the_gradient_is_the_same_to_the_bit(objective: Objective, network: Network) -> None:
    kept = gradients(objective, network)
    again = gradients(Objective.from_spec(objective.spec()), network, recompute=True)
    assert len(kept) == len(again) > 5
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))


def test_recomputing_goes_with_an_encoder_that_stands_still() -> None:
    trained = []
    for recompute in (False, True):
        model = LatentModel(Ladder((2, 2)), Gaussian(), ResNet((4, 8), 1, 16))
        fit(model, Elbo(settle=0.5), IMAGES, epochs=4, batch=16, precision="fp32", device="cpu", recompute=recompute)
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_training_in_parts_reaches_what_the_whole_reaches() -> None:
    ends = []
    for settings in ({}, {"accumulate": 4}, {"accumulate": 4, "recompute": True}):
        model = LatentModel(Flat(16), Bernoulli(), Conv((4, 8), 16))
        history = fit(model, Elbo(), IMAGES.round(), epochs=30, batch=32, precision="fp32", device="cpu", **settings)
        ends.append(history["elbo"])
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-4)
    assert ends[0][-1] == pytest.approx(ends[1][-1], rel=1e-2)
    assert ends[1] == ends[2]


@pytest.mark.parametrize(
    "objective",
    [
        BetaTc(),
        InfoVae(),
        Lagging(),
        Elbo(free_bits=0.1),
        Elbo(free_group=0.1),
        Elbo(trim=0.1),
        Elbo(capacity=3.0),
        Elbo(beta="auto"),
        Elbo(floor=1.0),
    ],
    ids=repr,
)
def test_what_looks_at_a_whole_batch_is_not_taken_in_parts(objective: Objective) -> None:
    model = LatentModel(Flat(3), Gaussian(), Mlp(8, 1))
    with pytest.raises(UsageError, match=rf"accumulate=2 .*{type(objective).__name__} .*recompute=True"):
        fit(model, objective, IMAGES, epochs=1, accumulate=2)


def test_codes_that_follow_a_batch_are_not_taken_in_parts() -> None:
    model = LatentModel(Codebook(), Gaussian(), Conv((4, 8), 16))
    with pytest.raises(UsageError, match=r"accumulate=2 .*Codebook"):
        fit(model, Elbo(), IMAGES, epochs=1, accumulate=2)


def largest_kept(step: Callable[[], object]) -> int:
    """The most bytes that autograd holds at a time, by what it packs and lets go of."""
    held, most = 0, 0

    class Counted:
        def __init__(self, x: Tensor) -> None:
            nonlocal held, most
            self.x = x
            held += x.nbytes
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= self.x.nbytes

    with torch.autograd.graph.saved_tensors_hooks(Counted, lambda kept: kept.x):
        step()
    return most


def run_of(network: Network, **settings: Any) -> Run:
    model = LatentModel(Flat(4), Gaussian(), Network.from_spec(network.spec()))
    return prepared(model, Elbo(), IMAGES, Training(batch=32, precision="fp32", device="cpu", **settings))


def test_a_part_at_a_time_is_kept() -> None:
    whole, split = (run_of(ResNet((8, 16), 2, 16), accumulate=parts) for parts in (1, 8))
    most = [largest_kept(lambda run=run: gradient(run, IMAGES, None)) for run in (whole, split)]
    assert most[1] < most[0] / 3  # the weights count, too


@pytest.mark.parametrize(("network", "share"), [(ResNet((8, 16), 3, 16), 0.35), (Conv((8, 16), 16), 0.75)], ids=repr)
def test_the_estimate_counts_what_recomputing_saves(network: Network, share: float) -> None:
    model = run_of(network).model
    twin = room.on_meta(model, (1, 12, 12))
    assert twin is not None
    kept, less = (room.kept_by(twin, 32, recompute=recompute) for recompute in (False, True))
    halves = [size - room.TERMS * 4 * 32 * 144 for size in (kept, less)]
    assert 0 < halves[1] < share * halves[0]


def test_what_is_saved_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """One decoder layer of 8 channels on 12 × 12 pixels takes 4.6 kB of a row in float32; a quarter of the batch a quarter."""
    told = saved(run_of(ResNet((8, 16), 3, 16), accumulate=4, recompute=True))
    assert told is not None
    sizes = [float(text) * {"kB": 1e3, "MB": 1e6}[unit] for text, unit in re.findall(r"([\d.]+) (kB|MB)", told)]
    final, whole, recomputed, parts = sizes
    assert final == parts == pytest.approx(recomputed / 4, rel=0.01)
    assert recomputed < 0.5 * whole
    assert "float32, " in told
    assert told.endswith("in 4 parts")
    real = largest_kept(lambda: gradient(run_of(ResNet((8, 16), 3, 16)), IMAGES, None))
    assert whole == pytest.approx(real, rel=0.2)  # which has weights, too, and counts what is kept twice
    assert saved(run_of(Mlp(8, 1))) is None
    fit(run_of(Conv((4,), 8)).model, Elbo(), IMAGES, epochs=1, device="cpu", accumulate=2, progress=True)
    assert "are kept" in capsys.readouterr().err


def test_the_estimate_counts_a_hierarchy_of_maps() -> None:
    """To a fifth, of what a real pass of such a model keeps, and what it keeps when blocks are computed again."""
    for recompute in (False, True):
        model = LatentModel(Grid("1x1 /4x3 /2x3", (4,), (32, 24, 16)), Bernoulli(), ResNet((8, 12), 1, 16, stem=2))
        run = prepared(model, Elbo(), IMAGES.round(), Training(batch=32, precision="fp32", device="cpu"))
        twin = room.on_meta(model, (1, 12, 12))
        assert twin is not None
        real = 32 * _of_a_row(run, "fp32", recompute)
        assert room.kept_by(twin, 32, recompute=recompute) == pytest.approx(real, rel=0.2)


def test_a_hierarchy_of_maps_recomputed_learns_the_same() -> None:
    trained = []
    for settings in ({}, {"recompute": True}):
        model = LatentModel(Grid("1x1 /4x2 /2x2", (4,), (16, 12, 8)), Bernoulli(), ResNet((8, 12), 1, 16, stem=2))
        fit(model, Elbo(settle=0.5), IMAGES.round(), epochs=4, batch=16, precision="fp32", device="cpu", **settings)
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_prior_alone_is_fitted_in_parts() -> None:
    model = LatentModel(Flat(3, posterior=Point()), Gaussian(), Mlp(8, 1)).setup(tuple(IMAGES.shape[1:]), IMAGES)
    whole, parts = (
        fit_prior(model, IMAGES, Mixture(2), epochs=2, batch=16, precision="fp32", accumulate=n) for n in (1, 2)
    )
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-4)
