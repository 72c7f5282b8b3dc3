"""Machine: what there is to compute with, as far as choices of sizes hang on it."""

import os
from dataclasses import dataclass
from typing import Self

from lambent.memory import free_memory

PRESETS = ("small", "medium", "large", "constant")  # of models and trainings: three sizes, and a posterior of one width


@dataclass(frozen=True)
class Machine:
    """cores: processors that this process may use. memory, gpu: free bytes, those of the GPU to be used; None: none known."""

    cores: int
    memory: int | None
    gpu: int | None

    @classmethod
    def here(cls, device: str = "auto") -> Self:
        """This machine, with its GPU where `device` would take it."""
        import torch

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        used = torch.cuda.is_available() and device.partition(":")[0] in ("auto", "cuda")
        number = int(device.partition(":")[2] or 0) if used else 0
        gpu = torch.cuda.mem_get_info(number)[0] if used and number < torch.cuda.device_count() else None
        return cls(cores, free_memory(), gpu)

    @property
    def room(self) -> int:
        """Bytes that are free where a model would be trained; 4 GB where nothing tells."""
        return (self.memory or 4 * 10**9) if self.gpu is None else self.gpu
