"""Opening a source on disk: whole, with a share held out, or as an earlier one was."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.conditions import Conditions
from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Modality
from lambent.data.loading import claimed, folder_of, guess, named_beside, named_labels
from lambent.data.readers import arrays, pictures
from lambent.data.readers.pictures import Pictures
from lambent.data.readers.pieces import ArrayPieces, MemberPieces
from lambent.data.readers.piecewise import pieces_of
from lambent.data.readers.sounds import Sounds
from lambent.data.splitting import as_labels, sides
from lambent.data.stored.conversion import Conversion, Tell, described, restored
from lambent.data.stored.manifest import Manifest
from lambent.data.stored.ondisk import OnDisk
from lambent.data.stored.stores import DecodedFiles, Store
from lambent.data.stored.uncut import in_file
from lambent.errors import DataError
from lambent.part import Spec

Source = str | Path
Shares = tuple[tuple[float, ...], int]  # fractions to hold out, and the seed
NONE = np.empty(0, np.int64)


def on_disk(
    source: Source,
    folder: Source,
    split: str = "train",
    modality: Modality | Spec | str | None = None,
    tell: Tell | None = None,
) -> OnDisk:
    """`load`, of data that are larger than memory: a path to .npy, .npz, Parquet, CSV, or a folder of images or sounds.

    folder: where what must be converted is kept, for the next time too. tell: called with what is done and the share of it.
    Errors as those of `load`; `DataError` for kinds of files that are read only at once.
    """
    whole, left_out = _opened(source, Path(folder), split, modality, None, tell)
    return _without(whole, left_out)


def on_disk_parted(
    source: Source,
    folder: Source,
    fractions: float | tuple[float, ...],
    seed: int = 0,
    split: str = "train",
    modality: Modality | Spec | str | None = None,
    tell: Tell | None = None,
) -> tuple[OnDisk, ...]:
    """`load_parted`, of data that are larger than memory: the same rows are held out, and the scales have not seen them."""
    shares = (fractions,) if isinstance(fractions, (int, float)) else fractions
    whole, left_out = _opened(source, Path(folder), split, modality, (shares, seed), tell)
    return parted(whole, shares, seed, left_out)


def parted(whole: OnDisk, fractions: tuple[float, ...], seed: int, left_out: np.ndarray = NONE) -> tuple[OnDisk, ...]:
    """Views of what is kept, and of what is held out for each fraction, of what the one before has left."""
    if not fractions:
        return (_without(whole, left_out),)
    return tuple(
        whole.view(side.index[~np.isin(side.index, left_out)] if len(left_out) else side.index, part=side.facts)
        for side in sides(len(whole), fractions, seed)
    )


def on_disk_like(
    modality: Modality, source: Source, folder: Source, split: str = "train", tell: Tell | None = None
) -> OnDisk:
    """`encode_like`, of data that are larger than memory."""
    path = Path(source)
    if in_files(path, modality):
        whole, left_out = _decoded(path, Path(folder), split, modality, None, tell, fitted=True)
        return _without(whole, left_out)
    return Conversion(_reader(source, split, modality), modality, Path(folder), split, tell=tell).done()


def _opened(
    source: Source,
    folder: Path,
    split: str,
    modality: Modality | Spec | str | None,
    held_out: Shares | None,
    tell: Tell | None,
) -> tuple[OnDisk, np.ndarray]:
    """All rows of a source, and the numbers of those that cannot be read and may be left out."""
    chosen = guess_of(source, split) if modality is None else Modality.from_spec(modality)
    if in_files(Path(source), chosen):
        return _decoded(Path(source), folder, split, chosen, held_out, tell)
    facts = None if not held_out or not held_out[0] else {"fractions": list(held_out[0]), "seed": held_out[1]}
    pieces = _reader(source, split, chosen)
    whole = Conversion(pieces, chosen, folder, split, facts, lambda rows: _allowed(rows, held_out), tell).done()
    return whole, NONE


def _without(whole: OnDisk, left_out: np.ndarray) -> OnDisk:
    return whole.view(np.setdiff1d(np.arange(len(whole)), left_out)) if len(left_out) else whole


def _allowed(rows: int, held_out: Shares | None) -> np.ndarray:
    """For each row whether it may be learned from."""
    allowed = np.ones(rows, bool)
    for side in sides(rows, *held_out)[1:] if held_out is not None else ():
        allowed[side.index] = False
    return allowed


def guess_of(source: Source, split: str = "train") -> Modality:
    """`guess`, of a path, by what its file says of itself."""
    if (kind := claimed(Path(source))) is not None:
        return kind()
    plain = None if Path(source).is_dir() else pieces_of(source, split)
    if isinstance(plain, (ArrayPieces, MemberPieces)):
        return guess(next(iter(plain)))
    return guess(Path(source))


def _reader(source: Source, split: str, modality: Modality) -> Any:
    form = {name: getattr(modality, name) for name in ("delimiter", "header", "decimal") if hasattr(modality, name)}
    return pieces_of(source, split, **form)


def in_files(path: Path, modality: Modality) -> bool:
    """Whether rows lie in files that are decoded as they are needed: in those of a folder, or in one that holds many sounds."""
    return path.is_dir() or modality.claims(path)


def _decoded(
    path: Path,
    folder: Path,
    split: str,
    modality: Modality,
    held_out: Shares | None,
    tell: Tell | None,
    fitted: bool = False,
) -> tuple[OnDisk, np.ndarray]:
    """Images or sounds: looked at by their headers, decoded as they are needed, nothing is converted."""
    inner = folder_of(path, split)
    if inner is None:
        arrays.whole_split(split, path)
        inner = path
    found: Pictures | Sounds = modality.open(inner)
    which = f"{os.path.abspath(inner)} {modality.spec()} {described(modality) if fitted else held_out}"
    manifest = Manifest(folder / f"{inner.name[:60]}-{hashlib.sha256(which.encode()).hexdigest()[:16]}.json")
    identity: dict[str, Any] = {"files": len(found), "sha256": _identity(found)}
    if manifest.describes(identity) and isinstance(manifest.content.get("modality"), dict):
        modality = modality if fitted else restored(manifest.content["modality"])
    else:
        if not fitted:
            allowed = _allowed(len(found), held_out)
            _fit(modality, found[np.flatnonzero(allowed)])
            modality.allow([found[np.flatnonzero(~allowed)]] if not allowed.all() else [])
        told = {"modality": described(modality), "left_out": _bad(found, modality)}
        manifest.write({"identity": identity, **told})
    labels, names = _labels(found, modality)
    notices = dict(getattr(modality, "notices", {}))
    source = {"split": split, "path": str(inner), "rows": len(found), "notices": notices, **identity}
    store = _store(found, modality, identity["sha256"], inner, manifest, tell)
    whole = OnDisk(store, modality, None, labels, names, source, manifest, tell, beside=found.beside)
    return whole, np.array(manifest.content.get("left_out") or [], np.int64)


def _store(
    found: Pictures | Sounds, modality: Modality, digest: str, inner: Path, manifest: Manifest, tell: Tell | None
) -> Store:
    """Where the rows are read from: their files, or, of crops, a file that holds the pictures decoded."""
    if not isinstance(modality, Image) or not isinstance(found, Pictures) or modality.crop is None:
        return DecodedFiles(found, modality, digest, inner)
    if manifest.content.get("left_out"):
        raise DataError(f"{inner}: some of its files cannot be read, and crops are taken of all: take these away")
    # By what decides their levels, and not by the side of the crops or by which of them are held out.
    told = json.dumps([digest, modality.event[0], modality.white, modality._two_level, modality._scale.state()])
    path = manifest.path.with_name(f"{inner.name[:60]}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.levels")
    anew = not (path.is_file() and path.with_suffix(".sizes.npy").is_file())
    return in_file(modality, found, path, digest, inner, tell, anew)


def _fit(modality: Modality, found: Pictures | Sounds) -> None:
    modality.fit(found)
    if modality.condition:
        labels, names = _labels(found, modality)
        beside = found.beside | ({} if labels is None else {"label": named_labels(labels, names)})
        modality.conditions = Conditions.fit(
            {name: named_beside(beside, name) for name in modality.condition}, gaps=True
        )


def _labels(found: Pictures | Sounds, modality: Modality) -> tuple[np.ndarray | None, list[str] | None]:
    if found.labels is None or found.label_names is None:
        return None, None
    return as_labels(np.array(found.label_names, object)[found.labels], getattr(modality, "label_names", None))


def _identity(found: Pictures | Sounds) -> str:
    """SHA-256 over names, sizes and times of change of the files."""
    digest = hashlib.sha256()
    for path in dict.fromkeys(found.files):
        try:
            here = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        digest.update(f"{path}\0{here.st_size} {here.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _bad(found: Pictures | Sounds, modality: Modality) -> list[int]:
    """Which files cannot be read at all, where such are to be left out: those whose headers cannot."""
    if not getattr(modality, "skip_bad", False):
        return []
    bad = []
    with pictures.decoding():
        for number, path in enumerate(found.files):
            try:
                found.look(path)
            except DataError:
                bad.append(number)
    return bad
