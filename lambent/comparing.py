"""compare: models trained on the same data, networks and budget, and measured alike. The face of `lambent compare` in Python."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli.reading.entries import asked_for
from lambent.cli.verbs.compare import SAMPLES, SEEDS, carried, resumed, vacant
from lambent.cli.verbs.recipes import write_npz
from lambent.errors import UsageError
from lambent.tasks.compare.comparison import Comparison

ROWS = "rows.npz"  # arrays as they were given, beside the runs


def compare(
    data: Any,
    out: str | Path,
    y: Any = None,
    *,
    models: str | Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    seeds: int = SEEDS,
    parallel: int = 1,
    odd: str | None = None,
    samples: int = SAMPLES,
    features: str | Path | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    progress: bool = False,
) -> Comparison:
    """Train models on the same rows, with the same networks and budget, and measure all alike.

    data: a path, the name of a data set, or an array, which is written into the folder, with labels `y`. out: the folder of the
    runs, of `compare.html` with the whole report and of `compare.json`. models: of "autoencoder", "vae", "default", "gan" and
    "vae-gan" (none: all), paths of YAML recipes, or a mapping from a name to a recipe's sections. epochs or minutes: the budget
    of each; neither: as many epochs as suit the rows. seeds: of each model. parallel: trainings at a time, each in a process of
    its own. odd: a label; each model is trained once more without its rows, and measured by how well it finds them. samples:
    drawn from each. features: the file of a feature space, so that numbers of several comparisons go together. settings: what
    holds for all, by section as in YAML: {"network": {"type": "ResNet"}, "latent": {"size": 16}, "fit": {"batch": 64}}. resume:
    go on with the comparison in the folder, whose settings stand; of one that is finished, measure again.
    Errors: `UsageError` for settings that cannot be, or where none of the models suits the data; `InterruptedRun` when stopped.
    """
    options = Namespace(
        out=str(out), resume=str(out), force=force, epochs=epochs, minutes=minutes, seeds=seeds, samples=samples, odd=odd,
        features=None if features is None else str(features), parallel=parallel, modules=[], device=device,
        quiet=not progress, json=False,
    )  # fmt: skip
    if resume:
        return resumed(options)
    if epochs is not None and minutes is not None:
        raise UsageError("epochs and minutes both say how long to train: leave one of them out")
    vacant(Path(out), force)  # before the rows are written there
    tree = {name: dict(section) for name, section in (settings or {}).items()}
    if "objective" in tree:
        raise UsageError(
            "settings: each model of a comparison brings its own objective; give models a recipe of theirs"
        )
    tree["data"] = {**tree.get("data", {}), "source": _source(data, y, Path(out))}
    return carried(tree, asked_for(models), options)


def _source(data: Any, y: Any, folder: Path) -> str:
    """The path or the name that the trainings read."""
    if isinstance(data, (str, Path)):
        if y is not None:
            raise UsageError("y: labels go with an array; a path or a data set brings its own")
        return str(data)
    arrays = {"x": np.asarray(data), **({} if y is None else {"y": np.asarray(y)})}
    folder.mkdir(parents=True, exist_ok=True)
    return str(write_npz(folder / ROWS, arrays))
