"""Settings of a run beside its parts: those of the loop, which are the fields of `Training`, of the rows, of the evaluation."""

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, Literal

from lambent.cli.reading.specs import read_typed
from lambent.cli.reading.trees import Tree, Typed
from lambent.errors import UsageError, bound, nearest
from lambent.part import coerced, named

LARGEST = float("inf")
OF_MODEL = ("members",)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting: its type, its default, its meaning in one line, and where numbers must lie."""

    hint: Any
    default: Any
    meaning: str
    low: float = 0
    high: float = LARGEST
    check: Callable[[Any], Any] | None = None  # raises `UsageError` for what the type takes and the setting does not

    @property
    def kind(self) -> str:
        """The type in words."""
        return named(self.hint)


def of_rows() -> dict[str, Setting]:
    """Which rows to train on and to test on; beside them stand the fields of the modality."""
    return {
        "source": Setting(str, None, "a path or the name of a data set"),
        "split": Setting(str, "train", "split to train on"),
        "test": Setting(str | float, "auto", "split to test on, or a share to hold out; auto: 'test', else 0.1"),
        "limit": Setting(int | None, None, "train on at most so many rows, drawn by a fixed seed", 1),
        "memory": Setting(
            str,
            "auto",
            "the most that rows may take in memory, such as 2GB; more are read from disk; auto: half of what is free",
        ),
    }


def of_model() -> dict[str, Setting]:
    """What is chosen of the model as a whole, beside its parts; the rest the data tell."""
    from lambent.model import LatentModel

    fields = {field.name: field for field in dataclasses.fields(LatentModel)}
    hints = typing.get_type_hints(LatentModel)
    return {name: _of_field(fields[name], hints[name]) for name in OF_MODEL if name in fields}


def _of_field(field: "dataclasses.Field[Any]", hint: Any) -> Setting:
    limits = field.metadata.get("minimum", 0), field.metadata.get("maximum", LARGEST)
    return Setting(hint, field.default, field.metadata["meaning"], *limits)


def of_evaluation() -> dict[str, Setting]:
    """How the trained model is evaluated."""
    from lambent.metrics.bound import SAMPLES
    from lambent.tasks.evaluate import MOST_SAMPLES

    return {
        "samples": Setting(int, SAMPLES, "K of the K-sample bound", 1, MOST_SAMPLES),
        "rows": Setting(int, 1000, "evaluate on at most so many test rows, drawn by a fixed seed", 1),
    }


def of_fit() -> dict[str, Setting]:
    """The settings of the loop: the fields of `Training`, with their types, defaults, meanings and ranges."""
    from lambent.training.settings import Training
    from lambent.training.threads import checked as checked_threads

    hints, found = typing.get_type_hints(Training), {}
    for field in dataclasses.fields(Training):
        found[field.name] = _of_field(field, hints[field.name])
    del found["steps"]  # for iterables; the rows of a run are all in memory
    # `fit` holds nothing out by default; for a person at a terminal a share is the rule.
    meaning = "split to watch, or a share of the training rows to hold out; auto: 'valid' if they have that, else 0.1"
    # Nor does it touch the program's threads; a command has them to itself.
    threads = found["threads"]
    found["threads"] = dataclasses.replace(threads, hint=int | str, default="auto", check=checked_threads)
    found["validation"] = Setting(str | float, "auto", meaning, 0, 0.9)
    return found


def read(given: Tree, known: dict[str, Setting], path: str) -> Tree:
    """All settings of a section, given or default, checked; `UsageError` with the dotted path of what is wrong."""
    for key in given:
        if key not in known:
            raise UsageError(f"{path}.{key}: no such setting; {nearest(key, known)}")
    values = {name: setting.default for name, setting in known.items()}
    return values | {key: checked(value, known[key], f"{path}.{key}") for key, value in given.items()}


def checked(value: Any, setting: Setting, path: str) -> Any:
    """A value of the setting's type; of whole numbers only those in its range, of numbers only finite ones."""
    given = value
    try:
        value = coerced(read_typed(value, setting.hint) if isinstance(value, Typed) else value, setting.hint)
        if value == "":
            raise TypeError
    except TypeError:
        shown = repr(str(given)[:60]) if isinstance(given, str) else str(given)[:60]
        raise UsageError(f"{path} takes {setting.kind}, not {shown} ({setting.meaning})") from None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not setting.low <= value <= setting.high:
        where = bound(value, setting.low, setting.high)
        raise UsageError(f"{path} {where}, not {str(given)[:60]} ({setting.meaning})")
    try:
        return value if setting.check is None else setting.check(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def kind_of(hint: Any) -> str:
    """An annotation in words."""
    if typing.get_origin(hint) is Literal:
        return "|".join(str(a) for a in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"list of {kind_of(typing.get_args(hint)[0])}s"
    if typing.get_args(hint):
        return " or ".join(kind_of(a) for a in typing.get_args(hint))
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))
