"""What each member of a model makes of rows, with each code at the centre of its posterior: one pass, without noise."""

from collections.abc import Callable

import torch
from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import BUDGET, GPU_BUDGET, filled, held, steadily
from lambent.model import LatentModel
from lambent.model.trace import mean
from lambent.progress import counting
from lambent.training import heap

MOST_ROWS = 1024  # of a chunk: more are no faster
Read = Callable[[LatentModel, Tensor, Tensor | None], Tensor]


def described(fitted: Fitted, rows: Rows) -> Tensor:
    """−log p(x | z = the centre of q(z|x)) + KL(q(z|x) ‖ p(z)), [members, rows], float64, in nats of x as the model takes it.

    What it takes to describe a row by its code, without the noise of a sample; the KL is left out where q has no density.
    """
    density = fitted.model.latent.density

    def read(model: LatentModel, x: Tensor, context: Tensor | None) -> Tensor:
        trace = model.trace(x, 1, mean, context)
        return trace.kl.double() - trace.log_px.double() if density else -trace.log_px.double()

    return by_chunks(fitted, rows, read)


def codes(fitted: Fitted, rows: Rows) -> Tensor:
    """The centres of q(z|x), all levels side by side, [members, rows, units], float64."""

    def read(model: LatentModel, x: Tensor, context: Tensor | None) -> Tensor:
        return torch.cat([node.z.flatten(2) for node in model.infer(x, 1, mean, context)], -1).double()

    return by_chunks(fitted, rows, read)


@torch.no_grad()
def by_chunks(fitted: Fitted, rows: Rows, read: Read) -> Tensor:
    """What `read` makes of rows, [members, rows, …], in chunks of one size, so that a row's digits hang on no other."""
    model = fitted.model
    heap.settle()
    size = _rows_of(model)
    found: Tensor | None = None
    with counting("scoring", len(rows)) as add, steadily():
        for start in range(0, len(rows), size):
            given = None if rows.context is None else filled(rows.context, start, size).to(model.device)
            made = read(model, filled(rows.x, start, size).to(model.device), given).cpu()
            if found is None:  # made at once: small pieces between large chunks would leave holes in the heap
                found = made.new_empty(len(made), len(rows), *made.shape[2:])
            real = min(size, len(rows) - start)
            found[:, start : start + real] = made[:, :real]
            add(real)
    assert found is not None
    return found


def _rows_of(model: LatentModel) -> int:
    """Rows of a chunk, a power of two: always so many are computed together, whatever their number."""
    numbers = GPU_BUDGET if model.device.type == "cuda" else BUDGET
    return 1 << (min(MOST_ROWS, max(1, numbers // held(model))).bit_length() - 1)
