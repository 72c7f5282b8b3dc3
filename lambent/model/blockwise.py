"""Where a model of rounded codes begins: as a transform of the picture's blocks by their principal components."""

import math

import torch
from torch import Tensor, nn

from lambent.model.latents import Grid, Latent
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Half, Pyramid

SPREAD = 4.0  # by which the state holds components larger than they are, so that weights behind it are about as large as others
LEAST = 1e-3  # of the largest deviation: what varies less is not brought up to the others
NARROW = 0.3  # the least deviation of a code that its prior begins with


@torch.no_grad()
def start_of_blocks(
    likelihood: Likelihood,
    encoder: nn.Module | None,
    latent: Latent,
    decoder: nn.Module,
    observed: Tensor,
    embedded: Tensor,
) -> bool:
    """Let a model begin as a transform of blocks, if it can; whether it did.

    For a Grid of a Uniform posterior whose finest codes lie where the encoder's first convolution and the decoder's last one lead
    with one step. Their weights then are the principal components u_j of blocks of pixels, as x = max(x, 0) − max(−x, 0) takes
    them through a non-linearity, of one deviation all, for what else reads them. The code is u_jᵀ(x − m) / σ√12: under a
    likelihood of deviation σ, steps of σ√12 err by as much as their nats are worth. All else begins at nought. Codes of features
    by chance hold little but the brightness of blocks, and most of a long training goes into finding the rest.
    """
    if not isinstance(latent, Grid) or not latent.posterior.boxed or len(latent.layer_of) < 2 or observed.dim() != 4:
        return False
    first, last, inner = _ends(encoder, decoder)
    if first is None or last is None or inner is None or not torch.equal(observed, embedded):
        return False
    step = last.stride[0]
    if latent.plan[-1].factor != step or latent.plan[-1].groups != 1 or first.stride[0] != step or step < 2:
        return False
    units = min(latent.shapes_of_levels[-1][0], first.out_channels // 2, inner.in_channels, inner.out_channels // 2)
    mean, directions, deviations = _components(observed, step, units)
    scale = float(likelihood(torch.zeros(1, *_raw(likelihood, observed))).stddev.mean())
    gain = 1 / (scale * math.sqrt(12))
    units = len(directions)
    blocks = directions.unflatten(1, (observed.shape[1], step, step))
    even = deviations.clamp_min(float(deviations[0]) * LEAST)
    _both(first, blocks / even[:, None, None, None], -(directions @ mean) / even, slice(step, 2 * step))
    latent.carry(gain * even, SPREAD / gain, (deviations * gain).clamp_min(NARROW).log())
    inner.weight.zero_()
    places = torch.arange(units)
    inner.weight[places, places, 1, 1] = 1 / SPREAD
    inner.weight[units + places, places, 1, 1] = -1 / SPREAD
    half = step // 2
    last.weight[: 2 * units] = 0
    last.weight[:units, :, half : half + step, half : half + step] = blocks
    last.weight[units : 2 * units, :, half : half + step, half : half + step] = -blocks
    assert last.bias is not None
    last.bias.copy_(mean.unflatten(0, (observed.shape[1], -1)).mean(1))
    return True


def _both(layer: nn.Conv2d, blocks: Tensor, offset: Tensor, where: slice) -> None:
    """Filters that give each component in a pair of channels, as it is and with the other sign."""
    weight, bias, units = layer.weight, layer.bias, len(blocks)
    assert bias is not None
    weight[: 2 * units] = 0
    for channels, sign in ((slice(0, units), 1.0), (slice(units, 2 * units), -1.0)):
        weight[channels, :, where, where] = sign * blocks
        bias[channels] = sign * offset


def _ends(
    encoder: nn.Module | None, decoder: nn.Module
) -> tuple[nn.Conv2d | None, nn.ConvTranspose2d | None, nn.Conv2d | None]:
    """The encoder's first convolution, the decoder's last one, and its first, of networks with one resolution."""
    if not isinstance(encoder, Pyramid) or not isinstance(decoder, Half) or len(encoder.stages) != 1:
        return None, None, None
    stage = encoder.stages[0]
    assert isinstance(stage, nn.Sequential)
    found = (stage[0], [layer for layer in decoder if isinstance(layer, nn.ConvTranspose2d)], decoder[0])
    first, transposed, inner = found
    if not isinstance(first, nn.Conv2d) or len(transposed) != 1 or not isinstance(inner, nn.Conv2d):
        return None, None, None
    return first, transposed[0], inner


def _components(x: Tensor, step: int, units: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of blocks [C · step · step]: their mean, the directions in which they vary most [units, …], and the deviations there."""
    cut = x[..., : x.shape[2] // step * step, : x.shape[3] // step * step]
    blocks = cut.unfold(2, step, step).unfold(3, step, step).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2).double()
    mean = blocks.mean(0)
    variances, directions = torch.linalg.eigh((blocks - mean).mT @ (blocks - mean) / len(blocks))
    kept = variances.flip(0)[:units].clamp_min(0).sqrt()
    return mean.float(), directions.flip(1)[:, :units].mT.float(), kept.float()


def _raw(likelihood: Likelihood, observed: Tensor) -> tuple[int, ...]:
    return (
        tuple(observed.shape[1:])
        if getattr(likelihood, "scale", "") != "predicted"
        else (2 * observed.shape[1], *observed.shape[2:])
    )
