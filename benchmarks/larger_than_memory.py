"""Data larger than memory: peak memory, time before the first step, and rows a second, beside rows in memory.

    python benchmarks/larger_than_memory.py --folder /somewhere/with/room

Every case runs in a process of its own. What is made up (10 GB of pictures, a table in Parquet) is removed at the end.
"""

import argparse
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Record, column

PROTOCOL = (
    "Pictures: random bytes of 28 × 28 in one .npy file, read in place. Table: 30 columns of float32 in Parquet, converted once "
    "into a cache. An Mlp of width 512 at batch 128, one thread. In memory: as many of the first rows as are told. Cold: nothing "
    "is known of the file and none of it is in the system's cache of pages, though what is done before the first step (learning "
    "the scales, converting, checking every row, the digest that resuming needs) brings some of it there; warm: the same again. "
    "Time before the first step and peak, the highest resident set with PyTorch's own 300 MiB, are of a process each, which "
    "trains for some hundred steps with a checkpoint. Speed, warm: one process in which batches come from memory and from disk "
    "in turns of 50, so that whatever else the machine does slows both alike."
)
COLUMNS = [
    column("case", "Rows of"),
    column("place", "Read from"),
    column("gigabytes", "Size", "GB", ".2f"),
    column("rows", "Rows", "", ",.0f"),
    column("before", "Before the first step", "s", ",.1f"),
    column("rate", "Speed", "rows/s", ",.0f"),
    column("ratio", "Beside memory", "", ".2f"),
    column("peak", "Peak", "MiB", ",.0f"),
]
PIXELS, WIDTH, BLOCK = (28, 28), 30, 200_000
BATCH, SETTLED, FEW, TURN = 128, 200, 300, 50  # rows; steps before the timed ones, where no rate is told, of one turn


def blocks(rows: int) -> Iterator[int]:
    return (min(BLOCK, rows - start) for start in range(0, rows, BLOCK))


def make_pictures(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *PIXELS)}
        np.lib.format.write_array_header_1_0(file, header)
        for count in blocks(rows):
            file.write(rng.bytes(count * PIXELS[0] * PIXELS[1]))


def make_table(path: Path, rows: int) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(WIDTH)]
    with parquet.ParquetWriter(path, arrow.schema([(name, arrow.float32()) for name in names])) as file:
        for count in blocks(rows):
            values = rng.standard_normal((WIDTH, count), dtype=np.float32)
            file.write_table(arrow.table(dict(zip(names, values, strict=True))))


class Clock:
    """Times the steps after the first few, and then ends the run."""

    def __init__(self, steps: int) -> None:
        self.steps, self.born = steps, time.perf_counter()
        self.before = self.start = self.end = 0.0

    def on_step(self, run: Any) -> None:
        if run.step == 1:
            self.before = time.perf_counter() - self.born
        if run.step == SETTLED:
            self.start = time.perf_counter()
        if run.step == SETTLED + self.steps:
            self.end = time.perf_counter()
            raise KeyboardInterrupt

    @property
    def rate(self) -> float:
        return self.steps * BATCH / (self.end - self.start)


class Turns:
    """Batches from several places, `TURN` of each in turn; and the seconds that the steps on them took."""

    def __init__(self, places: list[Any], turns: int) -> None:
        self.epochs = [itertools.chain.from_iterable(map(place.epoch, itertools.count())) for place in places]
        self.turns, self.seconds, self.last = turns, [0.0 for _ in places], 0.0

    def __len__(self) -> int:
        return self.turns * len(self.epochs) * TURN

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.turns):
            for epoch in self.epochs:
                yield from (x.clone() for x, _, _ in itertools.islice(epoch, TURN))

    def on_step(self, run: Any) -> None:
        now, place = time.perf_counter(), (run.step - 1) // TURN % len(self.epochs)
        if run.step > SETTLED:
            self.seconds[place] += now - self.last
        self.last = now


def data_of(path: Path, place: str, memory_rows: int, folder: Path) -> Any:
    """The rows, in memory as many of the first as are asked for, without the rest of the file."""
    from lambent.data import load
    from lambent.data.readers.piecewise import pieces_of
    from lambent.data.stored.opening import on_disk

    pictures = path.suffix == ".npy"
    modality = {"type": "Image", "binarize": "dynamic"} if pictures else {"type": "Table"}
    if place != "memory":
        return on_disk(path, folder / "cache", modality=modality)
    taken: list[np.ndarray] = []
    for piece in pieces_of(path):
        taken.append(piece if pictures else np.stack([piece.values(n) for n in piece.names], 1).astype(np.float32))
        if sum(map(len, taken)) >= memory_rows:
            break
    return load(np.concatenate(taken)[:memory_rows], modality=modality)


def case(path: Path, place: str, steps: int, memory_rows: int, folder: Path) -> dict[str, float]:
    """One measurement, in this process."""
    import torch

    import lambent
    from lambent.data.batches import InMemory
    from lambent.data.stored.from_disk import FromDisk
    from lambent.model.networks import Mlp

    clock = Clock(steps)
    likelihood = lambent.Bernoulli() if path.suffix == ".npy" else lambent.Gaussian()
    model = lambent.LatentModel(lambent.Flat(16), likelihood, Mlp(512))
    if place == "turns":
        memory, disk = (data_of(path, name, memory_rows, folder) for name in ("memory", "disk"))
        cpu = torch.device("cpu")
        turns = Turns([InMemory(memory.x, BATCH, 0, cpu), FromDisk(disk, BATCH, 0, cpu)], steps // TURN)
        view = memory.modality.transform
        lambent.fit(model, lambent.Elbo(), turns, epochs=1, batch=BATCH, transform=view, callbacks=[turns])
        rates = [(len(turns) - SETTLED) / 2 * BATCH / seconds for seconds in turns.seconds]
        return {"memory": rates[0], "disk": rates[1]}
    data = data_of(path, place, memory_rows, folder)
    with contextlib.suppress(KeyboardInterrupt):
        lambent.fit(
            model, lambent.Elbo(), data, epochs=100, batch=BATCH, checkpoint=folder / "checkpoint", callbacks=[clock]
        )
    size = len(data) * int(np.prod(data.modality.event)) * (1 if path.suffix == ".npy" else 4)
    return {"gigabytes": size / 1e9, "rows": len(data), "before": clock.before, "rate": clock.rate, "peak": peak()}


def peak() -> float:
    """The highest resident set of this process, in MiB. What getrusage tells may be its parent's, from before it began."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def forget(*paths: Path) -> None:
    """Take what lies in the system's cache of pages out of it."""
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measured(path: Path, place: str, steps: int, args: argparse.Namespace, folder: Path) -> dict[str, float]:
    numbers = [str(steps), str(args.memory_rows), str(folder)]
    command = [sys.executable, __file__, "--case", str(path), place, *numbers]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(path.name, place, found, flush=True)
    return found


def compare(name: str, path: Path, args: argparse.Namespace, folder: Path, record: Record) -> None:
    """Cold, then warm, and both beside memory."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    forget(path)
    cold, warm, memory = (measured(path, place, FEW, args, folder) for place in ("disk", "disk", "memory"))
    rates = measured(path, "turns", args.steps, args, folder)
    warm["rate"], memory["rate"], cold["rate"] = rates["disk"], rates["memory"], None  # type: ignore[assignment]
    for place, found in (("memory", memory), ("disk, cold", cold), ("disk, warm", warm)):
        ratio = None if place == "disk, cold" else found["rate"] / memory["rate"]
        record.add(case=name, place=place, ratio=ratio, **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, help="where there is room for twice the data; default: a temporary folder"
    )
    parser.add_argument("--pictures", type=float, default=10, help="GB of pictures")
    parser.add_argument("--table", type=float, default=3, help="GB of the table")
    parser.add_argument("--steps", type=int, default=3000, help="steps from each place that are timed")
    parser.add_argument("--memory-rows", type=int, default=300_000, help="rows held in memory for comparison")
    parser.add_argument("--out", type=Path, default=RESULTS / "larger_than_memory.json")
    parser.add_argument("--case", nargs=5, help="one case, in this process")
    args = parser.parse_args()
    if args.case:
        path, place, steps, rows, folder = args.case
        print(json.dumps(case(Path(path), place, int(steps), int(rows), Path(folder))))
        return
    record = Record(args.out, "Larger than memory", PROTOCOL, COLUMNS, ("case", "place"))
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        sources = (
            ("pictures, .npy", "pictures.npy", make_pictures, args.pictures, PIXELS[0] * PIXELS[1]),
            ("a table, Parquet", "table.parquet", make_table, args.table, 4 * WIDTH),
        )
        for name, file, make, gigabytes, each in sources:
            if gigabytes:
                make(folder / file, int(gigabytes * 1e9 / each))
                compare(name, folder / file, args, folder, record)
                (folder / file).unlink()


if __name__ == "__main__":
    main()
