"""Streams of randomness: seeds that do not meet, and torch's samplers run from an explicit generator."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What each stream is for. A number here is part of every result that was ever drawn from it: it stays.
STREAMS = {
    "examples": -1,  # rows that a model is set up by
    "bound": 1,
    "levels": 2,
    "mutual information": 3,
    "reconstruct": 4,
    "generate": 5,
    "prior start": 6,
    "codes": 7,
    "prior moments": 8,
    "codes of the prior": 0xC0DE,
    "completed rows": 0xF111,
    "synthesized rows": 0x5A3,
    "views of examples": 0x5EE,
    "drawn rows": 0xDA7A,
    "validation share": 0x59117,
    "validation noise": 0x7A11D,
    "training noise": 0x10015E,
    "judge": 0x10D6E,
    "calibration": 0xCA11B,
    "drift": 0xD21F7,
    "usual": 0x05A1,
    "expected pixels": 0x91C5,
    "held out to compare": 0x0DD,
    "further splits": 0x59117E5,
    "bootstrap of the tail": 0x7A11,
    "views of rows": 0xC209,
    "known cases": 0xCA5E5,
    "probes of a trace": 0x7ACE,
    "examination": 0xE8A31,
    "feature space": 0xFEA7,
    "judged samples": 0x5A3D1E,
    "walks compared": 0x3A1C5,
    "prior codes": 0xC0DE5,
    "inverted codes": 0x14BE27,
    "looks at samples": 0x100C5,
    "decoder begun anew": 0xDEC0DE,
    "filled texts": 0xF1117E,
    "normalized expression": 0xE8E55,
    "differential expression": 0xD1FF,
    "doublets": 0xD0B1E,
    "disentanglement": 0xD15E7,
    "codes exchanged": 0xC0DE2C,
    "columns shuffled": 0x5AFF1E,
    "further steps": 0xF0127E5,
    "further noise": 0xF0127E6,
    "posterior of each row": 0x905E,
    "judged posteriors": 0x90D6E,
    "codes of components": 0xC0DEC,
    "autoencoder beside": 0xAE0,
    "labels of few": 0xFE3,
    "responsibilities": 0x4E590,
}


def mixed_seed(*parts: int) -> int:
    """One seed from several numbers, so that nearby pairs of them give unrelated streams."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 2


def stream(seed: int, name: str) -> int:
    """The seed of a stream by its name in `STREAMS`: one user's seed, many unrelated streams."""
    return mixed_seed(seed, STREAMS[name])


@contextmanager
def seeded(generator: torch.Generator | None, device: torch.device | None = None) -> Iterator[None]:
    """Run torch's global-generator samplers from `generator`, and leave the global generator as it was."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(0, 2**62, (), generator=generator, device=generator.device))
    cuda = [d for d in (device, generator.device) if d is not None and d.type == "cuda"][:1]
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed, which would also seed the devices that are not put back.
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield
