"""Size and speed of lossless archives of test sets: trained models beside the codecs that a user would take instead.

    python benchmarks/codec.py --minutes 10                       # of training for each recipe
    python benchmarks/codec.py --only fashion-mnist-bytes-mixture
    python benchmarks/codec.py --keep RUNS --minutes 10 && python benchmarks/codec.py --keep RUNS --kept
    python benchmarks/codec.py --alone general                    # the general codecs alone; models: those alone

Those need brotli, imagecodecs and pyoxipng; rows of what is not installed are left out. A general codec takes the whole
test set at once, images as one mosaic of 100 × 100: of single files each would pay its header.
"""

import argparse
import json
import lzma
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from density import RECIPES, history, trained
from numpy.typing import NDArray
from record import RESULTS, Record, column

from lambent import evaluate
from lambent.cli.reading import strict
from lambent.codec.pack import packed
from lambent.codec.rows import RowCodec
from lambent.data import load as load_data
from lambent.data.splitting import take
from lambent.fitted import load

PROTOCOL = (
    "Official test sets, images of 28 × 28, as many as the row says of 10,000, each set compressed whole and decompressed again, "
    "the same to the bit. Bits "
    "per pixel of models count the coded blocks, with what their first rows borrow, and not the archive's frame of a few "
    "hundred bytes; without the weights, and with them as they lie in an archive. −ELBO: of the float32 model, one code a "
    "row. Speeds in 10⁶ raw pixels a second. General codecs at their best setting; binary images as bytes or bits, "
    "whichever is smaller (xz, brotli), or black and white."
)
COLUMNS = [
    column("data", "Data"),
    column("codec", "Codec"),
    column("bits", "Bits per pixel", "", ".4f"),
    column("bits_with_model", "with the model in it", "", ".4f"),
    column("bytes", "Bytes", "", ",d"),
    column("elbo", "−ELBO", "bits per pixel", ".4f"),
    column("gap", "Beyond the −ELBO", "%", ".2f"),
    column("encode", "Encode", "MB/s", ".2f"),
    column("decode", "Decode", "MB/s", ".2f"),
    column("minutes", "Training", "minutes", ".0f"),
    column("images", "Images", "", ",d"),
    column("threads", "Threads"),
]
MODELS = (
    "mnist-static-mixture",
    "mnist-static-grid",
    "mnist-bytes-mixture",
    "mnist-bytes-grid",
    "fashion-mnist-bytes-mixture",
    "fashion-mnist-bytes-mixture-mlp",
    "fashion-mnist-bytes-grid",
)
SIDE = 100  # images on each side of a mosaic
Images = NDArray[np.uint8]


def bits_per_pixel(size: int, images: Images) -> float:
    return 8 * size / images.size


# ---- general codecs ----------------------------------------------------------------------------------------------


def mosaic(images: Images) -> Images:
    rows = images.reshape(-1, SIDE, *images.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(-1, SIDE * images.shape[2]))


def streams() -> dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]:
    """Codecs of bytes, at their best setting: to code, to decode."""
    found: dict[str, Any] = {
        "xz -9e": (lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), lzma.decompress)
    }
    with suppress(ImportError):
        import brotli

        found["brotli 11"] = (lambda data: brotli.compress(data, quality=11, lgwin=24), brotli.decompress)
    return found


def pictures() -> dict[str, tuple[Callable[[Images], bytes], Callable[[bytes], Images]]]:
    """Codecs of grey pictures, at their best setting."""
    found: dict[str, Any] = {}
    with suppress(ImportError):
        import imagecodecs

        found["PNG, libpng at level 9"] = (lambda x: imagecodecs.png_encode(x, level=9), imagecodecs.png_decode)
        found["WebP lossless"] = (
            lambda x: imagecodecs.webp_encode(np.repeat(x[..., None], 3, 2), level=100, lossless=True, method=6),
            imagecodecs.webp_decode,
        )
        found["JPEG XL, effort 9"] = (
            lambda x: imagecodecs.jpegxl_encode(x, lossless=True, effort=9),
            imagecodecs.jpegxl_decode,
        )
        with suppress(ImportError):
            import oxipng

            found["PNG, optimized by oxipng -o max"] = (
                lambda x: oxipng.optimize_from_memory(imagecodecs.png_encode(x, level=9), level=6),
                imagecodecs.png_decode,
            )
    return found


def general(data: str, images: Images, record: Record) -> None:
    """A row for each codec that is installed."""
    binary = int(images.max()) == 1
    raws = [images.tobytes(), np.packbits(images).tobytes()] if binary else [images.tobytes()]
    for name, (code, decode) in streams().items():
        rows = [timed(lambda code=code, raw=raw: code(raw), decode, images) for raw in raws]
        assert all(decode(row.pop("coded")) == raw for row, raw in zip(rows, raws, strict=True))
        record.add(data=data, codec=name, **min(rows, key=lambda row: row["bytes"]))
    picture = mosaic(images * (255 if binary else 1))
    for name, (code, decode) in pictures().items():
        row = timed(lambda code=code: code(picture), decode, images)
        back = decode(row.pop("coded"))
        assert ((back if back.ndim == 2 else back[..., 0]) == picture).all()
        record.add(data=data, codec=name, **row)


def timed(code: Callable[[], bytes], decode: Callable[[bytes], Any], images: Images) -> dict[str, Any]:
    started = time.perf_counter()
    coded = code()
    middle = time.perf_counter()
    decode(coded)
    ended = time.perf_counter()
    mega = images.size / 1e6
    return {
        "coded": coded,
        "bytes": len(coded),
        "bits": bits_per_pixel(len(coded), images),
        "encode": mega / (middle - started),
        "decode": mega / (ended - middle),
        "images": len(images),
        "threads": 1,
    }


# ---- trained models ----------------------------------------------------------------------------------------------


def of_model(recipe: Path, args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(args.keep or folder) / recipe.stem
        if not args.kept:
            args.budget, args.epochs = args.minutes, None
            trained(recipe, run, args)
        fitted, minutes = load(run), history(run)[-1]["seconds"] / 60
    test = load_data(strict.read(recipe)["data"]["source"], split="test")
    if args.rows is not None and args.rows < len(test):
        test = take(test, np.sort(np.random.default_rng(args.seed).permutation(len(test))[: args.rows]))
    rows = fitted.rows(test)
    nats = -float(evaluate(fitted, rows, samples=1).metrics["elbo"].value)
    elbo = nats / (math.log(2) * rows.x[0].numel())
    row = archived(RowCodec(fitted), rows.x, args.threads)
    whole = row["bytes"] + len(packed(fitted))
    return {
        **row,
        "bits_with_model": 8 * whole / rows.x.numel(),
        "elbo": elbo,
        "gap": 100 * (row["bits"] / elbo - 1),
        "minutes": minutes,
        "images": len(rows),
        "threads": args.threads,
    }


def archived(codec: RowCodec, x: torch.Tensor, threads: int) -> dict[str, Any]:
    """Size and speed of rows, block by block, and the same back."""
    cuts = codec.blocks(len(x))
    started = time.perf_counter()
    coded = list(codec.encode_each([x[cut] for cut in cuts], threads))
    middle = time.perf_counter()
    back = torch.cat(list(codec.decode_each(coded, threads)))
    ended = time.perf_counter()
    assert (back == x).all()
    size, mega = sum(len(block.to_bytes()) for block in coded), x.numel() / 1e6
    return {
        "bytes": size,
        "bits": 8 * size / x.numel(),
        "encode": mega / (middle - started),
        "decode": mega / (ended - middle),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of training for each recipe")
    parser.add_argument("--only", nargs="*", default=[""], help="recipes with one of these in their names")
    parser.add_argument("--alone", choices=("general", "models"), help="the general codecs alone, or the models")
    parser.add_argument(
        "--rows", type=int, help="of each test set, drawn by the seed, for models that code slowly; default: all"
    )
    parser.add_argument("--threads", type=int, default=1, help="blocks at a time, a thread each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", help="a folder for the runs; default: they are not kept")
    parser.add_argument("--kept", action="store_true", help="code by the runs in that folder, trained before")
    parser.add_argument("--out", type=Path, default=RESULTS / "codec.json")
    args = parser.parse_args()
    record = Record(
        args.out, "Lossless archives of images", PROTOCOL, COLUMNS, ("data", "codec", "threads", "minutes"), args.device
    )
    recipes = [RECIPES / f"{name}.yaml" for name in MODELS if any(word in name for word in args.only)]
    sources = (
        () if args.alone == "models" else dict.fromkeys(strict.read(recipe)["data"]["source"] for recipe in recipes)
    )
    for data in sources:
        general(data, load_data(data, split="test").x[:, 0].numpy().astype(np.uint8), record)
    for recipe in () if args.alone == "general" else recipes:
        row = of_model(recipe, args)
        record.add(data=strict.read(recipe)["data"]["source"], codec=recipe.stem, **row)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
