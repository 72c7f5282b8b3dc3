"""Networks over a few rows at a time: exact ones give the same bits, and sooner."""

import torch
from torch import Tensor, nn


class InPieces(nn.Module):
    """A network over so many rows at a time on a processor, whose caches then hold what lies between its layers."""

    def __init__(self, network: nn.Module, rows: int) -> None:
        super().__init__()
        self.network, self.rows = network, rows

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        at_once = self.rows if x.device.type == "cpu" else max(1, len(x))
        made = [self.network(piece) for piece in x.split(at_once)]
        if len(made) == 1:
            return made[0]  # type: ignore[no-any-return]
        return torch.cat(made) if isinstance(made[0], Tensor) else [torch.cat(maps) for maps in zip(*made, strict=True)]
