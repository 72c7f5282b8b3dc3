"""Texts: from every form to tokens and back to the byte, and what is wrong with files told."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.data import Image, Table, Text, encode_like, load, load_parted
from lambent.data.kinds.modality import Modality
from lambent.data.loading import guess
from lambent.errors import ArtifactError, DataError, MachineError

LINES = ["the cat sat on the mat", "the dog sat on the log", "ein Hund läuft", "日本語 🎈", "the cat ran"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n", "utf-8")
    return path


FITTED = Text().fit(LINES * 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=30), min_size=1, max_size=4))
def test_any_text_comes_back_to_the_byte(texts: list[str]) -> None:
    fitted = Text(length=200).restore(FITTED.state() | {"length": 200})
    assert fitted.decode(fitted.encode(texts)) == texts


def test_rows_are_tokens_an_end_and_nothing_behind_it(file: Path) -> None:
    rows = load(file)
    assert isinstance(rows.modality, Text)
    assert rows.x.dtype == torch.float32
    assert rows.x.shape == (5, *rows.modality.event)
    for row in rows.x:
        there = row[~torch.isnan(row)]
        assert there[-1] == 0
        assert (there[:-1] > 0).all()
        assert (there < rows.modality.vocabulary).all()
        assert torch.isnan(row[len(there) :]).all()
    assert rows.modality.decode(rows.x) == LINES
    assert rows.lines is not None
    assert rows.lines.tolist() == [1, 2, 3, 4, 5]


def test_one_text_gives_the_same_tokens_in_any_form(file: Path, tmp_path: Path) -> None:
    import pandas as pd
    import polars as pl

    fitted = Text().fit(LINES)
    expected = fitted.encode(LINES)
    packed = tmp_path / "lines.txt.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    records = tmp_path / "lines.jsonl"
    records.write_text("".join(json.dumps({"n": i, "text": line}) + "\n" for i, line in enumerate(LINES)))
    strings = tmp_path / "strings.ndjson"
    strings.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    table = tmp_path / "table.csv"
    pd.DataFrame({"n": range(5), "comment": LINES}).to_csv(table, index=False)
    wide = tmp_path / "lines.log"
    wide.write_bytes("\r\n".join(LINES).encode("utf-16"))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, line in enumerate(LINES):
        (folder / f"{number}.txt").write_text(line + "\n", "utf-8")
    forms = [file, packed, records, strings, table, wide, folder, np.array(LINES), pd.Series(LINES), pl.Series(LINES)]
    for form in (*forms, tuple(LINES)):
        assert torch.equal(encode_like(fitted, form).x.nan_to_num(-1), expected.nan_to_num(-1)), form


def test_a_column_is_asked_for_where_several_are_text(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("name,remark\nann,a fine day\nbob,rain again\n")
    with pytest.raises(DataError, match=r"'name', 'remark' are text; say which holds the texts: column="):
        load(path, modality="Text")
    rows = load(path, modality=Text(column="remark", label="name"))
    assert rows.modality.decode(rows.x) == ["a fine day", "rain again"]
    assert rows.label_names == ["ann", "bob"]
    with pytest.raises(DataError, match="has no column 'remarks'; "):
        load(path, modality=Text(column="remarks"))


def test_folders_of_texts_are_labelled_by_their_folders(tmp_path: Path) -> None:
    for kind, text in (("good", "well done"), ("bad", "not so well\nreally")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a.txt").write_text(text)
    rows = load(tmp_path)
    assert rows.label_names == ["bad", "good"]
    assert rows.labels is not None
    assert rows.modality.decode(rows.x) == ["not so well\nreally", "well done"]
    assert rows.files == ["bad/a.txt", "good/a.txt"]


def test_the_form_says_what_is_text_and_what_is_not(tmp_path: Path, file: Path) -> None:
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("1.0 2.0 3\n4 5 6\n7 8 9\n")
    named = tmp_path / "named.txt"
    named.write_text("a;b\nx;y\nz;y\n")
    assert isinstance(guess(numbers), Table)
    assert isinstance(guess(named), Table)
    assert isinstance(guess(file), Text)
    assert isinstance(guess(["a.png", "b.png"]), Image)
    assert isinstance(guess(["Hello.", "Good night."]), Text)
    molecules = tmp_path / "m.smi"
    molecules.write_text("CCO mol-1\nC1CC1\tmol-2\n")
    rows = load(molecules)
    assert rows.modality.decode(rows.x) == ["CCO", "C1CC1"]


def test_a_held_out_share_teaches_no_pieces(tmp_path: Path) -> None:
    lines = [f"row {i} of many" for i in range(50)]
    path = tmp_path / "l.txt"
    path.write_text("\n".join(lines))
    kept, held = load_parted(path, 0.2, seed=1)
    assert held.modality is kept.modality
    assert held.lines is not None
    assert [lines[i - 1] for i in held.lines] == held.modality.decode(held.x)
    alone = Text().fit(kept.modality.decode(kept.x))
    assert alone.state()["merges"] == kept.modality.state()["merges"]


def test_texts_longer_than_told_are_cut_and_have_no_end() -> None:
    rows = load(["a b c d e f g h"] * 2 + ["a"], modality=Text(length=4))
    assert rows.x.shape == (3, 4)
    assert rows.source["notices"] == {"cut_texts": 2}
    assert not (rows.x[:2] == 0).any()
    assert (rows.x[2] == 0).sum() == 1


def test_a_state_restores_the_tokens_and_a_damaged_one_is_refused(file: Path) -> None:
    fitted = load(file).modality
    again = Modality.from_spec(fitted.spec()).restore(json.loads(json.dumps(fitted.state())))
    assert torch.equal(again.encode(LINES).nan_to_num(-1), fitted.encode(LINES).nan_to_num(-1))
    for damage in ({"merges": [["x"]]}, {"merges": [["zz", "qq"]]}, {"length": 0}, {"length": None}):
        with pytest.raises(ArtifactError, match="damaged"):
            Text().restore(fitted.state() | damage)
    with pytest.raises(ArtifactError, match="damaged"):
        Text().restore({})


def test_training_pieces_twice_gives_the_same() -> None:
    texts = [f"{a} {b} {a}{b}" for a in ("ab", "cd", "ef") for b in ("gh", "ij", "kl")]
    assert Text().fit(texts).state() == Text().fit(texts).state()


def test_D28_empty_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    """Empty lines are left out and counted; a file of nothing else is refused."""
    path = tmp_path / "gaps.txt"
    path.write_text("\n\none text\n   \nanother text\n\n")
    rows = load(path)
    assert rows.modality.decode(rows.x) == ["one text", "another text"]
    assert rows.lines is not None
    assert rows.lines.tolist() == [3, 5]
    assert rows.source["notices"] == {"empty_texts": 4}
    path.write_text("\n \n\n")
    with pytest.raises(DataError, match=r"gaps\.txt: holds no text, 3 of 3 are empty"):
        load(path, modality="Text")


def test_D28_a_line_of_ten_megabytes_is_cut(tmp_path: Path) -> None:
    """A line of 10 MB is cut to as many tokens as a text may have, and counted."""
    path = tmp_path / "long.txt"
    path.write_text("short one\n" + "spam " * 2_000_000 + "\n" + "z" * 10_000_000 + "\n")
    rows = load(path)
    assert rows.x.shape == (3, 128)
    assert rows.source["notices"] == {"cut_texts": 2}


def test_D28_nul_bytes_are_characters_but_a_binary_file_is_no_text(tmp_path: Path) -> None:
    """NUL bytes are characters; a file that is full of them is refused."""
    path = tmp_path / "nul.txt"
    path.write_bytes(b"a text with \0 in the middle of it\nand another one\n")
    rows = load(path)
    assert rows.modality.decode(rows.x)[0] == "a text with \0 in the middle of it"
    path.write_bytes(b"\0\1\0\2" * 100)
    with pytest.raises(DataError, match=r"nul\.txt: 200 of its 400 bytes are NUL: it is no text"):
        load(path, modality="Text")


def test_D28_bytes_that_are_no_utf8_are_replaced_and_counted(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are replaced by U+FFFD and counted."""
    path = tmp_path / "latin.log"
    path.write_bytes("caf\xe9 closed\nall is well\n".encode("latin-1"))
    rows = load(path)
    assert rows.modality.decode(rows.x) == ["caf� closed", "all is well"]
    assert rows.source["notices"] == {"replaced_bytes": 1}


def test_D28_halves_of_characters_are_replaced_and_counted() -> None:
    """Lone surrogates are replaced and counted."""
    rows = load(["half \ud83c here", "whole \U0001f388", ""])
    assert rows.modality.decode(rows.x) == ["half � here", "whole \U0001f388", ""]
    assert rows.source["notices"] == {"surrogates": 1}


def test_D28_damaged_files_are_told_with_their_line(tmp_path: Path) -> None:
    """Damaged lines of JSON and damaged gzip are refused, with the line."""
    path = tmp_path / "bad.jsonl"
    for content, told in (
        ('{"text": "fine"}\n{"text": \n', "line 2: is no JSON"),
        ('{"text": "fine"}\n[1]\n', "line 2: holds a list"),
        ('{"text": "fine"}\n\n{"text": 3}\n', "line 3: 'text' is 3, and no text"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=told):
            load(path)
    packed = tmp_path / "cut.txt.gz"
    packed.write_bytes(gzip.compress(b"some text\n" * 1000)[:-20])
    with pytest.raises(DataError, match="is damaged gzip or was cut short"):
        load(packed, modality="Text")
    with pytest.raises(DataError, match="item 1 is a int; texts are strings"):
        load(["a text", 3], modality="Text")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MachineError, match=r"pip install 'lambent\[text\]'"):
        load(["some text", "another"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ptb", "multi30k", "qm9", "zinc"])
def test_named_sets_come_back_to_the_byte(real: Path, name: str) -> None:
    from lambent.data.catalog import entries

    split = "valid" if "valid" in entries.CATALOG[name].splits else "train"
    raw = entries.raw(name, split).rows
    modality = Text(length=400).fit(raw[np.arange(0, len(raw), 37)])
    some = raw[np.arange(0, len(raw), 101)]
    assert modality.decode(modality.encode(some)) == some.texts
