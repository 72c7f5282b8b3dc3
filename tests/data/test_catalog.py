"""The catalog: look-up order, protocols, and downloads that go wrong."""

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lambent.data import load
from lambent.data.catalog import cache
from lambent.data.catalog import entries as catalog
from lambent.data.catalog.cache import File
from lambent.data.readers import arrays
from lambent.data.readers import regular as files
from lambent.errors import DataError, UsageError


@pytest.mark.parametrize("name", ["fashion", "sprites"])
def test_M12_sets_that_need_no_network(alone: Path, name: str) -> None:
    """The sets that ship or are drawn are there without a network."""
    entry = catalog.CATALOG[name]
    for split, rows in entry.splits.items():
        encoded = load(name, split)
        assert tuple(encoded.x.shape) == (rows, *entry.event)
        assert encoded.source["rows"] == rows
        assert encoded.source["licence"] == entry.licence
        assert encoded.source["split"] == split


def test_fashion_is_balanced_and_its_parts_are_disjoint(alone: Path) -> None:
    from lambent.data import overlap

    train, test = load("fashion"), load("fashion", "test")
    for part, each in ((train, 1000), (test, 200)):
        assert part.labels is not None
        assert np.bincount(part.labels).tolist() == [each] * 10
        assert part.label_names == catalog.CLOTHES
    assert overlap(train, test) == 0
    assert (catalog.ASSETS / "NOTICE-fashion-mnist.txt").read_text().count("Zalando") >= 1


def test_the_slice_is_made_again_byte_for_byte(real: Path, tmp_path: Path) -> None:
    import runpy
    import sys
    from unittest import mock

    script = Path(__file__).parents[2] / "scripts" / "make_fashion_slice.py"
    with mock.patch.object(sys, "argv", ["make", str(real)]), mock.patch.object(catalog, "ASSETS", tmp_path):
        runpy.run_path(str(script), run_name="__main__")
    assert files.digest(tmp_path / "fashion.npz") == files.digest(catalog.ASSETS / "fashion.npz")


@pytest.mark.parametrize("name", [n for n in catalog.CATALOG if catalog.CATALOG[n].files])
def test_real_sets_follow_their_protocol(real: Path, name: str) -> None:
    entry = catalog.CATALOG[name]
    for split, rows in entry.splits.items():
        raw = catalog.raw(name, split)
        assert len(raw.rows) == rows
        assert not isinstance(raw.rows, np.ndarray) or raw.array.shape == (rows, *entry.event[1:])
        assert raw.labels is None or len(raw.labels) == rows


def test_mnist_valid_is_the_end_of_train(real: Path) -> None:
    train, valid, fifty = (catalog.raw("mnist", s).array for s in ("train", "valid", "train-50k"))
    assert np.array_equal(np.concatenate([fifty, valid]), train)


def test_static_mnist_is_binary(real: Path) -> None:
    encoded = load("mnist-static", "valid")
    assert set(encoded.x.unique().tolist()) == {0, 1}
    assert encoded.modality.defaults()["likelihood"] == {"type": "Bernoulli"}


def test_att_faces_hold_out_two_pictures_of_each_person(real: Path) -> None:
    train, test = load("att-faces"), load("att-faces", "test")
    assert train.labels is not None
    assert test.labels is not None
    assert np.bincount(train.labels).tolist() == [8] * 40
    assert np.bincount(test.labels).tolist() == [2] * 40


def test_another_modality_may_be_asked_for(real: Path) -> None:
    encoded = load("mnist", "test", {"type": "Image", "binarize": "dynamic", "size": [32, 32]})
    assert encoded.x.shape == (10_000, 1, 32, 32)


def test_unknown_names_and_splits(alone: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'mnist'"):
        load("mnits")
    with pytest.raises(UsageError, match="did you mean 'fashion'"):
        catalog.entry_named("fashio")
    with pytest.raises(DataError, match=r"fashion: has no split 'valid'; .*Allowed: test, train"):
        load("fashion", "valid")
    with pytest.raises(UsageError, match="takes no options"):
        load("mnist?x=3")


def test_sets_without_an_official_file_say_so(alone: Path) -> None:
    for name in ("mnist-static", "frey-faces", "att-faces"):
        with pytest.raises(DataError, match=r"offers no file that Lambent could fetch.*LAMBENT_DATA"):
            load(name)


def test_files_of_the_wrong_shape_are_refused(alone: Path) -> None:
    place = alone / "faces" / "frey.npz"
    place.parent.mkdir(parents=True)
    np.savez(place, x=np.zeros((5, 28, 20), np.uint8))
    with pytest.raises(DataError, match=r"frey\.npz: holds uint8 of shape \(5, 28, 20\)"):
        load("frey-faces")


def test_G14_a_data_folder_that_is_none(alone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LAMBENT_DATA that names no folder is refused by the variable's name."""
    monkeypatch.setenv("LAMBENT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"LAMBENT_DATA=.*nowhere: is no folder"):
        load("mnist")


CONTENT = b"the official bytes" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Answers(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, but for paths that ask for trouble."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = CONTENT[:-1] + b"X" if "forged" in self.path else CONTENT
        body = body[:-10] if "short" in self.path else body
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(body) + (10 if "short" in self.path else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answers.asked = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_a_file_is_fetched_once(alone: Path, server: str) -> None:
    wanted = File("set/a.bin", f"{server}/a.bin", DIGEST)
    for _ in range(2):
        place = cache.locate(wanted)
        assert place == alone / "set" / "a.bin"
        assert place.read_bytes() == CONTENT
    assert Answers.asked == 1


def test_M13_a_corrupted_file_in_the_cache_is_fetched_again(alone: Path, server: str) -> None:
    """A file in the cache whose SHA-256 is wrong is fetched again."""
    place = alone / "set" / "a.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT[:-1])
    assert cache.locate(File("set/a.bin", f"{server}/a.bin", DIGEST)).read_bytes() == CONTENT


@pytest.mark.parametrize("trouble", ["forged", "missing", "short"])
def test_a_download_that_goes_wrong_leaves_nothing(alone: Path, server: str, trouble: str) -> None:
    url = f"{server}/{trouble}"
    with pytest.raises(DataError, match=rf"{trouble}: (sent|cannot).*FOLDER/set/a\.bin.*LAMBENT_DATA"):
        cache.locate(File("set/a.bin", url, DIGEST))
    assert not list((alone / "set").iterdir())


def test_M12_no_network_is_an_error_that_helps(alone: Path) -> None:
    """Without a network the error names the address, and how to supply the file by hand."""
    entry = catalog.CATALOG["mnist"]
    nowhere = {role: replace(file, url="http://127.0.0.1:1/x") for role, file in entry.files.items()}
    with pytest.raises(DataError, match=r"127\.0\.0\.1:1/x: cannot be fetched .*mnist/train-images.*LAMBENT_DATA"):
        entry.read(replace(entry, files=nowhere), "train", "")


def test_a_server_that_sends_without_end(alone: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_DOWNLOAD", 1000)
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        cache.locate(File("set/a.bin", f"{server}/a.bin", DIGEST))


def test_M14_many_writers_of_one_cache(alone: Path, server: str) -> None:
    """Many that fetch the same file at once each end with the right one."""
    wanted = File("set/a.bin", f"{server}/a.bin", DIGEST)
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: cache.locate(wanted), range(8)))
    assert all(place.read_bytes() == CONTENT for place in places)
    assert [p.name for p in (alone / "set").iterdir()] == ["a.bin"]


def test_a_forged_file_in_the_own_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBENT_DATA", str(tmp_path))
    (tmp_path / "a.bin").write_bytes(b"other")
    with pytest.raises(DataError, match=r"a\.bin: is not the official file"):
        cache.locate(File("a.bin", None, DIGEST))


def test_L16_no_home_and_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without HOME, and with a cache that cannot be written to, a temporary folder serves."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.cache_folder().parent == tmp_path
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache.cache_folder().parent == tmp_path


def test_every_entry_states_its_protocol() -> None:
    for name, entry in catalog.CATALOG.items():
        assert entry.name == name
        assert entry.title
        assert entry.licence
        assert entry.notes
        assert entry.address.startswith("https://")
        assert "train" in entry.splits
        for file in entry.files.values():
            assert file.url is None or (file.url.startswith("https://") and len(file.sha256 or "") == 64)
            assert not os.path.isabs(file.path)


def test_the_asset_is_read_like_any_npz() -> None:
    assert arrays.read(catalog.ASSETS / "fashion.npz", "test").array.shape == (2000, 28, 28)
