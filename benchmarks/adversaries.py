"""The same VAE-GAN trained by different loops: two steps written out by hand, ours, pythae's.

Every contestant is a function of (model, rows, batch, epochs) that trains afresh and returns the seconds of each epoch. The two
steps by hand are those of `VaeGan`: a Gaussian of one fixed scale, reconstructions and samples judged, reconstructions compared
in the rival's features, R1 and R2 at half the rows. Their weights are fixed, so that the balance is left out; in a
second loop it is computed, as VQGAN does it.
"""

import copy
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from contestants import RATE, Clock, Contestant, silence
from torch import Tensor, nn
from torch.nn import functional

import lambent
from lambent.model.likelihoods import Gaussian
from lambent.objectives.adversarial import Judge

UNITS = 16
SHARE = 2  # of the rows, one part in so many, at which the penalties are measured
GAMMA = 1.0
WEIGHT = 1.0
BETAS = (0.5, 0.99)


def model_of(network: lambent.Network, x: Tensor) -> lambent.LatentModel:
    return lambent.LatentModel(lambent.Flat(UNITS), Gaussian(scale="fixed", value=0.1), network).setup(
        tuple(x.shape[1:])
    )


def objective() -> lambent.VaeGan:
    return lambent.VaeGan(
        start=0, rise=0, loss="non-saturating", r1=GAMMA, r2=GAMMA, penalized=1 / SHARE, weight=WEIGHT
    )


def by_hand(balanced: bool) -> Contestant:
    """Two steps for each batch, of the model and of the rival, in fp32."""

    def train(model: lambent.LatentModel, x: Tensor, batch: int, epochs: int) -> list[float]:
        own = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
        judge = Judge(own.network, own.event_shape, 0, 0).to(x.device, memory_format=torch.contiguous_format)
        networks = nn.ModuleList([own.encoder, own.latent.posterior.head, own.decoder])
        ours, rivals = (
            torch.optim.Adam(part.parameters(), lr=RATE, betas=BETAS, fused=True) for part in (networks, judge)
        )
        clock = Clock()
        for _ in range(epochs):
            for rows in torch.randperm(len(x), device=x.device).split(batch):
                real = x.index_select(0, rows).float() / 255
                judge.requires_grad_(False)
                loss, fakes = _models_loss(networks, judge, real, balanced)
                loss.backward()
                ours.step()
                ours.zero_grad(set_to_none=True)
                judge.requires_grad_(True)
                _rivals_loss(judge, real, fakes.detach()).backward()
                rivals.step()
                rivals.zero_grad(set_to_none=True)
            if x.device.type == "cuda":
                torch.cuda.synchronize()
            clock.on_epoch(None)
        return clock.seconds

    return train


def _models_loss(networks: nn.ModuleList, judge: Judge, real: Tensor, balanced: bool) -> tuple[Tensor, Tensor]:
    encoder, head, decoder = networks
    location, log_scale = head(encoder(real).flatten(1)).chunk(2, -1)
    z = location + log_scale.exp() * torch.randn_like(location)
    made, drawn = decoder(z), decoder(torch.randn_like(z))
    kl = (0.5 * (location.square() + (2 * log_scale).exp() - 1) - log_scale).sum(-1)
    elbo = (50 * (made - real).square().flatten(1).sum(1) + kl).mean()
    fakes = torch.cat((made, drawn))
    seen = judge.features(fakes)
    adversarial = functional.softplus(-judge.of_features(seen)).mean()
    with torch.no_grad():
        wanted = judge.features(real)
    for own, other in zip(wanted, seen, strict=True):
        apart = (own - other[: len(own)]).square().sum() / own.square().sum()
        adversarial = adversarial + apart / len(wanted)
    weight = WEIGHT
    if balanced:
        last = [p for p in decoder.parameters() if p.dim() >= 2][-1]
        first, second = (torch.autograd.grad(each, last, retain_graph=True)[0].norm() for each in (elbo, adversarial))
        weight = WEIGHT * (first / second.clamp_min(1e-12)).detach()
    return elbo + weight * adversarial, fakes


def _rivals_loss(judge: Judge, real: Tensor, fakes: Tensor) -> Tensor:
    total = real.new_zeros(())
    for rows, sign in ((real, -1), (fakes, 1)):
        first, rest = rows[: len(rows) // SHARE].requires_grad_(), rows[len(rows) // SHARE :]
        logits = judge(first)
        (slope,) = torch.autograd.grad(logits.sum(), first, create_graph=True)
        total = total + functional.softplus(sign * torch.cat((logits, judge(rest)))).mean()
        total = total + 0.5 * GAMMA * slope.flatten(1).square().sum(1).mean()
    return total


def ours(precision: str) -> Contestant:
    """`lambent.fit` at a precision."""

    def train(model: lambent.LatentModel, x: Tensor, batch: int, epochs: int) -> list[float]:
        clock = Clock()
        lambent.fit(
            copy.deepcopy(model), objective(), x, epochs=epochs, batch=batch, learning_rate=RATE, precision=precision,
            device=x.device.type, progress=False, average=0, callbacks=[clock],
        )  # fmt: skip
        return clock.seconds

    return train


def pythae(model: lambent.LatentModel, x: Tensor, batch: int, epochs: int) -> list[float]:
    """pythae's VAEGAN over the same layers, by its own trainer: samples alone are judged, one layer compared, no penalties."""
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import CoupledOptimizerAdversarialTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Watch(TrainingCallback):
        def on_epoch_begin(self, *args: object, **kwargs: object) -> None:
            clock.marks = clock.marks or [time.perf_counter()]

        def on_epoch_end(self, *args: object, **kwargs: object) -> None:
            clock.marks.append(time.perf_counter())

    clock = Clock()
    clock.marks = []
    with tempfile.TemporaryDirectory() as folder, silence():
        training = CoupledOptimizerAdversarialTrainerConfig(
            output_dir=folder, num_epochs=epochs, per_device_train_batch_size=batch, learning_rate=RATE,
            no_cuda=x.device.type != "cuda",
        )  # fmt: skip
        TrainingPipeline(_theirs(model), training)(train_data=x.float() / 255, callbacks=[Watch()])
    return clock.seconds


def _theirs(model: lambent.LatentModel) -> nn.Module:
    from pythae.models import VAEGAN, VAEGANConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder

    own = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    judge = Judge(own.network, own.event_shape, 0, 0).to(memory_format=torch.contiguous_format)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = own.encoder, own.latent.posterior.head

        def forward(self, x: Tensor) -> ModelOutput:
            location, log_scale = self.head(self.layers(x).flatten(1)).chunk(2, -1)
            return ModelOutput(embedding=location, log_covariance=2 * log_scale)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = own.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z))

    class Discriminator(BaseDiscriminator):
        def __init__(self) -> None:
            super().__init__()
            self.judge = judge
            self.depth = 1

        def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
            if output_layer_levels:  # the loss compares these, and asks for no judgement
                return ModelOutput(embedding_layer_1=self.judge.features(x)[-1])
            return ModelOutput(embedding=torch.sigmoid(self.judge(x)).unsqueeze(-1))

    config = VAEGANConfig(input_dim=model.event_shape, latent_dim=UNITS, reconstruction_layer=1)
    return VAEGAN(config, encoder=Encoder(), decoder=Decoder(), discriminator=Discriminator())


def contestants() -> dict[str, Callable[[lambent.LatentModel, Tensor, int, int], list[float]]]:
    """Everybody who is installed here; the first is what the others are measured by."""
    field: dict[str, Contestant] = {
        "bare loop, fp32": by_hand(balanced=False),
        "bare loop with a balance, fp32": by_hand(balanced=True),
        "lambent, fp32": ours("fp32"),
        "lambent, default": ours("auto"),
    }
    return field | ({"pythae": pythae} if find_spec("pythae") else {})
