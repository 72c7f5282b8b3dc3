"""False discoveries: how many of the rows that a detector flags are normal, beside what was asked for, and what is found.

    python benchmarks/false_discoveries.py                 # three sets, ten models each, 200 splits
    python benchmarks/false_discoveries.py --only pendigits

The tables of ADBench are read from LAMBENT_DATA or ../shared/data.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from record import RESULTS, Record, column

from lambent import Detector
from lambent.metrics.conformal import averaged, benjamini_hochberg, e_benjamini_hochberg, e_values, p_values

SHARED = Path(os.environ.get("LAMBENT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = {"shuttle": "32_shuttle", "mammography": "23_mammography", "pendigits": "28_pendigits"}
NORMAL = 6000  # normal rows that are used of a set
TEST = 1500  # of them, that no model is trained on
HELD_OUT = 2000
ROWS, ODD = 900, 100  # normal and odd rows that are judged together
MODELS = 10
PROTOCOL = (
    f"The three ADBench sets with the most normal rows, {NORMAL:,} of these each. {MODELS} detectors, Detector(clean=True), are "
    f"trained a set, each on another random half of {NORMAL - TEST:,} normal rows. In each of the splits one of them, by "
    f"turns, judges {ROWS} normal rows and {ODD} odd ones, compared with {HELD_OUT:,} normal ones: both drawn anew among the "
    "normal rows that it was not trained on, the odd ones among all that the set has. So splits share models and rows, and their "
    "error, the standard deviation over models of the mean over splits by √models, is taken over models. False: the mean over "
    "splits of the share of normal rows among those flagged, which is to be at most α (times the share of normal rows, 0.9). "
    "Found: the share of odd rows that are flagged. Flips: how many of the rows that one of two analyses of the same rows flags "
    "the other does not, each with its own model and held-out rows; by p-values of one model each (Benjamini-Hochberg), and by "
    "e-values averaged over five each (e-BH)."
)
COLUMNS = [
    column("data", "Set"),
    column("alpha", "α", "", ".2f"),
    column("false", "False", "", ".3f"),
    column("false_error", "± s.e.", "", ".3f"),
    column("found", "Found", "", ".3f"),
    column("found_e", "Found, five splits", "", ".3f"),
    column("false_e", "False, five splits", "", ".3f"),
    column("flips", "Flips", "", ".0%"),
    column("flips_e", "Flips, five splits", "", ".0%"),
    column("splits", "Splits"),
]
Array = NDArray[np.float64]


def read(name: str) -> tuple[Array, Array]:
    """Normal rows, in a random order, and odd ones."""
    found = np.load(SHARED / "anomaly" / "adbench" / f"{SETS[name]}.npz")
    x, odd = found["X"].astype(np.float64), found["y"] == 1
    normal = x[~odd]
    return normal[np.random.default_rng(0).permutation(len(normal))[:NORMAL]], x[odd]


class Scores:
    """What each model makes of all normal rows and all odd ones, and which normal rows it was not trained on."""

    def __init__(self, normal: Array, odd: Array) -> None:
        self.models: list[tuple[Array, Array, NDArray[np.int64]]] = []
        for seed in range(MODELS):
            order = np.random.default_rng(seed).permutation(np.arange(TEST, len(normal)))
            trained, others = order[: len(order) // 2], np.r_[order[len(order) // 2 :], :TEST]
            detector = Detector(clean=True, calibration=0, contamination=0.1, random_state=seed).fit(normal[trained])
            scores = -detector.score_samples(np.r_[normal, odd])
            self.models.append((scores[: len(normal)], scores[len(normal) :], others))
            print(f"  model {seed + 1} of {MODELS}", flush=True)


def measured(scores: Scores, alpha: float, splits: int) -> dict[str, float]:
    """The realized rate and what is found, over splits; and how decisions about the same rows differ."""
    rng = np.random.default_rng(1)
    false, found = np.zeros((2, MODELS, splits // MODELS))
    for split in range(splits // MODELS):
        for model, (normal, odd, others) in enumerate(scores.models):
            drawn = rng.permutation(others)
            judged = np.r_[normal[drawn[:ROWS]], rng.permutation(odd)[:ODD]]
            flagged = benjamini_hochberg(p_values(normal[drawn[ROWS : ROWS + HELD_OUT]], judged), alpha)
            false[model, split] = flagged[:ROWS].sum() / max(1, flagged.sum())
            found[model, split] = flagged[ROWS:].mean()
    error = false.mean(1).std(ddof=1) / np.sqrt(MODELS)
    return {
        "false": float(false.mean()),
        "false_error": float(error),
        "found": float(found.mean()),
        "splits": false.size,
    } | flips(scores, alpha, splits, rng)


def flips(scores: Scores, alpha: float, splits: int, rng: np.random.Generator) -> dict[str, float]:
    """Two analyses of the same rows, which no model was trained on, by one model each and by five each."""
    shares: dict[str, list[float]] = {name: [] for name in ("flips", "flips_e", "found_e", "false_e")}
    for _ in range(splits // 2):
        rows, cases = rng.permutation(TEST)[:ROWS], rng.permutation(len(scores.models[0][1]))[:ODD]
        p = []
        for model in rng.permutation(MODELS):
            normal, odd, others = scores.models[model]
            held_out = rng.permutation(others[others >= TEST])[:HELD_OUT]
            p.append(p_values(normal[held_out], np.r_[normal[rows], odd[cases]]))
        pair = [benjamini_hochberg(each, alpha) for each in p[:2]]
        shares["flips"].append(difference(*pair))
        halves = [
            e_benjamini_hochberg(averaged([e_values(each, HELD_OUT, alpha / 2) for each in half]), alpha)
            for half in (p[: MODELS // 2], p[MODELS // 2 :])
        ]
        shares["flips_e"].append(difference(*halves))
        shares["found_e"] += [float(each[ROWS:].mean()) for each in halves]
        shares["false_e"] += [float(each[:ROWS].sum() / max(1, each.sum())) for each in halves]
    return {name: float(np.mean(each)) for name, each in shares.items()}


def difference(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The share of the rows flagged by either that are flagged by one alone."""
    return float((one ^ other).sum() / max(1, (one | other).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--alpha", nargs="+", type=float, default=[0.05, 0.1, 0.2])
    parser.add_argument("--splits", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(RESULTS / "false_discoveries.json", "False discoveries", PROTOCOL, COLUMNS, ("data", "alpha"))
    for name in options.only:
        print(name, flush=True)
        scores = Scores(*read(name))
        for alpha in options.alpha:
            row = measured(scores, alpha, options.splits)
            record.add(data=name, alpha=alpha, **row)
            print(alpha, {key: round(value, 4) for key, value in row.items()}, flush=True)


if __name__ == "__main__":
    main()
