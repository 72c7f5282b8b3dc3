"""What networks compute in, while the loop lowers it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def lowered(precision: torch.dtype | None, like: Tensor) -> AbstractContextManager[Any]:
    """While active, networks on the device of `like` compute in that precision; as ever where there is none."""
    return nullcontext() if precision is None else torch.autocast(like.device.type, dtype=precision)
