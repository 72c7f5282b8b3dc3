"""What torch.distributions lacks: explicit generators, densities over codes, flows, closed divergences."""

from lambent.distributions.vectors import (
    LOG_2PI,
    SCALE_RANGE,
    Axes,
    Delta,
    DiagonalNormal,
    Explicit,
    FromNoise,
    FullNormal,
    NormalMixture,
    StandardNormal,
    sample,
    seeded,
)

__all__ = [
    "LOG_2PI",
    "SCALE_RANGE",
    "Axes",
    "Delta",
    "DiagonalNormal",
    "Explicit",
    "FromNoise",
    "FullNormal",
    "NormalMixture",
    "StandardNormal",
    "sample",
    "seeded",
]
