"""Photographs in the manner of Titian: a model of crops of photographs and paintings, and whole photographs restyled by it.

    python benchmarks/paintings.py --data FOLDER --sheet docs/images/style-titian.png
    python benchmarks/paintings.py --data FOLDER --epochs 20 --device cuda

FOLDER holds `paintings/titian.npz`, `photos/bsds/` and `photos/kodak/`; `LAMBENT_DATA` names it, too. It is trained on the 200
photographs of BSDS, at 192 × 128, and the 255 paintings, at 128 × 128; the Kodak photographs, which are shown, it has not seen.
There are no numbers here, for no photograph has a true partner: the sheet is to be looked at. Line by line: the photographs, with
the colours of the paintings alone, what the decoder makes of them, the same with the usual share of the photograph's own detail,
and with all of it.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from lambent.cli import main as command
from lambent.disk.whole import write_whole
from lambent.fitted import load
from lambent.metrics.style import colour_transfer
from lambent.tasks.restyle import restyle_whole
from lambent.tasks.tiles import Tiles

Bytes = NDArray[np.uint8]

RECIPE = Path(__file__).parent / "recipes" / "paintings.yaml"
STYLES = ("painting", "photograph")
SMALL = 128  # pixels of the shorter side of a photograph that is trained on, as that of a painting
WHOLE = 256  # of one that is restyled
SHOWN = 120  # pixels of the squares, of the middle of each, that make the sheet
GAP = 4
STEP = 4  # between levels of the sheet, so that its file is small


def prepared(data: Path, place: Path) -> Path:
    """A folder for each style."""
    for name in STYLES:
        (place / name).mkdir(parents=True, exist_ok=True)
    for row, picture in enumerate(np.load(data / "paintings" / "titian.npz")["x"]):
        Picture.fromarray(picture).save(place / "painting" / f"{row:03}.png")
    for path in sorted((data / "photos" / "bsds").rglob("*.jpg")):
        shrunk(path, SMALL).save(place / "photograph" / f"{path.stem}.png")
    return place


def shrunk(path: Path, shorter: int) -> Picture.Image:
    """A photograph whose shorter side has so many pixels."""
    with Picture.open(path) as opened:
        share = shorter / min(opened.size)
        return opened.convert("RGB").resize([round(side * share) for side in opened.size], Picture.Resampling.LANCZOS)


def squares(folder: Path) -> Bytes:
    """The pictures of a folder brought to one size, by which colours are told."""
    return np.stack([np.asarray(Picture.open(path).resize((SMALL, SMALL))) for path in sorted(folder.iterdir())])


def trained(args: argparse.Namespace) -> Path:
    """The run, or the kept one."""
    out: Path = args.keep / "run"
    if not (out / "model.safetensors").exists():
        folder = prepared(args.data, args.keep / "pictures")
        epochs = [] if args.epochs is None else ["--epochs", str(args.epochs)]
        words = ["train", str(folder), "--config", str(RECIPE), "--out", str(out), "--force", "--device", args.device]
        if command([*words, *epochs]):
            raise SystemExit("the model could not be trained")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LAMBENT_DATA"))
    parser.add_argument("--shown", nargs="*", default=["04", "15", "23"], help="Kodak photographs")
    parser.add_argument("--epochs", type=int, help="in place of the recipe's own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=Path, default=Path("runs/paintings"), help="where pictures and run are kept")
    parser.add_argument("--sheet", type=Path, default=Path("runs/paintings/sheet.png"))
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data: name the folder with the data")
    args.data = Path(args.data)
    tiles = Tiles.of(load(trained(args), args.device))
    own, other = (squares(args.keep / "pictures" / name) for name in STYLES[::-1])
    columns = []
    for name in args.shown:
        path = next((args.data / "photos" / "kodak").rglob(f"{name}.png"))
        photograph = np.asarray(shrunk(path, WHOLE))
        _, x = next(tiles.photographs(photograph[None]))
        made = [
            tiles.picture(restyle_whole(tiles, x, to="painting", own="photograph", detail=detail).x)
            for detail in (0.0, None, 1.0)
        ]
        columns.append([photograph, colour_transfer(photograph[None], own, other)[0], *made])
        print(name, flush=True)
    sheet = np.concatenate([np.concatenate([_square(each) for each in one]) for one in columns], 1)
    coarse = Picture.fromarray(sheet // STEP * STEP + STEP // 2)
    write_whole(args.sheet, lambda place: coarse.save(place, "PNG", optimize=True))


def _square(picture: Bytes) -> Bytes:
    """The middle of a picture at the size of the sheet, a gap below and beside it."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = Picture.fromarray(picture[top : top + side, left : left + side])
    shown = np.asarray(middle.resize((SHOWN, SHOWN), Picture.Resampling.LANCZOS))
    return np.pad(shown, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
