"""lambent data FILE: what train would read, told without training."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]

MIXED = """id,height,count,grade,note,born
1,1.5,3,a,x,2020-01-02
2,-0.25,4,b,,2020-01-03
3,,9,a,y,2020-01-02
4,2.75,3,a,x,2020-01-05
"""


def looked(lambent: Run, *arguments: object) -> Any:
    done = lambent("data", *arguments, "--json")
    assert (done.status, done.err) == (0, "")
    return json.loads(done.out)


def test_a_table_that_train_takes(lambent: Run, table: Path) -> None:
    """What is told is what train then does: rows, parts and scales."""
    found = looked(lambent, table, "--data.label", "kind", "--data.drop=b")
    assert (found["kind"], found["rows"], found["shape"], found["type"]) == ("Table", 60, [2], "float32")
    assert found["bytes"] == 60 * 2 * 4
    assert found["labels"] == {"=SUM(A1)": 30, "plain": 30}
    assert (found["refusal"], found["splits"], found["test"]) == (None, {}, 0.1)
    uses = {column["name"]: column["use"] for column in found["columns"]}
    assert uses == {"a": "learned from", "b": "left out", "c": "learned from", "kind": "label"}
    values = np.loadtxt(table, delimiter=",", skiprows=1, usecols=0)
    first = found["columns"][0]
    assert (first["least"], first["most"], first["values"]) == (values.min(), values.max(), len(set(values)))
    assert os.listdir() == []
    arguments = [
        "train",
        table,
        "--data.label=kind",
        "--data.drop=b",
        "--epochs=1",
        "--rows=6",
        "--samples=2",
        "-o",
        "r",
    ]
    assert lambent(*arguments).status == 0
    model = json.loads(lambent("info", "r", "--json").out)["model"]
    assert {part: found["train"][part] for part in ("latent", "likelihood", "network")} == {
        part: model[part] for part in ("latent", "likelihood", "network")
    }


def test_every_kind_is_told_with_its_reason(lambent: Run) -> None:
    """Types, ranges and gaps of every column, what kind it is and why, and what the model does with it."""
    Path("mixed.csv").write_text(MIXED)
    found = looked(lambent, "mixed.csv", "--data.label=grade")
    assert (found["rows"], found["shape"], found["bytes"], found["refusal"]) == (4, [7], 4 * 7 * 4, None)
    assert found["labels"] == {"a": 3, "b": 1}
    columns = {column.pop("name"): column for column in found["columns"]}
    assert columns["height"] == {
        "type": "number", "least": -0.25, "most": 2.75, "gaps": 1, "values": 3, "kind": "real",
        "why": "3 different numbers from -0.25 to 2.75", "use": "learned from, as 3 values",
    }  # fmt: skip
    assert (columns["count"]["kind"], columns["count"]["why"]) == ("integer", "3 different whole numbers from 3 to 9")
    assert columns["grade"] == {
        "type": "text", "least": None, "most": None, "gaps": 0, "values": 2, "use": "label", "kind": None, "why": None,
    }  # fmt: skip
    assert columns["note"] == {
        "type": "text", "least": None, "most": None, "gaps": 1, "values": 2, "kind": "binary", "why": "only 'x' and 'y'",
        "use": "learned from, as 2 levels",
    }  # fmt: skip
    assert columns["born"] == {
        "type": "date or time", "least": "2020-01-02T00:00:00", "most": "2020-01-05T00:00:00", "gaps": 0, "values": 3,
        "kind": "datetime", "why": "dates or times from 2020-01-02 to 2020-01-05", "use": "learned from, as 3 values",
    }  # fmt: skip
    said = lambent("data", "mixed.csv", "--data.label=grade").out
    assert "note    binary       1  learned from, as 2 levels  only 'x' and 'y'" in said
    told = looked(lambent, "mixed.csv", "--data.label=grade", "--data.kinds=note=text,count=categorical")["columns"]
    assert {one["name"]: (one["kind"], one["use"]) for one in told if one["name"] in ("note", "count")} == {
        "note": ("text", "left out: made rows have none"), "count": ("categorical", "learned from, as 3 levels"),
    }  # fmt: skip
    taken = looked(lambent, "mixed.csv", "--data.label=grade", "--data.drop=note,born,height")
    assert (taken["shape"], taken["bytes"]) == ([2], 4 * 2 * 4)


def test_a_table_that_train_refuses_is_shown_all_the_same(lambent: Run) -> None:
    """What cannot be learned from is told with its first bad cell, of every column."""
    Path("bad.csv").write_text("a,b,c,d\n1,x,2,3\n2,y,5,inf\n3,x,4,1\n4,y,five,2\n")
    found = looked(lambent, "bad.csv")
    assert (found["shape"], found["bytes"]) == (None, None)
    assert "bad.csv: column 'd', row 2 (line 3): is infinite" in found["refusal"]
    assert [column["use"].partition(" is ")[0] for column in found["columns"]] == [
        "learned from", "learned from", "refused: row 4 (line 5): 'five'", "refused: row 2 (line 3):",
    ]  # fmt: skip
    refused = lambent("train", "bad.csv", "--out=r")
    assert refused.status == 3
    said = lambent("data", "bad.csv").out
    assert said.endswith(refused.complaint.replace("lambent: error:", "\nlambent train refuses this table:") + "\n")
    scaled = looked(lambent, "bad.csv", "--data.scale=standard")
    assert [column["use"][:24] for column in scaled["columns"]] == [
        "learned from", "refused: row 1 (line 2):", "refused: row 4 (line 5):", "refused: row 2 (line 3):",
    ]  # fmt: skip


def test_an_index_that_was_saved_along_is_told(lambent: Run) -> None:
    Path("indexed.csv").write_text(",a,b\n0,1.5,2\n1,2.5,2\n2,0.5,2\n")
    found = looked(lambent, "indexed.csv")
    assert found["notices"] == {"dropped_index": 1, "constant": 1}
    assert [column["use"] for column in found["columns"]] == [
        "left out: an index",
        "learned from",
        "left out: the same in every row",
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".npy"])
def test_parquet_and_arrays_of_rows(lambent: Run, suffix: str) -> None:
    from pyarrow import parquet, table

    values = np.array([[1.0, 5.0], [np.inf, 6.0], [3.0, np.nan]])
    if suffix == ".npy":
        np.save("x.npy", values)
    else:
        parquet.write_table(table({"x0": values[:, 0], "x1": values[:, 1]}), "x.parquet")
    found = looked(lambent, f"x{suffix}")
    assert (found["kind"], found["rows"]) == ("Table", 3)
    assert [(c["least"], c["most"], c["gaps"]) for c in found["columns"]] == [(1.0, 3.0, 0), (5.0, 6.0, 1)]
    assert [column["use"][:33] for column in found["columns"]] == ["refused: row 2: is infinite or be", "learned from"]


def test_a_folder_of_pictures(lambent: Run, pictures: Path) -> None:
    found = looked(lambent, pictures)
    assert (found["kind"], found["rows"], found["shape"], found["bytes"]) == ("Image", 40, [1, 8, 8], 40 * 64)
    assert found["files"] == {".png": 40}
    assert found["labels"] == {"left": 20, "right": 20}
    assert found["train"]["likelihood"]["type"] == "DiscretizedLogistics"
    assert found["train"]["network"]["type"] == "Conv"
    smaller = looked(lambent, pictures, "--data.size=4,4", "--data.binarize=threshold")
    assert (smaller["shape"], smaller["notices"]) == ([1, 4, 4], {"resized": 40})
    assert smaller["train"]["likelihood"]["type"] == "Bernoulli"


def test_splits_of_folders_and_archives(lambent: Run) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3), ("test", 2)):
        Path("photos", split).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (5, 6), dtype=np.uint8)).save(f"photos/{split}/{i}.png")
    x = {f"{s}_images": rng.integers(0, 9, (n, 5, 6)) for s, n in (("train", 4), ("val", 3), ("test", 2))}
    np.savez("photos.npz", **x, train_labels=np.array([7, 7, 7, 8]))
    for source in ("photos", "photos.npz"):
        found = looked(lambent, source)
        assert (found["rows"], found["splits"], found["test"]) == (4, {"valid": 3, "test": 2}, "test")
        assert found["shape"] == [1, 5, 6]
        assert looked(lambent, source, "--data.split=test")["rows"] == 2
    assert found["labels"] == {"7": 3, "8": 1}
    assert found["array"]["type"] == str(x["train_images"].dtype)
    assert (found["array"]["least"], found["array"]["most"]) == (x["train_images"].min(), x["train_images"].max())


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["no/such.csv"], 3, "no such file or folder"),
        (["table.csv", "--data.lable=kind"], 2, "did you mean 'label'?"),
        (["table.csv", "--data.label=knd"], 2, "did you mean 'kind'?"),
        (["table.csv", "--data.limit=3"], 2, "--data.limit is for training"),
        (["table.csv", "--data.test=1.5"], 2, "between 0 and 1"),
        (["table.csv", "--latent=Flat"], 2, "no flag '--latent'"),
        (["table.csv", "--data=Image"], 3, "table.csv"),
        (["fashion", "--data.flip"], 2, "lambent data FILE"),
        (["empty"], 3, "no images"),
        (["cut.npy"], 3, "cut.npy"),
    ],
)
def test_mistakes_are_one_line(lambent: Run, table: Path, arguments: list[str], status: int, words: str) -> None:
    Path("table.csv").write_bytes(table.read_bytes())
    Path("empty").mkdir()
    Path("cut.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00")
    refused = lambent("data", *arguments)
    assert refused.status == status
    assert words in refused.complaint
    assert refused.out == ""


def test_json_holds_no_number_that_is_none(lambent: Run) -> None:
    Path("gone.csv").write_text("a,b\n1,\n2,\n")
    found = looked(lambent, "gone.csv")
    assert found["columns"][1] | {"use": ""} == {
        "name": "b", "type": "empty", "least": None, "most": None, "gaps": 2, "values": 0, "use": "",
        "kind": "empty", "why": "no cell holds a value",
    }  # fmt: skip


def test_what_suits_pictures_is_chosen_by_what_is_found_in_them(lambent: Run) -> None:
    """Their depth, and whether they have but two levels, as train finds it."""
    rng = np.random.default_rng(0)
    np.save("deep.npy", rng.integers(0, 4096, (40, 8, 8), dtype=np.uint16))
    np.save("bits.npy", rng.integers(0, 2, (40, 8, 8), dtype=np.uint8))
    found = looked(lambent, "deep.npy")
    assert found["train"]["likelihood"] == {"type": "DiscretizedLogistics", "components": 1, "levels": 4096}
    assert found["notices"] == {"kept at 12 bits": 40}
    assert looked(lambent, "bits.npy")["train"]["likelihood"] == {"type": "Bernoulli"}
