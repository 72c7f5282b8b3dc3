"""Decoders that begin anew: a model keeps its encoder, and what p(x|z) goes through is as it was at first."""

import torch
from torch import Tensor, nn

from lambent.model import LatentModel


class Beginning(nn.Module):
    """The weights of a model's decoder and likelihood as they are now, but for those that its encoder reads through."""

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        for number, weight in enumerate(_decoding(model)):
            self.register_buffer(f"weight_{number}", weight.detach().clone())

    @torch.no_grad()
    def put_back(self, model: LatentModel) -> None:
        for own, first in zip(_decoding(model), self.buffers(), strict=True):
            own.copy_(first)


def _decoding(model: LatentModel) -> list[Tensor]:
    reading = {id(weight) for module in model.likelihood.reading() for weight in module.parameters()}
    every = [*model.decoder.parameters(), *model.likelihood.parameters()]
    return [weight for weight in every if id(weight) not in reading]
