"""The K = 1000 bound of ours beside pythae's `get_nll`, on one and the same model.

python benchmarks/evaluation.py
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from contestants import pythae_model
from record import RESULTS, Record, column
from speed import bits

import lambent
from lambent.metrics.bound import bounds
from lambent.model.networks import Conv, Mlp, Network

PROTOCOL = (
    "Binary 28 × 28 images, 16 units, the same weights for both; K = 1000. The two take turns. Both estimate log p(x), so "
    "they agree up to the noise of their samples."
)
COLUMNS = [
    column("network", "Network"),
    column("ours", "lambent, images per second", "", ".1f"),
    column("theirs", "pythae, images per second", "", ".1f"),
    column("ratio", "Ratio", "", ".2f"),
    column("our_bound", "lambent, −log p(x) ≤", "nats", ".2f"),
    column("their_bound", "pythae, −log p(x) ≤", "nats", ".2f"),
    column("rounds", "Rounds"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS / "evaluation.json")
    args = parser.parse_args()
    record = Record(args.out, "Evaluation speed", PROTOCOL, COLUMNS, ("network",))
    networks: dict[str, Network] = {"Mlp": Mlp(512), "Conv": Conv((16, 32, 64))}
    x = bits(args.rows, "cpu")
    for name, network in networks.items():
        model = lambent.LatentModel(lambent.Flat(16), lambent.Bernoulli(), network)
        lambent.fit(model, lambent.Elbo(), bits(2000, "cpu"), epochs=2, progress=False)
        theirs = pythae_model(model).eval()
        ours_took, theirs_took = [], []
        for _ in range(args.rounds):
            began = time.perf_counter()
            our_bound = -float(bounds(model, x, args.samples).bound.mean())
            ours_took.append(time.perf_counter() - began)
            began = time.perf_counter()
            with torch.no_grad():
                their_bound = -float(theirs.get_nll(x.float(), n_samples=args.samples, batch_size=args.samples))
            theirs_took.append(time.perf_counter() - began)
        ratio = statistics.median(b / a for a, b in zip(ours_took, theirs_took, strict=True))
        row = {
            "ours": args.rows / statistics.median(ours_took),
            "theirs": args.rows / statistics.median(theirs_took),
            "ratio": ratio,
            "our_bound": our_bound,
            "their_bound": their_bound,
            "rounds": args.rounds,
        }
        record.add(network=name, **row)
        print(name, row, flush=True)


if __name__ == "__main__":
    main()
