"""Sounds through the verbs: from a folder to a run, to WAV files, to another speaker, to a report that plays."""

import base64
import json
import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambent.data.writers.wav import sixteen_bits

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
Run = Callable[..., Any]
PATTERN = ("--data.pattern", "{label}_{speaker}_{take}")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty-eight tones, {pitch}_{speaker}_{take}.wav."""
    folder = tmp_path_factory.mktemp("spoken")
    rng = np.random.default_rng(0)
    time = np.arange(1_000) / 8_000
    for pitch in (300, 600):
        for number, speaker in enumerate(("anna", "bert")):
            for take in range(12):
                tone = np.sin(2 * np.pi * pitch * (1 + number) * time + rng.uniform(0, 6)) * np.hanning(1_000)
                (folder / f"{pitch}_{speaker}_{take}.wav").write_bytes(sixteen_bits(0.4 * tone[None], 8_000))
    return folder


@pytest.fixture(scope="module")
def run(lambent: Run, spoken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under the speaker."""
    folder = tmp_path_factory.mktemp("runs") / "spoken"
    how = ("--condition", "speaker", "--epochs", 2, "--latent.size", 2, "--samples", 2, "--rows", 20, "--batch", 16)
    network = ("--network.channels", "8,8", "--network.width", "16", "--data.bands", "32", "--data.test", "0.25")
    done = lambent("train", spoken, *PATTERN, *how, *network, "--out", folder)
    assert done.status == 0, done.err
    assert f"lambent sample {folder} --given speaker=anna --out samples/" in done.out
    return folder


def sound(path: Path) -> tuple[int, int]:
    """(samples, Hz) of a WAV file."""
    with wave.open(str(path)) as file:
        return file.getnframes(), file.getframerate()


def test_data_tells_what_is_there(lambent: Run, spoken: Path) -> None:
    done = lambent("data", spoken, *PATTERN, "--json")
    told = json.loads(done.out)
    assert (told["kind"], told["rows"], told["labels"]) == ("Audio", 48, {"300": 24, "600": 24})
    assert told["sounds"] == {"seconds": 6.0, "least": 0.125, "most": 0.125, "rates": [8000], "channels": [1]}
    assert "6 s in all, 0.125 to 0.125 s each; 8,000 Hz, 1 channel" in lambent("data", spoken, *PATTERN).out


def test_what_is_made_is_written_as_sound(lambent: Run, run: Path, spoken: Path, tmp_path: Path) -> None:
    done = lambent("sample", run, "-n", 3, "--given", "speaker=bert", "--out", "new/")
    assert done.status == 0, done.err
    assert "new: 3 sounds" in done.out
    assert [sound(path) for path in sorted((tmp_path / "new").iterdir())] == [(1024, 8000)] * 3
    assert lambent("reconstruct", run, spoken, "--limit", 2, "--out", "again/").status == 0
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["300_anna_0.wav", "300_anna_1.wav"]
    assert lambent("interpolate", run, spoken, "--from", 0, "--to", 30, "--steps", 4, "--out", "m.wav").status == 0
    assert sound(tmp_path / "m.wav") == (4 * 1024 + 3 * 2000, 8000)
    assert lambent("sample", run, "-n", 3, "--given", "speaker=bert", "--out", "sheet.png").status == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert lambent("sample", run, "-n", 3, "--given", "speaker=bert", "--out", "waves.npz").status == 0
    with np.load(tmp_path / "waves.npz") as arrays:
        assert arrays["sound"].shape == (3, 1, 1024)
        assert arrays["rate"].tolist() == [8000] * 3
    again = lambent("sample", run, "-n", 3, "--given", "speaker=bert", "--out", "new/")
    assert again.status == 2
    assert "--force" in again.complaint


def test_restyle_says_it_in_another_voice(lambent: Run, run: Path, spoken: Path, tmp_path: Path) -> None:
    done = lambent("restyle", run, spoken, "--to", "bert", "--limit", 13, "--out", "as-bert", "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["own"] == ["anna"] * 12 + ["bert"]
    assert len(told["files"]) == 13
    own, other = ((tmp_path / folder).joinpath("300_anna_0.wav") for folder in ("again", "as-bert"))
    assert lambent("reconstruct", run, spoken, "--limit", 1, "--out", "again/").status == 0
    assert own.read_bytes() != other.read_bytes()
    assert "no level is called 'zoe'" in lambent("restyle", run, spoken, "--to", "zoe", "--out", "zoe").complaint
    assert (
        "these rows are none" in lambent("restyle", run, spoken, "--to", "bert", "--detail", 0.4, "-o", "x").complaint
    )


def test_rows_are_embedded_scored_and_judged_odd(lambent: Run, run: Path, spoken: Path, tmp_path: Path) -> None:
    for verb in ("embed", "score", "detect"):
        done = lambent(verb, run, spoken, "--out", f"{verb}.csv")
        assert done.status == 0, done.err
        lines = (tmp_path / f"{verb}.csv").read_text().splitlines()
        assert len(lines) == 49
        assert "300_anna_0.wav" in lines[1]


def test_the_report_plays(lambent: Run, run: Path, spoken: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    assert len(page) < 1_500_000
    assert "media-src data:" in page
    players = re.findall(r'<audio [^>]*src="data:audio/wav;base64,([^"]+)"', page)
    assert len(players) == 2 * 4 + 4 + 5
    assert all(base64.b64decode(each).startswith(b"RIFF") for each in players)
    done = lambent("report", run, spoken, "--out", "page.html")
    assert done.status == 0, done.err
    assert "log_spectral_distance" in json.loads((run / "metrics.json").read_text())["metrics"]


def test_from_disk_the_run_is_the_same(lambent: Run, spoken: Path, tmp_path: Path) -> None:
    how = ("--condition", "speaker", "--epochs", 1, "--latent.size", 2, "--samples", 2, "--network.channels", "8")
    for name, more in (("memory", ()), ("disk", ("--memory", "10kB"))):
        done = lambent("train", spoken, *PATTERN, *how, "--network.width", 8, *more, "--out", tmp_path / name)
        assert done.status == 0, done.err
    assert "they are read from disk" in done.err
    first, second = (json.loads((tmp_path / name / "history.jsonl").read_text())["loss"] for name in ("memory", "disk"))
    assert first == second
