"""The reconstruction of rows by the middle of their codes: one pass, without noise."""

import torch
from torch import Tensor

from lambent.metrics.bound import BUDGET, GPU_BUDGET, filled, held, steadily
from lambent.model import LatentModel
from lambent.model.trace import mean
from lambent.progress import counting
from lambent.training import heap

MOST_ROWS = 512  # of a chunk: more are no faster, and one row alone costs as much as all of them


@torch.no_grad()
def reconstructed(model: LatentModel, x: Tensor, context: Tensor | None = None) -> Tensor:
    """−log p(x | z = μ(x)), μ(x) the centre of q(z|x), of every row and member: [members, rows] in float64, nats of encoded rows.

    No bound on log p(x): what the code costs is left out. Of a row's content alone, the same bits beside whatever others and in
    any order; memory does not grow with the rows but for the result.
    """
    heap.settle()
    rows = _rows_of(model)
    found = torch.empty(model.members, len(x), dtype=torch.float64)
    with counting("reconstructing", len(x)) as add, steadily():
        for start in range(0, len(x), rows):
            real = min(rows, len(x) - start)
            given = None if context is None else filled(context, start, rows).to(model.device)
            trace = model.trace(filled(x, start, rows).to(model.device), 1, mean, given)
            found[:, start : start + real] = -trace.log_px[:, :real].double().cpu()
            add(real)
    return found


def _rows_of(model: LatentModel) -> int:
    """Rows of a chunk, a power of two: always so many are computed together, whatever their number."""
    numbers = GPU_BUDGET if model.device.type == "cuda" else BUDGET
    return 1 << (min(MOST_ROWS, max(1, numbers // held(model))).bit_length() - 1)
