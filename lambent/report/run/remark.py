"""What a verdict is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Weight = Literal["good", "notice", "problem"]


@dataclass(frozen=True)
class Remark:
    """One finding in plain words: how much it matters, what it is, what shows it, and what to change.

    `answer` is a short reply to one of the reader's first questions: is it collapsed, is it over-fitted?
    """

    level: Weight
    title: str
    text: str
    advice: str = ""
    answer: str = ""


def joined(parts: Sequence[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
