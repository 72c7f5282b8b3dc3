"""Two losses of one decoder, weighed by what they ask of its last layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

LARGEST = 1e6  # a log-likelihood in nats sums over all pixels, a judgement is one number


def last_weight(decoder: nn.Module) -> nn.Parameter:
    """The weight matrix that comes last in a decoder."""
    return [p for p in decoder.parameters() if p.dim() >= 2][-1]


def balance(loss: Tensor, pictures: Sequence[Tensor], slopes: Sequence[Tensor], weight: nn.Parameter) -> Tensor:
    """‖∂loss/∂W‖ / ‖∂other/∂W‖, the factor at which another loss asks as much of a weight W as `loss` does; at most 10⁶.

    slopes: ∂other/∂picture of pictures that came through W; their graphs stay. Nought where W is out of a graph. Esser, Rombach
    & Ommer, Taming Transformers for High-Resolution Image Synthesis, 2021.
    """
    (own,) = torch.autograd.grad(loss, weight, retain_graph=True, allow_unused=True)
    (other,) = torch.autograd.grad(pictures, weight, slopes, retain_graph=True, allow_unused=True)
    if own is None or other is None:
        return loss.new_zeros(())
    ratio: Tensor = own.norm() / other.norm().clamp_min(1e-12)
    return ratio.clamp_max(LARGEST)
