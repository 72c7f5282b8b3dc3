"""What the tests of the loop share."""

import pytest
import torch
from torch import Tensor


@pytest.fixture
def x() -> Tensor:
    """Forty rows of four numbers."""
    return torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
