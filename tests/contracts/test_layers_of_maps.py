"""How the maps of a hierarchy are laid out: by the string of its layers, and by the network's own maps."""

import pytest
import torch

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Grid
from lambent.model.latents.layers import parsed, sizes
from lambent.model.latents.maps import Larger, Pointwise, Smaller
from lambent.model.likelihoods import Bernoulli
from lambent.model.networks import Conv
from lambent.model.trace import mean

EVENT = (1, 8, 8)


@pytest.mark.parametrize(
    ("layers", "image", "maps"),
    [
        ("1x1 4x2 7x4 14x3", (28, 28), [(1, 1), (4, 4), (7, 7), (14, 14)]),
        ("1x1 /8x2 /4x4 /2x3", (28, 28), [(1, 1), (4, 4), (7, 7), (14, 14)]),
        ("/8x1, /2x2", (30, 45), [(4, 6), (15, 23)]),
        ("2x1 4x1", (16, 32), [(2, 4), (4, 8)]),
    ],
)
def test_layers_are_sizes_of_maps(layers: str, image: tuple[int, int], maps: list[tuple[int, int]]) -> None:
    assert sizes(parsed(layers), *image) == maps


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("", "names no groups: write the top first"),
        ("4", "cannot be read at '4'"),
        ("4x5000", "at most 1,000 groups"),
        ("4x0", "cannot be read at '4x0'"),
        ("/3x1", "the factor in '/3x1' must be a power of two"),
        ("4x1 2x1", "puts 4x1 above 2x1: write the top first"),
        ("/2x1 /4x1", "puts /2x1 above /4x1: write the top first"),
    ],
)
def test_layers_that_cannot_be_are_refused(layers: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Grid(layers)


def test_maps_that_the_network_has_not_are_refused() -> None:
    model = LatentModel(Grid("1x1 3x1 /2x1"), Bernoulli(), Conv((4, 5), 8))
    with pytest.raises(UsageError, match=r"maps of 3 × 3 \(3x1\), and the network gives 4 × 4, 2 × 2"):
        model.setup(EVENT)
    with pytest.raises(UsageError, match=r"the map of /8x1 is 1 × 1, smaller than that above it, 2 × 2"):
        LatentModel(Grid("2x1 /8x1"), Bernoulli(), Conv((4, 5), 8)).setup(EVENT)


def test_with_factors_alone_the_same_weights_serve_images_of_any_size(device: torch.device) -> None:
    small, large = (
        LatentModel(Grid("/8x1 /4x1 /2x1", channels=(2,), width=(4,)), Bernoulli(), Conv((4, 5), 8)).setup(
            event, seed=3
        )
        for event in ((1, 16, 16), (1, 96, 128))
    )
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    large.load_state_dict(small.state_dict())
    large.to(device)
    assert large.latent.shapes_of_levels == ((2, 12, 16), (2, 24, 32), (2, 48, 64))
    x = torch.rand(1, 1, 96, 128, device=device).round()
    other = x.clone()
    other[..., :8] = 1 - other[..., :8]  # far from the right edge, and no map is averaged over the whole
    for one, two in zip(large.infer(x, 1, mean), large.infer(other, 1, mean), strict=True):
        edge = one.z.shape[-1] // 8
        torch.testing.assert_close(one.z[..., -edge:], two.z[..., -edge:])
        assert not torch.allclose(one.z, two.z)


def test_maps_are_made_smaller_and_larger_by_equal_squares() -> None:
    x = torch.arange(49.0).reshape(1, 1, 7, 7)
    smaller = Smaller((4, 4))(x)
    assert smaller[0, 0, 0, 0] == (0 + 1 + 7 + 8) / 4
    assert smaller[0, 0, 3, 3] == 48
    assert Smaller((1, 1))(x).item() == 24
    assert Smaller((3, 3))(x).shape == (1, 1, 3, 3)
    larger = Larger((7, 7))(smaller)
    assert torch.equal(larger[0, 0, :2, :2], smaller[0, 0, 0, 0].expand(2, 2))
    assert torch.equal(larger[0, 0, 6, 6], smaller[0, 0, 3, 3])
    assert Larger((5, 5))(torch.ones(1, 1, 4, 4)).shape == (1, 1, 5, 5)


def test_a_pointwise_map_is_a_convolution_of_one_place() -> None:
    layer, x = Pointwise(3, 5), torch.randn(2, 3, 4, 6)
    convolved = torch.nn.functional.conv2d(x, layer.weight[:, :, None, None], layer.bias)
    torch.testing.assert_close(layer(x), convolved)
