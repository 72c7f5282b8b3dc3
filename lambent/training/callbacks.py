"""Callbacks: what may watch a training. Any object with some of these methods will do."""

import json
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lambent.disk.whole import write_text
from lambent.errors import MachineError
from lambent.progress import Display
from lambent.training.run import Run
from lambent.training.sparing import Sparing

CONTEST = {
    "rival_accuracy": "rival right",
    "spread": "spread",
}  # columns of the history that show a contest, and their names


@runtime_checkable
class Callback(Protocol):
    """Watches a training. `on_step(run)` may be added; it is called after every step, so keep it quick.

    So may `on_threads(run)`, called when the number of threads was changed because steps had become slow.
    """

    def on_start(self, run: Run) -> None: ...

    def on_epoch(self, run: Run) -> None: ...

    def on_end(self, run: Run) -> None: ...

    def on_interrupt(self, run: Run) -> None: ...


class Quiet:
    """A callback that does nothing: inherit what you do not need."""

    def on_start(self, run: Run) -> None: ...

    def on_epoch(self, run: Run) -> None: ...

    def on_end(self, run: Run) -> None: ...

    def on_interrupt(self, run: Run) -> None: ...


class Progress(Quiet):
    """Steps, rate and time left on standard error, with the two parts of the bound."""

    def __init__(self) -> None:
        self.seen = ""

    def on_start(self, run: Run) -> None:
        self.meter = Display(lasting=True).begun("training", run.total)

    def on_step(self, run: Run) -> None:
        self.meter.moved(run.step, self.seen, f"epoch {min(run.epoch + 1, run.epochs)}/{run.epochs}")

    def on_epoch(self, run: Run) -> None:
        last = {name: values[-1] for name, values in run.history.items()}
        shown = {"−ELBO": "elbo", "KL": "kl", "validation −ELBO": "validation_elbo"}
        if not run.bounded:
            shown = {"loss": "loss", "KL": "kl", "validation loss": "validation_loss"}
        self.seen = "  ".join(
            f"{title} {abs(value) if name == 'kl' else -value if name.endswith('elbo') else value:.2f}"
            for title, name in shown.items()
            if (value := last.get(name)) is not None
        )
        contest = [f"{title} {value:.2f}" for name, title in CONTEST.items() if (value := last.get(name)) is not None]
        self.seen = "  ".join([*filter(None, [self.seen]), *contest])

    def on_end(self, run: Run) -> None:
        self.meter.ended()

    on_interrupt = on_end


class Journal(Quiet):
    """`history.jsonl`: one JSON object per epoch, rewritten whole, for a kill leaves no half line, in at most 3 % of the time."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.sparing = Sparing()

    def on_start(self, run: Run) -> None:
        """A run that is gone on with may have been killed after its checkpoint and before this file was written."""
        if run.history:
            self.write(run)

    def on_epoch(self, run: Run) -> None:
        self.sparing.do(lambda: self.write(run))

    def on_end(self, run: Run) -> None:
        self.write(run)

    def on_interrupt(self, run: Run) -> None:
        if run.history:
            self.write(run)

    def write(self, run: Run) -> None:
        names = list(run.history)
        rows = zip(*(run.history[name] for name in names), strict=True)
        write_text(self.path, "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))


class TensorBoard(Quiet):
    """Every column of the history, once an epoch, for TensorBoard (`pip install lambent[track]`)."""

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MachineError("TensorBoard is not installed: pip install 'lambent[track]'") from None
        self.writer: Any = SummaryWriter(str(folder))

    def on_epoch(self, run: Run) -> None:
        for name, values in run.history.items():
            if values[-1] is not None and name != "epoch":
                self.writer.add_scalar(name, values[-1], run.epoch)

    def on_end(self, run: Run) -> None:
        self.writer.close()

    on_interrupt = on_end


class MLflow(Quiet):
    """The spec as parameters and the history as metrics, for MLflow (`pip install lambent[track]`)."""

    def __init__(self, experiment: str = "lambent", **settings: Any) -> None:
        try:
            import mlflow
        except ImportError:
            raise MachineError("MLflow is not installed: pip install 'lambent[track]'") from None
        self.mlflow = mlflow
        self.experiment = experiment
        self.settings = settings

    def on_start(self, run: Run) -> None:
        self.mlflow.set_experiment(self.experiment)
        self.mlflow.start_run(**self.settings)
        self.mlflow.log_dict({"model": run.model.spec(), "objective": run.objective.spec()}, "spec.json")

    def on_epoch(self, run: Run) -> None:
        last = {name: values[-1] for name, values in run.history.items() if values[-1] is not None and name != "epoch"}
        self.mlflow.log_metrics(last, step=run.epoch)

    def on_end(self, run: Run) -> None:
        self.mlflow.end_run()

    def on_interrupt(self, run: Run) -> None:
        self.mlflow.end_run(status="KILLED")
