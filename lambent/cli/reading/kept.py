"""What can be asked for, kept from one call to the next, so that only the first has to import it."""

import json
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from lambent.data.catalog.cache import cache_folder
from lambent.disk import strict_json
from lambent.disk.whole import write_text
from lambent.errors import MachineError
from lambent.version import __version__

Catalogue = dict[str, dict[str, Any]]
KEPT = "parts.json"  # in the cache


def everything() -> Catalogue:
    """All parts, the sections of a configuration and its settings, as plain data.

    Where no part has been imported yet, that is what the package itself brings, which is kept; else what is registered.
    """
    if "lambent.part" in sys.modules:
        return _imported()
    stamp = _stamp()
    found = _read(stamp)
    if found is None:
        found = _imported()
        with suppress(OSError, MachineError):  # the next call takes as long, nothing else
            write_text(cache_folder() / KEPT, json.dumps({"of": stamp, **found}, ensure_ascii=False))
    return found


def _read(stamp: str) -> Catalogue | None:
    try:
        kept = strict_json.parsed((cache_folder() / KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and kept.pop("of", None) == stamp else None


def _imported() -> Catalogue:
    from lambent.cli.reading.describe import everything

    return everything()


def _stamp() -> str:
    """Changes with every file of the package."""
    root = Path(__file__).parents[2]
    files = [(file.relative_to(root).as_posix(), file.stat()) for file in sorted(root.rglob("*.py"))]
    seen = repr([(name, facts.st_size, facts.st_mtime_ns) for name, facts in files])
    return f"{__version__}-{zlib.crc32(seen.encode()):08x}"
