"""A reason why a row is odd, and the sentence that some make."""

from collections.abc import Sequence
from dataclasses import dataclass

SHARE = 0.1  # of the first reason's nats that a further one has at least
LEAST = 1.0  # nats, likewise
NONE_ALONE = "nothing stands out alone, the combination is unusual: "


@dataclass(frozen=True)
class Reason:
    """A column that makes a row odd.

    nats: how far out it lies in what was expected of it given all others: of numbers −log 2 min(P(x_j ≤ value), P(x_j ≥ value))
    less 1, its mean where nothing is odd, or how much less likely it is than usual, if that is more; of levels −log p less the
    entropy. value: what was there, as the data have it; expected: the 5 to 95 % interval of a number, or the likeliest levels;
    empty where nothing can be expected; given: the columns that say so most. within: whether the value lies within what was
    expected: then no column of the row stands out alone. step: of windows of a series, 0 for the last row, −1 for the one before
    it; None where rows are none.
    """

    column: str
    nats: float
    value: str
    expected: str = ""
    given: tuple[str, ...] = ()
    between: str = " "
    step: int | None = None
    within: bool = False

    @property
    def text(self) -> str:
        """In words, such as "Amount 1,809.68, expected 2 to 95 given V10, V14, V17"."""
        found = f"{self.column}{self.between}{self.value}{at(self.step)}"
        if not self.expected:
            return found
        return f"{found}, expected {self.expected}" + (f" given {', '.join(self.given)}" if self.given else "")


def why(found: Sequence[Reason]) -> str:
    """The reasons of a row in one sentence, which says so where nothing stands out alone."""
    words = "; ".join(reason.text for reason in found)
    return f"{NONE_ALONE}{words}" if found and all(reason.within for reason in found) else words


def foremost(found: list[Reason], most: int) -> list[Reason]:
    """Those that stand out, the farthest out first; where none does, the others."""
    order = sorted(found, key=lambda reason: -reason.nats)
    out = [reason for reason in order if not reason.within]
    if not out:
        return order[:most]
    least = max(LEAST, SHARE * out[0].nats)
    return [out[0], *(reason for reason in out[1:most] if reason.nats >= least)]


def at(step: int | None) -> str:
    """A step of a window in words."""
    if not step:
        return ""
    return f" at {-step:,} step{'s' * (step < -1)} before"
