"""Data x under p(x | z): what each likelihood with probabilities pushes and pops."""

from abc import ABC, abstractmethod
from functools import singledispatch

import numpy as np
from torch import Tensor

from lambent.codec.exact import elementary
from lambent.codec.exact.dyadic import whole
from lambent.codec.leaves.dyadics import nearest
from lambent.codec.leaves.finite import finite, ordered, two
from lambent.codec.stack import Numbers, Stack
from lambent.codec.symbols import Symbols
from lambent.errors import UsageError
from lambent.model.likelihoods import Bernoulli, Categorical, Likelihood, Ordinal
from lambent.part import Shape


class Emission(ABC):
    """Rows x under p(x | z), in stages: the variables of one are independent, given those of the stages before it.

    event: the shape of a row; stages: how many there are.
    """

    rows: int
    event: Shape
    stages: int

    @abstractmethod
    def symbols(self, stage: int, before: list[Numbers], last: Symbols | None) -> Symbols:
        """The variables of a stage, given the values of those before, each [variables]; `last`: those of the last stage."""

    @abstractmethod
    def parted(self, x: Numbers) -> list[Numbers]:
        """x [rows, *event] as the values of each stage, [variables]."""

    @abstractmethod
    def joined(self, parts: list[Numbers]) -> Numbers:
        """The inverse of `parted`."""

    def push(self, stack: Stack, x: Numbers) -> None:
        """x [rows, *event] onto the stack."""
        parts = self.parted(x)
        under: list[Symbols] = []
        for stage in range(self.stages):
            under.append(self.symbols(stage, parts[:stage], under[-1] if under else None))
        for symbols, part in zip(reversed(under), reversed(parts), strict=True):
            symbols.push(stack, part)

    def pop(self, stack: Stack) -> Numbers:
        """The inverse of `push`, [rows, *event]; from any other stack: a draw."""
        parts: list[Numbers] = []
        symbols: Symbols | None = None
        for stage in range(self.stages):
            symbols = self.symbols(stage, parts, symbols)
            parts.append(symbols.pop(stack))
        return self.joined(parts)


@singledispatch
def emission(likelihood: Likelihood, raw: Tensor) -> Emission:
    """p(x | z) for the codec, from the exact decoder's raw output [rows, *raw_shape], multiples of 2^-12.

    Raises `UsageError` for a likelihood without probabilities.
    """
    name = type(likelihood).__name__
    why = (
        "has probabilities that the codec has no exact form of"
        if likelihood.discrete
        else "has a density, no probabilities"
    )
    raise UsageError(
        f"{name} {why}, so its rows cannot be coded: train with DiscretizedLogistics (images of whole numbers), Bernoulli "
        "(zeros and ones), Categorical or Ordinal (levels)"
    )


class Elements(Emission):
    """Independent elements, one stage."""

    stages = 1

    def __init__(self, symbols: Symbols, rows: int, event: Shape) -> None:
        self.under, self.rows, self.event = symbols, rows, event

    def symbols(self, stage: int, before: list[Numbers], last: Symbols | None) -> Symbols:
        return self.under

    def parted(self, x: Numbers) -> list[Numbers]:
        return [x.reshape(-1)]

    def joined(self, parts: list[Numbers]) -> Numbers:
        return parts[0].reshape(self.rows, *self.event)


@emission.register
def _(likelihood: Bernoulli, raw: Tensor) -> Emission:
    return Elements(two(whole(raw).reshape(-1)), len(raw), likelihood.event)


@emission.register
def _(likelihood: Categorical, raw: Tensor) -> Emission:
    return Elements(finite(whole(raw).reshape(-1, likelihood.levels)), len(raw), likelihood.event)


@emission.register
def _(likelihood: Ordinal, raw: Tensor) -> Emission:
    edges, centre = thresholds(likelihood), whole(raw).reshape(len(raw), -1, 1)
    return Elements(ordered((edges - centre).reshape(-1, likelihood.levels - 1)), len(raw), likelihood.event)


def thresholds(likelihood: Ordinal) -> Numbers:
    """The thresholds of all elements in 2^-12, [elements, levels − 1]: as the likelihood's own, but for their last bits."""
    edges = likelihood.edges.detach().double().cpu().numpy().reshape(-1, likelihood.levels - 1)
    parts = np.concatenate((edges[:, :1], elementary.softplus(edges[:, 1:])), 1)
    return np.cumsum(nearest(parts), 1)
