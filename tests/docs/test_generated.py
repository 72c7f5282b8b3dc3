"""The tables that the pages make from the package and from results."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lambent import papers

pytest.importorskip("sphinx", reason="the documentation's own tools are not installed")


@pytest.fixture
def generated(docs: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as conf.py finds it: beside the pages."""
    monkeypatch.syspath_prepend(str(docs))
    return importlib.import_module("generated")


def test_results_become_a_table(generated: Any) -> None:
    found = {
        "title": "Speed",
        "protocol": "Batch 128.",
        "machines": [{"cores": 2, "bf16_units": True}],
        "columns": [{"name": "model"}, {"name": "rows/s", "unit": "10³", "format": ".1f"}, {"name": "n"}],
        "rows": [{"model": "a|b", "rows/s": 36.94, "n": 12345, "machine": 1}, {"model": "c", "machine": 1}],
        "notes": ["Median of 3."],
    }
    assert generated.results(found).splitlines() == [
        "**Speed.** Batch 128.",
        "",
        "| model | rows/s (10³) | n |",
        "| --- | --- | --- |",
        "| a\\|b | 36.9 | 12,345 |",
        "| c | – | – |",
        "",
        "Machine: cores 2, bf16 units true.",
        "",
        "- Median of 3.",
    ]


def test_rows_of_several_machines_say_which(generated: Any) -> None:
    found = {
        "title": "Speed",
        "machines": [{"cores": 2}, {"cores": 16}],
        "columns": [{"name": "model"}],
        "rows": [{"model": "a", "machine": 1}, {"model": "b", "machine": 2}],
    }
    assert generated.results(found).splitlines()[2:] == [
        "| model | Machine |",
        "| --- | --- |",
        "| a | 1 |",
        "| b | 2 |",
        "",
        "Machine 1: cores 2.",
        "",
        "Machine 2: cores 16.",
    ]


def test_every_paper_becomes_a_sentence(generated: Any) -> None:
    for key in papers.bibliography():
        text = generated.reference(key)
        assert "{" not in text
        assert "\\" not in text
        assert text.endswith(".")
    assert generated.reference("tomczak2018vae").startswith("Tomczak and Welling, *[VAE with a VampPrior](https://")


def test_docstrings_are_plain_text_to_autodoc(generated: Any) -> None:
    lines = ["|KL − C| of `model_`, [rows, *event], and model_ too"]
    generated.plain_docstring(None, "", "", None, None, lines)
    assert lines == ["\\|KL − C\\| of ``model_``, [rows, \\*event], and model\\_ too"]
