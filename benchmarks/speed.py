"""Rows per second of `fit` beside a bare PyTorch loop and, where they are installed, pythae and Lightning.

    python benchmarks/speed.py                     # MLP, Conv and pythae's own ConvNet at batches of 128 and 1024
    python benchmarks/speed.py --only VAE-GAN      # two steps of a VAE-GAN by hand, ours, pythae's: see benchmarks/adversaries.py
    python benchmarks/speed.py --device cuda
    python benchmarks/speed.py --crowded           # threads and precision by measurement: see benchmarks/crowded.py

The contestants take turns, round after round, in one process: each turn trains the same weights afresh for two epochs, of
which the first is left out. Given are medians, and the median of the ratios to the bare loop's turn in the same round. Give
the machine nothing else to do.
"""

import argparse
import statistics
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import adversaries
import crowded
import torch
from contestants import Borrowed, Contestant, contestants
from record import RESULTS, Record, column
from torch import Tensor

import lambent
from lambent.data import load
from lambent.model.networks import Conv, Mlp, Network

PROTOCOL = (
    "28 × 28 binary images (the shipped slice of Fashion-MNIST, thresholded), 16 units, Bernoulli, Adam with learning rate 1e-3, "
    "the same layers for all. Turns of two epochs, the first left out. pythae with its own trainer; Lightning without "
    "logger, checkpoints and progress bar, over a DataLoader of single rows. VAE-GAN: Conv(32, 64, 128) on the grey pictures, a "
    "Gaussian of fixed scale, a rival of the same layers that judges reconstructions and samples and compares features, with R1 "
    "and R2; the bare loop has fixed weights, and in a second form their balance; pythae's VAEGAN judges samples alone, without "
    "penalties."
)
COLUMNS = [
    column("network", "Network"),
    column("batch", "Batch"),
    column("contestant", "Loop"),
    column("rate", "Rows per second", "", ",.0f"),
    column("ratio", "Of the bare loop", "", ".2f"),
    column("low", "Lower quartile", "", ".2f"),
    column("high", "Upper quartile", "", ".2f"),
    column("rounds", "Rounds"),
]
# rows of an epoch at batches of 128 and 1024
HYBRID = "VAE-GAN"
ROWS = {HYBRID: (1_024, 2_048), "Mlp": (20_000, 20_480), "Conv": (2_560, 4_096), "pythae's ConvNet": (128, 1024)}


def networks() -> dict[str, Network]:
    found: dict[str, Network] = {"Mlp": Mlp(512), "Conv": Conv((32, 64, 128))}
    return found | ({"pythae's ConvNet": Borrowed()} if find_spec("pythae") else {})


def bits(rows: int, device: str) -> Tensor:
    return (pictures(rows, device) > 127).to(torch.uint8)


def pictures(rows: int, device: str) -> Tensor:
    data = load("fashion")
    return data.x[:rows].to(device).repeat(-(-rows // len(data.x)), 1, 1, 1)[:rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=20, help="minutes; what is not done by then is left out")
    parser.add_argument("--only", nargs="*", help="networks")
    parser.add_argument("--batches", nargs="*", type=int, default=[128, 1024])
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.json")
    parser.add_argument("--crowded", action="store_true", help="what auto chooses, on an idle machine and a busy one")
    if "--crowded" in sys.argv:
        crowded.main([word for word in sys.argv[1:] if word != "--crowded"])
        return
    args = parser.parse_args()
    key = ("network", "batch", "contestant", "device", "machine")
    record = Record(args.out, "Training speed", PROTOCOL, COLUMNS, key, args.device)
    deadline = time.monotonic() + 60 * args.budget
    for name, network in networks().items():
        for batch in args.batches:
            if time.monotonic() < deadline and (not args.only or name in args.only):
                x = bits(ROWS[name][batch > 128], args.device)
                model = lambent.LatentModel(lambent.Flat(16), lambent.Bernoulli(), network).setup(tuple(x.shape[1:]))
                for row in race(model, contestants(), x, batch, args.rounds, deadline):
                    record.add(network=name, batch=batch, device=args.device, **row)
                    print(name, batch, row, flush=True)
    for batch in args.batches:
        if time.monotonic() < deadline and (not args.only or HYBRID in args.only):
            x = pictures(ROWS[HYBRID][batch > 128], args.device)
            model = adversaries.model_of(Conv((32, 64, 128)), x)
            for row in race(model, adversaries.contestants(), x, batch, args.rounds, deadline):
                record.add(network=HYBRID, batch=batch, device=args.device, **row)
                print(HYBRID, batch, row, flush=True)


def race(
    model: lambent.LatentModel,
    field: dict[str, Contestant],
    x: Tensor,
    batch: int,
    rounds: int,
    deadline: float,
) -> list[dict[str, object]]:
    rates: dict[str, list[float]] = {name: [] for name in field}
    for turn in range(rounds + 1):
        for name, train in field.items():
            seconds = train(model, x, batch, 2)[1:]
            if turn:  # the first round warms everything up
                rates[name].append(len(x) * len(seconds) / sum(seconds))
        if turn >= 3 and time.monotonic() > deadline:
            break
    rows = []
    for name, own in rates.items():
        ratios = sorted(a / b for a, b in zip(own, rates[next(iter(field))], strict=True))
        low, _, high = statistics.quantiles(ratios, n=4)
        rows.append(
            {
                "contestant": name,
                "rate": statistics.median(own),
                "ratio": statistics.median(ratios),
                "low": low,
                "high": high,
                "rounds": len(own),
            }
        )
    return rows


if __name__ == "__main__":
    main()
