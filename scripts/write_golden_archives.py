"""Write the golden archives of the present version: data coded by small trained models, which travel inside.

Usage: python scripts/write_golden_archives.py [FOLDER]. Archives of a version are written once and never again: every later
version must give back the same content on any machine (tests/golden/test_golden_archives.py). Before a version is released,
its folder may be removed and written again. For each archive contents.json tells how many blocks are coded, and SHA-256 of
what comes out.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pil

import lambent
from lambent import (
    Bernoulli,
    Categorical,
    Codec,
    Conv,
    DiscretizedLogistics,
    Elbo,
    Fitted,
    Flat,
    Gaussian,
    Grid,
    Image,
    Ladder,
    LatentModel,
    Mixture,
    Mlp,
    ResNet,
    Table,
    Vamp,
    fit,
)
from lambent.codec.described import described
from lambent.codec.files import Made, Options, compress
from lambent.data.kinds.modality import Encoded, Modality
from lambent.model.posteriors import Uniform
from lambent.model.priors import Factorized

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
SMALL = 60_000  # bytes of an archive, at most
Levels = np.ndarray[Any, np.dtype[np.uint8]]
Source = Levels | Path


def slopes(count: int, seed: int = 0, channels: int = 1, height: int = 8, width: int = 8) -> Levels:
    """Pictures [count, height, width(, channels)] of random slopes with noise."""
    rng = np.random.default_rng(seed)
    down, across = np.linspace(-1, 1, height)[:, None, None], np.linspace(-1, 1, width)[None, :, None]
    level, falls, leans = rng.normal(size=(3, count, 1, 1, 1)) + 0.1 * rng.normal(size=(3, count, 1, 1, channels))
    whole = 128 + 30 * level + 20 * (falls * down + leans * across) + rng.normal(size=(count, height, width, channels))
    made: Levels = np.clip(np.rint(whole), 0, 255).astype(np.uint8)
    return made[..., 0] if channels == 1 else made


def folder(place: Path, pictures: dict[str, Levels]) -> Path:
    """Pictures as files of a folder."""
    for name, levels in pictures.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(levels).save(place / name)
    return place


def learned(model: LatentModel, rows: Levels, modality: Modality | None, epochs: int = 20) -> Fitted:
    """The model, trained for some seconds."""
    x = torch.from_numpy(rows.astype(np.uint8)) if modality is None else modality.fit(rows).encode(rows)
    given = x if modality is None else Encoded(x, modality)
    fit(model, Elbo(), given, epochs=epochs, batch=64, learning_rate=4e-3, validation=0.0, precision="fp32", seed=1)
    return Fitted(model, modality)


def binary(place: Path) -> tuple[Any, Source]:
    model = LatentModel(Flat(3), Bernoulli(), Mlp(16, 1))
    return learned(model, slopes(512, 1) > 128, Image()), slopes(200) > 128


def grey(place: Path) -> tuple[Any, Source]:
    """A folder with pictures of two sizes, one of which is cut into tiles, and a file that is none."""
    model = LatentModel(Flat(4, Mixture(3, "full")), DiscretizedLogistics(), Conv((8,), 16))
    pictures = {f"small/{i:02}.png": each for i, each in enumerate(slopes(50))}
    pictures |= {f"große/{i}.png": each for i, each in enumerate(slopes(6, 2, height=19, width=13))}
    folder(place, pictures)
    (place / "readme.txt").write_text("slopes\n" * 30, encoding="utf-8")
    return learned(model, slopes(512, 1), Image()), place


def colour(place: Path) -> tuple[Any, Source]:
    model = LatentModel(Flat(3, Vamp(4)), DiscretizedLogistics(2), Conv((8,), 16))
    return learned(model, slopes(512, 1, channels=3), Image()), slopes(60, channels=3)


def grid(place: Path) -> tuple[Any, Source]:
    latent = Grid("1x1 4x2", (4, 2), (8,))
    model = LatentModel(latent, DiscretizedLogistics(), ResNet((6, 8), 1, 8, activation="gelu"))
    return learned(model, slopes(512, 1), Image(), epochs=40), slopes(150)


def ladder(place: Path) -> tuple[Any, Source]:
    model = LatentModel(Ladder((2, 3), 12), Categorical(8), Mlp(24, 1, "tanh"))
    rows = slopes(1500, height=1, width=10)[:, 0] // 32
    return learned(model.setup((10,), torch.from_numpy(rows)), rows[500:], None, epochs=80), rows[:500]


def table(place: Path) -> tuple[Any, Source]:
    path = place / "people.csv"
    place.mkdir()
    rng = np.random.default_rng(0)
    towns = rng.choice(["Oslo", "Rome", "Lima, Peru"], 400, p=[0.5, 0.3, 0.2])
    heights = np.where(towns == "Oslo", 180, 170) + 8 * rng.standard_normal(400)
    paid = np.where(rng.random(400) < 0.2, "", [f"{n:.2f}" for n in rng.gamma(2, 300, 400)])
    lines = [f'"{t}",{h:.1f},{p},{i % 4}' for i, (t, h, p) in enumerate(zip(towns, heights, paid, strict=True))]
    path.write_text("\r\n".join(["town,height,paid,children", *lines]) + "\r\n", encoding="utf-8")
    likelihood = Table(scale="ranks").fit(path).defaults()["likelihood"] | {"width": 12, "rank": 4, "dropout": 0.0}
    vae = lambent.VAE(
        3, likelihood=likelihood, network={"type": "Mlp", "width": 12}, modality=Table(scale="ranks"), epochs=4, batch=32,
        learning_rate=5e-3, validation=0.0,
    )  # fmt: skip
    return vae.fit(path), path


def lossy(place: Path) -> tuple[Any, Source]:
    """Photographs of sizes that are no whole number of steps."""
    latent = Grid("/16x1 /4x1", (3, 4), (6, 8), posterior=Uniform(), prior=Factorized(), activation="relu")
    model = LatentModel(latent, Gaussian("fixed", 0.05), ResNet((5, 6), 1, 8, stem=2))
    pictures = slopes(2, 3, 3, 45, 70)
    folder(place, {"one.png": pictures[0], "two.png": np.ascontiguousarray(pictures[1].transpose(1, 0, 2))})
    return learned(model, slopes(128, 1, 3, 32, 32), Image(crop=32), epochs=10), place


ARCHIVES: dict[str, Callable[[Path], tuple[Any, Source]]] = {
    each.__name__: each for each in (binary, grey, colour, grid, ladder, table, lossy)
}


def digests(found: Any) -> dict[str, str]:
    """SHA-256 of what came out of an archive, by name; of arrays with type and shape."""
    held = found if isinstance(found, dict) else {"": found}
    return {name: digest(each) for name, each in sorted(held.items())}


def digest(content: Any) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    array = np.ascontiguousarray(content)
    return hashlib.sha256(f"{array.dtype.str} {list(array.shape)}\n".encode() + array.tobytes()).hexdigest()


def written(name: str, path: Path, place: Path) -> dict[str, Any]:
    """Write one archive; what it holds. Nothing that a model could tell may have been stored."""
    torch.manual_seed(0)
    model, source = ARCHIVES[name](place)
    quality = 50 if name == "lossy" else None
    made: Made = compress(Fitted.of(model), source, path, Options(model=True, quality=quality))
    again = digests(Codec().decompress(path))
    size = path.stat().st_size
    sys.stdout.write(
        f"{name}: {size:,} bytes, {made.archive.coded_blocks} coded and {made.archive.stored_blocks} stored\n"
    )
    assert size < SMALL
    assert made.failed == 0
    assert made.archive.coded_blocks > 0
    if not isinstance(source, Path):
        assert again == digests(source)
    elif source.is_file():
        assert again == digests(source.read_bytes())
    return {"coded": described(path).coded_blocks, "content": again}


def main(root: Path) -> None:
    home = root / lambent.__version__ / "archives"
    if home.exists():
        sys.exit(f"{home} is there already: golden files are never written anew; raise the version instead")
    home.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        held = {name: written(name, home / f"{name}.lam", Path(temporary) / name) for name in ARCHIVES}
    (home / "contents.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
