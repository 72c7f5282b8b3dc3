"""The parts of a model that lossy coding needs: the encoder in float32, the latent and the decoder exact, in tiles."""

import copy
from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn

from lambent.codec.exact.compiling import exact_form
from lambent.codec.exact.dyadic import WEIGHT, rounded
from lambent.codec.lossy.reach import reach
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Grid
from lambent.model.likelihoods import Gaussian, Laplace
from lambent.model.networks import Pyramid
from lambent.model.priors import Factorized, Standard
from lambent.model.trace import Draw, Node
from lambent.model.windows import Span, windows

TILE = 512  # pixels of a tile's side, at least
HELD = 4  # sizes whose models are kept
Size = tuple[int, int]


class Halves:
    """Encoder, latent and decoder of one model over pictures of any size that is a multiple of `step`.

    What the latent and the decoder give is a pure function of codes and weights: the same bits on every machine, in tiles of
    any size. The encoder is no part of that, for what it found is written down.
    """

    def __init__(self, model: LatentModel) -> None:
        refuse_unfit(model)
        self.model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
        latent = self.model.latent
        assert isinstance(latent, Grid)
        factors = [layer.factor for layer in latent.plan]
        assert all(factors)
        self.step = max(2 ** (len(_maps(self.model)) - 1), *(factor or 1 for factor in factors), _coarsest(self.model))
        self.cell = factors[-1] or 1  # pixels of a place of what the decoder reads
        self._latent_of = lru_cache(HELD)(self._exact_latent)
        self._decoder_of = lru_cache(HELD)(self._exact_decoder)
        self._sized = lru_cache(HELD)(self._of)
        self.around_maps = reach(lambda size: self._needed(self._sized(size)), self._seen(), 1, self.step)
        width = self.model.read_shape[0]
        self.around_picture = reach(lambda size: self._sized(size).decoder, width, self.cell, self.step)

    def nodes(self, x: Tensor | None, size: Size, draw: Draw) -> tuple[Tensor, list[Node]]:
        """What the decoder reads, [1, width, …], and the levels' nodes: from observed pixels [1, C, *size], or codes alone."""
        latent = self._latent_of(size)
        features = None if x is None else [rounded(each) for each in self._features(x)]
        with torch.no_grad():
            hidden, nodes = latent(features, draw, 1, _no_encoder)
        return hidden, nodes

    def exact(self, size: Size) -> Iterator[nn.Module]:
        """The modules of latent and decoder for pictures of that size, no larger than a tile."""
        yield from self._latent_of(size).modules()
        yield from self._decoder_of(size).modules()

    def location(self, hidden: Tensor, size: Size, tile: int = TILE) -> Tensor:
        """The location of p(x | z), [1, C, *size] in float64, from what the decoder reads."""
        out = torch.empty(1, *self.model.event_shape[:1], *size, dtype=torch.float64)
        for (rows, columns), around in self._windows(size, tile, self.around_picture):
            inner = [span.of_maps(self.cell).slice for span in around]
            with torch.no_grad():
                raw = self._decoder_of((around[0].length, around[1].length))(hidden[..., inner[0], inner[1]])
            raw = raw[:, : out.shape[1], rows.within(around[0]), columns.within(around[1])]
            out[..., rows.slice, columns.slice] = raw
        return out

    # ---- the encoder ---------------------------------------------------------------------------------------------

    def _features(self, x: Tensor) -> list[Tensor]:
        """The maps that the latent reads, of the whole picture; those that it does not, empty."""
        size = (int(x.shape[-2]), int(x.shape[-1]))
        found: list[Tensor] = []
        for (rows, columns), around in self._windows(size, TILE, self.around_maps):
            run = self._needed(self._sized((around[0].length, around[1].length)))
            with torch.no_grad():
                maps = run(self.model.likelihood.seen(x[..., around[0].slice, around[1].slice]))
            found = found or [each.new_empty(1, each.shape[1], 0, 0) for each in maps]
            for i, each in enumerate(maps):
                if each.numel():
                    found[i] = self._laid(found[i], each, (rows, columns), around, size)
        return found

    def _laid(
        self, whole: Tensor, part: Tensor, tile: tuple[Span, Span], around: tuple[Span, Span], size: Size
    ) -> Tensor:
        """The part of a map that belongs to a tile, in its place in that of the whole picture."""
        pixels = around[0].length // part.shape[-2]
        if not whole.numel():
            whole = part.new_empty(1, part.shape[1], size[0] // pixels, size[1] // pixels)
        inner, outer = [s.of_maps(pixels) for s in tile], [s.of_maps(pixels) for s in around]
        whole[..., inner[0].slice, inner[1].slice] = part[..., inner[0].within(outer[0]), inner[1].within(outer[1])]
        return whole

    def _needed(self, model: LatentModel) -> Callable[[Tensor], list[Tensor]]:
        """The encoder's maps, those that no level reads left empty."""
        latent, encoder = model.latent, model.encoder
        assert isinstance(latent, Grid)
        assert isinstance(encoder, Pyramid)
        read = {*latent.sources, len(encoder.shape) - 1}

        def run(x: Tensor) -> list[Tensor]:
            return [each if i in read else each.new_empty(1, each.shape[1], 0, 0) for i, each in enumerate(encoder(x))]

        return run

    def _seen(self) -> int:
        """Channels of what the encoder reads."""
        blank = torch.zeros(1, *self.model.event_shape)
        return int(self.model.likelihood.seen(blank).shape[1])

    # ---- sizes ---------------------------------------------------------------------------------------------------

    def _windows(self, size: Size, tile: int, around: int) -> list[tuple[tuple[Span, Span], tuple[Span, Span]]]:
        side = -(-max(tile, around) // self.step) * self.step
        return [(each.tile, each.around) for each in windows(size, side, around, self.step)]

    def _of(self, size: Size) -> LatentModel:
        return self.model.resized((self.model.event_shape[0], *size)).eval()

    def _exact_latent(self, size: Size) -> Grid:
        latent = copy.deepcopy(self._sized(size).latent).double()
        assert isinstance(latent, Grid)
        prior = Standard()  # of its own the codec has tables
        prior.setup(latent.shapes_of_levels[0], torch.zeros(0))
        latent.prior = prior.double()
        made = exact_form(latent, WEIGHT).requires_grad_(False)
        assert isinstance(made, Grid)
        return made

    def _exact_decoder(self, size: Size) -> nn.Module:
        return exact_form(copy.deepcopy(self._sized(size).decoder).double(), WEIGHT).requires_grad_(False)


def refuse_unfit(model: LatentModel) -> None:
    """Refuse a model whose codes are not made to be rounded, or whose pictures are not exact (`UsageError`)."""
    latent = model.latent
    use = (
        'use Grid(layers="/64x1 /16x1", posterior=Uniform(), prior=Factorized()) with the ResNet network and '
        'Gaussian(scale="fixed")'
    )
    given = type(latent).__name__
    if not isinstance(latent, Grid) or not latent.posterior.boxed or not isinstance(latent.prior, Factorized):
        inside = f" with a {latent.inference} posterior and a {latent.origin} prior" if isinstance(latent, Grid) else ""
        raise UsageError(f"codes of {given}{inside} are not made to be rounded, as lossy coding does: {use}")
    if any(layer.fixed for layer in latent.plan):
        raise UsageError(
            f"maps of one size whatever the picture ({latent.layers!r}) code no pictures of any size: {use}"
        )
    if not isinstance(model.likelihood, (Gaussian, Laplace)):
        raise UsageError(
            f"the middle of a {type(model.likelihood).__name__} likelihood is no plain output of the decoder, as lossy coding "
            f"needs: {use}"
        )
    if model.context or model.members > 1 or model.gaps:
        raise UsageError(f"lossy coding takes a model of whole pictures, without context, members or gaps: {use}")


def _maps(model: LatentModel) -> list[tuple[int, ...]]:
    assert isinstance(model.encoder, Pyramid)
    return list(model.encoder.shape)


def _coarsest(model: LatentModel) -> int:
    """Pixels of a place of the encoder's smallest map."""
    side = model.event_shape[1]
    return 1 << (-(-side // _maps(model)[-1][1]) - 1).bit_length()


def _no_encoder(x: Tensor) -> list[Tensor]:
    raise AssertionError("a prior of tables is no mixture of posteriors")
