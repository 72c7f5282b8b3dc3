"""Tiles equal the whole to the bit; receptive fields are those of the arithmetic; a resized model is the same function."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lambent
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.metrics.bound import bounds
from lambent.model import LatentModel
from lambent.model.fields import Field, field_of
from lambent.model.latents.grid import Grid
from lambent.model.networks import Conv, ResNet
from lambent.model.posteriors import Point
from lambent.model.priors import Mixture
from lambent.model.steady import steady_maps
from lambent.model.trace import mean
from lambent.model.windows import windows
from lambent.tasks import explore
from lambent.tasks.tiles import Tiles

MODELS: dict[str, Any] = {
    "one map": lambda: LatentModel(
        Grid("/4x1", channels=(3,), width=(5,), blocks=0), lambent.DiscretizedLogistics(2), Conv((5, 7), 8)
    ),
    "two levels": lambda: LatentModel(
        Grid("/4x1 /2x2", channels=(3,), width=(6,)), lambent.DiscretizedLogistics(), ResNet((6, 9, 10), 1, 8)
    ),
    "grey and conditioned": lambda: LatentModel(
        Grid("/4x1", channels=(2,), width=(5,)), lambent.Bernoulli(), Conv((4, 6), 8), context=2
    ),
}


def built(name: str, device: torch.device) -> LatentModel:
    """A model away from its start, so that all of its layers matter."""
    model: LatentModel = MODELS[name]()
    model.setup((1 if model.context else 3, 16, 16))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.to(device).eval()


def photograph(model: LatentModel, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(2)
    shape = (1, model.event_shape[0], *size)
    x = torch.randint(0, 2 if model.context else 256, shape, generator=generator, dtype=torch.uint8)
    x = x.float() if model.context else x
    return x, torch.tensor([[0.3, -1.0]], device=model.device) if model.context else None


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(130, 193), (64, 201)])
def test_tiles_equal_the_whole_to_the_bit(name: str, size: tuple[int, int], device: torch.device) -> None:
    model = built(name, device)
    x, context = photograph(model, size)
    tiles = Tiles.of(model, 64)
    whole = Tiles(tiles.fitted, tiles.field, 4096)
    made = tiles.reconstruct(x, context)
    assert float(made.std()) > 0.01
    assert torch.equal(made, whole.reconstruct(x, context))
    codes, at_once = tiles.encode(x, context), whole.encode(x, context)
    assert all(torch.equal(a, b) for a, b in zip(codes, at_once, strict=True))
    assert torch.equal(tiles.decode(codes, size, context), made)
    assert torch.equal(whole.decode(codes, size, context), made)
    found = tiles.score(x, 2, 5, context)
    for ours, theirs in zip(found, whole.score(x, 2, 5, context), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", MODELS)
def test_they_give_what_the_model_of_that_size_gives(name: str, device: torch.device) -> None:
    model = built(name, device)
    size = (77, 101)
    x, context = photograph(model, size)
    tiles, large = Tiles.of(model, 64), model.resized((model.event_shape[0], *size))
    torch.testing.assert_close(
        tiles.reconstruct(x, context), explore.reconstruct(Fitted(large), x, context), rtol=1e-4, atol=1e-3
    )
    for ours, theirs in zip(tiles.encode(x, context), explore.encode(large, x, context), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    expected = bounds(large, x, 3, 5, context)
    for ours, theirs in zip(tiles.score(x, 3, 5, context), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-2)


def test_the_field_is_that_of_the_arithmetic() -> None:
    """One halving: a place m of the map sees pixels 2m − 1 … 2m + 1; a pixel p is made of the map's places from
    ⌈(p − 3) / 2⌉ − 1 to ⌊(p + 2) / 2⌋ + 1. So p ≤ c + 5 hangs on what lies before an even edge c, p ≥ c − 4 on what lies behind.
    """
    grid = Grid("/2x1", channels=(2,), width=(4,), blocks=0)
    model = LatentModel(grid, lambent.Bernoulli(), Conv((3,), 8)).setup((1, 8, 8))
    crown = 2  # the latent's own residual block on the way to q sees one place more to either side
    assert field_of(model) == Field(2, 6 + crown)


def test_what_lies_beyond_the_field_changes_nothing(device: torch.device) -> None:
    model = built("one map", device)
    field = field_of(model)
    large = model.resized((3, 2 * 4, 256)).eval()
    x = torch.zeros(1, 3, 8, 256, dtype=torch.uint8, device=device)
    other = x.clone()
    other[..., 128:] = 200
    with torch.no_grad(), steady_maps():
        first, second = (large.passed(each, mean)[0] for each in (x, other))
    changed = (first != second).flatten(0, 2).any(0).nonzero()
    assert 0 < 128 - int(changed[0]) <= field.reach
    assert 128 - int(changed[0]) > field.reach - 2 * field.step  # and the field is no larger than it must be


def test_windows_cover_all_and_overlap_by_the_field() -> None:
    for size in ((100, 37), (64, 64), (129, 300), (5, 1000)):
        seen = torch.zeros(size, dtype=torch.int64)
        for window in windows(size, 64, 24, 8):
            rows, columns = window.tile
            seen[rows.slice, columns.slice] += 1
            for tile, around, length in zip(window.tile, window.around, size, strict=True):
                assert around.start % 8 == 0
                assert around.start <= max(0, tile.start - 24)
                assert around.stop == length or around.stop >= tile.stop + 24
                assert around.stop <= length
        assert torch.equal(seen, torch.ones_like(seen))


LAYERS: dict[str, tuple[nn.Module, int, int]] = {
    "plain": (nn.Conv2d(3, 5, 3, padding=1), 1, 1),
    "one channel": (nn.Conv2d(1, 8, 3, padding=1), 1, 1),
    "strided": (nn.Conv2d(3, 8, 3, 2, 1), 1, 2),
    "transposed": (nn.ConvTranspose2d(6, 5, 4, 2, 1), 2, 1),
    "grouped": (nn.Conv2d(4, 6, 3, padding=1, groups=2), 1, 1),
    "dilated": (nn.Conv2d(4, 6, 3, padding=2, dilation=2), 1, 1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_steady_convolutions(name: str, device: torch.device) -> None:
    layer, up, down = LAYERS[name]
    layer = layer.to(device)
    x = torch.randn(2, int(layer.in_channels), 72, 90, generator=torch.Generator().manual_seed(3)).to(device)  # type: ignore[arg-type]
    with torch.no_grad():
        plain = layer(x)
        with steady_maps():
            steady = functional.silu(layer(x))
            piece = functional.silu(layer(x[1:, :, 16:56, 8:64]))
    torch.testing.assert_close(steady, functional.silu(plain), rtol=1e-4, atol=1e-5)
    inside = piece[..., 4:-4, 4:-4]
    top, left = 16 * up // down + 4, 8 * up // down + 4
    expected = steady[1:, :, top : top + inside.shape[2], left : left + inside.shape[3]]
    assert torch.equal(inside, expected)


def test_pointwise_functions_do_not_hang_on_the_place() -> None:
    x = torch.randn(301, generator=torch.Generator().manual_seed(0)) * 3
    with steady_maps():
        for function in (functional.silu, functional.gelu, torch.exp, torch.tanh, functional.softplus):
            whole = function(x)
            for start, stop in ((0, 7), (3, 300), (290, 301), (17, 18)):
                assert torch.equal(function(x[start:stop]), whole[start:stop])
        assert torch.equal(torch.addcmul(x[:5], x[5:10], x[10:15]), torch.addcmul(x[:99], x[5:104], x[10:109])[:5])


def test_a_resized_model_shares_its_weights() -> None:
    model = built("one map", torch.device("cpu"))
    large = model.resized((3, 40, 24))
    assert large.event_shape == (3, 40, 24)
    assert model.resized((3, 16, 16)) is model
    for name, value in model.state_dict().items():
        assert large.state_dict()[name].data_ptr() == value.data_ptr(), name


def test_what_knows_the_size_is_named() -> None:
    flat = LatentModel(lambent.Flat(4), lambent.Bernoulli(), Conv((4,), 8)).setup((1, 8, 8))
    with pytest.raises(UsageError, match=r"pictures of 1×8×8 alone, for weights of Flat, the latent, know that size"):
        flat.resized((1, 16, 16))
    with pytest.raises(UsageError, match=r"serves none of \[3, 16, 16\]"):
        flat.resized((3, 16, 16))
    mixture = LatentModel(Grid("/4x1", prior=Mixture(2)), lambent.Bernoulli(), Conv((4, 4), 8)).setup((1, 8, 8))
    with pytest.raises(UsageError, match="Grid, the latent"):
        Tiles.of(mixture)
    sized = LatentModel(Grid("1x1 7x1 14x1", width=(4,)), lambent.Bernoulli(), Conv((4, 4), 8)).setup((1, 28, 28))
    with pytest.raises(UsageError, match="pictures of 1×28×28 alone, for weights of Grid, the latent"):
        Tiles.of(sized)  # at another size there is another number of steps between its maps
    whole = LatentModel(Grid("1x1 /4x1", width=(4,)), lambent.Bernoulli(), Conv((4, 4), 8)).setup((1, 16, 16))
    with pytest.raises(UsageError, match="some of its maps are of one size"):
        Tiles.of(whole)
    point = LatentModel(Grid("/4x1", posterior=Point()), lambent.Bernoulli(), Conv((4, 4), 8)).setup((1, 16, 16))
    with pytest.raises(UsageError, match="no density"):
        Tiles.of(point).score(torch.zeros(1, 1, 32, 32))
    with pytest.raises(UsageError, match="not 'many'"):
        Tiles.of(point, "many")


def test_bits_of_a_score_are_nats_of_all_numbers(device: torch.device) -> None:
    """Of a decoder without weights but a bias of nought, every bit has probability ½, and q = p: nothing but H · W · log 2."""
    model = LatentModel(Grid("/4x1", width=(4,)), lambent.Bernoulli(), Conv((4, 4), 8)).setup((1, 16, 16))
    with torch.no_grad():
        for parameter in (*model.decoder.parameters(), *model.latent.posterior.parameters()):
            parameter.zero_()
    found = Tiles.of(model.to(device), 64).score(torch.ones(1, 1, 130, 70), 2)
    expected = -130 * 70 * math.log(2)
    assert abs(float(found.elbo) - expected) < 1e-2
    assert abs(float(found.bound) - expected) < 1e-2
    assert abs(float(found.kl)) < 1e-6
