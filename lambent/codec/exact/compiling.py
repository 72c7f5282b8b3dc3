"""Compiling: a trained model as one of exact layers, which gives the same bits on every machine."""

import copy
from functools import singledispatch

import torch
from torch import nn

from lambent.codec.exact import layers, resizing
from lambent.codec.exact.dyadic import WEIGHT, rounded
from lambent.codec.exact.pieces import InPieces
from lambent.errors import UsageError
from lambent.model.company import ask_encoder
from lambent.model.latents import Codebook, Flat, Grid, Ladder
from lambent.model.latents.base import Latent
from lambent.model.latents.maps import Block, Larger, Pointwise, Residue, Smaller, Unfolded
from lambent.model.likelihoods import Likelihood
from lambent.model.model import LatentModel
from lambent.model.networks import Network, Pyramid
from lambent.model.networks.base import Along, Beside, Crop
from lambent.model.networks.resnet import Residual
from lambent.model.posteriors import Constant, Diagonal, Uniform
from lambent.model.priors import Prior, Standard
from lambent.model.priors import Uniform as Even
from lambent.part import Part, elements, family, registered

PLACES = 1 << 15  # of pictures that go through convolutions at once


def exact(model: LatentModel, weight_bits: int = WEIGHT) -> LatentModel:
    """The exact form of a model that can code rows; the model itself stays as it is.

    Raises `UsageError`, in a sentence that says what to use instead, for parts by which nothing can be coded.
    """
    refuse_uncodable(model)
    return compiled(model, weight_bits)


def compiled(model: LatentModel, weight_bits: int = WEIGHT) -> LatentModel:
    """A copy in float64 whose networks are exact, with weights in multiples of 2^-weight_bits: a pure function of the weights.

    What its encoder reads is rounded first; the prior of its top level is Standard, of a codebook's numbers Uniform, whatever
    the model's: the codec codes that level by a prior of its own. Raises `UsageError` for parts without an exact form.
    """
    if not model.network.exact:
        raise UsageError(_instead(model.network, [n for n, other in registered(Network).items() if other.exact]))
    ask_encoder(model)
    made = copy.deepcopy(model).cpu().double().eval().requires_grad_(False)
    made.low_precision = made.latent.low_precision = made.likelihood.low_precision = None
    made.latent.prior = _plain(made.latent).double()
    exact_form(made.latent, weight_bits)
    made.encoder = nn.Sequential(layers.Rounding(), exact_form(made.encoder, weight_bits))
    made.decoder = exact_form(made.decoder, weight_bits)
    if _has_form(made.likelihood):
        made.likelihood = exact_form(made.likelihood, weight_bits)  # type: ignore[assignment] # all that coding asks of it
    if made.network.convolutional:
        rows = max(1, PLACES // elements(made.event_shape[1:]))
        made.encoder, made.decoder = InPieces(made.encoder, rows), InPieces(made.decoder, rows)
    return made.requires_grad_(False)


def refuse_uncodable(model: LatentModel) -> None:
    """Refuse a model whose rows cannot be coded, whatever its networks."""
    if model.members > 1:
        raise UsageError(
            f"an ensemble of {model.members} models has no one code for a row: use members=1, or one of them, `model.member(0)`"
        )
    if model.context:
        raise UsageError(
            f"this model is conditioned on {model.context} numbers a row, which an archive does not hold: train one without "
            "a context"
        )
    posterior = getattr(model.latent, "posterior", None)  # which a codebook has not
    if posterior is not None and posterior.boxed:
        raise UsageError(
            "codes of a Uniform posterior are made to be rounded, which is coding with loss: ask for it with --quality 50 (in "
            "Python: quality=50), or train with a Diagonal posterior to code without loss"
        )
    if _has_form(model.likelihood):  # then it knows of missing cells, and has probabilities
        return
    if model.gaps or model.missingness is not None:
        raise UsageError(
            "a model with gaps=True leaves missing values out, so that decoding could not give them back: train one with "
            "gaps=False on rows without missing values"
        )
    if not model.likelihood.discrete:
        coding = [name for name, other in registered(Likelihood).items() if other.discrete]
        name = type(model.likelihood).__name__
        raise UsageError(
            f"{name} has a density and no probabilities, and lossless coding needs these: use DiscretizedLogistics for images, "
            f"Bernoulli for binary data, or one of {', '.join(coding)}"
        )


def _plain(latent: Latent) -> Prior:
    """A prior in the place of the model's, which has nothing to compile."""
    if isinstance(latent, Codebook):
        even = Even()
        latent.equip(even, torch.zeros(0))
        return even
    standard = Standard()
    standard.setup(latent.shapes_of_levels[0], torch.zeros(0))
    return standard


def _has_form(likelihood: Likelihood) -> bool:
    """Whether a likelihood has networks of its own, and an exact form."""
    return exact_form.dispatch(type(likelihood)) is not exact_form.dispatch(object)


def _instead(part: Part, others: list[str]) -> str:
    """The refusal of a part that has no exact form."""
    kind = family(type(part)).__name__.lower()
    return f"the {type(part).__name__} {kind} has no exact form, which coding needs: use {' or '.join(others)}"


# ---- exact forms -----------------------------------------------------------------------------------------------------


@singledispatch
def exact_form(module: nn.Module, bits: int) -> nn.Module:
    """The module over dyadic numbers, by its type; `bits` of a weight lie behind the point. May take the module apart."""
    if isinstance(module, Part):
        default = exact_form.dispatch(object)
        kinds = registered(family(type(module))).items()
        raise UsageError(_instead(module, [name for name, other in kinds if exact_form.dispatch(other) is not default]))
    raise UsageError(
        f"a layer {type(module).__name__} has no exact form, which coding needs: use the Mlp, Conv, ResNet or Wave network"
    )


@exact_form.register(nn.Sequential)
@exact_form.register(nn.ModuleList)
@exact_form.register(Pyramid)
@exact_form.register(Along)
@exact_form.register(Beside)
@exact_form.register(Block)
@exact_form.register(Residue)
@exact_form.register(Unfolded)
@exact_form.register(Flat)
@exact_form.register(Ladder)
@exact_form.register(Grid)
@exact_form.register(Codebook)
@exact_form.register(Diagonal)
@exact_form.register(Uniform)
def _of_its_layers(module: nn.Module, bits: int) -> nn.Module:
    """What only joins, adds and cuts what its layers give is exact when they are; it stays, with others in their places."""
    for name, child in list(module._modules.items()):  # named_children() would leave out one that stands twice
        module._modules[name] = None if child is None else exact_form(child, bits)
    return module


@exact_form.register(nn.Flatten)
@exact_form.register(nn.Unflatten)
@exact_form.register(nn.Identity)
@exact_form.register(nn.ReLU)
@exact_form.register(Crop)
@exact_form.register(Standard)
@exact_form.register(Even)
def _as_it_is(module: nn.Module, bits: int) -> nn.Module:
    return module


@exact_form.register
def _constant(module: Constant, bits: int) -> nn.Module:
    _of_its_layers(module, bits)
    module.log_scale.data = rounded(module.log_scale.data)
    return module


@exact_form.register
def _upsample(module: nn.Upsample, bits: int) -> nn.Module:
    if module.mode != "nearest" or module.scale_factor != 2:
        raise UsageError(
            f"{module} has no exact form, which coding needs: use nn.Upsample(scale_factor=2, mode='nearest')"
        )
    return resizing.Doubled()


@exact_form.register
def _residual(module: Residual, bits: int) -> nn.Module:
    """Its gain goes into the weights of the branch's last convolution."""
    last = module.branch[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    last.weight.data, last.bias.data = last.weight.data * module.gain.data, last.bias.data * module.gain.data
    module.gain.data = torch.ones_like(module.gain.data)
    return _of_its_layers(module, bits)


@exact_form.register
def _linear(module: nn.Linear, bits: int) -> nn.Module:
    return layers.ExactLinear(str(module), module.weight, module.bias, bits)


@exact_form.register
def _pointwise(module: Pointwise, bits: int) -> nn.Module:
    return layers.ExactPointwise(str(module), module.weight, module.bias, bits)


@exact_form.register
def _conv(module: nn.Conv2d, bits: int) -> nn.Module:
    """To few channels by another way than to many: what takes the least memory."""
    if (
        module.groups != 1
        or module.dilation != (1, 1)
        or module.padding_mode != "zeros"
        or isinstance(module.padding, str)
    ):
        raise UsageError(
            f"{module} has no exact form, which coding needs: use one group, no dilation and noughts around"
        )
    weight, padding = module.weight, (int(module.padding[0]), int(module.padding[1]))
    if 4 * module.out_channels <= module.in_channels and module.stride == (1, 1) and module.kernel_size != (1, 1):
        return layers.ExactNarrowing(str(module), weight, module.bias, padding, bits)
    return layers.ExactConv(str(module), weight, module.bias, _pair(module.stride), padding, bits)


@exact_form.register
def _transposed(module: nn.ConvTranspose2d, bits: int) -> nn.Module:
    if module.groups != 1 or module.dilation != (1, 1) or module.output_padding != (0, 0):
        raise UsageError(
            f"{module} has no exact form, which coding needs: use one group, no dilation and no output_padding"
        )
    assert not isinstance(module.padding, str)
    stride, padding = _pair(module.stride), _pair(module.padding)
    return layers.ExactTransposed(str(module), module.weight, module.bias, stride, padding, bits)


@exact_form.register
def _leaky(module: nn.LeakyReLU, bits: int) -> nn.Module:
    return layers.Leaking(module.negative_slope)


@exact_form.register
def _silu(module: nn.SiLU, bits: int) -> nn.Module:
    return layers.Tabled("silu")


@exact_form.register
def _gelu(module: nn.GELU, bits: int) -> nn.Module:
    return layers.Tabled("gelu")


@exact_form.register
def _tanh(module: nn.Tanh, bits: int) -> nn.Module:
    return layers.Tabled("tanh")


@exact_form.register
def _smaller(module: Smaller, bits: int) -> nn.Module:
    return resizing.ExactAverage(module.size)


@exact_form.register
def _larger(module: Larger, bits: int) -> nn.Module:
    return resizing.ExactLarger(module.size)


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    return int(sizes[0]), int(sizes[1])
