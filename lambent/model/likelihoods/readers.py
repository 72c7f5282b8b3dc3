"""Readers: the networks within `Tokens` that read the tokens before each one, and see the code at every step."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lambent.distributions.sequences import State
from lambent.model.networks.transformer import Block


class Reader(nn.Module):
    """Vectors of tokens → what is known before the next one, each step from those up to it; the same at once or step by step."""

    @abstractmethod
    def forward(self, seen: Tensor, raw: Tensor) -> Tensor:
        """[rows, steps, width] of vectors and [rows, width] of the code → [rows, steps, width]."""

    @abstractmethod
    def begin(self, raw: Tensor) -> State:
        """What is kept before the first step."""

    @abstractmethod
    def step(self, seen: Tensor, state: State) -> tuple[Tensor, State]:
        """One step, [rows, width] → [rows, width], and what is kept after it."""


def code_maps(width: int, depth: int) -> nn.ModuleList:
    """Linear maps of the code, one into each layer and one beside what the last gives."""
    return nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth + 1))


class GruReader(Reader):
    """Layers of gated recurrent units; the code is added to what each reads and to what the last gives.

    Cho et al., Learning Phrase Representations using RNN Encoder–Decoder, 2014; the code beside every layer: Dieng et al.,
    Avoiding Latent Variable Collapse with Generative Skip Models, 2019.
    """

    def __init__(self, width: int, depth: int, heads: int, length: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(depth))
        self.codes = code_maps(width, depth)

    def forward(self, seen: Tensor, raw: Tensor) -> Tensor:
        return self._through(seen, self.begin(raw))[0]

    def begin(self, raw: Tensor) -> State:
        added = [code(raw).unsqueeze(1) for code in self.codes]
        return (*added, *(torch.tanh(each.transpose(0, 1)) for each in added[:-1]))

    def step(self, seen: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, state = self._through(seen.unsqueeze(1), state)
        return hidden.squeeze(1), state

    def _through(self, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """state: the code for each layer and for the end, [rows, 1, width], and what each layer holds, [1, rows, width]."""
        depth = len(self.layers)
        added, held = state[: depth + 1], list(state[depth + 1 :])
        for i, layer in enumerate(self.layers):
            hidden, held[i] = layer(hidden + added[i], held[i].contiguous())
        return hidden + added[-1], (*added, *held)


class CausalReader(Reader):
    """Blocks of attention, each place to itself and those before it; the code is added to what each block reads, and at the end.

    Vaswani et al., Attention Is All You Need, 2017; the code in every layer: Li et al., Optimus, 2020.
    """

    def __init__(self, width: int, depth: int, heads: int, length: int) -> None:
        super().__init__()
        blocks = [Block(width, heads, depth) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.heads, self.of_a_head = heads, blocks[0].of_a_head
        self.places = nn.Parameter(0.1 * torch.randn(length, width))
        self.codes = code_maps(width, depth)
        self.last = nn.LayerNorm(width)

    def forward(self, seen: Tensor, raw: Tensor) -> Tensor:
        hidden = seen + self.places[: seen.shape[1]]
        for block, code in zip(self.blocks, self.codes, strict=False):
            hidden = block(hidden + code(raw).unsqueeze(1), causal=True)
        return self._given(hidden, self.codes[-1](raw).unsqueeze(1))

    def begin(self, raw: Tensor) -> State:
        """The code for each block and for the end, then the keys and the values of each block, none so far."""
        nothing = raw.new_zeros((len(raw), self.heads, 0, self.of_a_head))
        return (*(code(raw).unsqueeze(1) for code in self.codes), *([nothing] * (2 * len(self.blocks))))

    def step(self, seen: Tensor, state: State) -> tuple[Tensor, State]:
        depth = len(self.blocks)
        added, held = state[: depth + 1], list(state[depth + 1 :])
        hidden = (seen + self.places[held[0].shape[2]]).unsqueeze(1)
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            hidden, held[2 * i], held[2 * i + 1] = block.after(hidden + added[i], held[2 * i], held[2 * i + 1])
        return self._given(hidden, added[-1]).squeeze(1), (*added, *held)

    def _given(self, hidden: Tensor, code: Tensor) -> Tensor:
        normal: Tensor = self.last(hidden)
        return normal + code


READERS: dict[str, type[GruReader] | type[CausalReader]] = {"Gru": GruReader, "Transformer": CausalReader}


def left_out(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """x with this share of its numbers nought, the others larger by as much."""
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= share
    return x * kept / (1 - share)
