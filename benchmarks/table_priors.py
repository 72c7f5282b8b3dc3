"""Which prior suits mixed tables: eight tables, each under every prior, learned jointly or afterwards.

    python benchmarks/table_priors.py                # about ten minutes of one core
    python benchmarks/table_priors.py --only breast

Tables of ADBench are numbers with a class; here the class and three of the columns, in words, make them mixed.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mixed_data import SHARED
from record import RESULTS, Record, column

import lambent
from lambent.tasks.judge import judge

TABLES = {
    "annthyroid": "2_annthyroid",
    "breast": "4_breastw",
    "cardio": "6_cardio",
    "mammography": "23_mammography",
    "pendigits": "28_pendigits",
    "satellite": "30_satellite",
    "thyroid": "38_thyroid",
    "vowels": "40_vowels",
}
MOST = 2000
FULL = {"type": "Mixture", "components": 10, "covariance": "full"}
PRIORS: dict[str, tuple[Any, Any]] = {
    "N(0, I)": ("Standard", None),
    "ten Gaussians, jointly": (FULL, None),
    "ten Gaussians, afterwards": ("Standard", FULL),
    "a flow, jointly": ("Flow", None),
}
PROTOCOL = (
    "Up to 2,000 rows of each table, drawn by a fixed seed; three of its columns cut at their quartiles into words, and the "
    "class, a word. Seven tenths are trained on, by `VAE()` with nothing chosen but the prior; nats are minus the 32-sample "
    "bound of the rest, in the data's own units, the mean over rows; C2ST (2 − 2·max(½, AUROC), 1 is best) of boosted trees "
    "at telling as many synthetic rows from the rest. Seed 0."
)
COLUMNS = [
    column("data", "Data"),
    column("prior", "Prior"),
    column("nats", "Held-out −log p(x) ≤", "nats", ".2f"),
    column("kl", "KL", "nats", ".2f"),
    column("c2st", "C2ST, unseen rows", "", ".3f"),
    column("seconds", "Fit", "seconds", ".0f"),
    column("rows", "Rows"),
    column("columns", "Columns"),
]


def mixed(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to train on, and the others."""
    found = np.load(SHARED / "anomaly" / "adbench" / f"{TABLES[name]}.npz")
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(found["X"]))[:MOST]
    frame = pd.DataFrame(found["X"][chosen]).rename(columns=lambda place: f"x{place}")
    for place in (0, 2, 4):
        values = frame[f"x{place}"]
        cuts = np.unique(np.quantile(values, (0.25, 0.5, 0.75)))
        frame[f"x{place}"] = np.array(["low", "middle", "high", "top"], dtype=object)[np.searchsorted(cuts, values)]
    frame["class"] = np.where(found["y"][chosen] == 1, "odd", "normal")
    cut = len(frame) * 7 // 10
    return frame[:cut], frame[cut:].reset_index(drop=True)


def measured(name: str, prior: str) -> dict[str, Any]:
    kept, rest = mixed(name)
    joint, after = PRIORS[prior]
    started = time.perf_counter()
    vae = lambent.VAE(prior=joint, random_state=0).fit(kept)
    if after is not None:
        lambent.fit_prior(vae.fitted_, kept, after)
    seconds = time.perf_counter() - started
    found = lambent.evaluate(vae, rest, samples=32)
    told = judge(kept, vae.sample(len(rest), random_state=1), rest)
    return {
        "data": name,
        "prior": prior,
        "nats": -found.metrics["bound"].value,
        "kl": found.metrics["kl"].value,
        "c2st": 2 - 2 * max(0.5, told.metrics["detection_unseen"].value),
        "seconds": seconds,
        "rows": len(kept),
        "columns": kept.shape[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of tables")
    parser.add_argument("--out", type=Path, default=RESULTS / "table_priors.json")
    args = parser.parse_args()
    record = Record(args.out, "Priors of mixed tables", PROTOCOL, COLUMNS, ("data", "prior"))
    for name in args.only or TABLES:
        for prior in PRIORS:
            record.add(**measured(name, prior))


if __name__ == "__main__":
    main()
