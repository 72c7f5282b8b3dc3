"""The manifest: a JSON file that says what a cache holds and of which source, and what passes over its rows have found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lambent.disk import strict_json
from lambent.disk.whole import write_text

FORMAT = 1
LARGEST = 2**26  # bytes


class Manifest:
    """A mapping that is kept in a file. What cannot be read counts as absent, for all of it can be found again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {}
        try:
            if path.stat().st_size > LARGEST:
                return
            content = strict_json.parsed(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return
        if isinstance(content, dict) and content.get("format") == FORMAT:
            self.content = content

    def describes(self, identity: dict[str, Any]) -> bool:
        """Whether it was made of a source of this identity."""
        return bool(self.content) and self.content.get("identity") == identity

    def write(self, content: dict[str, Any]) -> None:
        """Replace all that it says."""
        self.content = {"format": FORMAT, **content, "known": {}}
        write_text(self.path, json.dumps(self.content, allow_nan=False) + "\n")

    def known(self, question: str, answer: Callable[[], str]) -> str:
        """The answer kept under a question; if there is none, the one that is found now, which is kept."""
        kept = self.content.get("known")
        if isinstance(kept, dict) and isinstance(kept.get(question), str):
            return str(kept[question])
        found = answer()
        self.content["known"] = {**(kept if isinstance(kept, dict) else {}), question: found}
        write_text(self.path, json.dumps(self.content, allow_nan=False) + "\n")
        return found
