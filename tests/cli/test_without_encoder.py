"""A run without an encoder, from training to its codes by optimization (the objective Gan)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lambent import fitted as store

Run = Callable[..., Any]
SMALL = ("--network.width=8", "--network.depth=1", "--precision=fp32", "--batch=16", "--samples=2", "--rows=20")


@pytest.fixture(scope="module")
def generator(lambent: Run, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gan on the pictures."""
    folder = tmp_path_factory.mktemp("runs") / "gan"
    made = lambent(
        "train", pictures, "--objective", "Gan", "--likelihood", "Gaussian", "--network", "Mlp", "--latent.size=3",
        "--epochs=2", *SMALL, "--out", folder,
    )  # fmt: skip
    assert made.status == 0, made.err
    assert "lambent invert" in made.out
    assert "lambent embed" not in made.out
    assert "best on" not in made.err
    return folder


def read(path: str) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_folder_holds_what_there_is(lambent: Run, generator: Path) -> None:
    names = {path.name for path in generator.iterdir()}
    assert {"model.safetensors", "report.html", "metrics.json", "samples.png", "interpolation.png"} <= names
    assert "reconstructions.png" not in names
    metrics = json.loads((generator / "metrics.json").read_text())["metrics"]
    assert set(metrics) == {"spread", "sharpness"}
    history = [json.loads(line) for line in (generator / "history.jsonl").read_text().splitlines()]
    assert all(row["elbo"] is None and row["kl"] is None for row in history)
    assert {"rival_loss", "rival_accuracy", "spread"} <= history[-1].keys()
    header = store.read_header(generator)
    assert header["model"]["latent"]["posterior"] == {"type": "Absent"}
    assert header["model"]["latent"]["prior"]["type"] == "Standard"
    shown = lambent("info", generator)
    assert shown.status == 0
    assert "Gan" in shown.out
    page = (generator / "report.html").read_text()
    assert "Reconstructions" not in page
    assert lambent("report", generator, "--out", "again.html").status == 0
    assert "one draw of the prior to another" in Path("again.html").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "RUN"),
        ("score", "RUN", "-o", "made.csv"),
        ("embed", "RUN", "-o", "made.csv"),
        ("reconstruct", "RUN", "-o", "made.png"),
        ("interpolate", "RUN", "--from", 0, "--to", 1, "-o", "made.png"),
        ("traverse", "RUN", "-o", "made.png"),
        ("impute", "RUN", "rows.csv", "-o", "made.csv"),
        ("predict", "RUN", "rows.csv", "--target", "label", "-o", "made.csv"),
        ("detect", "RUN", "rows.csv", "-o", "made.csv"),
        ("refine", "RUN", "--out", "other"),
    ],
    ids=lambda command: command[0],
)
def test_what_needs_codes_is_refused_before_rows_are_read(
    lambent: Run, generator: Path, command: tuple[object, ...]
) -> None:
    Path("rows.csv").write_text("a\n1\n")
    said = lambent(*(generator if word == "RUN" else word for word in command))
    assert said.status == 2
    assert said.complaint.startswith("lambent: error: this model has no encoder")
    assert "lambent invert" in said.complaint
    assert not any(Path().glob("made.*"))


def test_a_posterior_of_its_own_is_refused(lambent: Run, pictures: Path) -> None:
    said = lambent(
        "train",
        pictures,
        "--objective",
        "Gan",
        "--likelihood",
        "Gaussian",
        "--latent.posterior",
        "Diagonal",
        "--out",
        "x",
    )
    assert said.status == 2
    assert "Gan teaches no encoder" in said.complaint
    assert "use the Absent posterior" in said.complaint
    other = lambent("train", pictures, "--latent.posterior", "Absent", "--out", "x")
    assert other.status == 2
    assert "trains an encoder, and with the Absent posterior there is none" in other.complaint


def test_a_detector_is_not_trained_without_one(lambent: Run, pictures: Path) -> None:
    said = lambent("detect", pictures, "--objective", "Gan", "-o", "made.csv")
    assert said.status == 2
    assert "odd rows are told by their codes, and Gan teaches no encoder" in said.complaint


def test_another_latent_is_taken_without_one_too(lambent: Run, pictures: Path) -> None:
    made = lambent(
        "train", pictures, "--objective", "Gan", "--likelihood", "Gaussian", "--latent", "Ladder", "--latent.sizes=2,3",
        "--latent.width=8", "--network", "Mlp", "--epochs=1", *SMALL, "--out", "ladder",
    )  # fmt: skip
    assert made.status == 0, made.err
    assert lambent("sample", "ladder", "-n", 4, "-o", "drawn.npz").status == 0
    assert lambent("invert", "ladder", "--limit=3", "--steps=5", "-o", "codes.npz").status == 0
    with np.load("codes.npz") as held:
        assert held["level1_z"].shape == (3, 2)
        assert held["level2_z"].shape == (3, 3)


def test_a_gan_is_conditioned(lambent: Run, pictures: Path) -> None:
    """On the label: samples, codes and walks under a value."""
    made = lambent(
        "train", pictures, "--objective", "Gan", "--likelihood", "Gaussian", "--condition", "label", "--network", "Mlp",
        "--latent.size=2", "--epochs=1", *SMALL, "--out", "given",
    )  # fmt: skip
    assert made.status == 0, made.err
    assert lambent("sample", "given", "--given", "label=left", "-n", 4, "-o", "drawn.png").status == 0
    assert lambent("invert", "given", "--limit=3", "--steps=5", "-o", "codes.npz").status == 0
    walk = ("interpolate", "given", "--codes", "codes.npz", "--from", 0, "--to", 2, "--steps=4")
    assert lambent(*walk, "--given", "label=right", "-o", "walk.npz").status == 0
    with np.load("walk.npz") as held:
        assert len(held["x"]) == 4
    assert lambent(*walk, "-o", "other.npz").status == 2


def test_codes_by_optimization_and_back(lambent: Run, generator: Path) -> None:
    said = lambent("invert", generator, "--limit=4", "--steps=20", "-o", "codes.npz", "--json")
    assert said.status == 0, said.err
    told = json.loads(said.out)
    assert told["rows"] == 4
    assert told["units"] == [3]
    with np.load("codes.npz") as held:
        assert held["z"].shape == (4, 3)
        assert held["row"].shape == (4,)
        assert (held["error"] >= 0).all()
        assert told["error"] == pytest.approx(float(held["error"].mean()))
    assert read("codes.png").shape == (2 * (8 + 2) + 2, 4 * (8 + 2) + 2)
    again = lambent("invert", generator, "--limit=4", "--steps=20", "-o", "codes.npz")
    assert again.status == 2
    assert "exists" in again.complaint
    assert lambent("invert", generator, "--limit=4", "--steps=20", "--prior=0", "-o", "near.csv").status == 0
    walk = lambent(
        "interpolate", generator, "--codes", "codes.npz", "--from", "0,1", "--to", "2,3", "--steps=4", "-o", "w.npz"
    )
    assert walk.status == 0, walk.err
    with np.load("w.npz") as held:
        assert held["pair"].tolist() == [0] * 4 + [1] * 4
    moved = lambent("traverse", generator, "--codes", "codes.npz", "--row", 3, "--steps=3", "-o", "moved.png")
    assert moved.status == 0, moved.err


def test_codes_of_the_prior_by_number(lambent: Run, generator: Path) -> None:
    """A number names the same draw whatever else is asked for."""
    walks = []
    for start, end in (("3", "4"), ("7,3", "9,4")):
        name = f"walk{len(walks)}.npz"
        said = lambent("interpolate", generator, "--codes=prior", "--from", start, "--to", end, "--steps=3", "-o", name)
        assert said.status == 0, said.err
        with np.load(name) as held:
            walks.append(held["x"][-3:])
    assert np.array_equal(*walks)
    assert lambent("traverse", generator, "--codes=prior", "--steps=3", "-o", "moved.png").status == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--codes=prior", "--from=0", "--to=1000"), "there are codes 0 … 999"),
        (("--codes=gone.npz", "--from=0", "--to=1"), "cannot be read"),
        (("--codes=table.csv", "--from=0", "--to=1"), "codes are read from an .npz"),
        (("--codes=other.npz", "--from=0", "--to=1"), "z has shape [4, 7]"),
        (("--codes=named.npz", "--from=0", "--to=1"), "holds no array 'z'"),
        (("--codes=nan.npz", "--from=0", "--to=1"), "not finite"),
        (("--from=0", "--to=1", "--given=label=left"), "give --codes"),
    ],
    ids=["number", "gone", "table", "shape", "name", "finite", "given"],
)
def test_codes_that_cannot_be_are_refused(lambent: Run, generator: Path, flags: tuple[str, ...], words: str) -> None:
    np.savez("other.npz", z=np.zeros((4, 7)))
    np.savez("named.npz", x=np.zeros((4, 3)))
    np.savez("nan.npz", z=np.full((4, 3), np.nan))
    said = lambent("interpolate", generator, *flags, "-o", "made.png")
    assert said.status in (2, 3)
    assert words in said.complaint
    assert not Path("made.png").exists()


def test_codes_of_rows_of_a_run_with_an_encoder(lambent: Run, table_run: Path) -> None:
    """Better than the encoder's own, and what embed wrote is walked between as well."""
    assert lambent("invert", table_run, "--limit=4", "--steps=20", "-o", "codes.npz").status == 0
    assert not Path("codes.png").exists()
    assert lambent("embed", table_run, "--limit=4", "-o", "own.npz").status == 0
    said = lambent("interpolate", table_run, "--codes", "own.npz", "--from=0", "--to=3", "--steps=3", "-o", "walk.csv")
    assert said.status == 0, said.err
