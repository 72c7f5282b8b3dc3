"""lambent data: the data sets known by name, and what lies in a file."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lambent.cli.reading.flags import IMPORTS, Parser, common, divided, import_modules
from lambent.cli.voice import Voice
from lambent.errors import UsageError

if TYPE_CHECKING:
    from lambent.data.catalog.entries import Entry


def data(arguments: Sequence[str]) -> int:
    """Names, sizes, licences, addresses, and whether the files are here; of a file, what train would read."""
    rest, flags = divided(arguments)
    options = _parser().read(rest, also=["--data"])
    voice = Voice.of(options)
    for section in flags:
        if section != "data":
            raise UsageError(f"lambent data: no flag '--{section}'; beside its own it takes those of --data")
    if options.name is not None and _is_path(options.name):
        # Only here, for it imports torch: the list must not wait for that.
        from lambent.cli.verbs.look import look

        import_modules(options.modules)
        look(options.name, flags, voice)
        return 0
    if flags:
        raise UsageError("lambent data: the flags of --data are for a file or a folder: lambent data FILE")
    from lambent.data.catalog.entries import CATALOG, entry_named

    chosen = CATALOG if options.name is None else {options.name: entry_named(options.name)[0]}
    found = {name: _facts(entry) for name, entry in chosen.items()}
    voice.result(found)
    if options.name is not None:
        facts = found[options.name]
        voice.table(("", ""), [(key.replace("_", " "), _words(value)) for key, value in facts.items()])
        return 0
    rows = [
        (n, _words(f["rows"]), _words(f["shape"]), f["available"], f["licence"], f["address"]) for n, f in found.items()
    ]
    voice.table(("name", "rows", "shape", "files", "licence", "address"), rows)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "data",
        "Data sets known by name. Their files are looked for in LAMBENT_DATA, then in the cache, then fetched. "
        "Of a file or a folder: what train would read, and what it would make of it; --data.FIELD as for train.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME|FILE", help="all about this one")
    parser.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help=IMPORTS)
    return common(parser)


def _is_path(name: str) -> bool:
    """Whether a word is a path, be there something or not; a bare word is the name of a data set, as it is for train."""
    from lambent.data.catalog.entries import CATALOG

    if name.partition("?")[0] in CATALOG:
        return False
    return os.path.lexists(name) or any(mark in name for mark in (os.sep, ".", ":"))


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {split}" for split, count in value.items())
    if isinstance(value, list):
        return " × ".join(map(str, value)) or "as the data have it"
    return str(value)


def _facts(entry: "Entry") -> dict[str, Any]:
    return {
        "title": entry.title,
        "rows": entry.splits,
        "shape": list(entry.event),
        "available": available(entry),
        "licence": entry.licence,
        "address": entry.address,
        "notes": entry.notes,
    }


def available(entry: "Entry") -> str:
    """Whether the files are on this machine, and if not, whether they can be fetched; nothing is fetched or checked here."""
    from lambent.data.catalog.cache import cache_folder, own_folder

    if not entry.files:
        return "built in"
    places = [folder for folder in (own_folder(), cache_folder()) if folder is not None]
    if all(any((folder / file.path).is_file() for folder in places) for file in entry.files.values()):
        return "here"
    return "fetched on use" if all(file.url for file in entry.files.values()) else "to be supplied"
