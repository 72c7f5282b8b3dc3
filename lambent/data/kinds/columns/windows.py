"""Windows of a table: so many consecutive rows as one, the columns of each step beside each other."""

from dataclasses import replace

import torch
from torch import Tensor

from lambent.data.kinds.columns.encoding import Encoding
from lambent.errors import DataError


def widened(encoding: Encoding, steps: int) -> Encoding:
    """The columns of windows of so many steps, the earliest first: NAME[-2], NAME[-1], NAME[0], for each that is modelled."""
    if steps == 1:
        return encoding
    columns = [
        replace(column, name=at_step(column.name, step))  # type: ignore[type-var] # every column is a dataclass
        for step in range(1 - steps, 1)
        for column in encoding.modelled
    ]
    gappy = [at_step(name, step) for step in range(1 - steps, 1) for name in encoding.gappy]
    return Encoding(columns, gappy, encoding.ranks, encoding.of_counts, encoding.leaves)


def at_step(name: str, step: int) -> str:
    """The name of a column at a step, 0 the last of the window, −1 the one before it."""
    return f"{name}[{step}]"


def parted(name: str) -> tuple[str, int]:
    """(column, step) of such a name."""
    column, _, step = name.rpartition("[")
    return column, int(step.rstrip("]"))


def windows(x: Tensor, steps: int, origin: str) -> Tensor:
    """Rows [N, D] as windows [N − T + 1, T · D], the first step first, that share their memory: nothing is copied.

    `DataError` for fewer rows than a window has.
    """
    rows, columns = x.shape
    if rows < steps:
        raise DataError(
            f"{origin}: has {rows:,} rows, and a window takes {steps:,}: give more rows or a shorter window"
        )
    return torch.as_strided(x.contiguous(), (rows - steps + 1, steps * columns), (columns, 1))
