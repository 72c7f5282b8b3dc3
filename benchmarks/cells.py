"""Counts of single cells: lambent.Cells beside scvi-tools' SCVI, on the same cells.

    python benchmarks/cells.py worms --seeds 5 --epochs 20                             # worm neurons, ten known kinds
    python benchmarks/cells.py batches --seeds 3 --epochs 30                           # simulated batches, known differences
    python benchmarks/cells.py speed                                                   # seconds of an epoch, memory
    python benchmarks/cells.py worms --seeds 5 --epochs 20 --rival SCVI/bin/python     # with scvi-tools, in that interpreter

Worm neurons are read from LAMBENT_DATA or ../shared/data. Results are written after every row.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Record, column
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, roc_auc_score

from lambent.metrics.mixing import bras, ilisi, kbet_by_label

SHARED = Path(os.environ.get("LAMBENT_DATA", Path(__file__).parents[2] / "shared" / "data"))
WORMS = SHARED / "cells" / "worm-neurons.npz"
CONTESTANTS = Path(__file__).with_name("cells_contestants.py")
HELD_OUT = 0.1
KINDS, BATCHES, CELLS, GENES = 6, 3, 4000, 2000
DIFFERENT = 100  # genes that tell the first kind from the second
PROTOCOL = (
    "A tenth of the cells is held out by the seed. nll: the negative of the one-draw bound on log p(counts | library size) of "
    "held-out cells, KL included, averaged over ten draws, nats per cell, the same for both. ARI, NMI: k-means (ten starts) "
    "on posterior means of all cells, with the number of kinds given, against the known kinds. BRAS: 1 where the batches of a "
    "kind lie alike (cosine). iLISI: batches in a neighbourhood, from 1 to their number. kBET: share of neighbourhoods within "
    "a kind that are not rejected at 5 %. DE: area under the ROC curve of P(|log2 fold| > 0.25) for the genes made to differ. "
    "Simulated: 4,000 cells × 2,000 genes, six kinds in three batches of unlike proportions, each gene of each batch "
    "multiplied by e^N(0, 0.5²), depths log-normal, counts negative binomial with r = 2, 100 genes of the second kind are the "
    "first's times 2^±1. Speed: an epoch's seconds are what three more epochs take than one, over three; the counts are "
    "Poisson, 5 % above nought; memory: the peak of the process, imports included. SCVI: its own settings (ZINB, 10 units, "
    "one layer of 128), the same number of epochs, batches of 128, no early stop."
)
COLUMNS = [
    column("data", "Cells"),
    column("model", "Model"),
    column("seed", "Seed"),
    column("epochs", "Epochs"),
    column("nll", "Held-out −bound", "nats", ".1f"),
    column("ari", "ARI", "", ".3f"),
    column("nmi", "NMI", "", ".3f"),
    column("bras", "BRAS", "", ".3f"),
    column("ilisi", "iLISI", "", ".2f"),
    column("kbet", "kBET accepted", "", ".3f"),
    column("de", "DE AUROC", "", ".3f"),
    column("seconds", "Training", "s", ".0f"),
    column("processor", "of the processor", "s", ".0f"),
    column("epoch_seconds", "An epoch", "s", ".2f"),
    column("memory", "Peak memory", "MiB", ",.0f"),
]  # fmt: skip


def worms() -> dict[str, Any]:
    """4,186 neurons of the worm, with ten kinds known."""
    if not WORMS.is_file():
        raise SystemExit(f"{WORMS} is not there: set LAMBENT_DATA to the folder that holds cells/worm-neurons.npz")
    with np.load(WORMS, allow_pickle=False) as file:
        parts = (file["data"], file["indices"], file["indptr"])
        return {"counts": sparse.csr_matrix(parts, shape=tuple(file["shape"])), "kinds": file["Y"].astype(np.int64)}


def simulated(seed: int, cells: int = CELLS, genes: int = GENES) -> dict[str, Any]:
    """Kinds in batches with a known effect, and which genes tell the first kind from the second."""
    rng = np.random.default_rng([seed, 7])
    kinds = rng.integers(KINDS, size=cells)
    lean = rng.dirichlet(np.full(BATCHES, 4.0), size=KINDS)  # of each kind, its share in each batch
    batch = np.array([rng.choice(BATCHES, p=lean[kind]) for kind in kinds])
    profile = rng.gamma(0.4, size=genes) + 0.02
    log_rates = np.log(profile) + (rng.random((KINDS, genes)) < 0.1) * rng.normal(0, 1.2, (KINDS, genes))
    different = np.zeros(genes, bool)
    different[rng.choice(np.flatnonzero(profile > np.median(profile)), DIFFERENT, replace=False)] = True
    log_rates[1] = log_rates[0]
    log_rates[1, different] += np.log(2) * rng.choice([-1.0, 1.0], DIFFERENT)
    effect = rng.normal(0, 0.5, (BATCHES, genes))
    rates = np.exp(log_rates[kinds] + effect[batch])
    depth = rng.lognormal(np.log(2500), 0.4, size=(cells, 1))
    means = depth * rates / rates.sum(1, keepdims=True)
    counts = rng.poisson(means * rng.gamma(2.0, 0.5, means.shape))
    group = np.where(kinds <= 1, kinds, -1)
    return {"counts": sparse.csr_matrix(counts), "kinds": kinds, "batch": batch, "group": group, "different": different}


def scattered(cells: int, genes: int) -> dict[str, Any]:
    """Counts of which five in a hundred are above nought."""
    rng = np.random.default_rng(0)
    return {"counts": sparse.csr_matrix(rng.poisson(0.0513, (cells, genes))), "kinds": np.zeros(cells, np.int64)}


def contested(python: str, name: str, made: dict[str, Any], seed: int, *options: str) -> dict[str, Any]:
    """What one contestant, in an interpreter of its own, makes of the cells."""
    counts, cells = made["counts"], made["counts"].shape[0]
    test = np.random.default_rng([seed, 11]).permutation(cells) < round(HELD_OUT * cells)
    nought = np.zeros(cells, np.int64)
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            there, data=counts.data, indices=counts.indices, indptr=counts.indptr, shape=np.array(counts.shape),
            batch=made.get("batch", nought), group=made.get("group", nought - 1), test=test,
        )  # fmt: skip
        done = subprocess.run(
            [python, str(CONTESTANTS), name, str(there), str(back), "--seed", str(seed), *options],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr[-4000:]}")
        with np.load(back, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    return {**found, **json.loads(str(found["told"]))}


def judged(made: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The numbers of one training, against what is known of the cells."""
    codes, kinds = found["codes"].astype(np.float64), made["kinds"]
    clusters = KMeans(len(np.unique(kinds)), n_init=10, random_state=0).fit_predict(codes)
    told = {name: found.get(name) for name in ("nll", "seconds", "processor", "memory", "version")}
    told |= {"ari": adjusted_rand_score(kinds, clusters), "nmi": normalized_mutual_info_score(kinds, clusters)}
    if "batch" in made:
        batch = made["batch"]
        told |= {"bras": bras(codes, kinds, batch), "ilisi": ilisi(codes, batch)}
        told["kbet"] = kbet_by_label(codes, kinds, batch).accepted
    if "different" in made:
        told["de"] = roc_auc_score(made["different"], found["probability"] + 1e-6 * np.abs(found["fold"]))
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in told.items()}


def trained(record: Record, options: argparse.Namespace, data: str, make: Any) -> None:
    """A row for each seed and model, and the medians told."""
    for name, python in models(options):
        rows = []
        for seed in range(options.seeds):
            made = make(seed)
            told = judged(made, contested(python, name, made, seed, "--epochs", str(options.epochs), *chosen(options)))
            record.add(data=data, model=titled(name, options), seed=seed, epochs=options.epochs, **told)
            rows.append(told)
            print(data, titled(name, options), seed, told, flush=True)
        shown = [key for key, value in rows[0].items() if isinstance(value, float)]
        print(
            data,
            name,
            "medians",
            {key: round(float(np.median([row[key] for row in rows])), 4) for key in shown},
            flush=True,
        )


def speed(record: Record, options: argparse.Namespace) -> None:
    """Seconds of an epoch and peak memory, counts dense and sparse in memory."""
    sizes = {"10,000 × 2,000": (10_000, 2_000), "4,000 × 13,000": (4_000, 13_000)}
    for data, (cells, genes) in sizes.items():
        made = scattered(cells, genes)
        for form in ("sparse", "dense"):
            for name, python in models(options):
                extra = ("--timed", "3", *(("--dense",) if form == "dense" else ()), *chosen(options))
                found = contested(python, name, made, 0, *extra)
                told = {key: round(found[key], 3) for key in ("epoch_seconds", "epoch_processor", "memory")}
                record.add(
                    data=f"{data}, {form}",
                    model=titled(name, options),
                    seed=0,
                    epochs=3,
                    version=found.get("version"),
                    **told,
                )
                print(data, form, titled(name, options), told, flush=True)


def models(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Contestants and their interpreters."""
    own = [] if options.rival_only else [("lambent", sys.executable)]
    return [*own, *([("scvi", options.rival)] if options.rival else [])]


def chosen(options: argparse.Namespace) -> tuple[str, ...]:
    return ("--likelihood", options.likelihood) if options.likelihood else ()


def titled(name: str, options: argparse.Namespace) -> str:
    title = {"lambent": "ours", "scvi": "SCVI"}[name]
    return f"{title}, {options.likelihood.upper()}" if options.likelihood else title


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("worms", "batches", "speed"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--likelihood", choices=("nb", "zinb"), default=None, help="of both; default: what each suggests"
    )
    parser.add_argument("--rival", default=None, help="an interpreter with scvi-tools in it")
    parser.add_argument("--rival-only", action="store_true", help="leave ours as it stands in the results")
    parser.add_argument("--results", type=Path, default=RESULTS / "cells.json")
    options = parser.parse_args()
    record = Record(options.results, "Single cells", PROTOCOL, COLUMNS, ("data", "model", "seed", "epochs"))
    if options.what == "speed":
        speed(record, options)
    elif options.what == "worms":
        made = worms()
        trained(record, options, "worm neurons", lambda seed: made)
    else:
        trained(record, options, "simulated", simulated)


if __name__ == "__main__":
    main()
