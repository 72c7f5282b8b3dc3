"""Texts by the verbs of all data: from a file of lines to a model that writes, knows odd lines, and fills gaps."""

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WHO = ("A man", "A woman", "A boy", "The child")
DOES = ("rides a bike", "walks a dog", "reads a book", "eats an apple")
WHERE = ("in the park", "on the street", "at the beach", "near a lake")
SENTENCES = [f"{a} {b} {c}." for a, b, c in itertools.product(WHO, DOES, WHERE)]
SIZES = ("--likelihood.width=48", "--likelihood.rank=24", "--network.width=48", "--latent.size=4")
TRAINING = (
    "--batch=32",
    "--objective.floor=3",
    "--learning-rate=0.01",
    "--epochs=30",
    "--threads=1",
    "--precision=fp32",
)
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "captions.txt"
    path.write_text("\n".join(SENTENCES * 4) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(texts: Path, lambent: Run) -> Path:
    run = texts.parent / "run"
    done = lambent("train", texts, "--out", run, *SIZES, *TRAINING, "--samples=2")
    assert done.status == 0, done.err
    return run


def test_data_tells_what_texts_there_are(texts: Path, lambent: Run) -> None:
    told = lambent("data", texts)
    assert told.status == 0, told.err
    assert "kind        Text" in told.out
    assert "A man rides a bike in the park." in told.out
    found = json.loads(lambent("data", texts, "--json").out)
    assert found["rows"] == 256
    assert "different ones of" in found["summary"]["tokens"]


def test_samples_are_sentences_one_a_line(trained: Path, lambent: Run, tmp_path: Path) -> None:
    out = tmp_path / "new.txt"
    assert lambent("sample", trained, "-n", 40, "-o", out).status == 0
    made = out.read_text().splitlines()
    assert len(made) == 40
    assert sum(one in SENTENCES for one in made) > 20
    assert len(set(made)) > 5


def test_reconstructions_stand_beside_their_originals(trained: Path, texts: Path, lambent: Run, tmp_path: Path) -> None:
    out = tmp_path / "again.jsonl"
    assert lambent("reconstruct", trained, texts, "--limit", 64, "-o", out).status == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["original_text"] for row in rows] == SENTENCES
    assert [row["line"] for row in rows] == list(range(1, 65))
    same = sum(a == b for row in rows for a, b in zip(row["text"].split(), row["original_text"].split(), strict=False))
    assert same > 0.7 * sum(len(row["original_text"].split()) for row in rows)


def test_a_walk_begins_and_ends_with_its_texts(trained: Path, texts: Path, lambent: Run, tmp_path: Path) -> None:
    out = tmp_path / "walks.txt"
    walked = lambent("interpolate", trained, texts, "--from", "0,5", "--to", "63,40", "--steps", 5, "-o", out)
    assert walked.status == 0, walked.err
    first, second = out.read_text().strip("\n").split("\n\n")
    assert len(first.splitlines()) == len(second.splitlines()) == 5
    folder = tmp_path / "walks"
    assert lambent("interpolate", trained, texts, "--from", "0", "--to", "63", "--steps", 5, "-o", folder).status == 0
    files = sorted(folder.iterdir())
    assert [file.read_text() for file in files] == first.splitlines()
    refused = lambent("interpolate", trained, texts, "--from", "0", "--to", "63", "-o", folder)
    assert refused.status == 2
    assert "exists; add --force" in refused.complaint


def test_odd_lines_are_found_with_their_numbers(trained: Path, lambent: Run, tmp_path: Path) -> None:
    new, out = tmp_path / "new.log", tmp_path / "odd.csv"
    lines = [*SENTENCES[:30], "", "kernel panic: #0xdead", *SENTENCES[30:]]
    new.write_text("\n".join(lines) + "\n")
    found = lambent("score", trained, new, "-o", out)
    assert found.status == 0, found.err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    oddest = min(rows, key=lambda row: float(row["bound"]))
    assert (oddest["line"], oddest["text"]) == ("32", "kernel panic: #0xdead")


def test_codes_stand_beside_their_texts(trained: Path, texts: Path, lambent: Run, tmp_path: Path) -> None:
    out = tmp_path / "codes.csv"
    assert lambent("embed", trained, texts, "-o", out).status == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["row", "line", "text", "z0", "z1", "z2", "z3"]
    assert rows[0]["text"] == SENTENCES[0]


def test_gaps_are_filled_and_all_else_stays(trained: Path, lambent: Run, tmp_path: Path) -> None:
    gaps, out = tmp_path / "gaps.txt", tmp_path / "filled.txt"
    lines = ["A man ___ in the park.", "The child walks a dog ___", "___ reads a book at the beach.", "left as it is"]
    gaps.write_text("\n".join(lines) + "\n")
    done = lambent("impute", trained, gaps, "-o", out)
    assert done.status == 0, done.err
    filled = out.read_text().splitlines()
    assert filled[3] == lines[3]
    assert sum(one in SENTENCES for one in filled[:3]) >= 2, filled
    for one, line in zip(filled[:3], lines, strict=False):
        before, _, behind = line.partition("___")
        assert one.startswith(before)
        assert one.endswith(behind)
    again = tmp_path / "again.txt"
    assert lambent("impute", trained, gaps, "-o", again).status == 0
    assert again.read_text() == out.read_text()


def test_what_is_no_file_for_texts_is_refused(trained: Path, texts: Path, lambent: Run, tmp_path: Path) -> None:
    refused = lambent("sample", trained, "-o", tmp_path / "s.png")
    assert refused.status == 2
    assert "no pictures" in refused.complaint
    whole = lambent("impute", trained, texts, "-o", tmp_path / "f.txt")
    assert whole.status == 3
    assert "no text has a gap; mark what is missing by ___" in whole.complaint


def test_a_report_shows_texts(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert page.count("rides a bike") > 1
    assert "Original rows and their reconstructions" in page


def test_an_odd_line_is_told_by_its_odd_word(trained: Path, lambent: Run, tmp_path: Path) -> None:
    odd = tmp_path / "odd.txt"
    odd.write_text("\n".join([*SENTENCES[:20], "A man rides a street in the park.", *SENTENCES[20:40]]) + "\n")
    out = tmp_path / "found.csv"
    done = lambent("detect", trained, odd, "--reasons", 5, "-o", out)
    assert done.status == 0, done.err
    with out.open(newline="") as file:
        rows = {row["line"]: row for row in csv.DictReader(file)}
    told = rows["21"]
    assert told["flagged"] in ("1", "True", "true")
    assert 'word 5 "street", expected "bike"' in (told["why"] + told.get("reason", ""))
