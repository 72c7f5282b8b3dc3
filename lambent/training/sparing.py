"""Work done beside the training, such as writing files, that is to cost it little."""

import time
from collections.abc import Callable


class Sparing:
    """Does work only where all of it costs at most a share of the time: after t seconds of work none for t / share seconds."""

    def __init__(self, share: float = 0.03) -> None:
        self.share = share
        self.free = float("-inf")

    def do(self, work: Callable[[], object]) -> bool:
        """Whether it was time for the work, which is then done."""
        began = time.monotonic()
        if began < self.free:
            return False
        work()
        ended = time.monotonic()
        self.free = ended + (ended - began) / self.share
        return True
