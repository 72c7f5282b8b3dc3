"""left_out: rows with each of their columns left out in turn, a chunk at a time, whatever their likelihood."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from lambent.distributions.columnwise import Separate, columnwise
from lambent.fitted import Rows
from lambent.metrics.bound import steadily
from lambent.model import LatentModel
from lambent.progress import counting
from lambent.tasks.conditional import require_any_order
from lambent.tasks.detection.masked import LeftOut, Masked
from lambent.tasks.detection.reweighed import MOST_ROWS, Shape, reweighed


@torch.no_grad()
def left_out(
    model: LatentModel, rows: Rows, middle: Tensor, partner: Mapping[int, int], seed: int = 0, what: str = "reasons"
) -> Iterator[tuple[Tensor, LeftOut]]:
    """Rows a chunk at a time, each with every column left out in turn: their numbers [chunk], and what they cost.

    middle: [columns], a usual value of each, which stands for one that is left out where a model takes no gaps. partner: of the
    indicators of gaps, the columns that they are of. The same row has the same numbers beside whatever others.
    Errors: `UsageError` for a model whose rows have no columns, or whose columns were learned in one order alone.
    """
    require_any_order(model)
    shape = Shape.of(model, rows.x.shape[1]) if _separate(model, rows) else None
    chunk = MOST_ROWS if shape is None else shape.rows
    with counting(what, len(rows)) as add:
        for start in range(0, len(rows), chunk):
            index = torch.arange(start, min(start + chunk, len(rows)))
            with steadily():
                if shape is None:
                    found: LeftOut = Masked(model, rows.at(index), chunk, partner, seed)
                else:
                    found = reweighed(model, rows.at(index), shape, middle, seed)
                yield index, found
            add(len(index))


def _separate(model: LatentModel, rows: Rows) -> bool:
    """Whether the columns are independent given a code."""
    one = rows.at(torch.zeros(1, dtype=torch.long))
    context = None if one.context is None else one.context.to(model.device)
    return isinstance(columnwise(model.trace(one.x.to(model.device), 1, context=context).px), Separate)
