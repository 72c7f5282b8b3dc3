"""The model file: one safetensors file that holds the weights, and in its header the spec, the modality, the provenance.

Reading it runs no code from it: names are looked up among the registered parts, tensors are numbers, the rest is JSON.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lambent.data import Modality  # not from its own module: its members must be registered
from lambent.disk import strict_json, tensorfile
from lambent.disk.allowance import allowance
from lambent.disk.tensorfile import Entry, Header
from lambent.disk.whole import write_whole
from lambent.errors import ArtifactError, LambentError, UsageError
from lambent.model import LatentModel

FORMAT = 1
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
MOST_AXES = 8
MOST_FAULTS = 50  # that one message lists


@dataclass
class Stored:
    """What a model file holds."""

    model: LatentModel
    modality: Modality | None
    provenance: dict[str, Any] = field(default_factory=dict)


def save(
    path: str | Path, model: LatentModel, modality: Modality | None = None, provenance: dict[str, Any] | None = None
) -> Path:
    """Write the model file; the old file stays until the new one is whole.

    Raises `ArtifactError` for weights that are not finite, `MachineError` where the disk refuses.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    bad = [name for name, t in tensors.items() if not bool(torch.isfinite(t).all())]
    if bad:
        raise ArtifactError(f"the model is not saved, for weights that are not finite: {', '.join(bad[:8])}")
    if modality is not None and modality.event != model.event_shape:
        raise UsageError(
            f"the model takes rows of shape {list(model.event_shape)}, the modality makes {list(modality.event)}"
        )
    header = {
        "format": FORMAT,
        "model": model.spec(),
        "event": list(model.event_shape),
        "modality": None if modality is None else {"spec": modality.spec(), "state": modality.state()},
        "provenance": {**(provenance or {}), "versions": versions()},
        "sha256": tensorfile.digest(tensors),
    }
    text = json.dumps(header, allow_nan=False)
    metadata = {"lambent": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return write_whole(path, lambda p: tensorfile.write(p, tensors, metadata))


def load(path: str | Path, device: str | torch.device = "cpu") -> Stored:
    """Read a model file onto a device.

    Raises `ArtifactError` that lists everything wrong with it: damage, a later format, tensors missing, left over, of
    another shape or type, numbers that are not finite.
    """
    path = Path(path)
    header, found = _opened(path)
    if header.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} has format {header.get('format')!r}, and this version reads {FORMAT}: update lambent"
        )
    model, modality = _built(path, header, found)
    wanted = model.state_dict()
    faults = _misfits(wanted, found.tensors)
    if not faults:  # only now are the tensors read: they are as large as the model's own
        tensors = tensorfile.read_tensors(path, found)
        faults = [
            f"{name} holds numbers that are not finite"
            for name, t in tensors.items()
            if t.dtype.is_floating_point and not bool(torch.isfinite(t).all())
        ]
        if not faults and tensorfile.digest(tensors) != header.get("sha256"):
            faults = ["the tensors do not match their SHA-256: the file is damaged"]
    if faults:
        raise ArtifactError(f"{path} cannot be loaded: " + "; ".join(faults))
    model.load_state_dict(tensors)
    model.to(device).eval()
    provenance = header.get("provenance")
    return Stored(model, modality, provenance if isinstance(provenance, dict) else {})


def read_header(path: str | Path) -> dict[str, Any]:
    """The header alone, without the tensors."""
    return _opened(Path(path))[0]


def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {}
    for name in ("lambent", "torch", "zuko", "numpy", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def _opened(path: Path) -> tuple[dict[str, Any], Header]:
    """What the file says of itself, held against its own SHA-256; and which tensors it has."""
    if path.suffix in PICKLES:
        raise ArtifactError(
            f"{path} is a pickle, which can run code when it is read, so it never is: save models with lambent.save"
        )
    if not os.path.isfile(path):
        raise ArtifactError(f"there is no model file at {path}")
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


def _built(path: Path, header: dict[str, Any], found: Header) -> tuple[LatentModel, Modality | None]:
    """The model that the header describes, still with weights of its own, and the modality.

    Building costs no more than the file's own size allows, whatever the header claims.
    """
    size = sum(entry.size for entry in found.tensors.values())
    try:
        event = header["event"]
        if not isinstance(event, list) or not 1 <= len(event) <= MOST_AXES or not all(type(n) is int for n in event):
            raise ArtifactError(f"rows of shape {str(event)[:80]}")
        with allowance(size, len(found.tensors)):
            model = LatentModel.from_spec(header["model"]).setup(tuple(event))
        described, modality = header.get("modality"), None
        if described is not None:
            modality = Modality.from_spec(described["spec"]).restore(described["state"])
            if modality.event != model.event_shape:
                raise ArtifactError(f"rows of shape {event}, of which its modality makes {list(modality.event)}")
    except LambentError as error:
        raise ArtifactError(f"{path} describes a model that cannot be built: {error}") from None
    except Exception as error:  # a stranger's description can fail in any of the parts' own ways
        what = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"  # torch's go on for pages
        raise ArtifactError(f"{path} describes a model that cannot be built: {what}") from None
    return model, modality


def _misfits(wanted: dict[str, Tensor], given: dict[str, Entry]) -> list[str]:
    """Everything in which the file's tensors are not those of the model it describes."""
    missing, extra = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    faults = [f"{name} is missing" for name in missing] + [f"{name} belongs to no part" for name in extra]
    for name in sorted(set(wanted) & set(given)):
        mine, theirs = wanted[name], given[name]
        if tuple(mine.shape) != theirs.shape:
            faults.append(f"{name} has shape {list(theirs.shape)}, not {list(mine.shape)}")
        elif mine.dtype != theirs.dtype:
            faults.append(f"{name} has type {theirs.dtype}, not {mine.dtype}")
    return faults[:MOST_FAULTS] + [f"and {len(faults) - MOST_FAULTS} more"] * (len(faults) > MOST_FAULTS)
