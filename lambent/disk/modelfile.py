"""The model file as a container: its description held against its SHA-256, and its tensors against those that are wanted."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from lambent.disk import strict_json, tensorfile
from lambent.disk.tensorfile import Entry, Header
from lambent.disk.whole import write_whole
from lambent.errors import ArtifactError

ARCHIVE = ".lam"  # what the codec writes
MODEL = "model.safetensors"  # in the folder of a run
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
MOST_FAULTS = 50  # that one message lists


def model_path(path: str | Path) -> Path:
    """The model file that a path means: itself, or that of a run's folder."""
    path = Path(path)
    return path / MODEL if os.path.isdir(path) else path


def written(path: str | Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> Path:
    """Write tensors by name with their description, plain JSON; the old file stays until the new one is whole."""
    text = json.dumps({**description, "sha256": tensorfile.digest(tensors)}, allow_nan=False)
    metadata = {"lambent": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return write_whole(path, lambda p: tensorfile.write(p, tensors, metadata))


def opened(path: Path) -> tuple[dict[str, Any], Header]:
    """What the file says of itself, held against its own SHA-256; and which tensors it has.

    Raises `ArtifactError` for a pickle, for what is no such file, and for damage.
    """
    if path.suffix in PICKLES:
        raise ArtifactError(
            f"{path} is a pickle, which can run code when it is read, so it never is: save models with lambent.save"
        )
    if not os.path.isfile(path):
        raise ArtifactError(f"there is no model file at {path}")
    if path.suffix == ARCHIVE:
        raise ArtifactError(f"{path} is an archive, not a model: name the folder of the run that it was made with")
    found = tensorfile.read_header(path)
    text = found.metadata.get("lambent")
    if text is None:
        raise ArtifactError(f"{path} is a safetensors file, but not one of lambent's")
    if found.metadata.get("sha256") != hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest():
        raise ArtifactError(f"{path} is damaged: its description does not match its SHA-256")
    try:
        header = strict_json.parsed(text)
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {error}") from None
    if not isinstance(header, dict):
        raise ArtifactError(f"{path} is damaged: its header is no object")
    return header, found


def misfits(wanted: dict[str, Tensor], given: dict[str, Entry]) -> list[str]:
    """Everything in which the file's tensors are not those of the model it describes."""
    missing, extra = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    faults = [f"{name} is missing" for name in missing] + [f"{name} belongs to no part" for name in extra]
    for name in sorted(set(wanted) & set(given)):
        mine, theirs = wanted[name], given[name]
        if theirs.shape == () and ".groups." in name and name.endswith(".log_scale"):
            continue  # of when columns of equal description shared one scale, which each of them then takes
        if tuple(mine.shape) != theirs.shape:
            faults.append(f"{name} has shape {list(theirs.shape)}, not {list(mine.shape)}")
        elif mine.dtype != theirs.dtype:
            faults.append(f"{name} has type {theirs.dtype}, not {mine.dtype}")
    return faults[:MOST_FAULTS] + [f"and {len(faults) - MOST_FAULTS} more"] * (len(faults) > MOST_FAULTS)
