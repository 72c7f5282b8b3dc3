"""The flags of parts, as `lambent train … --help` lists them; from plain data, for torch is slow to import."""

from typing import Any

from lambent.cli.reading.flags import Parser
from lambent.cli.reading.kept import Catalogue
from lambent.cli.reading.trees import Tree, as_tree
from lambent.cli.reading.words import shown


def add_part_flags(parser: Parser, flags: Tree, known: Catalogue) -> None:
    """The flags of the parts chosen so far."""
    group = parser.add_argument_group("--model.FIELD X", "of the model as a whole")
    for row, one in known["settings"]["model"].items():
        group.add_argument(f"--model.{row}", metavar="X", help=_words(one))
    for section, facts in known["sections"].items():
        members, usual = known["parts"][facts["family"]], facts["default"]
        given = as_tree(flags.get(section), facts["family"], section)
        name = given.get("type", usual)
        names = ", ".join(f"{n} (default)" if n == usual else n for n in members)
        words = f"{names}; its flags are listed when it is chosen" if name is None else names
        group = parser.add_argument_group(
            f"--{section} NAME", words + ("" if usual else "; default: what suits the data")
        )
        for row, one in known["settings"].get(section, {}).items():
            group.add_argument(f"--{section}.{row}", metavar="X", help=_words(one))
        if str(name) in members:
            add_fields(group, section, facts["family"], members[str(name)], given, known["parts"])


def add_fields(group: Any, path: str, family: str, part: dict[str, Any], given: Tree, parts: Catalogue) -> None:
    """The fields of a part, and below a field that holds a part of another family, those of the part in it."""
    for name, field in part["fields"].items():
        here, inner = f"{path}.{name}", field["kind"]
        group.add_argument(f"--{here}", metavar="X", help=_words(field))
        if inner not in parts or inner == family:
            continue
        below = as_tree(given.get(name), inner, here)
        chosen = parts[inner].get(str(below.get("type", field["default"])))
        if chosen is not None:
            add_fields(group, here, inner, chosen, below, parts)


def _words(field: dict[str, Any]) -> str:
    kind = f"{field['kind']}, {field['limits']}" if field.get("limits") else field["kind"]
    return f"{field['meaning']} [{kind}; default {shown(field['default'])}]".replace("%", "%%")
