"""Conversion: files → rows on disk, by a modality that is learned in one pass and encodes in another, once."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lambent.data.kinds.modality import Modality
from lambent.data.readers.pieces import ArrayPieces, Pieces
from lambent.data.splitting import as_labels
from lambent.data.stored.manifest import Manifest
from lambent.data.stored.ondisk import OnDisk
from lambent.data.stored.stores import FlatFile
from lambent.disk.whole import write_whole
from lambent.errors import DataError, LambentError

Tell = Callable[[str, float], None]


@dataclass
class Conversion:
    """One source, to be encoded by one modality, with what tells how far it is.

    training: for each row whether the modality may learn from it; none: it is fitted already. folder: where the cache lies;
    its files are named after the source and a hash of all that decides what they hold.
    """

    pieces: Pieces
    modality: Modality
    folder: Path
    split: str = "train"
    cut: dict[str, Any] | None = None
    training: Callable[[int], np.ndarray] | None = None
    tell: Tell | None = None

    def __post_init__(self) -> None:
        state = None if self.training is not None else self.modality.state()
        which = [os.path.abspath(self.pieces.path), self.pieces.facts.get("key"), self.split, self.cut]
        told = json.dumps([which, self.modality.spec(), state], sort_keys=True)
        key = hashlib.sha256(told.encode()).hexdigest()[:16]
        self.base = self.folder / f"{self.pieces.path.stem[:60]}-{key}"
        self.identity = identity(self.pieces.path)
        self.manifest = Manifest(self._file("json"))

    def _file(self, kind: str) -> Path:
        return self.base.with_name(f"{self.base.name}.{kind}")

    def done(self) -> OnDisk:
        """The rows, from the cache where it was made of this very source, else converted now."""
        found = self._kept()
        if found is not None:
            return found
        if self.training is not None:
            allowed = self.training(self.pieces.count())
            self.modality.learn(_picked(self._told("learning the scales"), allowed))
            if self.pieces.labels is not None:
                _name(self.modality, self._codes(self.pieces.labels[allowed], None)[1])
        learned = dict(getattr(self.modality, "notices", {}))
        facts = self._in_place() or self._encode()
        content = {
            "identity": self.identity,
            "modality": {"spec": self.modality.spec(), "state": self.modality.state()},
            **facts,
            "notices": learned | facts.get("notices", {}),
        }
        self.manifest.write(content)
        found = self._kept()
        if found is None:
            raise DataError(f"{self.pieces.path}: changed while it was read; read it again when its writer is done")
        return found

    def _in_place(self) -> dict[str, Any] | None:
        """What the manifest says of an array whose rows are their own encoding; None for others."""
        heading = self.pieces.heading if isinstance(self.pieces, ArrayPieces) else None
        if heading is None or not self.modality.unchanging(heading.shape[1:], heading.dtype):
            return None
        rows, kind = heading.shape[0], str(heading.dtype)
        return {"place": "source", "start": heading.start, "rows": rows, "dtype": kind, "labels": False}

    def _kept(self) -> OnDisk | None:
        """What the manifest describes; None where it is of another source, or its files are not whole."""
        if not self.manifest.describes(self.identity) or identity(self.pieces.path) != self.identity:
            return None
        try:
            content = self.manifest.content
            described = content["modality"]
            modality = Modality.from_spec(described["spec"]).restore(described["state"])
            shape = (int(content["rows"]), *modality.event)
            kind = np.dtype({"uint8": np.uint8, "float32": np.float32}[content["dtype"]])
            in_place = content["place"] == "source"
            place, start = (self.pieces.path, int(content["start"])) if in_place else (self._file("rows"), 0)
            store = FlatFile(place, shape, kind, start)
            labels = self._labels(shape[0]) if content["labels"] else None
            names, notices = content.get("label_names"), dict(content["notices"])
        except (KeyError, TypeError, ValueError, AttributeError, OSError, LambentError):
            return None  # a cache that is damaged is made anew
        source = {"split": self.split, **self.pieces.facts, "rows": shape[0], "notices": notices, **self.identity}
        modality = modality if self.training is not None else self.modality
        return OnDisk(store, modality, None, labels, names, source, self.manifest, self.tell)

    def _labels(self, rows: int) -> np.ndarray:
        labels = np.memmap(self._file("labels"), np.int64, "r")
        if len(labels) != rows:
            raise ValueError("labels of another number of rows")
        return labels

    def _encode(self) -> dict[str, Any]:
        """Fill the cache's files; what the manifest is to say of them."""
        facts: dict[str, Any] = {}

        def fill(labels: Path) -> None:
            with open(labels, "xb") as beside:
                write_whole(self._file("rows"), lambda rows: facts.update(self._fill(rows, beside)))

        write_whole(self._file("labels"), fill)
        if not facts["labels"]:
            self._file("labels").unlink(missing_ok=True)
        return facts

    def _fill(self, path: Path, beside: BinaryIO) -> dict[str, Any]:
        learned: list[str] | None = getattr(self.modality, "label_names", None)
        held, names = (None, learned) if self.pieces.labels is None else self._codes(self.pieces.labels, learned)
        notices: dict[str, int] = {}
        rows, labelled, kind = 0, True, ""
        with open(path, "xb") as file:
            for piece in self._told("converting the rows, once"):
                _name(self.modality, names)  # so that a label has one code in all pieces
                encoded = self.modality.read(piece)
                values = encoded.x.numpy()
                file.write(values.reshape(-1).view(np.uint8).data)
                codes = encoded.labels if held is None else held[rows : rows + len(values)]
                names = names if encoded.label_names is None else encoded.label_names
                labelled = labelled and codes is not None
                beside.write(b"" if codes is None else np.ascontiguousarray(codes, np.int64).data)
                notices = self._together(notices, encoded.source.get("notices") or {})
                rows, kind = rows + len(values), str(values.dtype)
        _name(self.modality, learned)
        told = {"place": "cache", "rows": rows, "dtype": kind, "labels": labelled}
        return told | {"label_names": names, "notices": notices}

    def _together(self, first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
        """Counts of rows add up over pieces; those of columns are the same in each."""
        found = Counter(first)
        return dict(found + Counter(second) if self.modality.counts_rows else found | Counter(second))

    def _codes(self, labels: np.ndarray, known: list[str] | None) -> tuple[np.ndarray | None, list[str] | None]:
        """Labels that lie beside the rows, as codes, with their names."""
        try:
            codes, names = as_labels(labels, known)
        except DataError as error:
            raise DataError(f"{self.pieces.path}: {error}") from None
        return codes, names

    def _told(self, what: str) -> Iterator[Any]:
        """The pieces, telling how far they are."""
        rows = self.pieces.rows
        seen = 0
        for piece in self.pieces:
            yield piece
            seen += len(piece)
            if self.tell is not None:
                self.tell(what, min(1.0, seen / rows) if rows else 0.0)


def _name(modality: Modality, names: list[str] | None) -> None:
    """Let the modality give labels of these names their codes, where it knows of labels."""
    if hasattr(modality, "label_names"):
        vars(modality)["label_names"] = names


def identity(path: Path) -> dict[str, Any]:
    """What tells that a file is still the one it was: its size and the time of its last change."""
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return {"bytes": found.st_size, "changed": found.st_mtime_ns}


def _picked(pieces: Iterator[Any], allowed: np.ndarray) -> Iterator[Any]:
    """The rows of pieces that are allowed, of `allowed` [rows]; pieces without any are left out."""
    start = 0
    for piece in pieces:
        chosen = np.flatnonzero(allowed[start : start + len(piece)])
        start += len(piece)
        if len(chosen):
            yield piece if len(chosen) == len(piece) else piece[chosen]
