"""SemiSupervised: a condition of which few rows have a level, summed over in all others."""

from typing import Literal

import torch
from torch import Tensor

from lambent.data.condition import Category
from lambent.data.conditions import Conditions
from lambent.errors import DataError, UsageError, nearest
from lambent.model import LatentModel
from lambent.model.labelling import PAPER, Labelling, add_labelling, log_labels
from lambent.objectives.around import Around
from lambent.objectives.base import Loss
from lambent.objectives.tally import Tally
from lambent.part import Part, option
from lambent.seeds import seeded


class SemiSupervised(Around):
    """Rows of which few have a label y: the loss L(x, y) of `of` where there is one, its mean by q(y|x) where there is none.

    With a label: L(x, y) − log p(y) − α log q(y|x). Without: Σ_y q(y|x) [L(x, y) − log p(y)] − H(q(y|x)), the sum exact, over all
    K levels of the condition, at K times the cost. L is −ELBO(x|y) under Elbo, and the second then a bound on −log p(x). `setup`
    gives the model the part q(y|x), unless it has one, and the model file keeps it: it tells the labels of other rows.
    Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014; Xu et al., scANVI, 2021.
    """

    papers = (PAPER, "xu2021probabilistic")
    needs_context = True
    about = "of labels"
    unlabelled = True

    label: str | None = option("the condition whose levels may be missing; none: the only one of levels", default=None)
    weight: float | Literal["auto"] = option(
        "α, the weight of −log q(y|x) of a row with a label; auto: the number of rows for each that has one, so that a few "
        "labels weigh as much as if all rows had theirs",
        default="auto",
        minimum=0,
    )
    shares: Literal["labelled", "uniform"] = option(
        "p(y): as often as among the rows with a label, or each level as often as any other", default="labelled"
    )

    def meet(self, conditions: Conditions, context: Tensor | None = None) -> None:
        """Find the levels in the context, and how often rows have them. Errors: `UsageError`, `DataError`."""
        first, item = 0, None
        if conditions:
            item = self._condition(conditions)
            first = conditions.place(item.name)
        elif self.label is not None:
            raise UsageError(
                f"SemiSupervised is told the condition {self.label!r}, and this context has no names: leave label out, and the "
                "whole of it is one label, or give data with columns to condition on"
            )
        self.place = (first, None if item is None else item.width)
        self.counts = None if item is None else torch.tensor(item.counts, dtype=torch.float64)
        if context is not None:
            stop = None if item is None else first + item.width
            self.counts = _counted(context[:, first:stop])

    def _condition(self, conditions: Conditions) -> Category:
        levels = [item for item in conditions.items if isinstance(item, Category)]
        names = [item.name for item in levels]
        if self.label is None and len(levels) != 1:
            listed = ", ".join(names) or "none"
            raise UsageError(
                f"SemiSupervised sums over the levels of one condition, and these are {listed}: say which one with label=NAME "
                "(--objective.label NAME)"
            )
        if self.label is not None and self.label not in names:
            raise UsageError(f"SemiSupervised: no condition {self.label!r} has levels; {nearest(self.label, names)}")
        return levels[0 if self.label is None else names.index(self.label)]

    def add(self, model: LatentModel, seed: int) -> None:
        first, width = vars(self).get("place", (0, None))
        levels = model.context - first if width is None else width
        if levels < 2:
            raise UsageError(
                f"SemiSupervised sums over labels, and a context of {levels} number holds one: give it one-hot"
            )
        held = model.labelling
        if held is not None and (held.first, held.levels) != (first, levels):
            raise UsageError(
                f"this model tells {held.levels} labels from number {held.first} of its context on, and these rows have {levels} "
                f"from {first} on: give rows with the same conditions, or begin with a new model"
            )
        counts = vars(self).get("counts")
        if held is None:
            with seeded(torch.Generator().manual_seed(seed + 1)):
                add_labelling(model, Labelling(first=first, levels=levels))
            assert model.labelling is not None
            if self.shares == "labelled" and counts is not None:
                # Half a row more of each level: one that only rows held out have is rare, and not impossible.
                model.labelling.log_shares.copy_(((counts + 0.5) / (counts + 0.5).sum()).log())
        self.labelled = 0.0 if counts is None else float(counts.sum())
        self.tally = Tally("label_surprise").to(model.device)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        part = model.labelling
        assert part is not None
        context = model._given(context, len(x))
        assert context is not None
        log_q = log_labels(model, x, context)
        labels = part.labels(context).to(log_q)
        known, unknown = _numbers(labels)
        every = torch.eye(part.levels, dtype=log_q.dtype, device=log_q.device)
        taken = torch.cat((known, unknown.repeat_interleave(part.levels)))
        given = part.labelled(context[taken], torch.cat((labels[known], every.repeat(len(unknown), 1))))
        loss = self.inner(model, x[taken], generator, given)
        q, order = log_q.exp()[unknown], torch.cat((known, unknown)).argsort()

        def expected(term: Tensor, q: Tensor) -> Tensor:
            """A term of every row that was taken as one of each row, [rows]: where there is no label, the mean under q."""
            own, others = term.split((len(known), len(taken) - len(known)))
            return torch.cat((own, (q * others.unflatten(0, (len(unknown), part.levels))).sum(1)))[order]

        log_p = (part.labels(given).to(part.log_shares) * part.log_shares).sum(1)
        surprise = -(labels * log_q).sum(1)  # nought without a label
        negative_entropy = torch.zeros_like(surprise).index_copy(0, unknown, (q * log_q[unknown]).sum(1))
        rows = expected(loss.rows - log_p, q) + negative_entropy + self._alpha * surprise
        seen = {name: expected(term, q.detach()) for name, term in loss.seen.items()}
        self.tally.note(surprise[known].mean())  # no number where no row has a label, and not counted then
        return Loss(rows, seen, loss.trace, loss.calibrated, loss.forged, loss)

    @property
    def _alpha(self) -> float:
        if self.weight != "auto":
            return self.weight
        return max(1.0, self.rows / self.labelled) if self.labelled else 1.0

    def learn(self, loss: Loss, taken: Tensor) -> None:
        self.tally.count(taken)

    def own(self) -> dict[str, float | None]:
        """`label_surprise`: −log q(y|x) of the rows that have a label, in nats."""
        told: dict[str, float | None] = self.tally.told()
        return told

    @property
    def by_row(self) -> bool:
        return self.of.by_row

    def refusal(self, whole: Part) -> str | None:
        if isinstance(whole, LatentModel) and whole.latent.grouped:
            name = type(whole.latent).__name__
            return (
                f"SemiSupervised sums over labels that networks read, and {name} takes them for groups of rows: "
                "use the Flat latent"
            )
        if reason := super().refusal(whole):
            return reason
        if not self.of.by_row:
            return (
                f"SemiSupervised takes the mean of a row's loss over labels, and that of {type(self.of).__name__} "
                "with these settings hangs on the other rows of a batch: use the Elbo or Iwae objective as `of`"
            )
        return None


def _numbers(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of the rows that have a label, and of those that have none."""
    there = (labels != 0).any(1)
    return there.nonzero()[:, 0], (~there).nonzero()[:, 0]


def _counted(labels: Tensor) -> Tensor:
    """How many rows have each level, [levels]; `DataError` for what is neither one-hot nor noughts."""
    single = ((labels == 0) | (labels == 1)).all(1) & (labels.sum(1) <= 1)
    if not bool(single.all()):
        row = int((~single).nonzero()[0, 0])
        raise DataError(
            f"row {row} of the context: SemiSupervised takes a label as one 1 among noughts, or noughts alone for none"
        )
    return labels.double().sum(0).cpu()
