"""The corpora of benchmarks/text.py as rows of tokens: words of PTB, pieces of captions, characters of molecules."""

import csv
import gzip
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

END = 0


@dataclass
class Corpus:
    """Rows [n, L] of tokens, 0 the end, then NaN; `decode` gives texts back, `words` how many words the test texts have."""

    train: Tensor
    test: Tensor
    test_texts: list[str]
    train_texts: list[str]
    symbols: int
    decode: Callable[[Tensor], list[str]]
    words: int


def read(path: Path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.strip()]


def padded(rows: Sequence[Sequence[int]], length: int) -> Tensor:
    """Tokens with their end, cut to a length, then NaN."""
    made = np.full((len(rows), length), np.nan, np.float32)
    for row, tokens in zip(made, rows, strict=True):
        ended = [*tokens, END][:length]
        row[: len(ended)] = ended
    return torch.from_numpy(made)


def corpus(train: list[str], test: list[str], split: Callable[[str], list[str]], join: str) -> Corpus:
    """Of texts whose tokens are the strings that `split` makes; the vocabulary is that of the training texts."""
    known = sorted({token for text in train for token in split(text)})
    number = {token: n for n, token in enumerate(known, start=1)}
    rows = [[[number[t] for t in split(text) if t in number] for text in texts] for texts in (train, test)]
    longest = max(len(row) for each in rows for row in each) + 1
    words = sum(len(text.split()) for text in test)

    def decode(x: Tensor) -> list[str]:
        return [join.join(known[int(t) - 1] for t in row if t == t and t != END) for row in x.cpu()]

    return Corpus(padded(rows[0], longest), padded(rows[1], longest), test, train, len(known) + 1, decode, words)


def ptb(folder: Path) -> Corpus:
    """The usual files, words as they stand there, one sentence a line."""
    train, test = (read(folder / "text" / "ptb" / f"ptb.{part}.txt") for part in ("train", "test"))
    return corpus(train, test, str.split, " ")


def captions(folder: Path) -> Corpus:
    """Multi30k: 29,000 English captions, tested on the 1,000 of 2016, in the pieces that `Text` learns."""
    from lambent.data.kinds.text import Text

    places = folder / "text" / "multi30k"
    train, test = read(places / "train.en.gz"), read(places / "test_2016_flickr.en.gz")
    text = Text(symbols=2048).fit(train)
    words = sum(len(line.split()) for line in test)
    return Corpus(text.encode(train), text.encode(test), test, train, text.vocabulary, text.decode, words)


def molecules(folder: Path) -> Corpus:
    """QM9 as SMILES, characters; a tenth, by a fixed seed, is held out."""
    with (folder / "molecules" / "qm9.csv").open(encoding="utf-8", newline="") as lines:
        smiles = [row["smiles"] for row in csv.DictReader(lines)]
    random.Random(0).shuffle(smiles)
    held_out = len(smiles) // 10
    return corpus(smiles[held_out:], smiles[:held_out], list, "")


CORPORA = {"ptb": ptb, "captions": captions, "molecules": molecules}
