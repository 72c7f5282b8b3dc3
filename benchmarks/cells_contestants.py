"""One training on counts of cells, by Lambent or by scvi-tools, each in an interpreter of its own that need not have the other.

    python benchmarks/cells_contestants.py lambent IN.npz OUT.npz --epochs 20 --seed 0
    python benchmarks/cells_contestants.py scvi IN.npz OUT.npz --epochs 20 --seed 0 --likelihood nb
    python benchmarks/cells_contestants.py scvi IN.npz OUT.npz --timed 3 --dense      # seconds of an epoch alone

IN: data, indices, indptr, shape of CSR counts [cells, genes]; batch [cells]; test [cells], true where held out; group [cells],
0 and 1 those whose expression is compared. OUT: codes of all cells, probability and fold of each
gene, and `told`, JSON: nats of held-out cells, seconds, memory. Both see the same cells, in float32, in batches of 128.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

BATCH = 128
REPEATS = 10  # draws of the bound of held-out cells
CHANGE = 0.25


def read(path: Path, dense: bool) -> tuple[Any, dict[str, np.ndarray]]:
    """The counts as an AnnData with `batch` beside the cells, and all else."""
    import anndata
    import pandas as pd

    with np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files}
    parts = tuple(held.pop(name) for name in ("data", "indices", "indptr"))
    counts = sparse.csr_matrix((parts[0].astype(np.float32), *parts[1:]), shape=tuple(held.pop("shape")))
    obs = pd.DataFrame(
        {"batch": [f"batch {n}" for n in held["batch"]]}, index=[f"c{i}" for i in range(counts.shape[0])]
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(counts.shape[1])])
    return anndata.AnnData(counts.toarray() if dense else counts, obs=obs, var=var), held


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def clocked(train: Any, epochs: int) -> dict[str, float]:
    """Seconds of one epoch, by the clock and of the processor: what a training of so many takes beyond one of one.

    One training before, so that nothing is imported, or found out about the machine, within either.
    """
    train(1)
    marks = []
    for count in (1, 1 + epochs):
        before = time.perf_counter(), time.process_time()
        train(count)
        marks.append((time.perf_counter() - before[0], time.process_time() - before[1]))
    names = ("epoch_seconds", "epoch_processor")
    return {name: (late - early) / epochs for name, early, late in zip(names, *marks, strict=True)}


def by_lambent(adata: Any, held: dict[str, np.ndarray], options: argparse.Namespace) -> dict[str, Any]:
    """lambent.Cells with what it suggests for cells, without validation rows, which the other has none of either."""
    import torch

    import lambent

    several = len(np.unique(held["batch"])) > 1
    likelihood = {"nb": "NegativeBinomial", "zinb": "ZeroInflatedNegativeBinomial"}.get(options.likelihood)
    chosen = {} if likelihood is None else {"likelihood": {"type": likelihood, "library": "observed"}}

    def cells(epochs: int) -> Any:
        return lambent.Cells(
            condition="batch" if several else None,
            epochs=epochs,
            validation=0.0,
            random_state=options.seed,
            batch=BATCH,
            **chosen,
        )

    if options.timed:
        return clocked(lambda epochs: cells(epochs).fit(adata, write=False), options.timed)
    training, test = adata[~held["test"]].copy(), adata[held["test"]].copy()
    started, worked = time.perf_counter(), time.process_time()
    model = cells(options.epochs).fit(training, write=False)
    found: dict[str, Any] = {
        "seconds": time.perf_counter() - started, "processor": time.process_time() - worked, "version": lambent.__version__,
    }  # fmt: skip
    found["codes"] = model.transform(adata)
    if len(test):
        rows = model.fitted_.rows(test)
        generator = torch.Generator().manual_seed(1)
        trained, drawn = model.fitted_.model, lambent_draw(generator)
        with torch.no_grad():
            each = []
            for _ in range(REPEATS):
                for part in torch.arange(len(rows)).split(256):
                    some = rows.at(part)
                    trace = trained.trace(some.x, 1, drawn, some.context)
                    each.append((trace.kl - trace.log_px).flatten())
        found["nll"] = float(torch.cat(each).double().mean())
    if (held["group"] == 0).any():
        table = model.differential_expression(
            adata, group1=held["group"] == 0, group2=held["group"] == 1, change=CHANGE
        )
        table = table.loc[list(adata.var_names)]
        found |= {"probability": table["probability"].to_numpy(), "fold": table["log2_fold"].to_numpy()}
    return found


def lambent_draw(generator: Any) -> Any:
    """Codes from the posterior."""
    from lambent.model.trace import from_posterior

    return from_posterior(generator)


def by_scvi(adata: Any, held: dict[str, np.ndarray], options: argparse.Namespace) -> dict[str, Any]:
    """scvi-tools' SCVI with its own settings: 10 units, one layer of 128, ZINB unless told, a dispersion for each gene."""
    import scvi

    scvi.settings.seed = options.seed
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "train_size": 1.0,
        "batch_size": BATCH,
        "enable_progress_bar": False,
    }
    likelihood = options.likelihood or "zinb"

    def trained(rows: Any, epochs: int) -> Any:
        scvi.model.SCVI.setup_anndata(rows, batch_key="batch")
        model = scvi.model.SCVI(rows, gene_likelihood=likelihood)
        model.train(max_epochs=epochs, **settings)
        return model

    if options.timed:
        return clocked(lambda epochs: trained(adata, epochs), options.timed) | {"version": scvi.__version__}
    training, test = adata[~held["test"]].copy(), adata[held["test"]].copy()
    started, worked = time.perf_counter(), time.process_time()
    model = trained(training, options.epochs)
    found: dict[str, Any] = {
        "seconds": time.perf_counter() - started, "processor": time.process_time() - worked, "version": scvi.__version__,
    }  # fmt: skip
    found["codes"] = model.get_latent_representation(adata)
    if len(test):
        # Its bound on a cell, log p(x | z, ℓ) − KL, in newer releases a gain and in older ones a loss.
        found["nll"] = float(np.mean([abs(float(np.asarray(model.get_elbo(test)))) for _ in range(REPEATS)]))
    if (held["group"] == 0).any():
        table = model.differential_expression(
            adata,
            idx1=held["group"] == 0,
            idx2=held["group"] == 1,
            mode="change",
            delta=CHANGE,
            batch_correction=True,
            silent=True,
        ).loc[list(adata.var_names)]
        found |= {"probability": table["proba_de"].to_numpy(), "fold": table["lfc_median"].to_numpy()}
    return found


CONTESTANTS = {"lambent": by_lambent, "scvi": by_scvi}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("counts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--likelihood", choices=("nb", "zinb"), default=None, help="default: what each suggests")
    parser.add_argument("--timed", type=int, default=0, help="time so many epochs and do nothing else")
    parser.add_argument("--dense", action="store_true", help="counts as a dense array in memory")
    options = parser.parse_args()
    adata, held = read(options.counts, options.dense)
    found = CONTESTANTS[options.contestant](adata, held, options)
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    told = {name: value for name, value in found.items() if name not in arrays} | {"memory": peak()}
    np.savez(options.out, told=np.array(json.dumps(told)), **arrays)


if __name__ == "__main__":
    main()
