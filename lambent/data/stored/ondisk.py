"""OnDisk: encoded rows that stay on the disk, and views of them."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.tensors import rows_of
from lambent.data.loading import named_labels
from lambent.data.stored.manifest import Manifest
from lambent.data.stored.stores import Store

PIECE = 2**24  # bytes of rows that a pass over them holds at a time


@dataclass
class OnDisk:
    """What `Encoded` is for rows in memory: rows [rows, *event] of a store, with labels and where they came from.

    index: which rows of the store, in this order; none: all. labels: one for each row of the store. manifest: what is known
    of the store from earlier passes over it. tell: is called with what is being done and the share of it that is. given: what
    conditions a model, for each row of the store; none: of a modality with conditions it is made of the labels and of what lies
    `beside` them, columns by name.
    """

    store: Store
    modality: Modality
    index: np.ndarray | None = None
    labels: np.ndarray | None = None
    label_names: list[str] | None = None
    source: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None
    tell: Callable[[str, float], None] | None = None
    given: Store | None = None
    beside: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.store.rows if self.index is None else len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        """[rows, *event]."""
        return (len(self), *self.store.event)

    @property
    def dtype(self) -> torch.dtype:
        return {"uint8": torch.uint8, "uint16": torch.int32}.get(self.store.dtype.name, torch.float32)

    @property
    def nbytes(self) -> int:
        """What the rows would take in memory."""
        return len(self) * self.store.row_bytes // self.store.dtype.itemsize * self.dtype.itemsize

    def view(self, index: np.ndarray, **facts: object) -> "OnDisk":
        """The rows at `index`, of which nothing is copied; `facts` are added to the source."""
        narrow = np.int32 if self.store.rows < 2**31 else np.int64  # four bytes a row matter where there are many
        rows = np.asarray(index).astype(narrow, copy=False)
        if self.index is not None:
            rows = self.index[rows]
        return replace(self, index=rows, source=self.source | facts | {"rows": len(rows)})

    def __getitem__(self, rows: slice) -> Tensor:
        """Rows from one position to another."""
        return self.read(np.arange(*rows.indices(len(self))))

    def read(self, positions: np.ndarray, seed: int | None = None) -> Tensor:
        """The rows at these positions, in their order; of rows that have many views, those that the seed draws."""
        return rows_of(self.store.read(self._numbers(positions), seed))

    def context(self, positions: np.ndarray) -> Tensor | None:
        """What conditions a model at these positions, [n, width]; None where the modality has no conditions."""
        numbers = self._numbers(positions)
        if self.given is not None:
            return torch.from_numpy(self.given.read(numbers))
        conditions = self.modality.conditions
        return conditions.encode(self._beside(numbers), gaps=True) if conditions else None

    def _numbers(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(positions if self.index is None else self.index[positions])

    def _beside(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """What lies beside the rows, and the labels by name, under the names that a condition may have for them."""
        beside = {name: values[numbers] for name, values in self.beside.items()}
        if self.labels is None:
            return beside
        own = getattr(self.modality, "label", None)
        named = named_labels(np.array(self.labels[numbers]), self.label_names)
        return beside | dict.fromkeys(("label", *([own] if own else [])), named)

    def pieces(self, what: str = "reading the rows") -> Iterator[Tensor]:
        """All rows in their order, a piece at a time."""
        step = max(1, PIECE // self.store.row_bytes)
        for start in range(0, len(self), step):
            yield self.read(np.arange(start, min(start + step, len(self))))
            if self.tell is not None:
                self.tell(what, min(1.0, (start + step) / len(self)))

    def loaded(self) -> Encoded:
        """The rows in memory; of many rows, take a view first."""
        every = np.arange(len(self))
        numbers = self._numbers(every)
        labels = None if self.labels is None else np.array(self.labels[numbers])
        facts: dict[str, Any] = {
            "source": dict(self.source),
            "beside": self._beside(numbers),
            "context": self.context(every),
            "files": None if self.store.files is None else [self.store.files[row] for row in numbers],
            "numbers": None if self.index is None else numbers,
        }
        return Encoded(self.read(every), self.modality, labels, self.label_names, **facts)

    def known(self, question: str, answer: Callable[[], str]) -> str:
        """The answer to a question about these rows: the one that was found before, else found now and kept."""
        which = "all" if self.index is None else hashlib.sha256(self.index.astype("<i8").tobytes()).hexdigest()
        if self.manifest is None:
            return answer()
        return self.manifest.known(f"{question} of {which}", answer)
