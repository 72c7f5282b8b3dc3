"""Decodes the golden archives of a folder and prints what came out, as hashes: run by itself, with a number of threads."""

import importlib
import json
import sys
from pathlib import Path

import torch

from lambent import Codec
from lambent.codec import rows
from lambent.codec.exact import compiling
from lambent.codec.exact.pieces import InPieces
from lambent.codec.lossy.pictures import Lossy
from lambent.model import LatentModel

EXACT, DECODE = compiling.exact, Lossy.decode


def capped(most: int) -> None:
    """Let networks have no more than so many rows at a time, and of lossy pictures tiles of so many pixels, or what they need."""

    def exact(model: LatentModel, weight_bits: int = 16) -> LatentModel:
        made = EXACT(model, weight_bits)
        made.encoder, made.decoder = InPieces(made.encoder, most), InPieces(made.decoder, most)
        return made

    compiling.PLACES = 1 if most == 1 else 1 << 30  # convolutions have a cap of their own
    rows.exact = exact
    Lossy.decode = lambda self, data: DECODE(self, data, most)


def main(threads: int, folder: Path, scripts: str) -> None:
    sys.path.insert(0, scripts)
    digests = importlib.import_module("write_golden_archives").digests
    torch.set_num_threads(threads)
    found = []
    for most in (1, 256):
        capped(most)
        found.append({path.stem: digests(Codec().decompress(path)) for path in sorted(folder.glob("*.lam"))})
    print(torch.backends.cpu.get_cpu_capability(), json.dumps(found), sep="\n")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
