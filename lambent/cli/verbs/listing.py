"""lambent parts: every part with its fields, kept from one call to the next so that only the first has to import them."""

import json
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lambent.cli.reading.flags import IMPORTS, Parser, common, import_modules
from lambent.cli.voice import Voice
from lambent.data.catalog.cache import cache_folder
from lambent.disk import strict_json
from lambent.disk.whole import write_text
from lambent.errors import MachineError, UsageError, nearest
from lambent.version import __version__

Catalogue = dict[str, dict[str, dict[str, Any]]]
KEPT = "parts.json"  # in the cache


def parts(arguments: Sequence[str]) -> int:
    """Everything that a run can be made of."""
    parser = Parser(
        "parts",
        "Every part by family, with its fields: flags of train are --FAMILY.FIELD, keys of the YAML are the same.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this family or this part")
    parser.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help=IMPORTS)
    options = common(parser).read(arguments)
    import_modules(options.modules)
    found = _chosen(_every(), options.name)
    Voice.of(options).result(found)
    if options.json:
        return 0
    for family, members in found.items():
        print(f"{family}")
        for name, part in members.items():
            print(f"  {name}: {part['meaning']}")
            for field, facts in part["fields"].items():
                limits = f", {facts['limits']}" if facts["limits"] else ""
                print(f"      {field} = {shown(facts['default'])}: {facts['meaning']} [{facts['kind']}{limits}]")
        print()
    return 0


def shown(value: Any) -> str:
    """A default as one would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(v["type"] if isinstance(v, dict) else shown(v) for v in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _every() -> Catalogue:
    """What is registered; where nothing has been imported yet, that is what the package itself brings, which is kept."""
    if "lambent.part" in sys.modules:
        return _imported()
    stamp = _stamp()
    found = _kept(stamp)
    if found is None:
        found = _imported()
        with suppress(OSError, MachineError):  # the next call takes as long, nothing else
            write_text(cache_folder() / KEPT, json.dumps({"of": stamp, "parts": found}, ensure_ascii=False))
    return found


def _kept(stamp: str) -> Catalogue | None:
    try:
        kept = strict_json.parsed((cache_folder() / KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found: Catalogue | None = kept.get("parts") if isinstance(kept, dict) and kept.get("of") == stamp else None
    return found


def _imported() -> Catalogue:
    from lambent.cli.verbs.describe import catalogue

    return catalogue()


def _stamp() -> str:
    """Changes with every file of the package."""
    root = Path(__file__).parents[2]
    files = [(file.relative_to(root).as_posix(), file.stat()) for file in sorted(root.rglob("*.py"))]
    seen = repr([(name, facts.st_size, facts.st_mtime_ns) for name, facts in files])
    return f"{__version__}-{zlib.crc32(seen.encode()):08x}"


def _chosen(every: Catalogue, name: str | None) -> Catalogue:
    if name is None:
        return every
    if name in every:
        return {name: every[name]}
    found = {family: {name: members[name]} for family, members in every.items() if name in members}
    if not found:
        raise UsageError(
            f"no family and no part is called {name!r}; {nearest(name, {*every, *(p for m in every.values() for p in m)})}"
        )
    return found
