"""Halves of attention over the patches of an image, as in vision transformers."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.errors import UsageError
from lambent.model.networks.base import Crop, Half, Pyramid, Spatial, image_shape
from lambent.model.recomputing import recomputed
from lambent.part import Shape, elements, option


class Transformer(Spatial):
    """Attention among the patches of an image, with learned places; layers of normal activations before each branch.

    It has no exact integer form, for it normalizes and attends by what it sees: a codec needs another network.
    Dosovitskiy et al., An Image is Worth 16×16 Words, 2021; Vaswani et al., Attention Is All You Need, 2017.
    """

    papers = ("dosovitskiy2021image", "vaswani2017attention")

    exact = False

    patch: int = option("height and width of a patch", default=4, minimum=1, maximum=1024)
    width: int = option("units of each patch", default=128, minimum=1, maximum=65536)
    depth: int = option("blocks in each half", default=4, minimum=1, maximum=1000)
    heads: int = option("heads of attention, which share the units, rounded up", default=4, minimum=1, maximum=1024)
    features: int = option("units that the encoder gives", default=256, minimum=1, maximum=65536)

    def encoder(self, event: Shape) -> Half:
        grid = self._grid(event)
        last = nn.Linear(self.width * elements(grid), self.features)
        return Half(*self._read(event, grid), nn.Flatten(), last, nn.GELU(), shape=(self.features,))

    def pyramid(self, event: Shape) -> Pyramid:
        """One map, that of the patches."""
        grid = self._grid(event)
        return Pyramid([nn.Sequential(*self._read(event, grid), Unrolled(grid))], [(self.width, *grid)])

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        outputs, height, width = image_shape("Transformer", raw)
        grid = self._grid(raw)
        if len(hidden) == 3:
            if hidden[1:] != grid:
                shown = " × ".join(map(str, hidden[1:]))
                raise UsageError(
                    f"Transformer decodes maps of {grid[0]} × {grid[1]}, one place a patch, not of {shown}"
                )
            layers: list[nn.Module] = [nn.Conv2d(hidden[0], self.width, 1)]
        else:
            start = (self.width, *grid)
            layers = [nn.Flatten(), nn.Linear(elements(hidden), elements(start)), nn.Unflatten(1, start)]
        last = nn.Conv2d(self.width, outputs * self.patch**2, 1)
        nn.init.normal_(last.weight, std=0.5 / math.sqrt(self.width))
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        layers += [*self._attend(grid), Unrolled(grid), last, nn.PixelShuffle(self.patch), Crop(height, width)]
        return Half(*layers, shape=raw)

    def _read(self, event: Shape, grid: tuple[int, int]) -> list[nn.Module]:
        """From an image to its patches, [rows, patches, width]."""
        inputs, height, width = image_shape("Transformer", event)
        over = (0, grid[1] * self.patch - width, 0, grid[0] * self.patch - height)
        first = nn.Conv2d(inputs, self.width, self.patch, stride=self.patch)
        nn.init.normal_(first.weight, std=1 / math.sqrt(inputs * self.patch**2))
        return [nn.ZeroPad2d(over), first, *self._attend(grid)]

    def _attend(self, grid: tuple[int, int]) -> list[nn.Module]:
        blocks = [Block(self.width, self.heads, self.depth) for _ in range(self.depth)]
        return [Places(self.width, grid), *blocks, nn.LayerNorm(self.width)]

    def _grid(self, event: Shape) -> tuple[int, int]:
        _, height, width = image_shape("Transformer", event)
        return -(-height // self.patch), -(-width // self.patch)


class Places(nn.Module):
    """A map [rows, width, height, width] as one row of units, each with what was learned of its line and its column."""

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.lines = nn.Parameter(0.1 * torch.randn(width, grid[0], 1))
        self.columns = nn.Parameter(0.1 * torch.randn(width, 1, grid[1]))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.lines + self.columns).flatten(2).transpose(1, 2)


class Unrolled(nn.Module):
    """Back from a row of units to a map."""

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        back: Tensor = x.transpose(1, 2).unflatten(2, self.grid)
        return back


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); [rows, patches, width].

    The last maps of both branches start small by the number of branches, so that the sum of all keeps its size.
    """

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads, inner = heads, heads * -(-width // heads)
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries = nn.Linear(width, 3 * inner)
        self.gathered = nn.Linear(inner, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer, gain in ((self.queries, 1.0), (self.wide, 1.0), (self.gathered, 0.0), (self.narrow, 0.0)):
            gain = gain or 1 / math.sqrt(2 * depth)
            nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_features))
            nn.init.zeros_(layer.bias)

    @property
    def of_a_head(self) -> int:
        """Units of each head."""
        return self.gathered.in_features // self.heads

    def forward(self, x: Tensor, there: Tensor | None = None, causal: bool = False) -> Tensor:
        """there: [rows, 1, 1, places], which are looked at; none: all. causal: by each, itself and those before."""
        if causal:
            return recomputed(self._causally, x)
        return recomputed(self._through, x) if there is None else recomputed(self._through, x, there)

    def after(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One more place, [rows, 1, width], after those of which the keys and values are kept, [rows, heads, places, units]."""
        queries, own_keys, own_values = self._split(x)
        keys, values = torch.cat((keys, own_keys), 2), torch.cat((values, own_values), 2)
        return self._made(x, functional.scaled_dot_product_attention(queries, keys, values)), keys, values

    def _through(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        queries, keys, values = self._split(x)
        return self._made(x, functional.scaled_dot_product_attention(queries, keys, values, there))

    def _causally(self, x: Tensor) -> Tensor:
        queries, keys, values = self._split(x)
        return self._made(x, functional.scaled_dot_product_attention(queries, keys, values, is_causal=True))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [rows, heads, places, units]."""
        split = self.queries(self.before_attention(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return split[0], split[1], split[2]

    def _made(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.gathered(attended.transpose(1, 2).flatten(2))
        whole: Tensor = x + self.narrow(functional.gelu(self.wide(self.before_mlp(x))))
        return whole
