"""The time of a training step of `Grid` beside the reference code of VDVAE (Child, 2021), of the same sizes, in turns.

    python benchmarks/grid_step.py --vdvae PATH/TO/vdvae        # a clone of github.com/openai/vdvae, or its bare git directory

The reference is loaded from there and none of it is kept. Both models see colour images of 32 × 32 and have as many groups at
each resolution, as many channels in z and in the state, blocks of the same inner width, and a mixture of ten discretized
logistics. A step is a forward pass, a backward pass and one of Adam; they take turns, and given are medians.
"""

import argparse
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from record import RESULTS, Record, column
from torch import Tensor

from lambent import Elbo, LatentModel
from lambent.model.latents import Grid
from lambent.model.likelihoods import DiscretizedLogistics
from lambent.model.networks import ResNet
from lambent.training.precision import computing

FILES = ("vae.py", "vae_helpers.py")
# Width, channels of z, blocks of the encoder and groups of the decoder: the reference's own way to write them, and ours.
SIZES = {
    "small": (64, 8, "32x1,32d2,16x1,16d2,8x1,8d2,4x1,4d4,1x1", "1x1,4m1,4x1,8m4,8x2,16m8,16x2,32m16", "1x1 4x2 8x3 16x3 32x1"),
    "wide": (128, 16, "32x1,32d2,16x1,16d2,8x1,8d2,4x1,4d4,1x1", "1x1,4m1,4x1,8m4,8x2,16m8,16x1", "1x1 4x2 8x3 16x2"),
}  # fmt: skip
SQUEEZE = 0.25
PROTOCOL = (
    "Random bytes of 32 × 32 × 3; the same widths, groups, channels of z and inner widths of blocks for both; Adam, fused. The "
    "reference computes in float32; Lambent in float32 and, in a row of its own, with bfloat16 convolutions as by default where "
    "the processor has them. Medians of steps that take turns."
)
COLUMNS = [
    column("sizes", "Sizes"),
    column("contestant", "Code"),
    column("precision", "Precision"),
    column("milliseconds", "A step", "ms", ",.0f"),
    column("ratio", "Of the reference's", "", ".2f"),
    column("parameters", "Parameters", "", ",.0f"),
    column("batch", "Batch"),
    column("threads", "Threads"),
    column("rounds", "Rounds"),
]


def reference(folder: Path, name: str, device: str) -> tuple[torch.nn.Module, Callable[[Tensor], Tensor]]:
    """The reference's model, and its loss in nats for bytes [rows, 3, 32, 32]."""
    with tempfile.TemporaryDirectory() as place:
        for file in FILES:
            (Path(place) / file).write_text(source(folder, file))
        sys.path.insert(0, place)
        try:
            code = importlib.import_module("vae")
        finally:
            sys.path.remove(place)
    width, channels, encoder, decoder, _ = SIZES[name]
    settings = SimpleNamespace(
        image_channels=3, image_size=32, width=width, zdim=channels, enc_blocks=encoder, dec_blocks=decoder, num_mixtures=10,
        bottleneck_multiple=SQUEEZE, custom_width_str="", no_bias_above=64, dataset="cifar10",
    )  # fmt: skip
    if "32" not in decoder:  # the reference's decoder ends where the image does
        settings.dec_blocks = f"{decoder},32m16"
    model = code.VAE(settings).to(device)

    def loss(x: Tensor) -> Tensor:
        scaled = (x.float() / 127.5 - 1).permute(0, 2, 3, 1)
        return model(scaled, scaled)["elbo"]

    return model, loss


def source(folder: Path, file: str) -> str:
    """A file of the reference, from a clone or from its git directory."""
    if (folder / file).exists():
        return (folder / file).read_text()
    words = ["git", "--git-dir", str(folder), "show", f"HEAD:{file}"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def ours(name: str, device: str) -> tuple[LatentModel, Callable[[Tensor], Tensor]]:
    width, channels, _, _, layers = SIZES[name]
    latent = Grid(layers, channels=(channels,), width=(width,), squeeze=SQUEEZE)
    network = ResNet((width,) * 4, 1, squeeze=SQUEEZE)
    model = LatentModel(latent, DiscretizedLogistics(10), network).setup((3, 32, 32)).to(device)
    objective = Elbo()
    objective.setup(model)
    return model, lambda x: objective(model, x).rows.mean()


def timed(contestants: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, float]:
    """The median seconds of each contestant's step, in turns; two rounds before do not count."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 2):
        for name, step in contestants.items():
            started = time.perf_counter()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn > 1:
                found[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def stepping(model: torch.nn.Module, loss: Callable[[Tensor], Tensor], x: Tensor, precision: str) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        if isinstance(model, LatentModel):
            with computing(model, precision, x.device):
                loss(x).backward()
        else:
            loss(x).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vdvae", type=Path, required=True, help="a clone of openai/vdvae, or its bare git directory")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--out", type=Path, default=RESULTS / "grid_step.json")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    key = ("sizes", "contestant", "precision", "batch", "machine")
    record = Record(args.out, "A training step of Grid", PROTOCOL, COLUMNS, key, args.device)
    x = torch.randint(0, 256, (args.batch, 3, 32, 32), dtype=torch.uint8, device=args.device)
    for sizes in args.only:
        entrants = {("VDVAE's reference", "fp32"): reference(args.vdvae, sizes, args.device)}
        entrants |= {("Lambent", precision): ours(sizes, args.device) for precision in ("fp32", "bf16")}
        steps = {" ".join(who): stepping(*entrant, x, who[1]) for who, entrant in entrants.items()}
        seconds = timed(steps, args.rounds, args.device)
        first = next(iter(seconds.values()))
        for who, (model, _) in entrants.items():
            taken = seconds[" ".join(who)]
            row = {
                "sizes": sizes,
                "contestant": who[0],
                "precision": who[1],
                "milliseconds": 1e3 * taken,
                "ratio": taken / first,
            }
            row |= {"parameters": sum(p.numel() for p in model.parameters()), "batch": args.batch, "threads": 1}
            record.add(**row, rounds=args.rounds)
            print(row, flush=True)


if __name__ == "__main__":
    main()
