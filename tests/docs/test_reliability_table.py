"""The table of faults in the docs is the one that the tests make."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("scripts/make_reliability_table.py")


def test_the_table_is_current(maker: ModuleType) -> None:
    assert maker.TABLE.read_text(encoding="utf-8") == maker.table(), "python scripts/make_reliability_table.py"


@pytest.mark.parametrize(("letter", "last"), [("K", 20), ("C", 24), ("M", 20)])
def test_every_case_is_tried_or_said_not_to_apply(letter: str, last: int, maker: ModuleType) -> None:
    found = {each.case for path in (ROOT / "tests").rglob("test_*.py") for each in maker.held(path)}
    assert {f"{letter}{n}" for n in range(1, last + 1)} - found == set()


def test_tests_of_cases_say_what_they_try(maker: ModuleType) -> None:
    every = [each for path in (ROOT / "tests").rglob("test_*.py") for each in maker.held(path)]
    assert sorted({each.where for each in every if not each.said}) == []
