"""Folders: the files below one that are data, what is passed by, and the classes that names of folders tell."""

import os
import stat
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from lambent.errors import DataError

SYSTEM = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")  # what archivers and file browsers leave behind
_SYSTEM = {name.lower(): name for name in SYSTEM}
Parts = tuple[str, ...]


def passed_by(name: str) -> str | None:
    """What kind of hidden or system file or folder has that name; None for all others."""
    system = _SYSTEM.get(name.lower())
    if system is not None:
        return system
    return "hidden files and folders (.…)" if name.startswith(".") else None


def files_below(root: Path, suffixes: Collection[str] | None) -> tuple[list[Path], Counter[str]]:
    """Regular files of these suffixes, or all, sorted by path, and how much else there was of which kind.

    Hidden and system entries are passed by, a folder with all that is in it. Each folder is entered once, by links to it last, so
    that a loop of them ends, and no pipe is opened.
    """
    found: list[Path] = []
    notices: Counter[str] = Counter()
    pending, entered = [root], set()
    while pending:
        folder = pending.pop()
        here, entries = _listed(folder)
        if here in entered:
            notices["ignored_special"] += 1
            continue
        entered.add(here)
        for entry in entries:
            path, mode = Path(entry.path), _mode(entry)
            if (kind := passed_by(entry.name)) is not None:
                notices[f"passed by: {kind}"] += 1
            elif stat.S_ISDIR(mode):
                pending.insert(0 if entry.is_symlink() else len(pending), path)
            elif not stat.S_ISREG(mode):
                notices["ignored_special"] += 1
            elif suffixes is None or path.suffix.lower() in suffixes:
                found.append(path)
            else:
                notices["ignored_files"] += 1
    found.sort(key=lambda path: path.relative_to(root).parts)
    return found, notices


def _listed(folder: Path) -> tuple[tuple[int, int], list[os.DirEntry[str]]]:
    """What tells a folder from others, and its entries."""
    try:
        here = folder.stat()
        return (here.st_dev, here.st_ino), sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None


def _mode(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_mode
    except OSError:  # a dangling link, or one that points to itself
        return 0


def classes(places: Sequence[Parts]) -> tuple[np.ndarray | None, list[str] | None, Counter[str]]:
    """The class of each file, [files], their names, and what is to be said, from where the files lie below a folder.

    The first folder is the class where each file lies in one, some of them directly, and there are at least two. Of files
    at uneven depth two examples are told, and what became of their labels.
    """
    depths = [len(parts) for parts in places]
    names = sorted({parts[0] for parts in places if len(parts) > 1})
    labelled = bool(places) and min(depths) == 2 and len(names) >= 2
    notices: Counter[str] = Counter()
    if places and min(depths) != max(depths):
        low, high = (("/".join(places[depths.index(d)])) for d in (min(depths), max(depths)))
        outcome = "the first folder is the label" if labelled else "no labels are taken from the folders"
        deeper = sum(depth > min(depths) for depth in depths)
        notices[f"images deeper than others, as {high} is than {low}; {outcome}"] = deeper
    if not labelled:
        return None, None, notices
    codes = {name: code for code, name in enumerate(names)}
    return np.array([codes[parts[0]] for parts in places], np.int64), names, notices
