"""Bounds on log p(x) that recipes reach in a given time: every row is a YAML file that `lambent train --config` runs.

    python benchmarks/density.py --budget 60                 # minutes of training for each recipe
    python benchmarks/density.py --budget 60 --only vamp
    python benchmarks/density.py --keep RUNS --budget 60 --samples 1 && python benchmarks/density.py --keep RUNS --kept

Each recipe is trained by the command line itself, for as many epochs as fit into the budget (the schedule is fitted to
them), and evaluated on the whole test set. The result file is written after every row.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, Record, column

RECIPES = Path(__file__).parent / "recipes"
PROTOCOL = (
    "K-sample bound (Burda et al., 2016) on the test set, or on the given number of its rows, drawn by a fixed seed; with the "
    "averaged weights of the last epoch. Dynamic MNIST: "
    "pixels drawn anew with P(1) = grey level for each batch, drawn once for the test set. Static: the fixed draw of Larochelle "
    "and Murray. Training rows are those left after the validation split: 54,000 (dynamic, 8-bit) or 50,000 (static)."
)
TARGETS = {  # nats, at most
    "mnist-dynamic-mlp": 87.5,
    "mnist-dynamic-conv-flow": 84.5,
    "mnist-static-flow": 85.0,
    "mnist-dynamic-grid": 81.5,
    "mnist-static-grid": 82.0,
    "mnist-dynamic-grid-large": 79.3,
    "mnist-static-grid-large": 79.5,
    # What pythae's own table has for these models, from 200 samples (VAE), 500 (S-VAE) or 5,000.
    "pythae-static-vae": 89.78,
    "pythae-static-vamp": 85.79,
    "pythae-static-iwae": 86.82,
    "pythae-dynamic-miwae": 85.09,
    "pythae-dynamic-piwae": 84.58,
    "pythae-dynamic-ciwae": 84.74,
    "pythae-dynamic-svae": 93.13,
}
COLUMNS = [
    column("recipe", "Recipe"),
    column("data", "Data"),
    column("bound", "−log p(x) ≤", "nats", ".2f"),
    column("error", "Standard error", "nats", ".2f"),
    column("elbo", "−ELBO", "nats", ".2f"),
    column("bits_per_dim", "Bits per dimension", "", ".4f"),
    column("active", "Active units"),
    column("samples", "K"),
    column("test_rows", "Test rows"),
    column("epochs", "Epochs"),
    column("minutes", "Training", "minutes", ".0f"),
    column("threads", "Threads"),
    column("seed", "Seed"),
    column("target", "Target", "nats", ".2f"),
]


def lambent(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "lambent", *words, "--json", "--quiet"], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def chosen(words: list[str]) -> list[Path]:
    """The recipes whose names contain one of the words; a whole name means that one alone."""
    recipes = sorted(RECIPES.glob("*.yaml"))
    whole = {recipe.stem for recipe in recipes}
    return [r for r in recipes if any(w == r.stem if w in whole else w in r.stem for w in words)]


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def epochs_within(minutes: float, run: Path, *words: str) -> int:
    """As many epochs as fit, by the time that the second one takes."""
    lambent(*words, "--samples", "1", "--rows", "10", "--epochs", "2")
    first, second = (epoch["seconds"] for epoch in history(run))
    return max(1, int(minutes * 60 / (second - first)))


def trained(recipe: Path, run: Path, args: argparse.Namespace) -> None:
    words = ("train", "--config", str(recipe), "--out", str(run), "--force", "--device", args.device)
    epochs = args.epochs or epochs_within(args.budget, run, *words)
    lambent(*words, "--samples", "1", "--rows", "10", "--epochs", str(epochs), "--seed", str(args.seed))


def measured(recipe: Path, args: argparse.Namespace) -> dict[str, Any]:
    from lambent.cli.reading import strict

    described = strict.read(recipe)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(args.keep or folder) / recipe.stem
        if not args.kept:
            trained(recipe, run, args)
        started = time.monotonic()
        limit = () if args.rows is None else ("--limit", str(args.rows))
        found = lambent("evaluate", str(run), "--samples", str(args.samples), "--device", args.device, *limit)
        evaluation = time.monotonic() - started
        epochs = history(run)
        last = epochs[-1]
    metrics = found["metrics"]
    data = described["data"]
    named = data["source"] + (f" ({data['binarize']})" if "binarize" in data else "")
    return {
        "recipe": recipe.stem,
        "data": named,
        "bound": -metrics["bound"]["value"],
        "error": metrics["bound"]["standard_error"],
        "elbo": -metrics["elbo"]["value"],
        "bits_per_dim": metrics["bits_per_dim"]["value"],
        "active": f"{metrics['active_units']['value']:.0f} {metrics['active_units']['unit'].rpartition(' ')[0]}",
        "samples": args.samples,
        "test_rows": args.rows or "all",
        "epochs": len(epochs),
        "minutes": last["seconds"] / 60,
        "evaluation_minutes": evaluation / 60,
        "validation_elbo": last.get("validation_elbo"),
        "threads": torch.get_num_threads(),
        "device": args.device,
        "seed": args.seed,
        "target": TARGETS.get(recipe.stem),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=60, help="minutes of training for each recipe")
    parser.add_argument("--epochs", type=int, help="that many epochs instead of a budget")
    parser.add_argument(
        "--only", nargs="*", default=[""], help="recipes with one of these in their names, or of this name"
    )
    parser.add_argument("--samples", type=int, default=1000, help="K of the bound")
    parser.add_argument("--rows", type=int, help="at most so many test rows; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", help="a folder for the runs; default: they are not kept")
    parser.add_argument("--kept", action="store_true", help="evaluate the runs in that folder, trained before")
    parser.add_argument("--out", type=Path, default=RESULTS / "density.json")
    args = parser.parse_args()
    if args.kept and not args.keep:
        parser.error("--kept: name the folder with --keep")
    record = Record(
        args.out,
        "Density estimation",
        PROTOCOL,
        COLUMNS,
        ("recipe", "epochs", "device", "threads", "seed"),
        args.device,
    )
    for recipe in chosen(args.only):
        row = measured(recipe, args)
        record.add(**row)
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
