"""Parts and settings in words: fields with types, defaults, ranges and meanings. What is told of them comes from here."""

import dataclasses
import inspect
import typing
from typing import Any

from lambent.cli.reading.plan import default_of, families, modalities
from lambent.cli.reading.settings import Setting, kind_of, of_evaluation, of_fit, of_model, of_rows
from lambent.cli.reading.specs import part_in
from lambent.part import Part, registered
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


def everything() -> dict[str, dict[str, Any]]:
    """{"parts": `catalogue`, "sections": {section: its family and its usual part}, "settings": {section: …}}: plain data."""
    chosen = {**families(), "data": modalities()}
    by_data = ("likelihood", "network", "data")  # what stands there by default hangs on the data
    sections = {
        section: {"family": kind.__name__, "default": None if section in by_data else default_of(section)["type"]}
        for section, kind in chosen.items()
    }
    settings = {"data": of_rows(), "model": of_model(), "fit": of_fit(), "evaluate": of_evaluation()}
    told = {section: {name: _told(one) for name, one in known.items()} for section, known in settings.items()}
    return {"parts": catalogue(), "sections": sections, "settings": told}


def _told(one: Setting) -> dict[str, Any]:
    metavar = {"a whole number": "N", "a finite number": "X"}.get(one.kind.removesuffix(" or null"), "WORD")
    return {"kind": kind_of(one.hint), "metavar": metavar, "default": one.default, "meaning": one.meaning}
