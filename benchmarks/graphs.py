"""Milliseconds of a training step on a GPU with the passes replayed from a CUDA graph, and with them started one by one.

    python benchmarks/graphs.py --device cuda

Both train the same model from the same seed by `fit`, for three epochs of which the last counts.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, Record, column

from lambent.model import LatentModel
from lambent.objectives import Elbo
from lambent.training import graphed
from lambent.training.fitting import fit

PROTOCOL = (
    "Binary images of 28 × 28 of random bits, a Bernoulli likelihood, the ELBO. Time of the last of three epochs of `fit`, "
    "which holds all that a step does: the batch, the passes, Adam and the averages."
)
COLUMNS = [
    column("model", "Model"),
    column("weights", "Weights", "", ",d"),
    column("batch", "Batch"),
    column("precision", "Precision"),
    column("plain", "One by one", "ms", ".2f"),
    column("graph", "From a graph", "ms", ".2f"),
    column("ratio", "Times as fast", "", ".1f"),
]
FLAT: dict[str, Any] = {"type": "Flat", "size": 40, "prior": "Standard"}
CONV: dict[str, Any] = {"type": "Conv", "channels": [16, 32, 64]}


def grid(layers: str, width: list[int], channels: int) -> dict[str, Any]:
    return {"type": "Grid", "layers": layers, "width": width, "channels": [channels]}


def resnet(channels: list[int], blocks: int) -> dict[str, Any]:
    return {"type": "ResNet", "channels": channels, "blocks": blocks}


MODELS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "Mlp, two layers of 512": (FLAT, {"type": "Mlp", "width": 512, "depth": 2}, 128),
    "Conv, prior a flow": (FLAT | {"prior": {"type": "Flow", "transforms": 6}}, CONV, 128),
    "Grid, 10 groups": (grid("1x1 4x2 7x4 14x3", [128, 128, 64, 32], 8), resnet([32, 64, 128], 1), 128),
    "Grid, 18 groups": (grid("1x2 4x4 7x6 14x6", [256, 256, 128, 64], 16), resnet([64, 128, 256], 2), 256),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budget", type=float, default=10, help="minutes; what is not done by then is left out")
    parser.add_argument("--only", nargs="*", default=[""], help="models with one of these in their names")
    parser.add_argument("--out", type=Path, default=RESULTS / "graphs.json")
    args = parser.parse_args()
    key = ("model", "precision", "machine")
    record = Record(args.out, "Steps from a CUDA graph", PROTOCOL, COLUMNS, key, args.device)
    deadline = time.monotonic() + 60 * args.budget
    for precision in ("fp32", "bf16"):
        for name, (latent, network, batch) in MODELS.items():
            if time.monotonic() < deadline and any(word in name for word in args.only):
                row = measured(latent, network, batch, precision, args.device)
                record.add(model=name, batch=batch, precision=precision, device=args.device, **row)
                print(name, row, flush=True)


def measured(
    latent: dict[str, Any], network: dict[str, Any], batch: int, precision: str, device: str
) -> dict[str, Any]:
    steps = 40
    x = (torch.rand(batch * steps, 1, 28, 28, generator=torch.Generator().manual_seed(0)) > 0.8).to(torch.uint8)
    found = {}
    for name, untried in (("plain", 10**9), ("graph", graphed.UNTRIED)):
        own, graphed.UNTRIED = graphed.UNTRIED, untried
        model = LatentModel.from_spec(
            {"type": "LatentModel", "latent": latent, "likelihood": "Bernoulli", "network": network}
        )
        history = fit(model, Elbo(), x, epochs=3, batch=batch, precision=precision, device=device)  # type: ignore[arg-type]
        seconds = [float(second or 0) for second in history["seconds"]]
        found[name] = 1000 * (seconds[2] - seconds[1]) / steps
        graphed.UNTRIED = own
    weights = sum(p.numel() for p in model.parameters())
    return {**found, "ratio": found["plain"] / found["graph"], "weights": weights}


if __name__ == "__main__":
    main()
