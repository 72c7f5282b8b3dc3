"""How time and memory grow: with rows (streamed), width, units, and the samples of the bound.

    python benchmarks/growth.py

Every case runs in a process of its own, which reports its seconds and how far its resident memory rose above what it had
when the libraries were loaded and warm.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from contestants import bare
from record import RESULTS, Record, column
from torch import Tensor

import lambent
from lambent.metrics.bound import bounds
from lambent.model.networks import Conv, Mlp, Network

PROTOCOL = (
    "One process for each case. Rows: a table of 30 columns, streamed in batches of 1024 through an Mlp of width 64 for one "
    "epoch. Width and units: one epoch of 12,800 binary images at batch 128. Memory of fit: beside what must be held, that is "
    "the rows, five copies of the weights (weights, gradients, Adam's two moments, the average) and what one step's backward "
    "pass keeps; the bare loop, which keeps no average, for comparison. Samples: the K-sample bound of binary images. Memory is "
    "the highest resident set less that of the warm process."
)
COLUMNS = [
    column("case", "Grows"),
    column("size", "Size", "", ",.0f"),
    column("seconds", "Time", "s", ".2f"),
    column("each", "Time for each", "µs", ",.1f"),
    column("peak", "Memory", "MiB", ",.0f"),
    column("held", "Must be held", "MiB", ",.0f"),
    column("ratio", "Memory / held", "", ".2f"),
]
CASES: dict[str, list[int]] = {
    "rows, streamed": [10**3, 10**4, 10**5, 10**6, 10**7],
    "width of the Mlp": [64, 128, 256, 512, 1024, 2048],
    "units of z": [2, 8, 32, 128, 512],
    "samples K, 100 images": [1, 10, 100, 1000, 5000],
    "K = 5000, images": [100, 1000, 10_000],
    "fit, Mlp of width": [512, 2048],
    "bare loop, Mlp of width": [512, 2048],
    "fit, Conv at batch": [128, 1024],
    "bare loop, Conv at batch": [128, 1024],
}


class Stream:
    """Rows that are made as they are asked for."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return -(-self.rows // 1024)

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        for start in range(0, self.rows, 1024):
            yield torch.randn(min(1024, self.rows - start), 30, generator=generator)


class Peak:
    """The highest resident memory of this process while active, less that at the start; sampled every 2 ms."""

    def __enter__(self) -> "Peak":
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # what the warm-up freed would not show when it is used again
        self.start = self.highest = resident()
        self.over = False
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        self.began = time.perf_counter()
        return self

    def _watch(self) -> None:
        while not self.over:
            self.highest = max(self.highest, resident())
            time.sleep(0.002)

    def __exit__(self, *caught: object) -> None:
        self.seconds = time.perf_counter() - self.began
        self.over = True
        self.thread.join()
        self.highest = max(self.highest, resident())

    @property
    def mib(self) -> float:
        return (self.highest - self.start) / 2**20


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def images(rows: int) -> Tensor:
    return torch.randint(0, 2, (rows, 1, 28, 28), dtype=torch.uint8)


def built(network: Network, units: int = 16, event: tuple[int, ...] = (1, 28, 28)) -> lambent.LatentModel:
    return lambent.LatentModel(lambent.Flat(units), lambent.Bernoulli(), network).setup(event)


def kept_by_backward(model: lambent.LatentModel, x: Tensor) -> int:
    """Bytes that one step's graph keeps, each storage once, the weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = lambent.Elbo()(model, x)
    del loss
    return sum(size for place, size in storages.items() if place not in weights)


def case(name: str, size: int) -> dict[str, float]:
    """One measurement, in this process."""
    warm = built(Mlp(8))
    lambent.fit(warm, lambent.Elbo(), images(64), epochs=1, batch=32, progress=False)
    quiet: dict[str, Any] = {"epochs": 1, "progress": False, "precision": "fp32"}
    if name == "rows, streamed":
        model = lambent.LatentModel(lambent.Flat(8), lambent.Gaussian(), Mlp(64)).setup((30,))
        with Peak() as peak:
            lambent.fit(model, lambent.Elbo(), Stream(size), **quiet)
        return {"seconds": peak.seconds, "each": 1e6 * peak.seconds / size, "peak": peak.mib}
    if name in ("width of the Mlp", "units of z"):
        model = built(Mlp(size)) if name == "width of the Mlp" else built(Mlp(512), size)
        x = images(12_800)
        with Peak() as peak:
            lambent.fit(model, lambent.Elbo(), x, batch=128, **quiet)
        return {"seconds": peak.seconds, "each": 1e6 * peak.seconds / len(x), "peak": peak.mib}
    if name.startswith(("fit", "bare")):
        network: Network = Mlp(size) if "Mlp" in name else Conv((32, 64, 128))
        batch = 128 if "Mlp" in name else size
        x = images(60_000 if "Mlp" in name else 4096)
        model = built(network)
        weights = 4 * sum(p.numel() for p in model.parameters())
        held = x.nbytes + 5 * weights + kept_by_backward(built(network), x[:batch])
        rows = x[: 20 * batch] if "Mlp" in name else x
        with Peak() as peak:
            if name.startswith("bare"):
                bare(model, rows, batch, 1)
            else:
                lambent.fit(model, lambent.Elbo(), rows, batch=batch, **quiet)
        # The rows and the weights were there before.
        whole = peak.mib + (x.nbytes + weights) / 2**20
        return {"seconds": peak.seconds, "peak": whole, "held": held / 2**20, "ratio": whole / (held / 2**20)}
    samples, rows = (size, 100) if name.startswith("samples") else (5000, size)
    model, x = built(Mlp(64)).eval(), images(rows)
    with Peak() as peak:
        bounds(model, x, samples)
    return {"seconds": peak.seconds, "each": 1e6 * peak.seconds / (samples * rows), "peak": peak.mib}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], help="cases whose names contain one of these")
    parser.add_argument("--largest", type=int, default=10**7, help="leave out sizes above this")
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    parser.add_argument("--case", nargs=2, metavar=("NAME", "SIZE"), help="one case, in this process")
    args = parser.parse_args()
    if args.case:
        print(json.dumps(case(args.case[0], int(args.case[1]))))
        return
    record = Record(args.out, "How the cost grows", PROTOCOL, COLUMNS, ("case", "size"))
    for name, sizes in CASES.items():
        for size in sizes:
            if size <= args.largest and any(word in name for word in args.only):
                done = subprocess.run(
                    [sys.executable, __file__, "--case", name, str(size)], stdout=subprocess.PIPE, text=True, check=True
                )
                row = json.loads(done.stdout.splitlines()[-1])
                record.add(case=name, size=size, **row)
                print(name, size, row, flush=True)


if __name__ == "__main__":
    main()
