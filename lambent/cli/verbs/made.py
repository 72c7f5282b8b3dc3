"""What verbs make of rows, written: by the kind of data that they are of, to a file of a suffix's kind."""

from pathlib import Path
from typing import Any

from torch import Tensor

from lambent.cli import output
from lambent.cli.voice import Voice
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
    raise UsageError(f"--out {path}: {what} cannot be written as {suffix or 'a folder'}; write {', '.join(known)}")


def write_made(path: Path, fitted: Fitted, x: Tensor, lead: dict[str, Any], grid: Any, voice: Voice) -> None:
    """Rows to a file of the suffix's kind."""
    lead = _apart(lead, fitted, x)
    noun = "pictures" if are_drawn(fitted) else "rows" if fitted.modality is None else fitted.modality.noun
    if fitted.modality is not None and path.suffix.lower() in fitted.modality.suffixes:
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
