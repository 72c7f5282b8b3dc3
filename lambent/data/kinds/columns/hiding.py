"""Hiding: rows of a table with some of their cells gone, so that a model learns what any cells say of any others."""

import torch
from torch import Tensor


def hidden(
    x: Tensor, columns: int, indicates: tuple[int, ...], share: float, generator: torch.Generator | None = None
) -> Tensor:
    """Encoded rows [N, D] with their indicators, and of a `share` of them some cells NaN.

    The first `columns` numbers of a row are its cells; those behind are indicators, 1 where the column that `indicates` names
    is NaN in x. Each row that loses cells loses every cell with one probability, which is drawn uniformly for the row. What an
    indicator says stays that of x: a cell that was hidden is not missing in the data.
    """
    x = x.clone()
    if indicates:
        x[:, columns:] = torch.isnan(x[:, list(indicates)]).to(x.dtype)
    if share > 0:
        where = "cpu" if generator is None else generator.device
        rows = torch.rand(len(x), 2, generator=generator, device=where)
        cells = torch.rand(len(x), columns, generator=generator, device=where)
        gone = (cells < rows[:, 1:]) & (rows[:, :1] < share)
        x[:, :columns].masked_fill_(gone.to(x.device), torch.nan)
    return x
