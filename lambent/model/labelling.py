"""Labelling: q(y | x), what a model that learned from rows of which few had a label says of the others."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lambent.model.joining import joined
from lambent.model.lowering import lowered
from lambent.part import Part, Shape, elements, option

if TYPE_CHECKING:
    from lambent.model.model import LatentModel
    from lambent.model.networks import Network

PAPER = "kingma2014semi"  # in papers.bib
PIECE = 1024  # rows that are told at a time


class Labelling(Part):
    """q(y | x, c'), y the level of one condition and c' all others: an encoder of the model's network of its own, and a softmax.

    The SemiSupervised objective puts it into the model, and the model file keeps it. Kingma et al., Semi-supervised Learning with
    Deep Generative Models, 2014.
    """

    papers = (PAPER,)

    first: int = option("where the levels begin in the context", default=0, minimum=0, maximum=2**20)
    levels: int = option("how many there are", default=2, minimum=2, maximum=2**20)

    def setup(self, network: "Network", embedded: Shape, context: int) -> None:
        """Make the weights, for rows as the encoder sees them, of a model with so wide a context."""
        self.network = network.encoder(embedded)
        self.answer = nn.Linear(elements(self.network.shape) + context - self.levels, self.levels)
        nn.init.zeros_(self.answer.weight)  # at first any label is as likely as another
        nn.init.zeros_(self.answer.bias)
        self.register_buffer("log_shares", torch.zeros(self.levels).log_softmax(0))  # log p(y)

    def told(self, hidden: Tensor, context: Tensor) -> Tensor:
        """log q(y | x, c') from what the network made of rows, [rows, levels]; labels in the context are not looked at."""
        answers: Tensor = self.answer(joined(hidden.flatten(1), self._apart(context)[1]))
        return answers.log_softmax(1)

    def labels(self, context: Tensor) -> Tensor:
        """The labels in a context, one-hot, [rows, levels]; noughts where there is none."""
        return self._apart(context)[0]

    def labelled(self, context: Tensor, labels: Tensor) -> Tensor:
        """A context with other labels, one-hot [rows, levels]."""
        return torch.cat((context[:, : self.first], labels.to(context), context[:, self.first + self.levels :]), 1)

    def _apart(self, context: Tensor) -> tuple[Tensor, Tensor | None]:
        """The labels, and the rest of the context; None where there is no rest."""
        before, own, after = context.tensor_split((self.first, self.first + self.levels), 1)
        rest = torch.cat((before, after), 1)
        return own, rest if rest.shape[1] else None


def log_labels(model: "LatentModel", x: Tensor, context: Tensor) -> Tensor:
    """log q(y | x, c') of stored rows, [rows, levels], by the labelling that the model holds."""
    assert model.labelling is not None
    dtype = model.anchor.dtype
    embedded = model.likelihood.seen(model._observed(x)).to(dtype)
    with lowered(model.low_precision, embedded):
        hidden = model.labelling.network(embedded)
    return model.labelling.told(hidden.to(dtype), context.to(embedded))


def add_labelling(model: "LatentModel", part: Labelling) -> None:
    """Give a model that is set up the part q(y | x), with weights of its own."""
    embedded = model.likelihood.seen(model._observed(torch.zeros(1, *model.event_shape, device=model.device)))
    part.setup(model.network, tuple(embedded.shape[1:]), model.context)
    model.labelling = part.to(model.device, model.anchor.dtype)


@torch.no_grad()
def told_labels(model: "LatentModel", x: Tensor, context: Tensor) -> Tensor:
    """log q(y | x, c') of rows wherever they lie, [rows, levels], in double precision."""
    pieces = zip(x.split(PIECE), context.split(PIECE), strict=True)
    found = [log_labels(model, own.to(model.device), given.to(model.device)).double().cpu() for own, given in pieces]
    return torch.cat(found)


@torch.no_grad()
def with_labels(model: "LatentModel", x: Tensor, context: Tensor) -> Tensor:
    """A context whose missing labels are the likeliest by q(y | x); the same where none is missing, or the model tells none."""
    part = model.labelling
    if part is None or bool((there := (part.labels(context) != 0).any(1)).all()):
        return context
    gaps = (~there).nonzero()[:, 0]
    likeliest = told_labels(model, x[gaps.to(x.device)], context[gaps]).argmax(1)
    labels = part.labels(context).clone()
    labels[gaps, likeliest.to(gaps.device)] = 1
    return part.labelled(context, labels)
