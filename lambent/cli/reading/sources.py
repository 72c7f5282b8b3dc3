"""Rows for a verb: those to train on, those to test on, and the same rows again later."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli.reading.specs import completed
from lambent.cli.reading.trees import Tree
from lambent.cli.voice import Voice
from lambent.data import Encoded, Modality, encode_like, load_parted, overlap, parted_like
from lambent.data import load as encode
from lambent.data.catalog.entries import CATALOG, entry_named
from lambent.data.loading import folder_of, guess, raw_rows
from lambent.data.notices import sentences
from lambent.data.readers.arrays import holds, is_array_file
from lambent.data.readers.raw import Raw
from lambent.data.splitting import take
from lambent.data.stored.ondisk import OnDisk
from lambent.errors import ArtifactError, DataError, UsageError

SHARE = 0.1  # held out for testing, and for validation, where the data have no split of their own
SEED = 0  # of cuts and draws of rows: runs that differ in their own seed alone are tested on the same rows


@dataclass
class Splits:
    """Rows to train on, to validate on (where any are held out) and to test on; `request` says how to get them again."""

    train: Encoded | OnDisk
    valid: Encoded | OnDisk | None
    test: Encoded | OnDisk
    request: Tree
    validation: str | float  # the split or the share that `valid` is


def load_rows(
    request: Tree, fields: Tree, validation: str | float, voice: Voice, encoding: str | None = None
) -> Splits:
    """Read the rows of a plan, with the modality that its fields describe or that the data suggest.

    The modality is fitted on the rows to train on, and has seen none of those to test or to validate on.
    """
    if request["source"] is None:
        raise UsageError(
            "which data? Name a file, a folder or a data set: lambent train DATA --out RUN (lambent data lists sets)"
        )
    if request["source"].lower().endswith((".yaml", ".yml", ".json")):
        raise UsageError(
            f"{request['source']}: is a configuration, not data; say lambent train --config {request['source']}"
        )
    request = request | {"source": settled(request["source"])}
    raw = raw_rows(request["source"], request["split"])
    default = entry_named(request["source"])[0].modality if raw.facts.get("name") else guessed(raw.rows, fields)
    modality = modality_of(fields, default, encoding)
    request["test"] = split_to_test(request)
    validation = split_to_validate(request, validation)
    train, test, valid = _parts(raw, request, validation, modality)
    _tell_overlap(train, test, "test", voice)
    if valid is not None:
        _tell_overlap(train, valid, "validation", voice)
        valid = drawn(valid, request["limit"])
    train = drawn(train, request["limit"])
    announce(train, valid, test, voice)
    return Splits(train, valid, test, request, validation)


def guessed(rows: Any, fields: Tree) -> Tree | None:
    """What the form of the rows suggests, unless the kind of data is named: then nothing is asked of them."""
    return None if "type" in fields else guess(rows).spec()


def modality_of(fields: Tree, default: Tree | None, encoding: str | None) -> Modality:
    """The modality of these fields; where they leave its scale open, as it suits the likelihood that was chosen, if one was.

    The configuration of a run names the scale, and the run is repeated by it.
    """
    modality = Modality.from_spec(completed(Modality, fields or None, default, "data"))
    return modality if encoding is None or "scale" in fields else modality.suited(encoding)


def _parts(
    raw: Raw, request: Tree, validation: str | float, modality: Modality
) -> tuple[Encoded, Encoded, Encoded | None]:
    """Rows to train on, to test on and to validate on: shares are cut off before the modality is fitted to the rest."""
    split, source = request["split"], request["source"]
    train, *cut_off = load_parted(raw, shares(request["test"], validation), SEED, split, modality)
    test = encode_like(train.modality, source, request["test"]) if isinstance(request["test"], str) else cut_off.pop(0)
    if isinstance(validation, str):
        return train, test, encode_like(train.modality, source, validation)
    return train, test, cut_off.pop(0) if cut_off else None


def shares(test: str | float, validation: str | float) -> tuple[float, ...]:
    """What is cut off the training rows, in this order: the test rows, then of the rest those to validate on."""
    return tuple(share for share in (test, validation) if not isinstance(share, str) and share)


def settled(source: str) -> str:
    """A data set's name as it is, a path made absolute, so that the run can be repeated from any folder."""
    if source.partition("?")[0] in CATALOG:
        return source
    path = os.path.abspath(source)
    return path if os.path.exists(path) or ".npz:" in path else source


def recorded(provenance: dict[str, Any], modality: Modality, split: str | None) -> Encoded:
    """The rows that a run was trained on, or tested on (the default), read again; a note where they have changed."""
    request = provenance.get("request")
    if not isinstance(request, dict) or not {"source", "split", "test", "limit"} <= request.keys():
        raise ArtifactError(
            "the model file does not say which data it was trained on: name the data (lambent VERB RUN DATA)"
        )
    if split not in (None, "train", "test", request["split"], request["test"]):
        return encode_like(modality, request["source"], str(split))
    wants_test = split in (None, "test", request["test"])
    if wants_test and isinstance(request["test"], str):
        return encode_like(modality, request["source"], request["test"])
    watched = (provenance.get("fit") or {}).get("validation", "")
    train, *cut_off = parted_like(modality, request["source"], shares(request["test"], watched), SEED, request["split"])
    return cut_off[0] if wants_test else drawn(train, request["limit"])


def given(modality: Modality | None, source: str, split: str | None, resize: bool = False) -> Encoded:
    """Rows that a user names for a trained model; its 'test' split by default, where there is one, else all.

    Pictures in arrays of another shape than those that the model was trained on are refused, unless `resize` asks for them
    to be brought to it.
    """
    source = settled(source)
    if split is None:
        split = "test" if has_split(source, "test") else "train"
    if modality is None:
        return encode(source, split)
    return encode_like(modality.converting() if resize else modality, source, split, convert=resize)


def drawn(rows: Encoded, count: int | None, seed: int = SEED) -> Encoded:
    """At most `count` of the rows, drawn by the seed, in their first order."""
    if count is None or count >= len(rows):
        return rows
    if count < 1:
        raise UsageError("limit: at least one row is needed")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(rows))
    return take(rows, np.sort(order[:count]), drawn=count)


def leading(rows: Encoded, count: int | None) -> Encoded:
    """The first `count` rows."""
    return rows if count is None or count >= len(rows) else take(rows, np.arange(count))


def has_split(source: str, split: str) -> bool:
    """Whether the source knows a split of that name."""
    if source.partition("?")[0] in CATALOG:
        return split in entry_named(source)[0].splits
    try:
        if is_array_file(source):
            return holds(source, split)
        raw_rows(source, split, several=False)
    except DataError as error:
        if "has no split" in str(error):
            return False
        raise
    return _is_part(source, split)


def _is_part(source: str, split: str) -> bool:
    """A folder without subfolders for its splits is read whole, whatever split is asked for."""
    return not os.path.isdir(source) or folder_of(Path(source), split) is not None


def split_to_test(request: Tree) -> str | float:
    """The split to test on, or the share of the rows to hold out for it; `UsageError` for one that cannot serve."""
    test = request["test"]
    if test == "auto":
        return "test" if request["split"] != "test" and has_split(request["source"], "test") else SHARE
    if isinstance(test, str) and test == request["split"]:
        raise UsageError(
            f"data.test: {test!r} is what the model is trained on; name another split, or a share to hold out"
        )
    if not isinstance(test, str) and not 0 < test < 1:
        raise UsageError(f"data.test: a share to hold out lies between 0 and 1, not at {test}")
    return test  # type: ignore[no-any-return]


def split_to_validate(request: Tree, wanted: str | float) -> str | float:
    """The split to watch while training, or the share of the training rows to hold out for it."""
    if wanted == "auto":
        source, taken = request["source"], (request["split"], request["test"])
        if source.partition("?")[0] in CATALOG and request["split"] not in entry_named(source)[0].apart:
            return SHARE
        return "valid" if "valid" not in taken and has_split(source, "valid") else SHARE
    for split, purpose in ((request["split"], "trained"), (request["test"], "tested")):
        if isinstance(wanted, str) and wanted == split:
            raise UsageError(
                f"fit.validation: {wanted!r} is what the model is {purpose} on; name another split, or a share to hold out"
            )
    return wanted


def _tell_overlap(train: Encoded, rows: Encoded, purpose: str, voice: Voice) -> None:
    if shared := overlap(train, rows):
        voice.note(
            f"{shared:,} of {len(rows):,} {purpose} rows also occur among the training rows: the {purpose} is too kind"
        )


def announce(train: Encoded | OnDisk, valid: Encoded | OnDisk | None, test: Encoded | OnDisk, voice: Voice) -> None:
    """Say how many rows there are for what, and what was noticed of them."""
    shape = " × ".join(map(str, train.modality.event))
    watched = f" {len(valid):,} to validate on," if valid is not None else ""
    voice.step(
        f"{type(train.modality).__name__}: {len(train):,} rows to train on,{watched} {len(test):,} to test on, each {shape}"
    )
    for words in sentences(train.source).values():
        voice.note(f"data: {words}")
    for purpose, rows in (("validation", valid), ("test", test)):
        if rows is not None and (changed := sentences(rows.source).get("changed")):
            voice.note(f"{purpose} rows: {changed}")
