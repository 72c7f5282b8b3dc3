"""What torch.distributions lacks: explicit generators, densities over codes, and the classes that likelihoods return."""

from lambent.distributions.boxes import BOX_SCALES, Boxed, LogisticMixture, Massed, UnitBox, boxed
from lambent.distributions.columns import ColumnProduct
from lambent.distributions.counted import Dispersed, ZeroInflated
from lambent.distributions.counted_rows import CountedRows
from lambent.distributions.elementwise import Binary, Observed, UnitInterval
from lambent.distributions.entries import EntryMaps, QuantizedMap, UniformNumbers
from lambent.distributions.explicit import Axes, Explicit, FromNoise, centre, constructed, independent, sample
from lambent.distributions.limits import SCALE_RANGE, limited
from lambent.distributions.logistic import LogisticPixels
from lambent.distributions.mixtures import NormalMixture, UnitMixture
from lambent.distributions.perceived import Perceived
from lambent.distributions.rounded import Rounded
from lambent.distributions.shaped import Shaped, ShapedNoise, shaped, vector
from lambent.distributions.sphere import PowerSpherical, UniformSphere
from lambent.distributions.spiked import Spiked
from lambent.distributions.squashed import SquashedNormal, squashed
from lambent.distributions.student import Student
from lambent.distributions.vectors import (
    LOG_2PI,
    Delta,
    DiagonalNormal,
    FullNormal,
    StandardNormal,
)

__all__ = [
    "BOX_SCALES",
    "LOG_2PI",
    "SCALE_RANGE",
    "Axes",
    "Binary",
    "Boxed",
    "ColumnProduct",
    "CountedRows",
    "Delta",
    "DiagonalNormal",
    "Dispersed",
    "EntryMaps",
    "Explicit",
    "FromNoise",
    "FullNormal",
    "LogisticMixture",
    "LogisticPixels",
    "Massed",
    "NormalMixture",
    "Observed",
    "Perceived",
    "PowerSpherical",
    "QuantizedMap",
    "Rounded",
    "Shaped",
    "ShapedNoise",
    "Spiked",
    "SquashedNormal",
    "StandardNormal",
    "Student",
    "UniformNumbers",
    "UniformSphere",
    "UnitBox",
    "UnitInterval",
    "UnitMixture",
    "ZeroInflated",
    "boxed",
    "centre",
    "constructed",
    "independent",
    "limited",
    "sample",
    "shaped",
    "squashed",
    "vector",
]
