"""lambent train: what it writes, what it refuses, that it repeats and resumes to the bit (cases L, D, K, G)."""

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from lambent import fitted as store
from lambent.cli.folder import claimed
from lambent.errors import UsageError

Run = Callable[..., Any]
Small = tuple[str, ...]

OF_EVERY_RUN = {
    "config.yaml",
    "model.safetensors",
    "history.jsonl",
    "metrics.json",
    "report.html",
}
OF_PICTURES = {"reconstructions.png", "samples.png", "interpolation.png", "traversals.png"}


def same_weights(a: Path, b: Path) -> bool:
    first, second = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def test_what_a_run_of_a_table_holds(table_run: Path) -> None:
    assert set(os.listdir(table_run)) == OF_EVERY_RUN
    assert len((table_run / "history.jsonl").read_text().splitlines()) == 2
    metrics = json.loads((table_run / "metrics.json").read_text())
    assert {"elbo", "bound", "kl", "reconstruction", "active_units"} <= metrics["metrics"].keys()
    assert all({"value", "unit", "standard_error", "meaning"} <= m.keys() for m in metrics["metrics"].values())
    page = (table_run / "report.html").read_text()
    assert "Reconstructions" in page
    assert "Not collapsed" in page or "ollapse" in page


def test_what_a_run_of_pictures_holds(image_run: Path) -> None:
    assert set(os.listdir(image_run)) == OF_EVERY_RUN | OF_PICTURES
    assert (image_run / "report.html").read_text().count("data:image/png") >= 4


def test_the_model_file_says_where_it_came_from(table_run: Path) -> None:
    came = store.load(table_run / "model.safetensors").provenance
    known = {
        "name",
        "command",
        "created",
        "data",
        "request",
        "objective",
        "fit",
        "parameters",
        "seconds",
        "history",
        "skipped",
    }
    assert known <= came.keys()
    assert came["name"] == "table"
    assert came["command"].startswith("lambent train ")
    assert came["data"]["rows"] == 49  # of 60: six to test on, of the rest five to validate on
    assert came["test"]["rows"] == 6
    assert came["objective"]["type"] == "Elbo"
    assert len(came["history"]["loss"]) == came["fit"]["epochs"] == 2


def test_every_field_is_written_down(table_run: Path) -> None:
    from lambent.cli.reading.strict import read

    tree = read(table_run / "config.yaml")
    assert list(tree) == ["lambent", "data", "latent", "likelihood", "network", "objective", "model", "fit", "evaluate"]
    assert tree["data"]["label"] == "kind"
    assert tree["data"]["test"] == 0.1
    assert tree["latent"]["posterior"] == {"type": "Diagonal"}
    assert tree["likelihood"] == {"type": "StudentT", "scale": "predicted", "value": 1.0, "floor": 0.001}
    assert tree["fit"]["precision"] == "fp32"
    assert tree["fit"]["validation"] == 0.1


@pytest.mark.parametrize("which", ["table_run", "image_run"])
def test_round_trip_to_the_bit(lambent: Run, request: pytest.FixtureRequest, which: str) -> None:
    """YAML → run → its config.yaml → the same bits."""
    first: Path = request.getfixturevalue(which)
    done = lambent("train", "--config", first / "config.yaml", "--out", "again", "--quiet")
    assert done.status == 0
    assert (done.out, done.err) == ("", "")
    assert same_weights(first, Path("again"))
    for name in ("config.yaml", "metrics.json", *(OF_PICTURES if which == "image_run" else ())):
        assert (first / name).read_bytes() == (Path("again") / name).read_bytes(), name


def test_flags_are_stronger_than_the_file(lambent: Run, table_run: Path) -> None:
    done = lambent("train", "--config", table_run / "config.yaml", "--out", "other", "--epochs", "1", "--latent.size=3")
    assert done.status == 0
    assert json.loads(lambent("info", "other", "--json").out)["model"]["latent"]["size"] == 3
    assert len(Path("other/history.jsonl").read_text().splitlines()) == 1


def test_json_alone_on_the_output(lambent: Run, table: Path, small: Small) -> None:
    done = lambent("train", table, "--data.label=kind", "--epochs=1", "--out=r", "--json", *small)
    said = json.loads(done.out)
    assert said["run"] == "r"
    assert set(said["files"]) == OF_EVERY_RUN
    assert said["metrics"]["elbo"]["unit"] == "nats per row"


def test_a_run_without_a_folder_gets_one(lambent: Run, table: Path, small: Small) -> None:
    for folder in ("runs/table", "runs/table-2"):
        assert lambent("train", table, "--data.drop=kind", "--epochs=1", *small).status == 0
        assert Path(folder, "report.html").exists()
    assert lambent("train", table, "--data.drop=kind", "--epochs=1", "--name", "mine", *small).status == 0
    assert store.read_header("runs/mine/model.safetensors")["provenance"]["name"] == "mine"


def test_L3_output_exists(lambent: Run, table: Path, small: Small) -> None:
    """A folder that holds a run is left as it is to the byte, unless --force is given and the new run starts."""
    arguments = ("train", table, "--data.label=kind", "--epochs=1", "--out=r", *small)
    assert lambent(*arguments).status == 0
    Path("r/mine.txt").write_text("not the run's")
    before = {p.name: p.read_bytes() for p in Path("r").iterdir()}
    refused = lambent(*arguments)
    assert refused.status == 2
    assert "add --force" in refused.complaint
    assert {p.name: p.read_bytes() for p in Path("r").iterdir()} == before
    # a forced run that fails before it starts takes nothing away
    assert lambent(*arguments, "--force", "--likelihood=Bernoulli").status == 3
    assert lambent(*arguments, "--force", "--clip=-1").status == 2
    assert {p.name: p.read_bytes() for p in Path("r").iterdir()} == before
    assert lambent(*arguments, "--force", "--seed=1").status == 0
    assert Path("r/mine.txt").exists()
    assert Path("r/model.safetensors").read_bytes() != before["model.safetensors"]


def test_L4_output_not_writable(lambent: Run, table: Path) -> None:
    """A run folder that cannot be made is refused by its name before any data are read."""
    for out, status in (("/proc/nosuch/run", 5), (table, 2), (table / "run", 5)):
        refused = lambent("train", "no-such-data.csv", "--out", out)
        assert refused.status == status
        assert str(out) in refused.complaint
    assert os.listdir() == []


def test_L4_a_file_system_that_takes_no_writes(lambent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system mounted for reading only, status 5 comes before any data are read."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    refused = lambent("train", "no-such-data.csv", "--out=r")
    assert refused.status == 5
    assert "r: cannot be written to (Read-only file system)" in refused.complaint


def test_L5_output_inside_the_data(lambent: Run, pictures: Path) -> None:
    """A run folder inside the folder of the data is refused: the next run would read its pictures."""
    before = sorted(p.name for p in pictures.rglob("*"))
    for out in (pictures, pictures / "left", pictures / "new" / "run"):
        refused = lambent("train", pictures, "--out", out)
        assert refused.status == 2
        assert "inside the data" in refused.complaint
    assert sorted(p.name for p in pictures.rglob("*")) == before


def test_L6_L7_K13_stopped_and_resumed_to_the_bit(
    lambent: Run, process: Callable[..., subprocess.Popen[str]], table: Path, small: Small
) -> None:
    """Ctrl-C, then SIGTERM: each ends with its status and one line, and the resumed run ends in the bits of a whole one."""
    settings = [table, "--data.label=kind", "--epochs=200", "--latent.size=2", *small]
    assert lambent("train", *settings, "--out=whole", "--quiet").status == 0
    started = process("train", *settings, "--out=cut", "--quiet")
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = epochs_of("cut")
        until(lambda before=before: epochs_of("cut") > before, started)  # type: ignore[misc]
        started.send_signal(number)
        out, err = started.communicate(timeout=60)
        assert started.returncode == status, err
        assert out == ""
        assert err.startswith("lambent: stopped by ")
        assert err.endswith("go on with: lambent train --resume cut\n")
        assert err.count("\n") == 1
        assert {"config.yaml", "checkpoint.safetensors", "history.jsonl"} == set(os.listdir("cut"))
        assert "not finished" in lambent("evaluate", "cut").complaint
        assert "lambent train --resume cut" in lambent("train", table, "--out", "cut").complaint
        started = process("train", "--resume", "cut", "--quiet")
    out, err = started.communicate(timeout=120)
    assert (started.returncode, out, err) == (0, "", "")
    assert same_weights(Path("whole"), Path("cut"))
    assert Path("whole/metrics.json").read_bytes() == Path("cut/metrics.json").read_bytes()
    assert Path("whole/config.yaml").read_bytes() == Path("cut/config.yaml").read_bytes()


def epochs_of(folder: str) -> int:
    try:
        return len(Path(folder, "history.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


def until(condition: Callable[[], bool], started: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_finished_run_is_not_gone_on_with(lambent: Run, table: Path, small: Small) -> None:
    """Status 2 and the way to train for longer, whether its checkpoint was kept or not; not a byte is changed."""
    for kept in ([], ["--keep-checkpoint"]):
        arguments = ["train", table, "--data.label=kind", "--epochs=1", "--out=r", "--force", *kept, *small]
        assert lambent(*arguments).status == 0
        assert set(os.listdir("r")) == OF_EVERY_RUN | ({"checkpoint.safetensors"} if kept else set())
        before = {p.name: p.read_bytes() for p in Path("r").iterdir()}
        refused = lambent("train", "--resume", "r")
        assert refused.status == 2
        assert "r: the run is finished" in refused.complaint
        way = "lambent train --config r/config.yaml --epochs N --out ANOTHER-FOLDER"
        assert refused.complaint.endswith(way)
        assert {p.name: p.read_bytes() for p in Path("r").iterdir()} == before
    assert lambent(*way.replace("N ", "2 ").split()[1:]).status == 0
    assert len(Path("ANOTHER-FOLDER/history.jsonl").read_text().splitlines()) == 2


def test_a_run_interrupted_after_training_is_finished_by_resuming(
    lambent: Run, table: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model and checkpoint are there; resumed, the model stays as it is, the rest is written, and the checkpoint goes."""
    from lambent.cli.verbs import carry

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    arguments = ["train", table, "--data.label=kind", "--epochs=1", *small]
    for kept in ([], ["--keep-checkpoint"]):
        with monkeypatch.context() as patch:
            patch.setattr(carry, "write_report", interrupt)
            cut = lambent(*arguments, "--out=r", "--force", *kept)
        assert cut.status == 130
        way = " ".join(["lambent train --resume r", *kept])
        assert cut.err.endswith(f"the model is saved, go on with: {way}\n")
        assert set(os.listdir("r")) == OF_EVERY_RUN - {"report.html"} | {"checkpoint.safetensors"}
        weights = load_file("r/model.safetensors")
        assert lambent(*way.split()[1:], "--quiet").status == 0
        again = load_file("r/model.safetensors")
        assert all(np.array_equal(weights[name], again[name]) for name in weights)
        assert set(os.listdir("r")) == OF_EVERY_RUN | ({"checkpoint.safetensors"} if kept else set())


@pytest.mark.parametrize(
    "extra", [["--epochs=3"], ["x.csv"], ["--out=q"], ["--latent.size=3"], ["--config=c.yaml"], ["--seed=0"]]
)
def test_G10_a_resumed_run_has_its_settings(lambent: Run, table_run: Path, extra: list[str]) -> None:
    """Settings beside --resume are refused by their names, for the run has its own."""
    refused = lambent("train", "--resume", table_run, *extra)
    assert refused.status == 2
    assert "leave out" in refused.complaint


def test_K16_other_data_are_not_resumed(lambent: Run, table: Path, small: Small) -> None:
    """A run whose data have changed is not resumed."""
    own = Path("own.csv")
    own.write_bytes(table.read_bytes())
    assert lambent("train", own, "--data.label=kind", "--epochs=1", "--keep-checkpoint", "--out=r", *small).status == 0
    Path("r/report.html").unlink()  # as if it had been interrupted after training
    own.write_text(own.read_text().replace("0.", "1."))
    refused = lambent("train", "--resume", "r", "--quiet")
    assert refused.status == 4
    assert "data:" in refused.complaint


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_K1_a_cut_checkpoint_is_refused(lambent: Run, table: Path, small: Small, keep: int) -> None:
    """A checkpoint cut short anywhere is refused by its name."""
    assert (
        lambent("train", table, "--data.label=kind", "--epochs=1", "--keep-checkpoint", "--out=r", *small).status == 0
    )
    for name in ("model.safetensors", "report.html"):
        Path("r", name).unlink()
    whole = Path("r/checkpoint.safetensors").read_bytes()
    Path("r/checkpoint.safetensors").write_bytes(whole[:keep])
    refused = lambent("train", "--resume", "r", "--quiet")
    assert refused.status == 4
    assert "checkpoint.safetensors" in refused.complaint


def test_nothing_to_resume(lambent: Run) -> None:
    refused = lambent("train", "--resume", "nosuch")
    assert refused.status == 4
    assert "config.yaml" in refused.complaint


def test_L10_odd_names(lambent: Run, table: Path, small: Small) -> None:
    """Names with spaces, line breaks, any script, a leading dash and up to 255 bytes serve; one byte more is refused."""
    data = Path("-odd näme\n.csv")
    data.write_bytes(table.read_bytes())
    for out in ("with space", "line\nbreak", "ü/名", "-dash", "x" * 255):
        done = lambent("train", f"--out={out}", "--epochs=1", *small, "--data.label=kind", "--quiet", "--", data)
        assert done.status == 0, done.err
        assert lambent("train", f"--config={out}/config.yaml", "--out=again", "--force", "--quiet").status == 0
    for name in ("x" * 251 + ".csv", "-z.csv", "a\nb c.csv", "名" * 83 + ".npz"):
        assert lambent("sample", "with space", "--n=3", f"--out={name}", "--quiet").status == 0
        assert Path(name).exists()
        again = lambent("evaluate", "with space", "--samples=1", "--quiet", "--", name)
        assert again.status == 0 if name.endswith("csv") else again.status == 3
    refused = lambent("train", table, "--data.label=kind", "--out", "x" * 256)
    assert refused.status == 5
    assert "too long" in refused.complaint


def test_L15_two_runs_in_one_folder(lambent: Run, table: Path) -> None:
    """A second run into a folder that another process writes to is refused with that process's number."""
    with claimed(Path("r")):
        refused = lambent("train", table, "--data.label=kind", "--out", "r")
        assert refused.status == 2
        assert f"process {os.getpid()}" in refused.complaint
        with pytest.raises(UsageError, match="another run"), claimed(Path("r")):
            pass
    assert os.listdir() == []  # an empty folder is taken away again


def test_the_verdict_is_said_at_the_end(lambent: Run, small: Small) -> None:
    generator = np.random.default_rng(0)
    np.savetxt("noise.csv", generator.normal(size=(200, 3)), delimiter=",", header="a,b,c", comments="")
    wild = (
        "train",
        "noise.csv",
        "--learning-rate=10",
        "--likelihood.scale=each",
        "--latent.prior=Standard",
        "--epochs=6",
        "--out=wild",
        *small,
    )
    done = lambent(*wild)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert any(line.startswith("Verdict: Not trained") for line in lines)
    (why,) = [line for line in lines if line.startswith("  ! Not trained: ")]
    assert "A learning rate of 10 is too high. Lower it: --learning-rate 0.001." in why
    assert "collapsed" not in done.out.lower()
    told = json.loads(lambent(*wild, "--force", "--json").out)
    assert told["summary"].startswith("Not trained")
    assert told["remarks"][0]["title"] == "Not trained"
