"""Judge: a rival that tells rows of the data from rows of the model."""

import torch
from torch import Tensor, nn

from lambent.model.networks import Network, Spatial
from lambent.model.networks.base import initialized
from lambent.part import Shape, elements
from lambent.seeds import seeded

WIDTH = 256  # units between the last features and the logit


class Judge(nn.Module):
    """D(x, c): from rows as the encoder reads them, [rows, *event], to the logit that they are of the data, [rows].

    The encoder's half of a network, maps where it has them, and two layers above. A context enters by projection:
    D = wᵀh + b + (V c)ᵀ h, h the last hidden layer. Miyato & Koyama, cGANs with Projection Discriminator, 2018.
    """

    def __init__(self, network: Network, event: Shape, context: int = 0, seed: int = 0) -> None:
        super().__init__()
        with seeded(torch.Generator().manual_seed(seed + 1)):
            self.trunk: nn.Module = network.pyramid(event) if isinstance(network, Spatial) else network.encoder(event)
            last: Shape = self.trunk.shape[-1] if isinstance(network, Spatial) else self.trunk.shape  # type: ignore[assignment]
            self.head = nn.Sequential(*initialized([nn.Flatten(), nn.Linear(elements(last), WIDTH), nn.SiLU()]))
            self.logit = nn.Linear(WIDTH, 1)
            self.projection = nn.Linear(context, WIDTH, bias=False) if context else None
        if network.convolutional:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.of_features(self.features(x), context)

    def features(self, x: Tensor) -> list[Tensor]:
        """What it makes of rows on the way, the finest maps first: [rows, channels, height, width], or one vector of each."""
        features: Tensor | list[Tensor] = self.trunk(x)
        return features if isinstance(features, list) else [features]

    def of_features(self, features: list[Tensor], context: Tensor | None = None) -> Tensor:
        """The logits [rows] of rows whose features these are."""
        hidden = self.head(features[-1])
        logits: Tensor = self.logit(hidden).squeeze(-1)
        if self.projection is None or context is None:
            return logits
        projected: Tensor = (self.projection(context) * hidden).sum(-1)
        return logits + projected
