"""Why a loss stopped being finite: look at the rows, the weights and the two parts of the bound, in that order."""

import torch
from torch import Tensor, nn

from lambent.model import LatentModel

LARGEST = 1e6  # what an encoder reads is meant to be of about unit scale


@torch.no_grad()
def likeliest_cause(
    model: LatentModel, seen: dict[str, Tensor], x: Tensor | None, learning_rate: float, rival: nn.Module | None = None
) -> str:
    """One sentence: what is at fault and what to do; `seen`: the parts of the bound in the step that failed."""
    right = None if x is None else torch.isfinite(x) | (torch.isnan(x) & model.gaps)
    if right is not None and not bool(right.all()):
        bad = (~right.flatten(1).all(1)).nonzero().flatten().tolist()
        return f"The rows themselves hold numbers that are not finite (at {bad[:5]} of this batch): clean the data."
    broken = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    if broken:
        return (
            f"The weights of {broken[0]} had already stopped being finite: lower the learning rate (now {learning_rate:g}), "
            "or clip gradients (clip=1)."
        )
    if rival is not None and not all(bool(torch.isfinite(p).all()) for p in rival.parameters()):
        return (
            f"The rival's weights had already stopped being finite: lower the learning rate (now {learning_rate:g}), or the "
            "rival's pace (--objective.pace), or clip gradients (clip=1)."
        )
    size = 0.0 if x is None else float(model.likelihood.seen(model.likelihood.observe(x)).abs().max())
    if size > LARGEST:
        return f"The rows hold numbers of size {size:.0e}: scale the data to about unit size."
    parts = {name: bool(torch.isfinite(value).all()) for name, value in seen.items()}
    if not parts.get("kl", True):
        return "The KL overflowed: lower the learning rate, clip gradients, or let the KL weight grow (anneal=linear)."
    if not parts.get("reconstruction", True):
        return (
            f"log p(x|z) of {type(model.likelihood).__name__} overflowed: scale the data to about unit size, raise the "
            "likelihood's floor, or lower the learning rate."
        )
    return f"The gradient overflowed: lower the learning rate (now {learning_rate:g}) or clip gradients (clip=1)."
