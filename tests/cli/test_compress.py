"""lambent compress, decompress, info: folders and arrays into archives and back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lambent import Codec
from lambent.errors import ArtifactError, UsageError

Run = Callable[..., Any]
Process = Callable[..., "subprocess.Popen[str]"]
ROUNDED = (
    "--data.crop=32", "--latent=Grid", "--latent.layers=/16x1 /4x1", "--latent.channels=3,4", "--latent.width=6,8",
    "--latent.activation=relu", "--latent.posterior=Uniform", "--latent.prior=Factorized", "--likelihood=Gaussian",
    "--likelihood.scale=fixed", "--likelihood.value=0.1", "--network=ResNet", "--network.channels=5,6", "--network.stem=4",
    "--network.activation=relu", "--epochs=2", "--threads=1", "--samples=2", "--rows=2", "--precision=fp32",
)  # fmt: skip
TINY = ("--network=Mlp", "--network.width=16", "--network.depth=1", "--latent.prior=Standard", "--latent.size=2")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Models that are compressed by are noted in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def scans(count: int, seed: int = 0) -> np.ndarray:
    """Pictures [count, 8, 8] of a slope with noise."""
    rng = np.random.default_rng(seed)
    whole = 100 + 30 * rng.normal(size=(count, 1, 1)) + 5 * np.arange(8) + rng.normal(size=(count, 8, 8))
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty scans, in two folders, with a note beside them."""
    place = tmp_path_factory.mktemp("scans")
    for i, picture in enumerate(scans(60)):
        (place / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(picture).save(place / "ab"[i % 2] / f"{i} ü.png")
    (place / "note.txt").write_text("300 dpi\n")
    return place


@pytest.fixture(scope="session")
def run(lambent: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on many such scans, as an array."""
    place = tmp_path_factory.mktemp("runs")
    np.save(place / "scans.npy", scans(600, 1))
    done = lambent(
        "train", place / "scans.npy", "--out", place / "a run", *TINY, "--epochs=30", "--samples=2", "--rows=20", "--batch=32",
        "--learning-rate=0.005", "--precision=fp32", "--threads=1",
    )  # fmt: skip
    assert done.status == 0, done.err
    return place / "a run"


def same(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files, and pictures the same levels."""
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()) for f in (first, second)]
    if names[0] != names[1]:
        return False
    for name in names[0]:
        if (first / name).read_bytes() != (second / name).read_bytes():
            with Image.open(first / name) as a, Image.open(second / name) as b:
                if not np.array_equal(np.asarray(a), np.asarray(b)):
                    return False
    return True


def test_a_folder_and_back(lambent: Run, run: Path, folder: Path) -> None:
    """Names, folders and levels come back; the rest byte for byte; the model is found where it was used, without a word."""
    made = lambent("compress", run, folder, "-o", "x.lam")
    assert made.status == 0, made.err
    assert "61 files in" in made.out
    assert "of the" in made.out
    assert "1 of 61 files are kept as they are" in made.err
    back = lambent("decompress", "x.lam", "-o", "out")
    assert back.status == 0, back.err
    assert back.out == "out: 61 files\n"
    assert same(folder, Path("out"))
    assert sorted(os.listdir()) == ["out", "x.lam"]


def test_what_is_said_in_json(lambent: Run, run: Path, folder: Path) -> None:
    made = json.loads(lambent("compress", run, folder, "-o", "x.lam", "--with-model", "--json").out)
    shown = json.loads(lambent("info", "x.lam", "--json").out)
    assert made["bytes"] == shown["bytes"] == os.path.getsize("x.lam")
    assert made["coded_items"] == shown["coded_items"] == 60
    assert made["model"] == shown["model"]
    assert 0 < shown["model_inside"] < shown["bytes"]
    told = lambent("info", "x.lam")
    assert "an archive of pictures" in told.out
    assert "61 files" in told.out
    back = json.loads(lambent("decompress", "x.lam", "-o", "out", "--json").out)
    assert back == {"out": "out", "kind": "pictures", "count": 61, "lost": []}


def test_arrays_and_append(lambent: Run, run: Path) -> None:
    """A .npy file is the same file again; what was appended stands behind it."""
    np.save("x.npy", scans(50, 2))
    np.save("y.npy", scans(20, 3))
    assert lambent("compress", run, "x.npy", "-o", "x.lam").status == 0
    assert lambent("decompress", "x.lam", "-o", "again.npy", "--model", run).status == 0
    assert Path("again.npy").read_bytes() == Path("x.npy").read_bytes()
    assert lambent("compress", run, "y.npy", "-o", "x.lam", "--append").status == 0
    assert lambent("decompress", "x.lam", "-o", "again.npy", "--force").status == 0
    assert (np.load("again.npy") == np.concatenate([scans(50, 2), scans(20, 3)])).all()
    refused = lambent("decompress", "x.lam", "-o", "again.npz")
    assert refused.status == 2
    assert "ends in .npy" in refused.complaint


def test_training_first(lambent: Run, folder: Path) -> None:
    """A model is trained on the data and kept for the next; it is told whether, and from how many files on, that pays."""
    made = lambent("compress", folder, "--train", "-o", "x.lam", *TINY, "--epochs=2", "--threads=1")
    assert made.status == 0, made.err
    kept = Path("runs") / folder.name
    assert f"kept for the next: lambent compress {kept} DATA" in made.out
    assert "it pays from" in made.out or "it does not pay here" in made.out
    assert lambent("compress", kept, folder / "a", "-o", "y.lam").status == 0
    assert lambent("decompress", "x.lam", "-o", "out").status == 0
    assert same(folder, Path("out"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["FOLDER", "-o", "x.lam"], 2, "which run, which data?"),
        (["RUN", "FOLDER", "-o", "x.zip"], 2, ".lam"),
        (["RUN", "FOLDER", "-o", "x.lam", "--epochs", "3"], 2, "is trained already, so --epochs can change nothing"),
        (
            ["RUN", "FOLDER", "-o", "x.lam", "--latent.size", "3"],
            2,
            "is trained already, so --latent can change nothing",
        ),
        (["RUN", "FOLDER", "-o", "x.lam", "--train"], 2, "is one too many"),
        (["FOLDER", "-o", "x.lam", "--train", "--append"], 2, "--append needs the model"),
        (["FOLDER", "-o", "x.lam", "--train", "--epochs=2", "--minutes=3"], 2, "both say how long"),
        (
            ["FOLDER", "-o", "x.lam", "--train", "--quality=50"],
            2,
            "--latent.posterior Uniform --latent.prior Factorized",
        ),
        (["RUN", "FOLDER", "-o", "x.lam", "--append"], 2, "no archive to append to"),
        (["nosuch", "FOLDER", "-o", "x.lam"], 4, "no model file at nosuch"),
        (["RUN", "nosuch", "-o", "x.lam"], 3, "nosuch"),
        (["RUN", "FOLDER", "-o", "FOLDER/x.lam"], 2, "lies inside the data"),
        (["RUN", "FOLDER", "-o", "x.lam", "--quality", "50"], 2, "are not made to be rounded"),
    ],
)
def test_L1_L2_what_cannot_be_asked(
    lambent: Run, run: Path, folder: Path, arguments: list[str], status: int, words: str
) -> None:
    """Each ends in one line with what to do, and leaves nothing behind."""
    given = [word.replace("RUN", str(run)).replace("FOLDER", str(folder)) for word in arguments]
    refused = lambent("compress", *given)
    assert refused.status == status
    assert words in refused.complaint
    assert os.listdir() == []


def test_L3_L5_what_exists_is_not_replaced(lambent: Run, run: Path, folder: Path) -> None:
    """An archive, a file or a folder that is there stays as it is without --force; the input is never written over."""
    Path("x.lam").write_text("mine")
    assert lambent("compress", run, folder, "-o", "x.lam").status == 2
    assert lambent("compress", run, "x.lam", "-o", "x.lam", "--force").status == 2
    assert Path("x.lam").read_text() == "mine"
    assert lambent("compress", run, folder, "-o", "x.lam", "--force").status == 0
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    refused = lambent("decompress", "x.lam", "-o", "out")
    assert refused.status == 2
    assert "--force" in refused.complaint
    assert os.listdir("out") == ["mine.txt"]
    assert lambent("decompress", "x.lam", "-o", "out", "--force").status == 0
    assert Path("out/mine.txt").read_text() == "mine"
    assert len(list(Path("out").rglob("*.png"))) == 60


def test_C1_C8_what_is_no_archive_or_anothers(lambent: Run, run: Path, folder: Path, image_run: Path) -> None:
    """Another model, another file, nothing at all: status 4 or 3, in words, and nothing is written."""
    assert lambent("compress", run, folder, "-o", "x.lam").status == 0
    wrong = lambent("decompress", "x.lam", "-o", "out", "--model", image_run)
    assert wrong.status == 4
    assert "was made with the model" in wrong.complaint
    Path("y.lam").write_bytes(b"")
    assert lambent("decompress", "y.lam", "-o", "out").status == 4
    assert lambent("decompress", "z.lam", "-o", "out").status == 3
    assert sorted(os.listdir()) == ["x.lam", "y.lam"]


def test_C2_what_is_intact_of_a_damaged_archive(lambent: Run, run: Path, folder: Path) -> None:
    """Cut short: status 4; with --salvage the intact files, what is lost, and status 4 all the same."""
    for name in ("a", "b"):
        assert lambent(
            "compress", run, folder / name, "-o", "x.lam", *(["--append"] if name == "b" else [])
        ).status in (0, 2)
    data = Path("x.lam").read_bytes()
    Path("cut.lam").write_bytes(data[:-200])
    refused = lambent("decompress", "cut.lam", "-o", "out")
    assert refused.status == 4
    assert not Path("out").exists()
    saved = lambent("decompress", "cut.lam", "-o", "out", "--salvage")
    assert saved.status == 4
    assert "30 files came out intact, into out" in saved.complaint
    assert len(list(Path("out").rglob("*.png"))) >= 30


def test_C21_an_archive_through_a_pipe(lambent: Run, run: Path, folder: Path) -> None:
    """The archive comes in by the standard input, which cannot be gone back in."""
    assert lambent("compress", run, folder, "-o", "x.lam", "--with-model").status == 0
    command = [sys.executable, "-m", "lambent", "decompress", "-", "-o", "out"]
    data = Path("x.lam").read_bytes()
    done = subprocess.run(command, input=data, capture_output=True, check=False, env=surroundings())
    assert done.returncode == 0, done.stderr
    assert same(folder, Path("out"))
    done = subprocess.run([*command, "--salvage"], input=data, capture_output=True, check=False, env=surroundings())
    assert done.returncode == 2
    assert b"--salvage needs the archive as a file" in done.stderr


def surroundings() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def stopped(started: "subprocess.Popen[str]", number: int, begun: Callable[[], bool]) -> int:
    """The status of a process that gets a signal once its work has begun."""
    limit = time.monotonic() + 120
    while started.poll() is None and not begun():
        assert time.monotonic() < limit
        time.sleep(0.002)
    started.send_signal(number)
    started.communicate(timeout=120)
    return started.returncode


def temporary() -> list[str]:
    return [name for name in os.listdir() if ".part" in name]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_L6_L7_stopped_while_compressing(process: Process, run: Path, number: int, status: int) -> None:
    """Ctrl-C or SIGTERM while blocks are written: no archive, no part of one, and the status of the signal."""
    np.save("x.npy", scans(60_000, 2))
    started = process("compress", run, "x.npy", "-o", "x.lam", "--threads=1", "-q")
    assert stopped(started, number, lambda: bool(temporary())) == status
    assert os.listdir() == ["x.npy"]


def test_C17_killed_while_compressing(process: Process, lambent: Run, run: Path, folder: Path) -> None:
    """Killed: no archive stands there, and the next attempt removes what was begun."""
    np.save("x.npy", scans(60_000, 2))
    started = process("compress", run, "x.npy", "-o", "x.lam", "--threads=1", "-q")
    assert stopped(started, signal.SIGKILL, lambda: bool(temporary())) == -signal.SIGKILL
    assert not Path("x.lam").exists()
    assert len(temporary()) == 1
    assert lambent("compress", run, folder, "-o", "x.lam").status == 0
    assert temporary() == []


def test_L6_stopped_while_decompressing(process: Process, lambent: Run, run: Path) -> None:
    """Ctrl-C while files are written: the folder does not appear, and nothing stays of those that were."""
    Path("in").mkdir()
    for i, picture in enumerate(scans(3000, 2)):
        Image.fromarray(picture).save(f"in/{i}.png")
    assert lambent("compress", run, "in", "-o", "x.lam", "--no-verify").status == 0
    started = process("decompress", "x.lam", "-o", "out", "--model", run, "--threads=1", "-q")
    assert stopped(started, signal.SIGINT, lambda: bool(temporary())) == 130
    assert sorted(os.listdir()) == ["in", "x.lam"]


def test_C19_a_block_that_fails_is_told(lambent: Run, run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that did not decode to itself is stored, which a note tells."""
    from lambent.codec.rows import RowCodec

    with monkeypatch.context() as patch:
        patch.setattr(RowCodec, "decode", lambda self, coded: torch.zeros(coded.rows, *self.event, dtype=torch.uint8))
        made = lambent("compress", run, folder, "-o", "x.lam")
    assert made.status == 0
    assert "did not decode to what they were made of" in made.err
    assert lambent("decompress", "x.lam", "-o", "out").status == 0
    assert same(folder, Path("out"))


def test_links_and_what_is_left_out(lambent: Run, run: Path) -> None:
    """Files that links lead to are taken with their content; folders by their own place; the rest of the links is counted."""
    Path("in/z").mkdir(parents=True)
    Path("in/z/note.txt").write_text("hello")
    Path("in/link.txt").symlink_to("z/note.txt")
    Path("in/a").symlink_to("z")  # in the order of names before, and after, the folder itself
    Path("in/zz").symlink_to("z")
    Path("in/nowhere").symlink_to("nosuch")
    made = lambent("compress", run, "in", "-o", "x.lam")
    assert made.status == 0, made.err
    assert "left out: 3 links to nothing or to folders that are taken already" in made.err
    assert lambent("decompress", "x.lam", "-o", "out").status == 0
    assert sorted(str(p) for p in Path("out").rglob("*.txt")) == ["out/link.txt", "out/z/note.txt"]
    assert Path("out/link.txt").read_text() == "hello"


def test_C8_an_archive_in_the_place_of_a_run(lambent: Run, run: Path, folder: Path) -> None:
    """It is said what it is; nor does an archive come out into the standard output."""
    assert lambent("compress", run, folder, "-o", "x.lam").status == 0
    for given in (
        ["compress", "x.lam", folder, "-o", "y.lam"],
        ["decompress", "x.lam", "-o", "out", "--model", "x.lam"],
    ):
        refused = lambent(*given)
        assert refused.status == 4
        assert "x.lam is an archive, not a model" in refused.complaint
    assert "name a folder or a file" in lambent("decompress", "x.lam", "-o", "-").complaint
    assert os.listdir() == ["x.lam"]


def test_what_python_is_given_wrongly(run: Path) -> None:
    """Each is refused by what it is and what may be."""
    codec = Codec(run)
    with pytest.raises(UsageError, match="weight_bits takes a whole number from 1 to 24, not 99"):
        codec.compress(scans(3), "x.lam", weight_bits=99)
    with pytest.raises(UsageError, match="an archive's path, or an open binary file, not a bytes"):
        codec.decompress(b"LAMBENT")  # type: ignore[arg-type]
    codec.compress(scans(3), "x.lam")
    with pytest.raises(ArtifactError, match=r"x\.lam is an archive, not a model"):
        Codec("x.lam")


def test_a_hierarchy_of_maps_codes(lambent: Run, folder: Path) -> None:
    """A Grid of two levels tells pictures in fewer bytes than they have without it, and they come back."""
    np.save("scans.npy", scans(400, 1))
    done = lambent(
        "train", "scans.npy", "--out", "r", "--latent=Grid", "--latent.layers=1x1 /4x1", "--latent.width=8,8", "--network=Conv",
        "--network.channels=8,8", "--epochs=30", "--batch=32", "--learning-rate=0.01", "--samples=2", "--rows=20",
        "--precision=fp32", "--threads=1",
    )  # fmt: skip
    assert done.status == 0, done.err
    made = json.loads(lambent("compress", "r", folder, "-o", "x.lam", "--with-model", "--json").out)
    assert made["coded_items"] == 60
    assert made["bits_per_number"] < 6
    assert lambent("decompress", "x.lam", "-o", "out").status == 0
    assert same(folder, Path("out"))


def test_lossy_by_a_run_of_rounded_codes(lambent: Run) -> None:
    """--quality makes pictures of the same sizes, of fewer bytes where it is lower; without it the run is refused."""
    Path("in").mkdir()
    y, x = np.mgrid[0:72, 0:90] / 9.0
    for i in range(3):
        picture = 127 + 100 * np.sin(y + i)[..., None] * np.cos(x)[..., None] * np.array([1, 0.5, -1])
        Image.fromarray(picture.astype(np.uint8)).save(f"in/{i}.png")
    done = lambent("train", "in", "--out", "r", *ROUNDED)
    assert done.status == 0, done.err
    refused = lambent("compress", "r", "in", "-o", "x.lam")
    assert refused.status == 2
    assert "ask for it with --quality" in refused.complaint
    sizes = {}
    for quality in (30, 70):
        made = lambent("compress", "r", "in", "-o", f"{quality}.lam", "--quality", quality, "--json")
        assert made.status == 0, made.err
        held = json.loads(made.out)
        assert (held["kind"], held["coded_items"]) == ("lossy", 3)
        sizes[quality] = held["payload"]
    assert sizes[30] < sizes[70]
    assert lambent("decompress", "30.lam", "-o", "out").status == 0
    for path in [Path(f"out/{i}.png") for i in range(3)]:
        with Image.open(path) as picture:
            assert picture.size == (90, 72)


def test_one_file_and_a_model_that_nothing_needs(lambent: Run, run: Path) -> None:
    """One is told as one; a model inside that no block needs is told."""
    Path("note.txt").write_text("hello")
    made = lambent("compress", run, "note.txt", "-o", "x.lam", "--with-model")
    assert made.status == 0, made.err
    assert "x.lam: 1 file in" in made.out
    assert "nothing in the archive needs the model inside: without --with-model" in made.err
    assert lambent("decompress", "x.lam", "-o", "out").out == "out: 1 file\n"


def test_a_table_trained_for_its_archive(lambent: Run) -> None:
    """Columns in one order, whole and narrow; lines are counted, the last without an end of line among them."""
    rng = np.random.default_rng(0)
    Path("n.csv").write_text("a,b\n" + "\n".join(f"{i % 3},{rng.normal():.1f}" for i in range(300)))
    made = lambent("compress", "n.csv", "--train", "--with-model", "-o", "x.lam", "--epochs=2", "--threads=1")
    assert made.status == 0, made.err
    assert "x.lam: 301 lines in" in made.out
    config = yaml.safe_load(Path("runs/n/config.yaml").read_text())
    likelihood = config["likelihood"]
    chosen = [likelihood[name] for name in ("type", "agnostic", "dropout", "width", "rank")]
    assert chosen == ["Autoregressive", 0.0, 0.0, 16, 4]
    assert (config["data"]["scale"], config["data"]["hidden"]) == ("ranks", 0.0)
    assert json.loads(lambent("info", "x.lam", "--json").out)["weight_bits"] == 4
    assert "holds                301 lines" in lambent("info", "x.lam").out
    assert lambent("decompress", "x.lam", "-o", "again.csv").out == "again.csv: 1 table\n"
    assert Path("again.csv").read_bytes() == Path("n.csv").read_bytes()
    Path("n.parquet").write_bytes(b"PAR1")
    refused = lambent("compress", "n.parquet", "--train", "-o", "y.lam")
    assert "n.parquet: is no plain text" in refused.complaint
    assert "write it as a CSV file first" in refused.complaint
    refused = lambent("compress", "runs/n", "runs", "-o", "y.lam")
    assert refused.status == 3
    assert "this model is of the rows of a table" in refused.complaint


def test_a_table_comes_back_byte_for_byte(lambent: Run, tmp_path: Path) -> None:
    """A CSV file by a model of its columns: words, numbers with their digits, the ends of lines."""
    rng = np.random.default_rng(0)
    lines = ["kind,size,price"]
    for _ in range(3000):
        kind = rng.choice(["oak", "elm", "fir"])
        size = {"oak": 30, "elm": 20, "fir": 10}[str(kind)] + int(rng.integers(0, 4))
        lines.append(f"{kind},{size},{size * 2.5:.2f}")
    Path("trees.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    done = lambent(
        "train", "trees.csv", "--data.scale=ranks", "--network.width=32", "--network.depth=1", "--latent.size=2", "--epochs=10",
        "--samples=2", "--rows=20", "--precision=fp32", "--threads=1", "--out=r",
    )  # fmt: skip
    assert done.status == 0, done.err
    made = lambent("compress", "r", "trees.csv", "-o", "x.lam", "--with-model")
    assert made.status == 0, made.err
    assert lambent("decompress", "x.lam", "-o", "again.csv").status == 0
    assert Path("again.csv").read_bytes() == Path("trees.csv").read_bytes()
    assert json.loads(lambent("info", "x.lam", "--json").out)["coded_blocks"] == 1
