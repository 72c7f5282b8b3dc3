"""The benchmarks' result files hold what their tables need, and their scripts say how they are run."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
SCRIPTS = (
    "blur",
    "cells",
    "cells_contestants",
    "codec",
    "compare",
    "crowded",
    "defaults",
    "density",
    "detect",
    "detect_cases",
    "detect_images",
    "detect_scoring",
    "epochs",
    "evaluation",
    "false_discoveries",
    "features",
    "graphs",
    "growth",
    "imputation",
    "larger_than_memory",
    "lossy",
    "not_at_random",
    "overhead",
    "paintings",
    "representations",
    "rivals",
    "samples",
    "scoring",
    "speech",
    "speed",
    "startup",
    "style",
    "table_archives",
    "tables",
    "tables_mixed",
    "tiles",
)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_say_where_and_how_they_came_to_be(path: Path) -> None:
    found = json.loads(path.read_text("utf-8"))
    assert found["title"]
    assert found["protocol"]
    assert all(machine["torch"] for machine in found["machines"])
    assert {row["machine"] for row in found["rows"]} == set(range(1, len(found["machines"]) + 1))
    names = {column["name"] for column in found["columns"]}
    for row in found["rows"]:
        assert names & set(row), row
        for column in found["columns"]:
            value = row.get(column["name"])
            if isinstance(value, (int, float)) and column.get("format"):
                assert format(value, column["format"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_how_it_is_run(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, where torch is loaded already: a process each took most of a second core for minutes."""
    folder = ROOT / "benchmarks"
    monkeypatch.setattr(sys, "argv", [str(folder / f"{name}.py"), "--help"])
    monkeypatch.syspath_prepend(folder)
    known = set(sys.modules)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(sys.argv[0], run_name="__main__")
    for loaded in set(sys.modules) - known:  # the next script finds nothing of this one
        if str(getattr(sys.modules[loaded], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[loaded]
    assert ended.value.code == 0
    assert f"python benchmarks/{name}.py" in capsys.readouterr().out


def test_rows_remember_which_machine_made_them(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = script("benchmarks/record.py")

    def added(cores: int, **row: object) -> dict[str, Any]:
        monkeypatch.setattr(record, "machine", lambda device: {"cores": cores})
        path = tmp_path / "result.json"
        record.Record(path, "Speed", "A protocol.", [record.column("rate", "Rate")], ("loop",)).add(**row)
        return dict(json.loads(path.read_text("utf-8")))

    added(2, loop="a", rate=1)
    added(2, loop="b", rate=2)
    found = added(16, loop="a", rate=3)
    assert found["machines"] == [{"cores": 2}, {"cores": 16}]
    assert found["rows"] == [{"loop": "a", "rate": 3, "machine": 2}, {"loop": "b", "rate": 2, "machine": 1}]
    found = added(16, loop="b", rate=4)  # the first machine has no row left
    assert found["machines"] == [{"cores": 16}]
    assert [row["machine"] for row in found["rows"]] == [1, 1]
