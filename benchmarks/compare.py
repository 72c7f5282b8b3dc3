"""An autoencoder, VAEs, a GAN and both on the same pictures, networks and budget: lambent compare on three data sets.

    python benchmarks/compare.py --data FOLDER --minutes 10                    # minutes for each model and seed
    python benchmarks/compare.py --data FOLDER --minutes 10 --only att --device cuda --seeds 3
    python benchmarks/compare.py --data FOLDER --epochs 20 --only fashion --parallel 8     # where trainings share a machine
    python benchmarks/compare.py --data FOLDER --sheets docs/images            # with a sheet of samples for each data set

FOLDER holds `fashion-mnist/`, `emoji/google.npz` and `faces/att.npz`; `LAMBENT_DATA` names it, too. Runs are kept in --keep: a
comparison that was stopped goes on where it was, and one that is finished is measured again.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from record import RESULTS, Record, column
from sheet import save_sheet

import lambent
from lambent.disk.whole import write_whole
from lambent.tasks.compare.comparison import MEASURES, Comparison, Entry, Numbers

PROTOCOL = (
    "lambent compare: for each data set the models known by name, of the same network, latent size and likelihood, each trained "
    "for the epochs in its row (the same for all, or as many as fit into the same minutes by a trial of its own pace), "
    "seeds from 0 on. Means over seeds; ±: their standard error. Trainings may have shared a machine: their seconds are then no "
    "measure. "
    "Samples: 2,000 of each model, beside at most 10,000 training pictures, in one feature space for each data set, learned from "
    "these. Fashion-MNIST: its own test set; of the others a tenth held out. AT&T at 64 × 64. Holdout: pictures that were not "
    "trained on. Copies: training pictures with replacement."
)
SHOWN = (
    "frechet", "precision", "recall", "density", "coverage", "sharpness", "coarse", "middle", "fine", "finest", "bits_per_dim",
    "error", "sharpness_of_reconstructions", "probe", "straightness", "largest_step", "nearer_training", "sampling",
)  # fmt: skip
ERRORS = ("frechet", "recall", "sharpness")
NETWORK = {"type": "Conv", "channels": [32, 64, 128]}
SMALLER = {"type": "Conv", "channels": [16, 32, 64]}  # of few pictures, in small batches: more steps in a minute


@dataclass(frozen=True)
class Setting:
    """A data set: what lambent compare is given, and what holds for all models there."""

    source: Callable[[Path, Path], str]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


def fashion(data: Path, keep: Path) -> str:
    os.environ.setdefault("LAMBENT_DATA", str(data))
    return "fashion-mnist"


def emoji(data: Path, keep: Path) -> str:
    return str(data / "emoji" / "google.npz")


def att(data: Path, keep: Path) -> str:
    """The faces at 64 × 64, with who each is of: ten pictures of each person, in order."""
    tall = np.load(data / "faces" / "att.npz")["x"].reshape(-1, 112, 92)
    small = [np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BOX)) for picture in tall]
    path = keep / "att.npz"
    write_whole(path, lambda place: _saved(place, np.stack(small), np.arange(len(small)) // 10))
    return str(path)


def _saved(place: Path, x: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]") -> None:
    with place.open("wb") as stream:
        np.savez_compressed(stream, x=x, y=y)


SETS = {
    "fashion": Setting(fashion, {"fit": {"batch": 64}}),
    "emoji": Setting(emoji, {"latent": {"size": 64}, "network": SMALLER, "fit": {"batch": 32}}),
    "att": Setting(att, {"latent": {"size": 64}, "network": SMALLER, "fit": {"batch": 16}}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LAMBENT_DATA"), help="the folder of the data")
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--minutes", type=float, default=10.0, help="of training for each model and seed")
    parser.add_argument("--epochs", type=int, help="of training for each, in the place of minutes")
    parser.add_argument("--models", help="as of lambent compare; default: all that are known")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--keep", type=Path, default=Path("runs/compare"), help="where the runs lie")
    parser.add_argument("--sheets", type=Path, help="a folder for a sheet of samples of each data set")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data: which folder?")
    args.keep.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        found = compared(name, args)
        record(name, found, args)
        if args.sheets is not None:
            save_sheets(args.sheets, name, found)


def compared(name: str, args: argparse.Namespace) -> Comparison:
    setting, folder = SETS[name], args.keep / name
    if (folder / "compare.yaml").exists():
        return lambent.compare(None, folder, resume=True, parallel=args.parallel, device=args.device, progress=True)
    return lambent.compare(
        setting.source(args.data, args.keep), folder, models=args.models, epochs=args.epochs,
        minutes=None if args.epochs else args.minutes, seeds=args.seeds, parallel=args.parallel, device=args.device,
        progress=True, settings={"network": NETWORK, **setting.settings},
    )  # fmt: skip


def record(name: str, found: Comparison, args: argparse.Namespace) -> None:
    """A result file for the documentation, and all numbers as lambent compare writes them beside the runs."""
    columns = [column("model", "Model")]
    for measure in SHOWN:
        columns.append(column(measure, MEASURES[measure].title, "", ".3f"))
        if measure in ERRORS:
            columns.append(column(f"{measure}_error", "±", "", ".3f"))
    columns += [
        column("seconds", "Training", "s", ".0f"),
        column("epochs", "Epochs", "", ".0f"),
        column("seeds", "Seeds"),
    ]
    title = f"Models compared: {name}"
    kept = Record(RESULTS / f"compare-{name}.json", title, PROTOCOL, columns, ("model",), args.device)
    for entry in found.entries:
        kept.add(model=entry.name, **_row(entry.numbers), **_effort(entry), seeds=len(entry.by_seed))
    for one, numbers in found.beside.items():
        kept.add(model=one, **_row(numbers))


def _row(numbers: Numbers) -> dict[str, float]:
    known = {name: numbers[name] for name in SHOWN if name in numbers and numbers[name].known}
    row = {name: round(float(one.value or 0.0), 4) for name, one in known.items()}
    return row | {
        f"{n}_error": round(float(one.error), 4) for n, one in known.items() if n in ERRORS and one.error is not None
    }


def _effort(entry: Entry) -> dict[str, float]:
    known = {"seconds": entry.numbers.get("training"), "epochs": entry.numbers.get("epochs")}
    return {
        name: round(float(one.value), 1) for name, one in known.items() if one is not None and one.value is not None
    }


def save_sheets(folder: Path, name: str, found: Comparison) -> None:
    """Samples and reconstructions, a line for each model, as one picture each."""
    shown = {entry.name: entry.shown for entry in found.entries if entry.shown is not None}
    folder.mkdir(parents=True, exist_ok=True)
    save_sheet(folder / f"compare-{name}-samples.png", {one: pictures.samples for one, pictures in shown.items()})
    if found.originals is not None:
        again = {"test rows": found.originals, **{one: pictures.reconstructions for one, pictures in shown.items()}}
        save_sheet(folder / f"compare-{name}-reconstructions.png", again)


if __name__ == "__main__":
    main()
