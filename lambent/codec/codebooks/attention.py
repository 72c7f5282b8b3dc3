"""A transformer prior over dyadic numbers: the same logits on every machine, place after place."""

from typing import cast

import torch
from torch import Tensor, nn

from lambent.codec.exact.dyadic import FRACTION, LIMIT, MANTISSA, UNIT, WEIGHT, rounded
from lambent.codec.exact.layers import ExactLinear, Tabled
from lambent.codec.leaves.finite import WEIGHT as SHARE
from lambent.codec.leaves.finite import weights
from lambent.model.priors import Transformer
from lambent.model.priors.transformer import Block

EPSILON = 1e-5  # of the variance, as nn.LayerNorm has it


class ExactNorm(nn.Module):
    """nn.LayerNorm: sums are exact, and ÷ and √ those that IEEE 754 rounds in one way alone."""

    def __init__(self, given: nn.LayerNorm) -> None:
        super().__init__()
        self.register_buffer("scale", rounded(given.weight.detach(), WEIGHT), persistent=False)
        self.register_buffer("shift", rounded(given.bias.detach()), persistent=False)
        self.scale: Tensor
        self.shift: Tensor
        # A tensor, for to divide by a number some devices multiply by its reciprocal, which rounds twice.
        self.register_buffer("width", torch.tensor(float(len(self.scale)), dtype=torch.float64), persistent=False)
        self.width: Tensor
        self.reach = reach(2 * FRACTION, len(self.scale), 2)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width]."""
        apart = x - self.mean(x)
        apart = apart.clamp(-self.reach, self.reach)
        deviation = ((apart * apart).sum(-1, keepdim=True) / self.width + EPSILON).sqrt()
        return _nearest(_nearest(apart / deviation) * self.scale + self.shift)

    def mean(self, x: Tensor) -> Tensor:
        """[..., 1], rounded."""
        return _nearest(x.clamp(-LIMIT, LIMIT).sum(-1, keepdim=True) / self.width)


class ExactBlock(nn.Module):
    """x + attention(norm x), then + mlp(norm x), at one place that sees those before it."""

    def __init__(self, given: Block, places: int, bits: int) -> None:
        super().__init__()
        self.heads, self.units = given.heads, given.join.in_features // given.heads
        self.before, self.between = ExactNorm(given.before), ExactNorm(given.between)
        self.project, self.join, self.wide, self.narrow = (
            ExactLinear(str(layer), layer.weight, layer.bias, bits)
            for layer in (given.project, given.join, given.wide, given.narrow)
        )
        self.gelu = Tabled("gelu")
        self.scale = float(rounded(torch.tensor(self.units**-0.5, dtype=torch.float64), WEIGHT))
        self.reach = reach(2 * FRACTION, self.units, 2)  # of queries and keys
        self.held = reach(SHARE + FRACTION, places, 1)  # of values, whose shares have 22 bits

    def cache(self, rows: int, places: int) -> Tensor:
        """Room for keys and values, [2, rows, heads, places, units]."""
        return self.before.scale.new_empty(2, rows, self.heads, places, self.units)

    def step(self, state: Tensor, cache: Tensor, place: int) -> Tensor:
        """[rows, width] of one place, which sees the kept ones before it and itself."""
        made = self.project(self.before(state)).unflatten(-1, (3, self.heads, self.units))
        query, key, value = made.unbind(1)  # each [rows, heads, units]
        cache[0, :, :, place] = key.clamp(-self.reach, self.reach)
        cache[1, :, :, place] = value.clamp(-self.held, self.held)
        keys, values = cache[:, :, :, : place + 1]
        scores = (keys @ query.clamp(-self.reach, self.reach).unsqueeze(-1)).squeeze(-1)  # [rows, heads, places]
        logits = (_nearest(scores * self.scale) * UNIT).to(torch.int64).cpu().numpy()
        share = torch.from_numpy(weights(logits, -1)).to(state)
        attended = (share.unsqueeze(-2) @ values).squeeze(-2) / share.sum(-1, keepdim=True)
        state = state + self.join(_nearest(attended).flatten(1))
        added: Tensor = state + self.narrow(self.gelu(self.wide(self.between(state))))
        return added


class ExactTransformer(nn.Module):
    """p(k_i | k_<i) of a Transformer prior, as logits in multiples of 2^-12. Only what depends on no context has this form."""

    def __init__(self, given: Transformer, bits: int) -> None:
        super().__init__()
        self.places, self.entries = given.places, given.entries
        for name, numbers in (
            ("embedding", given.embedding.weight),
            ("start", given.start),
            ("position", given.position),
        ):
            self.register_buffer(name, rounded(numbers.detach()), persistent=False)
        self.embedding: Tensor
        self.start: Tensor
        self.position: Tensor
        self.blocks = nn.ModuleList(ExactBlock(cast(Block, block), self.places, bits) for block in given.blocks)
        self.norm = ExactNorm(given.norm)
        self.head = ExactLinear(str(given.head), given.head.weight, given.head.bias, bits)

    def caches(self, rows: int) -> list[Tensor]:
        """Room for the keys and values of every block."""
        return [block.cache(rows, self.places) for block in self._blocks]

    def step(self, before: Tensor | None, place: int, caches: list[Tensor], rows: int) -> Tensor:
        """The state of a place [rows, width] from the numbers [rows] of the one before; its keys and values join the caches."""
        first = self.start.expand(rows, -1) if before is None else self.embedding[before]
        state = first + self.position[place]
        for block, cache in zip(self._blocks, caches, strict=True):
            state = block.step(state, cache, place)
        return state

    def logits(self, state: Tensor) -> Tensor:
        """[rows, entries] from a state."""
        logits: Tensor = self.head(self.norm(state))
        return logits

    @property
    def _blocks(self) -> list[ExactBlock]:
        return cast(list[ExactBlock], list(self.blocks))


def reach(bits: int, terms: int, factors: int) -> float:
    """The size to which numbers are cut so that sums of so many products stay exact: a power of two, at most that of layers.

    bits: of a product behind the point; factors: how many of a product's two are of that size, the others being at most 1.
    """
    room = MANTISSA - bits - (terms - 1).bit_length()
    return float(min(LIMIT, 2.0 ** (room // factors)))


def _nearest(x: Tensor) -> Tensor:
    """The nearest multiples of 2^-12; scaling by powers of two and floor are exact, and each step is a call of its own."""
    return (x * UNIT + 0.5).floor() / UNIT
