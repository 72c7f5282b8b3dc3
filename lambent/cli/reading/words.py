"""Values and descriptions as a person would type them."""

from typing import Any


def shown(value: Any) -> str:
    """A default as one would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(v["type"] if isinstance(v, dict) else shown(v) for v in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_line(spec: Any) -> str:
    """A description as one would write it in Python: Flat(size=16, prior=Vamp(components=50))."""
    if not isinstance(spec, dict):
        return shown(spec) if not isinstance(spec, list) else "[" + ", ".join(in_line(v) for v in spec) + "]"
    inner = ", ".join(f"{key}={in_line(value)}" for key, value in spec.items() if key != "type")
    return f"{spec.get('type', '')}({inner})"
