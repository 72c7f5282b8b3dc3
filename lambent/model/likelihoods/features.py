"""What a token of a column shows to the other columns: a learned vector, its place among ordered tokens, that it is there."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

Seen = Literal["levels", "values", "bins"]
KINDS: tuple[str, ...] = get_args(Seen)
WAVES = (0.5, 1.0, 2.0, 4.0)
SMOOTH = 2 + 2 * len(WAVES) + 1  # features of a place among ordered tokens


@dataclass(frozen=True)
class Layout:
    """The columns of a row: how many tokens each has, how they are seen, and the column that shows whether this one is there.

    partner: of an indicator, the column that it is of, and of that column the indicator; −1 for none. Neither sees the other.
    """

    tokens: tuple[int, ...]
    seen: tuple[str, ...]
    partner: tuple[int, ...]
    indicators: int

    @property
    def columns(self) -> int:
        return len(self.tokens)

    @property
    def total(self) -> int:
        """Tokens of all columns together."""
        return sum(self.tokens)

    @cached_property
    def offsets(self) -> list[int]:
        """Where the tokens of each column begin among those of all."""
        return list(accumulate(self.tokens[:-1], initial=0))

    @cached_property
    def own(self) -> "Layout":
        """The same without the indicators, which are the last columns."""
        count = self.columns - self.indicators
        return Layout(self.tokens[:count], self.seen[:count], (-1,) * count, 0)

    def places(self, column: int) -> slice:
        """The tokens of a column among those of all."""
        first = self.offsets[column]
        return slice(first, first + self.tokens[column])


class Tokens(nn.Module):
    """Rows [..., columns] of token + u, NaN where missing, as tokens of each column, and of all columns together."""

    most: Tensor
    offsets: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.register_buffer("most", torch.tensor([k - 1 for k in layout.tokens]), persistent=False)
        self.register_buffer("offsets", torch.tensor(layout.offsets), persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        """Of each column: whole numbers, 0 where missing, the nearest token for what lies outside."""
        return torch.minimum(value.nan_to_num(0.0).long().clamp_min(0), self.most)

    def among_all(self, value: Tensor) -> Tensor:
        tokens: Tensor = self(value) + self.offsets
        return tokens


class Features(nn.Module):
    """e(x), [..., features]: the vector V and the features φ of each column's token side by side, nought where it is missing.

    φ of token k of K, u = k / (K − 1): 2 midrank − 1, 2 u − 1, sin and cos of 2π w u, whether it is the last. Levels show V
    alone, bins φ, so that neighbours look alike, and V for those tokens that are single values (spikes).
    """

    phi: Tensor
    single: Tensor
    picked: Tensor
    owner: Tensor
    own: Tensor

    def __init__(self, layout: Layout, rank: int, presence: bool) -> None:
        super().__init__()
        self.layout, self.presence = layout, presence
        self.rank = min(rank, max(layout.tokens))
        self.vectors = nn.Parameter(0.5 * torch.randn(layout.total, self.rank))
        with torch.no_grad():
            for column in range(layout.columns):
                self.vectors[layout.places(column).stop - 1] = (
                    0.0  # what is rare, or unseen, shows nothing until it is learned
                )
        self.register_buffer("phi", phi(layout, torch.ones(layout.total)))
        self.register_buffer("single", alone(layout).float())
        each = [self._shown(k, seen) for k, seen in zip(layout.tokens, layout.seen, strict=True)]
        wide = self.rank + SMOOTH + presence
        self.spans = list(accumulate(map(len, each), initial=0))
        picked = [j * wide + place for j, places in enumerate(each) for place in places]
        owner = [j for j, places in enumerate(each) for _ in places]
        self.register_buffer("picked", torch.tensor(picked), persistent=False)
        self.register_buffer("owner", torch.tensor(owner), persistent=False)
        self.register_buffer("own", torch.tensor([place for places in each for place in places]), persistent=False)
        self.tokens = Tokens(layout)

    def _shown(self, tokens: int, seen: str) -> list[int]:
        """Which entries of (V, φ, there) a column shows."""
        vector = range(min(self.rank, tokens))
        smooth = {"levels": 0, "values": SMOOTH if tokens > self.rank else 0, "bins": SMOOTH}[seen]
        there = [self.rank + SMOOTH] if self.presence else []
        return [*vector, *range(self.rank, self.rank + smooth), *there]

    @torch.no_grad()
    def know(self, counts: Tensor, single: Tensor) -> None:
        """Take the places of ordered tokens from how often each was met, and which are single values, [tokens of all columns]."""
        self.phi.copy_(phi(self.layout, counts))
        self.single.copy_(single)

    def _table(self) -> Tensor:
        phi = self.phi.to(self.vectors.dtype)
        parts = [
            self.vectors * self.single.to(phi.dtype).unsqueeze(1),
            phi,
            *([phi.new_ones(len(phi), 1)] if self.presence else []),
        ]
        return torch.cat(parts, 1)

    def forward(self, value: Tensor) -> Tensor:
        """[rows, columns] → [rows, features]."""
        every = functional.embedding(self.tokens.among_all(value), self._table())
        there = ~torch.isnan(value)
        return (every * there.unsqueeze(-1)).flatten(-2).index_select(-1, self.picked)

    def of(self, column: int, tokens: Tensor) -> Tensor:
        """What one column shows, [rows, its features], by its tokens [rows]."""
        span = slice(self.spans[column], self.spans[column + 1])
        return functional.embedding(tokens, self._table()[self.layout.places(column)][:, self.own[span]])


def alone(layout: Layout) -> Tensor:
    """Which tokens are single values by the kind of their column, bool [tokens of all columns]: all but those of bins."""
    kinds = [seen != "bins" for tokens, seen in zip(layout.tokens, layout.seen, strict=True) for _ in range(tokens)]
    return torch.tensor(kinds)


def phi(layout: Layout, counts: Tensor) -> Tensor:
    """The features of every token by its place, [tokens, SMOOTH]; counts [tokens]: how often each was met."""
    made = []
    for column, tokens in enumerate(layout.tokens):
        own = counts[layout.places(column)].double()
        share = own / own.sum().clamp_min(1e-12)
        midrank = share.cumsum(0) - 0.5 * share
        place = torch.arange(tokens, dtype=torch.float64, device=counts.device) / max(1, tokens - 1)
        waves = [wave(2 * math.pi * w * place) for w in WAVES for wave in (torch.sin, torch.cos)]
        last = torch.zeros_like(place)
        last[-1:] = 1.0
        made.append(torch.stack((2 * midrank - 1, 2 * place - 1, *waves, last), 1))
    return torch.cat(made).float()
