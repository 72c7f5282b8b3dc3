"""Memory: how much this process may still take, and sizes as people write them."""

import os
import re
from contextlib import suppress
from pathlib import Path

from lambent.errors import UsageError

UNITS = {"": 1, "b": 1, **{f"{letter}b": 1000**n for n, letter in enumerate("kmgt", 1)}}
UNITS |= {f"{letter}ib": 1024**n for n, letter in enumerate("kmgt", 1)}
GROUPS = Path("/sys/fs/cgroup")


def size_of(text: str) -> int:
    """Bytes of a size such as 2GB, 1.5 GiB or 500000000; `UsageError` for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if found is None or found[2].lower() not in UNITS or float(found[1]) == 0:
        raise UsageError(f"{text[:40]!r} is no size of memory: give one such as 2GB, 1.5GiB or 500MB")
    return int(float(found[1]) * UNITS[found[2].lower()])


def shown(size: int) -> str:
    """A size in the unit that suits it."""
    unit = next((u for u in ("TB", "GB", "MB", "kB") if size >= UNITS[u.lower()]), "bytes")
    return f"{size / UNITS.get(unit.lower(), 1):.3g} {unit}"


def free_memory() -> int | None:
    """Bytes that this process may still take, by the system and by its control group; None where nothing tells."""
    told = [size for size in (_available(), _left_in_group()) if size is not None]
    return min(told) if told else None


def _available() -> int | None:
    with suppress(OSError, ValueError, AttributeError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, AttributeError):
        name = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    return None


def _left_in_group() -> int | None:
    """What the limits of the control group and of those above it leave; files that could be dropped do not count as used."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    left: list[int] = []
    for _, controllers, place in (line for line in lines if len(line) == 3):
        old = "memory" in controllers.split(",")
        if controllers and not old:
            continue
        root = GROUPS / "memory" if old else GROUPS
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
        own = root / place.lstrip("/")
        for folder in (own, *(above for above in own.parents if above.is_relative_to(root))):
            with suppress(OSError, ValueError):  # where there is no limit the word is max
                limit, used = (int((folder / name).read_text()) for name in names)
                left.append(max(0, limit - used + _droppable(folder)))
    return min(left) if left else None


def _droppable(folder: Path) -> int:
    with suppress(OSError, ValueError):
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        whole = "total_" if "total_inactive_file" in facts else ""  # with the groups below, as the older way counts use
        return sum(int(facts.get(f"{whole}{kind}_file", 0)) for kind in ("inactive", "active"))
    return 0
