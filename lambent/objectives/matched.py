"""Matched: rows of other contexts that show the same, found by their codes and learned from, so that a style changes alone."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.trace import fixed, from_posterior, mean
from lambent.objectives.around import Around
from lambent.objectives.base import Loss
from lambent.objectives.growing import Growing
from lambent.part import Part, option

CHUNK = 512  # rows that are encoded at a time
NEIGHBOURS = 10  # whose mean distance tells how crowded it is around a code
MOST_CONTEXTS = 100


class Matched(Around):
    """The loss of `of` plus λ times −log p(x_j | z_i, c_j) of partners: rows i and j of two contexts that show the same.

    Nobody names them. From `start` on, partners are looked for after each epoch among up to `remembered` rows of training: those
    of two contexts whose mean codes are each other's nearest, by 2‖z_i − z_j‖ − r_i − r_j, r the mean distance to the ten nearest
    of the other context, so that codes in a crowd are not everybody's nearest. As many pairs are drawn for a step as there are
    rows in the batch, half of them decoded in the one direction, half in the other. It takes contexts that many rows share, such
    as styles, and contents that are there in several, if only nearly.
    Conneau et al., Word Translation without Parallel Data, 2018.
    """

    papers = ("conneau2018word",)
    needs_context = True
    examines_training = True

    weight: float = option("λ, the weight of what partners are to be decoded as", default=1.0, minimum=0)
    start: float = option("share of training after which partners are looked for", default=0.3, minimum=0, below=1)
    remembered: int = option(
        "rows of training that partners are looked for among, at most; they are kept in memory and in checkpoints",
        default=10000,
        minimum=2,
        maximum=30000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self)["examined"] = self.remembered

    def add(self, model: LatentModel, seed: int) -> None:
        self.found = Partners().to(model.device)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        loss = self.inner(model, x, generator, context)
        rows = loss.rows
        if self.weight and len(self.found.pairs):
            rows = rows + self.weight * self._lost(model, len(x), generator)
        return Loss(rows, loss.seen, loss.trace, loss.calibrated, loss.forged, loss)

    def _lost(self, model: LatentModel, rows: int, generator: torch.Generator | None) -> Tensor:
        """−log p(x_j | z_i, c_j) of so many pairs, [rows] in nats."""
        there, back = self.found.drawn(rows, generator).unbind(1)
        nodes = model.infer(self.found.x[there], 1, from_posterior(generator), self._read(model, there))
        codes = [node.z[0] for node in nodes]
        if model.latent.grouped:
            latent: Any = model.latent
            codes[0] = latent.expected_style(self.found.context[back])
        px = model.generate(rows, fixed(*codes), self._read(model, back))
        observed = model.likelihood.observe(self.found.x[back])
        lost: Tensor = -px.log_prob(observed.to(model.anchor.dtype) if observed.is_floating_point() else observed)
        return lost

    def _read(self, model: LatentModel, rows: Tensor) -> Tensor | None:
        """The context of remembered rows for a pass: none where it would only tell which of them share a style."""
        return None if model.latent.grouped else self.found.context[rows]

    @torch.no_grad()
    def examine(
        self, model: LatentModel, x: Tensor, context: Tensor | None, generator: torch.Generator | None = None
    ) -> None:
        """Look for partners among these rows."""
        assert context is not None
        if not self.start <= self.progress < 1:
            return
        kinds, kind = context.unique(dim=0, return_inverse=True)
        if len(kinds) > MOST_CONTEXTS:
            raise UsageError(
                f"Matched looks for partners in contexts that many rows share, and {len(x):,} rows have {len(kinds):,} here: "
                "condition on a label, or use Invariant"
            )
        self.found.keep(x, context, self.found.pairs)
        codes = self._codes(model)
        numbers = [(kind == each).nonzero()[:, 0] for each in range(len(kinds))]
        pairs = [partners(codes, one, other) for one, other in combinations(numbers, 2)]
        self.found.keep(x, context, torch.cat([self.found.pairs[:0], *pairs]))

    def _codes(self, model: LatentModel) -> Tensor:
        """The mean codes of the content of all remembered rows, [rows, units]."""
        first, parts = int(model.latent.grouped), []
        for rows in torch.arange(len(self.found.x), device=self.found.x.device).split(CHUNK):
            nodes = model.infer(self.found.x[rows], 1, mean, self._read(model, rows))
            parts.append(torch.cat([node.z[0].flatten(1) for node in nodes[first:]], 1))
        return torch.cat(parts)

    def own(self) -> dict[str, float | None]:
        """`partnered`: the share of the rows looked at that have a partner in some context; None before any were."""
        looked_at = len(self.found.x)
        return {"partnered": len(self.found.pairs.unique()) / looked_at if looked_at else None}

    @property
    def settled(self) -> bool:
        """Only at its end: other partners come with every epoch."""
        return self.progress >= 1

    def refusal(self, whole: Part) -> str | None:
        if self.of.examined:
            inner = type(self.of).__name__
            return f"Matched looks at rows of training after an epoch, and {inner} at rows of its own: put it around another"
        return super().refusal(whole)


class Partners(Growing):
    """The rows that were looked at, their context, and the pairs found among them, [pairs, 2] numbers of rows."""

    x: Tensor
    context: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.keep(torch.zeros(0), torch.zeros(0), torch.zeros(0, 2, dtype=torch.long))

    def keep(self, x: Tensor, context: Tensor, pairs: Tensor) -> None:
        """All of it anew."""
        for name, value in {"x": x, "context": context, "pairs": pairs}.items():
            self.register_buffer(name, value)

    def drawn(self, rows: int, generator: torch.Generator | None) -> Tensor:
        """So many of the pairs, [rows, 2], half of them the other way round."""
        chosen = torch.randint(len(self.pairs), (-(-rows // 2),), generator=generator, device=self.pairs.device)
        pairs = self.pairs[chosen]
        return torch.cat((pairs, pairs.flip(1)))[:rows]


def partners(codes: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Of the rows `one` and `other`, [n] and [m], those whose codes [rows, units] are each other's nearest: [pairs, 2] rows."""
    if not len(one) or not len(other):
        return torch.stack((one[:0], other[:0]), 1)
    apart = torch.cdist(codes[one], codes[other])
    crowds = [
        apart.topk(min(NEIGHBOURS, apart.shape[axis]), axis, largest=False).values.mean(axis, keepdim=True)
        for axis in (0, 1)
    ]
    near = 2 * apart - crowds[0] - crowds[1]
    there, back = near.argmin(1), near.argmin(0)
    mutual = back[there] == torch.arange(len(one), device=one.device)
    return torch.stack((one[mutual], other[there[mutual]]), 1)
