"""Restriction: what is asked of one column, such as age>40 or workclass in {Private,State-gov}."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from lambent.errors import UsageError, nearest

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "not in"]
OPERATORS: tuple[str, ...] = get_args(Operator)
MISSING = "missing"
_AFTER = re.compile(r"(<=|>=|!=|==|=|<|>|≤|≥|≠|not\s+in\b|in\b)", re.IGNORECASE)
_SAME = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!="}


@dataclass(frozen=True)
class Restriction:
    """One column, an operator, and the value that it is compared with; of "in" and "not in" several. Values are text."""

    column: str
    operator: Operator
    values: tuple[str, ...]

    @property
    def of_gaps(self) -> bool:
        """Whether it asks for cells that are missing, or for such as are not."""
        return self.values == (MISSING,) and self.operator in ("=", "!=")

    def __str__(self) -> str:
        if self.operator in ("in", "not in"):
            return f"{self.column} {self.operator} {{{','.join(self.values)}}}"
        return f"{self.column}{self.operator}{self.values[0]}"


def parsed(text: str, names: Iterable[str]) -> Restriction:
    """What text asks of one of the columns `names`; `UsageError` names the nearest column, or says what is lacking.

    The longest name that the text begins with and after which an operator stands is meant.
    """
    known = [name for name in names if name]
    stripped = text.strip()
    for name in sorted(known, key=len, reverse=True):
        if stripped.startswith(name.strip()) and (asked := _asked(name, stripped[len(name.strip()) :])):
            return asked
    found = _AFTER.search(stripped)
    if found is None or not stripped[: found.start()].strip():
        raise UsageError(
            f"{text!r} asks nothing of a column: write a column, an operator ({', '.join(OPERATORS)}) and a value, "
            "such as age>40, education=Masters, workclass in {Private,State-gov} or age=missing"
        )
    before = stripped[: found.start()].strip()
    raise UsageError(f"{text!r}: no column is called {before!r}; {nearest(before, known)}")


def _asked(name: str, rest: str) -> Restriction | None:
    """The rest of a text after a column's name; None where no operator follows."""
    found = _AFTER.match(rest.lstrip())
    if found is None:
        return None
    written, value = found.group().lower(), rest.lstrip()[found.end() :]
    operator = _SAME.get(written, re.sub(r"\s+", " ", written))
    if operator in ("in", "not in"):
        return Restriction(name, operator, _items(name, value))  # type: ignore[arg-type]
    if not value.strip():
        raise UsageError(f"{name}{operator}: a value is lacking; an empty cell is asked for by {name}=missing")
    if value.strip().lower() == MISSING and operator in ("=", "!="):
        value = MISSING
    return Restriction(name, operator, (value,))  # type: ignore[arg-type]


def _items(name: str, value: str) -> tuple[str, ...]:
    """Values between commas, in braces, brackets or parentheses or in none; one with a comma stands in double quotes."""
    inner = value.strip()
    if inner and inner[0] + inner[-1] in ("{}", "[]", "()"):
        inner = inner[1:-1]
    try:
        items = next(csv.reader([inner], skipinitialspace=False), [])
    except csv.Error:
        items = inner.split(",")
    if not [item for item in items if item.strip()]:
        raise UsageError(f"{name} in {value.strip()}: a list of values is expected, such as {name} in {{a,b}}")
    return tuple(items)
