"""FromDisk: batches of rows on disk, read ahead by threads; the same batches as from memory."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lambent.data.batches import Batch, Batches
from lambent.data.stored.ondisk import OnDisk
from lambent.seeds import mixed_seed, stream

AHEAD = 8  # batches
AHEAD_BYTES = 2**26
PIECE = 2**16  # rows whose context is in memory at a time


class FromDisk(Batches):
    """Each epoch one permutation, drawn from (seed, epoch) as `InMemory` draws it: the same seed gives the same bits.

    Of the rows no more than a few batches are in memory; of the permutation and of a view's index, four bytes a row each.
    fixed: rows that have many views, such as the crops of a photograph, are the same in each epoch; else drawn from (seed, epoch)
    and the row's number.
    """

    def __init__(
        self,
        data: OnDisk,
        batch: int,
        seed: int,
        device: torch.device,
        context: Tensor | None = None,
        numbers: Tensor | None = None,
        fixed: bool = False,
    ) -> None:
        self.data = data
        self.fixed = fixed
        self.context = None if context is None else context.float()
        self.numbers = numbers  # in the data that these rows are a share of
        self.device = device
        self.rows = len(data)
        self.batch = min(batch, self.rows)
        self.seed = seed
        self.steps = -(-self.rows // self.batch)
        self.ahead = max(1, min(AHEAD, AHEAD_BYTES // max(1, self.batch * data.store.row_bytes)))

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        self.data.store.check()
        order = self._order(mixed_seed(self.seed, number))
        views = None if self.fixed else stream(mixed_seed(self.seed, number), "views of rows")
        waiting: deque[tuple[np.ndarray, Future[tuple[Tensor, Tensor | None]]]] = deque()
        places = iter(range(start, self.steps))
        with ThreadPoolExecutor(self.data.store.readers, "lambent-read-ahead") as pool:
            try:
                while True:
                    while len(waiting) < self.ahead and (place := next(places, None)) is not None:
                        rows = order[place * self.batch : (place + 1) * self.batch]
                        waiting.append((rows, pool.submit(self._read, rows, views)))
                    if not waiting:
                        return
                    rows, coming = waiting.popleft()
                    x, context = coming.result()
                    numbers = torch.from_numpy(rows).long()
                    numbers = numbers if self.numbers is None else self.numbers[numbers].long()
                    yield (
                        x.to(self.device),
                        None if context is None else context.to(self.device),
                        numbers.to(self.device),
                    )
            finally:  # whoever stops listening does not wait for what was asked for
                for _, left in waiting:
                    left.cancel()

    def _read(self, rows: np.ndarray, views: int | None) -> tuple[Tensor, Tensor | None]:
        return self.data.read(rows, views), self.context_of(rows)

    def context_of(self, rows: np.ndarray) -> Tensor | None:
        """What conditions the model at these rows: what was given here, else what the data have."""
        if self.context is not None:
            return self.context[torch.from_numpy(np.asarray(rows)).long()]
        return self.data.context(rows)

    def _order(self, seed: int) -> np.ndarray:
        """A permutation of the rows; in four bytes each it is the same as in eight."""
        dtype = torch.int32 if self.rows < 2**31 else torch.int64
        return torch.randperm(self.rows, generator=torch.Generator().manual_seed(seed), dtype=dtype).numpy()

    def examples(self, count: int) -> Tensor:
        return self.data.read(self._order(stream(self.seed, "examples"))[:count]).to(self.device)

    def pieces(self) -> Iterator[Tensor]:
        """All rows in their order, a piece at a time."""
        yield from self.data.pieces()

    def fingerprint(self) -> str:
        """That of the same rows in memory, found by one pass over them and then kept; of pictures, that of their files."""
        given = b"" if self.context is None else self.context.cpu().numpy().tobytes()
        if (files := self.data.store.digest) is not None:
            modality = self.data.modality
            told = f"{files} {modality.spec()} {modality.state()} {modality.conditions.state()}".encode()
            index = b"" if self.data.index is None else self.data.index.tobytes()
            return hashlib.sha256(told + index + given).hexdigest()
        question = f"fingerprint with {hashlib.sha256(given).hexdigest()}" if given else "fingerprint"
        return self.data.known(question, self._fingerprint)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.data.dtype} {list(self.data.shape)}".encode())
        for piece in self.data.pieces("reading the rows once, for what a resumed run compares"):
            digest.update(piece.numpy().reshape(-1).view(np.uint8).data)
        for start in range(0, self.rows, PIECE):
            context = self.context_of(np.arange(start, min(start + PIECE, self.rows)))
            digest.update(b"" if context is None else context.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
