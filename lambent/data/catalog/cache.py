"""Files of the named data sets: looked for in LAMBENT_DATA, then in the cache, then fetched and checked."""

import hashlib
import logging
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from lambent.data.readers import regular as files
from lambent.disk.whole import write_whole
from lambent.errors import DataError, UsageError

LIMIT_DOWNLOAD = 2**30
TIMEOUT = 30.0  # seconds without a byte
_log = logging.getLogger("lambent")


@dataclass(frozen=True)
class File:
    """One file of a data set: its place below LAMBENT_DATA, its official address and SHA-256 where there are any."""

    path: str
    url: str | None = None
    sha256: str | None = None


def own_folder() -> Path | None:
    """The folder that LAMBENT_DATA names; `UsageError` if it names none."""
    named = os.environ.get("LAMBENT_DATA")
    if not named:
        return None
    folder = Path(named)
    if not folder.is_dir():
        raise UsageError(f"LAMBENT_DATA={named}: is no folder; unset it or name one with the data sets")
    return folder


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/lambent, ~/.cache/lambent, or a temporary folder where neither can be written to."""
    candidates = []
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        candidates.append(Path(xdg) / "lambent")
    with suppress(RuntimeError):  # no HOME and no entry for the user
        candidates.append(Path.home() / ".cache" / "lambent")
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    folder = Path(tempfile.gettempdir()) / f"lambent-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def locate(file: File) -> Path:
    """The file on this machine, checked against its SHA-256; fetched into the cache if it is nowhere.

    Raises `DataError` that names the file, the address, and LAMBENT_DATA as the way to supply it.
    """
    own = own_folder()
    if own is not None and (own / file.path).is_file():
        place = own / file.path
        if file.sha256 and files.digest(place) != file.sha256:
            raise DataError(f"{place}: is not the official file (its SHA-256 should be {file.sha256}); replace it")
        return place
    place = cache_folder() / file.path
    if place.is_file() and (file.sha256 is None or files.digest(place) == file.sha256):
        return place
    if file.url is None:
        raise DataError(
            f"{file.path}: not on this machine, and its source offers no file that Lambent could fetch. "
            f"Put it under {own or 'a folder'} and set LAMBENT_DATA to that folder"
        )
    _fetch(file, place)
    return place


def _fetch(file: File, place: Path) -> None:
    """Download into place; other processes doing the same at once each write a whole file of their own."""
    _log.info("fetching %s", file.url)
    write_whole(place, lambda temporary: _download(file, temporary))


def _download(file: File, target: Path) -> None:
    advice = f"Fetch it by other means, put it at FOLDER/{file.path} and set LAMBENT_DATA=FOLDER"
    hashed = hashlib.sha256()
    with open(target, "wb") as stream:
        for piece in _pieces(str(file.url), advice):
            hashed.update(piece)
            stream.write(piece)
    if hashed.hexdigest() != file.sha256:
        raise DataError(f"{file.url}: sent a file with SHA-256 {hashed.hexdigest()}, not {file.sha256}. {advice}")


def _pieces(url: str, advice: str) -> Iterator[bytes]:
    """The bytes at an address; what goes wrong on the way is a `DataError`, not a fault of the disk."""
    total = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            while piece := answer.read(2**20):
                total += len(piece)
                if total > LIMIT_DOWNLOAD:
                    raise DataError(f"{url}: sends more than {LIMIT_DOWNLOAD:,} bytes")
                yield piece
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{url}: cannot be fetched ({error}). {advice}") from None
