"""Two cases of detection, with reasons: card payments of which some are fraud, connections of which some are intrusions.

python benchmarks/detect_cases.py                              # both, beside an isolation forest and the fifth nearest row
python benchmarks/detect_cases.py --cases fraud --seeds 0 1 2
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from record import RESULTS, Record, column
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from lambent import Detector
from lambent.tasks.detection import reasons
from lambent.tasks.detection import why as words

SHARED = Path(os.environ.get("LAMBENT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "anomaly"
PROTOCOL = (
    "fraud: 1,230 genuine card payments and 492 frauds, V1 to V28 and Amount, the index and Time left out; trained on half "
    "of the genuine ones (drawn by the seed) and tested on all others, or fitted to all rows, which are then scored. "
    "intrusion: NSL-KDD, 41 columns of mixed types; trained on the normal connections of KDDTrain+_20Percent or on all of "
    "them, tested on KDDTest+, of whose attacks many kinds do not occur in training. Detector with its defaults, clean=True "
    "where trained on normal rows; the others of scikit-learn on standardized columns, names one-hot: IsolationForest with "
    "its defaults, and the distance to the fifth nearest training row. Flagged: by Benjamini and Hochberg at a rate of 0.1 "
    "where trained on normal rows, else as many as are odd; of the others always as many as are odd. One thread."
)
COLUMNS = [
    column("case", "Case"),
    column("way", "Trained on"),
    column("method", "Method"),
    column("auroc", "AUROC", "%", ".1f"),
    column("average", "Average precision", "%", ".1f"),
    column("flagged", "Flagged", "%", ".1f"),
    column("precision", "Odd among the flagged", "%", ".1f"),
    column("share", "Odd", "%", ".1f"),
    column("seconds", "Fit", "s", ".1f"),
    column("seed", "Seed"),
]
REASONS = [
    column("case", "Case"),
    column("row", "Row"),
    column("kind", "What it is"),
    column("why", "Why it was flagged"),
]
NORMAL, ALL = "normal rows", "all rows"
SHOWN = 10
NEIGHBOURS = 5


class Case(NamedTuple):
    """Rows to train on and rows to score, with which of these are odd and what they are."""

    train: pd.DataFrame
    test: pd.DataFrame
    odd: NDArray[np.int64]
    kinds: NDArray[Any]


class Found(NamedTuple):
    """Scores, higher = odder, and which rows are flagged; reasons of some of them, by place."""

    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    seconds: float
    why: dict[int, str]


def fraud(way: str, seed: int) -> Case:
    whole = pd.read_csv(SHARED / "fraud-sample.csv", index_col=0).drop(columns="Time")
    odd = whole.pop("Class").to_numpy()
    kinds = np.where(odd == 1, "fraud", "genuine")
    if way == ALL:
        return Case(whole, whole, odd, kinds)
    genuine = np.random.default_rng(seed).permutation(np.flatnonzero(odd == 0))
    train = np.sort(genuine[: len(genuine) // 2])
    rest = np.setdiff1d(np.arange(len(whole)), train)
    return Case(whole.iloc[train], whole.iloc[rest], odd[rest], kinds[rest])


def intrusion(way: str, seed: int) -> Case:
    names = pd.read_csv(SHARED / "nsl-kdd" / "Field Names.csv", header=None)[0].tolist()
    train, test = (
        pd.read_csv(SHARED / "nsl-kdd" / name, header=None, names=[*names, "label", "difficulty"])
        for name in ("KDDTrain+_20Percent.txt", "KDDTest+.txt")
    )
    if way == NORMAL:
        train = train[train["label"] == "normal"]
    kinds = test["label"].to_numpy()
    beside = ["label", "difficulty"]
    return Case(train.drop(columns=beside), test.drop(columns=beside), (kinds != "normal").astype(int), kinds)


CASES: dict[str, Callable[[str, int], Case]] = {"fraud": fraud, "intrusion": intrusion}


def ours(case: Case, way: str, seed: int, shown: int) -> Found:
    started = time.process_time()
    detector = Detector(clean=way == NORMAL, random_state=seed, threads=1).fit(case.train)
    seconds = time.process_time() - started
    if case.train is case.test:
        scores = detector.decision_scores_
    else:
        scores = -detector.score_samples(case.test)
    flagged = detector.select(case.test, 0.1) if way == NORMAL else most(scores, int(case.odd.sum()))
    fitted = detector.fitted_
    why = {}
    if shown:
        right = np.flatnonzero(flagged & (case.odd == 1))
        right = right[np.argsort(-scores[right], kind="stable")]
        places = right[np.linspace(0, len(right) - 1, min(shown, len(right))).round().astype(int)]
        told = reasons(fitted, fitted.rows(case.test.iloc[places]), range(len(places)))
        why = {int(place): words(each) for place, each in zip(places, told, strict=True)}
    return Found(scores, flagged, seconds, why)


def encoded(case: Case) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both tables with names one-hot, standardized by the rows to train on."""
    both = pd.get_dummies(pd.concat((case.train, case.test), keys=("train", "test")), dtype=float)
    train, test = (both.loc[key].to_numpy() for key in ("train", "test"))
    deviation = train.std(0)
    kept = deviation > 0
    return tuple((x[:, kept] - train[:, kept].mean(0)) / deviation[kept] for x in (train, test))  # type: ignore[return-value]


def forest(case: Case, way: str, seed: int, shown: int) -> Found:
    train, test = encoded(case)
    started = time.process_time()
    model = IsolationForest(random_state=seed).fit(train)
    seconds = time.process_time() - started
    scores = -model.score_samples(test)
    return Found(scores, most(scores, int(case.odd.sum())), seconds, {})


def neighbours(case: Case, way: str, seed: int, shown: int) -> Found:
    train, test = encoded(case)
    started = time.process_time()
    model = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(train)
    seconds = time.process_time() - started
    seen = case.train is case.test  # a row is no neighbour of itself
    scores = model.kneighbors(None if seen else test)[0][:, -1]
    return Found(scores, most(scores, int(case.odd.sum())), seconds, {})


METHODS = {"Lambent": ours, "IsolationForest": forest, "fifth nearest row": neighbours}


def most(scores: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """The so many most odd rows."""
    flagged = np.zeros(len(scores), bool)
    flagged[np.argsort(-scores, kind="stable")[:count]] = True
    return flagged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--ways", nargs="*", default=[NORMAL, ALL], choices=[NORMAL, ALL])
    parser.add_argument("--out", type=Path, default=RESULTS / "detect_cases.json")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    key = ("case", "way", "method", "seed")
    record = Record(args.out, "Fraud and intrusion", PROTOCOL, COLUMNS, key)
    told = Record(
        args.out.with_stem(args.out.stem + "_reasons"),
        "Reasons of ten flagged rows of each case",
        PROTOCOL
        + " Of the rows that were flagged rightly, where trained on normal rows, ten that are evenly spread by score.",
        REASONS,
        ("case", "place"),
    )
    for name in args.cases:
        for seed in args.seeds:
            for way in args.ways:
                case = CASES[name](way, seed)
                for method in args.methods:
                    shown = SHOWN if method == "Lambent" and way == NORMAL and seed == args.seeds[0] else 0
                    found = METHODS[method](case, way, seed, shown)
                    record.add(
                        case=name, way=way, method=method, seed=seed,
                        auroc=100 * float(roc_auc_score(case.odd, found.scores)),
                        average=100 * float(average_precision_score(case.odd, found.scores)),
                        flagged=100 * float(found.flagged.mean()),
                        precision=100 * float(case.odd[found.flagged].mean()) if found.flagged.any() else None,
                        share=100 * float(case.odd.mean()), seconds=found.seconds,
                    )  # fmt: skip
                    print({k: v for k, v in record.whole["rows"][-1].items() if k != "machine"}, flush=True)
                    for place, (row, why) in enumerate(found.why.items()):
                        kind = str(case.kinds[row])
                        told.add(case=name, place=place, row=int(case.test.index[row]), kind=kind, why=why)
                        print("   ", kind, why, flush=True)


if __name__ == "__main__":
    main()
