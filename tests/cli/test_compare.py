"""lambent compare: small models side by side, gone on with after a kill, measured, told; refusals before anything is trained."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lambent as package
from lambent.cli.verbs import affording
from lambent.cli.voice import Voice
from lambent.errors import InterruptedRun, UsageError
from lambent.fitted import read_header

Run = Callable[..., Any]
TINY = (
    "--network=Mlp", "--network.width=8", "--network.depth=1", "--latent.size=2", "--precision=fp32", "--batch=16", "--threads=1",
    "--samples=24", "--data.test=0.5",
)  # fmt: skip


@pytest.fixture(scope="module")
def plenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 pictures of 8 × 8 of three classes, by the half that is light."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    pictures = rng.integers(0, 60, (120, 8, 8), dtype=np.uint8)
    for row, label in enumerate(labels):
        pictures[row, :, 2 * label : 2 * label + 4] += 150
    path = tmp_path_factory.mktemp("rows") / "plenty.npz"
    np.savez(path, x=pictures, y=labels)
    return path


@pytest.fixture(scope="module")
def done(lambent: Run, plenty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder and a VAE of two seeds, once more without the class 2."""
    folder = tmp_path_factory.mktemp("compared") / "two models"
    told = lambent(
        "compare",
        plenty,
        "--models=autoencoder,vae",
        "--epochs=2",
        "--seeds=2",
        "--parallel=2",
        "--odd=2",
        *TINY,
        "--out",
        folder,
    )
    assert told.status == 0, told.err
    assert "For this data, use " in told.out
    return folder


def test_every_model_is_a_run_of_its_own_and_all_are_measured(done: Path) -> None:
    found = json.loads((done / "compare.json").read_text("utf-8"))
    assert [model["name"] for model in found["models"]] == ["autoencoder", "vae"]
    for model in found["models"]:
        assert list(model["runs"].values()) == [f"{model['name']}-0", f"{model['name']}-1"]
        for run in model["runs"].values():
            assert (done / run / "report.html").is_file()
        assert 0 <= model["numbers"]["probe"]["value"] <= 1
        assert model["numbers"]["frechet"]["value"] > 0
        assert 0 <= model["numbers"]["auroc"]["value"] <= 1
        assert model["numbers"]["epochs"]["value"] == 2
    autoencoder, vae = found["models"]
    assert autoencoder["numbers"]["bound"] == {"value": None, "why": "its Point posterior has no density"}
    assert vae["numbers"]["bound"]["value"] < 0
    assert set(found["beside"]) == {"holdout", "copies"}
    # copies of the training pictures are nearer to them than anything that was drawn
    assert found["beside"]["copies"]["frechet"]["value"] < vae["numbers"]["frechet"]["value"]


def test_they_have_the_same_rows_networks_and_budget(done: Path) -> None:
    headers = [read_header(done / run / "model.safetensors") for run in ("autoencoder-0", "vae-0", "vae-1")]
    first = headers[0]
    for header in headers[1:]:
        assert header["provenance"]["data"]["sha256"] == first["provenance"]["data"]["sha256"]
        assert header["model"]["network"] == first["model"]["network"]
        assert header["model"]["likelihood"] == first["model"]["likelihood"]
        assert len(header["provenance"]["history"]["epoch"]) == 2
    assert [header["provenance"]["fit"]["seed"] for header in headers] == [0, 0, 1]
    assert headers[0]["model"]["latent"]["posterior"] == {"type": "Point"}
    assert headers[1]["model"]["latent"]["prior"] == {"type": "Standard"}


def test_the_class_that_is_left_out_was_not_trained_on(done: Path) -> None:
    with np.load(done / "without.npz") as arrays:
        assert set(arrays["train_labels"].tolist()) == {0, 1}
        assert set(arrays["test_labels"].tolist()) == {0, 1}  # 1: of the class
        assert arrays["test_labels"].sum() == 20
    header = read_header(done / "vae-without" / "model.safetensors")
    assert header["provenance"]["data"]["path"].endswith("without.npz")


def test_the_page_shows_the_verdict_the_three_rows_and_the_pictures(done: Path) -> None:
    page = (done / "compare.html").read_text("utf-8")
    for words in ("For this data, use …", "Training method", "Sharpness", "Samples side by side", "The same rows"):
        assert words in page


def test_what_is_finished_is_measured_again_and_not_trained(done: Path, lambent: Run) -> None:
    before = (done / "vae-0" / "model.safetensors").stat().st_mtime_ns
    first = json.loads((done / "compare.json").read_text("utf-8"))
    told = lambent("compare", "--resume", done, "--json")
    assert told.status == 0, told.err
    assert "6 of 6 trainings are done already" in told.err
    assert (done / "vae-0" / "model.safetensors").stat().st_mtime_ns == before
    again = json.loads(told.out)
    for old, new in zip(first["models"], again["models"], strict=True):
        numbers = [{k: v for k, v in model["numbers"].items() if k != "sampling"} for model in (old, new)]
        assert numbers[0] == numbers[1]


def test_a_comparison_that_is_killed_goes_on(plenty: Path, tmp_path: Path, process: Run, lambent: Run) -> None:
    folder = tmp_path / "killed"
    child = process("compare", plenty, "--models=vae", "--epochs=400", "--seeds=1", *TINY, "--out", folder)
    while child.poll() is None and not (folder / "vae-0" / "checkpoint.safetensors").exists():
        time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    said = child.communicate()[1]
    assert child.returncode == 143, said
    assert f"go on with: lambent compare --resume {folder}" in said
    reached = json.loads((folder / "vae-0" / "history.jsonl").read_text().splitlines()[-1])["epoch"]
    assert 0 < reached < 400
    told = lambent("compare", "--resume", folder)
    assert told.status == 0, told.err
    steps = [json.loads(line)["epoch"] for line in (folder / "vae-0" / "history.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 401))


def test_a_recipe_and_what_cannot_be_trained_on_these_rows(plenty: Path, tmp_path: Path, lambent: Run) -> None:
    """A part that cannot go with another: the others are compared all the same, and the numbers say why."""
    (tmp_path / "wide.yaml").write_text("latent: {size: 3}\nobjective: {type: Elbo, beta: 2.0}\nfit: {epochs: 99}\n")
    (tmp_path / "sphere.yaml").write_text("latent: {posterior: MisesFisher}\nobjective: BetaTc\n")
    told = lambent("compare", plenty, "--models=wide.yaml,sphere.yaml", "--epochs=1", "--seeds=1", *TINY, "--out", "d")
    assert told.status == 0, told.err
    assert "sphere cannot be trained on these data: " in told.err
    found = json.loads(Path("d/compare.json").read_text("utf-8"))
    assert {model["name"]: bool(model["failed"]) for model in found["models"]} == {"wide": False, "sphere": True}
    header = read_header(Path("d/wide-0/model.safetensors"))
    assert header["model"]["latent"]["size"] == 3  # a recipe keeps what it says
    assert header["model"]["network"]["width"] == 8  # where it says nothing, the flags hold
    assert header["provenance"]["objective"]["beta"] == 2.0
    assert len(header["provenance"]["history"]["epoch"]) == 1  # the budget holds for all


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--out=d",), "which data?"),
        (("DATA",), "where to? A comparison is a folder of runs with a report: lambent compare DATA --out DIR"),
        (("DATA", "--out=d", "--epochs=1", "--minutes=1"), "--epochs and --minutes both say how long to train"),
        (("DATA", "--out=d", "--objective=Elbo"), "--objective: each model of a comparison brings its own"),
        (("DATA", "--out=d", "--models=vea"), "no model is called 'vea'; did you mean 'vae'?"),
        (("DATA", "--out=d", "--models=vae,vae"), "vae is there twice"),
        (("DATA", "--out=d", "--odd=7"), "--odd 7: no label of the test rows"),
        (("DATA", "--out=d", "--network.widht=7"), "no Network has a field 'widht'"),
        (("--resume=d",), "holds no compare.yaml; begin with lambent compare DATA --out d"),
    ],
)  # fmt: skip
def test_refusals_before_anything_is_trained(
    arguments: tuple[str, ...], complaint: str, plenty: Path, lambent: Run
) -> None:
    told = lambent("compare", *(plenty if word == "DATA" else word for word in arguments))
    assert told.status in (2, 4)
    assert complaint in told.complaint
    assert not Path("d").exists()


def test_pictures_too_few_to_be_compared_with_are_not_trained_on(tmp_path: Path, lambent: Run) -> None:
    np.save(tmp_path / "few.npy", np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8))
    told = lambent("compare", tmp_path / "few.npy", "--models=vae", "--epochs=1", *TINY, "--out", tmp_path / "d")
    assert told.status == 3
    assert "training pictures are too few to be compared with; 20 at least" in told.complaint
    assert not list((tmp_path / "d").glob("vae-*"))


@pytest.mark.parametrize(
    ("name", "content"), [("metrics.json", "{"), ("metrics.json", None), ("model.safetensors", "{")]
)
def test_a_damaged_run_is_named_with_the_way_out(
    done: Path, tmp_path: Path, lambent: Run, name: str, content: str | None
) -> None:
    folder = tmp_path / "d"
    shutil.copytree(done, folder)
    path = folder / "vae-1" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    told = lambent("compare", "--resume", folder)
    assert told.status == 4
    assert (
        f"delete the folder {folder / 'vae-1'}, and train that model again: lambent compare --resume" in told.complaint
    )


def test_labels_that_the_encoder_is_told_are_not_probed(plenty: Path, tmp_path: Path, lambent: Run) -> None:
    told = lambent(
        "compare",
        plenty,
        "--models=vae",
        "--condition=label",
        "--epochs=1",
        "--seeds=1",
        *TINY,
        "--out",
        tmp_path / "d",
    )
    assert told.status == 0, told.err
    probe = json.loads((tmp_path / "d" / "compare.json").read_text("utf-8"))["models"][0]["numbers"]["probe"]
    assert probe == {"value": None, "why": "the encoder is told the labels, as a condition"}


def test_a_comparison_is_not_written_over(done: Path, plenty: Path, lambent: Run) -> None:
    told = lambent("compare", plenty, "--epochs=1", "--out", done)
    assert told.status == 2
    assert f"holds compare.yaml already; go on with it (lambent compare --resume '{done}')" in told.complaint
    told = lambent("compare", "--resume", done, "--epochs=3", "--latent.size=3")
    assert "leave out --latent, --epochs, or begin another comparison" in told.complaint


def test_the_face_in_python_takes_arrays(tmp_path: Path, plenty: Path) -> None:
    with np.load(plenty) as arrays:
        x, y = arrays["x"], arrays["y"]
    tiny = {"network": {"type": "Mlp", "width": 8}, "latent": {"size": 2}, "fit": {"batch": 16}, "data": {"test": 0.5}}
    found = package.compare(
        x, tmp_path / "d", y, models={"mine": {"objective": {"type": "Elbo", "beta": 0.5}}}, epochs=1, seeds=1, samples=24,
        settings=tiny,
    )  # fmt: skip
    assert [entry.name for entry in found.entries] == ["mine"]
    number = found["mine"].numbers["probe"]
    assert number.known
    assert found.facts["Budget"] == "1 epoch each"
    with pytest.raises(UsageError, match=r"holds compare\.yaml already"):
        package.compare(x, tmp_path / "d", y, epochs=1)
    with pytest.raises(UsageError, match="a path or a data set brings its own"):
        package.compare(str(plenty), tmp_path / "e", y)


def test_minutes_become_epochs_by_the_pace_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 steps of 0.02 s and 200 rows of validation at a third of their time: 2.013 s an epoch, so that 29 fit."""
    seen: list[int] = []

    def trial(spec: Any, objective: Any, rows: Any, settings: Any, batches: int) -> tuple[float, float]:
        seen.append(batches)
        return 0.02, 0.02 * 7 * batches

    monkeypatch.setattr(affording, "_trial", trial)
    rows: Any = SimpleNamespace(train=range(10_000), valid=range(200))
    assert affording.affordable({}, {}, rows, {"batch": 100}, 1.0, Voice(quiet=True)) == 29
    assert seen == [4, 32]  # the first took less than the three seconds that are believed
    assert affording.affordable({}, {}, rows, {"batch": 100}, 0.01, Voice(quiet=True)) == 1


def test_train_takes_minutes_and_writes_the_epochs_down(
    pictures: Path, lambent: Run, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affording, "_trial", lambda *given: (0.1, 10.0))
    told = lambent("train", pictures, "--network=Mlp", "--minutes=0.011", *small, "--out=d", "--validation=0")
    assert told.status == 0, told.err
    assert "--minutes 0.011: 3 epochs" in told.err  # of two steps each
    assert read_header(Path("d/model.safetensors"))["provenance"]["fit"]["epochs"] == 3
    told = lambent("train", pictures, "--minutes=1", "--epochs=1", "--out=e")
    assert "--epochs and --minutes both say how long to train" in told.complaint


def test_a_training_that_fails_says_why_and_the_others_go_on(done: Path, tmp_path: Path) -> None:
    from lambent.cli.verbs.trainings import Trained, Trainings

    bad = Trained("bad", 0, tmp_path / "missing.yaml", tmp_path / "bad-0")
    fine = Trained("vae", 0, done / "recipes" / "vae.yaml", done / "vae-0")
    told = Trainings([bad, fine], 1, [], Voice(quiet=True), "…").carry_out()
    assert list(told) == ["bad"]
    assert "missing.yaml" in told["bad"][0]


def test_stopping_waits_for_what_is_running(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lambent.cli.verbs import trainings

    one = trainings.Trained("vae", 0, done / "recipes" / "vae.yaml", tmp_path / "vae-0")
    every = trainings.Trainings([one], 1, [], Voice(quiet=True), "lambent compare --resume d")
    started: list[subprocess.Popen[bytes]] = []

    def stop(self: trainings.Trainings, *given: object) -> None:
        started.extend(self.running.values())
        raise KeyboardInterrupt

    monkeypatch.setattr(trainings.Trainings, "_tell", stop)
    with pytest.raises(InterruptedRun, match="go on with: lambent compare --resume d"):
        every.carry_out()
    assert [child.returncode is not None for child in started] == [True]
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)


def test_a_table_is_compared_by_what_it_has(table: Path, lambent: Run) -> None:
    """No pictures, so no samples to look at: bounds, a probe of the labels, times."""
    told = lambent(
        "compare",
        table,
        "--data.label=kind",
        "--models=autoencoder,vae",
        "--epochs=1",
        "--seeds=1",
        *TINY,
        "--out",
        "d",
    )
    assert told.status == 0, told.err
    found = json.loads(Path("d/compare.json").read_text("utf-8"))
    for model in found["models"]:
        assert "frechet" not in model["numbers"]
        assert 0 <= model["numbers"]["probe"]["value"] <= 1
    assert found["beside"] == {}
    assert "Samples side by side" not in Path("d/compare.html").read_text("utf-8")
