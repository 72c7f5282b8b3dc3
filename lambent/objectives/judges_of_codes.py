"""Opponents that judge codes: what they are told is a vector."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.model import LatentModel
from lambent.model.trace import Trace, from_prior
from lambent.objectives.tally import Tally
from lambent.seeds import seeded

TOLD = ("rival_loss", "rival_accuracy")


def judge_of_codes(units: int, width: int, depth: int, answers: int, seed: int) -> nn.Sequential:
    """A network from codes [rows, units] to logits [rows, answers], of `depth` hidden layers of `width` units."""
    sizes = [units, *[width] * depth]
    layers: list[nn.Module] = []
    with seeded(torch.Generator().manual_seed(seed + 1)):
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], answers))


def told_apart(real: Tensor, forged: Tensor) -> Tensor:
    """½ (−log σ(real) − log(1 − σ(forged))), of logits: the mean cross-entropy of telling the two apart, log 2 where none can."""
    return 0.5 * (functional.softplus(-real) + functional.softplus(forged))


def share_right(real: Tensor, forged: Tensor) -> Tensor:
    """The share of the judgements, by logits, that are right: a half by chance."""
    return 0.5 * ((real > 0).float().mean() + (forged < 0).float().mean())


class JudgeOfPrior(nn.Module):
    """D(z, c): the logit that a code was drawn from the prior and is not the code of a row."""

    def __init__(self, model: LatentModel, width: int, depth: int, seed: int) -> None:
        super().__init__()
        units = sum(model.latent.sizes_of_levels) + model.context
        self.network = judge_of_codes(units, width, depth, 1, seed)
        self.tally = Tally(*TOLD)
        self.to(model.device)

    def forward(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Logits [rows] of codes [rows, units]."""
        joined = codes if context is None else torch.cat((codes, context.to(codes.dtype)), 1)
        logits: Tensor = self.network(joined).squeeze(-1)
        return logits

    def fooled(
        self, model: LatentModel, trace: Trace, generator: torch.Generator | None, context: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """−log σ(D(z)), [rows], of the codes of a pass, and what `contest` needs of it, without its graph.

        Draws of a prior that learns pay −log(1 − σ(D(z))), so that it learns to be taken for the codes.
        """
        nodes = model.imagine(len(trace.x), from_prior(generator), context)
        codes, drawn = trace.z[0], torch.cat([node.z.flatten(2) for node in nodes], -1)[0]
        loss = functional.softplus(-self(codes, context))
        if drawn.requires_grad:
            loss = loss + functional.softplus(self(drawn, context))
        return loss, (drawn.detach(), codes.detach())

    def contest(self, shown: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        """The cross-entropy of telling draws of the prior from codes, [rows]: at best log 2 − JSD(q(z), p(z))."""
        drawn, codes = shown
        real, forged = self(drawn, context), self(codes, context)
        judged = told_apart(real, forged)
        self.tally.note(judged.mean(), share_right(real, forged))
        return judged
