"""Weights that stand still for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def still(parameters: list[nn.Parameter]) -> Iterator[None]:
    """While active, these weights get no gradient."""
    learning = [p for p in parameters if p.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
