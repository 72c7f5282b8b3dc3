"""Write the golden model files of the present version: small models of many parts, with inputs and what they answer.

Usage: python scripts/write_golden_models.py [FOLDER]. Files of a version are written once and never again: every later
version must read them and give the same numbers (tests/golden/test_golden.py). Those that are not there yet, of kinds of
models that came later, are added. Before a version is released, its folder may be removed and written again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from torch import Tensor

import lambent
from lambent import (
    VAE,
    Audio,
    Bernoulli,
    Categorical,
    Conv,
    DiscretizedLogistics,
    Flat,
    Full,
    Gaussian,
    Gru,
    Image,
    ItakuraSaito,
    Ladder,
    LatentModel,
    Mixed,
    Mixture,
    Mlp,
    Modality,
    NegativeBinomial,
    Point,
    Poisson,
    ResNet,
    StudentT,
    Table,
    Text,
    Tokens,
    Vamp,
    Wave,
)
from lambent import fitted as store
from lambent.data import Cells, encode_like
from lambent.distributions import centre
from lambent.model.posteriors import Flow as FlowPosterior
from lambent.model.priors import Flow
from lambent.model.trace import fixed, mean

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
ROWS = 5
SYMBOLS = 257  # the end of a text, and every byte
TINY = {"type": "Mlp", "width": 4, "depth": 1}
MODALITIES: dict[str, Modality] = {
    "table": Table(),
    "image": Image(),
    "text": Text(symbols=SYMBOLS, length=8),
    "sound": Audio(rate=1000, bands=4, seconds=0.032),
    "cells": Cells(least_counts=1, least_cells=1),
}


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def bytes_(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def counts(*shape: int) -> Tensor:
    return torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(1)).float()


def frame() -> pandas.DataFrame:
    values = numbers(ROWS, 3).double().numpy().round(3)
    return pandas.DataFrame({"height": values[:, 0], "größe, cm": 100 * values[:, 1] + 7, "one": np.ones(ROWS)})


def genes() -> pandas.DataFrame:
    return pandas.DataFrame(counts(ROWS, 3).numpy().astype(int), columns=["ace-2", "bam-1", "unc-7"])


def models() -> dict[str, tuple[LatentModel, Any]]:
    """By name: a model that is not set up, and the rows that it is asked about (raw ones, where it has a modality)."""
    parts = (Gaussian(), Categorical(levels=9), Poisson(), Gaussian("each"))
    return {
        "bernoulli-mixture": (
            LatentModel(Flat(2, Mixture(3)), Bernoulli(), TINY),
            (numbers(ROWS, 1, 4, 3) > 0).float(),
        ),
        "bernoulli-full-mixture": (
            LatentModel(Flat(2, Mixture(2, "full")), Bernoulli(), Mlp(4, 1, "tanh")),
            (numbers(ROWS, 6) > 0).float(),
        ),
        "logistics-vamp": (
            LatentModel(Flat(2, Vamp(3)), DiscretizedLogistics(), Conv((2, 3), 4)),
            bytes_(ROWS, 1, 6, 5),
        ),
        "logistics-colour": (
            LatentModel(Flat(2), DiscretizedLogistics(2), ResNet((2, 3), 1, 4)),
            bytes_(ROWS, 3, 5, 4),
        ),
        "mixed-columns": (LatentModel(Flat(2), Mixed(parts), TINY), counts(ROWS, 4)),
        "gaussian-ladder-flow": (LatentModel(Ladder((2, 2), 4, Flow(1, 4)), Gaussian(), TINY), numbers(ROWS, 3)),
        "counts-full-posterior": (LatentModel(Flat(2, posterior=Full()), NegativeBinomial(), TINY), counts(ROWS, 3)),
        "student-spline-posterior": (
            LatentModel(Flat(2, posterior=FlowPosterior(1, 4, "spline")), StudentT(), TINY),
            numbers(ROWS, 3),
        ),
        "autoencoder": (LatentModel(Flat(2, posterior=Point()), Gaussian(), TINY), numbers(ROWS, 3)),
        "table": (LatentModel(Flat(2), Gaussian("predicted"), TINY), frame()),
        "image": (LatentModel(Flat(2), DiscretizedLogistics(), Conv((2,), 4)), bytes_(ROWS, 5, 4).numpy()),
        "text": (
            LatentModel(Flat(2), Tokens(SYMBOLS, width=4, rank=4), Gru(4)),
            ["a cat", "größe", "a b", "cab", "no cat"],
        ),
        "sound": (LatentModel(Flat(2), ItakuraSaito(), Wave((2,), width=4)), numbers(ROWS, 32).mul(0.2).numpy()),
        "cells": (LatentModel(Flat(2), NegativeBinomial(library="observed"), TINY), genes()),
    }


def answers(stored: store.Fitted, raw: Any) -> dict[str, Any]:
    """What a stored model says of rows, in float64 and without any noise."""
    model = stored.model.double().eval()
    x = raw if stored.modality is None else encode_like(stored.modality, raw).x
    with torch.no_grad():
        trace = model.trace(x, 1, mean)
        found = {"codes": trace.z[0], "log_px": trace.log_px[0]}
        if model.latent.density:
            found["log_ratio"] = trace.log_ratio[0]
        codes = torch.linspace(-1, 1, 3 * trace.z.shape[-1], dtype=torch.float64).reshape(3, -1)
        sizes = list(model.latent.sizes_of_levels)
        found["most_likely"] = centre(model.generate(3, fixed(*codes.split(sizes, 1)))).flatten(1)
    return {name: t.double().tolist() for name, t in found.items()}


def plain(raw: Any) -> dict[str, Any]:
    """Rows as JSON; `rows_of` in tests/golden/test_golden.py is the inverse."""
    if isinstance(raw, pandas.DataFrame):
        return {"kind": "frame", "values": {name: raw[name].tolist() for name in raw}}
    if isinstance(raw, list):
        return {"kind": "texts", "values": raw}
    kind = "tensor" if isinstance(raw, Tensor) else "array"
    return {"kind": kind, "dtype": str(raw.dtype).removeprefix("torch."), "values": raw.tolist()}


def written(folder: Path, name: str, raw: Any) -> None:
    stored = store.load(folder / f"{name}.safetensors")
    said = {"rows": plain(raw), "answers": answers(stored, raw)}
    with open(folder / f"{name}.json", "x", encoding="utf-8") as file:
        file.write(json.dumps(said, indent=1) + "\n")


def main(root: Path) -> None:
    folder = root / lambent.__version__
    there = {path.stem for path in folder.glob("*.safetensors")}
    new = {name: made for name, made in models().items() if name not in there}
    if not new and "estimator" in there:
        sys.exit(f"all of {folder} is there already: golden files are never written anew; raise the version instead")
    for name, (model, raw) in new.items():
        modality = MODALITIES.get(name)
        x = raw if modality is None else modality.fit(raw).encode(raw)
        model.setup(tuple(x.shape[1:]), x, seed=2)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():  # biases start at nought, and a fault in reading them would not show
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        store.save(folder / f"{name}.safetensors", store.Fitted(model, modality, {"name": name}))
        written(folder, name, raw)
    if "estimator" in there:
        return
    vae = VAE(2, network={"type": "Mlp", "width": 4, "depth": 1}, epochs=2, device="cpu", precision="fp32").fit(frame())
    vae.save(folder / "estimator.safetensors")
    written(folder, "estimator", frame())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
