"""Left out: columns that are no part of the model, constant, empty, free text, identifiers; `decode` gives them all the same."""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lambent.data.kinds.columns.base import Column, evenly
from lambent.data.kinds.columns.cells import Form, cells, typed
from lambent.data.kinds.columns.tally import Tally
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Declared, Typed

ALIKE = 10 * np.finfo(np.float64).eps  # relative difference up to which values are the same but for rounding
ENOUGH = 50  # codes of a format
MOST_SHAPES, SAMPLE, LONGEST = 16, 10_000, 200  # formats, codes that they are found from, characters of one
_RUN = re.compile(r"[0-9]+")
_LETTER = re.compile("[A-Za-z0-9]")


class LeftOut(Column):
    """A column of no numbers: it adds nothing to a density."""

    @property
    def width(self) -> int:
        return 0

    def encode(self, table: Columns) -> np.ndarray:
        return np.empty((len(table), 0), np.float32)


@dataclass
class Constant(LeftOut):
    """A column that was the same in every row: it comes back in rows."""

    tag: ClassVar[str] = "constant"
    name: str
    value: float | str = 0.0
    form: Form = "number"
    kind: str = "constant"
    why: str = ""
    declared: Declared = Declared("Float64")

    @classmethod
    def learned(cls, tally: Tally, why: str) -> "Constant":
        """The one value of a column that was tallied."""
        assert tally.form is not None
        value: float | str = tally.words[0] if tally.form == "text" else float(tally.values[0])
        return cls(tally.name, value, tally.form, why=why, declared=tally.declared)

    @property
    def use(self) -> str:
        return "left out: the same in every row"

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        if isinstance(self.value, str):
            return Typed(np.zeros(len(x), np.int32), self.declared, [self.value])
        return typed(np.full(len(x), self.value), self.form, self.declared)

    def only(self, rows: np.ndarray) -> Typed:
        """The value in some of the rows, by a mark of each, and nothing in the others."""
        if isinstance(self.value, str):
            return Typed(np.where(rows, 0, -1).astype(np.int32), self.declared, [self.value])
        return typed(np.where(rows, self.value, np.nan), self.form, self.declared)

    def notice(self) -> str | None:
        return "constant"

    def changed(self, table: Columns) -> np.ndarray:
        """The rows that hold another value, as their type writes it."""
        found = cells(table, self.name)
        if found.form == "text" or isinstance(self.value, str):
            place = found.words.index(self.value) if self.value in found.words else -2
            other = found.values != place if found.form == "text" else np.ones(len(found), bool)
            return np.flatnonzero(other & ~found.missing)
        value = float(np.float32(self.value)) if found.single else self.value
        return np.flatnonzero(np.abs(found.values - value) > ALIKE * abs(value))


@dataclass
class Empty(LeftOut):
    """A column without any value: as empty in rows that are made."""

    tag: ClassVar[str] = "empty"
    name: str
    kind: str = "empty"
    why: str = ""
    declared: Declared = Declared("Unknown")

    @property
    def use(self) -> str:
        return "left out: it is empty"

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        return Typed(np.full(len(x), np.nan), self.declared)

    def notice(self) -> str | None:
        return "empty_columns"


@dataclass
class FreeText(LeftOut):
    """Text that hardly repeats: none of it is kept, and rows that are made have none."""

    tag: ClassVar[str] = "text"
    name: str
    kind: str = "text"
    why: str = ""
    declared: Declared = Declared("String")

    @property
    def use(self) -> str:
        return "left out: made rows have none"

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        return Typed(np.full(len(x), -1, np.int32), self.declared, [])

    def notice(self) -> str | None:
        return "free_text"


@dataclass
class Identifier(LeftOut):
    """Numbers or codes that tell rows apart: none is kept, and rows that are made get new ones of the same format.

    shapes: the commonest formats, of each the characters that were seen at every place, and their shares; where codes have one
    run of digits and agree in the rest (prefix, suffix), and for whole numbers, `after` is the greatest, and is counted on from.
    """

    tag: ClassVar[str] = "identifier"
    name: str
    why: str
    shapes: list[list[str]]
    shares: list[float]
    after: int | None = None
    prefix: str = ""
    suffix: str = ""
    form: Form = "text"
    kind: str = "identifier"
    declared: Declared = Declared("String")

    @classmethod
    def learned(cls, tally: Tally, why: str) -> "Identifier":
        """The formats of a column that was tallied."""
        assert tally.form is not None
        if tally.form != "text":
            return cls(tally.name, why, [], [], max(0, int(tally.greatest)), form=tally.form, declared=tally.declared)
        parts = {_RUN.sub("\0", word) for word in tally.words}
        if len(parts) == 1 and next(iter(parts)).count("\0") == 1:
            prefix, suffix = next(iter(parts)).split("\0")
            runs = [word[len(prefix) : len(word) - len(suffix)] for word in tally.words]
            digits = max(map(len, runs))
            after = (
                max(map(int, runs)) if tally.rate == 1 else 10**digits - 1
            )  # beyond those that a sample has not seen
            return cls(tally.name, why, [["0"] * digits], [1.0], after, prefix, suffix, declared=tally.declared)
        shapes, shares = _shapes([word[:LONGEST] for word in tally.words[:SAMPLE]])
        return cls(tally.name, why, shapes, shares, declared=tally.declared)

    @property
    def use(self) -> str:
        return "left out: made rows get new ones"

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        rows = len(x)
        if self.form != "text":
            assert self.after is not None
            return typed(self.after + 1.0 + first + np.arange(rows), self.form, self.declared)
        codes = np.arange(rows, dtype=np.int32)
        if self.after is not None:
            digits, start = len(self.shapes[0]), self.after + 1 + first
            made = [f"{self.prefix}{number:0{digits}d}{self.suffix}" for number in range(start, start + rows)]
            return Typed(codes, self.declared, made)
        random = np.random.Generator(np.random.PCG64([*self.name.encode("utf-8", "replace"), first]))
        ends = np.cumsum(self.shares)
        chosen = np.minimum(np.searchsorted(ends, evenly(rows, self.name, first), side="right"), len(self.shapes) - 1)
        return Typed(codes, self.declared, [_filled(self.shapes[shape], random) for shape in chosen])

    def notice(self) -> str | None:
        return "identifiers"


def _shapes(words: list[str]) -> tuple[list[list[str]], list[float]]:
    """The commonest formats: lengths, with where other signs than letters and digits stand; and their shares.

    Of a format of many codes the characters that occur at each place; of few, for these would be given away, any of the column.
    """
    alike: dict[str, list[str]] = {}
    for word in words:
        alike.setdefault(_LETTER.sub("x", word), []).append(word)
    common = sorted(alike.items(), key=lambda item: -len(item[1]))[:MOST_SHAPES]
    every = "".join(sorted(set(_LETTER.findall("".join(words)))))
    shapes = [
        ["".join(sorted(set(letters))) for letters in zip(*same, strict=True)]
        if len(same) >= ENOUGH
        else [every if sign == "x" else sign for sign in shape]
        for shape, same in common
    ]
    total = sum(len(same) for _, same in common)
    return shapes, [len(same) / total for _, same in common]


def _filled(shape: list[str], random: np.random.Generator) -> str:
    """A code of that format, at random."""
    draws = random.integers(0, 2**31, len(shape)).tolist()
    return "".join(letters[n % len(letters)] for letters, n in zip(shape, draws, strict=True))
