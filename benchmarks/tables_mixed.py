"""Synthetic rows of mixed tables beside ctgan's TVAE, independent columns and copies: by TabPC's protocol, and on unseen rows.

    python benchmarks/tables_mixed.py                                    # Lambent and the baselines, five seeds
    python benchmarks/tables_mixed.py --rivals VENV/bin/python           # beside XGBoost's detector, and TVAE
    python benchmarks/tables_mixed.py --only Adult --models Lambent --seeds 0 --rivals VENV/bin/python

The rivals have environments of their own (pip install torch xgboost-cpu ctgan; for --engine pip install mostlyai-engine); without
the former the columns of XGBoost are of scikit-learn's boosted trees, and say so. What rivals made is kept in --work and taken
from there again. Tables: those of LAMBENT_DATA or ../shared/data.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mixed_data import TABLES, Mixed
from record import RESULTS, Record, column

import lambent
from lambent.data import Table
from lambent.metrics.tables import detection, fidelity, privacy
from lambent.metrics.tables.coded import Coded, coded

HELD = 0.2
PROTOCOL = (
    "*Full*, the protocol of TabPC: all rows are trained on, as many are made; C2ST = 2 − 2 max(½, AUC) of "
    '`XGBClassifier(eval_metric="logloss", enable_categorical=True, random_state=0)` at telling them from the rows trained '
    "on, over three folds; Shape and Trend as sdmetrics defines them. That detector rewards copies, so *unseen*: a model "
    "trained on four fifths, as many rows as the last fifth has, told from that fifth by the same detector. Learned from: what "
    "boosted trees of scikit-learn that learn the target from as many synthetic rows as were trained on tell of it there. "
    "Copies: the share of synthetic rows that equal a training row (of Adult, but for the weight `fnlwgt`). KL: what the code "
    "carries of the unseen fifth. Fit: on all rows, columns analysed within. Real rows: the four fifths told from the last, "
    "learned from, and the share of the last fifth that is among them. Means over the seeds, beside the least C2ST. Columns "
    "drawn independently win Shape, and copies win the detector of the full protocol: they say what these measures are worth."
)
COLUMNS = [
    column("data", "Table"),
    column("model", "Model"),
    column("c2st", "C2ST, full", "", ".3f"),
    column("least", "least seed", "", ".3f"),
    column("held", "C2ST, unseen", "", ".3f"),
    column("shape", "Shape", "", ".4f"),
    column("trend", "Trend", "", ".4f"),
    column("use", "Learned from", "AUROC", ".4f"),
    column("copies", "Copies", "", ".4f"),
    column("kl", "KL", "nats", ".2f"),
    column("seconds", "Fit", "s", ".0f"),
    column("detector", "Detector"),
    column("seeds", "Seeds"),
]
REAL, COPIES, INDEPENDENT, OURS, TVAE = "real rows", "copies", "independent columns", "Lambent", "TVAE, 300 epochs"
ENGINE = "mostlyai-engine"
MODELS = (OURS, TVAE, ENGINE, INDEPENDENT, COPIES, REAL)


class Rivals:
    """The environments of the rivals: of XGBoost and ctgan, and of mostlyai-engine; without the former the detector is
    scikit-learn's.
    """

    def __init__(self, python: Path | None, engine: Path | None, work: Path, threads: int) -> None:
        self.python, self.engine, self.work, self.threads = python, engine, work, threads
        work.mkdir(parents=True, exist_ok=True)

    @property
    def detector(self) -> str:
        """Which one the figures are of."""
        return "XGBoost" if self.python else "scikit-learn"

    def told(self, real: pd.DataFrame, fake: pd.DataFrame) -> float:
        """C2ST at telling two tables apart."""
        if self.python is None:
            found = code(real, fake)
            return detection.told_apart(*found.tables, found.categories).c2st
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            paths = [Path(folder) / f"{name}.csv" for name in ("real", "fake")]
            for path, rows in zip(paths, (real, fake), strict=True):
                rows.to_csv(path, index=False)
            return float(self._asked(self.python, "detect", *map(str, paths))["c2st"])

    def made(self, model: str, name: str, real: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, float]:
        """As many rows as a rival is trained on, and the seconds of its fit: made now, or kept from before."""
        word, python = ("tvae", self.python) if model == TVAE else ("argn", self.engine)
        path = self.work / f"{name}-{word}-{seed}.csv"
        facts = path.with_suffix(".json")
        if not (path.exists() and facts.exists()):
            rows = self.work / f"{name}-real.csv"
            real.to_csv(rows, index=False)
            found = self._asked(python, word, str(rows), str(path), f"--seed={seed}", f"--threads={self.threads}")
            facts.write_text(json.dumps(found))
        made = pd.read_csv(path, keep_default_na=False, na_values=[""])
        return made, float(json.loads(facts.read_text())["seconds"])

    def has(self, model: str) -> bool:
        """Whether the environment that a model needs was given."""
        return {TVAE: self.python, ENGINE: self.engine}.get(model, self.work) is not None

    def _asked(self, python: Path | None, *words: str) -> dict[str, Any]:
        script = Path(__file__).with_name("rivals.py")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(python), str(script), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def code(*tables: pd.DataFrame) -> Coded:
    """Tables of one form as numbers."""
    return coded([Table().open(table) for table in tables])


class Made(dict[str, Any]):
    """Rows that a model made of those it was given, and what is known of it: rows, seconds, fitted."""


def ours(name: str, real: pd.DataFrame, seed: int, rivals: Rivals) -> Made:
    """`VAE()` with nothing chosen."""
    started = time.perf_counter()
    vae = lambent.VAE(random_state=seed).fit(real)
    seconds = time.perf_counter() - started
    rows = pd.DataFrame(vae.sample(len(real)))
    return Made(rows=rows, seconds=seconds, fitted=vae.fitted_)


def theirs(model: str) -> Callable[[str, pd.DataFrame, int, Rivals], Made]:
    """A rival's rows."""

    def make(name: str, real: pd.DataFrame, seed: int, rivals: Rivals) -> Made:
        rows, seconds = rivals.made(model, name, real, seed)
        return Made(rows=rows, seconds=seconds)

    return make


def independent(name: str, real: pd.DataFrame, seed: int, rivals: Rivals) -> Made:
    """Each column drawn by itself."""
    random = np.random.default_rng(seed)
    drawn = {column: real[column].to_numpy()[random.integers(0, len(real), len(real))] for column in real}
    return Made(rows=pd.DataFrame(drawn), seconds=0.0)


def copied(name: str, real: pd.DataFrame, seed: int, rivals: Rivals) -> Made:
    """Rows drawn with replacement."""
    return Made(rows=real.sample(len(real), replace=True, random_state=seed), seconds=0.0)


def itself(name: str, real: pd.DataFrame, seed: int, rivals: Rivals) -> Made:
    """The rows themselves, for what is measured on those that they do not hold."""
    return Made(rows=real, seconds=0.0)


MAKERS: dict[str, Callable[[str, pd.DataFrame, int, Rivals], Made]] = {
    OURS: ours,
    TVAE: theirs(TVAE),
    ENGINE: theirs(ENGINE),
    INDEPENDENT: independent,
    COPIES: copied,
    REAL: itself,
}


def full(name: str, model: str, real: pd.DataFrame, seed: int, rivals: Rivals) -> dict[str, float]:
    """What is measured beside the rows that were trained on."""
    if model == REAL:
        return {}
    made = MAKERS[model](f"{name}-full", real, seed, rivals)
    found = code(real, made["rows"])
    shapes = fidelity.shape(*found.tables, found.categories)
    trends = fidelity.trend(*found.tables, found.categories)
    return {
        "c2st": rivals.told(real, made["rows"]),
        "shape": float(np.nanmean(shapes)),
        "trend": fidelity.mean_of_pairs(trends),
        "seconds": made["seconds"],
    }


def held(name: str, model: str, mixed: Mixed, real: pd.DataFrame, seed: int, rivals: Rivals) -> dict[str, float]:
    """What is measured beside a fifth that was not trained on, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(real))
    cut = round(HELD * len(real))
    unseen, kept = (real.iloc[np.sort(part)].reset_index(drop=True) for part in (order[:cut], order[cut:]))
    made = MAKERS[model](f"{name}-kept", kept, seed, rivals)
    rows = made["rows"].reset_index(drop=True)
    few = rows.sample(min(cut, len(rows)), random_state=seed)
    found = code(kept, rows, unseen)
    first, second, third = found.tables
    use = detection.predicted(second, third, found.index(mixed.target), found.categories)
    compared = [found.columns.index(one) for one in found.columns if one.name not in mixed.apart]
    same = privacy.copies((third if model == REAL else second)[:, compared], first[:, compared])
    measured = {"held": rivals.told(unseen, few), "use": use, "copies": same}
    if "fitted" in made:
        measured["kl"] = lambent.evaluate(made["fitted"], unseen, samples=1).metrics["kl"].value
    return measured


def summed(runs: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Means over the seeds that have been measured, the least C2ST, and each seed's own numbers."""
    names = dict.fromkeys(name for run in runs.values() for name in run)
    means = {name: float(np.mean([run[name] for run in runs.values() if name in run])) for name in names}
    least = [run["c2st"] for run in runs.values() if "c2st" in run]
    return means | ({"least": min(least)} if least else {}) | {"seeds": ", ".join(runs), "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(TABLES), help="names of tables")
    parser.add_argument("--models", nargs="*", choices=MODELS, help="which of the models")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--parts", nargs="*", choices=("full", "held"), default=["full", "held"])
    parser.add_argument("--rivals", type=Path, help="the interpreter of an environment with xgboost-cpu and ctgan")
    parser.add_argument("--engine", type=Path, help="the interpreter of an environment with mostlyai-engine")
    parser.add_argument("--work", type=Path, default=Path("synthetic-tables"), help="where rivals' rows are kept")
    parser.add_argument("--threads", type=int, default=2, help="of training, ours and theirs")
    parser.add_argument("--out", type=Path, default=RESULTS / "tables_mixed.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    rivals = Rivals(args.rivals, args.engine, args.work, args.threads)
    record = Record(args.out, "Synthetic rows of mixed tables", PROTOCOL, COLUMNS, ("data", "model", "detector"))
    for name, mixed in TABLES.items():
        if args.only and name not in args.only:
            continue
        real = mixed.read()
        for model in args.models or MODELS:
            if not rivals.has(model):
                continue
            for seed in args.seeds:
                runs = kept_runs(record, name, model, rivals.detector)
                run = runs.setdefault(str(seed), {})
                if "full" in args.parts:
                    run |= full(name, model, real, seed, rivals)
                if "held" in args.parts:
                    run |= held(name, model, mixed, real, seed, rivals)
                print(name, model, seed, {key: round(value, 4) for key, value in run.items()}, flush=True)
                record.add(data=name, model=model, detector=rivals.detector, **summed(runs))


def kept_runs(record: Record, name: str, model: str, detector: str) -> dict[str, dict[str, float]]:
    """What earlier seeds gave, so that another adds to them."""
    key = {"data": name, "model": model, "detector": detector}
    rows = [row for row in record.whole["rows"] if all(row.get(k) == v for k, v in key.items())]
    return dict(rows[0].get("runs", {})) if rows else {}


if __name__ == "__main__":
    main()
