"""The same model trained by different loops: a bare one, ours, pythae's, Lightning's.

Every contestant is a function of (layers, rows, batch, epochs) that trains afresh and returns the seconds of each epoch.
"""

import contextlib
import copy
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional

import lambent
from lambent.model.networks import Half, Network

Contestant = Callable[["Plain", Tensor, int, int], list[float]]
RATE = 1e-3


class Plain(nn.Module):
    """A VAE of bits written out by hand, over the very layers of a Lambent model."""

    def __init__(self, model: lambent.LatentModel) -> None:
        super().__init__()
        model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
        self.encoder = model.encoder
        self.head = model.latent.posterior.head
        self.decoder = model.decoder
        self.event = model.event_shape

    def forward(self, x: Tensor) -> Tensor:
        location, log_scale = self.head(self.encoder(2 * x - 1).flatten(1)).chunk(2, -1)
        z = location + log_scale.exp() * torch.randn_like(location)
        raw = self.decoder(z)
        reconstruction = functional.binary_cross_entropy_with_logits(raw, x, reduction="none").flatten(1).sum(-1)
        kl = (0.5 * (location.square() + (2 * log_scale).exp() - 1) - log_scale).sum(-1)
        return (reconstruction + kl).mean()


class Clock:
    """The seconds of each epoch, as a callback of anybody's."""

    def __init__(self) -> None:
        self.marks = [time.perf_counter()]

    def on_start(self, loop: object) -> None:
        self.marks = [time.perf_counter()]

    def on_epoch(self, loop: object) -> None:
        self.marks.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        return [after - before for before, after in zip(self.marks, self.marks[1:], strict=False)]


def bare(model: lambent.LatentModel, x: Tensor, batch: int, epochs: int) -> list[float]:
    """What one would write by hand: fused Adam in fp32, one permutation an epoch, batches by index."""
    network = Plain(model).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    clock = Clock()
    for _ in range(epochs):
        for rows in torch.randperm(len(x), device=x.device).split(batch):
            loss = network(x.index_select(0, rows).float())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if x.device.type == "cuda":
            torch.cuda.synchronize()
        clock.on_epoch(None)
    return clock.seconds


def ours(precision: str) -> Contestant:
    """`lambent.fit` with its defaults, at a precision."""

    def train(model: lambent.LatentModel, x: Tensor, batch: int, epochs: int) -> list[float]:
        clock = Clock()
        lambent.fit(
            copy.deepcopy(model), lambent.Elbo(), x, epochs=epochs, batch=batch, learning_rate=RATE, precision=precision,
            device=x.device.type, progress=False, callbacks=[clock],
        )  # fmt: skip
        return clock.seconds

    return train


def pythae_model(model: lambent.LatentModel) -> nn.Module:
    """pythae's VAE over the same layers, with the same weights."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    plain = Plain(model)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = plain.encoder, plain.head

        def forward(self, x: Tensor) -> ModelOutput:
            location, log_scale = self.head(self.layers(2 * x - 1).flatten(1)).chunk(2, -1)
            return ModelOutput(embedding=location, log_covariance=2 * log_scale)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = plain.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    config = VAEConfig(input_dim=model.event_shape, latent_dim=model.latent.size, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(), decoder=Decoder())


def pythae(model: lambent.LatentModel, x: Tensor, batch: int, epochs: int) -> list[float]:
    """pythae's own trainer and loss, its progress bars silenced."""
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Watch(TrainingCallback):
        def on_epoch_begin(self, *args: object, **kwargs: object) -> None:
            clock.marks = clock.marks or [time.perf_counter()]

        def on_epoch_end(self, *args: object, **kwargs: object) -> None:
            clock.marks.append(time.perf_counter())

    clock = Clock()
    clock.marks = []
    with tempfile.TemporaryDirectory() as folder, silence():
        training = BaseTrainerConfig(
            output_dir=folder, num_epochs=epochs, per_device_train_batch_size=batch, learning_rate=RATE,
            no_cuda=x.device.type != "cuda",
        )  # fmt: skip
        TrainingPipeline(pythae_model(model), training)(train_data=x.float(), callbacks=[Watch()])
    return clock.seconds


class Borrowed(Network):
    """The layers of pythae's own ConvNet for MNIST, without their final sigmoid."""

    convolutional = True

    def encoder(self, event: tuple[int, ...]) -> Half:
        return Half(*_theirs()[0].layers, nn.Flatten(), shape=(1024,))

    def decoder(self, hidden: tuple[int, ...], raw: tuple[int, ...]) -> Half:
        first, *rest = _theirs()[1].layers
        *others, last = rest
        return Half(
            first,
            nn.Unflatten(1, (1024, 4, 4)),
            *others,
            *[m for m in last if not isinstance(m, nn.Sigmoid)],
            shape=raw,
        )


def _theirs() -> tuple[nn.Module, nn.Module]:
    from pythae.models import AEConfig
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST

    config = AEConfig(input_dim=(1, 28, 28), latent_dim=16)
    return Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config)


def lightning(model: lambent.LatentModel, x: Tensor, batch: int, epochs: int) -> list[float]:
    """Lightning's Trainer over the plain module and a DataLoader, without logger, checkpoints or progress bar."""
    import lightning as pl
    from torch.utils.data import DataLoader, TensorDataset

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = Plain(model)

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return self.network(batch[0].float())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

        def on_train_epoch_end(self) -> None:
            clock.on_epoch(None)

        def on_train_start(self) -> None:
            clock.on_start(None)

    clock = Clock()
    with silence():
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="gpu" if x.device.type == "cuda" else "cpu", devices=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Module(), DataLoader(TensorDataset(x.cpu()), batch_size=batch, shuffle=True))
    return clock.seconds


@contextlib.contextmanager
def silence():  # type: ignore[no-untyped-def]
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    logging.disable(before)


def contestants() -> dict[str, Contestant]:
    """Everybody who is installed here."""
    field: dict[str, Contestant] = {
        "bare loop, fp32": bare,
        "lambent, fp32": ours("fp32"),
        "lambent, default": ours("auto"),
    }
    if find_spec("pythae"):
        field["pythae"] = pythae
    if find_spec("lightning"):
        field["Lightning"] = lightning
    return field
