"""lambent disentangle: sprites with their factors, tables and folders with columns beside them, pages, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]
SPRITES = "sprites?shape=2,scale=2,orientation=1,x=8,y=8,size=16"


@pytest.fixture(scope="module")
def sprites(lambent: Run, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on sprites, of other seeds."""
    folders = [tmp_path_factory.mktemp("runs") / f"sprites-{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        model = ("--latent.size=3", "--network=Mlp", "--epochs=2", "--seed", seed, *small)
        done = lambent("train", SPRITES, *model, "--out", folder)
        assert done.status == 0, done.err
    return folders


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two columns that two factors decide, and the factors."""
    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 3, 300), rng.integers(0, 5, 300)
    path = tmp_path_factory.mktemp("data") / "known.csv"
    lines = [
        f"{k + 0.1 * a:.4f},{s + 0.1 * b:.4f},{'pqr'[k]},{s}"
        for k, s, a, b in zip(kind, size, rng.normal(size=300), rng.normal(size=300), strict=True)
    ]
    path.write_text("\n".join(["first,second,kind,size", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def of_table(lambent: Run, table: Path, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "table"
    model = ("--data.drop", "kind,size", "--latent.size=2", "--latent.prior=Standard", "--epochs=2", *small)
    done = lambent("train", table, *model, "--out", folder)
    assert done.status == 0, done.err
    return folder


def test_sprites_are_measured_by_their_own_factors(lambent: Run, sprites: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = lambent("disentangle", sprites[0], SPRITES, "--against", sprites[1], "--out", page, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["factors"] == ["shape", "scale", "posX", "posY"]
    assert found["rows"] == 256
    assert {"mig", "mig_bins20", "dci_disentanglement", "sap", "factor_vae", "beta_vae", "irs", "udr"} <= set(
        found["scores"]
    )
    assert all(-0.1 <= one["value"] <= 1 for one in found["scores"].values())
    assert "by forest" in found["scores"]["dci_completeness"]["meaning"]
    assert any("color" in remark for remark in found["remarks"])
    text = page.read_text("utf-8")
    assert "Traversals by factor" in text
    assert "posX: z" in text


def test_the_table_names_each_variant(lambent: Run, sprites: list[Path]) -> None:
    done = lambent("disentangle", sprites[0], SPRITES, "--factors", "posX, posY", "--rotate", "varimax", "--rows", 100)
    assert done.status == 0, done.err
    for words in ("MIG, 20 bins", "as disentanglement_lib", "FactorVAE score", "chance", "best unit", "axis", "posX"):
        assert words in done.out


def test_columns_that_a_table_left_out_are_factors(lambent: Run, of_table: Path, table: Path) -> None:
    done = lambent("disentangle", of_table, table, "--factors", "kind,size", "--rows", 200, "--json")
    assert done.status == 0, done.err
    of_columns = json.loads(done.out)
    assert of_columns["factors"] == ["kind", "size"]
    again = lambent(
        "disentangle", of_table, table, "--factors-from", table, "--factors", "kind,size", "--rows", 200, "--json"
    )
    assert json.loads(again.out)["scores"] == of_columns["scores"]


def test_the_test_rows_of_a_run_know_their_columns(lambent: Run, of_table: Path) -> None:
    done = lambent("disentangle", of_table, "--split", "train", "--factors", "kind,size", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["entropy"] == pytest.approx([np.log(3), np.log(5)], abs=0.05)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--factors", "first,kind"), "the model was trained on that column"),
        (("--factors", "kinds"), "kind"),
        (("--factors", ","), "needs names"),
        ((), "come with no factors"),
        (("--factors", "kind", "--rotate", "prior"), "no axes of its own"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    lambent: Run, of_table: Path, table: Path, flags: tuple[str, ...], words: str
) -> None:
    done = lambent("disentangle", of_table, table, *flags)
    assert done.status in (2, 3)
    assert words in done.complaint


def test_a_table_of_factors_has_a_line_for_each_row(lambent: Run, of_table: Path, table: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("\n".join(table.read_text().splitlines()[:100]) + "\n")
    done = lambent("disentangle", of_table, table, "--factors-from", short)
    assert done.status == 3
    assert "99 lines, and there are 300 rows" in done.complaint
