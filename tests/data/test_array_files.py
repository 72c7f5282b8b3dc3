"""npy, npz and IDX: layouts, keys, splits, and files that lie or break."""

import gzip
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lambent.data.readers import arrays, idx
from lambent.data.readers import regular as files
from lambent.disk.whole import write_bytes, write_whole
from lambent.errors import DataError

X = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(text: str, values: bytes = b"") -> bytes:
    """A .npy file with this header, right or wrong."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + values


def save(folder: Path, content: bytes, name: str = "x.npy") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i4", "<f2", ">f8", "<U5"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_D24_byte_order_and_fortran_order(tmp_path: Path, dtype: str, order: str) -> None:
    """Arrays of either byte order, in C or Fortran order, are read to the same values."""
    array = np.array(X % 2 if dtype == "?" else X, dtype=dtype, order=order)  # type: ignore[call-overload]
    for path in (save(tmp_path, npy(array)), tmp_path / "x.npz"):
        if path.suffix == ".npz":
            np.savez_compressed(path, x=array)
        read = arrays.read(path).array
        assert np.array_equal(read, array)
        assert read.dtype.isnative
        assert read.flags.c_contiguous


@pytest.mark.parametrize("array", [np.zeros(()), np.zeros((0, 3)), np.zeros((3, 0), "f4")])
def test_arrays_without_rows(tmp_path: Path, array: np.ndarray) -> None:
    assert arrays.read(save(tmp_path, npy(array))).array.shape == array.shape


def test_D22_objects_are_never_unpickled(tmp_path: Path) -> None:
    """Arrays of objects in npy and npz are refused, and nothing in them is run."""

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(tmp_path / "sprung"), "w"))

    array = np.array([Trap()], dtype=object)
    path = save(tmp_path, npy(array, allow_pickle=True))
    np.savez(tmp_path / "x.npz", x=array)
    for file in (path, tmp_path / "x.npz"):
        with pytest.raises(DataError, match="never pickled objects"):
            arrays.read(file)
    assert not list(tmp_path.glob("sprung"))


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000000), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 'x', }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999999), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,), }",
        "{'descr': '|V16', 'fortran_order': False, 'shape': (1,), }",
        "__import__('os').system('false')",
        "(" * 5000,
        "",
    ],
)
def test_D23_headers_are_checked_before_anything_is_allocated(tmp_path: Path, text: str) -> None:
    """A header that claims a huge, negative or impossible shape is refused in a few MiB of memory."""
    path = save(tmp_path, header(text, b"\0" * 16))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"x\.npy"):
            arrays.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_D23_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives that inflate beyond bounds, hold too many members or use odd packing are refused before they are inflated."""
    monkeypatch.setattr(arrays, "RATIO_MATTERS", 2**20)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(2**21, np.uint8))
    with pytest.raises(DataError, match="zip bomb"):
        arrays.read(tmp_path / "bomb.npz")
    monkeypatch.setattr(files, "LIMIT_BYTES", 2**10)
    np.savez(tmp_path / "big.npz", x=np.zeros(2**12, np.uint8))
    with pytest.raises(DataError, match="at most 1,024 are read"):
        arrays.read(tmp_path / "big.npz")
    with zipfile.ZipFile(tmp_path / "odd.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy(X))
    with pytest.raises(DataError, match="other than deflate"):
        arrays.read(tmp_path / "odd.npz")
    monkeypatch.setattr(arrays, "LIMIT_MEMBERS", 2)
    np.savez(tmp_path / "many.npz", a=X, b=X, c=X)
    with pytest.raises(DataError, match="3 members"):
        arrays.read(tmp_path / "many.npz")


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_is_refused(tmp_path: Path, packed: bool) -> None:
    whole = npy(X)
    for cut in range(len(whole)):
        with pytest.raises(DataError):
            arrays.read(save(tmp_path, whole[:cut])) if cut >= 6 else arrays.read(save(tmp_path, whole[:cut], "x.npz"))
    (np.savez_compressed if packed else np.savez)(tmp_path / "x.npz", x=X)
    whole = (tmp_path / "x.npz").read_bytes()
    for cut in range(len(whole)):
        with pytest.raises(DataError, match=r"x\.npz"):
            arrays.read(save(tmp_path, whole[:cut], "x.npz"))


def test_every_flipped_bit_is_met_by_the_right_array_or_an_error(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=X)
    whole = (tmp_path / "x.npz").read_bytes()
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1 << (place % 8)
        try:
            read = arrays.read(save(tmp_path, bytes(broken), "x.npz"))
        except DataError:
            continue
        assert np.array_equal(read.array, X), place


def test_a_file_that_goes_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="claims 24 bytes of values, 25 are there"):
        arrays.read(save(tmp_path, npy(X) + b"\0"))


def test_keys_of_rows_and_labels(tmp_path: Path) -> None:
    y = np.arange(4)
    path = tmp_path / "x.npz"
    for rows, labels in (("x", "y"), ("X", "Y"), ("images", "labels"), ("data", "targets"), ("anything", None)):
        np.savez(path, **{rows: X, **({labels: y} if labels else {})})
        read = arrays.read(path)
        assert np.array_equal(read.array, X)
        assert (read.labels is None) == (labels is None)
    np.savez(path, x=X, extra=y, y=y)
    assert np.array_equal(arrays.read(path).array, X)
    np.savez(path, one=X, two=X[:2], y=y[:2])
    with pytest.raises(DataError, match=r"'.*x\.npz:KEY'. Keys: one, two, y"):
        arrays.read(path)
    assert len(arrays.read(f"{path}:two").array) == 2
    assert arrays.read(f"{path}:y").labels is None
    with pytest.raises(DataError, match="no array 'tow'; did you mean 'two'"):
        arrays.read(f"{path}:tow")
    np.savez(path, x=X, X=X)
    with pytest.raises(DataError, match="Keys: x, X"):
        arrays.read(path)
    np.savez(path)
    with pytest.raises(DataError, match="no arrays"):
        arrays.read(path)


@pytest.mark.parametrize("layout", ["{}_images {}_labels", "x_{} y_{}", "X_{} y_{}", "{}_x {}_y"])
def test_splits_by_key(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "x.npz"
    rows, labels = layout.split()
    held = {s: np.full((n, 2, 2), n, np.uint8) for n, s in enumerate(("train", "val", "test"), start=1)}
    np.savez(
        path, **{rows.format(s): v for s, v in held.items()}, **{labels.format(s): v[:, 0] for s, v in held.items()}
    )
    for name, split in (("train", "train"), ("valid", "val"), ("val", "val"), ("test", "test")):
        read = arrays.read(path, name)
        assert np.array_equal(read.array, held[split])
        assert read.labels is not None
    with pytest.raises(DataError, match=r"no split 'dev'; .*Allowed: test, train, valid"):
        arrays.read(path, "dev")


def test_a_split_of_what_has_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=X)
    for path in (tmp_path / "x.npz", save(tmp_path, npy(X))):
        with pytest.raises(DataError, match="no split 'test'; all its rows are 'train'"):
            arrays.read(path, "test")


def test_sparse_matrices_are_named(real: Path) -> None:
    with pytest.raises(DataError, match="sparse matrix"):
        arrays.read(real / "cells" / "worm-neurons.npz")


def test_real_files(real: Path) -> None:
    assert arrays.read(real / "medical" / "pneumonia.npz", "val").array.shape == (524, 28, 28)
    adbench = arrays.read(real / "anomaly" / "adbench" / "6_cardio.npz")
    assert adbench.array.shape == (1831, 21)
    assert adbench.labels is not None
    assert adbench.labels.sum() == 176


def idx_bytes(array: np.ndarray, code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize(("code", "dtype"), idx.TYPES.items())
@pytest.mark.parametrize("packed", [False, True])
def test_D24_idx_of_every_type(tmp_path: Path, code: int, dtype: str, packed: bool) -> None:
    """IDX of every type, which is big-endian, plain or gzipped, is read to the right values."""
    content = idx_bytes(X.astype(dtype), code)
    path = save(tmp_path, gzip.compress(content) if packed else content, "x-idx3")
    assert idx.is_idx_file(path)
    read = idx.read_idx(path)
    assert np.array_equal(read, X)
    assert read.dtype.isnative


@pytest.mark.parametrize("packed", [False, True])
def test_D25_idx_with_a_wrong_magic_number_count_or_size(tmp_path: Path, packed: bool) -> None:
    """IDX with a wrong magic number, count or size is refused by its name in a few MiB of memory."""
    good = idx_bytes(X)
    wrong = [b"\x00\x01" + good[2:], b"\x00\x00\x07" + good[3:], b"\x00\x00\x08\x00" + good[4:], good[:10], good[:-1]]
    wrong += [good + b"\0", b"", good[:4] + struct.pack(">I", 5) + good[8:], good[:4] + b"\xff" * 12 + good[16:]]
    for content in wrong:
        path = save(tmp_path, gzip.compress(content) if packed else content, "x-idx3")
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match="x-idx3"):
                idx.read_idx(path)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()


def test_D25_damaged_gzip(tmp_path: Path) -> None:
    """A gzipped IDX file cut short anywhere or with any byte changed gives the right array or an error."""
    whole = gzip.compress(idx_bytes(X), mtime=0)
    for cut in range(2, len(whole)):
        with pytest.raises(DataError):
            idx.read_idx(save(tmp_path, whole[:cut], "x-idx3"))
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        try:
            assert np.array_equal(idx.read_idx(save(tmp_path, bytes(broken), "x-idx3")), X)
        except DataError:
            continue


def test_idx_labels_of_the_sibling(tmp_path: Path) -> None:
    images = save(tmp_path, idx_bytes(X), "t10k-images-idx3-ubyte")
    assert idx.read(images).labels is None
    save(tmp_path, idx_bytes(np.arange(4, dtype=np.uint8)), "t10k-labels-idx1-ubyte")
    labels = idx.read(images).labels
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 3]


def test_K11_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A write of data that fails leaves the old file as it was, and no temporary one."""
    path = save(tmp_path, b"old", "f")

    def interrupted(temporary: Path) -> None:
        temporary.write_bytes(b"half of the new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, interrupted)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
