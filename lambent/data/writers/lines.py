"""Texts as files: one a line, as JSON lines, or a folder with a file for each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.disk.whole import write_text

SUFFIXES = (".txt", ".jsonl", "")


def write_texts(path: Path, texts: Sequence[str], lead: dict[str, Any]) -> None:
    """Write texts by suffix. lead: columns beside them, which JSON lines keep.

    On a line of its own no text has line breaks: they become blanks. Between the pairs of walks stands an empty line.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        columns = {name: _plain(values) for name, values in lead.items()} | {"text": list(texts)}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    elif suffix == ".txt":
        groups = _plain(lead["pair"]) if "pair" in lead else [0] * len(texts)
        lines = []
        for number, text in enumerate(texts):
            lines += [""] if number and groups[number] != groups[number - 1] else []
            lines.append(" ".join(text.splitlines()))
        write_text(path, "".join(f"{line}\n" for line in lines))
    else:
        path.mkdir(parents=True, exist_ok=True)
        width = max(4, len(str(len(texts))))
        for number, text in enumerate(texts):
            write_text(path / f"{number:0{width}d}.txt", text)


def _plain(values: Any) -> list[Any]:
    return list(np.asarray(values).tolist())
