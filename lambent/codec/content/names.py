"""Names of files inside an archive: kept as they lie below a folder, and made harmless on their way out."""

import os
from collections.abc import Iterable
from pathlib import Path

from lambent.errors import ArtifactError

LONGEST = 255  # bytes of a name, of most file systems
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(1, 10))}  # of Windows


def kept(path: Path, root: Path) -> str:
    """The name of a file below a folder, with slashes; bytes that are no text stand as lone surrogates."""
    return path.relative_to(root).as_posix()


def harmless(name: str) -> Path:
    """A name out of an archive as a path that stays inside the folder it is put into: without .., roots and drives.

    Raises `ArtifactError` where nothing is left of it.
    """
    cut = name.replace("\\", "/").split("/") if os.name == "nt" else name.split("/")
    parts = [_part(part) for part in cut if part not in ("", ".", "..")]
    if not parts:
        raise ArtifactError(f"the archive holds a file by the name {name[:80]!r}, which is none")
    return Path(*parts)


def _part(part: str) -> str:
    plain = "".join("_" if ord(c) < 32 or c == "\x7f" else c for c in part)
    if os.name == "nt":
        plain = "".join("_" if c in '<>:"|?*' else c for c in plain).rstrip(" .") or "_"
        plain = f"_{plain}" if plain.partition(".")[0].lower() in RESERVED else plain
    try:
        held = os.fsencode(plain)
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return _part(plain.encode("ascii", "backslashreplace").decode())
    return plain if len(held) <= LONGEST else os.fsdecode(held[:LONGEST])


def ending_in(path: Path, suffix: str, taken: Iterable[Path]) -> Path:
    """The path with another suffix; behind its own where that name is taken: a.jpg beside a.png becomes a.jpg.png."""
    held = taken if isinstance(taken, (set, dict)) else set(taken)
    first = path.with_suffix(suffix)
    if first not in held:
        return first
    second = path.with_name(path.name + suffix)
    number = 2
    while second in held:
        second = path.with_name(f"{path.name}-{number}{suffix}")
        number += 1
    return second
