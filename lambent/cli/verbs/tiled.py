"""--tiles: photographs of any size through a model of crops, for the verbs that take rows."""

import argparse
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lambent.cli import output
from lambent.cli.folder import opened
from lambent.cli.reading.flags import Parser, import_modules
from lambent.cli.reading.sources import settled
from lambent.cli.verbs.coded import names_of_levels
from lambent.cli.voice import Voice
from lambent.data.conditions import named
from lambent.errors import UsageError
from lambent.part import elements
from lambent.tasks.tiles import Tiles


def add_tiles(parser: Parser) -> None:
    """--tiles, which takes photographs whole."""
    parser.add_argument(
        "--tiles",
        type=_size,
        metavar="auto|PIXELS",
        help="take photographs whole, whatever their size, in overlapping tiles of so many pixels a side, in bounded memory and "
        "to the bits of the whole at once",
    )


def _size(text: str) -> Any:
    if text == "auto":
        return text
    try:
        pixels = int(text)
    except ValueError:
        pixels = 0
    if not 1 <= pixels <= 65536:
        raise argparse.ArgumentTypeError(f"takes auto, or a number of pixels such as 512, not {text[:40]!r}")
    return pixels


def _opened(options: Namespace, voice: Voice) -> tuple[Tiles, Tensor | None]:
    """The tiles, and the context of one photograph."""
    if options.data is None:
        raise UsageError("--tiles takes photographs as they are: name the file or the folder after the run")
    if options.resize or options.split:
        raise UsageError(
            "--tiles takes photographs as they are, and all that are there: leave --resize and --split out"
        )
    import_modules(options.modules)
    _, fitted = opened(options.run, options.device, options.threads)
    tiles = Tiles.of(fitted, options.tiles)
    voice.step(f"tiles of {tiles.tile} pixels, which overlap by {tiles.field.reach} on each side")
    return tiles, fitted.given(named(options.given), 1)


def _one(tiles: Tiles, options: Namespace) -> tuple[str | None, Tensor]:
    found = tiles.photographs(settled(options.data))
    first, second = next(found), next(found, None)
    if second is not None:
        raise UsageError(f"{options.data}: holds several photographs, and one is taken at a time here: name its file")
    return first


def reconstruct(options: Namespace, path: Path, voice: Voice) -> int:
    """One photograph through its code and back, at its own size."""
    if path.suffix.lower() not in (".png", ".npz"):
        raise UsageError(f"--out {path}: a photograph can be written as .png or .npz")
    if options.levels:
        raise UsageError("--levels shows rows by their levels, and --tiles one photograph by all: give one of the two")
    tiles, context = _opened(options, voice)
    _, x = _one(tiles, options)
    made = tiles.picture(tiles.reconstruct(x, context))
    if path.suffix.lower() == ".png":
        output.write_picture(path, made, 255 if tiles.fitted.modality is None else tiles.fitted.modality.white)
    else:
        output.write(path, {"x": made[None]}, {}, None)
    _tell(path, x, tiles, voice, {})
    return 0


def embed(options: Namespace, path: Path, voice: Voice) -> int:
    """The maps of codes of one photograph."""
    if path.suffix.lower() != ".npz":
        raise UsageError(f"--out {path}: codes of a photograph are maps, which are written as .npz")
    tiles, context = _opened(options, voice)
    _, x = _one(tiles, options)
    codes = tiles.encode(x, context)
    names = names_of_levels(len(codes))
    output.write(path, {name: code.numpy() for name, code in zip(names, codes, strict=True)}, {}, None)
    _tell(path, x, tiles, voice, {"units": [elements(code.shape) for code in codes]})
    return 0


def score(options: Namespace, path: Path, voice: Voice) -> int:
    """The bound of every photograph, in nats and in bits for each number."""
    if options.by is not None or options.per_column:
        raise UsageError("--by and --per-column are for rows of one size: leave them out, or --tiles")
    tiles, context = _opened(options, voice)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("file", "height", "width", "bound", "elbo", "log_likelihood", "kl", "bits_per_dim")
    }
    for number, (file, x) in enumerate(tiles.photographs(settled(options.data))):
        if options.limit is not None and number >= options.limit:
            break
        found = [float(value) for value in tiles.score(x, options.samples, options.seed, context)]
        elbo, bound, log_px, kl = found
        bits = -bound / (elements(tuple(x.shape)) * np.log(2))
        told = (file or str(number), x.shape[2], x.shape[3], bound, elbo, log_px, kl, bits)
        for name, value in zip(rows, told, strict=True):
            rows[name].append(value)
    lead = {name: rows.pop(name) for name in ("file", "height", "width")}
    arrays = {name: np.array(values) for name, values in rows.items()}
    output.write(path, arrays, lead, None)
    means = {name: float(values.mean()) for name, values in arrays.items()}
    voice.result({"out": str(path), "rows": len(lead["file"]), "samples": options.samples, "means": means})
    voice.say(f"{path}: {len(lead['file']):,} photographs; {means['bits_per_dim']:.4f} bits per dimension on average")
    return 0


def _tell(path: Path, x: Tensor, tiles: Tiles, voice: Voice, more: dict[str, Any]) -> None:
    height, width = x.shape[2:]
    facts = {"out": str(path), "height": height, "width": width, "tile": tiles.tile, "overlap": tiles.field.reach}
    voice.result(facts | more)
    voice.say(f"{path}: {height:,} × {width:,} pixels")
