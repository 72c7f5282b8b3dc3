"""One training in many calls: what is kept between two passes over rows that come bit by bit."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.training.callbacks import Quiet
from lambent.training.checkpoint import refill, state_of
from lambent.training.fitting import prepared
from lambent.training.loop import Loop
from lambent.training.precision import Precision
from lambent.training.run import Run
from lambent.training.settings import Training


@dataclass(frozen=True)
class Kept:
    """A training between two passes: its seed, its precision, its setting of threads, and all that a checkpoint would hold."""

    seed: int
    precision: Precision
    threads: int | str | None
    state: dict[str, Any]
    tensors: dict[str, Tensor]


def one_pass(
    model: LatentModel, objective: Objective, data: Any, settings: Training, before: Kept | None, callbacks: Any = ()
) -> Kept:
    """One more epoch over these rows; weights, moments, opponent, averages, λ and counts go on from where they were.

    The objective's progress goes from 0 to 1 over the steps that `settings.epochs` passes over the first call's rows make
    (none: as many as `fit` would make), and stays at 1. A model that has been trained before, but not in this way, starts
    there. Which losses count as spikes is learned anew, for other rows may lie on another level.
    """
    trained = model.ready and before is None
    if before is not None:
        settings = settings.changed(seed=before.seed, precision=before.precision)
    run = prepared(model, objective, data, settings)
    if before is not None:
        asked = run.threads, run.options, run.watched
        refill(run, "the training so far", before.state, before.tensors)
        if settings.threads != before.threads:  # other ones than at the pass before, which had made its choice
            run.threads, run.options, run.watched = asked
        for spikes in (run.spikes, run.opponent_spikes):
            if spikes is not None:
                spikes.lift()
    elif trained:
        run.total = 1
    run.settings = run.settings.changed(epochs=run.epoch + 1)
    keeper = _Keeper()
    Loop(run, [keeper, *callbacks]).train()
    assert keeper.kept is not None
    return keeper.kept


class _Keeper(Quiet):
    """Takes the state at the epoch's end, before averages are put in the place of weights."""

    kept: Kept | None = None

    def on_epoch(self, run: Run) -> None:
        self.kept = Kept(run.seed, run.settings.precision, run.settings.threads, *state_of(run))
