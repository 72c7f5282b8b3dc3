"""Invariant: codes that do not tell the context, such as the style of a picture, so that it can be exchanged."""

import math
from typing import Literal

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.trace import Trace
from lambent.objectives.around import Around
from lambent.objectives.base import Loss
from lambent.objectives.judges_of_codes import judge_of_codes
from lambent.objectives.spread import kernel
from lambent.objectives.tally import Tally
from lambent.part import option

FEWEST = 4  # rows that the unbiased estimate of the kernel criterion takes


class Invariant(Around):
    """The loss of `of` plus λ times what codes tell of the context: content independent of the style, the class, the batch.

    by="rival": a rival answers which of the n contexts of a batch is a code's own, log p(j | z_i) ∝ f(z_i)ᵀ (c_j, c_j²): a
    classifier for categories, a Gaussian for numbers. It learns by its cross-entropy, −log p(i | z_i); the model pays the
    divergence of its answer from none, −(1/n) Σ_j log n p(j | z_i), in nats, 0 where codes tell nothing.
    by="kernel": the model pays the Hilbert–Schmidt criterion HSIC(z, c), unbiased, for two categories the squared MMD between
    their codes up to a factor. Codes of all levels are meant; of a Styled latent those of the content alone.
    Lample et al., Fader Networks, 2017; Louizos et al., The Variational Fair Autoencoder, 2016; Lopez et al., 2018.
    """

    papers = ("lample2017fader", "louizos2016variational")
    needs_context = True

    by: Literal["rival", "kernel"] = option(
        "what finds the context in codes: a network that learns against the model, or a kernel",
        default="rival",
        papers={"kernel": "lopez2018information"},
    )
    weight: float = option("λ, the weight of what codes tell", default=30.0, minimum=0)
    r1: float = option(
        "weight of the squared gradient of the rival's answer, with which its contest with the model comes to rest",
        default=0.1,
        minimum=0,
        papers={...: "mescheder2018which"},
    )
    growth: float = option(
        "share of training in which the weight grows from nought to λ", default=0.1, minimum=0, maximum=1
    )
    width: int = option("units in each hidden layer of the rival", default=256, minimum=1, maximum=65536)
    depth: int = option("hidden layers of the rival", default=3, minimum=1, maximum=1000)

    def add(self, model: LatentModel, seed: int) -> None:
        units = sum(model.latent.sizes_of_levels[self._first(model) :])
        if self.by == "rival":
            self.discriminator = judge_of_codes(units, self.width, self.depth, 2 * model.context, seed)
            self.discriminator.to(model.device)
            self.tally = Tally("leakage").to(model.device)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        loss = self.inner(model, x, generator, context)
        assert loss.trace is not None
        assert context is not None
        codes, context = self._codes(model, loss.trace), context.to(loss.trace.z.dtype)
        told = (
            -self._answers(codes, context).mean(1) if self.by == "rival" else dependence(_of_one_scale(codes), context)
        )
        ramp = min(1.0, self.progress / self.growth) if self.growth else 1.0
        return Loss(loss.rows + ramp * self.weight * told, loss.seen, loss.trace, loss.calibrated, loss.forged, loss)

    def contested(
        self, model: LatentModel, loss: Loss, generator: torch.Generator | None, context: Tensor | None
    ) -> Tensor | None:
        """−log n p(i | z_i) + r1/2 ‖∂ log p(i | z_i)/∂z_i‖², [rows]: nought of a rival without skill."""
        if self.by != "rival":
            return None
        assert loss.trace is not None
        assert context is not None
        codes = self._codes(model, loss.trace).detach().requires_grad_(self.r1 > 0)
        lost: Tensor = -self._answers(codes, context).diagonal()
        self.tally.note(-lost.mean())
        if not self.r1:
            return lost
        (slope,) = torch.autograd.grad(lost.sum(), codes, create_graph=True)
        return lost + 0.5 * self.r1 * slope.square().sum(1)

    def _answers(self, codes: Tensor, context: Tensor) -> Tensor:
        """log n p(j | z_i), [rows, rows]: what the rival says of each context of the batch, 0 for no more than its share."""
        context = context.to(codes.dtype)
        logits = self.discriminator(codes) @ torch.cat((context, context.square()), 1).T
        return torch.log_softmax(logits, 1) + math.log(len(codes))

    def _codes(self, model: LatentModel, trace: Trace) -> Tensor:
        """The codes of one sample that are to tell nothing, [rows, units]."""
        return torch.cat([node.z[0].flatten(1) for node in trace.nodes[self._first(model) :]], 1)

    @staticmethod
    def _first(model: LatentModel) -> int:
        """The number of the first level that is no style."""
        return 1 if model.latent.grouped else 0

    def learn(self, loss: Loss, taken: Tensor) -> None:
        if self.by == "rival":
            self.tally.count(taken)

    def own(self) -> dict[str, float | None]:
        """`leakage`: nats that the rival found codes to tell of the context, at most its entropy."""
        told: dict[str, float | None] = self.tally.told() if self.by == "rival" else {}
        return told

    @property
    def settled(self) -> bool:
        return super().settled and self.progress >= self.growth


def _of_one_scale(codes: Tensor) -> Tensor:
    """Codes brought to a mean variance of 1: to spread them beyond the widest kernel must be no way out."""
    return codes / codes.detach().var(0, correction=0).mean().sqrt().clamp_min(1e-6)


def dependence(codes: Tensor, context: Tensor) -> Tensor:
    """HSIC between n codes and contexts, [n, …] each: the unbiased estimate, 0 for fewer than four.

    1/(n(n−3)) [tr K̃L̃ + 1ᵀK̃1 1ᵀL̃1 / ((n−1)(n−2)) − 2 · 1ᵀK̃L̃1 / (n−2)], the diagonals of K̃ and L̃ nought; K the kernel of
    `Wae` on codes, L = exp(−‖c − c'‖²/2). Song et al., Feature Selection via Dependence Maximization, 2012.
    """
    n = len(codes)
    if n < FEWEST:
        return codes.new_zeros(())
    others = 1 - torch.eye(n, dtype=codes.dtype, device=codes.device)
    near = kernel(codes, codes) * others
    alike = (-0.5 * (context.unsqueeze(1) - context).square().sum(-1)).exp() * others
    pairs = near.sum() * alike.sum() / ((n - 1) * (n - 2))
    return ((near * alike).sum() + pairs - 2 * (near.sum(0) @ alike.sum(0)) / (n - 2)) / (n * (n - 3))
