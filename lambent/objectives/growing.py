"""Growing: what an objective remembers of the data, so much that only these tell how much."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Growing(nn.Module):
    """A module whose buffers have shapes that the data decide."""

    def fit_to(self, kept: Mapping[str, Tensor]) -> None:
        """Give buffers the shapes and types of those that a checkpoint keeps under their names."""
        for name, own in list(self.named_buffers(recurse=False)):
            if name in kept:
                self.register_buffer(name, torch.empty_like(kept[name], device=own.device))
