"""Encoders that read a row one step after the other: gated recurrent units from both ends, and attention.

A row [steps, numbers] may be padded with steps of noughts behind its last one; what is read of it is the same.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lambent.distributions.sequences import refuse_graph
from lambent.model.networks.base import Half, Network
from lambent.model.networks.transformer import Block
from lambent.part import Shape, elements, option


class Gru(Network):
    """Gated recurrent units over the steps of a row (its first axis) from both ends; the decoder is a linear map.

    What they give is the last state of either direction, and the largest value of each unit over the steps. For texts: there
    the likelihood itself holds the network that writes. Cho et al., 2014; Long et al., 2019.
    """

    papers = ("cho2014learning", "long2019preventing")

    exact = False

    width: int = option("units of each direction", default=256, minimum=1, maximum=65536)
    depth: int = option("layers", default=1, minimum=1, maximum=1000)

    def encoder(self, event: Shape) -> Half:
        inputs = elements(event[1:])
        return Half(Stepwise(), BothWays(inputs, self.width, self.depth), shape=(4 * self.width,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        return written(hidden, raw)


class Attention(Network):
    """Attention among the steps of a row (its first axis), with learned places; the decoder is a linear map.

    What it gives is the mean and the largest value of each unit over the steps. Vaswani et al., 2017.
    """

    papers = ("vaswani2017attention",)

    exact = False

    width: int = option("units of each step", default=128, minimum=1, maximum=65536)
    depth: int = option("blocks", default=2, minimum=1, maximum=1000)
    heads: int = option("heads of attention, which share the units, rounded up", default=4, minimum=1, maximum=1024)

    def encoder(self, event: Shape) -> Half:
        layers = Attending(event[0], elements(event[1:]), self.width, self.depth, self.heads)
        return Half(Stepwise(), layers, shape=(2 * self.width,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        return written(hidden, raw)


def written(hidden: Shape, raw: Shape) -> Half:
    """A linear map from a code to the raw output."""
    shaped = [nn.Unflatten(1, raw)] if len(raw) > 1 else []
    return Half(nn.Flatten(), nn.Linear(elements(hidden), elements(raw)), *shaped, shape=raw)


class Stepwise(nn.Module):
    """Rows [rows, steps, …] as [rows, steps, numbers], cut behind the last step of any that is not of noughts alone."""

    def forward(self, x: Tensor) -> Tensor:
        refuse_graph(x)
        x = x.flatten(2) if x.dim() > 2 else x.unsqueeze(-1)
        return x[:, : int(lengths(x).max())] if len(x) else x


def lengths(x: Tensor) -> Tensor:
    """The number of the last step of each row [rows, steps, numbers] that is not of noughts alone; at least 1."""
    places = torch.arange(1, x.shape[1] + 1, device=x.device)
    return ((x != 0).any(-1) * places).amax(-1).clamp_min(1)


class BothWays(nn.Module):
    """[rows, steps, inputs] → [rows, 4 width]: the last states of both directions, the largest values over the steps."""

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.GRU(inputs, width, depth, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        packed: PackedSequence = pack_padded_sequence(x, lengths(x).cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.layers(packed)
        every, _ = pad_packed_sequence(states, batch_first=True, padding_value=-math.inf)
        return torch.cat((last[-2], last[-1], every.amax(1)), -1)


class Attending(nn.Module):
    """[rows, steps, inputs] → [rows, 2 width]: blocks of attention, then the mean and the largest values over the steps."""

    def __init__(self, steps: int, inputs: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.places = nn.Parameter(0.1 * torch.randn(steps, width))
        self.blocks = nn.ModuleList(Block(width, heads, depth) for _ in range(depth))
        self.last = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        count = lengths(x).unsqueeze(1)
        there = torch.arange(x.shape[1], device=x.device) < count
        hidden = self.first(x) + self.places[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden, there[:, None, None])
        hidden = self.last(hidden)
        behind = ~there.unsqueeze(-1)
        mean = hidden.masked_fill(behind, 0.0).sum(1) / count
        return torch.cat((mean, hidden.masked_fill(behind, -math.inf).amax(1)), -1)
