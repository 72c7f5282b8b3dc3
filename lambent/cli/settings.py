"""Settings that are no parts: those of the loop, read off the signature of `fit`, of the rows and of the evaluation."""

import inspect
import math
import re
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from lambent.cli.specs import Tree, Typed, read_typed
from lambent.errors import UsageError, nearest

# A run decides these itself: the rows are all in memory, and the folder holds the checkpoint.
_INTERNAL = {"steps", "resume", "progress"}
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Setting:
    """One setting: its type, its default, its meaning in one line."""

    hint: Any
    default: Any
    meaning: str

    @property
    def kind(self) -> str:
        """The type in words."""
        return kind_of(self.hint)


def of_rows() -> dict[str, Setting]:
    """Which rows to train on and to test on; beside them stand the fields of the modality."""
    return {
        "source": Setting(str, None, "a path or the name of a data set"),
        "split": Setting(str, "train", "split to train on"),
        "test": Setting(str | float, "auto", "split to test on, or a share to hold out; auto: 'test', else 0.1"),
        "limit": Setting(int | None, None, "train on at most so many rows, drawn by a fixed seed"),
    }


def of_evaluation() -> dict[str, Setting]:
    """How the trained model is evaluated."""
    return {
        "samples": Setting(int, 100, "K of the K-sample bound"),
        "rows": Setting(int, 2000, "evaluate on at most so many test rows, drawn by a fixed seed"),
    }


def of_fit() -> dict[str, Setting]:
    """The settings of the loop: names, types and defaults from the signature of `fit`, meanings from its docstring."""
    from lambent.fitting import fit

    hints, meanings = typing.get_type_hints(fit), _meanings(fit.__doc__ or "")
    found = {}
    for name, parameter in inspect.signature(fit).parameters.items():
        if name not in _INTERNAL and _is_plain(hints[name]):
            found[name] = Setting(hints[name], parameter.default, meanings.get(name, "").rstrip("."))
    # `fit` takes rows here too, and none by default; for a person at a terminal a share is the rule.
    found["validation"] = Setting(float, 0.1, "share of the training rows to hold out and watch")
    return found


def _is_plain(hint: Any) -> bool:
    """Whether a value of this type can stand after a flag."""
    if typing.get_origin(hint) is Literal:
        return True
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return all(_is_plain(member) for member in typing.get_args(hint))
    return hint in (int, float, str, bool, type(None))


def _meanings(doc: str) -> dict[str, str]:
    """The entries of a docstring's Args, each as one line."""
    block = inspect.cleandoc(doc).partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", block, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def read(given: Tree, known: dict[str, Setting], path: str) -> Tree:
    """All settings of a section, given or default, checked; `UsageError` with the dotted path of what is wrong."""
    for key in given:
        if key not in known:
            raise UsageError(f"{path}.{key}: no such setting; {nearest(key, known)}")
    values = {name: setting.default for name, setting in known.items()}
    return values | {key: checked(value, known[key], f"{path}.{key}") for key, value in given.items()}


def checked(value: Any, setting: Setting, path: str) -> Any:
    """A value of the setting's type; of whole numbers only those from 0 up, of numbers only finite ones."""
    if isinstance(value, Typed):
        value = read_typed(value, setting.hint if setting.hint != str | float else float)
    members = typing.get_args(setting.hint) if typing.get_origin(setting.hint) is not Literal else ()
    for hint in members or (setting.hint,):
        fits, result = _fitted(value, hint)
        if fits:
            return result
    raise UsageError(f"{path} takes {setting.kind}, not {str(value)[:60]!r} ({setting.meaning})")


def _fitted(value: Any, hint: Any) -> tuple[bool, Any]:
    if hint is type(None):
        return value is None, None
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint), value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0, value
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
        return number and math.isfinite(value), float(value) if number else value
    return hint is str and isinstance(value, str) and bool(value), value


def kind_of(hint: Any) -> str:
    """An annotation in words."""
    if typing.get_origin(hint) is Literal:
        return " or ".join(str(a) for a in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"list of {kind_of(typing.get_args(hint)[0])}"
    if typing.get_args(hint):
        return " or ".join(kind_of(a) for a in typing.get_args(hint))
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))
