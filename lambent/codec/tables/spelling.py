"""Spelling: how a column of a file writes its values, whole numbers with a decimal point somewhere, or dates."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from lambent.errors import ArtifactError

LARGEST = 1 << 61
LONGEST = 80  # characters of a cell that is read
_NUMBER = re.compile(r"([^\d.,\-]*)(-?)(\d*)(?:([.,])(\d+))?(\D*)", re.ASCII)
_MOMENT = re.compile(r"(\D*)(\d{4})-(\d\d)-(\d\d)(?:([T ])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?(.*)", re.ASCII)
_EPOCH = date(1970, 1, 1)
Value = tuple[int, int]  # (m, d): m · 10^−d


@dataclass(frozen=True)
class Spelling(ABC):
    """One way of writing values m · 10^−d; what is written in another way is no value of this spelling."""

    before: str = ""
    after: str = ""

    @abstractmethod
    def value(self, cell: str) -> Value | None:
        """What a cell says, if it is written so."""

    @abstractmethod
    def text(self, value: Value) -> str:
        """The cell of a value; `ArtifactError` for one that cannot be written."""

    def read(self, cell: str) -> Value | None:
        """The value that is written as this very cell."""
        value = self.value(cell) if len(cell) <= LONGEST else None
        return value if value is not None and abs(value[0]) < LARGEST and self.text(value) == cell else None

    def state(self) -> dict[str, Any]:
        """What is not as usual, plain JSON."""
        plain = type(self)()
        return {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}


@dataclass(frozen=True)
class Decimals(Spelling):
    """Numbers: -12.50. width: characters up to the point that `fill` pads to; bare: .5 for a half."""

    point: str = "."
    width: int = 0
    fill: str = "0"
    bare: bool = False

    def value(self, cell: str) -> Value | None:
        found = _NUMBER.fullmatch(cell)
        if found is None or not (found[3] or found[5]):
            return None
        fraction = found[5] or ""
        return int(found[2] + (found[3] or "0") + fraction), len(fraction)

    def text(self, value: Value) -> str:
        digits = str(abs(value[0])).rjust(value[1] + 1, "0")
        whole, fraction = digits[: len(digits) - value[1]], digits[len(digits) - value[1] :]
        whole = "" if self.bare and fraction and whole == "0" else whole
        sign = "-" if value[0] < 0 else ""
        whole = (
            sign + whole.rjust(self.width - len(sign), "0") if self.fill == "0" else (sign + whole).rjust(self.width)
        )
        return f"{self.before}{whole}{self.point if fraction else ''}{fraction}{self.after}"


@dataclass(frozen=True)
class Moments(Spelling):
    """Dates as days since 1970, or with times behind a `mark` as seconds; exact: whether seconds are written."""

    mark: str = ""
    exact: bool = True

    def value(self, cell: str) -> Value | None:
        found = _MOMENT.fullmatch(cell)
        if found is None:
            return None
        try:
            days = (date(int(found[2]), int(found[3]), int(found[4])) - _EPOCH).days
        except ValueError:
            return None
        if not found[5] or not self.mark:
            return days, 0
        fraction = found[9] or ""
        seconds = ((days * 24 + int(found[6])) * 60 + int(found[7])) * 60 + int(found[8] or 0)
        return seconds * 10 ** len(fraction) + int(fraction or 0), len(fraction)

    def text(self, value: Value) -> str:
        whole, fraction = divmod(value[0], 10 ** value[1])
        days, seconds = divmod(whole, 86400) if self.mark else (whole, 0)
        try:
            told = str(_EPOCH + timedelta(days))
        except OverflowError:
            raise ArtifactError(f"the table holds a date {days} days from 1970, which is none") from None
        if self.mark:
            clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}" + (f":{seconds % 60:02d}" if self.exact else "")
            told += self.mark + clock + (f".{fraction:0{value[1]}d}" if value[1] else "")
        return self.before + told + self.after


def spelled(cells: Counter[str], moments: bool, days: bool) -> Spelling:
    """The spelling that most cells have: of numbers, or of moments, counted in days or in seconds."""
    if not moments:
        return _numbers(cells)
    found: Counter[Moments] = Counter()
    for cell, count in cells.items():
        if (one := _moment(cell, days)) is not None:
            found[one] += count
    return found.most_common(1)[0][0] if found else Moments()


def _number(cell: str) -> Decimals | None:
    """How one cell is written; width: where its point stands."""
    one = _NUMBER.fullmatch(cell)
    if one is None or not (one[3] or one[5]):
        return None
    return Decimals(one[1], one[6], one[4] or "", one.end(3), bare=not one[3])


def _moment(cell: str, days: bool) -> Moments | None:
    one = _MOMENT.fullmatch(cell)
    if one is None:
        return None
    if days:
        return Moments(one[1], cell[one.end(4) :])
    return Moments(one[1], one[10], one[5], exact=one[8] is not None) if one[5] else None


def _numbers(cells: Counter[str]) -> Decimals:
    """The commonest one; it pads, where more cells can be read so."""
    plain: Counter[tuple[str, str, bool]] = Counter()
    points: Counter[str] = Counter()
    widths: Counter[int] = Counter()
    for cell, count in cells.items():
        if (one := _number(cell)) is not None:
            plain[one.before, one.after, one.bare] += count
            points[one.point] += count
            widths[one.width] += count
    if not plain:
        return Decimals()
    before, after, bare = plain.most_common(1)[0][0]
    point, width = "," if points[","] > points["."] else ".", widths.most_common(1)[0][0]
    choices = [Decimals(before, after, point, bare=one) for one in (bare, not bare)]
    choices.append(Decimals(before, after, point, width - len(before)))
    left = before.rstrip(" ")
    choices.append(Decimals(left, after, point, width - len(left), " "))
    return max(choices, key=lambda one: sum(n for cell, n in cells.items() if one.read(cell) is not None))


def restored(state: dict[str, Any], moments: bool) -> Spelling:
    """What `state` describes; TypeError or ValueError if it describes none."""
    found: Spelling = Moments(**state) if moments else Decimals(**state)
    plain = type(found)()
    for name, value in state.items():
        if type(value) is not type(getattr(plain, name)):
            raise TypeError(f"{name} of a spelling is {value!r:.40}")
    if isinstance(found, Decimals) and (found.width > LONGEST or len(found.fill) != 1):
        raise ValueError(f"cells of {found.width} characters, filled by {found.fill!r:.40}")
    return found


def read_all(spelling: Spelling, cells: Iterable[str]) -> dict[str, Value]:
    """The values of those cells that are written so."""
    return {cell: value for cell in cells if (value := spelling.read(cell)) is not None}
