"""lambent doctor: is this machine fit for the work?"""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from lambent.cli.flags import Parser, common
from lambent.cli.voice import Voice
from lambent.errors import LambentError, MachineError

GIB = 2**30
OLDEST = (3, 11)
# For a checkout that is not installed, and so has no metadata to read.
KNOWN_EXTRAS = {"track": ["tensorboard", "mlflow"]}
OF_DEVELOPERS = {"test", "dev", "docs"}


class Check(NamedTuple):
    """One thing looked at: is it well (None: merely told), what was found, what to do."""

    name: str
    well: bool | None
    found: str
    advice: str = ""


def doctor(arguments: Sequence[str]) -> int:
    """Exit status 0 if nothing stands in the way of training, else 5."""
    options = common(Parser("doctor", "Check this machine: versions, devices, memory, disk, folders, extras.")).read(
        arguments
    )
    voice = Voice.of(options)
    checks = [
        found for look in (_python, _torch, _devices, _memory, _disk, _cache, _own_data) for found in _asked(look)
    ]
    checks += _extras()
    voice.result([check._asdict() for check in checks])
    marks = {True: "ok", False: "!!", None: "  "}
    rows = [(marks[c.well], c.name, c.found + (f" — {c.advice}" if c.advice else "")) for c in checks]
    voice.table(("", "", ""), rows)
    ill = [check.name for check in checks if check.well is False]
    voice.say("\nHealthy." if not ill else f"\nTo mend: {', '.join(ill)}.")
    return MachineError.exit_status if ill else 0


def _asked(look: Callable[[], list[Check]]) -> list[Check]:
    """A look that fails is a finding too."""
    try:
        return look()
    except Exception as error:
        return [Check(look.__name__.strip("_"), False, f"{type(error).__name__}: {error}")]


def _python() -> list[Check]:
    fits = sys.version_info >= OLDEST
    advice = "" if fits else f"Python {'.'.join(map(str, OLDEST))} or later is needed"
    return [Check("python", fits, f"{platform.python_version()} on {platform.system()} {platform.machine()}", advice)]


def _torch() -> list[Check]:
    try:
        import torch
    except Exception as error:
        return [Check("torch", False, f"cannot be imported ({error})", "pip install torch")]
    from lambent.precision import has_bf16_units

    units = has_bf16_units(torch.device("cpu"))
    return [
        Check("torch", True, torch.__version__),
        Check("threads", None, f"{torch.get_num_threads()} for torch, {os.cpu_count()} processors"),
        Check("bf16 units", None, "yes: precision auto takes bf16" if units else "none: precision auto stays at fp32"),
    ]


def _devices() -> list[Check]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    found = ["cpu"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index} ({about.name}, {about.total_memory / GIB:.0f} GiB)")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [Check("devices", True, ", ".join(found))]


def _memory() -> list[Check]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    with suppress(OSError, ValueError):  # a container may allow less than the machine has
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    if not total:
        return [Check("memory", None, "unknown")]
    enough = total >= 2 * GIB
    return [Check("memory", enough, f"{total / GIB:.1f} GiB", "" if enough else "at least 2 GiB are needed")]


def _disk() -> list[Check]:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= GIB
    return [
        Check("disk", enough, f"{free / GIB:.1f} GiB free here", "" if enough else "a run takes up to 1 GiB: make room")
    ]


def _cache() -> list[Check]:
    from lambent.data.cache import cache_folder

    return [Check("cache", True, str(cache_folder()))]


def _own_data() -> list[Check]:
    from lambent.data.cache import own_folder

    try:
        folder = own_folder()
    except LambentError as error:
        return [Check("LAMBENT_DATA", False, str(error))]
    return [Check("LAMBENT_DATA", None if folder is None else True, "not set" if folder is None else str(folder))]


def _extras() -> list[Check]:
    """Optional packages by extra, and how to get those that are missing."""
    checks = []
    for extra, packages in extras().items():
        missing = [package for package in packages if not installed(package)]
        advice = f"pip install 'lambent[{extra}]'" if missing else ""
        checks.append(
            Check(f"extra {extra}", None, f"lacks {', '.join(missing)}" if missing else ", ".join(packages), advice)
        )
    return checks


def extras() -> dict[str, list[str]]:
    """The packages of every extra meant for users, from the metadata of the installed package."""
    try:
        wanted = metadata.requires("lambent") or []
    except metadata.PackageNotFoundError:
        return KNOWN_EXTRAS
    found: dict[str, list[str]] = {}
    for requirement in wanted:
        name, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if name and extra and extra[1] not in OF_DEVELOPERS:
            found.setdefault(extra[1], []).append(name[0])
    return found


def installed(package: str) -> bool:
    """Whether a distribution of that name is installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
