"""Exact layers: the very numbers of whole-number arithmetic, and their float modules' to within what is rounded."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.codec.exact import layers
from lambent.codec.exact.compiling import exact_form
from lambent.codec.exact.dyadic import FRACTION, LIMIT, UNIT, WEIGHT, rounded, whole
from lambent.errors import UsageError
from lambent.model.latents.maps import Larger, Pointwise, Smaller
from lambent.model.networks.resnet import Residual

HALF = 0.5 / UNIT


def dyadics(*shape: int, size: float = 2.0, seed: int = 0) -> Tensor:
    return rounded(size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def weighted(layer: nn.Module, seed: int = 1) -> nn.Module:
    """The layer with weights of about unit gain, in multiples of 2^-16 so that they stay as they are; float64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(rounded(0.2 * torch.randn(parameter.shape, generator=generator), WEIGHT))
    return layer.double().requires_grad_(False)


WEIGHTED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(37, 11), (5, 37)),
    "linear without bias": (nn.Linear(37, 11, bias=False), (5, 37)),
    "linear of samples": (nn.Linear(8, 3), (2, 4, 8)),
    "pointwise": (Pointwise(6, 5), (3, 6, 4, 7)),
    "conv": (nn.Conv2d(4, 6, 3, padding=1), (3, 4, 7, 5)),
    "conv of 1 × 1": (nn.Conv2d(4, 6, 1), (3, 4, 7, 5)),
    "conv that strides": (nn.Conv2d(3, 6, 3, stride=2, padding=1), (2, 3, 9, 8)),
    "conv of one column": (nn.Conv2d(3, 6, 3, stride=(2, 1), padding=1), (2, 3, 9, 1)),
    "a stem": (nn.Conv2d(1, 6, 9, 4, 4), (2, 1, 28, 27)),
    "transposed": (nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), (3, 4, 4, 5)),
    "transposed of a stem": (nn.ConvTranspose2d(4, 3, 8, 4, 2), (3, 4, 4, 5)),
    "transposed of one place": (nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), (1, 4, 1, 1)),
    "transposed with a kernel of no whole strides": (nn.ConvTranspose2d(4, 3, (3, 5), (2, 3), (1, 0)), (2, 4, 3, 2)),
    "conv to few channels": (nn.Conv2d(9, 2, 3, padding=1), (3, 9, 7, 5)),
    "conv to few channels of a few places": (nn.Conv2d(9, 2, (3, 5), padding=(2, 1)), (3, 9, 2, 3)),
    "conv to few channels of one column": (nn.Conv2d(9, 2, 3, padding=1), (3, 9, 4, 1)),
    "conv in many pieces": (nn.Conv2d(9, 8, 3, padding=1), (2, 9, 60, 80)),
    "conv in pieces of some rows": (nn.Conv2d(9, 8, 3, padding=1), (71, 9, 8, 9)),
    "conv to few channels in pieces": (nn.Conv2d(9, 2, 3, padding=1), (71, 9, 12, 8)),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weighted_layer_gives_the_exact_sum_rounded_once(name: str) -> None:
    """With dyadic weights a float64 module of torch sums exactly too, so the two agree to the bit."""
    layer, shape = WEIGHTED[name]
    layer = weighted(layer)
    form, x = exact_form(layer, WEIGHT), dyadics(*shape)
    for _ in range(2):  # nothing of the first pass stays behind
        assert torch.equal(form(x), rounded(layer(x)))
    assert torch.equal(form(x.to(memory_format=torch.channels_last) if x.dim() == 4 else x), form(x))


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weighted_layer_is_its_float_module_within_the_rounding(name: str) -> None:
    layer, shape = WEIGHTED[name]
    torch.manual_seed(3)
    layer = type(layer)(**_fields(layer)).double().requires_grad_(False)
    x = dyadics(*shape)
    sums = exact_form(layer, WEIGHT)(x), layer(x)
    # Each weight is off by half of 2^-16 at most, as many of them as go into a sum.
    count = layer.weight.numel() / layer.weight.shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0]
    assert float((sums[0] - sums[1]).abs().max()) <= HALF + 2.0**-17 * (float(x.abs().max()) * count + 1)


def _fields(layer: nn.Module) -> dict[str, object]:
    if isinstance(layer, nn.Linear):
        return {"in_features": layer.in_features, "out_features": layer.out_features, "bias": layer.bias is not None}
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
    return {name: getattr(layer, name) for name in names}


def test_sums_are_those_of_whole_numbers_up_to_the_bound() -> None:
    """Weights and inputs as large as may be, of one sign and of both, by Python's whole numbers."""
    rng = np.random.default_rng(0)
    inputs, top = 64, 2**31 // 64 - 1  # 64 weights below 2^15 / 64 in all
    weight = rng.integers(top - 999, top, (4, inputs))
    weight[1::2] *= rng.choice([-1, 1], (2, inputs))
    x = rng.integers(-(2**22), 2**22, (8, inputs))
    x[0], x[1] = 2**22, -(2**22) - 5  # the second lies beyond the limit
    layer = nn.Linear(inputs, 4).double().requires_grad_(False)
    layer.weight.copy_(torch.from_numpy(weight / 2.0**WEIGHT))
    layer.bias.copy_(torch.tensor([0.25, -0.25, 1 / 65536, 0.0]))
    found = whole(exact_form(layer, WEIGHT)(torch.from_numpy(x / UNIT)))
    biases = [2**14, -(2**14), 1, 0]  # in units of 2^-16
    for row in range(8):
        for output in range(4):
            cut = [max(-(2**22), min(2**22, int(value))) for value in x[row]]
            total = sum(a * int(b) for a, b in zip(cut, weight[output], strict=True)) + biases[output] * 2**FRACTION
            assert int(found[row, output]) == (total + 2 ** (WEIGHT - 1)) // 2**WEIGHT


@pytest.mark.parametrize(
    "layer", [nn.Linear(64, 4), nn.Conv2d(16, 4, 2), nn.ConvTranspose2d(16, 4, 2), Pointwise(64, 4)]
)
def test_weights_whose_sums_could_pass_the_bound_are_refused(layer: nn.Module) -> None:
    nn.init.constant_(layer.weight, 511.0)  # type: ignore[arg-type]
    exact_form(layer, WEIGHT)
    nn.init.constant_(layer.weight, 512.0)  # type: ignore[arg-type] # 64 of them are 2^15
    with pytest.raises(
        UsageError, match=r"weighs one of its outputs by 32768 .* exact up to 32768 with weights of 16 bits"
    ):
        exact_form(layer, WEIGHT)
    nn.init.constant_(layer.weight, float("nan"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="by nan in all"):
        exact_form(layer, WEIGHT)


@pytest.mark.parametrize("module", [nn.ReLU(), nn.LeakyReLU(), nn.SiLU(), nn.GELU(), nn.Tanh()], ids=str)
def test_a_non_linearity_is_its_float_module_within_half_a_unit(module: nn.Module) -> None:
    x = torch.arange(-(2**17), 2**17 + 1).double() / UNIT  # every number from -32 to 32
    x = torch.cat((x, torch.tensor([-1e4, -LIMIT, -100.0, 100.0, LIMIT, 3000.0]).double()))
    found = exact_form(module, WEIGHT)(x)
    assert torch.equal(found, rounded(found))
    slack = 3e-5 if isinstance(module, nn.LeakyReLU) else 1e-12  # a slope of 24 bits; and it is cut at the limit
    inside = x.abs() <= LIMIT if isinstance(module, nn.LeakyReLU) else x.abs() <= 1e5
    assert float((found - module(x))[inside].abs().max()) <= HALF + slack


def test_a_non_linearity_does_not_care_how_maps_lie_in_memory() -> None:
    x = dyadics(2, 3, 4, 5)
    form = exact_form(nn.GELU(), WEIGHT)
    assert torch.equal(form(x.to(memory_format=torch.channels_last)), form(x))
    assert torch.equal(form(x.transpose(2, 3)), form(x).transpose(2, 3))
    assert torch.equal(form(x[..., 1:3]), form(x)[..., 1:3])


def test_the_gain_of_a_residual_block_goes_into_its_weights() -> None:
    for squeeze in (1.0, 0.5):
        block = Residual(6, "silu", squeeze).double().requires_grad_(False)
        block.gain.fill_(0.37)
        x = dyadics(2, 6, 5, 4)
        wanted = block(x)
        found = exact_form(block, WEIGHT)(x)
        assert torch.equal(found, rounded(found))
        torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)
        assert float((wanted - x).abs().max()) > 0.1  # the branch does something


SIZES = [(n, m) for n in (1, 2, 3, 4, 5, 7, 8, 12, 14, 15) for m in (1, 2, 3, 4, 5, 6, 7, 14)]


def test_averages_are_those_of_the_float_module_within_half_a_unit() -> None:
    for height, to in SIZES:
        for width, across in SIZES[::7]:
            if to > height or across > width:
                continue
            x = dyadics(2, 3, height, width)
            found = exact_form(Smaller((to, across)), WEIGHT)(x)
            assert torch.equal(found, rounded(found))
            assert float((found - Smaller((to, across))(x)).abs().max()) <= HALF + 1e-12


def test_an_average_of_thirds_is_rounded_as_whole_numbers_are() -> None:
    x = torch.arange(-300, 300).double().reshape(200, 1, 3, 1) / UNIT
    x[:, :, 0] = -x[:, :, 0]
    sums = whole(x).sum((1, 2, 3))
    assert (whole(exact_form(Smaller((1, 1)), WEIGHT)(x)).ravel() == np.floor_divide(2 * sums + 3, 6)).all()


def test_enlarging_repeats_what_the_float_module_does() -> None:
    for n, m in SIZES:
        for width, across in SIZES[::7]:
            if n <= m and width <= across:
                x = dyadics(1, 2, n, width)
                assert torch.equal(exact_form(Larger((m, across)), WEIGHT)(x), Larger((m, across))(x))
    x = dyadics(2, 3, 4, 5)
    assert torch.equal(exact_form(nn.Upsample(scale_factor=2), WEIGHT)(x), functional.interpolate(x, scale_factor=2.0))


def test_what_the_encoder_reads_is_rounded_alike_though_its_last_bit_be_amiss() -> None:
    """Every grey level of every depth, brought to −1 … 1: a neighbouring float64 number is rounded to the same."""
    rounding = layers.Rounding()
    for levels in (2, 3, 17, 255, 256, 257, 4096, 49153, 65535, 65536):
        x = torch.arange(levels).double() / ((levels - 1) / 2) - 1
        found = rounding(x)
        assert float((found - x).abs().max()) <= HALF + 2.0**-30
        for beside in (torch.inf, -torch.inf):
            assert torch.equal(rounding(torch.nextafter(x, torch.tensor(beside).double())), found)


@pytest.mark.parametrize(
    "module",
    [
        nn.LayerNorm(4),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(4, 4, 3, dilation=2),
        nn.ConvTranspose2d(4, 4, 3, stride=2, output_padding=1),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ],
    ids=str,
)
def test_layers_without_an_exact_form_are_refused(module: nn.Module) -> None:
    with pytest.raises(UsageError, match="has no exact form, which coding needs: use "):
        exact_form(module, WEIGHT)
