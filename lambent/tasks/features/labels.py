"""Labels of rows, by name or as they are given: classes, or numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lambent.data.condition import is_missing, level_of
from lambent.data.kinds.modality import Encoded
from lambent.errors import DataError, UsageError, nearest
from lambent.fitted import Rows

Kind = Literal["classes", "number"]
KINDS = ("classes", "number")
OWN = "label"  # what the labels that rows bring with them are called
MOST_CLASSES = 50  # whole numbers that take more values are read as numbers


@dataclass(frozen=True)
class Labels:
    """One label of each row: the number of its class [rows], −1 where it is missing, or a number [rows], NaN where it is.

    classes: their names by number; empty where labels are numbers.
    """

    name: str
    values: NDArray[Any]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def numeric(self) -> bool:
        """Whether they are numbers, to be told by regression."""
        return not self.classes

    @property
    def known(self) -> NDArray[np.int64]:
        """The rows that have one."""
        there = ~np.isnan(self.values) if self.numeric else self.values >= 0
        return np.flatnonzero(there)

    def at(self, index: NDArray[Any]) -> "Labels":
        """Those of some rows, by number."""
        return Labels(self.name, self.values[index], self.classes)


def labels_of(label: Any, rows: Rows, kind: Kind | None = None) -> Labels:
    """The labels of rows, by a name that they are known by, or as values [rows].

    label: "label" or the name of the column of labels, for those that the rows bring; a condition, or a factor; or an array.
    kind: "classes" or "number"; by default text and truth values are classes, fractions are numbers, and so are whole numbers
    that take more than 50 values.
    Errors: `UsageError` for a name that there is not, with those that there are; `DataError` for labels that are missing
    everywhere or more or fewer than the rows.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"labels are read as {' or '.join(KINDS)}, not {kind!r}")
    if isinstance(label, str):
        name, values = label, _named(label, rows.encoded)
    else:
        name, values = str(getattr(label, "name", None) or OWN), _column(label)
    if len(values) != len(rows):
        raise DataError(f"there are {len(values):,} labels, and {len(rows):,} rows: one is needed for each")
    return read(name, values, kind)


def read(name: str, values: NDArray[Any], kind: Kind | None = None) -> Labels:
    """Values [rows] as classes or as numbers."""
    plain: list[Any] = values.tolist()
    there = [not is_missing(value) for value in plain]
    if not any(there):
        raise DataError(f"no row has a {name}")
    if kind != "classes" and (numbers := _numbers(plain, there)) is not None:
        known = numbers[there]
        whole = bool((known == np.rint(known)).all())
        if kind == "number" or not whole or len(np.unique(known)) > MOST_CLASSES:
            return Labels(name, numbers, [])
    elif kind == "number":
        word = next(value for value, is_there in zip(plain, there, strict=True) if is_there)
        raise DataError(f"{name} is to be told as a number, and holds {str(word)[:40]!r}: leave it to classes")
    words = [level_of(value) if is_there else None for value, is_there in zip(plain, there, strict=True)]
    classes = sorted({word for word in words if word is not None}, key=_in_order)
    number = {word: i for i, word in enumerate(classes)}
    return Labels(name, np.array([-1 if word is None else number[word] for word in words], np.int64), classes)


def _in_order(word: str) -> tuple[float, str]:
    """Numbers by size, then words by letters."""
    try:
        return float(word), word
    except ValueError:
        return np.inf, word


def _numbers(plain: Sequence[Any], there: Sequence[bool]) -> NDArray[np.float64] | None:
    """The values as numbers, NaN where they are missing; None where they are none."""
    found = [value for value, is_there in zip(plain, there, strict=True) if is_there]
    if any(isinstance(value, (str, bool)) for value in found):
        return None
    try:
        return np.array(
            [float(v) if is_there else np.nan for v, is_there in zip(plain, there, strict=True)], np.float64
        )
    except (TypeError, ValueError):
        return None


def _column(label: Any) -> NDArray[Any]:
    values = np.asarray(label)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise UsageError(f"labels are one value a row, [rows], not {list(values.shape)}")
    return values


def _named(name: str, encoded: Encoded | None) -> NDArray[Any]:
    if encoded is None:
        raise UsageError(f"these rows bring no labels along: give {name!r} as an array, one value a row")
    own = {OWN, getattr(encoded.modality, "label", None) or OWN}
    if name in own and encoded.labels is not None:
        names = encoded.label_names
        return np.array([names[i] for i in encoded.labels.tolist()], object) if names else encoded.labels
    if name in encoded.beside:
        return encoded.beside[name]
    if encoded.factors is not None and name in (encoded.factor_names or []):
        return np.asarray(encoded.factors[:, (encoded.factor_names or []).index(name)])
    known = {*(own if encoded.labels is not None else ()), *encoded.beside, *(encoded.factor_names or [])}
    if not known:
        raise UsageError(f"these rows bring no labels along, and so no {name!r}: give an array, one value a row")
    raise UsageError(f"these rows have no label {name!r}; {nearest(name, sorted(known))}")
