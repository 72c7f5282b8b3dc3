"""Distance: a number measured in a feature space, which is compared with numbers of the same space alone."""

from dataclasses import dataclass
from math import hypot

from lambent.errors import UsageError

PIXELS = "pixels"  # the space of the pictures themselves


@dataclass(frozen=True)
class Distance:
    """How far apart two sets of pictures are, or what share they have in common, with its standard error.

    space: the name of the feature space that it was measured in. Differences and comparisons of numbers from different spaces
    raise `UsageError`: a distance in one says nothing of a distance in another.
    """

    value: float
    error: float | None
    space: str

    def __float__(self) -> float:
        return self.value

    def __sub__(self, other: "Distance") -> "Distance":
        """The difference, with √(e² + e′²): the error of two numbers that do not hang together."""
        self._beside(other)
        known = None if self.error is None or other.error is None else hypot(self.error, other.error)
        return Distance(self.value - other.value, known, self.space)

    def __truediv__(self, other: "Distance") -> float:
        """The ratio of the two values."""
        self._beside(other)
        return self.value / other.value

    def __lt__(self, other: "Distance") -> bool:
        self._beside(other)
        return self.value < other.value

    def __gt__(self, other: "Distance") -> bool:
        self._beside(other)
        return self.value > other.value

    def _beside(self, other: "Distance") -> None:
        if not isinstance(other, Distance):
            raise UsageError(f"a Distance is compared with a Distance, not with {type(other).__name__}: take its value")
        if self.space != other.space:
            raise UsageError(
                f"these numbers were measured in different feature spaces, {self.space} and {other.space}, and cannot be "
                "compared: measure both in one (--features FILE, features=…)"
            )
