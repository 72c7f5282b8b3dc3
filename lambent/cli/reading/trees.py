"""Trees of settings as they were written in a file or typed as flags; which part each branch is for is decided later."""

from typing import Any

from lambent.errors import UsageError

Tree = dict[str, Any]


class Typed(str):
    """Text as it was typed after a flag; what it means is decided by the field that it is for."""


def as_tree(given: Any, family: str, path: str) -> Tree:
    """What was given as a tree: nothing, a name, or a mapping; from a flag also a mapping in braces."""
    if isinstance(given, Typed):
        from lambent.cli.reading import strict

        given = strict.parsed(given, f"--{path}") if given.strip().startswith("{") else str(given)
    if given is None:
        return {}
    if isinstance(given, str):
        return {"type": given}
    if not isinstance(given, dict):
        raise UsageError(
            f"{path}: a {family} is named, or described as {{type: NAME, …}}; {str(given)[:60]!r} is neither"
        )
    return given


def merged(base: Tree, over: Tree) -> Tree:
    """`over` laid on `base`, branch by branch; a branch of another type starts afresh."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        if isinstance(before, (dict, str)) and isinstance(value, dict):
            before = before if isinstance(before, dict) else {"type": before}
            result[key] = merged(before, value) if _same_type(before, value) else value
        elif isinstance(before, dict) and isinstance(value, str) and _same_type(before, {"type": value}):
            result[key] = {**before, "type": str(value)}
        else:
            result[key] = value
    return result


def _same_type(before: Tree, over: Tree) -> bool:
    return "type" not in over or "type" not in before or str(over["type"]) == str(before["type"])
