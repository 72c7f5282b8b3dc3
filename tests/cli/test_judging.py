"""lambent evaluate --generated, --against: synthetic rows judged from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lambent.metrics.samples import learning

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("judged")
    random = np.random.default_rng(0)

    def made(rows: int) -> pd.DataFrame:
        kind = random.choice(["a", "b", "c"], rows)
        return pd.DataFrame({"kind": kind, "size": random.normal(size=rows).round(3) + 3 * (kind == "a")})

    tables = {name: made(120) for name in ("real", "fake", "unseen")}
    tables["copied"] = tables["real"]
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return {name: folder / f"{name}.csv" for name in tables}


def test_any_file_against_real_rows(lambent: Run, files: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "judged.html"
    done = lambent("evaluate", files["real"], "--against", files["fake"], "--holdout", files["unseen"], "--out", page)
    assert done.status == 0, done.err
    assert "May this be shared? Nothing here speaks against it" in done.out
    assert "independent columns" in done.out
    assert "Column by column" in page.read_text()
    said = json.loads(
        lambent("evaluate", files["real"], files["unseen"], "--against", files["copied"], "--target=kind", "--json").out
    )
    assert said["shared"] == "no"
    assert said["metrics"]["copies"]["value"] == 1.0
    assert said["metrics"]["use"]["beside"]["real"] == pytest.approx(said["metrics"]["use"]["value"], abs=0.1)
    assert said["rows"] == {"real": 120, "synthetic": 120, "unseen": 120}


def test_rows_that_a_run_makes(lambent: Run, table_run: Path, table: Path) -> None:
    done = lambent("evaluate", table_run, "--generated=40", "--json")
    assert done.status == 0, done.err
    assert "6 test rows are too few" in done.err
    said = json.loads(done.out)
    assert said["rows"] == {"real": 54 - 5, "synthetic": 40}  # 6 to test on, 5 to validate on
    assert [column["name"] for column in said["columns"]] == ["a", "b", "c"]
    again = json.loads(lambent("evaluate", table_run, "--generated=40", "--json").out)
    assert again == said
    named = json.loads(lambent("evaluate", table_run, table, "--generated=40", "--json").out)
    assert named["rows"] == said["rows"]  # the run's own data, named


def test_a_file_against_the_rows_of_a_run(lambent: Run, table_run: Path, table: Path) -> None:
    done = lambent("evaluate", table_run, "--against", table, "--holdout", table, "--json")
    assert done.status == 0, done.err
    said = json.loads(done.out)
    assert said["rows"]["synthetic"] == 60
    assert said["metrics"]["copies"]["value"] == pytest.approx(49 / 60)


def test_what_it_refuses(
    lambent: Run, files: dict[str, Path], image_run: Path, table_run: Path, tmp_path: Path
) -> None:
    cases = {
        ("evaluate", files["real"]): "is a table, no run",
        ("evaluate", files["real"], "--against", tmp_path / "none.csv"): "no such file",
        ("evaluate", files["real"], "--against", files["fake"], "--generated=30"): "give one of the two",
        ("evaluate", files["real"], "--against", files["fake"], "--target=kin"): "did you mean 'kind'",
        ("evaluate", files["real"], "--against", files["fake"], "--out=page.txt"): "it can end in .html",
        ("evaluate", image_run, "--generated=30", "--target=kin"): "are of columns",
        ("evaluate", image_run, "--generated=30", "--features", "space.pt"): "is a .safetensors file",
        ("evaluate", table_run, "--generated=30", "--features", "space.safetensors"): "--features is of pictures",
        ("evaluate", tmp_path / "none", "--generated=30"): "none",
        ("evaluate", image_run, "--features", "space.safetensors"): "give --generated N with it",
        ("report", image_run, "--features", "space.safetensors", "--out", "page.html"): "give --generated N with it",
        ("report", table_run, "--generated=30", "--samples=2", "--out", "page.html"): "judges pictures; of a table",
    }
    for arguments, words in cases.items():
        done = lambent(*arguments)
        assert done.status in (2, 3, 4), arguments
        assert words in done.complaint


def test_pictures_that_a_run_draws(
    lambent: Run, image_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "STEPS", 5)
    kept, page = tmp_path / "space.safetensors", tmp_path / "judged.html"
    done = lambent("evaluate", image_run, "--generated=30", "--features", kept, "--out", page, "--json")
    assert done.status == 0, done.err
    assert "4 test pictures are too few to tell a memory from a model" in done.err
    assert "learning a feature space" in done.err
    said = json.loads(done.out)
    assert said["rows"] == {"real": 32, "generated": 30, "reconstructions": 30, "copycat": 30, "independent": 30}
    assert said["facts"]["task"] == "classes"  # of the folders that the pictures lie in
    assert "Samples and their nearest neighbours" in page.read_text("utf-8")
    again = lambent("evaluate", image_run, pictures, "--generated=30", "--features", kept, "--json")
    assert json.loads(again.out) == said  # in the space that was kept, of the run's own data named
    assert "learning" not in again.err
    np.save("other.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8))
    held = lambent("evaluate", image_run, "--against", pictures, "--holdout", "other.npy", "--features", kept, "--json")
    same = json.loads(held.out)
    assert "reconstructions" not in same["sets"]
    assert same["rows"]["generated"] == same["rows"]["holdout"] == 40
    np.save("few.npy", np.zeros((9, 8, 8), dtype=np.uint8))
    few = lambent("evaluate", image_run, "--against", "few.npy", "--features", tmp_path / "unlearned.safetensors")
    assert few.status == 3
    assert "9 pictures are too few to be judged; 20 at least" in few.complaint
    assert not (tmp_path / "unlearned.safetensors").exists()
    own, copied = (same["sets"][name]["precision"]["value"] for name in ("generated", "copycat"))
    assert own == pytest.approx(copied, abs=0.2)
    table = lambent("evaluate", image_run, "--generated=30", "--features", kept)
    assert table.status == 0
    for words in ("frechet_limit", "copycat", "sharpness", "near 1"):
        assert words in table.out


def test_a_runs_own_space_is_kept_beside_it(lambent: Run, image_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "STEPS", 5)
    done = lambent("evaluate", image_run, "--generated=30", "--json")
    kept = image_run / "features.safetensors"
    assert kept.is_file()
    space = json.loads(done.out)["space"]
    assert json.loads(lambent("evaluate", image_run, "--generated=25", "--json").out)["space"] == space
    done = lambent("report", image_run, "--generated=30", "--samples=2", "--out", "page.html", "--json")
    assert done.status == 0, done.err
    page = Path("page.html").read_text("utf-8")
    assert page.index("Samples, judged") < page.index("Sharpness") < page.index('id="model"')
    kept.unlink()
