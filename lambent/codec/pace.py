"""Pace: how many rows are coded at once, so that a stack never has to lend what it does not hold."""

from collections.abc import Iterator
from typing import NamedTuple

FEWEST, MOST = 4, 1024  # lanes
LANE = 256  # bits that a stack holds for each of its lanes: a head is made of about 53 of them
EACH = 8  # symbols of a batch for each lane


class Batch(NamedTuple):
    """Rows that go through the networks together, and the lanes that their symbols go to."""

    rows: slice
    lanes: int

    @property
    def size(self) -> int:
        return int(self.rows.stop - self.rows.start)


class Pace(NamedTuple):
    """Bits of a row: how many it pops before anything of it is pushed, and how many it leaves in the end.

    A batch of b rows pops b times the first at once. It may be as large as what was left by the rows before allows, so that only
    the first row borrows; of rows that leave more than they pop, batches double and more.
    """

    popped: int
    left: int

    def batches(self, rows: int, numbers: int, most: int) -> Iterator[Batch]:
        """Batches of so many rows in all, of so many numbers each, none of more than `most` rows."""
        done, lanes = 0, FEWEST
        while done < rows:
            held = done * self.left
            size = min(most, rows - done, 1 + 3 * held // (4 * max(1, self.popped)))  # heads hold the rest, or less
            while lanes < MOST and 2 * lanes * LANE <= held and 2 * lanes * EACH <= size * numbers:
                lanes *= 2
            yield Batch(slice(done, done + size), lanes)
            done += size
