"""Parts in words: their fields with types, defaults, ranges and meanings."""

import dataclasses
import inspect
import typing
from typing import Any

from lambent.cli.reading.flags import Parser
from lambent.cli.reading.plan import default_of, families, modalities
from lambent.cli.reading.settings import kind_of, of_rows
from lambent.cli.reading.specs import as_tree, part_in
from lambent.cli.reading.trees import Tree
from lambent.cli.verbs.listing import shown
from lambent.part import Part, family, registered
from lambent.part import families as all_families


@dataclasses.dataclass(frozen=True)
class Described:
    """One field: everything that a user may want to know of it."""

    name: str
    kind: str
    default: Any
    limits: str
    meaning: str


def described(cls: type[Part]) -> list[Described]:
    """The fields of a part."""
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        inner, hint = part_in(hints[field.name]), hints[field.name]
        kind = kind_of(hint) if inner is None else inner.__name__
        if inner is not None and typing.get_origin(hint) is tuple:
            kind = f"list of {inner.__name__}"
        found.append(
            Described(field.name, kind, _default(field), _limits(field.metadata), field.metadata.get("meaning", ""))
        )
    return found


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
        if isinstance(value, tuple):
            return [v.spec() if isinstance(v, Part) else v for v in value]
        return type(value).__name__ if isinstance(value, Part) else value
    if field.default is dataclasses.MISSING:
        return "required"
    return list(field.default) if isinstance(field.default, tuple) else field.default


def _limits(metadata: typing.Mapping[str, Any]) -> str:
    signs = (("minimum", "≥"), ("above", ">"), ("maximum", "≤"), ("below", "<"))
    return ", ".join(f"{sign} {metadata[key]:g}" for key, sign in signs if key in metadata)


def meaning_of(cls: type[Part]) -> str:
    """The first line of what a part says of itself."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


def catalogue() -> dict[str, dict[str, dict[str, Any]]]:
    """{family: {part: {meaning, fields: {field: …}}}} of everything registered, as plain data."""
    chosen = [modalities(), *families().values()]
    below = [kind for kind in all_families() if kind not in chosen and registered(kind)]
    return {kind.__name__: {name: _facts(cls) for name, cls in registered(kind).items()} for kind in [*chosen, *below]}


def _facts(cls: type[Part]) -> dict[str, Any]:
    fields = {f.name: {k: v for k, v in dataclasses.asdict(f).items() if k != "name"} for f in described(cls)}
    return {"meaning": meaning_of(cls), "fields": fields}


def add_part_flags(parser: Parser, flags: Tree) -> None:
    """The flags of the parts chosen so far, for `lambent train … --help`."""
    for section, kind in {**families(), "data": modalities()}.items():
        given = as_tree(flags.get(section), kind, section)
        usual = None if section in ("likelihood", "network", "data") else default_of(section)["type"]
        name = given.get("type", usual)
        names = ", ".join(f"{n} (default)" if n == usual else n for n in registered(kind))
        words = f"{names}; its flags are listed when it is chosen" if name is None else names
        group = parser.add_argument_group(
            f"--{section} NAME", words + ("" if usual else "; default: what suits the data")
        )
        if section == "data":
            for row, one in of_rows().items():
                group.add_argument(
                    f"--data.{row}", metavar="X", help=_words(one.meaning, kind_of(one.hint), one.default)
                )
        if str(name) in registered(kind):
            _add_fields(group, section, registered(kind)[str(name)], given)


def _add_fields(group: Any, path: str, cls: type[Part], given: Tree) -> None:
    """The fields of a part, and below a field that holds a part, those of the part in it."""
    for field in described(cls):
        kind = f"{field.kind}, {field.limits}" if field.limits else field.kind
        group.add_argument(f"--{path}.{field.name}", metavar="X", help=_words(field.meaning, kind, field.default))
        inner = part_in(typing.get_type_hints(cls)[field.name])
        if inner is None or family(inner) is family(cls):
            continue
        below = as_tree(given.get(field.name), inner, f"{path}.{field.name}")
        chosen = registered(inner).get(str(below.get("type", field.default)))
        if chosen is not None:
            _add_fields(group, f"{path}.{field.name}", chosen, below)


def _words(meaning: str, kind: str, default: Any) -> str:
    return f"{meaning} [{kind}; default {shown(default)}]".replace("%", "%%")
