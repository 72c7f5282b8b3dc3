"""Student's t, computed once for each number of degrees and not for each value."""

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Chi2, Distribution
from torch.distributions import StudentT as TorchStudentT

from lambent.distributions.explicit import Axes


class Student(TorchStudentT):
    """t_ν with location μ and scale σ: log p = −log σ − (ν + 1)/2 log(1 + ((x − μ)/σ)²/ν) − log B(ν), as torch's.

    Few degrees stand for many values, one for each column: their gamma functions, and the derivatives of these, are taken
    of the few, where torch takes them of every value and so spends most of its time.
    """

    def __init__(self, df: Tensor, loc: Tensor, scale: Tensor, validate_args: bool | None = False) -> None:
        self.degrees = df  # as few as there are; `df` has them for every value
        self.df, self.loc, self.scale = torch.broadcast_tensors(df, loc, scale)
        Distribution.__init__(self, self.loc.shape, validate_args=False)

    @cached_property
    def _chi2(self) -> Chi2:  # type: ignore[override]
        """Of which draws are made, and nothing else is."""
        return Chi2(self.df, validate_args=False)

    def expand(self, batch_shape: Axes, _instance: object = None) -> "Student":
        return Student(self.degrees, self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        degrees = self.degrees
        half = 0.5 * (degrees + 1)
        constant = torch.lgamma(half) - torch.lgamma(0.5 * degrees) - 0.5 * (degrees * math.pi).log()
        square = ((value - self.loc) / self.scale).square()
        return (constant - self.scale.log()).addcmul(half, torch.log1p(square / degrees), value=-1)
