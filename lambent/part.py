"""Part: a module whose dataclass fields are its configuration.

The command line's flags, the YAML of a run and the JSON in a model file are all derived from these fields; there is no
second description of a part anywhere.
"""

import dataclasses
import importlib
import inspect
import math
import operator
import types
import typing
from abc import ABC
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, TypeVar, dataclass_transform

from torch import nn

from lambent.errors import UsageError, nearest

Shape = tuple[int, ...]
Spec = dict[str, Any]
P = TypeVar("P", bound="Part")


def option(
    meaning: str,
    *,
    default: Any = dataclasses.MISSING,
    factory: Callable[[], Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    papers: Mapping[Any, str] | None = None,
) -> Any:
    """A field of a part: its one-line meaning, its default (or a factory for one), and the range it must lie in.

    papers: the key, in papers.bib, of the paper behind a value of the field; `...` stands for every value that is neither
    named nor the default.
    """
    limits = {"minimum": minimum, "maximum": maximum, "above": above, "below": below, "papers": papers}
    metadata = {"meaning": meaning, **{k: v for k, v in limits.items() if v is not None}}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(eq_default=False, field_specifiers=(option,))
class Part(nn.Module, ABC):
    """A module whose fields are its hyper-parameters and whose weights appear at `setup`, when shapes are known.

    Subclassing registers it: a direct abstract child of `Part` opens a family (Likelihood, Prior, …), and every
    concrete class below is known by its name within that family.
    """

    papers: ClassVar[tuple[str, ...]] = ()  # keys in papers.bib of what it implements, whatever its fields
    no_paper: ClassVar[str] = ""  # why there is none
    many: ClassVar[bool] = False  # whether it can serve the members of an ensemble, which are computed in one pass

    _classes: ClassVar[list[type["Part"]]] = []

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Before the dataclass assigns its fields: a field may be a module, and modules need their registry first.
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(eq=False, repr=False)(cls)
        same = [c for c in Part._classes if (c.__module__, c.__qualname__) == (cls.__module__, cls.__qualname__)]
        for old in same:  # a notebook cell run twice defines its part twice; the later one counts
            Part._classes.remove(old)
        Part._classes.append(cls)

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in dataclasses.fields(self):
            value = _checked(type(self), field, hints[field.name], getattr(self, field.name))
            setattr(self, field.name, value)
            if isinstance(value, tuple) and value and all(isinstance(v, Part) for v in value):
                self.add_module(f"{field.name}_parts", nn.ModuleList(value))  # a tuple alone would hide their weights

    if typing.TYPE_CHECKING:
        # Weights and buffers appear at setup, so a type checker cannot know them; Module would make each a union.
        __dataclass_fields__: ClassVar[dict[str, Any]]

        def __getattr__(self, name: str) -> Any: ...

    def spec(self) -> Spec:
        """The part as plain data, `{"type": name, field: value, …}`; `from_spec` is its inverse."""
        return {
            "type": type(self).__name__,
            **{f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)},
        }

    @classmethod
    def from_spec(cls, spec: "Spec | str | Part") -> Self:
        """The part of this family that `spec` describes; a bare name stands for all defaults.

        Raises `UsageError` for an unknown name or field, with the nearest one.
        """
        if isinstance(spec, Part):
            if not isinstance(spec, cls):
                raise UsageError(f"{type(spec).__name__} is no {cls.__name__}. {nearest('', registered(cls))}")
            return spec
        if isinstance(spec, str):
            spec = {"type": spec}
        if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
            raise UsageError(f"a {cls.__name__} is described by its name or by {{'type': name, …}}, not by {spec!r}")
        chosen = class_named(cls, spec["type"])
        fields = {f.name: f for f in dataclasses.fields(chosen)}
        for name in spec:
            if name != "type" and name not in fields:
                raise UsageError(f"{chosen.__name__} has no field {name!r}; {nearest(str(name), fields)}")
        return chosen(**{k: v for k, v in spec.items() if k != "type"})

    def refusal(self, whole: "Part") -> str | None:
        """Why this part cannot serve in `whole`: one sentence that names both and an alternative; None where it can."""
        return None

    def cited(self, whole: "Part") -> list[str]:
        """Keys, in papers.bib, of what this part implements in `whole`: of itself, and of the values of its fields."""
        keys = list(self.papers)
        for field in dataclasses.fields(self):
            value, behind = getattr(self, field.name), field.metadata.get("papers", {})
            other = None if value == field.default else behind.get(...)
            key = behind.get(value, other) if behind else None
            keys += [key] if key else []
        return keys

    def __repr__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self))
        return f"{type(self).__name__}({', '.join(shown)})"


def elements(shape: Shape) -> int:
    """How many numbers a tensor of that shape holds."""
    return math.prod(shape)


def family(cls: type[Part]) -> type[Part]:
    """The family a class belongs to: its ancestor just below `Part`."""
    return next(c for c in reversed(cls.__mro__) if issubclass(c, Part) and c is not Part)


# Where the families live. A family's own package imports all its members; kinds of data are loaded one by one elsewhere.
HOMES = ("lambent.model", "lambent.objectives", "lambent.tasks.detection")
MEMBERS = {
    "Modality": (
        "lambent.data.kinds.image",
        "lambent.data.kinds.table",
        "lambent.data.kinds.cells",
        "lambent.data.kinds.text",
        "lambent.data.kinds.audio",
    )
}


def registered(kind: type[P]) -> dict[str, type[P]]:
    """Every concrete class of a family (or of any abstract class in it), by name, in the order of definition."""
    for module in MEMBERS.get(family(kind).__name__, ()) if kind is not Part else ():
        importlib.import_module(module)
    return {c.__name__: c for c in Part._classes if issubclass(c, kind) and _public(c)}


def _public(cls: type[Part]) -> bool:
    return not inspect.isabstract(cls) and not cls.__name__.startswith("_")


def class_named(kind: type[P], name: str) -> type[P]:
    """The class of that name within the family, in whatever case; `UsageError` with the nearest name otherwise."""
    known = registered(kind)
    if name not in known:
        for proper, cls in known.items():
            if proper.lower() == name.lower():
                return cls
        raise UsageError(f"no {kind.__name__} is called {name!r}; {nearest(name, known)}")
    return known[name]


def families() -> list[type[Part]]:
    """The abstract classes just below `Part`, in the order of definition; whatever was imported so far."""
    for module in (*HOMES, *(module for members_of in MEMBERS.values() for module in members_of)):
        importlib.import_module(module)
    return [c for c in Part._classes if Part in c.__bases__ and inspect.isabstract(c)]


def _hints(cls: type[Part]) -> dict[str, Any]:
    cached = cls.__dict__.get("_resolved_hints")
    if cached is None:
        cached = typing.get_type_hints(cls)
        cls._resolved_hints = cached  # type: ignore[attr-defined]
    return typing.cast(dict[str, Any], cached)


def plain(value: Any) -> Any:
    """A field's value as plain data: parts as their descriptions, tuples as lists."""
    if isinstance(value, Part):
        return value.spec()
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return value


def _checked(owner: type[Part], field: "dataclasses.Field[Any]", hint: Any, value: Any) -> Any:
    where = f"{owner.__name__}.{field.name}"
    try:
        value = coerced(value, hint)
    except TypeError:
        raise UsageError(f"{where} takes {named(hint)}, not {value!r} ({field.metadata.get('meaning', '')})") from None
    if value == () and field.default != ():
        raise UsageError(f"{where} needs at least one entry ({field.metadata.get('meaning', '')})")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            _ranged(where, field.metadata, number)
    return value


RULES: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("at least", operator.ge),
    "maximum": ("at most", operator.le),
    "above": ("above", operator.gt),
    "below": ("below", operator.lt),
}


def _ranged(where: str, limits: typing.Mapping[str, Any], number: float) -> None:
    for key, (words, holds) in RULES.items():
        if key in limits and not holds(number, limits[key]):
            raise UsageError(f"{where} must be {words} {limits[key]}, not {number} ({limits.get('meaning', '')})")


def members(hint: Any) -> tuple[Any, ...]:
    """The annotations of which a value may have any: those of a union, or the one that there is."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def coerced(value: Any, hint: Any) -> Any:
    """`value` as the annotation wants it: fields of parts, settings of a run and flags are all brought to theirs by this.

    A list becomes a tuple, the description of a part that part, a whole number a float where one is wanted; of a union the
    first member that takes the value counts, so that "auto" is not tried as a number and 3 stays an int. Where several numbers
    of one kind are wanted, as for a size, one stands for all of them, and text such as "32,48" for a list.

    Raises TypeError for what the annotation does not take, `UsageError` for a part described wrongly.
    """
    if len(members(hint)) > 1:
        return _first(value, members(hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return _entries(value, arguments)
    if origin is Literal:
        if any(isinstance(value, type(argument)) and value == argument for argument in arguments):
            return value
        raise TypeError
    if inspect.isclass(hint) and issubclass(hint, Part):
        if not isinstance(value, (str, dict, Part)):
            raise TypeError
        return hint.from_spec(value)
    return _scalar(value, hint)


def _first(value: Any, hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return coerced(value, hint)
        except (TypeError, UsageError) as error:
            if isinstance(error, UsageError) and isinstance(value, dict):
                raise
    raise TypeError


def _entries(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    several = Ellipsis not in hints and set(hints) in ({int}, {float})
    if several and isinstance(value, (Real, str)) and not isinstance(value, bool):
        value = _numbers(value) if isinstance(value, str) else (value,)
    if not isinstance(value, (list, tuple)):
        raise TypeError
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(coerced(v, hints[0]) for v in value)
    if several and len(value) == 1:
        value = value * len(hints)
    if len(value) != len(hints):
        raise TypeError
    return tuple(coerced(v, hint) for v, hint in zip(value, hints, strict=True))


def _numbers(text: str) -> list[Any]:
    """Numbers between commas, in brackets or not; TypeError for other text."""
    inner = text.strip()
    inner = inner[1:-1] if inner.startswith("[") and inner.endswith("]") else inner
    try:
        return [float(item) if set(item) & set(".eE") else int(item) for item in inner.split(",")]
    except ValueError:
        raise TypeError from None


def _scalar(value: Any, hint: Any) -> Any:
    if hint is Any or (hint is type(None) and value is None):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    if hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if hint is float and isinstance(value, (Real, str)) and not isinstance(value, bool):
        try:
            number = float(value)  # of text too: other readers of YAML take 1e-3 for it
        except (ValueError, OverflowError):
            raise TypeError from None
        if math.isfinite(number):
            return number
    raise TypeError


def named(hint: Any) -> str:
    """An annotation in words, for a sentence such as "it takes …"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if len(members(hint)) > 1:
        return " or ".join(named(member) for member in members(hint))
    if origin is Literal:
        return " or ".join(repr(a) for a in arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[0] is arguments[1] is int:
            return "two whole numbers, such as 64,48"
        return f"a list of {named(arguments[0])}" if arguments else "a list"
    if inspect.isclass(hint) and issubclass(hint, Part):
        return f"a {hint.__name__} ({', '.join(registered(hint))})"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", type(None): "null"}
    return names.get(hint, str(hint))
