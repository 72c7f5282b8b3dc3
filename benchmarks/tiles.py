"""Whole photographs in tiles: how far they are from the whole at once, how much memory they take, and how long.

    python benchmarks/tiles.py RUN --photographs shared/data/photos/kodak

RUN is a model that was trained on crops, with maps that are a share of the picture. Each photograph goes through it in tiles and
as a single tile; then one of 4,000 × 3,000, made of the photographs side by side, in a process of its own for each verb.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import RESULTS, Record, column

PROTOCOL = (
    "Differences are the largest absolute ones over all numbers, between tiles and one tile that holds the whole: of the "
    "reconstruction, of the codes' means, and of the bound of one sample. Memory is the most that the process held, the "
    "interpreter and torch with it; the picture of 4,000 × 3,000 is a mosaic of the photographs, read from a PNG file."
)
COLUMNS = [
    column("what", "What"),
    column("photographs", "Photographs"),
    column("size", "Pixels"),
    column("tile", "Tile"),
    column("overlap", "Overlap"),
    column("difference", "Largest difference", "", ".0g"),
    column("bits_per_dim", "Bits per dimension", "", ".3f"),
    column("seconds", "Time", "s", ".1f"),
    column("memory", "Memory", "MB", ",.0f"),
    column("threads", "Threads"),
]
WHOLE = 2**16  # pixels of a tile that holds any of these
LARGE = (3000, 4000)


def compared(run: str, folder: Path, task: str) -> dict[str, Any]:
    """The largest difference over all photographs of a folder, of what one task makes of them."""
    import lambent
    from lambent.tasks.tiles import Tiles

    tiles = Tiles.of(lambent.load(run).fitted_)
    whole = Tiles(tiles.fitted, tiles.field, WHOLE)
    worst, bits, spent, sizes = 0.0, [], 0.0, set()
    for file, x in tiles.photographs(folder):
        start = time.perf_counter()
        made = getattr(tiles, task)(x)
        spent += time.perf_counter() - start
        both = made, getattr(whole, task)(x)
        pairs = [both] if task == "reconstruct" else list(zip(*both, strict=True))
        worst = max(worst, *(float((a - b).abs().max()) for a, b in pairs))
        sizes.add(f"{max(x.shape[2:])} × {min(x.shape[2:])}")
        bits += [-float(made.bound) / (x.numel() * np.log(2))] if task == "score" else []
        print(task, file, worst, *bits[-1:], flush=True)
    count = sum(1 for _ in tiles.photographs(folder))
    return {
        "what": f"{task}: tiles against the whole", "photographs": count, "size": ", ".join(sorted(sizes)), "difference": worst,
        "bits_per_dim": float(np.mean(bits)) if bits else None, "seconds": spent / count, "tile": tiles.tile,
        "overlap": tiles.field.reach,
    }  # fmt: skip


def mosaic(folder: Path, path: Path) -> None:
    """The photographs side by side, over and over, up to the large size."""
    from PIL import Image

    sheet, top, left = Image.new("RGB", LARGE[::-1]), 0, 0
    files = sorted(p for p in folder.iterdir() if p.is_file())
    for file in files * 40:
        with Image.open(file) as opened:
            picture = opened.convert("RGB").resize((768, 512))
        sheet.paste(picture, (left, top))
        left += 768
        if left >= LARGE[1]:
            left, top = 0, top + 512
        if top >= LARGE[0]:
            break
    sheet.save(path)


def measured(run: str, verb: str, picture: Path, out: Path) -> dict[str, Any]:
    """One verb on the large picture, in a process of its own."""
    more = ["--samples", "1"] if verb == "score" else []
    words = ["-m", "lambent", verb, run, str(picture), "--tiles", "auto", "--out", str(out), "--force", *more]
    code = (
        "import resource, runpy, sys\n"
        f"sys.argv = {['lambent', *words[2:]]!r}\n"
        "try:\n    runpy.run_module('lambent', run_name='__main__')\n"
        "finally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    kilobytes = int(done.stderr.split()[-1])
    size = f"{LARGE[1]:,} × {LARGE[0]:,}"
    return {
        "what": f"lambent {verb} --tiles", "photographs": 1, "size": size, "seconds": time.perf_counter() - start,
        "memory": kilobytes / 1024,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder or a model file")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=("compared", "reconstruct", "embed", "score"))
    parser.add_argument("--out", type=Path, default=RESULTS / "tiles.json")
    args = parser.parse_args()
    record = Record(args.out, "Photographs in tiles", PROTOCOL, COLUMNS, ("what",))
    for task in ("encode", "reconstruct", "score"):
        if "compared" in args.only:
            row = compared(args.run, args.photographs, task)
            record.add(**row, threads=torch.get_num_threads())
            print(json.dumps(row, ensure_ascii=False), flush=True)
    with tempfile.TemporaryDirectory(prefix="lambent-") as name:
        folder = Path(name)
        mosaic(args.photographs, folder / "large.png")
        for verb, suffix in (("reconstruct", "png"), ("embed", "npz"), ("score", "csv")):
            if verb in args.only:
                row = measured(args.run, verb, folder / "large.png", folder / f"out.{suffix}")
                record.add(**row, threads=torch.get_num_threads())
                print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
