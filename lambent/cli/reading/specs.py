"""Descriptions of parts: what a user gave, in a file or by flags, completed with defaults and checked against the fields.

One reading serves YAML, JSON and flags, so that a mistake gets the same sentence wherever it was made.
"""

import csv
import dataclasses
import inspect
import typing
from collections.abc import Iterable
from typing import Any, Literal

from lambent.cli.reading import strict
from lambent.cli.reading.trees import Tree, Typed, as_tree
from lambent.errors import UsageError, nearest
from lambent.part import Part, Spec, members, plain, registered


def completed(kind: type[Part], given: Any, default: Spec | None, path: str) -> Spec:
    """The full description of a part of family `kind`: every field, each checked.

    given: a name, a tree with or without a type, or None; default: what stands where nothing was given.
    Raises `UsageError` that begins with the dotted path of what is wrong.
    """
    tree = as_tree(given, kind.__name__, path)
    chosen = _chosen(kind, tree, default, path)
    base = default if default is not None and default["type"] == chosen.__name__ else {}
    refuse_unknown(tree, chosen, kind, path)
    spec: Spec = {"type": chosen.__name__}
    hints = typing.get_type_hints(chosen)
    for field in dataclasses.fields(chosen):
        here, inner = f"{path}.{field.name}", part_in(hints[field.name])
        start = base[field.name] if field.name in base else _default(field)
        if field.name not in tree:
            if start is not dataclasses.MISSING:
                spec[field.name] = start
            continue
        value = tree[field.name]
        if inner is not None:
            spec[field.name] = _inner(inner, hints[field.name], value, start, here)
        else:
            spec[field.name] = read_typed(value, hints[field.name]) if isinstance(value, Typed) else value
    try:
        return kind.from_spec(spec).spec()
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _chosen(kind: type[Part], tree: Tree, default: Spec | None, path: str) -> type[Part]:
    name = tree.get("type", default["type"] if default else None)
    known = registered(kind)
    if not isinstance(name, str) or name not in known:
        found = "is missing" if name is None else f"{str(name)[:60]!r} is none"
        which = f"{'an' if kind.__name__[0] in 'AEIO' else 'a'} {kind.__name__}"
        raise UsageError(f"{path}: the name of {which} is expected, and {found}; {nearest(str(name), known)}")
    return known[str(name)]


def refuse_unknown(tree: Iterable[str], chosen: type[Part], kind: type[Part], path: str) -> None:
    """`UsageError` for the first key that is no field: the nearest field, or the parts of the family that have it."""
    known = fields_of(chosen)
    for key in tree:
        if key in known or key == "type":
            continue
        others = [name for name, cls in registered(kind).items() if key in fields_of(cls)]
        if others:
            hint = f"{', '.join(others)} {'has' if len(others) == 1 else 'have'} it: choose with --{path} {others[0]}"
        else:
            hint = nearest(key, known) if known else "it has no fields at all."
        raise UsageError(f"{path}.{key}: {chosen.__name__} has no field {key!r}; {hint}")


def fields_of(cls: type[Part]) -> list[str]:
    """The names of a part's fields."""
    return [field.name for field in dataclasses.fields(cls)]


def _inner(inner: type[Part], hint: Any, value: Any, start: Any, path: str) -> Any:
    """A field that holds a part, a list of parts, or nothing where it may."""
    if type(None) in members(hint) and (value is None or (isinstance(value, Typed) and value in ("null", "~"))):
        return None
    if _listed(hint) is None:
        return completed(inner, value, start if isinstance(start, dict) else None, path)
    if isinstance(value, Typed):
        value = strict.parsed(value, f"--{path}")
    if not isinstance(value, list):
        raise UsageError(f"{path}: a list of {inner.__name__} parts is expected, not {str(value)[:60]!r}")
    return [completed(inner, one, None, f"{path}[{index}]") for index, one in enumerate(value)]


def _default(field: "dataclasses.Field[Any]") -> Any:
    """A field's default as plain data, or MISSING."""
    if field.default is not dataclasses.MISSING:
        return plain(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory())
    return dataclasses.MISSING


def part_in(hint: Any) -> type[Part] | None:
    """The family that an annotation holds, alone, in a union or in a list; None for plain values."""
    if inspect.isclass(hint) and issubclass(hint, Part):
        return hint
    found = (part_in(argument) for argument in typing.get_args(hint))
    return next((part for part in found if part is not None), None)


def _listed(hint: Any) -> Any:
    """The list that an annotation holds, alone or in a union; None where it holds none."""
    return next((member for member in members(hint) if typing.get_origin(member) is tuple), None)


def read_typed(text: str, hint: Any) -> Any:
    """Typed text as plain data: text where the annotation holds text, lists as `[32, 64]` or `32,64`, the rest as in YAML.

    Whether the value is one that the annotation takes is for `coerced` to say.
    """
    text, kinds = str(text), members(hint)
    if type(None) in kinds and text in ("null", "~"):
        return None
    if (listed := _listed(hint)) is not None:
        return [read_typed(item, typing.get_args(listed)[0]) for item in _items(text)]
    if str in kinds and float not in kinds:
        return text
    if any(text in typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is Literal):
        return text
    try:
        return strict.scalar(text.strip())
    except ValueError:
        return text  # which is then refused by what it is for


def _items(text: str) -> list[str]:
    """Items between commas, in brackets or not; an item with a comma of its own stands in double quotes."""
    inner = text.strip()
    inner = inner[1:-1] if inner.startswith("[") and inner.endswith("]") else inner
    try:
        return next(csv.reader([inner], skipinitialspace=True), [])
    except csv.Error:
        return inner.split(",")
