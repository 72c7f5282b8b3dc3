"""Whether later epochs take longer than the first: subnormal numbers in Adam's moments slow a loop that lets them be.

    python benchmarks/epochs.py

Ours and the bare loop take turns, each training the same weights afresh; given is the median over the turns of each epoch's
time in units of the first epoch's.
"""

import argparse
import statistics
from pathlib import Path

from contestants import bare, ours
from record import RESULTS, Record, column
from speed import bits

import lambent
from lambent.model.networks import Mlp

PROTOCOL = (
    "Mlp of width 512, batch 128, fp32, 25,600 binary images of 28 × 28 (the shipped slice of Fashion-MNIST, thresholded and "
    "repeated), 16 units, Bernoulli. A first turn of each loop warms the machine up and is left out. Medians of the turns."
)
COLUMNS = [
    column("loop", "Loop"),
    column("epoch", "Epoch"),
    column("seconds", "Time", "s", ".2f"),
    column("ratio", "Of the first epoch", "", ".2f"),
    column("turns", "Turns"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=25_600)
    parser.add_argument("--out", type=Path, default=RESULTS / "epochs.json")
    args = parser.parse_args()
    record = Record(args.out, "Epoch after epoch", PROTOCOL, COLUMNS, ("loop", "epoch"))
    x = bits(args.rows, "cpu")
    model = lambent.LatentModel(lambent.Flat(16), lambent.Bernoulli(), Mlp(512)).setup(tuple(x.shape[1:]))
    loops = {"lambent, fp32": ours("fp32"), "bare loop, fp32": bare}
    seconds: dict[str, list[list[float]]] = {name: [] for name in loops}
    for turn in range(args.turns + 1):
        for name, train in loops.items():
            found = train(model, x, 128, args.epochs if turn else 2)
            if turn:
                seconds[name].append(found)
    for name, turns in seconds.items():
        for epoch, own in enumerate(zip(*turns, strict=True), 1):
            ratio = statistics.median(turn[epoch - 1] / turn[0] for turn in turns)
            row = {"epoch": epoch, "seconds": statistics.median(own), "ratio": ratio, "turns": args.turns}
            record.add(loop=name, **row)
            print(name, row, flush=True)


if __name__ == "__main__":
    main()
