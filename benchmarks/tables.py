"""The defaults of small tables beside principal components and a mixture of ten Gaussians: held-out nats on many tables.

    python benchmarks/tables.py                  # all tables found on this machine, two seeds
    python benchmarks/tables.py --only iris moons --seeds 0

Tables of scikit-learn, made ones, and those of ADBench in LAMBENT_DATA or ../shared/data.
"""

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from record import RESULTS, Record, column
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import lambent
from lambent.metrics.bound import bounds

MOST = 4000  # rows of a table that are used
SAMPLES = 200
SHARED = Path(os.environ.get("LAMBENT_DATA", Path(__file__).parents[2] / "shared" / "data"))
PROTOCOL = (
    f"Up to {MOST:,} rows of each table in an order drawn by the seed: nine tenths to learn from, one tenth held out; columns "
    "brought to mean 0 and deviation 1 by the former. `VAE()` with nothing chosen, which sets a tenth of its rows aside to "
    f"choose the best weights by: the K-sample bound, K = {SAMPLES}. Principal components (probabilistic; as many of 1, 2, 3, 5, "
    "8, 12, 16, 24, 32 as are best on a ninth set aside) and a mixture of ten Gaussians with full covariances, both by "
    "scikit-learn, on all nine tenths: "
    "log p(x), which is exact. Nats per held-out row, the mean over seeds; the error is that of the mean "
    "difference between ours and the better of the two. The defaults were chosen on these tables in another split. Columns of a "
    "few values have no density: there the numbers say how far a deviation may shrink, which is 0.001 in all three."
)
COLUMNS = [
    column("data", "Table"),
    column("rows", "Rows"),
    column("columns", "Columns"),
    column("ours", "VAE()", "nats", ".2f"),
    column("components", "Principal components", "nats", ".2f"),
    column("mixture", "Ten Gaussians", "nats", ".2f"),
    column("ahead", "Ahead of the better", "nats", ".2f"),
    column("error", "Standard error", "nats", ".2f"),
    column("active", "Active", "", ".1f"),
    column("seconds", "Training", "s", ".0f"),
    column("seeds", "Seeds"),
]


def tables() -> Iterator[tuple[str, np.ndarray]]:
    """Every table by name, without columns that are the same in every row."""
    random = np.random.default_rng(0)
    for name in ("iris", "wine", "breast_cancer", "diabetes"):
        yield name, getattr(datasets, f"load_{name}")().data
    yield "two moons", datasets.make_moons(2000, noise=0.1, random_state=0)[0]
    yield "swiss roll", datasets.make_swiss_roll(2000, noise=0.3, random_state=0)[0]
    turn, arm = random.uniform(0, 1, 1500), random.integers(0, 3, 1500)
    angle = 4 * turn + 2 * np.pi / 3 * arm
    yield "three spirals", np.c_[turn * np.cos(angle), turn * np.sin(angle)] + 0.02 * random.normal(size=(1500, 2))
    yield (
        "400 of 12 factors",
        random.normal(size=(600, 12)) @ random.normal(size=(12, 400)) + 0.3 * random.normal(size=(600, 400)),
    )
    yield (
        "30 of 5 factors",
        random.normal(size=(1000, 5)) @ random.normal(size=(5, 30)) + 0.5 * random.normal(size=(1000, 30)),
    )
    yield "independent", random.normal(size=(500, 8))
    yield "heavy tails", random.standard_t(3, (1500, 1)) * random.normal(size=(1, 6)) + random.standard_t(4, (1500, 6))
    for path in sorted((SHARED / "anomaly" / "adbench").glob("*.npz")):
        yield path.stem.partition("_")[2], np.load(path)["X"].astype(float)


def parted(x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows held out, scaled by the former."""
    x = x[np.random.default_rng(seed + 1).permutation(len(x))[:MOST]]
    held = len(x) // 10
    kept, out = x[held:], x[:held]
    kept, out = (part[:, kept.std(0) > 1e-9] for part in (kept, out))
    mean, deviation = kept.mean(0), kept.std(0)
    return (kept - mean) / deviation, (out - mean) / deviation


def of_components(kept: np.ndarray, out: np.ndarray) -> np.ndarray:
    """log p of each row held out, by as many components as are best for a ninth of the others."""
    share = len(kept) // 9
    learned, judged = kept[share:], kept[:share]
    sizes = [size for size in (1, 2, 3, 5, 8, 12, 16, 24, 32) if size < min(learned.shape)]
    best = max(sizes, key=lambda size: PCA(size).fit(learned).score(judged))
    return PCA(best).fit(kept).score_samples(out)


def ours(kept: np.ndarray, out: np.ndarray, seed: int) -> tuple[np.ndarray, float, float]:
    """The bound of each row held out in the units of the rows given, the active units, and the seconds of training."""
    started = time.perf_counter()
    vae = lambent.VAE(random_state=seed).fit(kept)
    seconds = time.perf_counter() - started
    fitted = vae.fitted_
    x = fitted.rows(out).x
    scales = np.log([column.scale for column in fitted.modality.columns])
    found = bounds(fitted.model, x, SAMPLES, 0).bound.numpy() - scales.sum()
    active = lambent.evaluate(fitted, out, samples=1).metrics["active_units"].value if len(out) > 1 else 0.0
    return found, active, seconds


def measured(x: np.ndarray, seeds: list[int]) -> dict[str, float | int | str]:
    found: dict[str, list[float]] = {name: [] for name in ("ours", "components", "mixture", "active", "seconds")}
    differences = []
    for seed in seeds:
        kept, out = parted(x, seed)
        own, active, seconds = ours(kept, out, seed)
        by_components = of_components(kept, out)
        mixture = GaussianMixture(10, random_state=seed, reg_covar=1e-6, max_iter=500).fit(kept).score_samples(out)
        for name, value in (("ours", own.mean()), ("components", by_components.mean()), ("mixture", mixture.mean())):
            found[name].append(float(value))
        found["active"].append(active)
        found["seconds"].append(seconds)
        differences.append((own - by_components, own - mixture))
    better = min((0, 1), key=lambda i: float(np.mean([np.mean(pair[i]) for pair in differences])))
    ahead = np.concatenate([pair[better] for pair in differences])
    means: dict[str, float | int | str] = {name: float(np.mean(values)) for name, values in found.items()}
    error = float(ahead.std() / np.sqrt(len(ahead)))
    return means | {"ahead": float(ahead.mean()), "error": error, "seeds": ", ".join(map(str, seeds))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of tables")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--out", type=Path, default=RESULTS / "tables.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    record = Record(args.out, "Small tables", PROTOCOL, COLUMNS, ("data",))
    for name, x in tables():
        if not args.only or name in args.only:
            row = {"data": name, "rows": min(len(x), MOST), "columns": x.shape[1], **measured(x, args.seeds)}
            record.add(**row)
            print(
                {key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}, flush=True
            )


if __name__ == "__main__":
    main()
