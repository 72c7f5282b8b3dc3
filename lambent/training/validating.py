"""The bound's parts on the validation rows, and what an objective looks at beside them."""

from contextlib import nullcontext

import torch

from lambent.model.labelling import with_labels
from lambent.model.trace import from_posterior
from lambent.objectives.base import averaged
from lambent.seeds import stream
from lambent.training.run import Run


@torch.no_grad()
def validated(run: Run) -> dict[str, float | None]:
    """Means over the validation rows, in nats: one sample, the same noise each time, with the averaged weights."""
    if run.validation is None or not run.model.latent.encodes:  # without an encoder there are no codes of other rows
        return {}
    run.model.eval()
    generator = torch.Generator(run.device).manual_seed(stream(run.seed, "validation noise"))
    sums, rows = torch.zeros(3, dtype=torch.float64), 0
    with run.average.applied() if run.average is not None else nullcontext():
        for x, context, _ in run.validation.epoch(0):
            x = run.transform(x, generator) if run.transform is not None else x
            context = None if context is None else with_labels(run.model, x, context)
            trace = run.model.trace(x, 1, from_posterior(generator), context)
            kl = averaged(trace.kl)
            further = run.objective.further(run.model, trace, generator)
            beside = kl.new_zeros(()) if further is None else -further.sum()
            sums += torch.stack([-averaged(trace.log_px).sum(), kl.sum(), beside]).double().cpu()
            rows += len(x)
    run.model.train()
    reconstruction, kl_mean, beside_mean = (float(value) / rows for value in sums)
    weighted = run.objective.weighed(reconstruction, kl_mean) + beside_mean
    means = {"validation_reconstruction": reconstruction, "validation_kl": None, "validation_elbo": None}
    if run.priced:
        means["validation_kl"] = kl_mean
    if run.bounded:
        means["validation_elbo"] = -reconstruction - kl_mean
    return means | {"validation_loss": weighted}


@torch.no_grad()
def examined(run: Run) -> None:
    """Show the objective as many validation rows as it asks for, or training rows where it asks for those or there are no others.

    They are the same each time.
    """
    wanted = run.objective.examined
    if not wanted:
        return
    run.model.eval()
    generator = torch.Generator(run.device).manual_seed(stream(run.seed, "examination"))
    rows, contexts, count = [], [], 0
    held_out = None if run.objective.examines_training else run.validation
    for x, context, _ in (held_out or run.batches).epoch(0):
        rows.append(x[: wanted - count].clone())  # batches share their memory
        contexts.append(None if context is None else context[: wanted - count].clone())
        count += len(rows[-1])
        if count >= wanted:
            break
    x = torch.cat(rows)
    x = run.transform(x, generator) if run.transform is not None else x
    given = [context for context in contexts if context is not None]
    run.objective.examine(run.model, x, torch.cat(given) if given else None, generator)
    run.model.train()
