"""Odd rows of tables: one default beside PyOD's detectors and the nearest row, with the seconds of each fit.

    python benchmarks/detect.py --rows 4000                        # ours and the nearest row
                                                                   # and PyOD's, where pyod can be imported
    python benchmarks/detect.py --others FOLDER --out FILE         # other sets in the form of ADBench's

Runs that are in the file already are not made again.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from record import RESULTS, Record, column
from sklearn.metrics import average_precision_score, roc_auc_score

from lambent import fit
from lambent.data.kinds.table import Table
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.tasks.detection import Nearest, Score

SHARED = Path(os.environ.get("LAMBENT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SEEDS = 5
PROTOCOL = (
    "ADBench's tables, at most {rows} rows of each (drawn by the seed, the share of odd ones kept). Three ways: trained on "
    "half of the normal rows, drawn by the seed, and tested on the rest; the same with the first half in the order of the "
    "file, as in the runs of the DTE paper; and trained on all rows, which are then scored themselves. One default, and "
    "nothing of it chosen by these tables: it was chosen by glass, Ionosphere, letter, optdigits, PageBlocks, Pima, Stamps,"
    " Waveform, WBC, Wilt, musk, http, cover, campaign and magic.gamma, 3,000 rows of each. The nearest row is the distance"
    " to the nearest training row on standardized columns; PyOD's detectors have their own settings, on standardized "
    "columns. Means over tables and seeds; seconds of the processor for a fit, one thread."
)
EACH = [
    column("data", "Table"),
    column("way", "Trained on"),
    column("method", "Method"),
    column("seed", "Seed"),
    column("auroc", "AUROC", "%", ".1f"),
    column("precision", "Average precision", "%", ".1f"),
    column("seconds", "Fit", "s", ".2f"),
    column("steps", "Steps"),
]
MEANS = [
    column("way", "Trained on"),
    column("method", "Method"),
    column("auroc", "AUROC", "%", ".1f"),
    column("precision", "Average precision", "%", ".1f"),
    column("error", "± over tables, beside the nearest row", "%", ".1f"),
    column("seconds", "Fit, median", "s", ".2f"),
    column("slower", "Fit against PyOD's VAE, median", "", ".2f"),
    column("step", "A member's step against its step, median", "", ".2f"),
    column("tables", "Tables"),
    column("seeds", "Seeds"),
]
WAYS = ("half of the normal rows", "the first half of them", "all rows")
OURS, NEAREST, VAE = "Lambent", "nearest row", "PyOD VAE"
Values = NDArray[np.float64]


class Task(NamedTuple):
    """Rows to train on, rows to score, and which of these are odd; seen: whether they are the same rows."""

    train: Values
    test: Values
    odd: NDArray[np.int64]
    seen: bool


class Outcome(NamedTuple):
    """Scores of the rows to be scored, the seconds of the fit, and the steps of it that one network took."""

    scores: Values
    seconds: float
    steps: int = 0
    members: int = 1


def tables(folder: Path, only: list[str] | None) -> Iterator[tuple[str, Values, NDArray[np.int64]]]:
    for path in sorted(folder.glob("*.npz"), key=lambda path: int(path.stem.partition("_")[0])):
        name = path.stem.partition("_")[2]
        if not only or name in only:
            with np.load(path) as found:
                yield name, found["X"].astype(np.float64), found["y"].astype(np.int64).ravel()


def drawn(x: Values, odd: NDArray[np.int64], most: int, seed: int) -> tuple[Values, NDArray[np.int64]]:
    """At most so many rows in their order, ten odd ones at least where there are."""
    if len(x) <= most:
        return x, odd
    random = np.random.default_rng(seed)
    anomalies = max(round(odd.mean() * most), min(10, int(odd.sum())))
    parts = [
        random.choice(np.flatnonzero(odd == kind), count, replace=False)
        for kind, count in ((0, most - anomalies), (1, anomalies))
    ]
    places = np.sort(np.concatenate(parts))
    return x[places], odd[places]


def task(x: Values, odd: NDArray[np.int64], way: str, seed: int) -> Task:
    if way == WAYS[2]:
        return Task(x, x, odd, True)
    normal = np.flatnonzero(odd == 0)
    if way == WAYS[0]:
        normal = np.random.default_rng(seed + 1000).permutation(normal)
    learned = normal[: len(normal) // 2]
    rest = np.setdiff1d(np.arange(len(x)), learned)
    return Task(x[learned], x[rest], odd[rest], False)


def trained(train: Values, seed: int) -> tuple[Fitted, int]:
    """A model with the parts that suit detection, and the steps of its training."""
    table = Table().fit(train)
    rows, parts = table.read(train), table.detecting()
    described = {name: parts[name] for name in ("latent", "likelihood", "network")} | parts.get("model", {})
    model = LatentModel.from_spec({"type": "LatentModel", **described}).setup(table.event, rows.x, seed)
    objective = Objective.from_spec(parts.get("objective", "Elbo"))
    settings: dict[str, Any] = dict(parts.get("fit", {}))
    fit(model, objective, rows, **settings, seed=seed, progress=False)
    steps = settings["epochs"] * max(1, -(-len(train) // settings["batch"]))
    return Fitted(model.eval(), table, {"objective": objective.spec()}), steps


def ours(given: Task, seed: int) -> Outcome:
    started = time.process_time()
    fitted, steps = trained(given.train, seed)
    score = Score.default(fitted).learn(fitted, fitted.rows(given.train))
    seconds = time.process_time() - started
    rows = fitted.rows(given.test)
    found = score.seen(fitted, rows) if given.seen else score(fitted, rows)
    return Outcome(found.numpy(), seconds, steps, fitted.model.members)


def nearest(given: Task, seed: int) -> Outcome:
    started = time.process_time()
    table = Table().fit(given.train)
    fitted = Fitted(LatentModel().setup(table.event), table)
    score = Nearest(most=100_000).learn(fitted, Rows(table.encode(given.train), None))
    seconds = time.process_time() - started
    found: torch.Tensor = score(fitted, Rows(table.encode(given.test), None))
    return Outcome(found.numpy(), seconds)


def rivals() -> dict[str, Callable[[Task, int], Outcome]]:
    """PyOD's detectors by name; none where it cannot be imported."""
    try:
        from pyod.models import vae
        from pyod.models.auto_encoder import AutoEncoder
        from pyod.models.deep_svdd import DeepSVDD
        from pyod.models.ecod import ECOD
        from pyod.models.iforest import IForest
        from pyod.models.knn import KNN
        from pyod.models.lof import LOF
    except ImportError:
        return {}

    makers: dict[str, Callable[[int, int], Any]] = {
        "IForest": lambda seed, width: IForest(random_state=seed),
        "ECOD": lambda seed, width: ECOD(),
        "KNN": lambda seed, width: KNN(),
        "LOF": lambda seed, width: LOF(),
        "DeepSVDD": lambda seed, width: DeepSVDD(width, verbose=0, random_state=seed),
        "AutoEncoder": lambda seed, width: AutoEncoder(verbose=0, random_state=seed),
        "VAE": lambda seed, width: vae.VAE(verbose=0, random_state=seed),
    }

    def run(name: str) -> Callable[[Task, int], Outcome]:
        def rival(given: Task, seed: int) -> Outcome:
            scale, centre = given.train.std(0), given.train.mean(0)
            train, test = ((x - centre) / np.where(scale > 0, scale, 1) for x in (given.train, given.test))
            torch.manual_seed(seed)
            started = time.process_time()
            model = makers[name](seed, train.shape[1]).fit(train)
            seconds = time.process_time() - started
            found = model.decision_scores_ if given.seen else model.decision_function(test)
            steps = 30 * -(-len(train) // 32) if name == "VAE" else 0  # its own settings
            return Outcome(np.nan_to_num(np.asarray(found, dtype=np.float64)), seconds, steps)

        return rival

    return {f"PyOD {name}": run(name) for name in makers}


def summarized(each: list[dict[str, Any]], out: Record) -> None:
    """Means of all runs, for each way and method; only tables and seeds that a method has."""
    by_key = {(row["way"], row["method"], row["data"], row["seed"]): row for row in each}
    for way in WAYS:
        for method in dict.fromkeys(row["method"] for row in each):
            own = [row for row in each if (row["way"], row["method"]) == (way, method)]
            if not own:
                continue
            names, seeds = sorted({row["data"] for row in own}), sorted({row["seed"] for row in own})
            ahead, slower, step = [], [], []
            for name in names:
                there = [row for row in own if row["data"] == name]
                pairs = [(row, by_key.get((way, NEAREST, name, row["seed"]))) for row in there]
                ahead.append(
                    mean(row["auroc"] - other["auroc"] for row, other in pairs if other)
                    if all(o for _, o in pairs)
                    else 0.0
                )
                for row in there:
                    rival = by_key.get((way, VAE, name, row["seed"]))
                    if rival:
                        slower.append(row["seconds"] / rival["seconds"])
                        if row["steps"]:
                            step.append(
                                row["seconds"] / row["steps"] / row["members"] / (rival["seconds"] / rival["steps"])
                            )
            by_table = [[row for row in own if row["data"] == name] for name in names]
            out.add(
                way=way, method=method,
                auroc=mean(mean(row["auroc"] for row in there) for there in by_table),
                precision=mean(mean(row["precision"] for row in there) for there in by_table),
                error=float(np.std(ahead, ddof=1) / len(ahead) ** 0.5) if len(ahead) > 1 else None,
                seconds=median(row["seconds"] for row in own),
                slower=median(slower) if slower else None,
                step=median(step) if step else None,
                tables=len(names), seeds=len(seeds),
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(SEEDS)))
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--methods", nargs="*")
    parser.add_argument("--others", type=Path, help="a folder of other sets, NUMBER_NAME.npz with X and y")
    parser.add_argument("--out", type=Path, default=RESULTS / "detect.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    protocol = PROTOCOL.format(rows=f"{args.rows:,}")
    each = Record(
        args.out.with_stem(args.out.stem + "_each"),
        "Odd rows of tables, every run",
        protocol,
        EACH,
        ("data", "way", "method", "seed"),
    )
    means = Record(args.out, "Odd rows of tables", protocol, MEANS, ("way", "method"))
    methods: dict[str, Callable[[Task, int], Outcome]] = {OURS: ours, NEAREST: nearest, **rivals()}
    for seed in args.seeds:
        for name, whole, labels in tables(args.others or SHARED / "anomaly" / "adbench", args.sets):
            x, odd = drawn(whole, labels, args.rows, seed)
            x = x[:, x.std(0) > 0]
            for way in WAYS:
                given = task(x, odd, way, seed)
                for method, run in methods.items():
                    key = {"data": name, "way": way, "method": method, "seed": seed}
                    known = [row for row in each.whole["rows"] if all(row[k] == v for k, v in key.items())]
                    if known or (args.methods and method not in args.methods):
                        continue
                    found = run(given, seed)
                    auroc = 100 * float(roc_auc_score(given.odd, found.scores))
                    precision = 100 * float(average_precision_score(given.odd, found.scores))
                    each.add(
                        **key,
                        auroc=auroc,
                        precision=precision,
                        seconds=found.seconds,
                        steps=found.steps,
                        members=found.members,
                    )
                    print(
                        f"{name:14s} {way:24s} {method:18s} {seed} {auroc:5.1f} {precision:5.1f} {found.seconds:6.2f} s",
                        flush=True,
                    )
        summarized(each.whole["rows"], means)


if __name__ == "__main__":
    main()
