"""Numbers as a reader wants them: few digits, a real minus sign, an error that decides the decimals; and words in a row."""

import math
from collections.abc import Sequence
from datetime import datetime

from lambent.report.run.lookup import finite

MISSING = "–"


def show(value: object, digits: int = 4, aligned: bool = False) -> str:
    """A number to `digits` significant digits; whole numbers in full, a dash for what is missing or not finite.

    Zeros at the end are left out, unless the number stands `aligned` in a column.
    """
    number = finite(value)
    if number is None:
        return MISSING
    if number == int(number) and abs(number) < 1e12 and not (aligned and number):
        return signed(f"{int(number):,}")
    size = math.floor(math.log10(abs(number)))
    if size < -4 or size >= 9:
        mantissa, exponent = f"{number:.{digits - 1}e}".split("e")
        return signed(f"{_trimmed(mantissa)}e{int(exponent)}")
    text = f"{number:,.{max(0, digits - 1 - size)}f}"
    return signed(text if aligned else _trimmed(text))


def show_with_error(value: object, error: object) -> tuple[str, str]:
    """A value and its standard error, both to the error's second significant digit."""
    number, spread = finite(value), finite(error)
    if number is None or spread is None or spread <= 0:
        return show(number), ""
    decimals = min(8, max(0, 1 - math.floor(math.log10(spread))))
    return signed(f"{number:,.{decimals}f}"), f"{spread:,.{decimals}f}"


def show_fixed(value: float, step: float) -> str:
    """A tick's label: as many decimals as its step needs."""
    if step <= 0 or not math.isfinite(step):
        return show(value)
    size = math.floor(math.log10(step))
    if size < -3 or max(abs(value), step) >= 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return "0" if value == 0 else signed(f"{_trimmed(mantissa)}e{int(exponent)}")
    decimals = next(
        d for d in range(max(0, -size), max(0, -size) + 3) if _whole(step * 10**d) or d == max(0, -size) + 2
    )
    return signed(f"{value:,.{decimals}f}" if round(value, decimals) else "0")


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6


def show_seconds(value: object) -> str:
    """A duration in the two largest units that matter."""
    number = finite(value)
    if number is None or number < 0:
        return MISSING
    if number < 60:
        return f"{show(number, 2 if number < 9.95 else 3) if number < 9.95 else round(number)} s"
    minutes, seconds = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def show_moment(text: str) -> str:
    """An ISO time in words, or the text itself where it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return str(text)
    zone = f" {moment.tzname()}" if moment.tzinfo else ""
    return f"{moment.day} {moment:%B %Y, %H:%M}{zone}"


def signed(text: str) -> str:
    """The same digits with a minus sign instead of a hyphen."""
    return text.replace("-", "−")


def count(number: int, noun: str) -> str:
    """'1 epoch', '12 epochs'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def joined(parts: Sequence[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _trimmed(mantissa: str) -> str:
    return mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
