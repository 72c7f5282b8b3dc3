"""An autoregressive prior over the entries of a map: a transformer that reads them row by row."""

from typing import Any, cast

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions import Axes, Explicit
from lambent.model.priors.base import Encode, Prior
from lambent.model.recomputing import recomputed
from lambent.part import Shape, elements, option

CACHED = 1 << 26  # numbers of keys and values that sampling keeps at a time: 256 MB in float32


class Transformer(Prior):
    """p(z) = ∏_i p(k_i | k_<i, c): each entry given those before it, row by row; the first given a start token.

    Pre-norm blocks of causal attention with learned positions; a context is embedded and added at every place. It learns with the
    rest by the KL, or is fitted afterwards. Vaswani et al., Attention Is All You Need, 2017; over the codes of images: Esser et
    al., Taming Transformers for High-Resolution Image Synthesis, 2021.
    """

    papers = ("vaswani2017attention", "esser2021taming")

    discrete = True
    reparameterized = False

    width: int = option("units of the state at every place", default=128, minimum=1, maximum=65536)
    depth: int = option("blocks of attention", default=4, minimum=1, maximum=1000)
    heads: int = option(
        "heads of each attention, of width / heads units, rounded up", default=4, minimum=1, maximum=65536
    )

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        self.entries, self.shape = shape[0], shape[1:]
        self.places = elements(self.shape)
        self.embedding = nn.Embedding(self.entries, self.width)
        self.start = nn.Parameter(torch.empty(self.width))
        self.position = nn.Parameter(torch.empty(self.places, self.width))
        for weight in (self.embedding.weight, self.start, self.position):
            nn.init.normal_(weight, std=0.02)
        self.given = nn.Linear(context, self.width, bias=False) if context else None
        self.blocks = nn.ModuleList(Block(self.width, self.heads, self.depth) for _ in range(self.depth))
        self.norm = nn.LayerNorm(self.width)
        self.head = nn.Linear(self.width, self.entries)
        nn.init.zeros_(self.head.weight)  # from the uniform distribution on
        nn.init.zeros_(self.head.bias)

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        given = None if self.given is None or context is None else self.given(context)
        return Raster(self, given)

    @property
    def _blocks(self) -> "list[Block]":
        return cast("list[Block]", list(self.blocks))

    @property
    def held(self) -> int:
        return self.places * max(self.entries, 8 * self.width)

    def logits(self, numbers: Tensor, given: Tensor | None = None) -> Tensor:
        """Of every place given those before it, [rows, places, entries], for numbers [rows, places] and given [rows, width]."""
        before = self.embedding(numbers[:, :-1])
        state = torch.cat((self.start.expand(len(numbers), 1, -1), before), 1) + self.position
        if given is not None:
            state = state + given.unsqueeze(1)
        for block in self.blocks:
            state = recomputed(block, state)
        logits: Tensor = self.head(self.norm(state))
        return logits

    @torch.no_grad()
    def drawn(self, points: Tensor, given: Tensor | None, temperature: float, cached: bool = True) -> Tensor:
        """Numbers [rows, places] from points in [0, 1) of the same shape, by the inverse of p's distribution function.

        cached: keys and values of the places before are kept, not computed anew for every place.
        """
        rows = len(points)
        numbers = torch.zeros(rows, self.places, dtype=torch.int64, device=points.device)
        caches = [block.cache(rows, self.places) for block in self._blocks]
        for place in range(self.places):
            if cached:
                logits = self._next(numbers, place, caches, given)
            else:
                logits = self.logits(numbers, given)[:, place]
            numbers[:, place] = _chosen(logits, points[:, place], temperature)
        return numbers

    def _next(self, numbers: Tensor, place: int, caches: list[Tensor], given: Tensor | None) -> Tensor:
        """The logits of one place, [rows, entries]; its keys and values join the caches."""
        before = self.embedding(numbers[:, place - 1]) if place else self.start.expand(len(numbers), -1)
        state = before + self.position[place]
        state = (state if given is None else state + given).unsqueeze(1)
        for block, cache in zip(self._blocks, caches, strict=True):
            state = block.step(state, cache, place)
        logits: Tensor = self.head(self.norm(state)).squeeze(1)
        return logits


class Raster(Explicit):
    """Numbers [height, width] as a transformer gives them one after another; batch shape () or that of what is `given`."""

    def __init__(self, prior: Transformer, given: Tensor | None) -> None:
        super().__init__(Size() if given is None else given.shape[:-1], Size(prior.shape))
        self.prior = prior
        self.given = given

    def log_prob(self, value: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(value.shape[:-2], self.batch_shape)
        numbers = value.expand(*batch, *self.event_shape).reshape(-1, self.prior.places)
        logits = self.prior.logits(numbers, self._given(batch))
        nats = functional.cross_entropy(logits.flatten(0, 1), numbers.flatten(), reduction="none")
        return -nats.reshape(*batch, self.prior.places).sum(-1)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Numbers from p^(1/temperature) at each place, normalized; the likeliest of each place at temperature 0."""
        batch = Size((*sample_shape, *self.batch_shape))
        points = torch.rand(batch.numel(), self.prior.places, generator=generator, **self._wide)
        return self._made(points, batch, temperature)

    @property
    def centre(self) -> Tensor:
        """The likeliest number at each place, given those before it."""
        points = torch.zeros(self.batch_shape.numel(), self.prior.places, **self._wide)
        return self._made(points, self.batch_shape, 0.0)

    @property
    def _wide(self) -> dict[str, Any]:
        """Device and type of points in [0, 1), which are compared with sums of many shares."""
        device = self.prior.head.weight.device
        return {"device": device, "dtype": torch.float32 if device.type == "mps" else torch.float64}

    def _made(self, points: Tensor, batch: Size, temperature: float) -> Tensor:
        prior, given = self.prior, self._given(batch)
        rows = max(1, CACHED // (2 * prior.depth * prior.places * prior.width))
        parts = [
            prior.drawn(
                points[first : first + rows], None if given is None else given[first : first + rows], temperature
            )
            for first in range(0, len(points), rows)
        ]
        return torch.cat(parts).reshape(*batch, *self.event_shape)

    def _given(self, batch: Size) -> Tensor | None:
        return None if self.given is None else self.given.expand(*batch, -1).reshape(-1, self.given.shape[-1])


class Block(nn.Module):
    """x + attention(norm x), then + mlp(norm x)."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        inner = heads * -(-width // heads)
        self.project = nn.Linear(width, 3 * inner)
        self.join = nn.Linear(inner, width)
        self.between = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        for layer in (self.project, self.wide):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        for layer in (self.join, self.narrow):  # so that the state keeps its size however many blocks add to it
            nn.init.normal_(layer.weight, std=0.02 / (2 * depth) ** 0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, state: Tensor) -> Tensor:
        """[rows, places, width] of all places, each of which sees those up to itself."""
        query, key, value = self._projected(state)
        return self._added(state, functional.scaled_dot_product_attention(query, key, value, is_causal=True))

    def cache(self, rows: int, places: int) -> Tensor:
        """Room for keys and values, [2, rows, heads, places, units]."""
        units = self.join.in_features // self.heads
        return self.join.weight.new_empty(2, rows, self.heads, places, units)

    def step(self, state: Tensor, cache: Tensor, place: int) -> Tensor:
        """[rows, 1, width] of one place, which sees the kept ones before it."""
        query, cache[0, :, :, place : place + 1], cache[1, :, :, place : place + 1] = self._projected(state)
        key, value = cache[:, :, :, : place + 1]
        return self._added(state, functional.scaled_dot_product_attention(query, key, value))

    def _projected(self, state: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, each [rows, heads, places, units]."""
        made = self.project(self.before(state)).unflatten(-1, (3, self.heads, -1))
        return tuple(made.permute(2, 0, 3, 1, 4))

    def _added(self, state: Tensor, attended: Tensor) -> Tensor:
        state = state + self.join(attended.transpose(1, 2).flatten(2))
        added: Tensor = state + self.narrow(functional.gelu(self.wide(self.between(state))))
        return added


def _chosen(logits: Tensor, points: Tensor, temperature: float) -> Tensor:
    """The entry of each row whose share of the distribution function holds the point; the likeliest at temperature 0."""
    if temperature == 0.0:
        return logits.argmax(-1)
    shares = torch.softmax(logits.to(points.dtype) / temperature, -1).cumsum(-1)
    # By the last of the sums, which rounding may leave a little beside 1.
    return (shares <= (points * shares[:, -1]).unsqueeze(-1)).sum(-1).clamp_max(logits.shape[-1] - 1)
