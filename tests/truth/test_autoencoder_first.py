"""An autoencoder first: its loss is the reconstruction alone, and the decoder begins anew once, beside the encoder it taught."""

from collections.abc import Callable

import pytest
import torch

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Tokens
from lambent.model.networks import Gru, Mlp
from lambent.model.posteriors import Point
from lambent.objectives import Elbo
from lambent.training.callbacks import Quiet
from lambent.training.fitting import fit
from lambent.training.run import Run

NAN = float("nan")
TEXTS = torch.tensor([[1.0, 2.0, 3.0, 0.0], [2.0, 0.0, NAN, NAN], [3.0, 3.0, 1.0, 2.0], [0.0, NAN, NAN, NAN]])


def texts() -> LatentModel:
    return LatentModel(latent=Flat(2), likelihood=Tokens(symbols=4, width=6, rank=3), network=Gru(width=4))


class Looking(Quiet):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_step(self, run: Run) -> None:
        self.weights.append({name: value.detach().clone() for name, value in run.model.named_parameters()})


def test_the_decoder_begins_anew_and_the_encoder_does_not() -> None:
    """Ten steps, at half of which the autoencoder ends: one step later the decoder is one step away from what it was at first."""
    torch.manual_seed(0)
    model = texts().setup((4,), TEXTS, 0)
    first = {name: value.detach().clone() for name, value in model.named_parameters()}
    looking = Looking()
    fit(
        model,
        Elbo(pretrain=0.5, anneal="linear"),
        TEXTS,
        epochs=10,
        batch=4,
        average=0.0,
        spike=0.0,
        callbacks=[looking],
    )
    before, after = looking.weights[4], looking.weights[5]  # 5 steps of the autoencoder; one step since
    for name, value in first.items():
        moved = float((after[name] - value).abs().max())
        if name.startswith(("decoder", "likelihood.vectors", "likelihood.network", "likelihood.bias")):
            assert float((before[name] - value).abs().max()) > 0, name
            assert moved <= 1.01e-2, f"{name}: one step of Adam away from the beginning, whose moments remember"
            assert float((after[name] - before[name]).abs().max()) > 0, name
        elif name.startswith(("encoder", "likelihood.read")) and float((before[name] - value).abs().max()) > 2e-3:
            assert float((after[name] - before[name]).abs().max()) < moved, f"{name} was kept"


def test_the_loss_of_the_autoencoder_is_the_reconstruction(seed: Callable[[int], torch.Generator]) -> None:
    model = texts().setup((4,), TEXTS, 0).eval()
    objective = Elbo(pretrain=0.5, beta=7.0)
    objective.setup(model)
    objective.progress = 0.4
    loss = objective(model, TEXTS, seed(0))
    torch.testing.assert_close(loss.rows, loss.seen["reconstruction"])
    assert not objective.settled
    objective.progress = 1.0
    loss = objective(model, TEXTS, seed(0))
    torch.testing.assert_close(loss.rows, loss.seen["reconstruction"] + 7 * loss.seen["kl"])
    assert objective.settled


def test_the_weight_grows_over_what_is_left() -> None:
    objective = Elbo(pretrain=0.5, anneal="linear", warmup=0.5)
    for progress, weight in ((0.5, 0.0), (0.625, 0.5), (0.75, 1.0), (1.0, 1.0)):
        objective.progress = progress
        assert objective.ramp == pytest.approx(weight)


def test_it_is_refused_without_a_density() -> None:
    model = LatentModel(latent=Flat(2, posterior=Point()), likelihood=Tokens(symbols=4), network=Mlp(width=4))
    with pytest.raises(UsageError, match="pretrain"):
        fit(model, Elbo(pretrain=0.5), TEXTS, epochs=1)
