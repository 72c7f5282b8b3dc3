"""The verbs on a trained model: what they write, what they refuse (cases L, D, K)."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lambent import VAE
from lambent import fitted as store
from lambent.data import encode_like

Run = Callable[..., Any]


def read_csv(path: str | Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def opened(path: str) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_evaluate(lambent: Run, table_run: Path, table: Path) -> None:
    """Its own test rows by default: the numbers of the run's metrics.json; any other rows when named."""
    said = json.loads(lambent("evaluate", table_run, "--samples=2", "--json").out)
    kept = json.loads((table_run / "metrics.json").read_text())
    assert said["metrics"] == kept["metrics"]
    assert said["data"]["sha256"] == kept["data"]["sha256"]
    assert json.loads(lambent("evaluate", table_run, table, "--samples=2", "--json").out)["rows"] == 60
    assert json.loads(lambent("evaluate", table_run, table, "--limit=7", "--samples=2", "--json").out)["rows"] == 7
    shown = lambent("evaluate", table_run / "model.safetensors", "--samples=2")
    assert "nats per row" in shown.out
    assert "±" in shown.out


def test_the_same_seed_the_same_numbers(lambent: Run, table_run: Path) -> None:
    first, again, other = (
        lambent("evaluate", table_run, "--json", "--samples=2", f"--seed={s}").out for s in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_changed_data_are_told(lambent: Run, table_run: Path, table: Path) -> None:
    before = table.read_bytes()
    try:
        table.write_text(table.read_text().replace("0.1", "0.2"))
        assert "the data have changed" in lambent("evaluate", table_run, "--samples=1").err
    finally:
        table.write_bytes(before)
    assert "changed" not in lambent("evaluate", table_run, "--samples=1").err


def test_sample(lambent: Run, table_run: Path, image_run: Path) -> None:
    assert lambent("sample", table_run, "--n=5", "--out=s.csv").status == 0
    assert list(read_csv("s.csv")[0]) == ["a", "b", "c"]
    assert len(read_csv("s.csv")) == 5
    assert lambent("sample", image_run, "--n=9", "--out=s.png").status == 0
    assert opened("s.png").shape[1::-1] == (3 * 10 + 2, 3 * 10 + 2)
    assert lambent("sample", image_run, "--n=9", "--out=s.npz", "--seed=3").status == 0
    assert lambent("sample", image_run, "--n=9", "--out=t.npz", "--seed=3").status == 0
    drawn = np.load("s.npz")["x"]
    assert drawn.shape == (9, 8, 8)
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, np.load("t.npz")["x"])
    lambent("sample", image_run, "--n=9", "--out=u.npz", "--noise=yes")
    assert set(np.unique(np.load("u.npz")["x"])) == {0, 255}


def test_temperature_narrows(lambent: Run, table_run: Path) -> None:
    for temperature in (0.01, 1):
        arguments = ("--noise=no", "--n=200", f"--temperature={temperature}", f"--out={temperature}.npz")
        assert lambent("sample", table_run, *arguments).status == 0
    cold, warm = (np.load(f"{t}.npz")["a"].std() for t in (0.01, 1))
    assert cold < 0.5 * warm  # what is left is how far the Gaussians of the prior lie apart


def test_reconstruct(lambent: Run, table_run: Path, image_run: Path, table: Path) -> None:
    assert lambent("reconstruct", table_run, table, "--out=r.csv").status == 0
    rows = read_csv("r.csv")
    assert list(rows[0]) == ["row", "label", "a", "b", "c"]
    assert len(rows) == 60
    assert lambent("reconstruct", image_run, "--limit=3", "--out=r.png").status == 0
    high = 2 * 10 + 2
    assert opened("r.png").shape[1::-1] == (3 * 10 + 2, high)


def test_the_originals_stand_above(lambent: Run, image_run: Path) -> None:
    lambent("reconstruct", image_run, "--limit=1", "--out=r.png")
    assert set(np.unique(opened("r.png")[2:10, 2:10])) == {0, 255}  # as binarized


def test_what_each_level_holds(lambent: Run, table_run: Path, image_run: Path, table: Path) -> None:
    done = lambent("reconstruct", image_run, "--levels", "--limit=3", "--out=r.png")
    assert done.status == 0, done.err
    assert "levels from the top, by column: 1, 2" in done.err
    assert opened("r.png").shape[1::-1] == (
        3 * 10 + 2,
        3 * 10 + 2,
    )  # the original, one level, both; a line for each row
    lambent("reconstruct", image_run, "--levels", "--limit=3", "--out=r.npz")
    assert np.load("r.npz")["levels"].tolist() == [1, 2] * 3
    assert np.load("r.npz")["x"].shape[0] == 6
    lambent("reconstruct", table_run, table, "--levels", "--out=r.csv")
    assert [row["levels"] for row in read_csv("r.csv")] == ["1"] * 60
    assert (
        "leave --given or --levels out"
        in lambent("reconstruct", image_run, "--levels", "--given=a=1", "--out=q.png").err
    )


def test_embed(lambent: Run, table_run: Path, image_run: Path, table: Path) -> None:
    assert lambent("embed", table_run, table, "--out=z.csv").status == 0
    rows = read_csv("z.csv")
    assert list(rows[0]) == ["row", "label", "z0", "z1"]
    assert len(rows) == 60
    assert lambent("embed", image_run, "--out=z.npz").status == 0
    codes = np.load("z.npz")
    assert codes["level1_z"].shape == (4, 2)
    assert codes["level2_z"].shape == (4, 3)
    assert set(codes["label"]) <= {"left", "right"}


def test_score_does_not_depend_on_the_other_rows(lambent: Run, table_run: Path, table: Path) -> None:
    for arguments in (("all.csv",), ("few.csv", "--limit=7"), ("again.csv",)):
        name, *more = arguments
        assert lambent("score", table_run, table, f"--out={name}", "--samples=4", *more).status == 0
    assert Path("all.csv").read_bytes() == Path("again.csv").read_bytes()
    assert read_csv("all.csv")[:7] == read_csv("few.csv")
    row = {k: float(v) for k, v in read_csv("all.csv")[0].items() if k != "label"}
    assert row["elbo"] == pytest.approx(row["log_likelihood"] - row["kl"], abs=2e-6)
    assert row["bound"] >= row["elbo"] - 5


def test_score_is_what_the_estimator_gives_to_the_bit(lambent: Run, table_run: Path, table: Path) -> None:
    loaded = store.load(table_run)
    encoded = encode_like(loaded.modality, table)
    for samples in ((), ("--samples=5",)):
        assert lambent("score", table_run, table, "--out=s.csv", "--force", *samples).status == 0
        written = np.array([float(row["bound"]) for row in read_csv("s.csv")])
        vae = VAE(samples=5) if samples else VAE()
        vae._adopt(loaded)
        assert np.array_equal(vae.score_samples(encoded), written)
        one = json.loads(lambent("evaluate", table_run, table, "--json", *samples).out)["metrics"]["bound"]
        assert one["value"] == pytest.approx(written.mean(), rel=1e-12)
        assert one["standard_error"] == pytest.approx(written.std(ddof=1) / len(written) ** 0.5, rel=1e-12)


def test_files_and_rows_are_named(lambent: Run, image_run: Path, table_run: Path, pictures: Path) -> None:
    """With DATA its files and row numbers; without, which rows these are, and their numbers in the source."""
    files = sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png"))
    told = json.loads(lambent("score", image_run, pictures, "--out=s.csv", "--samples=2", "--json").out)
    assert [row["file"] for row in read_csv("s.csv")] == files
    assert told["lowest"][0]["file"] in files
    assert told["lowest"][0]["bound"] == min(float(row["bound"]) for row in read_csv("s.csv"))
    done = lambent("embed", image_run, "--out=z.csv")
    found = read_csv("z.csv")
    assert f"the {len(found)} test rows of {pictures}, held out of its {len(files)}" in done.err
    assert [files[int(row["row"])] for row in found] == [row["file"] for row in found]
    whole = {row["file"]: row for row in read_csv("s.csv")}
    assert lambent("score", image_run, "--out=t.csv", "--samples=2").status == 0
    for row in read_csv("t.csv"):
        assert row == whole[row["file"]]


def test_interpolate(lambent: Run, table_run: Path, image_run: Path) -> None:
    assert (
        lambent(
            "interpolate", table_run, "--from=0,1", "--from=2", "--to=3,4", "--to=5", "--steps=4", "--out=i.csv"
        ).status
        == 0
    )
    rows = read_csv("i.csv")
    assert [r["pair"] for r in rows] == [str(i // 4) for i in range(12)]
    assert lambent("interpolate", image_run, "--from=0", "--to=1", "--steps=5", "--out=i.png").status == 0
    assert opened("i.png").shape[1::-1] == (5 * 10 + 2, 10 + 2)


def test_traverse(lambent: Run, table_run: Path, image_run: Path) -> None:
    assert lambent("traverse", table_run, "--row=2", "--units=1,0", "--steps=3", "--out=t.csv").status == 0
    rows = read_csv("t.csv")
    assert [(r["unit"], r["value"]) for r in rows] == [(u, v) for u in "10" for v in ("-3.0", "0.0", "3.0")]
    done = lambent("traverse", image_run, "--out=t.png")
    assert done.status == 0
    assert opened("t.png").shape[1::-1] == (9 * 10 + 2, 5 * 10 + 2)  # 2 + 3 units
    assert lambent("traverse", image_run, "--units=1:2", "--out=u.png").status == 0


def test_traverse_along_directions_where_the_code_may_be_turned(lambent: Run) -> None:
    generator = np.random.default_rng(0)
    np.savetxt("turned.csv", generator.normal(size=(60, 3)), delimiter=",", header="a,b,c", comments="")
    prior = ("--latent.prior", "Mixture", "--latent.prior.covariance", "full", "--latent.size", "3")
    done = lambent("train", "turned.csv", *prior, "--network.width", "8", "--epochs", "2", "--out", "turned")
    assert done.status == 0, done.err
    done = lambent("traverse", "turned", "--steps=3", "--out=t.csv")
    assert done.status == 0, done.err
    assert "directions from top to bottom: 0:1, 0:2, 0:3" in done.out
    assert [r["direction"] for r in read_csv("t.csv")] == [n for n in "123" for _ in range(3)]
    assert lambent("traverse", "turned", "--units=1", "--out=u.csv").status == 0
    assert {r["unit"] for r in read_csv("u.csv")} == {"1"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["interpolate", "--from=0", "--to=99", "--out=x.csv"], "there are rows 0 … 5"),
        (["interpolate", "--from=0,1", "--to=2", "--out=x.csv"], "go in pairs"),
        (["interpolate", "--from=x", "--to=2", "--out=x.csv"], "numbers of rows"),
        (["interpolate", "--from=0", "--to=2", "--steps=1", "--out=x.csv"], "--steps"),
        (["traverse", "--units=7", "--out=x.csv"], "no unit 7 at level 0"),
        (["traverse", "--units=x", "--out=x.csv"], "takes numbers of units"),
        (["traverse", "--row=99", "--out=x.csv"], "there are rows"),
        (["traverse", "--reach=nan", "--out=x.csv"], "--reach"),
        (["sample", "--n=0", "--out=x.csv"], "--n"),
        (["sample", "--n=1000000000001", "--out=x.csv"], "--n"),
        (["sample", "--temperature=0", "--out=x.csv"], "--temperature"),
        (["sample", "--temperature=inf", "--out=x.csv"], "--temperature"),
        (["evaluate", "--samples=0"], "--samples"),
        (["evaluate", "--samples=5001"], "--samples"),
        (["evaluate", "--limit=0"], "--limit"),
        (["score", "--out=x.png"], "it can end in .csv, .tsv, .parquet"),
        (["sample", "--out=x.jpg"], "it can end in .png, .csv"),
        (["sample", "--out=x"], "a file without suffix"),
        (["sample", "--out=x.png"], "no pictures"),
        (["sample", "--out="], "needs a name"),
        (["report", "--out=x.pdf"], ".html"),
    ],
)
def test_G12_L13_what_is_out_of_range(lambent: Run, table_run: Path, arguments: list[str], words: str) -> None:
    """Rows, units, steps, samples, temperatures and suffixes that cannot be end with status 2, and nothing is written."""
    verb, *rest = arguments
    refused = lambent(verb, table_run, *rest)
    assert refused.status == 2
    assert words in refused.complaint
    assert os.listdir() == []


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet", ".png"])
def test_L3_output_exists(lambent: Run, image_run: Path, suffix: str) -> None:
    """An output file that exists is left as it is, unless --force is given."""
    out = Path(f"samples{suffix}")
    out.write_text("mine")
    refused = lambent("sample", image_run, "--n=2", "--out", out)
    assert refused.status == 2
    assert "add --force" in refused.complaint
    assert out.read_text() == "mine"
    assert lambent("sample", image_run, "--n=2", "--out", out, "--force").status == 0
    assert out.read_bytes() != b"mine"
    assert os.listdir() == [out.name]


def test_L4_output_not_writable(lambent: Run, table_run: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that cannot be written to ends with status 5 and its name before the model is read; missing folders are made."""
    for out in ("/proc/x.csv", "/proc/nosuch/x.csv", table / "x.csv"):
        refused = lambent("sample", table_run, "--out", out)
        assert refused.status == 5
        assert str(out) in refused.complaint
    assert lambent("sample", table_run, "--out=new/folder/x.csv").status == 0
    monkeypatch.setattr(os, "access", lambda *_: False)  # as a file system mounted for reading only answers
    refused = lambent("sample", "no-such-run", "--out=y.csv")
    assert refused.status == 5
    assert "y.csv" in refused.complaint


def test_L5_output_is_an_input(lambent: Run, table_run: Path, table: Path) -> None:
    """An output that is an input, by whatever path or link, is refused even with --force."""
    Path("own.csv").write_bytes(table.read_bytes())
    os.symlink("own.csv", "link.csv")
    os.link("own.csv", "hard.csv")
    for out in ("own.csv", "./own.csv", "link.csv", "hard.csv"):
        refused = lambent("embed", table_run, "own.csv", "--out", out, "--force")
        assert refused.status == 2
        assert "is an input" in refused.complaint
    assert Path("own.csv").read_bytes() == table.read_bytes()
    model = shutil.copy(table_run / "model.safetensors", "model.npz")
    assert lambent("sample", model, "--out", model, "--force").status == 2


def test_D13_formulas_are_escaped(lambent: Run, table_run: Path, table: Path) -> None:
    """Text that a spreadsheet would run gets an apostrophe; numbers, negative ones too, do not."""
    lambent("embed", table_run, table, "--out=z.csv")
    rows = read_csv("z.csv")
    assert {r["label"] for r in rows} == {"'=SUM(A1)", "plain"}
    assert any(r["z0"].startswith("-") for r in rows)
    lambent("embed", table_run, table, "--out=z.parquet")
    import pyarrow.parquet as parquet

    assert set(parquet.read_table("z.parquet")["label"].to_pylist()) == {"=SUM(A1)", "plain"}


def test_report(lambent: Run, image_run: Path) -> None:
    copy = Path(shutil.copytree(image_run, "run"))
    (copy / "report.html").unlink()
    done = lambent("report", copy, "--samples=2", "--limit=20")
    assert done.status == 0
    assert (copy / "report.html").read_text() == (image_run / "report.html").read_text()
    assert lambent("report", copy, "--samples=2").status == 0  # its own page it may replace
    Path("mine.html").write_text("mine")
    assert lambent("report", copy, "--out=mine.html").status == 2
    assert json.loads(lambent("report", copy, "--samples=2", "--json").out)["remarks"]


def test_citation_of_a_model_file(lambent: Run, table_run: Path) -> None:
    shown = lambent("info", table_run, "--citation")
    assert shown.status == 0
    assert shown.out.startswith("@software{lambent,")
    assert "@inproceedings{kingma2014auto," in shown.out
    assert json.loads(lambent("info", table_run, "--citation", "--json").out)["bibtex"] == shown.out


def test_info(lambent: Run, table_run: Path) -> None:
    shown = lambent("info", table_run)
    assert shown.status == 0
    assert "Flat(size=2, prior=Mixture(" in shown.out
    assert "lambent train" in shown.out
    said = json.loads(lambent("info", table_run, "--json").out)
    assert said["provenance"]["fit"]["epochs"] == 2
    assert said["metrics"]["elbo"]["unit"] == "nats per row"


def test_quiet_says_nothing(lambent: Run, table_run: Path) -> None:
    done = lambent("sample", table_run, "--out=s.csv", "--quiet")
    assert (done.status, done.out, done.err) == (0, "", "")


def test_a_model_made_in_python(lambent: Run, table_run: Path, table: Path) -> None:
    """Without provenance the data must be named; without a modality, they are read as they come."""
    stored = store.load(table_run / "model.safetensors")
    store.save("bare.safetensors", store.Fitted(stored.model, stored.modality))
    assert "name the data" in lambent("evaluate", "bare.safetensors").complaint
    assert lambent("evaluate", "bare.safetensors", table, "--samples=1").status == 0
    assert lambent("info", "bare.safetensors").status == 0
    store.save("naked.safetensors", stored.model)
    np.save("x.npy", np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
    assert "name the data" in lambent("evaluate", "naked.safetensors").complaint
    assert lambent("embed", "naked.safetensors", "x.npy", "--out=z.csv").status == 0
    assert lambent("sample", "naked.safetensors", "--n=3", "--out=s.csv").status == 0
    assert list(read_csv("s.csv")[0]) == ["x0", "x1", "x2"]


def test_a_point_posterior_has_no_scores(lambent: Run, table: Path, small: tuple[str, ...]) -> None:
    done = lambent("train", table, "--data.label=kind", "--latent.posterior=Point", "--epochs=1", "--out=r", *small)
    assert done.status == 0
    assert "reconstruction" in done.out
    assert "elbo" not in done.out
    refused = lambent("score", "r", "--out=s.csv")
    assert refused.status == 2
    assert "Point" in refused.complaint
