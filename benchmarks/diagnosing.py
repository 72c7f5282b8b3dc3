"""Models of MNIST that fail, each by one cause: what `lambent diagnose` says of them, and what they look like.

    python benchmarks/diagnosing.py --data FOLDER --sheet docs/images/diagnosing.png
    python benchmarks/diagnosing.py --only well dear

On the sheet each model has a line of reconstructions and one of samples, below two lines of the originals.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from record import RESULTS, Record, column
from sheet import WIDE, save_sheet

from lambent import diagnose
from lambent.data import Encoded, Image, load
from lambent.data.splitting import take
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.part import Spec
from lambent.tasks.diagnosis.diagnose import Diagnosis, numbers
from lambent.tasks.samples import drawing
from lambent.training.fitting import fit

ROWS, HELD = 6000, 1000
GAUSSIAN: Spec = {"type": "Gaussian", "scale": "one"}
PROTOCOL = (
    "MNIST in 256 grey levels, 6,000 training rows drawn by the seed (of the model with few rows 100), the first 1,000 of the "
    "official test rows to diagnose on. Fully connected networks of 256 units, codes of 16, 20 epochs in batches of 64. The last "
    "column is the short name of what `lambent diagnose` says first, and `healthy` of nothing, with a note "
    "where there is one. In nats a row."
)
COLUMNS = [
    column("model", "What was done to it"),
    column("elbo", "ELBO", "nats", ".1f"),
    column("kl", "KL", "nats", ".1f"),
    column("living", "Units that live"),
    column("exchanged", "Another row's code costs", "nats", ".1f"),
    column("prior_gap", "KL(q(z) ‖ p(z))", "nats", ".1f"),
    column("amortization", "Amortization gap", "nats", ".1f"),
    column("cause", "Diagnosis"),
]


class Fault(NamedTuple):
    """What is changed of a model that is well: objective, likelihood, settings of the training, rows; and its causes."""

    objective: Spec
    likelihood: Spec
    settings: dict[str, Any]
    rows: int
    wanted: tuple[str, ...]


def fault(
    *wanted: str, objective: Spec | None = None, likelihood: Spec | None = None, rows: int = ROWS, **settings: Any
) -> Fault:
    return Fault({"type": "Elbo"} | (objective or {}), likelihood or GAUSSIAN, settings, rows, wanted)


FAULTS: dict[str, Fault] = {
    "nothing: a model that is well": fault("healthy"),
    "λ = 30": fault("dear", objective={"beta": 30.0}),
    "λ = 0.001": fault("cheap", objective={"beta": 0.001}),
    "σ fixed at 1": fault("scale-high", likelihood={"type": "Gaussian", "scale": "fixed", "value": 1.0}),
    "σ fixed at 0.01": fault("scale-low", likelihood={"type": "Gaussian", "scale": "fixed", "value": 0.01}),
    "a learning rate of 0.1": fault("fast", learning_rate=0.1),
    "a learning rate of 0.00001": fault("slow", learning_rate=1e-5),
    "100 rows, 1,000 epochs": fault("few", rows=100, epochs=1000),
    "one epoch": fault("short", "healthy, but short", epochs=1),
}


def rows_of(seed: int) -> tuple[Encoded, Encoded]:
    """Training rows, and those to diagnose on."""
    train = load("mnist", "train", Image())
    chosen = np.sort(np.random.default_rng(seed).permutation(len(train))[:ROWS])
    return take(train, chosen), take(load("mnist", "test", train.modality), np.arange(HELD))


def trained(one: Fault, train: Encoded, seed: int) -> tuple[Fitted, Encoded, dict[str, Any]]:
    model = LatentModel.from_spec(
        {
            "type": "LatentModel",
            "latent": {"type": "Flat", "size": 16},
            "likelihood": one.likelihood,
            "network": {"type": "Mlp", "width": 256},
        }
    )
    own = train if one.rows == ROWS else take(train, np.arange(one.rows))
    settings: dict[str, Any] = {"epochs": 20, "batch": 64, "seed": seed, "validation": 0.0, "learning_rate": 1e-3}
    history = fit(model, Objective.from_spec(one.objective), own, **settings | one.settings)
    return Fitted(model.eval(), train.modality), own, history


def looked_at(name: str, train: Encoded, held: Encoded, seed: int, record: Record) -> NDArray[np.uint8]:
    """Diagnose a model; its reconstructions and samples, as many of each as a line holds."""
    one, began = FAULTS[name], time.monotonic()
    fitted, own, history = trained(one, train, seed)
    found = diagnose(fitted, held, own, objective=one.objective, history=history, seed=seed)
    told = numbers(found.evidence)
    row = {
        "model": name,
        "elbo": told["elbo"]["nats"],
        "kl": told["kl"],
        "living": f"{told['active_units']['living']} of {told['active_units']['of']}",
        "exchanged": told["another_code"]["nats"],
        "prior_gap": told["prior_gap"],
        "amortization": None if told["amortization_gap"] is None else told["amortization_gap"]["nats"],
        "cause": said(found),
        "seed": seed,
        "minutes": (time.monotonic() - began) / 60,
    }
    record.add(**row)
    right = "" if row["cause"] in one.wanted else f"  (expected {' or '.join(one.wanted)})"
    print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, right, flush=True)
    again = drawing.reconstructions(fitted, take(held, np.arange(WIDE)), WIDE, seed)
    return np.concatenate([again, drawing.samples(fitted, WIDE, seed)])


def said(found: Diagnosis) -> str:
    """The first cause; of a healthy model the first note, if there is any."""
    if found.cause is not None:
        return found.cause
    return f"healthy, but {found.findings[0].cause}" if found.findings else "healthy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(FAULTS), metavar="MODEL", help=", ".join(FAULTS))
    parser.add_argument("--data", type=Path, help="a folder that holds mnist; default: by name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="a PNG of reconstructions and samples")
    parser.add_argument("--out", type=Path, default=RESULTS / "diagnosing.json")
    args = parser.parse_args()
    if args.data is not None:
        os.environ["LAMBENT_DATA"] = str(args.data)
    record = Record(args.out, "Models that fail", PROTOCOL, COLUMNS, ("model", "seed"))
    train, held = rows_of(args.seed)
    originals = np.asarray(held.modality.decode(held.x[:WIDE]))
    lines = {"originals": np.concatenate([originals, originals])}
    for name in args.only or FAULTS:
        lines[name] = looked_at(name, train, held, args.seed, record)
    if args.sheet is not None:
        save_sheet(args.sheet, lines)


if __name__ == "__main__":
    main()
