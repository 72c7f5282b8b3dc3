"""Rows for a verb: those to train on, those to test on, and the same rows again later."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from lambent.cli.specs import completed
from lambent.cli.trees import Tree
from lambent.cli.voice import Voice
from lambent.data import Encoded, Modality, encode_like, overlap
from lambent.data import load as encode
from lambent.data import split as cut
from lambent.data.catalog import CATALOG, find
from lambent.data.loading import find as raw_rows
from lambent.data.loading import guess
from lambent.data.rows import take
from lambent.errors import ArtifactError, DataError, UsageError

SHARE = 0.1  # held out for testing where the data have no split of their own
SEED = 0  # of cuts and draws of rows: runs that differ in their own seed alone are tested on the same rows


@dataclass
class Rows:
    """Rows to train on and rows to test on; `request` says how to get both again."""

    train: Encoded
    test: Encoded
    request: Tree


def load_rows(request: Tree, fields: Tree, voice: Voice) -> Rows:
    """Read the rows of a plan, with the modality that its fields describe or that the data suggest."""
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
    default = find(request["source"])[0].modality if raw.facts.get("name") else guess(raw.rows).spec()
    spec = completed(Modality, fields or None, default, "data")
    train = encode(raw, request["split"], Modality.from_spec(spec))
    request["test"] = _test_split(request)
    train, test = _parted(train, train.modality, request)
    shared = overlap(train, test)
    if shared:
        voice.note(f"{shared:,} of {len(test):,} test rows also occur among the training rows: the test is too kind")
    train = drawn(train, request["limit"])
    _tell(train, test, voice)
    return Rows(train, test, request)


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
    train, test = _parted(encode_like(modality, request["source"], request["split"]), modality, request)
    return test if wants_test else drawn(train, request["limit"])


def given(modality: Modality | None, source: str, split: str | None) -> Encoded:
    """Rows that a user names for a trained model; its 'test' split by default, where there is one, else all."""
    source = settled(source)
    if split is None:
        split = "test" if has_split(source, "test") else "train"
    return encode(source, split) if modality is None else encode_like(modality, source, split)


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
        return split in find(source)[0].splits
    try:
        raw_rows(source, split, several=False)
    except DataError as error:
        if "has no split" in str(error):
            return False
        raise
    return _is_part(source, split)


def _is_part(source: str, split: str) -> bool:
    """A folder without subfolders for its splits is read whole, whatever split is asked for."""
    return not os.path.isdir(source) or os.path.isdir(os.path.join(source, split))


def _test_split(request: Tree) -> str | float:
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


def _parted(rows: Encoded, modality: Modality, request: Tree) -> tuple[Encoded, Encoded]:
    """(rows to train on, rows to test on)."""
    if isinstance(request["test"], str):
        return rows, encode_like(modality, request["source"], request["test"])
    return cut(rows, request["test"], SEED)


def _tell(train: Encoded, test: Encoded, voice: Voice) -> None:
    shape = " × ".join(map(str, train.x.shape[1:]))
    voice.step(
        f"{type(train.modality).__name__}: {len(train):,} rows to train on, {len(test):,} to test on, each {shape}"
    )
    for what, count in sorted((train.source.get("notices") or {}).items()):
        voice.note(f"data: {what.replace('_', ' ')}: {count:,}")
