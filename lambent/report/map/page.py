"""write_map: a map of codes as one HTML file that needs nothing else."""

import base64
import hashlib
import io
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lambent.disk.whole import write_bytes
from lambent.report.numerals import show_moment
from lambent.tasks.map.columns import Column, Names
from lambent.tasks.map.mapping import Bytes, CodeMap
from lambent.tasks.map.walker import Walker, described
from lambent.version import __version__

SCRIPTS = ("decoder.js", "plane.js", "page.js", "colours.js", "field.js", "walk.js")
MOST_LEVELS = 200  # of names that colour is worth offering for


def write_map(made: CodeMap, path: str | os.PathLike[str], name: str = "Latent space", created: str = "") -> Path:
    """Write the page to `path`, whole or not at all; `MachineError` where the folder or the disk refuses.

    created: when the model was trained, as its provenance has it.
    """
    return write_bytes(path, render_map(made, name, created).encode("utf-8", "replace"))


def render_map(made: CodeMap, name: str = "Latent space", created: str = "") -> str:
    """The page as one string: style, script, points, pictures and weights inside, nothing fetched."""
    script = "\n".join(_resource(f"map/{part}") for part in SCRIPTS)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("map/page.html.jinja")).render(
        name=name,
        created=created,
        moment=show_moment(created) if created else "",
        rows=f"{len(made.rows):,}",
        units=made.units,
        last=int(made.rows.max()),
        how=made.placed.how,
        axes=made.placed.axes,
        notes=made.notes,
        why=made.why,
        walker=made.walker is not None,
        event=None if made.walker is None else made.walker.event,
        choices=_choices(made),
        version=__version__,
        style=Markup(_resource("style.css") + _resource("map/map.css")),
        data=Markup(_inert(_data(made))),
        script=Markup(script),
        script_hash=Markup(base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")),
    )


def _choices(made: CodeMap) -> list[dict[str, Any]]:
    """What points can be coloured by: the label first, then names of few levels, then numbers; or nothing."""
    columns = list(enumerate([*made.columns, *made.values]))
    names = [(i, c) for i, c in columns if isinstance(c, Names) and 1 <= len(c.levels) <= MOST_LEVELS]
    names.sort(key=lambda pair: pair[1].name != "label")
    numbers: list[tuple[int, Column]] = [(i, c) for i, c in columns if not isinstance(c, Names)]
    return [*({"value": i, "name": column.name} for i, column in [*names, *numbers]), {"value": -1, "name": "nothing"}]


def _data(made: CodeMap) -> dict[str, Any]:
    walker = made.walker
    units = 0 if walker is None else len(walker.centre)
    return {
        "rows": len(made.rows),
        "points": _base64(made.placed.points, "<f4"),
        "numbers": _base64(made.rows, "<i4"),
        "columns": [_column(column) for column in (*made.columns, *made.values)],
        "sprites": None if made.pictures is None else _sprites(made.pictures, made.pictured),
        "codes": None if made.codes is None else _base64(made.codes, "<f4"),
        "width": 0 if walker is None else walker.checks.shape[1],
        "walker": None if walker is None else _walker(walker, units),
    }


def _walker(walker: Walker, units: int) -> dict[str, Any]:
    return described(walker) | {
        "units": units,
        "weights": _base64(walker.program.weights, "<f4"),
        "centre": walker.centre.tolist(),
        "spread": walker.spread.tolist(),
        "checks": _base64(walker.checks, "<f4"),
        "checked": _base64(walker.checked, "u1"),
    }


def _column(column: Column) -> dict[str, Any]:
    if isinstance(column, Names):
        return {"name": column.name, "levels": column.levels, "places": _base64(column.places, "<i4")}
    return {"name": column.name, "unit": column.unit, "values": _base64(column.values, "<f8")}


def _sprites(pictures: Bytes, pictured: NDArray[np.int64]) -> dict[str, Any]:
    """All small pictures on one sheet, as square as it goes."""
    count, high, wide = pictures.shape[:3]
    columns = max(1, round((count * high / wide) ** 0.5))
    missing = -count % columns
    whole = np.concatenate([pictures, np.zeros((missing, *pictures.shape[1:]), np.uint8)])
    laid = whole.reshape(-1, columns, *pictures.shape[1:]).swapaxes(1, 2)
    buffer = io.BytesIO()
    Image.fromarray(laid.reshape(-1, columns * wide, *pictures.shape[3:])).save(buffer, "PNG", optimize=True)
    return {
        "uri": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}",
        "columns": columns,
        "width": wide,
        "height": high,
        "rows": _base64(pictured, "<i4"),
    }


def _base64(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")


def _inert(data: dict[str, Any]) -> str:
    """JSON that cannot end the element that it stands in, whatever names the data have."""
    return json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def _resource(name: str) -> str:
    return files("lambent.report").joinpath(name).read_text("utf-8")
