"""Scoring of a table's rows: in float32, as it is done, beside float64, as it was, on one and the same model.

python benchmarks/scoring.py
"""

import argparse
import copy
import time
from pathlib import Path

import torch
from record import RESULTS, Record, column

import lambent
from lambent.metrics.bound import bounds

PROTOCOL = (
    "A table of ten columns and a model with the defaults of tables: ten units, two layers of 128. One thread; seconds of the "
    "processor, not of the clock, so that other processes count little. Both score the same rows with the same noise; float64 "
    "was taken before so that scores would not hang on the order of rows, and in float32 they now hang on it in no bit."
)
COLUMNS = [
    column("samples", "K"),
    column("rows", "Rows"),
    column("ours", "float32", "s", ".1f"),
    column("before", "float64", "s", ".1f"),
    column("ratio", "Ratio", "", ".2f"),
    column("difference", "Difference of the mean scores", "nats", ".1e"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--samples", type=int, nargs="*", default=[16, 32])
    parser.add_argument("--out", type=Path, default=RESULTS / "scoring.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(args.out, "Scoring speed", PROTOCOL, COLUMNS, ("samples", "rows"))
    vae = lambent.VAE(epochs=20).fit(table(4000, 0).numpy())
    x = vae.fitted_.rows(table(args.rows, 1).numpy()).x
    wide = copy.deepcopy(vae.model_).double()
    for samples in args.samples:
        ours, took = timed(vae.model_, x, samples)
        before, slow = timed(wide, x, samples)
        difference = abs(float((ours - before).mean()))
        row = {"ours": took, "before": slow, "ratio": slow / took, "difference": difference}
        record.add(samples=samples, rows=args.rows, **row)
        print(samples, row, flush=True)


def table(rows: int, seed: int) -> torch.Tensor:
    """Four factors, bent, with noise."""
    loadings = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed + 1)
    factors = torch.randn(rows, 4, generator=generator)
    return torch.tanh(factors @ loadings) + 0.3 * torch.randn(rows, 10, generator=generator)


def timed(model: lambent.LatentModel, x: torch.Tensor, samples: int) -> tuple[torch.Tensor, float]:
    bounds(model, x[:64], samples)
    began = time.process_time()
    found = bounds(model, x, samples).bound
    return found, time.process_time() - began


if __name__ == "__main__":
    main()
