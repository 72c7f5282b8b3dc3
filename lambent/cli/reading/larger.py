"""Data that may be larger than memory: whether rows stay on the disk, and why; the same rows as in memory either way."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli.reading import sources
from lambent.cli.reading.sources import SEED, Splits, settled
from lambent.cli.reading.trees import Tree
from lambent.cli.voice import Voice
from lambent.data import Encoded, Modality, parted_like
from lambent.data.catalog.entries import CATALOG
from lambent.data.readers.arrays import divided
from lambent.data.stored.memory import needed
from lambent.data.stored.ondisk import OnDisk
from lambent.data.stored.opening import guess_of, in_files, on_disk_like, on_disk_parted, parted
from lambent.errors import DataError
from lambent.memory import free_memory, shown, size_of
from lambent.progress import Display, Meter

CACHE = ".cache"  # beside the runs, so that they share it


def load_rows(
    request: Tree, fields: Tree, validation: str | float, folder: Path, voice: Voice, encoding: str | None = None
) -> Splits:
    """The rows of a plan: in memory where they fit, else read from disk while they are trained on.

    encoding: how the likelihood that was chosen wants columns encoded; none: not known.
    Both give the same rows, the same scales and the same batches.
    """
    if request["memory"] != "auto":
        size_of(request["memory"])
    source = settled(request["source"] or "")
    modality = _modality(source, request["split"], fields, encoding)
    reason = None if modality is None else beyond(source, request["split"], modality, request["memory"])
    if modality is None or reason is None:
        return sources.load_rows(request, fields, validation, voice, encoding)
    voice.step(f"{reason}: they are read from disk")
    return _from_disk(request | {"source": source}, modality, validation, cache_of(folder), voice)


def cache_of(folder: Path) -> Path:
    """Where what was converted for a run lies: beside its folder, so that the runs there share it."""
    return folder.absolute().parent / CACHE


def _modality(source: str, split: str, fields: Tree, encoding: str | None = None) -> Modality | None:
    """The modality of a path whose rows could be read from disk; None for all else, and for what loading will refuse."""
    if not _is_path(source):
        return None
    try:
        default = None if "type" in fields else guess_of(source, split).spec()
    except DataError:
        return None
    return sources.modality_of(fields, default, encoding)


def _is_path(source: str) -> bool:
    return bool(source) and source.partition("?")[0] not in CATALOG and os.path.exists(divided(source)[0])


def beyond(source: str, split: str, modality: Modality, memory: str) -> str | None:
    """Why the rows of a path are read from disk; None where they fit into memory, or can be read only at once."""
    if getattr(modality, "crop", None) is not None and os.path.isdir(source):
        return "crops are taken of whole photographs"
    free = free_memory()
    limit = _limit(memory, free)
    size = None if limit is None else needed(source, split, modality)
    if limit is None or size is None or size <= limit:
        return None
    if memory == "auto":
        return (
            f"the rows would take about {shown(size)} of memory, more than half of the {shown(free or 0)} that are free"
        )
    return f"the rows would take about {shown(size)} of memory, more than the {shown(limit)} that --memory allows"


def _limit(memory: str, free: int | None) -> int | None:
    """The most bytes that rows may take; None where nothing says."""
    return size_of(memory) if memory != "auto" else None if free is None else free // 2


def _from_disk(request: Tree, modality: Modality, validation: str | float, cache: Path, voice: Voice) -> Splits:
    source, split, tell = request["source"], request["split"], Waiting(voice)
    if in_files(Path(source), modality) and request["memory"] == "auto":
        # A resumed run knows what is in files on disk by these files, and in memory by what they hold: it is to choose alike.
        request["memory"] = f"{_limit('auto', free_memory())} B"
    test = request["test"] = sources.split_to_test(request)
    watched = sources.split_to_validate(request, validation)
    train, *cut_off = on_disk_parted(source, cache, sources.shares(test, watched), SEED, split, modality, tell)
    tested = on_disk_like(train.modality, source, cache, test, tell) if isinstance(test, str) else cut_off.pop(0)
    if isinstance(watched, str):
        cut_off = [on_disk_like(train.modality, source, cache, watched, tell)]
    train = _limited(train, request["limit"])
    valid = _limited(cut_off[0], request["limit"]) if cut_off else None
    sources.announce(train, valid, tested, voice)
    voice.note("on disk, rows that occur both in training and in test rows are not looked for")
    return Splits(train, valid, tested, request, watched)


def _limited(rows: OnDisk, count: int | None) -> OnDisk:
    """A view of at most `count` rows: those that `drawn` draws."""
    if count is None or count >= len(rows):
        return rows
    order = np.random.Generator(np.random.PCG64(SEED)).permutation(len(rows))
    return rows.view(np.sort(order[:count]), drawn=count)


def recorded(
    provenance: dict[str, Any], modality: Modality, split: str | None, folder: Path, voice: Voice
) -> Encoded | OnDisk:
    """`sources.recorded`, of a run in a folder: on the disk where they would not fit into memory."""
    request = provenance.get("request")
    if not isinstance(request, dict) or not {"source", "split", "test", "limit"} <= request.keys():
        return sources.recorded(provenance, modality, split)
    source, test, cache, tell = str(request["source"]), request["test"], cache_of(folder), Waiting(voice)
    if not _is_path(source) or beyond(source, request["split"], modality, request.get("memory", "auto")) is None:
        return sources.recorded(provenance, modality, split)
    wants_test = split in (None, "test", test)
    named = test if wants_test else split if split not in ("train", request["split"]) else None
    if isinstance(named, str):
        return on_disk_like(modality, source, cache, named, tell)
    shares = sources.shares(test, (provenance.get("fit") or {}).get("validation", ""))
    train, *cut_off = on_disk_parted(source, cache, shares, SEED, request["split"], modality.spec(), tell)
    if train.modality.state() != modality.state():  # other data now: read as the model reads
        whole = on_disk_like(modality, source, cache, request["split"], tell)
        train, *cut_off = parted(whole, shares, SEED)
    return cut_off[0] if wants_test else _limited(train, request["limit"])


def held_out(provenance: dict[str, Any], modality: Modality, folder: Path, voice: Voice) -> Encoded | OnDisk | None:
    """Rows of a run that nothing was learned from, drawn as those that it was trained on; None where it held none out.

    The test rows, where they are a share of the same rows; a split of its own may be drawn otherwise, so that then those are
    taken that training was watched by.
    """
    request = provenance.get("request") or {}
    if not isinstance(request.get("test", ""), str):
        return recorded(provenance, modality, None, folder, voice)
    watched = (provenance.get("fit") or {}).get("validation", 0)
    if isinstance(watched, str):
        return recorded(provenance, modality, watched, folder, voice) if watched != "auto" and request else None
    if not watched or "source" not in request:
        return None
    source, split = str(request["source"]), request["split"]
    if _is_path(source) and beyond(source, split, modality, request.get("memory", "auto")) is not None:
        whole = on_disk_like(modality, source, cache_of(folder), split, Waiting(voice))
        return _limited(parted(whole, (watched,), SEED)[1], request["limit"])
    return sources.drawn(parted_like(modality, source, (watched,), SEED, split)[1], request["limit"])


def given(
    modality: Modality | None, source: str, split: str | None, resize: bool, folder: Path, voice: Voice
) -> Encoded | OnDisk:
    """`sources.given`, on the disk where the rows would not fit into memory."""
    path = settled(source)
    if modality is None or not _is_path(path) or beyond(path, split or "train", modality, "auto") is None:
        return sources.given(modality, source, split, resize)
    split = split or ("test" if sources.has_split(path, "test") else "train")
    wanted = modality.converting() if resize else modality
    return on_disk_like(wanted, path, cache_of(folder), split, Waiting(voice))


def drawn(rows: Encoded | OnDisk, count: int | None) -> Encoded:
    """`sources.drawn`, in memory: at most `count` of the rows, drawn by a fixed seed, in their first order."""
    return in_memory(_limited(rows, count)) if isinstance(rows, OnDisk) else sources.drawn(rows, count)


def leading(rows: Encoded | OnDisk, count: int | None) -> Encoded:
    """The first `count` rows, in memory."""
    if isinstance(rows, Encoded):
        return sources.leading(rows, count)
    return in_memory(rows if count is None else rows.view(np.arange(min(count, len(rows)))))


def in_memory(rows: Encoded | OnDisk) -> Encoded:
    """Rows of a view in memory; `DataError` where they would not fit."""
    if isinstance(rows, Encoded):
        return rows
    free = free_memory()
    if free is not None and rows.nbytes > free // 2:
        raise DataError(
            f"{len(rows):,} rows would take {shown(rows.nbytes)}, more than half of the {shown(free)} of memory that are free: "
            "take fewer of them with --limit"
        )
    return rows.loaded()


class Waiting:
    """What takes longer than two seconds, with its share that is done."""

    def __init__(self, voice: Voice) -> None:
        self.voice, self.what = voice, ""
        self.meter: Meter | None = None

    def __call__(self, what: str, share: float) -> None:
        if self.voice.quiet:
            return
        if what != self.what:
            self.stop()
            self.what = what
        self.meter = self.meter or Display().begun(what, 1)
        self.meter.moved(share)
        if share >= 1:
            self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self.meter is not None:
            self.meter.ended()
            self.meter = None
