"""Disentanglement: a plain VAE, β-VAE, β-TC, Factor and DIP on a stated part of sprites, over several seeds.

    python benchmarks/disentangle.py --minutes 10                       # of training for each
    python benchmarks/disentangle.py --epochs 60 --seeds 0 1 2 3 4      # the same for each, however fast
    python benchmarks/disentangle.py --minutes 2 --only "β-TC" --seeds 0

The result file is written after every training, so that runs of single methods or seeds make one table; the row of a method's
median, over the seeds that are there, is renewed with it.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Record, column

import lambent
from lambent import Fitted, LatentModel, Objective, evaluate, fit
from lambent.data.kinds.modality import Encoded
from lambent.data.splitting import take

DATA = "sprites?shape=3,scale=6,orientation=10,x=8,y=8,size=32"
SCORES = ("mig", "mig_bins20", "dci_disentanglement", "dci_completeness", "sap", "factor_vae", "modularity")
PROTOCOL = (
    "Sprites of 32 × 32: 3 shapes, 6 scales, 10 orientations, 8 × 8 places, every combination once: 11,520 pictures, all of "
    "which are trained on, as is usual for these scores. Conv of 32 and 64 channels, a code of 10 units, a standard prior, "
    "Bernoulli pixels; Adam at 0.001, falling by half a cosine, batches of 64, gradients clipped at 200; each method with as "
    "many epochs, or minutes, which stand in each row. Five factors, of which orientation is the hardest: squares look alike at "
    "four angles, ellipses at two. Scores of 5,000 rows drawn by the seed; MIG by nearest neighbours on draws of q(z|x); MIG of "
    "20 bins of the means as in disentanglement_lib; DCI by a random forest; SAP by R² of ordered factors and thresholds for "
    "shape. A row for each seed, and the medians over seeds."
)
COLUMNS = [
    column("method", "Method"),
    column("seed", "Seed"),
    column("mig", "MIG", "", ".3f"),
    column("mig_bins20", "MIG, 20 bins", "", ".3f"),
    column("dci_disentanglement", "DCI D, forest", "", ".3f"),
    column("dci_completeness", "DCI C, forest", "", ".3f"),
    column("sap", "SAP", "", ".3f"),
    column("factor_vae", "FactorVAE score", "", ".3f"),
    column("modularity", "Modularity", "", ".3f"),
    column("active", "Active units", "", ".0f"),
    column("elbo", "ELBO", "nats", ".1f"),
    column("reconstruction", "−log p(x|z)", "nats", ".1f"),
    column("epochs", "Epochs", "", ".0f"),
    column("minutes", "Training", "min", ".1f"),
]


@dataclass(frozen=True)
class Method:
    """An objective by its spec."""

    objective: dict[str, Any]


METHODS = {
    "VAE": Method({"type": "Elbo", "beta": 1.0}),
    "β-VAE, β = 4": Method({"type": "Elbo", "beta": 4.0}),
    "β-TC, β = 6": Method({"type": "BetaTc", "beta": 6.0}),
    "Factor, γ = 10": Method({"type": "Factor", "gamma": 10.0}),
    "DIP II": Method({"type": "DipVae"}),
}
MEDIAN = "median"


def model_of(rows: Encoded, seed: int) -> LatentModel:
    """The same network for every method."""
    spec = {
        "latent": {"type": "Flat", "size": 10},
        "likelihood": {"type": "Bernoulli"},
        "network": {"type": "Conv", "channels": [32, 64]},
    }
    return LatentModel.from_spec({"type": "LatentModel", **spec}).setup(rows.modality.event, rows.x, seed)


def epochs_within(method: Method, rows: Encoded, minutes: float, how: dict[str, Any]) -> int:
    """As many epochs as fit, by the time of the second and later of a few on a part of the rows."""
    few = take(rows, np.arange(0, len(rows), 8))
    history = fit(model_of(rows, 0), Objective.from_spec(method.objective), few, epochs=4, **how)
    seconds = float(np.median(np.diff(np.array(history["seconds"], float)))) * len(rows) / len(few)
    return max(2, round(60 * minutes / seconds))


def measured(fitted: Fitted, rows: Encoded, seed: int) -> dict[str, float]:
    """The scores of a training, and what it cost in nats."""
    found = lambent.disentangle(fitted, rows, seed=seed)
    some = np.arange(0, len(rows), 13)  # a step that no factor's count shares, so that every value is among them
    known = evaluate(fitted, take(rows, some), samples=8, seed=seed).metrics
    return {
        **{name: found[name] for name in SCORES},
        "active": float(found.codes.active.sum()),
        "elbo": known["elbo"].value,
        "reconstruction": known["reconstruction"].value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--minutes", type=float, default=10, help="of training for each")
    parser.add_argument("--epochs", type=int, help="of training for each, in the place of minutes")
    parser.add_argument("--data", default=DATA, help="another part of sprites, for a try")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "disentangle.json")
    args = parser.parse_args()
    rows = lambent.data.load(args.data)
    title = "Disentanglement on sprites"
    record = Record(args.out, title, PROTOCOL, COLUMNS, ("method", "seed"), args.device)
    for name in args.only:
        for seed in args.seeds:
            how: dict[str, Any] = {
                "batch": 64, "learning_rate": 1e-3, "schedule": "cosine", "clip": 200.0, "seed": seed, "device": args.device,
            }  # fmt: skip
            epochs = args.epochs or epochs_within(METHODS[name], rows, args.minutes, how)
            model, began = model_of(rows, seed), time.perf_counter()
            fit(model, Objective.from_spec(METHODS[name].objective), rows, epochs=epochs, **how)
            minutes = (time.perf_counter() - began) / 60
            numbers = measured(Fitted(model.eval(), rows.modality), rows, seed)
            record.add(method=name, seed=seed, epochs=epochs, minutes=minutes, **numbers)
            _add_median(record, name)
            print(f"{name}, seed {seed}: {epochs} epochs, {minutes:.1f} min, " + _told(numbers), flush=True)


def _add_median(record: Record, name: str) -> None:
    """The medians of a method over the seeds that are there."""
    own = [row for row in record.whole["rows"] if row["method"] == name and row["seed"] != MEDIAN]
    numbers = [one["name"] for one in COLUMNS if one["name"] not in ("method", "seed")]
    record.add(method=name, seed=MEDIAN, **{key: float(np.median([row[key] for row in own])) for key in numbers})


def _told(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())


if __name__ == "__main__":
    main()
