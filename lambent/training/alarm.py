"""Alarm: says while training, once, that the code has collapsed, as soon as that is certain."""

import math
from collections.abc import Callable, Mapping, Sequence

from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.training.callbacks import Quiet
from lambent.training.run import Run

NOTHING = 0.1  # nats: a code with less KL in all carries nothing
LASTING = 3  # epochs that say the same
TRIED = 0.2  # share of the training before which a code may still wake up
AWAKE = 1.2  # times by which a KL that wakes up grows within LASTING epochs


class Alarm(Quiet):
    """Says once that the code has collapsed, or holds its free bits and no more; `say` takes a line of text.

    Certain is what the last epochs say alike once the objective has come to its final weights and a fifth is done:
    a KL below 0.1 nats in all, or within 2 % of what is free of it, that does not grow.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.said = False
        self.settled = 0  # epochs since the weights are final

    def on_epoch(self, run: Run) -> None:
        self.settled = self.settled + 1 if run.objective.settled else 0
        if self.said or not run.priced or run.model.latent.discrete or run.step < TRIED * run.total:
            return
        if self.settled < LASTING:
            return
        if (told := collapsed(run.history, free_of(run.objective, run.model))) is not None:
            self.said = True
            self.say(f"epoch {run.epoch}: {told}; lambent diagnose RUN says why, and what cures it")


def free_of(objective: Objective, model: LatentModel) -> float:
    """The nats of KL that cost the same as none."""
    units = sum(model.latent.sizes_of_levels)
    given = [getattr(objective, "free_bits", 0.0) * units, getattr(objective, "floor", 0.0)]
    given.append(getattr(objective, "free_group", 0.0) * len(model.latent.shapes_of_levels))
    return float(max(given))


def collapsed(history: Mapping[str, Sequence[float | None]], free: float = 0.0) -> str | None:
    """What the last epochs say of a code that carries nothing; None where they do not, or are too few."""
    lately = [v for v in list(history.get("kl") or ())[-LASTING:] if v is not None and math.isfinite(v)]
    if len(lately) < LASTING or lately[-1] > AWAKE * lately[0]:
        return None
    if max(lately) < NOTHING:
        return f"the code has collapsed: a KL of {lately[-1]:.2g} nats a row in the last {LASTING} epochs"
    if free and max(lately) < 1.02 * free and min(lately) > 0.9 * free:
        return f"the code holds the {free:g} nats that are free and no more (a KL of {lately[-1]:.3g}), and may carry nothing"
    return None
