"""Gaps filled: ours beside mean and mode, nearest neighbours, and chained regressions, linear and by trees.

    python benchmarks/imputation.py                       # seven tables, three ways of losing cells, 30 % of them
    python benchmarks/imputation.py --shares 0.1 0.3 0.5 --rows 4000 --seeds 0 1 2
    python benchmarks/imputation.py --only wine --shares 0.3 --ways random --seeds 0

Adult and the tables of ADBench are read from LAMBENT_DATA or ../shared/data; the rest are scikit-learn's.
"""

import argparse
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from record import RESULTS, Record, column
from scipy.stats import rankdata
from sklearn import datasets
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import lambent

SHARED = Path(os.environ.get("LAMBENT_DATA", Path(__file__).parents[2] / "shared" / "data"))
ADBENCH = ("breastw", "cardio", "vowels")
ROWS = 400  # of a table that are used, unless told
INTERVAL = 0.9
STEEP = 2.0  # logits for a deviation, by which cells are lost
WAYS = {"random": "completely at random", "given": "at random given other columns", "itself": "not at random"}
METHODS = {
    "ours": "ours", "mean": "mean, mode", "neighbours": "neighbours", "chained": "chained", "trees": "chained trees",
}  # fmt: skip
PROTOCOL = (
    "Of each table as many rows as the column says, drawn by the seed. Cells are lost completely at random; at random given "
    "other columns (a third of the columns stay whole, and a random combination of them decides, two logits for a "
    "deviation, which rows lose a cell of the others); or not at random (a cell's own rank decides so, high ones in half of"
    " the columns and low ones in the other; of categories every second level). Every method sees the rows with gaps and "
    "fills them. Error: the root mean squared one over lost numbers, over the column's deviation, the mean over columns. "
    "Accuracy: of lost categories. Coverage: the share of lost numbers inside our 90 % intervals. Neighbours (5) and "
    "chained regressions (IterativeImputer: Bayesian ridge, and 50 extremely randomized trees; ten rounds) read columns at "
    "unit scale, categories as noughts and ones of which the largest is taken. Means over seeds."
)
COLUMNS = [
    column("data", "Table"),
    column("way", "Lost"),
    column("share", "Share", "", ".0%"),
    column("rows", "Rows", "", ",d"),
    *(column(f"error_{name}", f"Error, {title}", "", ".3f") for name, title in METHODS.items()),
    *(column(f"accuracy_{name}", f"Accuracy, {title}", "", ".3f") for name, title in METHODS.items()),
    column("coverage", "Coverage of 90 %", "", ".1%"),
    column("seconds", "Ours, processor time", "s", ".0f"),
    column("seeds", "Seeds"),
]


def tables() -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    """Every table by name, to be read when it is its turn."""
    if (SHARED / "tables" / "adult.csv").is_file():
        yield "Adult", lambda: pd.read_csv(SHARED / "tables" / "adult.csv")
    for name in ("breast_cancer", "wine", "diabetes"):
        yield name.replace("_", " "), getattr(datasets, f"load_{name}")(as_frame=True).data.copy
    for path in sorted((SHARED / "anomaly" / "adbench").glob("*.npz")):
        if path.stem.partition("_")[2] in ADBENCH:
            yield path.stem.partition("_")[2], lambda path=path: pd.DataFrame(np.load(path)["X"]).add_prefix("x")


def names_of(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Columns of numbers, and of categories."""
    numbers = list(frame.select_dtypes("number").columns)
    return numbers, [name for name in frame.columns if name not in numbers]


def lost(frame: pd.DataFrame, way: str, share: float, random: np.random.Generator) -> np.ndarray:
    """Which cells are lost, bool [rows, columns]; no row loses all of its cells."""
    scores = np.stack([_ranks(frame[name], random) for name in frame.columns], 1)
    rows, columns = scores.shape
    chances = np.full((rows, columns), share)
    if way == "given":
        whole = random.permutation(columns)[: max(1, columns // 3)]
        rest = np.setdiff1d(np.arange(columns), whole)
        mixed = scores[:, whole] @ random.normal(size=(len(whole), len(rest)))
        chances = np.zeros((rows, columns))
        chances[:, rest] = _logistic(mixed / mixed.std(0), share)
    if way == "itself":
        signs = np.where(random.permutation(columns) % 2, 1.0, -1.0)
        chances = _logistic(scores * signs, share)
    found = random.random((rows, columns)) < chances
    found[found.all(1), 0] = False
    return found


def _ranks(values: pd.Series, random: np.random.Generator) -> np.ndarray:
    """Ranks at unit scale; of categories of every second level one high number, of the others a low one."""
    if values.dtype.kind in "biuf":
        ranks = rankdata(values)
    else:
        levels = random.permutation(values.unique())
        ranks = values.isin(levels[::2]).to_numpy(float)
    return (ranks - ranks.mean()) / max(ranks.std(), 1e-9)


def _logistic(scores: np.ndarray, share: float) -> np.ndarray:
    """σ(STEEP · score + b), b of each column such that the mean is the share."""
    low, high = np.full(scores.shape[1], -20.0), np.full(scores.shape[1], 20.0)
    for _ in range(60):
        middle = (low + high) / 2
        more = (1 / (1 + np.exp(-STEEP * scores - middle))).mean(0) > share
        low, high = np.where(more, low, middle), np.where(more, middle, high)
    return np.asarray(1 / (1 + np.exp(-STEEP * scores - middle)))


def by_regression(frame: pd.DataFrame, imputer: Any) -> pd.DataFrame:
    """Filled by one of scikit-learn's imputers of numbers: columns at unit scale, categories as noughts and ones."""
    numbers, categories = names_of(frame)
    scaled = (frame[numbers] - frame[numbers].mean()) / frame[numbers].std().replace(0, 1).fillna(1)
    blocks = [scaled]
    levels = {name: sorted(frame[name].dropna().unique()) for name in categories}
    for name in categories:
        marks = pd.DataFrame({f"{name}={level}": (frame[name] == level).astype(float) for level in levels[name]})
        blocks.append(marks.mask(frame[name].isna()))
    filled = pd.DataFrame(imputer.fit_transform(pd.concat(blocks, axis=1).to_numpy()))
    made = frame.copy()
    made[numbers] = filled.iloc[:, : len(numbers)].to_numpy() * frame[numbers].std().replace(0, 1).fillna(1).to_numpy()
    made[numbers] += frame[numbers].mean().to_numpy()
    start = len(numbers)
    for name in categories:
        chosen = filled.iloc[:, start : start + len(levels[name])].to_numpy().argmax(1)
        made[name] = frame[name].where(frame[name].notna(), np.array(levels[name], object)[chosen])
        start += len(levels[name])
    return made


def by_column(frame: pd.DataFrame) -> pd.DataFrame:
    """Each column's mean, or its most frequent level."""
    numbers, categories = names_of(frame)
    made = frame.copy()
    if numbers:
        made[numbers] = SimpleImputer().fit_transform(frame[numbers])
    for name in categories:
        made[name] = frame[name].fillna(frame[name].mode().iloc[0])
    return made


def trees(seed: int) -> IterativeImputer:
    forest = ExtraTreesRegressor(50, min_samples_leaf=2, random_state=seed, n_jobs=1)
    return IterativeImputer(forest, max_iter=10, random_state=seed, skip_complete=True)


def errors(truth: pd.DataFrame, filled: pd.DataFrame, gone: np.ndarray) -> dict[str, float]:
    """The error over lost numbers and the accuracy over lost categories; of either only where there are any."""
    numbers, categories = names_of(truth)
    found: dict[str, float] = {}
    each, right = [], []
    for place, name in enumerate(truth.columns):
        cells = gone[:, place]
        if not cells.any():
            continue
        true, made = truth[name].to_numpy()[cells], filled[name].to_numpy()[cells]
        if name in numbers:
            each.append(float(np.sqrt(np.mean((made.astype(float) - true) ** 2))) / max(float(truth[name].std()), 1e-9))
        else:
            right.append(made == true)
    if each:
        found["error"] = float(np.mean(each))
    if categories and right:
        found["accuracy"] = float(np.concatenate(right).mean())
    return found


def ours(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Filled by an Imputer with nothing chosen, and the same with the ends of intervals beside."""
    imputer = lambent.Imputer(random_state=seed).fit(frame)
    filled = lambent.impute(imputer, frame, interval=INTERVAL)
    return filled[list(frame.columns)], filled


def coverage(truth: pd.DataFrame, beside: pd.DataFrame, gone: np.ndarray) -> float | None:
    """The share of lost numbers between the ends of their intervals; None where none was lost."""
    inside = []
    for place, name in enumerate(truth.columns):
        cells = gone[:, place]
        if f"{name}_low" in beside and cells.any():
            low, high = (beside[f"{name}_{end}"].to_numpy(float)[cells] for end in ("low", "high"))
            true = truth[name].to_numpy(float)[cells]
            inside.append((low - 1e-9 <= true) & (true <= high + 1e-9))
    return float(np.concatenate(inside).mean()) if inside else None


def measured(truth: pd.DataFrame, way: str, share: float, rows: int, seeds: list[int]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for seed in seeds:
        random = np.random.default_rng(seed)
        frame = truth.iloc[random.permutation(len(truth))[:rows]].reset_index(drop=True)
        gone = lost(frame, way, share, random)
        gaps = frame.astype(dict.fromkeys(names_of(frame)[0], float)).mask(gone)
        started = time.process_time()
        filled, beside = ours(gaps, seed)
        found.setdefault("seconds", []).append(time.process_time() - started)
        if (covered := coverage(frame, beside, gone)) is not None:
            found.setdefault("coverage", []).append(covered)
        every = {
            "ours": filled,
            "mean": by_column(gaps),
            "neighbours": by_regression(gaps, KNNImputer()),
            "chained": by_regression(gaps, IterativeImputer(random_state=seed)),
            "trees": by_regression(gaps, trees(seed)),
        }
        for name, made in every.items():
            for measure, value in errors(frame, made, gone).items():
                found.setdefault(f"{measure}_{name}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def average_ranks(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for each measure: the rank of every method among them, on average over the cases."""
    told = []
    for measure, sign in (("error", 1), ("accuracy", -1)):
        cases = [
            [sign * row[f"{measure}_{name}"] for name in METHODS]
            for row in rows
            if row.get(f"{measure}_ours") is not None
        ]
        if cases:
            ranks = np.mean([rankdata(case) for case in cases], 0)
            each = ", ".join(f"{title} {rank:.2f}" for title, rank in zip(METHODS.values(), ranks, strict=True))
            told.append(f"Average rank by {measure}, over {len(cases)} cases: {each}.")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of tables")
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--shares", type=float, nargs="*", default=[0.3])
    parser.add_argument("--rows", type=int, default=ROWS, help="the most of a table")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "imputation.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    record = Record(args.out, "Gaps filled", PROTOCOL, COLUMNS, ("data", "way", "share", "rows"))
    asked = [(name, read()) for name, read in tables() if not args.only or name in args.only]
    for way, share, (name, truth) in itertools.product(args.ways, args.shares, asked):
        size = min(args.rows, len(truth))
        row = {"data": name, "way": WAYS[way], "share": share, "rows": size}
        row |= measured(truth, way, share, size, args.seeds)
        others = [old for old in record.whole["rows"] if any(old[k] != row[k] for k in record.key)]
        record.whole["notes"] = average_ranks([*others, row])
        record.add(**row, seeds=", ".join(map(str, args.seeds)))
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)


if __name__ == "__main__":
    main()
