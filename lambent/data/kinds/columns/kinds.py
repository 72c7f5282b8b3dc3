"""Kinds: which kind a column has, and why, in words that need no statistics; from what was seen of it alone."""

import re

import numpy as np

from lambent.data.kinds.columns.base import KINDS, NAMED, NUMBERS, TIMES, Kind
from lambent.data.kinds.columns.cells import IN_WORDS, as_word, read_word, read_words
from lambent.data.kinds.columns.levels import MOST
from lambent.data.kinds.columns.tally import Tally
from lambent.errors import DataError, UsageError, nearest

ALL = 0.9  # of the cells of text that must differ for it to be no name of a group
HALF = 0.5
MANY = 20  # rows from which whole numbers may be keys
FEW = 3  # cells of text among numbers, which are rather faults than names
LOW = 0.25  # of the greatest of counts their mean is, at most
LONG = 40  # letters, and
WORDS = 6  # words, of which text on average has as many where it is free
_CODE = re.compile(r"\S+")
_NAME_OF_KEY = re.compile(
    r"(^|[\W_])(id|ids|key|guid|uuid|nr|no|index|row|rownames?)$|[a-z](Id|ID)$|^(id|ID|Id)[\W_]", re.I
)


def kind_of(tally: Tally) -> Kind:
    """The kind of a column that was tallied."""
    if tally.form is None:
        return Kind("empty", "no cell holds a value")
    if tally.different == 1 and tally.rate == 1 and not tally.gaps:
        return Kind("constant", f"every cell is {_shown(tally, 0)}")
    if tally.declared.ordered and tally.declared.levels:
        return Kind("ordinal", f"the data declare an order of {len(tally.declared.levels):,} levels")
    if tally.form == "boolean":
        return Kind("boolean", "only true and false" if tally.different > 1 else f"only {_shown(tally, 0)}, and gaps")
    if tally.form in TIMES:
        return Kind(tally.form, f"{IN_WORDS[tally.form]} from {_ends(tally)}")
    return _of_text(tally) if tally.form == "text" else _of_numbers(tally)


def _of_text(tally: Tally) -> Kind:
    keys = tally.present > MANY and tally.different > ALL * tally.kept and _are_codes(tally.words)
    if tally.long is not None and not keys:
        raise DataError(
            f"{tally.long}, which no float can hold: shorten such cells, leave the column out (--data.drop), or say that it "
            f"holds keys (--data.kinds {tally.name}=identifier) or names (={NAMED[2]})"
        )
    if tally.odd is not None and (
        tally.different > MOST or tally.different > HALF * tally.kept or _odd_cells(tally) <= FEW
    ):
        raise DataError(
            f"{tally.odd}, and most cells of the column are: mend such cells, leave the column out (--data.drop), or say that it "
            f"holds names (--data.kinds {tally.name}=categorical)"
        )
    if tally.different == 1:
        return Kind("categorical", f"only {_shown(tally, 0)}, and gaps")
    if tally.different == 2:
        return Kind("binary", f"only {_shown(tally, 0)} and {_shown(tally, 1)}")
    if tally.declared.levels:
        return Kind("categorical", f"the data declare categories, of which {tally.different:,} occur")
    share = tally.different / tally.kept
    if share > HALF and _are_numbers(tally.words):
        raise DataError(
            f"column {tally.name!r}: holds numbers as text, such as {tally.words[0]!r}; turn it into numbers, or say what "
            f"it is (--data.kinds {tally.name}=real, or =categorical, =identifier)"
        )
    if share > ALL:
        every = (
            "every value is different" if share == 1 else f"{tally.different:,} values in {tally.kept:,} cells differ"
        )
        if _are_codes(tally.words):
            return Kind("identifier", f"{every} and looks like a code")
        return Kind("text", f"{every} and is words, not a code")
    long, words = _lengths(tally)
    if share > HALF and (long > LONG or words > WORDS):
        return Kind("text", f"{tally.different:,} different texts of {words:.0f} words on average")
    odd = "" if tally.odd is None else f"; most are numbers, and {tally.odd.rpartition(': ')[2]}"
    return Kind("categorical", f"{tally.different:,} different names in {tally.present:,} cells{odd}")


def _odd_cells(tally: Tally) -> int:
    """How many cells of text are no numbers."""
    return sum(
        n for word, n in zip(tally.words, tally.counts.tolist(), strict=True) if read_word(word, "number") is None
    )


def _are_numbers(words: list[str]) -> bool:
    """Whether all words are numbers, and not digits of one length, which are codes rather."""
    sample = words[:1000]
    codes = len({len(word) for word in sample}) == 1 and all(word.isdigit() for word in sample)
    return not codes and all(read_word(word, "number") is not None for word in sample)


def _are_codes(words: list[str]) -> bool:
    """Whether words have no blanks within, and digits or one length in common."""
    sample = words[:1000]
    solid = sum(_CODE.fullmatch(word.strip()) is not None and len(word) <= LONG for word in sample)
    marked = sum(any(letter.isdigit() for letter in word) for word in sample)
    lengths = len({len(word) for word in sample})
    return solid >= ALL * len(sample) and (marked >= HALF * len(sample) or (lengths == 1 and len(sample[0]) > 3))


def _lengths(tally: Tally) -> tuple[float, float]:
    """Letters and words of a cell, on average over the different ones."""
    sample = tally.words[:: max(1, len(tally.words) // 1000)]
    return sum(map(len, sample)) / len(sample), sum(len(word.split()) for word in sample) / len(sample)


def _of_numbers(tally: Tally) -> Kind:
    values, counts = tally.values, tally.counts
    if tally.different <= 2:
        only = " and ".join(_shown(tally, place) for place in range(tally.different))
        return Kind("binary", f"only {only}" + (", and gaps" if tally.different == 1 else ""))
    whole = bool((values == np.rint(values)).all())
    if whole and tally.different == tally.kept and _are_keys(tally):
        return Kind("identifier", f"every value is a different whole number from {_ends(tally)}, as in a list of keys")
    mean = float(values @ counts) / tally.kept
    variance = float((values - mean) ** 2 @ counts) / tally.kept
    if whole:
        told = f"{tally.different:,} different whole numbers from {_ends(tally)}"
        if values[0] in (0, 1) and variance > mean and mean < LOW * tally.greatest:
            return Kind("count", f"{told}, many of them low")
        return Kind("integer", told)
    told = f"{tally.different:,} different numbers from {_ends(tally)}"
    if tally.least >= 0 and tally.greatest <= 1:
        return Kind("bounded", f"{told}: all lie between 0 and 1")
    median = float(values[np.searchsorted(np.cumsum(counts), tally.kept / 2)])
    if tally.least > 0 and mean > 1.2 * median:
        return Kind("positive", f"{told}, many of them low, few high")
    return Kind("real", told)


def _are_keys(tally: Tally) -> bool:
    """Whether whole numbers that all differ number the rows: they count on from 0 or 1, or the column is called so."""
    counting = tally.least in (0, 1) and tally.greatest - tally.least == tally.present - 1
    return tally.present > MANY and (counting or _NAME_OF_KEY.search(tally.name.strip()) is not None)


def _shown(tally: Tally, place: int) -> str:
    if tally.form == "text":
        return repr(tally.words[place][:40])
    assert tally.form is not None
    return as_word(float(tally.values[place]), tally.form)


def _ends(tally: Tally) -> str:
    """From the least to the greatest value, in words."""
    assert tally.form is not None
    if tally.form == "number":
        return f"{tally.least:.6g} to {tally.greatest:.6g}"
    if tally.form == "duration":
        return f"{tally.least:,.6g} to {tally.greatest:,.6g} seconds"
    return f"{as_word(tally.least, tally.form)} to {as_word(tally.greatest, tally.form)}".replace("T00:00:00", "")


# ---- what the user says instead ----------------------------------------------------------------------------------


def asked(kinds: tuple[str, ...]) -> dict[str, str]:
    """("age=count", …) by column; `UsageError` for what is no such pair or no kind, with the nearest."""
    found: dict[str, str] = {}
    for pair in kinds:
        name, equals, kind = pair.rpartition("=")
        if not equals or not name:
            raise UsageError(f"kinds: {pair!r} is no column=kind, such as age=count; kinds: {', '.join(KINDS)}")
        if kind.strip() not in KINDS:
            raise UsageError(f"kinds: {pair!r}: no kind is called {kind.strip()!r}; {nearest(kind.strip(), KINDS)}")
        found[name] = kind.strip()
    return found


def declared(tally: Tally, kind: str, origin: str) -> Kind:
    """The kind that the user says a column has, its words read as numbers or times where it asks for those.

    `DataError` where its values do not fit.
    """
    why = "you said so"
    if kind in ("identifier", "text"):
        return Kind(kind, why)
    if (tally.form is None) != (kind == "empty"):
        raise _unfit(tally, kind, origin, "no cell holds a value" if tally.form is None else f"it holds {_some(tally)}")
    form = {**dict.fromkeys(NUMBERS, "number"), **{time: time for time in TIMES}}.get(kind)
    if form is not None and tally.form != form:
        _read(tally, kind, form, origin)
    if (reason := _misfit(tally, kind)) is not None:
        raise _unfit(tally, kind, origin, reason)
    return Kind(kind, why)


def _read(tally: Tally, kind: str, form: str, origin: str) -> None:
    if tally.form == "boolean" and form == "number":
        tally.form = "number"
        return
    if tally.form != "text" or form == "duration":
        raise _unfit(tally, kind, origin, f"it holds {IN_WORDS[tally.form or 'text']}, such as {_some(tally)}")
    values, bad = read_words(tally.words, form)  # type: ignore[arg-type]
    if bad is not None:
        raise _unfit(tally, kind, origin, f"it holds {tally.words[bad][:40]!r}")
    tally.read_as(form, np.array(values))  # type: ignore[arg-type]


def _misfit(tally: Tally, kind: str) -> str | None:
    """Why the values of a column are not of a kind; None where they are."""
    values = tally.values
    if kind == "constant" and (tally.different > 1 or tally.gaps):
        return f"it holds {_some(tally)}" + (" and gaps" if tally.gaps else "")
    if kind in ("integer", "count") and not (values == np.rint(values)).all():
        return f"it holds {values[values != np.rint(values)][0]:g}, which is not whole"
    if (kind == "count" and tally.least < 0) or (kind == "positive" and tally.least <= 0):
        return f"it holds {tally.least:g}"
    if kind in ("binary", "boolean") and tally.different > 2:
        return f"it holds {tally.different:,} different values"
    if kind in NAMED and tally.form == "number" and tally.different > MOST:
        return f"it holds {tally.different:,} different numbers; at most {MOST:,} can be levels"
    return None


def _some(tally: Tally) -> str:
    return ", ".join(_shown(tally, place) for place in range(min(3, tally.different)))


def _unfit(tally: Tally, kind: str, origin: str, reason: str) -> DataError:
    return DataError(f"{origin}: column {tally.name!r} cannot be {kind}: {reason}")
