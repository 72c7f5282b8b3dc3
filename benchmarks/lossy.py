"""Lossy photographs: bits per pixel, PSNR and MS-SSIM of the Kodak set, by a trained run and by JPEG, WebP and AVIF.

    lambent train photos/bsds --config benchmarks/recipes/photos-lossy.yaml --minutes 60 --out RUN
    python benchmarks/lossy.py RUN --photographs shared/data/photos/kodak [--codecs FOLDER]

Several runs may be given, of several scales. Every file is made, measured and decoded again. FOLDER is where imagecodecs is
installed (pip install --target), if not beside lambent; without it the run alone is measured.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import RESULTS, Record, column
from torch import Tensor
from torch.nn import functional

PROTOCOL = (
    "Each of the photographs is coded to a file of its own, whose bytes count whole, and decoded from it; bits per pixel, PSNR "
    "(of the mean squared error over all channels) and MS-SSIM (Wang et al., 2003, of each channel, five scales, a window of 11) "
    "are means over the photographs. The model has seen none of them, and is not in the files. JPEG is libjpeg-turbo's "
    "with its Huffman tables optimized, WebP of method 6, AVIF of speed 4; all with colours halved (4:2:0), their default."
)
COLUMNS = [
    column("codec", "Codec"),
    column("quality", "Quality"),
    column("bpp", "Bits per pixel", "", ".3f"),
    column("psnr", "PSNR", "dB", ".2f"),
    column("ms_ssim", "MS-SSIM", "", ".4f"),
    column("encode", "Encode", "s", ".2f"),
    column("decode", "Decode", "s", ".2f"),
    column("photographs", "Photographs"),
]
SHARES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales of MS-SSIM
QUALITIES = {
    "lambent": (34, 42, 50, 58, 66),
    "jpeg": (10, 20, 30, 50, 70, 85),
    "webp": (5, 15, 30, 50, 70, 85),
    "avif": (25, 35, 45, 55, 65, 75),
}
Codec = tuple[Callable[[np.ndarray, int], bytes], Callable[[bytes], np.ndarray]]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """−10 log10 of the mean squared error of levels, 255 being 1; in dB."""
    error = float(np.square(a.astype(np.float64) - b).mean()) / 255**2
    return -10 * math.log10(error) if error else math.inf


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Multi-scale structural similarity of pictures [height, width, channels], 161 pixels a side at least: 1 for the same.

    Wang, Simoncelli & Bovik, Multi-scale Structural Similarity for Image Quality Assessment, 2003.
    """
    x, y = (torch.from_numpy(each.astype(np.float64)).permute(2, 0, 1)[:, None] for each in (a, b))
    product = torch.ones(len(x), dtype=torch.float64)
    for place, share in enumerate(SHARES):
        similarity, contrast = _ssim(x, y)
        last = place == len(SHARES) - 1
        product = product * (similarity if last else contrast).clamp_min(0) ** share
        x, y = (functional.avg_pool2d(each, 2) for each in (x, y))
    return float(product.mean())


def _ssim(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of each channel: luminance, contrast and structure together, and the latter two."""
    bell = torch.exp(-torch.arange(-5, 6, dtype=torch.float64).square() / (2 * 1.5**2))
    window = (bell / bell.sum())[:, None] * (bell / bell.sum())

    def averaged(values: Tensor) -> Tensor:
        return functional.conv2d(values, window[None, None])

    mean_x, mean_y = averaged(x), averaged(y)
    across = averaged(x * y) - mean_x * mean_y
    within = averaged(x * x) - mean_x.square() + averaged(y * y) - mean_y.square()
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * across + high) / (within + high)
    luminance = (2 * mean_x * mean_y + low) / (mean_x.square() + mean_y.square() + low)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def of_run(run: str) -> Codec:
    import lambent
    from lambent.codec.lossy import decode_lossy, encode_lossy
    from lambent.codec.lossy.pictures import Lossy

    codec = Lossy(lambent.load(run))
    return (
        lambda pixels, quality: encode_lossy(codec, [pixels], quality),
        lambda data: decode_lossy(codec, data)[0],
    )


def of_libraries(folder: str | None) -> dict[str, Codec]:
    """The codecs of imagecodecs, where it is installed."""
    if folder:
        sys.path.append(folder)
    try:
        import imagecodecs as ic
    except ImportError:
        print("imagecodecs is not installed: JPEG, WebP and AVIF are left out")
        return {}
    return {
        "jpeg": (
            lambda pixels, quality: ic.jpeg8_encode(pixels, level=quality, subsampling="420", optimize=True),
            ic.jpeg8_decode,
        ),
        "webp": (
            lambda pixels, quality: ic.webp_encode(pixels, level=quality, lossless=False, method=6),
            ic.webp_decode,
        ),
        "avif": (
            lambda pixels, quality: ic.avif_encode(pixels, level=quality, speed=4, pixelformat="420"),
            ic.avif_decode,
        ),
    }


def measured(name: str, codec: Codec, quality: int, files: list[Path]) -> dict[str, Any]:
    """One codec at one quality over all photographs."""
    from PIL import Image

    encode, decode = codec
    found: list[tuple[float, ...]] = []
    for file in files:
        with Image.open(file) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        began = time.perf_counter()
        data = encode(pixels, quality)
        between = time.perf_counter()
        again = decode(data)
        ended = time.perf_counter()
        bits = 8 * len(data) / (pixels.shape[0] * pixels.shape[1])
        found.append((bits, psnr(pixels, again), ms_ssim(pixels, again), between - began, ended - between))
    means = [float(np.mean(values)) for values in zip(*found, strict=True)]
    names = ("bpp", "psnr", "ms_ssim", "encode", "decode")
    return {"codec": name, "quality": quality, "photographs": len(files), **dict(zip(names, means, strict=True))}


def rows(
    runs: list[str], folder: str | None, files: list[Path], qualities: list[int] | None
) -> Iterator[dict[str, Any]]:
    for run in runs:
        codec = of_run(run)
        name = "lambent" if len(runs) == 1 else f"lambent ({Path(run).name})"
        for quality in qualities or QUALITIES["lambent"]:
            yield measured(name, codec, quality, files)
    for name, codec in of_libraries(folder).items():
        for quality in QUALITIES[name]:
            yield measured(name, codec, quality, files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="runs of a model that is fit for lossy coding")
    parser.add_argument("--photographs", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--limit", type=int, help="the first so many of them")
    parser.add_argument("--qualities", type=int, nargs="*", help="of the runs")
    parser.add_argument("--codecs", help="the folder that imagecodecs is installed in")
    parser.add_argument("--out", type=Path, default=RESULTS / "lossy.json")
    given = parser.parse_args()
    files = sorted(p for p in given.photographs.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))[
        : given.limit
    ]
    record = Record(given.out, "Lossy photographs", PROTOCOL, COLUMNS, key=("codec", "quality"))
    for row in rows(given.runs, given.codecs, files, given.qualities):
        print({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}, flush=True)
        record.add(**row)


if __name__ == "__main__":
    main()
