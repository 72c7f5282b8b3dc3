"""lambent data: the data sets known by name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lambent.cli.reading.flags import Parser, common
from lambent.cli.voice import Voice

if TYPE_CHECKING:
    from lambent.data.catalog.entries import Entry


def data(arguments: Sequence[str]) -> int:
    """Names, sizes, licences, addresses, and whether the files are here."""
    parser = Parser(
        "data", "Data sets known by name. Their files are looked for in LAMBENT_DATA, then in the cache, then fetched."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="all about this one")
    options = common(parser).read(arguments)
    voice = Voice.of(options)
    from lambent.data.catalog.entries import CATALOG, entry_named

    chosen = CATALOG if options.name is None else {options.name: entry_named(options.name)[0]}
    found = {name: _facts(entry) for name, entry in chosen.items()}
    voice.result(found)
    if options.name is not None:
        facts = found[options.name]
        voice.table(("", ""), [(key.replace("_", " "), _words(value)) for key, value in facts.items()])
        return 0
    rows = [
        (n, _words(f["rows"]), " × ".join(map(str, f["shape"])), f["available"], f["licence"], f["address"])
        for n, f in found.items()
    ]
    voice.table(("name", "rows", "shape", "files", "licence", "address"), rows)
    return 0


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {split}" for split, count in value.items())
    return " × ".join(map(str, value)) if isinstance(value, list) else str(value)


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
