"""Sounds: what files of them become, what is refused, and what comes back."""

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lambent.data import Audio, encode_like, load, load_parted, on_disk, on_disk_parted
from lambent.data.kinds.modality import Modality
from lambent.data.loading import guess
from lambent.data.writers.wav import sixteen_bits
from lambent.errors import ArtifactError, DataError, MachineError, UsageError

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
Tone = Callable[..., Path]


def tone(seconds: float = 0.3, rate: int = 8_000, pitch: float = 440.0, channels: int = 1) -> NDArray[np.float64]:
    """[samples, channels], each channel half as loud as the one before it."""
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return wave[:, None] / 2.0 ** np.arange(channels)


@pytest.fixture
def write(tmp_path: Path) -> Tone:
    """Saves a tone: write(name, rate, subtype, channels, …)."""

    def made(
        name: str,
        rate: int = 8_000,
        subtype: str = "PCM_16",
        channels: int = 1,
        pitch: float = 440.0,
        seconds: float = 0.3,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(seconds, rate, pitch, channels), rate, subtype=subtype)
        return path

    return made


@pytest.fixture
def spoken(write: Tone, tmp_path: Path) -> Path:
    """Twelve sounds {word}_{speaker}_{take}.wav."""
    for word, pitch in (("ah", 300), ("oh", 500)):
        for speaker in ("anna", "bert", "carl"):
            for take in range(2):
                write(f"said/{word}_{speaker}_{take}.wav", pitch=pitch + 40 * len(speaker) + 5 * take)
    return tmp_path / "said"


NAMES = "{label}_{speaker}_{take}"


def test_a_folder_is_known_for_sounds_and_comes_back(spoken: Path) -> None:
    assert isinstance(guess(spoken), Audio)
    encoded = load(spoken)
    assert encoded.x.shape == (12, 1, 128, 24)
    assert encoded.x.dtype == torch.float32
    assert encoded.x.square().mean().sqrt().item() == pytest.approx(1, rel=1e-4)
    back = encoded.modality.decode(encoded.x)
    own = soundfile.read(spoken / "ah_anna_0.wav", dtype="float32")[0]
    assert back.shape == (12, 1, 24 * 128)
    np.testing.assert_allclose(back[0, 0, : len(own)], own, atol=1e-6)
    np.testing.assert_allclose(back[0, 0, len(own) :], 0, atol=1e-6)
    assert encoded.source["notices"] == {"shorter than 0.384 s, silence follows": 12}


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".aiff", ".wav"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"a{suffix}", tone(), 8_000)
    found = load(tmp_path / f"a{suffix}")
    assert isinstance(found.modality, Audio)
    own = tone()[:, 0]
    assert np.abs(found.modality.decode(found.x)[0, 0, : len(own)] - own).max() < (0.05 if suffix == ".ogg" else 1e-4)


def test_names_of_files_tell_labels_and_what_conditions(spoken: Path) -> None:
    encoded = load(spoken, modality=Audio(pattern=NAMES, condition=("speaker",)))
    assert encoded.label_names == ["ah", "oh"]
    assert encoded.labels is not None
    assert encoded.labels.tolist() == [0] * 6 + [1] * 6
    assert encoded.beside["speaker"][:4].tolist() == ["anna", "anna", "bert", "bert"]
    assert encoded.context is not None
    assert encoded.context[:4].tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]
    with pytest.raises(DataError, match=r"ah_anna_0.wav: its name is not of the form '\{label\}-\{speaker\}'"):
        load(spoken, modality=Audio(pattern="{label}-{speaker}"))
    with pytest.raises(UsageError, match="must hold names in braces"):
        Audio(pattern="label_speaker")


def test_names_of_folders_are_labels(write: Tone, tmp_path: Path) -> None:
    for name in ("a/1.wav", "a/2.wav", "b/1.wav"):
        write(f"folders/{name}")
    encoded = load(tmp_path / "folders")
    assert encoded.label_names == ["a", "b"]
    assert encoded.files == ["a/1.wav", "a/2.wav", "b/1.wav"]
    by_path = load(tmp_path / "folders", modality=Audio(pattern="{speaker}/{label}"))
    assert by_path.label_names == ["1", "2"]
    assert by_path.beside["speaker"].tolist() == ["a", "a", "b"]


def test_longer_ones_are_trimmed_or_cut_into_windows(write: Tone) -> None:
    path = write("long.wav", seconds=1.1)
    trimmed = load(path, modality=Audio(seconds=0.256))
    assert trimmed.x.shape == (1, 1, 128, 16)
    assert trimmed.source["notices"] == {"longer than 0.256 s, the rest is left out": 1}
    cut = load(path, modality=Audio(seconds=0.256, longer="windows"))
    assert cut.x.shape == (4, 1, 128, 16)
    whole = np.concatenate([*cut.modality.decode(cut.x)], 1)[0]
    own = tone(1.1)[:, 0]
    np.testing.assert_allclose(whole, own[: len(whole)], atol=1e-4)
    kept, held = load_parted(path, 0.25, modality=Audio(seconds=0.256, longer="windows"))
    assert (len(kept), len(held)) == (3, 1)
    with pytest.raises(UsageError, match="say how long a window is"):
        load(path, modality=Audio(longer="windows"))


def test_arrays_need_a_rate(tmp_path: Path) -> None:
    waves = np.stack([tone(pitch=p)[:, 0] for p in (300, 400, 500)])
    with pytest.raises(UsageError, match="how many samples a second"):
        load(waves, modality="Audio")
    encoded = load(waves, modality=Audio(rate=8_000))
    np.testing.assert_allclose(encoded.modality.decode(encoded.x)[:, 0, : waves.shape[1]], waves, atol=1e-6)
    levels = load(np.rint(waves * 32_768).astype(np.int16), modality=Audio(rate=8_000))
    torch.testing.assert_close(levels.x, encoded.x, atol=2e-3, rtol=0)
    np.save(tmp_path / "waves.npy", waves.astype(np.float32))
    stored = on_disk(tmp_path / "waves.npy", tmp_path / "cache", modality=Audio(rate=8_000))
    torch.testing.assert_close(stored[0:3], encoded.x)
    with pytest.raises(DataError, match="samples up to 16384; floats lie in −1 … 1"):
        load(waves * 32_768, modality=Audio(rate=8_000))
    with pytest.raises(DataError, match="channels last"):
        load(np.zeros((2, 900, 2)), modality=Audio(rate=8_000))


def test_on_disk_the_rows_are_the_same(spoken: Path, tmp_path: Path) -> None:
    settings = Audio(pattern=NAMES, condition=("speaker",))
    kept, held = load_parted(spoken, 0.25, modality=settings)
    disk, out = on_disk_parted(spoken, tmp_path / "cache", 0.25, modality=settings)
    for memory, stored in ((kept, disk), (held, out)):
        again = stored.loaded()
        assert torch.equal(memory.x, again.x)
        assert torch.equal(memory.conditioned(), again.conditioned())
        assert memory.labels is not None
        assert memory.labels.tolist() == again.labels.tolist()
        assert memory.files == again.files


def test_one_long_file_is_read_from_disk_by_windows(write: Tone, tmp_path: Path) -> None:
    path = write("hours.flac", seconds=3)
    settings = Audio(seconds=0.256, longer="windows")
    stored = on_disk(path, tmp_path / "cache", modality=settings)
    assert torch.equal(stored.loaded().x, load(path, modality=settings).x)


def test_what_was_learned_is_kept_and_used_for_others(spoken: Path, write: Tone) -> None:
    first = load(spoken, modality=Audio(pattern=NAMES, condition=("speaker",))).modality
    again = Modality.from_spec(first.spec()).restore(first.state())
    other = write("xx_bert_9.wav", rate=16_000, seconds=0.5)
    ours, theirs = encode_like(first, other), encode_like(again, other)
    assert torch.equal(ours.x, theirs.x)
    assert set(ours.source["notices"]) == {
        "resampled from 16000 to 8000 Hz",
        "longer than 0.384 s, the rest is left out",
    }
    slope = first.log_slope(ours.x)
    assert slope.shape == (1, ours.x.numel())
    assert slope[0, 0].item() == pytest.approx(-np.log(first.state()["scale"]))
    for damaged in ({"event": [1, 3, 8]}, {"scale": 0.0}, {"rate": "fast"}, {"event": [1, 2]}):
        with pytest.raises(ArtifactError, match="stored state of Audio is damaged"):
            Audio().restore(first.state() | damaged)


def test_sounds_are_written_as_files_that_read_back(spoken: Path, tmp_path: Path) -> None:
    encoded = load(spoken)
    encoded.modality.write(tmp_path / "out", encoded.x, {"row": np.arange(12), "file": encoded.files})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in spoken.iterdir())
    own, rate = soundfile.read(spoken / "oh_carl_1.wav")
    made, same = soundfile.read(tmp_path / "out" / "oh_carl_1.wav")
    assert rate == same
    np.testing.assert_allclose(made[: len(own)], own, atol=1e-4)
    encoded.modality.write(tmp_path / "walk", encoded.x[:2], {"pair": np.array([0, 0]), "step": np.array([0, 1])})
    assert sorted(path.name for path in (tmp_path / "walk").iterdir()) == ["pair0-step0.wav", "pair0-step1.wav"]
    encoded.modality.write(tmp_path / "all.wav", encoded.x[:3], {})
    assert soundfile.info(tmp_path / "all.wav").frames == 3 * 24 * 128 + 2 * 2_000
    encoded.modality.write(tmp_path / "sheet.png", encoded.x[:3], {})
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"


def test_a_missing_library_is_named_with_the_line_that_installs_it(
    spoken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MachineError, match=r"sounds need the package soundfile: pip install 'lambent\[audio\]'"):
        load(spoken)


def test_the_official_split_of_spoken_digits(real: Path) -> None:
    from lambent.data.catalog import entries

    for split, count in entries.CATALOG["fsdd"].splits.items():
        rows = entries.raw("fsdd", split).rows
        takes = {int(path.stem.rpartition("_")[2]) for path in rows}
        assert len(rows) == count
        assert takes == (set(range(5)) if split == "test" else set(range(5, 50)))


# ---- reliability: D27 -------------------------------------------------------------------------------------------------


def wav(body: bytes, *, kind: int = 1, bits: int = 16, rate: int = 8_000, claimed: int | None = None) -> bytes:
    """A WAV file of one channel; claimed: the bytes of sound that its header announces."""
    form = struct.pack("<HHIIHH", kind, 1, rate, rate * bits // 8, bits // 8, bits)
    size = len(body) if claimed is None else claimed
    data = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + body
    return b"RIFF" + struct.pack("<I", min(len(data) - len(body) + size, 2**32 - 1)) + data


def test_D27_zero_length_is_refused_by_name(tmp_path: Path) -> None:
    """A sound file of zero length, or of no bytes, is refused by its name."""
    (tmp_path / "empty.wav").write_bytes(wav(b""))
    (tmp_path / "nothing.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty.wav: holds no sound, its length is zero"):
        load(tmp_path / "empty.wav")
    with pytest.raises(DataError, match=r"nothing.wav: cannot be read as sound"):
        load(tmp_path / "nothing.wav")


@pytest.mark.parametrize(("subtype", "step"), [("PCM_U8", 2**-7), ("PCM_24", 2**-15), ("FLOAT", 1e-6)])
def test_D27_depths_are_read_on_one_scale(write: Tone, subtype: str, step: float) -> None:
    """Sounds of 8 and 24 bits and of floats are read on one scale, −1 … 1."""
    found = load(write("a.wav", subtype=subtype))
    own = tone()[:, 0]
    np.testing.assert_allclose(found.modality.decode(found.x)[0, 0, : len(own)], own, atol=step)


def test_D27_96_kHz_is_resampled_and_told(write: Tone) -> None:
    """96 kHz is resampled to the rate that is wanted, and told."""
    found = load(write("a.wav", rate=96_000), modality=Audio(rate=16_000))
    assert found.source["notices"]["resampled from 96000 to 16000 Hz"] == 1
    own = tone(rate=16_000)[:, 0]
    back = found.modality.decode(found.x)[0, 0, : len(own)]
    np.testing.assert_allclose(back[200:-200], own[200:-200], atol=1e-3)


def test_D27_8_channels_are_mixed_and_told_or_kept(write: Tone) -> None:
    """Eight channels are mixed to one and told, or kept where that is asked for."""
    path = write("a.wav", channels=8)
    mixed = load(path)
    assert mixed.source["notices"]["mixed from 8 channels to one"] == 1
    own = tone(channels=8)
    np.testing.assert_allclose(mixed.modality.decode(mixed.x)[0, 0, : len(own)], own.mean(1), atol=1e-4)
    kept = load(path, modality=Audio(channels="all"))
    np.testing.assert_allclose(kept.modality.decode(kept.x)[0, :, : len(own)], own.T, atol=1e-4)
    with pytest.raises(DataError, match="has 2 channels, where 8 are wanted"):
        encode_like(kept.modality, write("b.wav", channels=2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_D27_floats_that_are_not_finite_are_refused_with_their_time(tmp_path: Path, bad: float) -> None:
    """A NaN or an infinite sample is refused, with the file and the second."""
    wave = tone()[:, 0].astype("<f4")
    wave[800] = bad
    (tmp_path / "a.wav").write_bytes(wav(wave.tobytes(), kind=3, bits=32))
    with pytest.raises(DataError, match=r"a.wav: holds a sample that is not a finite number, at 0.100 s"):
        load(tmp_path / "a.wav")


def test_D27_a_header_that_claims_4_GB_is_refused_or_known_for_a_stream(tmp_path: Path) -> None:
    """A header that claims 4 GB is refused as cut short; one that was written as a stream is read to its end, and told."""
    body = np.rint(tone()[:, 0] * 32_767).astype("<i2").tobytes()
    (tmp_path / "cut.wav").write_bytes(wav(body, claimed=4_000_000_000))
    with pytest.raises(DataError, match="announces 4,000,000,000 bytes of sound, and 4,800 are there; it was cut"):
        load(tmp_path / "cut.wav")
    (tmp_path / "stream.wav").write_bytes(wav(body, claimed=0xFFFFFFFF))
    found = load(tmp_path / "stream.wav")
    assert found.source["notices"]["written as a stream, read to its end"] == 1
    np.testing.assert_allclose(found.modality.decode(found.x)[0, 0, :2400], tone()[:, 0], atol=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_D27_cut_short_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    """A WAV or FLAC file that was cut short is refused."""
    rng = np.random.default_rng(0)
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    soundfile.write(whole, 0.1 * rng.standard_normal(40_000), 8_000)
    data = whole.read_bytes()
    cut.write_bytes(data[: round(share * len(data))])
    with pytest.raises(DataError, match=r"cut\.\w+: .*(cut short|cannot be read as sound)"):
        load(cut, modality=Audio(seconds=6))


def test_D27_what_is_no_sound_is_refused_or_skipped(tmp_path: Path, write: Tone) -> None:
    """A file that is no sound is refused by its name, or skipped and counted where that is asked for."""
    (tmp_path / "mix" / "x").mkdir(parents=True)
    (tmp_path / "mix" / "text.wav").write_text("no sound")
    write("mix/good.wav")
    with pytest.raises(DataError, match=r"text.wav: cannot be read as sound"):
        load(tmp_path / "mix")
    kept = load(tmp_path / "mix", modality=Audio(skip_bad=True))
    assert (len(kept), kept.source["notices"]["skipped_bad"]) == (1, 1)
    (tmp_path / "fast.wav").write_bytes(wav(b"\0\0" * 100, rate=2_000_000_000))
    with pytest.raises(DataError, match="says 2,000,000,000 samples a second"):
        load(tmp_path / "fast.wav")


def test_D27_silence_alone_is_nothing_to_learn(tmp_path: Path) -> None:
    """Silence alone is refused: there is nothing to learn."""
    (tmp_path / "a.wav").write_bytes(sixteen_bits(np.zeros((1, 800), np.float32), 8_000))
    with pytest.raises(DataError, match="silent throughout"):
        load(tmp_path / "a.wav")
