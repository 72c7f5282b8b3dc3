"""Conversion: files → rows on disk, by a modality that is learned in one pass and encodes in another, once."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lambent.data.conditions import Conditions, Learner
from lambent.data.kinds.modality import Modality
from lambent.data.loading import encoded, named_beside
from lambent.data.notices import Notices, together
from lambent.data.readers.pieces import ArrayPieces, Pieces
from lambent.data.readers.raw import Raw
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
        state = None if self.training is not None else described(self.modality)
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
            if not allowed.all():
                self.modality.allow(_picked(self._told("looking at what is held out"), ~allowed))
            if self.pieces.labels is not None:
                _name(self.modality, self._names(self.pieces.labels[allowed]))
            if self.modality.condition:
                self.modality.conditions = self._conditions(allowed)
        learned = {"notices": getattr(self.modality, "notices", {}), "noticed": getattr(self.modality, "noticed", {})}
        facts = self._in_place() or self._encode()
        content = {
            "identity": self.identity,
            "modality": described(self.modality),
            **facts,
            **together(learned, facts),
        }
        self.manifest.write(content)
        found = self._kept()
        if found is None:
            raise DataError(f"{self.pieces.path}: changed while it was read; read it again when its writer is done")
        return found

    def _in_place(self) -> dict[str, Any] | None:
        """What the manifest says of an array whose rows are their own encoding; None for others."""
        heading = self.pieces.heading if isinstance(self.pieces, ArrayPieces) else None
        if heading is None or self.modality.condition or not self.modality.unchanging(heading.shape[1:], heading.dtype):
            return None
        rows, kind = heading.shape[0], str(heading.dtype)
        return {"place": "source", "start": heading.start, "rows": rows, "dtype": kind, "labels": False}

    def _kept(self) -> OnDisk | None:
        """What the manifest describes; None where it is of another source, or its files are not whole."""
        if not self.manifest.describes(self.identity) or identity(self.pieces.path) != self.identity:
            return None
        try:
            content = self.manifest.content
            modality = restored(content["modality"])
            shape = (int(content["rows"]), *modality.event)
            kind = np.dtype({"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}[content["dtype"]])
            in_place = content["place"] == "source"
            place, start = (self.pieces.path, int(content["start"])) if in_place else (self._file("rows"), 0)
            store = FlatFile(place, shape, kind, start)
            labels = self._labels(shape[0]) if content["labels"] else None
            names, notices = content.get("label_names"), together({}, content)
            width = modality.conditions.width
            given = FlatFile(self._file("context"), (shape[0], width), np.dtype(np.float32)) if width else None
        except (KeyError, TypeError, ValueError, AttributeError, OSError, LambentError):
            return None  # a cache that is damaged is made anew
        source = {"split": self.split, **self.pieces.facts, "rows": shape[0], **notices, **self.identity}
        modality = modality if self.training is not None else self.modality
        return OnDisk(store, modality, None, labels, names, source, self.manifest, self.tell, given)

    def _labels(self, rows: int) -> np.ndarray:
        labels = np.memmap(self._file("labels"), np.int64, "r")
        if len(labels) != rows:
            raise ValueError("labels of another number of rows")
        return labels

    def _encode(self) -> dict[str, Any]:
        """Fill the cache's files; what the manifest is to say of them."""
        facts: dict[str, Any] = {}
        paths = {kind: self._file(kind) for kind in ("rows", "labels", "context")}
        _written(list(paths.values()), lambda opened: facts.update(self._fill(*opened)))
        for kind, held in (("labels", facts["labels"]), ("context", bool(self.modality.conditions))):
            if not held:
                paths[kind].unlink(missing_ok=True)
        return facts

    def _fill(self, file: BinaryIO, labels: BinaryIO, contexts: BinaryIO) -> dict[str, Any]:
        learned = names = getattr(self.modality, "label_names", None)
        notices = Notices()
        rows, labelled, kind = 0, True, ""
        for raw in self._raws("converting the rows, once"):
            _name(self.modality, names)  # so that a label has one code in all pieces
            found = encoded(self.modality, raw)
            values = found.x.numpy()
            values = values.astype(np.uint16) if values.dtype == np.int32 else values  # levels of more than 8 bits
            file.write(values.reshape(-1).view(np.uint8).data)
            if found.labels is not None:
                labels.write(np.ascontiguousarray(found.labels, np.int64).data)
            if found.context is not None:
                contexts.write(found.context.numpy().reshape(-1).view(np.uint8).data)
            elif self.modality.conditions:
                self.modality.conditions.encode(found.beside, gaps=True)  # which says what is missing
            names = names if found.label_names is None else found.label_names
            labelled = labelled and found.labels is not None
            self._add(notices, found.source)
            rows, kind = rows + len(values), str(values.dtype)
        _name(self.modality, learned)
        told = {"place": "cache", "rows": rows, "dtype": kind, "labels": labelled}
        return told | {"label_names": names, **notices.facts()}

    def _conditions(self, allowed: np.ndarray) -> Conditions:
        """Levels and scales of what conditions, learned of the rows that are allowed."""
        learners = {name: Learner(name, gaps=True) for name in self.modality.condition}
        start = 0
        for raw in self._raws("learning the conditions"):
            chosen = np.flatnonzero(allowed[start : start + len(raw.rows)])
            start += len(raw.rows)
            if len(chosen):
                beside = encoded(self.modality, raw.take(chosen)).beside
                for name, one in learners.items():
                    one.add(np.asarray(named_beside(beside, name)))
        return Conditions([one.condition() for one in learners.values()])

    def _raws(self, what: str) -> Iterator[Raw]:
        """The pieces, opened, with the labels that lie beside them."""
        start, facts = 0, {"path": str(self.pieces.path)}
        for piece in self._told(what):
            stop = start + len(piece)
            labels = None if self.pieces.labels is None else self.pieces.labels[start:stop]
            yield Raw(self.modality.open(piece), labels, facts=facts)
            start = stop

    def _add(self, notices: Notices, source: dict[str, Any]) -> None:
        """Take in a piece's notices: counts of rows add up over pieces; those of columns are the same in each."""
        for what, count in (source.get("notices") or {}).items():
            notices[what] = notices[what] + count if self.modality.counts_rows else max(notices[what], count)
        for what, names in (source.get("noticed") or {}).items():
            held = notices.names.setdefault(what, [])
            held += [name for name in names if name not in held]

    def _names(self, labels: np.ndarray) -> list[str] | None:
        """The names of labels that lie beside the rows."""
        try:
            return as_labels(labels)[1]
        except DataError as error:
            raise DataError(f"{self.pieces.path}: {error}") from None

    def _told(self, what: str) -> Iterator[Any]:
        """The pieces, telling how far they are."""
        rows = self.pieces.rows
        seen = 0
        for piece in self.pieces:
            yield piece
            seen += len(piece)
            if self.tell is not None:
                self.tell(what, min(1.0, seen / rows) if rows else 0.0)


def described(modality: Modality) -> dict[str, Any]:
    """A fitted modality as plain JSON; `restored` is the inverse."""
    return {"spec": modality.spec(), "state": modality.state(), "conditions": modality.conditions.state()}


def restored(content: dict[str, Any]) -> Modality:
    modality = Modality.from_spec(content["spec"]).restore(content["state"])
    modality.conditions = Conditions.restored(content["conditions"])
    return modality


def _written(paths: list[Path], fill: Callable[[list[BinaryIO]], object]) -> None:
    """Have several files filled together, each of which is put into place when all are whole."""
    opened: list[BinaryIO] = []

    def write(place: int) -> None:
        if place == len(paths):
            fill(opened)
            return

        def begun(temporary: Path) -> None:
            with open(temporary, "xb") as file:
                opened.append(file)
                write(place + 1)

        write_whole(paths[place], begun)

    write(0)


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
