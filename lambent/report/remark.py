"""What a verdict is made of, and how a rule looks things up in a run's settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lambent.report.findings import finite

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


def settings(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of a nested specification, outermost first."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield str(key), value
        for value in tree.values():
            yield from settings(value)
    elif isinstance(tree, Sequence) and not isinstance(tree, str | bytes):
        for value in tree:
            yield from settings(value)


def number(tree: Any, *names: str) -> float | None:
    """The first number stored under one of `names` in a nested specification."""
    found = (finite(value) for key, value in settings(tree) if key in names and not isinstance(value, bool))
    return next((value for value in found if value is not None), None)


def kind(tree: Any, family: str) -> str:
    """The type of the part stored under `family` ('posterior', 'prior', …), or the empty string."""
    for key, value in settings(tree):
        if key == family:
            return str(value.get("type", "")) if isinstance(value, Mapping) else str(value)
    return ""


def joined(parts: Sequence[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
