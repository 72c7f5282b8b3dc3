"""Killed by a real SIGKILL at each stage of writing, resumed, and in the end the same to the bit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def drill(folder: Path, kills: int) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "kill_drill.py"), str(folder), str(kills)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("kills", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_K11_killed_at_every_stage_of_writing_and_resumed_to_the_bit(kills: int, tmp_path: Path) -> None:
    """SIGKILL with the temporary file open, half written, before fsync, around the rename, at any moment: the same bits."""
    found = drill(tmp_path, kills)
    assert sum(found["killed"].values()) == kills
    assert len(found["killed"]) == 6
    assert min(found["killed"].values()) >= kills // 6 - 1
    assert found["same"], "the state after resumption is not that of the run left alone"
    assert found["leftovers"] == 0, "temporary files were left"
