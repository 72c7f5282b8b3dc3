"""columns: what is known of each row, for a page to tell, to colour by and to write out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data import Table
from lambent.data.leading import factor_columns, lead_of
from lambent.data.readers.framing import plain
from lambent.data.readers.series import objects
from lambent.data.readers.typed import Typed
from lambent.fitted import Fitted, Rows
from lambent.model.bounded import bounding
from lambent.tasks.score import scored

MOST_CELLS = 2_000_000  # of the table's own columns
MOST_COLUMNS = 40


@dataclass(frozen=True)
class Numbers:
    """A number a row, NaN where it is missing. unit: in words, or none."""

    name: str
    values: NDArray[np.float64]
    unit: str = ""


@dataclass(frozen=True)
class Names:
    """A name a row, by its number among `levels`, −1 where it is missing."""

    name: str
    levels: list[str]
    places: NDArray[np.int32]


Column = Numbers | Names


def known_of(fitted: Fitted, taken: Rows) -> tuple[list[Column], list[Column], str]:
    """What stands beside rows (file, label, factors, conditions), the values of a table, and a note on those left out."""
    if taken.encoded is None:
        return [], [], ""
    rows = len(taken)
    lead = {name: values for name, values in lead_of(taken.encoded).items() if name != "row"}
    lead |= factor_columns(taken.encoded)
    lead |= {name: values for name, values in taken.encoded.beside.items() if name not in lead}
    beside = [_column(name, np.asarray(values)[:rows], name == "label") for name, values in lead.items()]
    values, note = _of_table(fitted, taken, {column.name for column in beside})
    return beside, values, note


def scores_of(fitted: Fitted, taken: Rows, samples: int, seed: int) -> list[Column]:
    """The bound of each row, its KL and its reconstruction term, in nats; of a model without a bound the last alone."""
    found = scored(fitted, taken, samples, seed)
    lost = Numbers("reconstruction", (-found.log_px).double().numpy(), "nats")
    if not bounding(fitted.model):
        return [lost]
    named = {f"bound of {samples} samples": found.bound, "elbo": found.elbo, "kl": found.kl}
    return [*(Numbers(name, values.double().numpy(), "nats") for name, values in named.items()), lost]


def _of_table(fitted: Fitted, taken: Rows, others: set[str]) -> tuple[list[Column], str]:
    table = fitted.modality
    if not isinstance(table, Table):
        return [], ""
    typed = table.encoding.typed(taken.x.double().numpy())
    names = [name for name in typed if name not in others]
    most = max(1, min(MOST_COLUMNS, MOST_CELLS // len(taken)))
    note = f"The first {most} of {len(names)} columns are here; the map is of all." if len(names) > most else ""
    return [_column(name, _values(typed[name]), False) for name in names[:most]], note


def _values(column: Typed) -> NDArray[Any]:
    """The values of a column; truth values as themselves, which stand as 0 and 1 where some are missing."""
    values = plain(column)
    if column.declared.type != "Boolean" or values.dtype.kind != "f":
        return values
    return objects([None if np.isnan(value) else bool(value) for value in values.tolist()])


def _column(name: str, values: NDArray[Any], as_names: bool) -> Column:
    """Numbers as such unless they are names, of classes; times and truth values as words."""
    if values.dtype.kind in "iuf" and not as_names:
        return Numbers(name, values.astype(np.float64))
    if values.dtype.kind == "O" and not as_names and (numbers := _numbers(values)) is not None:
        return Numbers(name, numbers)
    words = [None if _missing(value) else str(value) for value in values.tolist()]
    levels = sorted({word for word in words if word is not None}, key=_order)
    place = {level: i for i, level in enumerate(levels)}
    return Names(name, levels, np.array([-1 if w is None else place[w] for w in words], np.int32))


def _numbers(values: NDArray[Any]) -> NDArray[np.float64] | None:
    given = [value for value in values.tolist() if not _missing(value)]
    if not given or not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in given):
        return None
    return np.array([np.nan if _missing(value) else value for value in values.tolist()], np.float64)


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN and NaT differ from themselves


def _order(word: str) -> tuple[bool, float, str]:
    """Numbers by their size, before words."""
    try:
        return (False, float(word), word)
    except ValueError:
        return (True, 0.0, word)
