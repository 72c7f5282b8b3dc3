"""What verbs make of rows, written: by the kind of data that they are of, to a file of a suffix's kind."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lambent.cli import output
from lambent.cli.voice import Voice
from lambent.data import Encoded
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.report.run.gather import are_pictures


def are_drawn(fitted: Fitted) -> bool:
    """Whether the rows are pictures."""
    return fitted.modality is not None and are_pictures(fitted.modality)


def picture_levels(fitted: Fitted, x: Tensor) -> Any:
    """Rows as pictures of levels 0 … white, which a PNG holds."""
    assert fitted.modality is not None
    return fitted.modality.levels(x)


def white_of(fitted: Fitted) -> int:
    """The level of white in its pictures."""
    return 255 if fitted.modality is None else fitted.modality.white


def grid_of(fitted: Fitted, strips: Tensor) -> Any:
    """[strips, steps, *event] as a grid of pictures, or None where they are none."""
    if not are_drawn(fitted):
        return None
    flat = picture_levels(fitted, strips.flatten(0, 1))
    return flat.reshape(*strips.shape[:2], *flat.shape[1:])


def refuse_suffix(path: Path, fitted: Fitted) -> None:
    """`UsageError` for a file that only another kind of data has, before anything is made."""
    modality, suffix = fitted.modality, path.suffix.lower()
    own = () if modality is None else modality.suffixes
    if suffix in own or suffix in output.ALL:
        return
    what = "these rows" if modality is None else f"the {modality.noun} of this model"
    known = ("a folder" if known == output.FOLDER else known for known in (*own, *output.ALL))
    raise UsageError(
        f"--out {path}: {what} cannot be written as {suffix or 'a folder or a file without suffix'}; write {', '.join(known)}"
    )


def refuse_beside(path: Path, fitted: Fitted) -> None:
    """`UsageError` for a file that holds what is found of rows beside rows of another kind, before anything is found."""
    suffix, own = path.suffix.lower(), () if fitted.modality is None else fitted.modality.annotates
    if suffix not in (*own, *output.TABLES):
        what = "these rows" if fitted.modality is None else f"the {fitted.modality.noun} of this model"
        raise UsageError(
            f"--out {path}: what is found of {what} cannot be written as {suffix}; write {', '.join((*own, *output.TABLES))}"
        )


def write_beside(path: Path, rows: Encoded, found: dict[str, Any], lead: dict[str, Any]) -> None:
    """What was found of rows: beside the rows themselves, where the file holds those too, else beside what leads them."""
    if path.suffix.lower() in rows.modality.annotates:
        rows.modality.annotate(path, rows, {name: np.asarray(values) for name, values in found.items()})
    else:
        output.write(path, found, lead, None)


def write_made(
    path: Path,
    fitted: Fitted,
    x: Tensor,
    lead: dict[str, Any],
    grid: Any,
    voice: Voice,
    of: Encoded | None = None,
) -> None:
    """Rows to a file of the suffix's kind. of: the rows that each of them was made of, which some kinds of files hold too."""
    lead = _apart(lead, fitted, x)
    noun = "pictures" if are_drawn(fitted) else "rows" if fitted.modality is None else fitted.modality.noun
    if of is not None and path.suffix.lower() in of.modality.annotates:
        of.modality.annotate(path, of, {}, x)
    elif fitted.modality is not None and path.suffix.lower() in fitted.modality.suffixes:
        fitted.modality.write(path, x, lead)
    elif are_drawn(fitted):
        if grid is None and path.suffix.lower() == ".png":
            grid = output.sheet_of(picture_levels(fitted, x), white=white_of(fitted))
        output.write(path, {"x": fitted.raw(x)}, lead, grid, white_of(fitted))
    elif fitted.modality is None:
        output.write(path, {"x": x.numpy()}, lead, None)
    elif (arrays := fitted.modality.as_columns(x)) is not None:
        output.write(path, arrays, lead, None)
    else:
        columns = getattr(fitted.modality, "columns", [])
        names = [str(column.name) for column in columns]
        output.write_rows(path, fitted.raw(x), lead, names, {column.name: column.declared for column in columns})
    voice.result({"out": str(path), "rows": len(x)})
    voice.say(f"{path}: {len(x):,} {noun}")


def _apart(lead: dict[str, Any], fitted: Fitted, x: Tensor) -> dict[str, Any]:
    """Columns beside made rows, those named as the made ones are called original."""
    made = () if fitted.modality is None else fitted.modality.as_columns(x[:0]) or ()
    return {f"original_{name}" if name in made else name: values for name, values in lead.items()}
