"""What every benchmark writes: a result file that says where and how its numbers came to be."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lambent.disk.whole import write_text

RESULTS = Path(__file__).parent / "results"


def machine(device: str = "cpu") -> dict[str, Any]:
    """The processor, the threads, the versions."""
    names = ("torch", "numpy", "zuko", "pythae", "lightning")
    found = {name: metadata.version(name) for name in names if _installed(name)}
    probe = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", bool)() or getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    )
    return {
        "processor": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16_units": bool(probe) or device == "cuda",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "lambent": metadata.version("lambent"),
        **found,
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class Record:
    """A result file that is whole after every row, so that a run cut short still counts.

    Rows of an earlier run stay unless one with the same `key` columns replaces them. Each row has the number, from 1, of the
    machine that made it.
    """

    def __init__(
        self,
        path: Path,
        title: str,
        protocol: str,
        columns: list[dict[str, str]],
        key: tuple[str, ...],
        device: str = "cpu",
    ) -> None:
        self.path = path
        self.key = key
        before = json.loads(path.read_text()) if path.exists() else {}
        self.whole: dict[str, Any] = {
            "title": title,
            "protocol": protocol,
            "machines": before.get("machines", []),
            "columns": columns,
            "rows": before.get("rows", []),
            "notes": before.get("notes", []),
        }
        here = machine(device)
        if here not in self.whole["machines"]:
            self.whole["machines"].append(here)
        self.number = self.whole["machines"].index(here) + 1

    def add(self, **row: Any) -> None:
        """Add a row, or replace the one with the same key, and write the file."""
        row["machine"] = self.number
        same = [i for i, old in enumerate(self.whole["rows"]) if all(old.get(k) == row.get(k) for k in self.key)]
        if same:
            self.whole["rows"][same[0]] = row
        else:
            self.whole["rows"].append(row)
        self._forget_machines()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.whole, indent=1, ensure_ascii=False) + "\n")

    def _forget_machines(self) -> None:
        """Leave out the machines whose rows have all been replaced, and number the others anew."""
        kept = sorted({row["machine"] for row in self.whole["rows"]})
        self.whole["machines"] = [self.whole["machines"][number - 1] for number in kept]
        for row in self.whole["rows"]:
            row["machine"] = kept.index(row["machine"]) + 1
        self.number = kept.index(self.number) + 1


def column(name: str, title: str, unit: str = "", form: str = "") -> dict[str, str]:
    """A column of the table in the documentation: its key in the rows, its heading, unit and number format."""
    return {k: v for k, v in {"name": name, "title": title, "unit": unit, "format": form}.items() if v}
