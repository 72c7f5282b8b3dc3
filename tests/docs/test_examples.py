"""The example script runs, on a small table."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 3)) + 8 * (np.arange(120) % 4 == 0)[:, None], columns=["a", "b", "c"])
    frame.assign(Class=np.arange(120) % 4 == 0).astype(float).to_csv(tmp_path / "table.csv")
    monkeypatch.setattr(sys, "argv", ["table.py", str(tmp_path / "table.csv"), "--epochs", "5"])
    runpy.run_path(str(EXAMPLES / "table.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert float(said.rpartition(": ")[2]) > 0.9
