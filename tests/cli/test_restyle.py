"""lambent restyle: pictures into a folder, by a style's name or by exemplars; whole photographs; what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lambent import Flat, Gaussian, LatentModel, Mlp
from lambent.cli.verbs.affording import unlearned
from lambent.fitted import load
from lambent.model.likelihoods import Perceptual
from lambent.tasks.restyle import restyle

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def conditioned(lambent: Run, pictures: Path, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under the label of the pictures' folder."""
    folder = tmp_path_factory.mktemp("runs") / "styles"
    model = ("--condition", "label", "--latent.size=4", "--network=Mlp", "--epochs=3", *small)
    done = lambent("train", pictures, *model, "--out", folder)
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="module")
def styled(lambent: Run, pictures: Path, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a code of style."""
    folder = tmp_path_factory.mktemp("runs") / "code"
    done = lambent(
        "train", pictures, "--condition", "label", "--latent=Styled", "--latent.style=2", "--network=Mlp", "--epochs=3", *small,
        "--out", folder,
    )  # fmt: skip
    assert done.status == 0, done.err
    return folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_every_picture_is_a_file_of_its_own_name(
    lambent: Run, conditioned: Path, pictures: Path, tmp_path: Path
) -> None:
    done = lambent("restyle", conditioned, pictures, "--to", "right", "--out", tmp_path / "new", "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["own"] == ["left"] * 20 + ["right"] * 20
    assert not told["guessed"]
    files = sorted(path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*.png"))
    assert len(files) == 41
    fitted = load(conditioned)
    assert fitted.modality is not None
    made = restyle(fitted, pictures, to="right")
    wanted = fitted.modality.levels(made.x)
    for name, picture in zip(told["files"], wanted, strict=True):
        assert np.array_equal(pixels(Path(name)), picture)
    assert Path(told["files"][0]).relative_to(tmp_path / "new") == Path("left/0.png")
    assert pixels(tmp_path / "new" / "beside.png").shape == (
        2 * 4 * 10 + 2,
        10 * 10 + 2,
    )  # 4 lines of 10, and those below them


def test_one_picture_whose_style_nobody_tells(lambent: Run, conditioned: Path, pictures: Path, tmp_path: Path) -> None:
    done = lambent("restyle", conditioned, pictures / "left" / "0.png", "--to", "right", "--out", tmp_path / "one")
    assert done.status == 0, done.err
    assert "do not tell their own style; by the bound the likeliest is" in done.err
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"0.png", "beside.png"}
    picture = pictures / "left" / "0.png"
    told = lambent("restyle", conditioned, picture, "--to", "label=right", "--from", "left", "--out", tmp_path / "two")
    assert told.status == 0
    assert "likeliest" not in told.err


def test_a_style_from_pictures_and_mixed_with_a_named_one(
    lambent: Run, styled: Path, pictures: Path, tmp_path: Path
) -> None:
    source, like = pictures / "left", pictures / "right"
    words = (
        "restyle",
        styled,
        source,
        "--like",
        like,
        "--to",
        "left",
        "--mix",
        "0.25",
        "--strength",
        "0.5",
        "--detail",
        "0.75",
        "--limit",
        5,
    )
    done = lambent(*words, "--out", tmp_path / "mixed", "--json")
    assert done.status == 0, done.err
    fitted = load(styled)
    assert fitted.modality is not None
    made = restyle(fitted, source, to="left", like=like, mix=0.25, strength=0.5, detail=0.75)
    files = [Path(name) for name in json.loads(done.out)["files"]]
    assert len(files) == 5
    for file, picture in zip(files, fitted.modality.levels(made.x)[:5], strict=True):
        assert np.array_equal(pixels(file), picture)


def test_what_cannot_be_done_is_said_in_one_line(
    lambent: Run, conditioned: Path, table_run: Path, image_run: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    run, out = ("restyle", conditioned, pictures), ("--out", tmp_path / "x")
    cases = {
        "name a style (--to": (*run, *out),
        "no level is called 'rigth'; did you mean 'right'": (*run, "--to", "rigth", *out),
        "a --to or a --like: --mix says": (*run, "--to", "left", "--to", "right", *out),
        "takes a number from 0 to 1": (*run, "--to", "left", "--strength", "2", *out),
        "knows its styles by name": (*run, "--like", pictures, *out),
        "holds files already; add --force": (*run, "--to", "left", "--out", tmp_path / "full"),
        "is a file; the pictures need a folder": (*run, "--to", "left", "--out", tmp_path / "file"),
        "lies inside the data": (*run, "--to", "left", "--out", pictures / "new"),
        "this run is of other rows": ("restyle", table_run, "--to", "left", *out),
        "knows no styles": ("restyle", image_run, "--to", "left", *out),
        "name the file or the folder after the run": ("restyle", conditioned, "--to", "left", "--tiles", "auto", *out),
    }
    for words, arguments in cases.items():
        done = lambent(*arguments)
        assert done.status == 2, done.err
        assert words in done.complaint
    assert lambent(*run, "--to", "left", "--out", tmp_path / "full", "--force", "--limit", 2).status == 0
    assert (tmp_path / "full" / "a.txt").read_text() == "mine"


def test_photographs_are_restyled_whole(lambent: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(8):
        place = tmp_path / "photos" / ("day", "night")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture = random.integers(0, 256, (40 + number, 60, 3), np.uint8) // (1 + number % 2)
        Image.fromarray(picture).save(place / f"{number}.png")
    latent = ["--latent", "Grid", "--latent.layers", "/4x1", "--latent.channels", "2", "--latent.width", "4"]
    network = ["--network", "Conv", "--network.channels", "4,6", "--network.width", "8"]
    size = ["--data.crop", "16", "--condition", "label", "--epochs", "2", "--batch", "3", "--samples", "2", "--quiet"]
    done = lambent("train", tmp_path / "photos", *latent, *network, *size, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    words = ("restyle", tmp_path / "run", tmp_path / "photos", "--to", "day", "--tiles", "64")
    done = lambent(*words, "--out", tmp_path / "new", "--json")
    assert done.status == 0, done.err
    files = [Path(name) for name in json.loads(done.out)["files"]]
    assert len(files) == 8
    for file in files:
        assert pixels(file).shape == pixels(tmp_path / "photos" / file.relative_to(tmp_path / "new")).shape


def test_a_code_of_style_that_nothing_shares_is_told(
    lambent: Run, pictures: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("train", pictures, "--latent=Styled", "--latent.style=2", "--network=Mlp", "--epochs=1", *small)
    done = lambent(*words, "--out", tmp_path / "alone")
    assert done.status == 0, done.err
    assert "nothing says which rows are of one style" in done.err
    assert "(--condition label)" in done.err


def test_a_trial_of_a_few_rows_leaves_no_features_to_share(tmp_path: Path) -> None:
    file = tmp_path / "features.safetensors"
    model = LatentModel(Flat(2), Perceptual(features=str(file), steps=5), Mlp(8, 1))
    likelihood = unlearned(model.spec())["likelihood"]
    assert (likelihood["features"], likelihood["steps"]) == ("", 0)
    file.write_bytes(b"")
    assert unlearned(model.spec()) == model.spec()
    plain = LatentModel(Flat(2), Gaussian(), Mlp(8, 1)).spec()
    assert unlearned(plain) == plain
