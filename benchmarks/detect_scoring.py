"""Seconds and memory of a detector's scoring, up to a million rows.

python benchmarks/detect_scoring.py --threads 2
"""

import argparse
import resource
import time
from pathlib import Path

import torch
from record import RESULTS, Record, column

from lambent.data.kinds.table import Table
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.tasks.detection import Score
from lambent.training.fitting import fit

COLUMNS, LEARNED = 30, 20_000
PROTOCOL = (
    f"Rows of {COLUMNS} columns near eight directions, scored by what a detector of plain tables is by default (`Blend`: four "
    f"members and the nearest of 4,096 kept rows), trained on {LEARNED:,} of them. Memory: the most that the process held; "
    "beyond the rows and the scores."
)
TOLD = [
    column("rows", "Rows", "", ",d"),
    column("threads", "Threads"),
    column("seconds", "Time", "s", ".1f"),
    column("processor", "Of the processor", "s", ".1f"),
    column("memory", "Memory", "MB", ",.0f"),
    column("beyond", "Beyond rows and scores", "MB", ",.0f"),
]


def drawn(rows: int, seed: int) -> torch.Tensor:
    """Rows near eight directions."""
    axes = torch.randn(8, COLUMNS, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=random) @ axes + 0.3 * torch.randn(rows, COLUMNS, generator=random)


def detector() -> tuple[Fitted, Score]:
    """What suits odd rows of such a table, with what its score knows of the training rows."""
    x = drawn(LEARNED, 1).numpy()
    table = Table().fit(x)
    rows, parts = table.read(x), table.detecting()
    spec = {"type": "LatentModel", **{name: parts[name] for name in ("latent", "likelihood", "network")}}
    model = LatentModel.from_spec(spec | parts["model"])
    objective = Objective.from_spec(parts["objective"])
    fit(model, objective, rows, **parts["fit"])
    fitted = Fitted(model.eval(), table, {"objective": objective.spec()})
    return fitted, Score.default(fitted).learn(fitted, fitted.rows(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    record = Record(args.out / "detect_scoring.json", "Rows scored by a detector", PROTOCOL, TOLD, ("rows", "threads"))
    fitted, score = detector()
    for count in (100_000, 1_000_000):
        assert isinstance(fitted.modality, Table)
        rows = Rows(fitted.modality.encode(drawn(count, 2).numpy()))
        clock, started = time.process_time(), time.perf_counter()
        found = score(fitted, rows)
        seconds, processor = time.perf_counter() - started, time.process_time() - clock
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = {"rows": count, "threads": args.threads, "seconds": seconds, "processor": processor, "memory": memory}
        row["beyond"] = memory - (2 * rows.x.nbytes + found.nbytes) / 2**20
        record.add(**row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
