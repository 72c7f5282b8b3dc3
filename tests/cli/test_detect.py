"""lambent detect: odd rows found, flagged by a rule, told why; in a file, on a page, as JSON; and every wrong way to ask."""

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lambent import load
from lambent.fitted import Fitted
from lambent.tasks.detection.calibrated import fingerprints

Run = Callable[..., Any]
QUICK = (
    "--network.width=16",
    "--network.depth=1",
    "--model.members=1",
    "--samples=2",
    "--rows=20",
    "--precision=fp32",
    "--latent.size=2",
)
ODD = 12


def normal(rows: int, seed: int) -> pd.DataFrame:
    """Two numbers that hang together, one that does not, and a level."""
    random = np.random.default_rng(seed)
    first = random.normal(size=rows)
    frame = {"a": first, "b": 2 * first + 0.1 * random.normal(size=rows), "c": random.normal(size=rows)}
    return pd.DataFrame({name: values.round(4) for name, values in frame.items()})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("detected")
    tables = {"clean": normal(300, 0), "new": normal(120, 1), "other": normal(200, 3)}
    odd = normal(ODD, 2)
    odd["c"] = 25 + np.arange(ODD)
    mixed = pd.concat([tables["new"], odd], ignore_index=True)
    mixed["fraud"] = np.repeat([0, 1], [120, ODD])
    tables["mixed"] = mixed
    few = mixed.copy()
    few["fraud"] = [str(value) if i % 2 else "" for i, value in enumerate(mixed["fraud"])]
    tables["few"] = few
    tables["whole"] = pd.concat([tables["clean"].assign(fraud=0), mixed], ignore_index=True)
    moved = normal(200, 4)
    moved["b"] += 3
    tables["moved"] = moved
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return {name: folder / f"{name}.csv" for name in tables}


@pytest.fixture(scope="module")
def run(lambent: Run, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that detect made of clean rows."""
    folder = tmp_path_factory.mktemp("runs") / "detector"
    done = lambent("detect", files["clean"], "--clean", "--run", folder, "--epochs=40", *QUICK)
    assert done.status == 0, done.err
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_odd_rows_of_a_file_are_flagged_with_reasons(
    lambent: Run, run: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "flagged.csv"
    done = lambent("detect", run, files["mixed"], "-o", out, "--fdr", 0.2)
    assert done.status == 0, done.err
    rows = table(out)
    assert list(rows[0]) == ["row", "score", "p", "flagged", "why"]
    assert [int(row["row"]) for row in rows] == list(range(120 + ODD))
    flagged = [i for i, row in enumerate(rows) if row["flagged"].lower() == "true"]
    assert set(range(120, 120 + ODD)) <= set(flagged)
    assert len(flagged) <= 2 * ODD  # a fifth of those flagged on average, and by chance some more
    assert all(rows[i]["why"].startswith("c ") for i in range(120, 120 + ODD))
    assert all(not row["why"] for i, row in enumerate(rows) if i not in flagged)
    scores = np.array([float(row["score"]) for row in rows])
    assert scores[120:].min() > scores[:120].max()
    assert float(rows[125]["p"]) == pytest.approx(1 / (60 + 1))  # of 300 rows a fifth is held out
    assert f"{len(flagged)} of 132 rows are flagged, by false discovery rate 0.2" in done.out
    assert "higher = more odd" in done.out
    assert "exchangeable" in done.out
    assert "the 5 oddest" in done.out


def test_the_same_rows_get_the_same_bits(lambent: Run, run: Path, files: dict[str, Path], tmp_path: Path) -> None:
    turned = pd.read_csv(files["mixed"]).iloc[::-1]
    turned.to_csv(tmp_path / "turned.csv", index=False)
    found = {}
    for name, path in (("as they are", files["mixed"]), ("turned", tmp_path / "turned.csv")):
        lambent("detect", run, path, "-o", tmp_path / "out.csv", "--force")
        found[name] = [(row["score"], row["p"], row["flagged"], row["why"]) for row in table(tmp_path / "out.csv")]
    assert found["turned"][::-1] == found["as they are"]
    lambent("detect", run, files["mixed"], "--limit=7", "-o", tmp_path / "out.csv", "--force")
    assert [row["score"] for row in table(tmp_path / "out.csv")] == [score for score, *_ in found["as they are"][:7]]


def test_all_of_it_as_json_and_as_a_page(lambent: Run, run: Path, files: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    asked = ("--labels=fraud", "--tail=0.05", "--drift", "--json")
    done = lambent("detect", run, files["mixed"], "--report", page, *asked)
    assert done.status == 0, done.err
    said = json.loads(done.out)
    assert said["rows"] == 132
    assert said["higher"] == "more odd"
    assert said["rule"] == {"tail": 0.05}
    assert said["labels"]["auroc"] == 1.0
    assert said["labels"]["recall"] == 1.0
    assert said["labels"]["odd"] == ODD
    assert said["labels"]["precision"] == pytest.approx(ODD / said["flagged"])
    assert {row["row"] for row in said["oddest"]} <= set(range(120, 120 + ODD))
    assert all(row["why"].startswith(f"c {row['row'] - 95}, expected -") for row in said["oddest"])
    assert {one["name"] for one in said["drift"]["columns"]} == {"a", "b", "c"}
    assert "NaN" not in done.out
    text = page.read_text()
    for id_ in ("decision", "scores", "oddest", "p-values", "known", "drift"):
        assert f'<section id="{id_}"' in text
    assert "flagged from" in text
    assert "AUROC" in text


@pytest.mark.parametrize(("rule", "expected"), [(("--contamination=0.05",), 7), (("--labels=fraud",), ODD)])
def test_other_rules(lambent: Run, run: Path, files: dict[str, Path], rule: tuple[str, ...], expected: int) -> None:
    said = json.loads(lambent("detect", run, files["mixed"], *rule, "--json").out)
    assert said["flagged"] == expected


def test_a_few_known_cases_choose_the_threshold(
    lambent: Run, run: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    done = lambent("detect", run, files["few"], "--labels=fraud", "-o", tmp_path / "out.parquet", "--json")
    assert done.status == 0, done.err
    said = json.loads(done.out)
    assert said["labels"]["odd"] + said["labels"]["normal"] == 66
    assert said["flagged"] >= ODD - 1
    assert said["facts"]["f1"]["value"] > 0.9
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame["flagged"].dtype == bool
    assert frame["why"].isna().sum() == 132 - said["flagged"]


def test_drift_names_the_column_and_is_silent_without(lambent: Run, run: Path, files: dict[str, Path]) -> None:
    same = json.loads(lambent("detect", run, files["other"], "--drift", "--json").out)["drift"]
    assert not same["changed"]
    assert not any(one["changed"] for one in same["columns"])
    done = lambent("detect", run, files["moved"], "--drift")
    assert "the whole has changed" in done.out
    assert "columns: b" in done.out
    against = json.loads(lambent("detect", run, files["moved"], "--drift", "--reference", files["moved"], "--json").out)
    assert not against["drift"]["changed"]
    assert against["facts"]["flagged"] == 0  # the reference says what is usual


def test_training_first_keeps_the_run(lambent: Run, files: dict[str, Path], tmp_path: Path) -> None:
    out, folder = tmp_path / "flagged.csv", tmp_path / "kept"
    done = lambent(
        "detect",
        files["whole"],
        "-o",
        out,
        "--run",
        folder,
        "--labels=fraud",
        "--contamination=0.03",
        "--epochs=30",
        *QUICK,
    )
    assert done.status == 0, done.err
    rows = table(out)
    assert len(rows) == 432
    assert [int(row["row"]) for row in rows] == list(range(432))
    assert {row["label"] for row in rows} == {"0", "1"}
    odd = [int(row["row"]) for row in rows if row["flagged"].lower() == "true"]
    assert len(set(odd) & set(range(420, 432))) >= 9
    assert "AUROC" in done.out
    assert {"model.safetensors", "config.yaml", "report.html", "detection.html"} <= {
        file.name for file in folder.iterdir()
    }
    fitted = load(folder)
    held = fitted if isinstance(fitted, Fitted) else fitted.fitted_
    assert held.detection is not None
    assert len(held.detection.held_out) == round(0.2 * 432)
    assert "fraud" not in held.modality.names  # never trained on
    again = json.loads(lambent("detect", folder, files["whole"], "--contamination=0.03", "--json").out)
    assert [row["score"] for row in again["oddest"]] == sorted((float(row["score"]) for row in rows), reverse=True)[:5]
    known = lambent("info", folder)
    assert "86 held-out rows" in known.out
    assert "detector" in known.out


def test_labels_of_another_column_than_the_labels(lambent: Run, files: dict[str, Path], tmp_path: Path) -> None:
    data = pd.read_csv(files["whole"]).assign(kind="x")
    data.to_csv(tmp_path / "two.csv", index=False)
    done = lambent(
        "detect",
        tmp_path / "two.csv",
        "--data.label=kind",
        "--labels=fraud",
        "--run",
        tmp_path / "r",
        "--epochs=1",
        *QUICK,
    )
    assert done.status == 0, done.err
    fitted = load(tmp_path / "r")
    modality = (fitted if isinstance(fitted, Fitted) else fitted.fitted_).modality
    assert modality.drop == ("fraud",)
    assert modality.names == ["a", "b", "c"]


def test_a_plain_run_is_calibrated_by_what_it_held_out(lambent: Run, files: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    assert lambent("train", files["clean"], "--out", folder, "--epochs=30", *QUICK).status == 0
    before = (folder / "model.safetensors").read_bytes()
    done = lambent("detect", folder, files["mixed"], "--fdr=0.3", "--json")
    assert done.status == 0, done.err
    assert "from 30 rows" in done.err  # a tenth to test on
    said = json.loads(done.out)
    assert {row["row"] for row in said["oddest"]} <= set(range(120, 132))
    assert said["oddest"][0]["p"] == pytest.approx(1 / 31)
    assert (folder / "model.safetensors").read_bytes() == before
    with_reference = json.loads(lambent("detect", folder, files["mixed"], "--reference", files["other"], "--json").out)
    assert with_reference["oddest"][0]["p"] == pytest.approx(1 / 201)


def test_a_run_without_rows_of_its_own_asks_for_some(lambent: Run, files: dict[str, Path], tmp_path: Path) -> None:
    data = tmp_path / "gone.csv"
    data.write_bytes(files["clean"].read_bytes())
    folder = tmp_path / "plain"
    assert lambent("train", data, "--out", folder, "--epochs=2", *QUICK).status == 0
    data.unlink()
    assert "gone.csv" in lambent("detect", folder, files["mixed"]).complaint
    done = lambent("detect", folder, files["mixed"], "--reference", files["other"])
    assert done.status == 0, done.err
    assert "half of" in done.err


def test_pictures(lambent: Run, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    flags = ("--network=Mlp", *QUICK, "--epochs=2", "--data.test=0.5")
    done = lambent("detect", pictures, "--run", folder, "-o", tmp_path / "out.csv", *flags)
    assert done.status == 0, done.err
    rows = table(tmp_path / "out.csv")
    assert list(rows[0]) == ["row", "file", "label", "score", "p", "flagged", "why"]
    assert len(rows) == 40
    assert '<section id="oddest"' in (folder / "detection.html").read_text()
    assert (
        "which of the labels (left, right) are odd" in lambent("detect", folder, pictures, "--labels=label").complaint
    )
    maps = tmp_path / "maps"
    done = lambent("detect", folder, pictures, "--json", "--contamination=0.1", "--heatmaps", maps)
    said = json.loads(done.out)
    assert said["flagged"] == 4
    assert {f"{row['row']:06d}-{Path(row['file']).stem}.png" for row in said["oddest"][:4]} == {
        f.name for f in maps.iterdir()
    }
    with Image.open(next(maps.iterdir())) as picture:
        assert picture.size == (2 * 256 + 4, 256)  # of 8 × 8, the picture and its heat-map


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{run}", "{mixed}", "--fdr=2"), "takes a share between 0 and 1"),
        (("{run}", "{mixed}", "--fdr=nan"), "takes a share between 0 and 1"),
        (("{run}", "{mixed}", "--contamination=0.6"), "above 0 and up to 0.5"),
        (("{run}", "{mixed}", "--fdr=0.1", "--tail=0.01"), "--fdr and --tail are several"),
        (("{run}", "{mixed}", "--labels=fraude"), "did you mean 'fraud'"),
        (("{run}", "{mixed}", "--labels=a"), "was trained on that column"),
        (("{run}", "{mixed}", "--epochs=3"), "is trained already, so --epochs"),
        (("{run}", "{mixed}", "--latent.size=3"), "is trained already, so --latent"),
        (("{run}", "{mixed}", "--run=other"), "is trained already, so --run"),
        (("{run}", "{mixed}", "--score=Evidense"), "did you mean 'Evidence'"),
        (("{run}", "{mixed}", "--score.sample=3"), "'sample'"),
        (("{run}", "{mixed}", "-o", "x.txt"), "it can end in"),
        (("{run}", "{mixed}", "-o", "{mixed}"), "is an input of this command"),
        (("{run}", "{mixed}", "--report=x.csv"), "--report x.csv: cannot be written"),
        (("{run}", "{mixed}", "--heatmaps={mixed}"), "is a file; name a folder"),
        (("{run}", "{mixed}", "--heatmaps=maps"), "is for pictures"),
        (("{clean}", "--heatmaps=maps"), "is for pictures"),
        (("{run}",), "which rows?"),
        ((), "which data? lambent detect RUN DATA"),
        (("{run}", "nothing.csv"), "nothing.csv"),
        (("nothing", "{mixed}"), "there is"),
        (("{mixed}", "{mixed}"), "is no run, and DATA follows a run"),
        (("{image}", "{mixed}"), ""),
        (("{run}", "{pictures}"), ""),
        (("{mixed}", "--drift"), "lambent detect RUN NEW --drift"),
        (("{clean}", "--validation=0", "--data.test=test"), ""),
        (("{clean}", "--labels=fraud"), "fraud"),
        (("{empty}",), ""),
        (("{run}", "{empty}"), ""),
        (("{run}", "{few_rows}", "--drift"), "too few to tell a change"),
        (("{run}", "{mixed}", "--reference={few_rows}"), "too few to tell which scores are usual"),
        (("{few_rows}",), "cannot be cut"),
        (("{little}",), "6 held-out rows are too few"),
        (("{run}", "{gaps}"), "missing"),
        (("{run}", "{words}"), "c"),
    ],
)  # fmt: skip
def test_what_it_refuses(
    lambent: Run, places: dict[str, Path], arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = lambent("detect", *(word.format(**places) for word in arguments))
    assert done.status in (2, 3, 4), done.out + done.err
    assert words in done.complaint
    assert not list(tmp_path.glob("runs/*"))


@pytest.fixture
def places(run: Path, image_run: Path, pictures: Path, files: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Files, right ones and wrong ones, by name."""
    made = {"empty": "", "few_rows": "a,b,c\n1,2,3\n", "gaps": "a,b,c\n1,,3\n2,1,1\n", "words": "a,b,c\n1,2,x\n1,2,y\n"}
    made["little"] = "a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(30))
    for name, text in made.items():
        (tmp_path / f"{name}.csv").write_text(text)
    own = {name: tmp_path / f"{name}.csv" for name in made}
    return {**files, "run": run, "image": image_run, "pictures": pictures, **own}


def test_one_row_and_rows_far_out(lambent: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,b,c\n1,2,0.5\n")
    done = lambent("detect", run, "one.csv", "--report=page.html")
    assert done.status == 0, done.err
    assert "of 1 row is flagged" in done.out
    assert "the row:" in done.out
    (tmp_path / "far.csv").write_text("a,b,c\n1,2,1e9\n1,2,0.5\n")
    said = json.loads(lambent("detect", run, "far.csv", "--json").out)
    assert said["oddest"][0]["row"] == 0


def test_existing_files_are_not_replaced_unasked(
    lambent: Run, run: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "out.csv").write_text("mine")
    assert "add --force" in lambent("detect", run, files["new"], "-o", "out.csv").complaint
    assert "add --force" in lambent("detect", files["clean"], "--run", run).complaint
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert lambent("detect", run, files["new"], "-o", "out.csv", "--force").status == 0
    assert (tmp_path / "out.csv").read_text() != "mine"


def test_interrupted_training_goes_on_and_is_then_a_detector(
    lambent: Run, process: Callable[..., Any], files: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    flags = ("--run", folder, "-o", "out.csv", "--epochs=100000", "--patience=0", "--contamination=0.1", *QUICK)
    child = process("detect", files["clean"], *flags, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (folder / "history.jsonl").exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    line = err.rstrip().splitlines()[-1]
    assert f"lambent train --resume {folder}" in line
    assert f"then: lambent detect {folder} {files['clean']}" in line
    assert "--out out.csv --contamination 0.1" in line
    assert not (tmp_path / "out.csv").exists()
    config = folder / "config.yaml"
    assert "members: 1" in config.read_text()
    assert lambent("detect", folder, files["clean"]).complaint.endswith(
        f"go on with it: lambent train --resume {folder}"
    )


def test_a_closed_pipe_is_no_fault(process: Callable[..., Any], run: Path, files: dict[str, Path]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = process("detect", run, files["new"], stdout=writer)
    os.close(writer)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 141
    assert "Traceback" not in err


def test_its_help_names_scores_and_parts(lambent: Run) -> None:
    done = lambent("detect", "--score=Evidence", "--latent=Flat", "--help")
    assert done.status == 0
    assert "--score.samples" in done.out
    assert "--latent.size" in done.out
    assert "higher" in done.out


def test_a_run_that_was_stopped_is_finished_by_train_and_asked_by_detect(
    lambent: Run, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "stopped"
    flags = ("--run", folder, "--labels=fraud", "--contamination=0.1", "--epochs=3", *QUICK)
    with monkeypatch.context() as patch:
        patch.setattr("lambent.cli.verbs.carry.conclude", stopped)
        done = lambent("detect", files["whole"], *flags)
    assert done.status == 130
    assert f"lambent train --resume {folder}, then: lambent detect {folder} {files['whole']}" in done.err
    with monkeypatch.context() as patch:
        patch.setattr("lambent.cli.verbs.detection_told.tell", stopped)
        told = lambent("detect", files["whole"], *flags, "--force")
    assert told.status == 130
    assert f"the model is saved, go on with: lambent detect {folder} {files['whole']}" in told.err
    (folder / "report.html").unlink()
    done = lambent("detect", files["whole"], "--run", folder, "--contamination=0.1")
    assert "add --force" in done.complaint
    found = lambent("detect", folder, files["whole"], "--contamination=0.1", "--labels=fraud", "--json")
    assert found.status == 0, found.err
    assert json.loads(found.out)["flagged"] == 43


def test_without_reasons(lambent: Run, run: Path, files: dict[str, Path], tmp_path: Path) -> None:
    said = json.loads(lambent("detect", run, files["mixed"], "--contamination=0.1", "--reasons=0", "--json").out)
    assert said["flagged"] == 13
    assert [row["why"] for row in said["oddest"]] == [""] * 5
    done = lambent("detect", run, files["mixed"], "--contamination=0.1", "--reasons=0", "--report=page.html")
    assert done.status == 0, done.err
    assert "reasons" not in done.err


def test_copies_of_training_rows_do_not_say_what_is_usual(lambent: Run, tmp_path: Path) -> None:
    frame = normal(300, 0)
    pd.concat([frame, frame[:150]]).to_csv(tmp_path / "copied.csv", index=False)
    done = lambent("detect", "copied.csv", "--clean", "--run=copies", "--epochs=2", "--reasons=0", *QUICK)
    assert done.status == 0, done.err
    detection = load(tmp_path / "copies" / "model.safetensors").fitted_.detection
    seen = Fitted.of(load(tmp_path / "copies" / "model.safetensors")).rows(str(tmp_path / "copied.csv"))
    known = np.isin(fingerprints(seen.x).numpy(), detection.known.numpy())
    assert len(detection.held_out) == (~known).sum()
    assert 10 <= len(detection.held_out) < 90
