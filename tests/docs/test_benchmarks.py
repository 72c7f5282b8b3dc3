"""The benchmarks' result files hold what their tables need, and their scripts say how they are run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
SCRIPTS = ("defaults", "density", "epochs", "evaluation", "growth", "overhead", "speed", "startup")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_say_where_and_how_they_came_to_be(path: Path) -> None:
    found = json.loads(path.read_text("utf-8"))
    assert found["title"]
    assert found["protocol"]
    assert found["machine"]["torch"]
    assert found["rows"]
    names = {column["name"] for column in found["columns"]}
    for row in found["rows"]:
        assert names & set(row), row
        for column in found["columns"]:
            value = row.get(column["name"])
            if isinstance(value, (int, float)) and column.get("format"):
                assert format(value, column["format"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_how_it_is_run(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--help"],
        capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "error::SyntaxWarning"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/{name}.py" in done.stdout
