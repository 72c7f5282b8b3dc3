"""Pace: how many rows are coded at once, so that a stack never has to lend what it does not hold."""

from collections.abc import Iterator
from typing import NamedTuple

FEWEST, MOST = 4, 1024  # lanes
HEAD = 72  # bits that a head of a lane is made of, at most; about 53
EACH = 8  # symbols of a batch for each lane
GROWTH = 8  # times as many rows as were coded: what those hold gives lanes to few, and a batch of few lanes takes long


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
            lent = 1 + 3 * held // (4 * max(1, self.popped))  # heads hold the rest, or less
            size = min(most, rows - done, lent, max(1, GROWTH * done))
            spare = held - 4 * size * self.popped // 3
            while lanes < MOST and 2 * lanes * HEAD <= spare and 2 * lanes * EACH <= size * numbers:
                lanes *= 2
            yield Batch(slice(done, done + size), lanes)
            done += size
