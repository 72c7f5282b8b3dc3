"""How far q(z|x) is from where it could be: an encoder that lags behind, one that is no good for new rows, a short training."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lambent.metrics.bound import bounds
from lambent.metrics.reading import Cost
from lambent.model import LatentModel
from lambent.model.trace import from_posterior
from lambent.seeds import stream

STEPS, RATE, BATCH = 200, 1e-3, 64
OWN_STEPS, OWN_RATE = 120, 0.05  # of each row's own posterior; the rate in units of what the encoder gives
JUDGED = 4  # samples by which either side is judged


Who = Literal["encoder", "decoder", "all"]  # decoder: with the likelihood and the prior


class Learned(NamedTuple):
    """What further steps brought on rows that they were not taken on: nats of the ELBO, and the KL before and after."""

    gain: Cost
    kl: float
    kl_after: float


def learned(
    model: LatentModel,
    rows: tuple[Tensor, Tensor | None],
    judged: tuple[Tensor, Tensor | None],
    who: Who,
    steps: int = STEPS,
    seed: int = 0,
) -> Learned:
    """ELBO of `judged` after steps on `rows` less before, of a copy of which all learns, or one side alone.

    rows, judged: [rows, *event] with their context. The better of two looks on the way counts, and the model itself stays as it
    is. An encoder in step with its decoder gains nothing. He, Spokoyny, Neubig & Berg-Kirkpatrick, Lagging Inference Networks and
    Posterior Collapse, 2019.
    """
    pupil = copy.deepcopy(model).eval()
    optimizer = torch.optim.Adam([p for p in pupil.parameters() if p.is_floating_point()], lr=RATE)
    x, context = rows
    before = bounds(pupil, judged[0], JUDGED, seed, judged[1])
    best, elbo = before, before.elbo
    order = torch.Generator().manual_seed(stream(seed, "further steps"))
    noise = torch.Generator(model.device).manual_seed(stream(seed, "further noise"))
    for step in range(1, steps + 1):
        picked = torch.randint(len(x), (min(BATCH, len(x)),), generator=order)
        given = None if context is None else context[picked].to(model.device)
        with _learning(pupil, who):
            trace = pupil.trace(x[picked].to(model.device), 1, from_posterior(noise), given)
            loss = (trace.kl - trace.log_px).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), 10.0)
        optimizer.step()
        if step in (steps // 2, steps):
            now = bounds(pupil, judged[0], JUDGED, seed, judged[1])
            if float(now.elbo.mean()) > float(elbo.mean()):
                best, elbo = now, now.elbo
    return Learned(Cost.of(elbo - before.elbo), float(before.kl.mean()), float(best.kl.mean()))


def _learning(model: LatentModel, who: Who) -> AbstractContextManager[None]:
    if who == "all":
        return nullcontext()
    return model.leading() if who == "encoder" else model.standing()


class _Given(nn.Module):
    """In the place of an encoder: features that are parameters, a row's own, whatever it reads."""

    def __init__(self, features: Tensor | list[Tensor]) -> None:
        super().__init__()
        every = features if isinstance(features, list) else [features]
        self.several = isinstance(features, list)
        self.features = nn.ParameterList([nn.Parameter(each.detach().clone()) for each in every])

    def forward(self, embedded: Tensor) -> Tensor | list[Tensor]:
        return list(self.features) if self.several else self.features[0]


def amortization_gap(
    model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None, steps: int = OWN_STEPS
) -> Cost | None:
    """ELBO of every row under a posterior of its own less under the encoder's: what sharing one encoder costs.

    The features that the encoder gives are moved row by row to where the ELBO is best, which moves q(z|x) within its family.
    None where the prior reads the encoder, too. Far larger on new rows than on those of training: the encoder is over-fitted.
    Cremer, Li & Duvenaud, Inference Suboptimality in Variational Autoencoders, 2018.
    """
    if model.latent.origin == "Vamp" or model.latent.discrete:
        return None
    x = x.to(model.device)
    given = None if context is None else context.to(model.device)
    own = copy.deepcopy(model).eval()
    kept: list[Tensor | list[Tensor]] = []
    hook = own.encoder.register_forward_hook(lambda _, __, out: kept.append(out))
    before = _elbo(own, x, given, seed)
    hook.remove()
    own.requires_grad_(False)
    own.encoder = _Given(kept[0])
    free = list(own.encoder.parameters())
    groups = [
        {"params": [each], "lr": OWN_RATE * float(each.detach().square().mean().sqrt().clamp_min(1e-3))}
        for each in free
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    noise = torch.Generator(model.device).manual_seed(stream(seed, "posterior of each row"))
    for _ in range(steps):
        trace = own.trace(x, 2, from_posterior(noise), given)
        loss = (trace.kl - trace.log_px).mean(0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Cost.of(_elbo(own, x, given, seed) - before)


@torch.no_grad()
def _elbo(model: LatentModel, x: Tensor, context: Tensor | None, seed: int) -> Tensor:
    noise = torch.Generator(model.device).manual_seed(stream(seed, "judged posteriors"))
    trace = model.trace(x, JUDGED, from_posterior(noise), context)
    return (trace.log_px - trace.kl).mean(0).cpu()
