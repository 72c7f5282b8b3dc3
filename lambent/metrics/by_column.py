"""The reconstruction term of rows, column by column."""

import torch
from torch import Tensor

from lambent.distributions.columnwise import columnwise
from lambent.metrics.bound import SAMPLES, Chunk, filled, steadily
from lambent.model import LatentModel
from lambent.model.noise import row_keys
from lambent.model.trace import from_keys
from lambent.progress import counting
from lambent.training import heap


@torch.no_grad()
def column_terms(
    model: LatentModel, x: Tensor, samples: int = SAMPLES, seed: int = 0, context: Tensor | None = None
) -> Tensor:
    """E_q[log p(x_j | z, and whatever columns j sees)] of every row and column, [rows, columns], in nats of the encoded rows.

    By the same codes as `bounds`: over the columns it sums to that one's `log_px`. 0 where a value is missing.
    Raises `UsageError` for a model whose rows have no columns.
    """
    heap.settle()
    chunk = Chunk.of(model, samples, seed)
    sums = torch.empty(x.shape, dtype=torch.float64)
    with counting("scoring columns", len(x)) as add, steadily():
        for start in range(0, len(x), chunk.rows):
            rows = filled(x, start, chunk.rows).to(model.device)
            given = None if context is None else filled(context, start, chunk.rows).to(model.device)
            real, keys = min(chunk.rows, len(x) - start), row_keys(rows, seed)
            total = torch.zeros(rows.shape, dtype=torch.float64, device=rows.device)
            for done in range(0, samples, chunk.at_once):
                count = min(chunk.at_once, samples - done)
                trace = model.trace(rows, count, from_keys(chunk.noise, keys, done, model.members), given)
                total += columnwise(trace.px).column_log_prob(trace.x).double().sum(0)
            sums[start : start + real] = (total / (samples * model.members))[:real].cpu()
            add(real)
    return sums
