"""Tiles: whole photographs through a model that was trained on crops, a piece at a time, to the bits of the whole at once."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.data.photographs import photographs, picture
from lambent.distributions.divergences import unit_kl, unit_log_ratio
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.metrics.bound import Bounds
from lambent.model import LatentModel, ask_encoder
from lambent.model.bounded import want_bound
from lambent.model.fields import Field, field_of, steps_of_levels
from lambent.model.likelihoods import Likelihood
from lambent.model.noise import RowNoise, row_keys
from lambent.model.steady import steady_maps
from lambent.model.trace import Draw, Node, mean
from lambent.model.windows import Span, Window, windows
from lambent.part import Shape, elements
from lambent.progress import counting
from lambent.tasks.pooling import pooled_mean
from lambent.training import heap

CELL = 64  # pixels of a square whose log-probabilities are summed together, wherever tiles begin
USUAL = 512  # pixels of a tile's side
DRAWN = 2**20  # numbers of noise that are made at a time


@dataclass
class Tiles:
    """A model of maps over pictures of any size, in tiles of `tile` pixels that overlap by its receptive field.

    Each number is the same, to the bit, as with one tile that holds the whole picture: convolutions are computed so that no
    sum's order hangs on a size (`SteadyMaps`), codes are drawn from noise of the whole picture, log-probabilities are summed by
    squares of a grid that lies fixed on it. Pictures are stored rows [1, channels, height, width]. Use `Tiles.of`.
    """

    fitted: Fitted
    field: Field
    tile: int
    _sized: dict[tuple[int, int], LatentModel] = dataclasses.field(default_factory=dict)
    _lock: Lock = dataclasses.field(default_factory=Lock)

    @classmethod
    def of(cls, fitted: Any, tile: int | str = "auto") -> "Tiles":
        """tile: pixels of a tile's side, brought up to what the model's maps allow; auto: 512, or twice what tiles overlap by.

        Raises `UsageError` for a model whose field has no bound, or whose weights know the size of a picture.
        """
        fitted = Fitted.of(fitted)
        if len(fitted.model.event_shape) != 3:
            raise UsageError("tiles are for pictures, and this model's rows are none")
        ask_encoder(fitted.model)
        found = field_of(fitted.model)
        wanted = max(USUAL, 2 * found.reach) if tile == "auto" else tile
        if not isinstance(wanted, int) or wanted < 1:
            raise UsageError(f"tile takes a number of pixels or auto, not {tile!r}")
        unit = max(CELL, found.step)
        return cls(fitted, found, -(-wanted // unit) * unit)

    def photographs(self, source: Any) -> Iterator[tuple[str | None, Tensor]]:
        """Each picture of a file, a folder or an array, whole: its path, and its row [1, channels, height, width]."""
        return photographs(self.fitted.modality, source)

    def picture(self, x: Tensor) -> np.ndarray:
        """A picture in stored units as levels, [height, width] or [height, width, 3], in 8 or 16 bits."""
        return picture(self.fitted.modality, x)

    # ---- what is asked ------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, context: Tensor | None = None, draw: Draw = mean) -> list[Tensor]:
        """Posterior means of every level, the top first, maps [1, channels, …] of the whole picture.

        A style, which is no map, is the mean of the product of the tiles' own posteriors, as that of a group of rows: it hangs
        on how the picture is cut.
        """
        codes = [torch.empty(1, *shape) for shape in self._levels(self._size(x))]
        styles: dict[Window, Distribution] = {}

        def take(window: Window) -> None:
            rows, columns = window.around
            model = self._of(window.size)
            nodes = model.infer(x[..., rows.slice, columns.slice].to(model.device), 1, draw, context)
            for code, node, step in zip(codes, nodes, self._steps, strict=True):
                if not step:
                    assert node.q is not None
                    styles[window] = node.q
                    continue
                rows, columns = (span.of_maps(step) for span in window.tile)
                code[..., rows.slice, columns.slice] = _part(node.z[0], window, step)

        self._each("encoding", self._size(x), take)
        if styles:
            codes[0] = pooled_mean(styles[window] for window in self._windows(self._size(x))).float()
        return codes

    def decode(self, codes: list[Tensor], size: tuple[int, int], context: Tensor | None = None) -> Tensor:
        """The most likely picture [1, channels, height, width] of that size for codes, as `encode` gives them."""
        for code, shape in zip(codes, self._levels(size), strict=True):
            if tuple(code.shape[1:]) != shape:
                raise UsageError(
                    f"a picture of {size[0]}×{size[1]} has codes {list(shape)}, not {list(code.shape[1:])}"
                )
        out = torch.empty(1, self._model.event_shape[0], *size)

        def take(window: Window) -> None:
            parts = [
                _around(code, window, step) if step else code for code, step in zip(codes, self._steps, strict=True)
            ]
            model = self._of(window.size)
            self._show(model.unfolded([part.to(model.device) for part in parts], context), window, out)

        self._each("decoding", size, take)
        return out

    def reconstruct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The picture through its code's mean and back, in stored units [1, channels, height, width]."""
        if self._model.latent.grouped:  # its style is that of all tiles
            return self.decode(self.encode(x), self._size(x))
        out = torch.empty(1, self._model.event_shape[0], *self._size(x))
        self._each("reconstructing", self._size(x), lambda w: self._show(self._passed(x, w, mean, context)[0], w, out))
        return out

    def score(self, x: Tensor, samples: int = 1, seed: int = 0, context: Tensor | None = None) -> Bounds:
        """`bounds` of the picture, each [1] in nats: the ELBO, the K-sample bound, and the ELBO's two parts.

        Raises `UsageError` where the KL is no sum over places, as with a prior over the whole map.
        """
        size, model = self._size(x), self._model
        want_bound(model, "pictures have no score")
        if model.latent.grouped:
            raise UsageError(
                "the tiles of a picture share its style, so no score adds up from them: use codes without one"
            )
        noise = RowNoise(samples, sum(map(elements, self._levels(size))), model.device)
        keys = row_keys(x, seed).to(model.device)
        totals = torch.stack([self._terms(x, self._noise(noise, keys, k, size), context) for k in range(samples)])
        log_px, kl, ratio = totals.unbind(1)
        bound = torch.logsumexp(log_px + ratio, 0) - math.log(samples)
        return Bounds(*(v.reshape(1) for v in ((log_px - kl).mean(), bound, log_px.mean(), kl.mean())))

    # ---- one window ---------------------------------------------------------------------------------------------

    def _passed(self, x: Tensor, window: Window, draw: Draw, context: Tensor | None) -> tuple[Tensor, list[Node]]:
        rows, columns = window.around
        model = self._of(window.size)
        return model.passed(x[..., rows.slice, columns.slice].to(model.device), draw, context)

    def _show(self, raw: Tensor, window: Window, out: Tensor) -> None:
        """Write what the raw output is looked at as, cell by cell, where the tile lies."""
        for rows, columns in window.cells(self._cell):
            likelihood = self._likelihood((rows.length, columns.length))
            px = likelihood(_cell(raw, window, rows, columns))
            stored = likelihood.stored(likelihood.shown(px), self.fitted.of_bytes)
            out[..., rows.slice, columns.slice] = stored.cpu()

    def _terms(self, x: Tensor, noise: list[Tensor], context: Tensor | None) -> Tensor:
        """log p(x | z), KL and log p(z)/q(z) of one sample, [3] in float64."""
        height, width = self._size(x)
        across = -(-width // self._cell)
        cells = torch.zeros(3, -(-height // self._cell) * across, dtype=torch.float64)

        def take(window: Window) -> None:
            def draw(node: Node, level: int) -> Tensor:
                part = _around(noise[level], window, self._steps[level]).to(node.q.dtype)  # type: ignore[union-attr]
                drawn: Tensor = node.q.from_noise(part[None])  # type: ignore[union-attr]
                return drawn

            raw, nodes = self._passed(x, window, draw, context)
            units = [self._units(node) for node in nodes]
            for rows, columns in window.cells(self._cell):
                place = rows.start // self._cell * across + columns.start // self._cell
                likelihood = self._likelihood((rows.length, columns.length))
                seen = likelihood.observe(x[..., rows.slice, columns.slice].to(raw.device))
                log_px = likelihood(_cell(raw, window, rows, columns)).log_prob(seen).double()
                sums = [self._sum(pair, window, rows, columns) for pair in zip(*units, strict=True)]
                cells[:, place] = torch.stack([log_px.sum(), *sums]).cpu()

        self._each("scoring", (height, width), take)
        return cells.sum(1)

    def _units(self, node: Node) -> tuple[Tensor, Tensor]:
        """KL and log-ratio of each unit, as maps [1, channels, height, width]."""
        assert node.q is not None
        found = unit_kl(node.q, node.p), unit_log_ratio(node.q, node.p, node.z)
        if found[0] is None or found[1] is None:
            raise UsageError(
                f"the KL of this model ({self._model.latent.origin} prior) is no sum over places, so no score adds up from "
                "tiles: use the Standard prior"
            )
        return tuple(each.reshape(1, *node.z.shape[2:]) for each in found)  # type: ignore[return-value, union-attr]

    def _sum(self, maps: Sequence[Tensor], window: Window, rows: Span, columns: Span) -> Tensor:
        """The sum over all levels of what lies in a cell."""
        total = torch.zeros((), dtype=torch.float64, device=maps[0].device)
        for each, step in zip(maps, self._steps, strict=True):
            inner = [span.of_maps(step) for span in (rows, columns)]
            outer = [span.of_maps(step) for span in window.around]
            total += each[..., inner[0].within(outer[0]), inner[1].within(outer[1])].contiguous().double().sum()
        return total

    # ---- all windows --------------------------------------------------------------------------------------------

    def _each(self, what: str, size: tuple[int, int], take: Callable[[Window], None]) -> None:
        """Every window, as many at a time as there are threads, each in one."""
        heap.settle()
        every = self._windows(size)
        workers = 1 if self._model.device.type == "cuda" else torch.get_num_threads()

        def work(window: Window) -> None:
            with torch.no_grad(), steady_maps():
                take(window)

        with steady_maps(), counting(what, len(every)) as add, ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(work, every):
                add(1)

    def _windows(self, size: tuple[int, int]) -> list[Window]:
        return windows(size, self.tile, self.field.reach, self.field.step)

    def _noise(self, noise: RowNoise, keys: Tensor, sample: int, size: tuple[int, int]) -> list[Tensor]:
        """Standard-normal noise of the whole picture for one sample, a map for each level, as `bounds` draws it."""
        start, maps = 0, []
        for shape in self._levels(size):
            count = elements(shape)
            flat = torch.empty(count)
            for first in range(0, count, DRAWN):
                some = min(DRAWN, count - first)
                flat[first : first + some] = noise(keys, sample, 1, start + first, some, torch.float32)[0, 0].cpu()
            maps.append(flat.reshape(1, *shape))
            start += count
        return maps

    # ---- sizes --------------------------------------------------------------------------------------------------

    @property
    def _model(self) -> LatentModel:
        return self.fitted.model

    @property
    def _cell(self) -> int:
        return max(CELL, self.field.step)

    @property
    def _steps(self) -> list[int]:
        """How many pixels a place of each level's map stands for."""
        side = 2 * self.field.step
        return steps_of_levels(self._of((side, side)), side)

    def _levels(self, size: tuple[int, int]) -> list[Shape]:
        shapes = self._model.latent.shapes_of_levels
        return [
            (shape[0], *(-(-n // step) for n in size)) if step else shape
            for shape, step in zip(shapes, self._steps, strict=True)
        ]

    def _size(self, x: Tensor) -> tuple[int, int]:
        if x.dim() != 4 or len(x) != 1 or x.shape[1] != self._model.event_shape[0]:
            raise UsageError(
                f"a picture is one row [1, {self._model.event_shape[0]}, height, width], and this has shape {list(x.shape)}"
            )
        return int(x.shape[2]), int(x.shape[3])

    def _of(self, size: tuple[int, int]) -> LatentModel:
        with self._lock:
            if size not in self._sized:
                self._sized[size] = self._model.resized((self._model.event_shape[0], *size)).eval()
            return self._sized[size]

    def _likelihood(self, size: tuple[int, int]) -> Likelihood:
        """p(x | z) of a cell alone."""
        own = self._model.likelihood
        cell: Likelihood = Likelihood.from_spec(own.spec())
        cell.gaps, cell.white = own.gaps, own.white
        cell.setup((self._model.event_shape[0], *size))
        cell.adopt(own)
        cell.load_state_dict(own.state_dict(), assign=True)
        return cell


def _around(maps: Tensor, window: Window, step: int) -> Tensor:
    """What a window sees of a map of the whole picture."""
    rows, columns = (span.of_maps(step) for span in window.around)
    return maps[..., rows.slice, columns.slice]


def _part(maps: Tensor, window: Window, step: int) -> Tensor:
    """What of a window's map belongs to its tile."""
    inner = [span.of_maps(step) for span in window.tile]
    outer = [span.of_maps(step) for span in window.around]
    return maps[..., inner[0].within(outer[0]), inner[1].within(outer[1])].cpu()


def _cell(raw: Tensor, window: Window, rows: Span, columns: Span) -> Tensor:
    """The raw output at a cell, in a memory of its own, so that it is computed on alike wherever it comes from."""
    return raw[..., rows.within(window.around[0]), columns.within(window.around[1])].contiguous()
