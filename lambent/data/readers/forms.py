"""Forms: how a text file writes the values of a column, so that they may be written so again.

The form of truth values is their two words, "yes,no"; of numbers a format, "05d" or ".2f"; of moments one that stands for all.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

_PADDED = re.compile(r"-?0\d+")
_DECIMALS = re.compile(r"[+-]?\d+[.,](\d+)")
_WHOLE = re.compile(r"[+-]?\d+")
UNITS = ("m", "s", "ms", "us")
FORMULA = re.compile(r"[=@\t\r]|[+-].*[A-Za-z(|!]", re.DOTALL)  # what a spreadsheet would carry out


def form_of(cells: Sequence[str | None], kind: str) -> str:
    """The form of a column of some kind (b i f M), of cells as they stand in the file; "" where there is nothing to say."""
    words = [cell.strip() for cell in cells if cell is not None and cell.strip()]
    if not words:
        return ""
    if kind == "b":
        true = next((word for word in words if word.lower() in ("true", "1")), None)
        false = next((word for word in words if word.lower() in ("false", "0")), None)
        return f"{true or _like(false, 'true')},{false or _like(true, 'false')}"
    if kind == "M":
        return max(words, key=len)
    if kind == "i":
        lengths = {len(word) for word in words}
        padded = len(lengths) == 1 and any(_PADDED.fullmatch(word) for word in words)
        return f"0{lengths.pop()}d" if padded and all(_WHOLE.fullmatch(word) for word in words) else ""
    found = [_DECIMALS.fullmatch(word) for word in words]
    decimals = {len(one[1]) for one in found if one is not None}
    return f".{decimals.pop()}f" if None not in found and len(decimals) == 1 else ""


def _like(other: str | None, word: str) -> str:
    """A word in the letters of the other one."""
    if other is None or other.islower() or not other.isalpha():
        return word
    return word.upper() if other.isupper() else word.capitalize()


def truths(values: Iterable[bool], form: str) -> list[str]:
    """Truth values in the two words of a form."""
    true, _, false = (form or "True,False").partition(",")
    return [true if value else false for value in values]


def moments(values: np.ndarray, form: str, kind: str = "Datetime", zoned: bool = False) -> list[str]:
    """datetime64 in ISO form: as exact as the example that `form` is, or as any value needs, with its mark before the time.

    Those with a zone end in Z, or +00:00 if the example has such an end: they are in UTC.
    """
    if kind == "Date":
        return [str(one) for one in values.astype("M8[D]")]
    there = values[~np.isnat(values)]
    needed = next((unit for unit in UNITS if bool((there.astype(f"M8[{unit}]") == there).all())), UNITS[-1])
    unit = max(_unit(form), needed, key=UNITS.index)
    found = [str(one) for one in values.astype(f"M8[{unit}]")]
    end = "" if not zoned else "+00:00" if re.search(r"[+-]\d\d:?\d\d$", form) else "Z"
    return [(one if "T" in form else one.replace("T", " ")) + end for one in found]


def _unit(form: str) -> str:
    """How exact an example is; without one to the second."""
    clock = re.search(r"\d\d:\d\d(:\d\d)?(\.\d+)?", form)
    if clock is None or (clock[1] and not clock[2]):
        return "s"
    return "m" if clock[1] is None else "ms" if len(clock[2]) <= 4 else "us"


def harmless(text: str) -> str:
    """Text with an apostrophe before it where a spreadsheet would run it as a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def freed(text: str) -> str:
    """The inverse of `harmless`."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text
