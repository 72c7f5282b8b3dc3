"""One step's gradient: of a whole batch, or of its parts one after the other, with or without recomputing."""

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.recomputing import recomputing
from lambent.objectives import Loss, Objective
from lambent.training.run import Run


def gradient(run: Run, x: Tensor, context: Tensor | None) -> tuple[Loss, Tensor]:
    """Add the gradient of the batch's mean loss to the weights'; the loss of every row, and the mean.

    In parts of r of n rows the gradient is that of Σ_parts Σ_rows loss / n, which is the mean's: what a part keeps of its
    forward pass is let go of before the next. The loss then has no trace.
    """
    parts, settings = [], run.settings
    with recomputing(settings.recompute):
        given = [None] * len(x) if context is None else context.chunk(settings.accumulate)
        for rows, own in zip(x.chunk(settings.accumulate), given, strict=False):
            loss = run.objective(run.model, rows, run.generator, own)
            (loss.rows.mean() if len(rows) == len(x) else loss.rows.sum() / len(x)).backward()
            parts.append(loss)
            if len(rows) < len(x):
                loss.rows, loss.trace = loss.rows.detach(), None
    return _joined(parts)


def _joined(parts: list[Loss]) -> tuple[Loss, Tensor]:
    if len(parts) == 1:
        return parts[0], parts[0].rows.detach().mean()
    rows = torch.cat([part.rows for part in parts])
    seen = {name: torch.cat([part.seen[name] for part in parts]) for name in parts[0].seen}
    return Loss(rows, seen), rows.mean()


def refuse_parts(model: LatentModel, objective: Objective, accumulate: int) -> None:
    """`UsageError` where a batch cannot be taken in parts: its rows are looked at together."""
    if accumulate == 1:
        return
    whole = objective if not objective.by_row else None if model.latent.by_row else model.latent
    if whole is not None:
        raise UsageError(
            f"accumulate={accumulate} takes a batch in parts, and {type(whole).__name__} as it is set looks at all of its rows "
            "together: use accumulate=1 and a smaller batch, or recompute=True, which saves memory too"
        )
