"""How many epochs a budget of minutes allows, and how many units of a code are in use along the way."""

from torch import Tensor

from lambent.metrics.collapse import levels
from lambent.model import LatentModel
from lambent.training.callbacks import Quiet
from lambent.training.run import Run


class Quarter(Quiet):
    """How many units are active after a quarter of the training, of some rows."""

    def __init__(self, rows: Tensor, context: Tensor | None) -> None:
        self.rows, self.context, self.found = rows, context, 0

    def on_epoch(self, run: Run) -> None:
        if not self.found and run.epoch >= run.epochs // 4:
            self.found = active(run.model, self.rows, self.context)


def active(model: LatentModel, rows: Tensor, context: Tensor | None) -> int:
    return int(sum(int(level.active.sum()) for level in levels(model, rows, context=context)))


def affordable(seconds: list[float | None], times: float, minutes: float) -> int:
    """How many epochs of so many times the rows fit into so many minutes, by the last of a few short ones; at least 4."""
    before, last = seconds[-2:]
    assert before is not None
    assert last is not None
    return max(4, int(minutes * 60 / (max(1e-4, last - before) * times)))
