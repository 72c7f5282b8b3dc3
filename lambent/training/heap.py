"""The heap of a process: on Linux it hands freed memory back to the system so readily that loops spend a quarter on it."""

from contextlib import suppress

import torch

# Just below the largest block by which glibc adapts itself (32 MiB).
BLOCK = 31 << 20


def settle() -> None:
    """Let freed memory of up to 62 MiB stay with the process, to be used again without being cleared page by page.

    glibc hands back what is free at the end of its heap beyond twice the largest block it has seen freed. So a block is made,
    left untouched, and freed; that takes microseconds and no memory. The process stays so, as after any tensor of that size.
    Under another allocator nothing changes.
    """
    with suppress(RuntimeError):  # a process that may not have so much more does without
        torch.empty(BLOCK, dtype=torch.uint8)
