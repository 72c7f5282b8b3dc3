"""Saving: what a step keeps for its gradient, and how much less that is in bfloat16, recomputed, or in parts."""

import sys

import torch
from torch import Tensor

from lambent.memory import shown
from lambent.model.recomputing import recomputing
from lambent.model.trace import from_posterior, from_prior
from lambent.training.callbacks import Quiet
from lambent.training.precision import computing
from lambent.training.run import Run

MUCH = 10**8  # bytes below which nobody asks what bfloat16 saves


def saved(run: Run) -> str | None:
    """One sentence on what a step keeps, in float32 and by each way to save that is on; None where none is, or little is kept.

    Counted in passes over one row and two, of which the second has twice what hangs on rows: a batch's is that many times over.
    """
    settings, batch = run.settings, min(run.settings.batch, run.batches.rows or run.settings.batch)
    asked = settings.accumulate > 1 or settings.recompute
    if not asked and settings.precision == "fp32":
        return None
    sizes = [("in float32", batch * _of_a_row(run, "fp32", False))]
    if settings.precision == "bf16":
        sizes.append(("in bfloat16", batch * _of_a_row(run, "bf16", False)))
    if settings.recompute:
        sizes.append(("with blocks computed again", batch * _of_a_row(run, settings.precision, True)))
    if settings.accumulate > 1:
        sizes.append((f"in {settings.accumulate} parts", -(-sizes[-1][1] // settings.accumulate)))
    if not sizes[0][1] or (not asked and sizes[0][1] < MUCH):
        return None
    steps = ", ".join(f"{shown(size)} {how}" for how, size in sizes)
    return f"for the gradient of a batch of {batch:,} rows about {shown(sizes[-1][1])} are kept: {steps}"


class Told(Quiet):
    """Says at the start of a training, on standard error, what its ways to save memory save."""

    def on_start(self, run: Run) -> None:
        if (sentence := saved(run)) is not None:
            sys.stderr.write(f"{sentence}\n")


def _of_a_row(run: Run, precision: str, recompute: bool) -> int:
    """Bytes that a pass keeps for each row."""
    rows = run.batches.examples(2)
    if len(rows) < 2:
        return 0
    generator = torch.Generator(run.device).manual_seed(0)
    rows = rows.to(run.device)
    rows = rows if run.transform is None else run.transform(rows.clone(), generator)
    training = run.model.training
    run.model.eval()  # a pass that leaves no trace
    try:
        with computing(run.model, precision, run.device):
            one, two = (_kept(run, rows[:n], generator, recompute) for n in (1, 2))
    finally:
        run.model.train(training)
    return two - one


def _kept(run: Run, rows: Tensor, generator: torch.Generator, recompute: bool) -> int:
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        storages[storage.data_ptr()] = storage
        return x

    model = run.model
    context = torch.zeros(len(rows), model.context, device=run.device) if model.context else None
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x), recomputing(recompute, pack):
        if model.latent.encodes:
            trace = model.trace(rows, run.objective.draws, from_posterior(generator), context)
            _ = trace.log_px.sum() + (trace.kl.sum() if model.latent.density else 0.0)
        else:  # the rival's own passes aside
            _ = model.likelihood.forged(model.generate(len(rows), from_prior(generator), context)).sum()
    return sum(storage.nbytes() for storage in storages.values())
