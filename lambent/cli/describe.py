"""Parts in words: their fields with types, defaults, ranges and meanings."""

import dataclasses
import inspect
import typing
from typing import Any

from lambent.cli import settings
from lambent.cli.flags import Parser
from lambent.cli.plan import PARTS, default_of, families, modalities
from lambent.cli.specs import Tree, as_tree, part_in
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
        kind = settings.kind_of(hint) if inner is None else inner.__name__
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


def shown(value: Any) -> str:
    """A default as one would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(v["type"] if isinstance(v, dict) else shown(v) for v in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def meaning_of(cls: type[Part]) -> str:
    """The first line of what a part says of itself."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


def catalogue() -> dict[str, dict[str, dict[str, Any]]]:
    """{family: {part: {meaning, fields: {field: …}}}} of everything registered, as plain data."""
    import lambent.data.loading  # noqa: F401 - registers the modalities

    families()
    return {
        kind.__name__: {
            name: {
                "meaning": meaning_of(cls),
                "fields": {
                    f.name: {k: v for k, v in dataclasses.asdict(f).items() if k != "name"} for f in described(cls)
                },
            }
            for name, cls in registered(kind).items()
        }
        for kind in all_families()
        if registered(kind)
    }


def add_part_flags(parser: Parser, flags: Tree) -> None:
    """The flags of the parts chosen so far, for `lambent train … --help`."""
    kinds = {**families(), "data": modalities()}
    for section in (*PARTS, "data"):
        kind = kinds[section]
        group = parser.add_argument_group(
            f"--{section} {kind.__name__.upper()}", f"one of {', '.join(registered(kind))}"
        )
        given = as_tree(flags.get(section), kind, section)
        start = {"type": "Image"} if section == "data" else default_of(section)
        name = str(given.get("type", start["type"]))
        if name in registered(kind):
            _add_fields(group, section, registered(kind)[name], given)
    group.add_argument(
        "--data.split, --data.test", dest="_rows", help="split to train on; split to test on, or a share"
    )


def _add_fields(group: Any, path: str, cls: type[Part], given: Tree) -> None:
    for field in described(cls):
        limits = f", {field.limits}" if field.limits else ""
        words = f"{field.meaning}: {field.kind}{limits} ({cls.__name__}, default {shown(field.default)})".replace(
            "%", "%%"
        )
        group.add_argument(f"--{path}.{field.name}", metavar="X", help=words)
        inner = part_in(typing.get_type_hints(cls)[field.name])
        if inner is None or family(inner) is family(cls):
            continue
        below = as_tree(given.get(field.name), inner, f"{path}.{field.name}")
        chosen = registered(inner).get(str(below.get("type", field.default)))
        if chosen is not None:
            _add_fields(group, f"{path}.{field.name}", chosen, below)
