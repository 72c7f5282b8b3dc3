"""Seconds of a fit of what suits odd rows of tables, beside PyOD's VAE on the same rows, and of scoring a million rows.

    python benchmarks/detect_speed.py --data FOLDER      # of ADBench's .npz files, X and y in each
    python benchmarks/detect_speed.py --million          # the second table; with two threads

PyOD (pip install pyod) is left out where it is not installed. Both fit half of the normal rows, at most 2,000 of them, on one
thread, in turn; given is the processor's time, which other work on the machine lengthens least, as the least of the rounds.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import RESULTS, Record, column

from lambent.data.kinds.table import Table
from lambent.metrics.reconstruction import reconstructed
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import StudentT
from lambent.model.networks import Mlp
from lambent.objectives import Objective
from lambent.training.fitting import fit

MOST = 2000  # rows to fit to
EPOCHS, BATCH = 30, 32  # PyOD's defaults
PROTOCOL = (
    "Half of the normal rows of each set, at most 2,000. Lambent as `Table().detecting()` has it, a whole ensemble; PyOD's VAE "
    f"with its defaults: {EPOCHS} epochs of {BATCH} rows, 128-64-32 and 2 units. Processor seconds on one thread, the least of "
    "the rounds. A step of one member: those of a fit over its steps and its members."
)
COLUMNS = [
    column("set", "Set"),
    column("rows", "Rows", "", ",d"),
    column("columns", "Columns"),
    column("seconds", "Fit", "s", ".2f"),
    column("pyod", "PyOD's VAE", "s", ".2f"),
    column("ratio", "Of PyOD's", "", ".2f"),
    column("step", "Step of a member", "ms", ".2f"),
    column("pyod_step", "PyOD's step", "ms", ".2f"),
    column("faster", "Times faster", "", ".1f"),
]
SCORED = (
    "−log p(x | z = μ(x)) of rows of 30 columns by six members of 128-128 and 8 units: `metrics.reconstruction.reconstructed`. "
    "Memory: the most that the process held, with the rows and the result."
)
SCORED_COLUMNS = [
    column("rows", "Rows", "", ",d"),
    column("threads", "Threads"),
    column("seconds", "Time", "s", ".1f"),
    column("processor", "Of the processor", "s", ".1f"),
    column("memory", "Memory", "MB", ",.0f"),
    column("beyond", "Beyond rows and result", "MB", ",.0f"),
]


def normal_half(path: Path) -> np.ndarray:
    """Half of the normal rows of a set, at most MOST, in an order of their own."""
    held = np.load(path)
    normal = held["X"][held["y"] == 0].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(normal))
    return np.ascontiguousarray(normal[order[: min(MOST, len(normal) // 2)]])


def own_fit(x: np.ndarray) -> tuple[float, int, int]:
    """Seconds, steps and members of the fit that suits odd rows of this table."""
    table = Table().fit(x)
    rows, parts = table.read(x), table.detecting()
    spec = {"type": "LatentModel", **{name: parts[name] for name in ("latent", "likelihood", "network")}}
    model = LatentModel.from_spec(spec | parts.get("model", {}) | {"gaps": table.gaps})
    objective = Objective.from_spec(parts.get("objective", "Elbo"))
    started = time.process_time()
    history = fit(model, objective, rows, **parts.get("fit", {}), precision="fp32", device="cpu")
    return time.process_time() - started, int(history["step"][-1] or 0), model.members


def pyod_fit(x: np.ndarray) -> tuple[float, int]:
    from pyod.models.vae import VAE

    started = time.process_time()
    VAE(verbose=0).fit(x)
    return time.process_time() - started, EPOCHS * -(-len(x) // BATCH)


def least(rounds: int, run: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    return min((run() for _ in range(rounds)), key=lambda found: found[0])


def fits(folder: Path, rounds: int, out: Path) -> None:
    torch.set_num_threads(1)
    record = Record(out / "detect_speed.json", "Speed of a detector's fit", PROTOCOL, COLUMNS, ("set",))
    ratios, faster = [], []
    for path in sorted(folder.glob("*.npz")):
        x = normal_half(path)
        row: dict[str, Any] = {"set": path.stem, "rows": len(x), "columns": x.shape[1]}
        seconds, steps, members = least(rounds, lambda x=x: own_fit(x))  # type: ignore[misc]
        row |= {"seconds": seconds, "step": 1000 * seconds / steps / members, "steps": steps, "members": members}
        if find_spec("pyod"):
            rival, taken = least(rounds, lambda x=x: pyod_fit(x))  # type: ignore[misc]
            row |= {"pyod": rival, "ratio": seconds / rival, "pyod_step": 1000 * rival / taken}
            row["faster"] = row["pyod_step"] / row["step"]
            ratios.append(row["ratio"])
            faster.append(row["faster"])
        record.add(**row)
        print(row, flush=True)
    if ratios:
        print(f"median of the ratios {statistics.median(ratios):.2f}, times faster {statistics.median(faster):.1f}")


def million(out: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    record = Record(out / "detect_scoring.json", "A million rows scored", SCORED, SCORED_COLUMNS, ("rows", "threads"))
    likelihood = StudentT("predicted", floor=0.1)
    model = LatentModel(Flat(8), likelihood, Mlp(width=128, depth=2), members=6).setup((30,)).eval()
    for rows in (10_000, 100_000, 1_000_000):
        x = torch.randn(rows, 30, generator=torch.Generator().manual_seed(0))
        reconstructed(model, x[:1])
        clock, started = time.process_time(), time.perf_counter()
        found = reconstructed(model, x)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = {
            "rows": rows,
            "threads": threads,
            "seconds": time.perf_counter() - started,
            "processor": time.process_time() - clock,
            "memory": memory,
            "beyond": memory - (x.nbytes + found.nbytes) / 2**20,
        }
        record.add(**row)
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of ADBench's .npz files")
    parser.add_argument("--million", action="store_true", help="score a million rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of scoring")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.data is not None:
        fits(args.data, args.rounds, args.out)
    if args.million:
        million(args.out, args.threads)


if __name__ == "__main__":
    main()
