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

from lambent.cli.reading.flags import Parser, common
from lambent.cli.voice import Voice
from lambent.errors import LambentError, MachineError

GIB = 2**30
OLDEST = (3, 11)
OLDEST_TORCH = (2, 6)
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
    parser = Parser("doctor", "Check this machine: versions, devices, memory, disk, folders, extras.")
    parser.add_argument("--deep", action="store_true", help="load torch too, and ask it for devices and threads")
    options = common(parser).read(arguments)
    voice = Voice.of(options)
    # Loading torch takes longer than all the rest, so it is done only when asked for.
    looks = (_python, *((_torch, _devices) if options.deep else (_installed_torch, _listed_devices)))
    checks = [found for look in (*looks, _memory, _disk, _cache, _own_data) for found in _asked(look)]
    checks += _extras()
    voice.result([check._asdict() for check in checks])
    marks = {True: "ok", False: "!!", None: "  "}
    rows = [(marks[c.well], c.name, c.found + (f" — {c.advice}" if c.advice else "")) for c in checks]
    voice.table(("", "", ""), rows)
    ill = [check.name for check in checks if check.well is False]
    healthy = "Healthy." if options.deep else "Healthy, as far as can be seen without loading torch (--deep loads it)."
    voice.say(f"\n{healthy}" if not ill else f"\nTo mend: {', '.join(ill)}.")
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


def _installed_torch() -> list[Check]:
    """What the metadata of its package say."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return [Check("torch", False, "not installed", "pip install torch")]
    fits = tuple(map(int, re.findall(r"\d+", version)[:2])) >= OLDEST_TORCH
    advice = "" if fits else f"torch {'.'.join(map(str, OLDEST_TORCH))} or later is needed"
    return [
        Check("torch", fits, f"{version}, not loaded", advice),
        Check("processors", None, f"{os.cpu_count()}"),
    ]


def _listed_devices() -> list[Check]:
    """What the system lists; only torch knows which of them it can use."""
    cards = (
        sum(re.fullmatch(r"nvidia\d+", name) is not None for name in os.listdir("/dev")) if os.path.isdir("/dev") else 0
    )
    cards_found = f"{cards} NVIDIA card{'s' * (cards != 1)} listed by the system" if cards else "no NVIDIA card listed"
    return [Check("devices", None, f"cpu; {cards_found}", "--deep asks torch which it can use")]


def _torch() -> list[Check]:
    """What torch says once it is loaded."""
    try:
        import torch
    except Exception as error:
        return [Check("torch", False, f"cannot be imported ({error})", "pip install torch")]
    from lambent.training.precision import has_bf16_units

    units = has_bf16_units(torch.device("cpu"))
    return [
        Check("torch", True, torch.__version__),
        Check("threads", None, f"{torch.get_num_threads()} for torch, {os.cpu_count()} processors"),
        Check("bf16 units", None, "yes: precision auto tries bf16" if units else "none: precision auto stays at fp32"),
    ]


def _devices() -> list[Check]:
    """What torch can compute on."""
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
    from lambent.data.catalog.cache import cache_folder

    return [Check("cache", True, str(cache_folder()))]


def _own_data() -> list[Check]:
    from lambent.data.catalog.cache import own_folder

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
