"""lambent parts: every part with its fields."""

from collections.abc import Sequence

from lambent.cli.reading.flags import IMPORTS, Parser, common, import_modules
from lambent.cli.reading.kept import Catalogue, everything
from lambent.cli.reading.words import shown
from lambent.cli.voice import Voice
from lambent.errors import UsageError, nearest


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
    found = _chosen(everything()["parts"], options.name)
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
