"""One rule for what an annotation takes: the same for fields of parts, settings of a run, and what is typed as a flag."""

import math
from typing import Any, Literal

import numpy as np
import pytest

from lambent import Elbo, Flat, Mlp
from lambent.cli.reading.settings import Setting, checked
from lambent.cli.reading.specs import read_typed
from lambent.cli.reading.strict import parsed
from lambent.cli.reading.trees import Typed
from lambent.data.kinds.image import Image
from lambent.errors import UsageError
from lambent.model.networks import Network
from lambent.part import coerced, named

TAKEN: list[tuple[Any, Any, Any]] = [
    (3, int, 3), (np.int64(3), int, 3), (3, float, 3.0), (np.float32(0.5), float, 0.5), ("1e-3", float, 0.001),
    (True, bool, True), ("", str, ""), (None, int | None, None), (3, int | None, 3),
    ("auto", float | Literal["auto"], "auto"), ("auto", Literal["auto"] | float, "auto"), (2, Literal["auto"] | float, 2.0),
    (3, int | float, 3), (0.1, str | float, 0.1), ("0.1", str | float, "0.1"), ("0.1", float | str, 0.1),
    ([8, 4], tuple[int, ...], (8, 4)), ((), tuple[int, ...], ()), ([8, 0.5], tuple[int, float], (8, 0.5)),
    (8, tuple[int, int], (8, 8)), ([8], tuple[int, int] | None, (8, 8)), ("8", tuple[int, int], (8, 8)),
    ("8,4", tuple[int, int], (8, 4)), ("[8, 4]", tuple[int, int] | None, (8, 4)), (0.5, tuple[float, float], (0.5, 0.5)),
    (["a"], tuple[str, ...] | None, ("a",)), (None, tuple[str, ...] | None, None),
]  # fmt: skip
REFUSED: list[tuple[Any, Any]] = [
    (True, int), (2.0, int), ("3", int), (None, int), (True, float), (math.nan, float), ("inf", float), (10**400, float),
    ("9" * 400, float), ("x", float), ([1.0], float), (1, bool), ("true", bool), (3, str), (3, Literal["auto"]),
    ("Auto", Literal["auto"]), (True, Literal["auto"] | float), ("84", tuple[int, ...]), (b"84", tuple[int, ...]),
    ([8, "4"], tuple[int, ...]), ([], tuple[int, int]), ("8x4", tuple[int, int]), (True, tuple[int, int]), (8, tuple[int, float]),
    ("8,4,2", tuple[int, int]), ([8, 4, 2], tuple[int, int]), ({}, tuple[int, ...]), (3, Network),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hint", "wanted"), TAKEN, ids=repr)
def test_what_an_annotation_takes(value: Any, hint: Any, wanted: Any) -> None:
    found = coerced(value, hint)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(("value", "hint"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_an_annotation_does_not_take(value: Any, hint: Any) -> None:
    with pytest.raises(TypeError):
        coerced(value, hint)


def test_parts_are_brought_to_what_describes_them() -> None:
    network = coerced({"type": "Mlp", "width": 8}, Network | Literal["auto"])
    assert isinstance(network, Mlp)
    assert network.width == 8
    assert coerced(network, Network) is network
    with pytest.raises(UsageError, match="no field 'widht'"):
        coerced({"type": "Mlp", "widht": 8}, Network | None)


@pytest.mark.parametrize(
    ("text", "hint", "wanted"),
    [
        ("3", int, 3), ("3", str, "3"), ("3", int | None, 3), ("null", int | None, None), ("~", str | None, None),
        ("3", str | float, 3), ("auto", str | float, "auto"), ("auto", Literal["auto"] | float, "auto"),
        ("1e-3", float, 0.001), ("true", bool, True), ("no", bool, "no"), ("[32, 64]", tuple[int, ...], [32, 64]),
        ("32,64 , 8", tuple[int, ...], [32, 64, 8]), ('a,"b, c",3', tuple[str, ...], ["a", "b, c", "3"]),
        ("", tuple[int, ...], []), ("a, b", tuple[Literal["a", "b"], ...], ["a", "b"]), (".inf", float, ".inf"),
    ],
)  # fmt: skip
def test_what_is_typed_is_read_by_what_it_is_for(text: str, hint: Any, wanted: Any) -> None:
    found = read_typed(text, hint)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("value", [True, 2.0, "3", None, [3], "x"])
def test_a_field_and_a_setting_refuse_in_the_same_words(value: Any) -> None:
    with pytest.raises(UsageError) as field:
        Flat(value)
    with pytest.raises(UsageError) as setting:
        checked(value, Setting(int, 3, "how many"), "fit.size")
    assert "Flat.size takes a whole number, not " in str(field.value)
    assert "fit.size takes a whole number, not " in str(setting.value)


def test_a_number_beyond_any_that_a_machine_holds() -> None:
    """10⁴⁰⁰ is a whole number, and no finite float: refused like infinity, by a field and by a setting."""
    with pytest.raises(UsageError, match=r"Elbo\.beta takes"):
        Elbo(beta=10**400)
    with pytest.raises(UsageError, match=r"fit\.clip takes a finite number"):
        checked(Typed("1" + "0" * 400), Setting(float, 1.0, "the norm"), "fit.clip")


def test_annotations_in_words() -> None:
    assert named(int | None) == "a whole number or null"
    assert named(float | Literal["auto"]) == "a finite number or 'auto'"
    assert named(Network).startswith("a Network (")


@pytest.mark.parametrize("given", [32, [32], "32", "32,32", "[32,32]", "[32, 32]", (32, 32)], ids=repr)
def test_a_size_is_said_in_any_of_these_ways(given: Any) -> None:
    """In Python, in YAML (where 32,32 is text) and after a flag, where all is text."""
    assert Image(size=given).size == (32, 32)
    if isinstance(given, str):
        typed = read_typed(Typed(given), tuple[int, int] | None)
        assert Image(size=typed).size == (32, 32)
        read = parsed(f"size: {given}", "a file")["size"]
        assert Image(size=read).size == (32, 32)
