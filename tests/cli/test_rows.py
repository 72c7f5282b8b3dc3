"""Rows for a verb: what the modality has seen, what is watched, and which data a trained model takes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

from lambent import fitted as store
from lambent.cli.output import write_grid
from lambent.cli.reading.settings import of_rows
from lambent.cli.reading.sources import load_rows, recorded
from lambent.cli.voice import Voice
from lambent.data import split
from lambent.data.splitting import numbers

Run = Callable[..., Any]
Small = tuple[str, ...]


def request(source: str, **changes: Any) -> dict[str, Any]:
    return {name: one.default for name, one in of_rows().items()} | {"source": source} | changes


def test_scale_and_centre_come_from_the_training_rows_alone() -> None:
    x = np.random.default_rng(0).normal(3, 2, (200, 2))
    np.save("x.npy", x)
    rows = load_rows(request("x.npy"), {}, "auto", Voice(quiet=True))
    held = np.sort(np.random.Generator(np.random.PCG64(0)).permutation(200)[:20])
    left = np.delete(x, held, axis=0)
    watched = np.sort(np.random.Generator(np.random.PCG64(0)).permutation(180)[:18])
    kept = np.delete(left, watched, axis=0)
    columns = rows.train.modality.state()["columns"]
    assert [c["centre"] for c in columns] == pytest.approx(kept.mean(0), abs=1e-12)
    assert [c["scale"] for c in columns] == pytest.approx(kept.std(0), abs=1e-12)
    assert np.allclose(rows.train.modality.decode(rows.test.x), x[held], atol=1e-5)
    assert rows.valid is not None
    assert np.allclose(rows.train.modality.decode(rows.valid.x), left[watched], atol=1e-5)
    assert np.allclose(x[numbers(rows.train.source["part"])], kept)
    assert np.allclose(x[numbers(rows.valid.source["part"])], left[watched])
    came = {"request": rows.request, "fit": {"validation": rows.validation}}
    again = recorded(came, rows.train.modality, None)
    assert again.source["sha256"] == rows.test.source["sha256"]
    assert recorded(came, rows.train.modality, "train").source["sha256"] == rows.train.source["sha256"]


def test_held_out_rows_keep_their_numbers_lines_and_labels() -> None:
    values = np.random.default_rng(0).normal(size=40).round(3)
    held = np.sort(np.random.Generator(np.random.PCG64(0)).permutation(40)[:4])
    lines = [f"{value},{'ab'[i % 2]}" for i, value in enumerate(values)]
    Path("t.csv").write_text("n,kind\n" + "\n".join(lines) + "\n")
    rows = load_rows(request("t.csv"), {"label": "kind"}, "auto", Voice(quiet=True))
    assert rows.test.labels is not None
    assert rows.test.labels.tolist() == [i % 2 for i in held]
    for bad in (held[1], next(i for i in range(40) if i not in held)):
        broken = [*lines]
        broken[bad] = "inf,a"  # an empty cell would be a gap
        Path("t.csv").write_text("n,kind\n" + "\n".join(broken) + "\n")
        with pytest.raises(Exception, match=rf"column 'n', row {bad + 1} \(line {bad + 2}\): is infinite"):
            load_rows(request("t.csv"), {"label": "kind"}, "auto", Voice(quiet=True))


def test_a_folder_is_cut_as_its_rows_would_be(pictures: Path) -> None:
    from lambent.data import load, load_parted

    kept, held = load_parted(pictures, 0.1)
    for part, before in zip((kept, held), split(load(pictures), 0.1), strict=True):
        assert part.source["sha256"] == before.source["sha256"]
        assert part.source["part"] == before.source["part"]
        assert part.labels is not None
        assert part.labels.tolist() == before.labels.tolist()


@pytest.mark.parametrize(
    ("flags", "watched", "train"),
    [([], "valid", 30), (["--validation=valid"], "valid", 30), (["--validation=0.5"], 0.5, 15), (["--limit=7"], "valid", 7)],
)  # fmt: skip
def test_validation_on_the_split_that_the_data_have(
    lambent: Run, small: Small, flags: list[str], watched: str | float, train: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.savez("parts.npz", x_train=rows[:30], x_test=rows[30:40], x_valid=rows[40:])
    done = lambent("train", "parts.npz", "--out=r", "--epochs=1", *small, *flags)
    assert done.status == 0, done.err
    came = store.read_header("r/model.safetensors")["provenance"]
    assert came["fit"]["validation"] == watched
    assert came["data"]["rows"] == train
    assert f"{15 if watched == 0.5 else min(10, train)} to validate on" in done.err
    assert lambent("train", "--config=r/config.yaml", "--out=again", "--quiet").status == 0
    first, again = (json.loads(Path(run, "history.jsonl").read_text()) for run in ("r", "again"))
    assert first["validation_elbo"] == again["validation_elbo"]


def test_validation_without_such_a_split_takes_a_share(lambent: Run, small: Small) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.savez("parts.npz", x_train=rows[:40], x_test=rows[40:])
    assert lambent("train", "parts.npz", "--out=r", "--epochs=1", *small).status == 0
    assert store.read_header("r/model.safetensors")["provenance"]["fit"]["validation"] == 0.1
    for flag, status, words in (
        ("--validation=valid", 3, "no split 'valid'"),
        ("--validation=train", 2, "what the model is trained on"),
        ("--validation=test", 2, "what the model is tested on"),
        ("--validation=1.5", 2, "fit.validation must lie in 0 … 0.9"),
    ):
        refused = lambent("train", "parts.npz", "--out=q", flag, *small)
        assert refused.status == status
        assert words in refused.complaint


def test_few_rows_are_told_to_end_with_their_best_weights(lambent: Run, small: Small) -> None:
    """Six columns of noise and forty rows: more epochs than are good. The note says what will happen, the end what did."""
    np.save("x.npy", np.random.default_rng(0).normal(size=(60, 6)))
    arguments = (
        "train",
        "x.npy",
        "--epochs=60",
        "--learning-rate=0.03",
        "--average=0",
        *small,
        "--network.width=64",
        "--batch=2",
    )
    done = lambent(*arguments, "--out=r")
    assert done.status == 0, done.err
    assert "49 rows are few: the weights that are best on the validation rows are kept" in done.err
    history = [json.loads(line) for line in Path("r/history.jsonl").read_text().splitlines()]
    best = min(history, key=lambda row: float(row["validation_loss"]))["epoch"]
    assert len(history) == best + 12
    assert f"kept: the weights of epoch {best}, best on the validation rows, 12 epochs without better ones" in done.err
    assert store.read_header("r/model.safetensors")["provenance"]["kept_epoch"] == best
    quiet = lambent(*arguments, "--out=all", "--patience=0")
    assert "are few" not in quiet.err
    assert "kept:" not in quiet.err
    assert len(Path("all/history.jsonl").read_text().splitlines()) == 60


def test_validation_rows_that_are_trained_on_are_told(lambent: Run, small: Small) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.savez("leaky.npz", x_train=rows[:40], x_valid=rows[35:45], x_test=rows[45:])
    done = lambent("train", "leaky.npz", "--out=r", "--epochs=1", *small)
    assert "5 of 10 validation rows also occur among the training rows" in done.err


@pytest.mark.parametrize(("split_", "watched"), [("train", 0.1), ("train-50k", "valid")])
def test_a_split_inside_the_training_rows_is_not_watched(split_: str, watched: str | float) -> None:
    """MNIST's 'valid' is the end of its 'train': it serves only beside 'train-50k'."""
    from lambent.cli.reading.sources import split_to_validate

    assert split_to_validate(request("mnist", split=split_, test="test"), "auto") == watched


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_folders_of_splits_by_their_usual_names(lambent: Run, small: Small, pictures: Path, name: str) -> None:
    for part, files in (("train", sorted(pictures.rglob("*.png"))[:30]), (name, sorted(pictures.rglob("*.png"))[30:])):
        Path("d", part).mkdir(parents=True)
        for file in files:
            Path("d", part, file.name).write_bytes(file.read_bytes())
    done = lambent("train", "d", "--network=Mlp", "--out=r", "--epochs=1", *small)
    assert done.status == 0, done.err
    assert "27 rows to train on, 10 to validate on, 3 to test on" in done.err


def test_arrays_of_another_shape_are_refused_unless_resizing_is_asked_for(lambent: Run, small: Small) -> None:
    """A model takes pictures as it was trained on: arrays of that shape; files of any size only where those were resized."""
    rng = np.random.default_rng(0)
    shapes = {"own": (30, 8, 6), "other": (9, 9, 9), "colour": (9, 8, 6, 3), "sized": (9, 4, 4)}
    for name, shape in shapes.items():
        np.save(f"{name}.npy", rng.integers(0, 256, shape, dtype=np.uint8))
    Path("files").mkdir()
    for i in range(3):
        Pil.fromarray(rng.integers(0, 256, (7 + i, 9), dtype=np.uint8)).save(f"files/{i}.png")
    arguments = ("train", "own.npy", "--network=Mlp", "--epochs=1", *small)
    assert lambent(*arguments, "--out=plain").status == 0
    assert lambent(*arguments, "--data.size=4,4", "--out=resized").status == 0
    for run, taken, refused in (
        ("plain", ["own"], ["other", "colour", "sized"]),
        ("resized", ["own", "sized"], ["other", "colour"]),
    ):
        for name in taken:
            assert lambent("evaluate", run, f"{name}.npy", "--samples=1").status == 0
        for name in refused:
            for verb in (["evaluate", "--samples=1"], ["embed", "--out=z.csv"]):
                said = lambent(verb[0], run, f"{name}.npy", *verb[1:])
                assert said.status == 3
                assert f"{name}.npy: its images are " in said.complaint
                assert "the model was trained on 1×8×6" in said.complaint
                assert not Path("z.csv").exists()
            assert lambent("evaluate", run, f"{name}.npy", "--samples=1", "--resize").status == 0
    said = lambent("evaluate", "resized", "files", "--samples=1")
    assert said.status == 0
    assert "note: data: resized: 3" in said.err
    assert "--resize" in lambent("evaluate", "plain", "files", "--samples=1").complaint
    assert lambent("evaluate", "plain", "files", "--samples=1", "--resize").status == 0


def test_the_kind_of_data_may_be_named_as_the_question_says(lambent: Run) -> None:
    """Windows of a series are asked about, and both `train` and `data` take the answer."""
    np.save("windows.npy", np.random.default_rng(0).random((40, 24, 3)))
    for verb in (("data", "windows.npy"), ("train", "windows.npy", "--out=r", "--epochs=1", "--precision=fp32")):
        asked = lambent(*verb)
        assert asked.status == 3
        assert "pictures by naming the kind of data" in asked.complaint
        named = lambent(*verb, "--data", "Image")
        assert named.status == 0, named.err
    assert store.read_header("r/model.safetensors")["event"] == [1, 24, 3]


def test_a_sheet_of_deeper_pictures_is_as_bright_as_they_are(tmp_path: Path) -> None:
    """Half of 12 bits is half of 16: as they are, the levels would be nearly black in a file of 16 bits."""
    levels = np.array([[0, 2048], [4094, 4095]], np.uint16)
    write_grid(tmp_path / "a.png", levels[None, None], white=4095)
    shown = np.asarray(Pil.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(shown[2:4, 2:4], np.round(levels * (65535 / 4095)))
    assert shown[0, 0] == 65535


def test_a_size_in_another_form_is_told_which_is_meant(lambent: Run) -> None:
    done = lambent("train", "fashion", "--out=r", "--data.size", "32x32")
    assert done.status == 2
    assert "Image.size takes two whole numbers, such as 64,48 or null" in done.complaint


def test_many_epochs_are_told_in_about_fifty_lines(lambent: Run, small: Small) -> None:
    np.save("x.npy", np.random.default_rng(0).normal(size=(40, 2)))
    for epochs, told in ((5, [1, 2, 3, 4, 5]), (130, [1, *range(2, 131, 2)])):
        done = lambent("train", "x.npy", f"--epochs={epochs}", "--patience=0", f"--out=r{epochs}", *small)
        lines = [line for line in done.err.splitlines() if line.startswith("epoch ")]
        assert [int(line.split()[1].partition("/")[0]) for line in lines] == told
