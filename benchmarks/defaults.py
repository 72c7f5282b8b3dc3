"""What a default run of ten minutes, or of its usual number of epochs if that is done sooner, reaches on every catalog set.

    python benchmarks/defaults.py                  # all sets found on this machine
    python benchmarks/defaults.py --only fashion

Nothing is chosen but the number of epochs, so that they fit into the minutes: the modality, the likelihood, the network, the
latent and the objective are what `lambent train NAME` takes by itself.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import torch
from density import epochs_within, history, lambent
from record import RESULTS, Record, column

from lambent.data.catalog.entries import CATALOG
from lambent.training.settings import usual_epochs

PROTOCOL = (
    "`lambent train NAME --epochs N`, N as many as fit into ten minutes by the time of the second epoch, and at most as many as "
    "the command takes by itself (10,000 steps, 1,000 epochs). K-sample bound on up to 1,000 test rows drawn by a fixed seed "
    "(where a set has no test rows, those held out)."
)
COLUMNS = [
    column("data", "Data"),
    column("likelihood", "Likelihood"),
    column("network", "Network"),
    column("bound", "−log p(x) ≤", "nats", ".1f"),
    column("error", "Standard error", "nats", ".1f"),
    column("bits_per_dim", "Bits per dimension", "", ".3f"),
    column("active", "Active units"),
    column("samples", "K"),
    column("epochs", "Epochs"),
    column("minutes", "Training", "minutes", ".1f"),
    column("threads", "Threads"),
    column("seed", "Seed"),
]


def measured(name: str, words: list[str], minutes: float, device: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        common = ["train", name, *words, "--out", str(run), "--force", "--device", device]
        fitting = epochs_within(minutes, run, *common)
        epochs = min(fitting, usual_epochs(history(run)[0]["step"]))
        found = lambent(*common, "--epochs", str(epochs), "--samples", "100", "--rows", "1000")
        last = history(run)[-1]
        shown = lambent("info", str(run))
    metrics, spec = found["metrics"], shown["model"]
    return {
        "data": " ".join([name, *(word for word in words if not word.startswith("-"))]),
        "likelihood": spec["likelihood"]["type"],
        "network": spec["network"]["type"],
        "bound": -metrics["bound"]["value"],
        "error": metrics["bound"]["standard_error"],
        "bits_per_dim": metrics["bits_per_dim"]["value"] if "bits_per_dim" in metrics else None,
        "active": f"{metrics['active_units']['value']:.0f} {metrics['active_units']['unit'].rpartition(' ')[0]}",
        "samples": 100,
        "epochs": epochs,
        "minutes": last["seconds"] / 60,
        "threads": torch.get_num_threads(),
        "device": device,
        "seed": 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="*", help="names of data sets")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "defaults.json")
    args = parser.parse_args()
    record = Record(args.out, "Default runs of ten minutes", PROTOCOL, COLUMNS, ("data", "device"), args.device)
    for name in CATALOG:
        for words in ([], ["--data.binarize", "dynamic"]) if name == "mnist" else ([],):
            if not args.only or name in args.only:
                try:
                    row = measured(name, list(words), args.minutes, args.device)
                except subprocess.CalledProcessError:  # it has said why, on one line
                    print(f"{name}: left out", flush=True)
                    continue
                record.add(**row)
                print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
