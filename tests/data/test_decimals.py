"""Decimal commas: found by themselves where they are plain, asked about where they are not, the same from the disk."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lambent.data import on_disk
from lambent.data.kinds.table import Table
from lambent.data.notices import sentences
from lambent.errors import DataError

RIGHT = [[1.5, -0.25, 3], [22.125, 1e-3, 4], [3.0, 0.5, 5]]


def save(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("header", ["a{0}b{0}n\n", ""])
def test_they_are_found_and_told(tmp_path: Path, delimiter: str, header: str) -> None:
    rows = [["1,5", "-0,25", "3"], ["22,125", "1e-3", "4"], ["3", ",5", "5"]]
    text = header.format(delimiter) + "".join(delimiter.join(row) + "\n" for row in rows)
    path = save(tmp_path, text)
    table = Table(scale="none").fit(path)
    assert table.encode(path).tolist() == np.float32(RIGHT).tolist()
    names = ["a", "b"] if header else ["x0", "x1"]
    assert table.notices["decimal_comma"] == 2
    assert table.noticed["decimal_comma"] == names
    told = sentences({"notices": table.notices, "noticed": table.noticed})["decimal_comma"]
    assert told == f"numbers are written with decimal commas in 2 columns, and read so: {', '.join(names)}"
    stored = on_disk(path, tmp_path / "cache", modality=Table(scale="none"))
    assert torch.equal(stored[:], table.encode(path))
    assert stored.source["noticed"]["decimal_comma"] == names


def test_one_plain_number_settles_it_for_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, "a;b\n1,234;0,5\n2,345;0,7\n")
    assert Table(scale="none").fit(path).encode(path).tolist() == np.float32([[1.234, 0.5], [2.345, 0.7]]).tolist()


@pytest.mark.parametrize("reader", ["memory", "disk"])
def test_what_could_be_thousands_is_asked_about(tmp_path: Path, reader: str) -> None:
    path = save(tmp_path, "a;b\n1,234;2\n12,500;3\n")
    with pytest.raises(DataError, match=r"column 'a': '1,234' may be 1\.234 or 1234.*--data\.decimal ,"):
        Table().fit(path) if reader == "memory" else on_disk(path, tmp_path / "cache", modality=Table())
    decimal = Table(scale="none", decimal=",")
    if reader == "memory":
        rows = decimal.fit(path).encode(path)
    else:
        rows = on_disk(path, tmp_path / "cache", modality=decimal)[:]
    assert rows.tolist() == np.float32([[1.234, 2], [12.5, 3]]).tolist()


@pytest.mark.parametrize("cell", ["1,234,567", "1,234.5", "1.234,5", "1,2,3", "a,b"])
def test_no_other_commas_are_taken_for_decimals(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match=r"'0,5' is no number .*--data\.decimal ,|is no number, and most cells"):
        Table().fit(save(tmp_path, f"a;b\n0,5;2\n{cell};3\n"))


def test_commas_between_fields_stay_what_they_are(tmp_path: Path) -> None:
    path = save(tmp_path, "5,1\n2,7\n0,8\n")
    assert Table(scale="none").fit(path).encode(path).tolist() == [[5, 1], [2, 7], [0, 8]]
    points = save(tmp_path, "a;b\n1.5;2\n2.5;3\n")
    assert Table(scale="none").fit(points).notices == {}


def test_quoted_ones_where_they_are_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path, 'a,b\n"1,5",2\n"2,25",3\n')
    assert Table(scale="none", decimal=",").fit(path).encode(path).tolist() == [[1.5, 2], [2.25, 3]]
