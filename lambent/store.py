"""The model file: one safetensors file that holds the weights, and in its header the spec, the modality, the provenance.

Reading it runs no code from it: names are looked up among the registered parts, tensors are numbers, the rest is JSON.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lambent.data import Modality  # not from its own module: its members must be registered
from lambent.errors import ArtifactError, LambentError
from lambent.files import write_whole
from lambent.model import LatentModel

FORMAT = 1
LARGEST_HEADER = 1 << 24


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
    header = {
        "format": FORMAT,
        "model": model.spec(),
        "event": list(model.event_shape),
        "modality": None if modality is None else {"spec": modality.spec(), "state": modality.state()},
        "provenance": {**(provenance or {}), "versions": versions()},
        "sha256": digest(tensors),
    }
    metadata = {"lambent": json.dumps(header, allow_nan=False, ensure_ascii=False)}
    return write_whole(path, lambda p: save_file(tensors, p, metadata))


def load(path: str | Path, device: str | torch.device = "cpu") -> Stored:
    """Read a model file onto a device.

    Raises `ArtifactError` that lists everything wrong with it: damage, a later format, tensors missing, left over, of
    another shape or type, numbers that are not finite.
    """
    path = Path(path)
    header, tensors = _read(path)
    if header.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} has format {header.get('format')!r}, and this version reads {FORMAT}: update lambent"
        )
    try:
        model = LatentModel.from_spec(header["model"]).setup(tuple(header["event"]))
        modality = None
        if header.get("modality") is not None:
            modality = Modality.from_spec(header["modality"]["spec"]).restore(header["modality"]["state"])
    except (LambentError, KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{path} describes a model that cannot be built: {error}") from None
    faults = _faults(model.state_dict(), tensors)
    if not faults and digest(tensors) != header.get("sha256"):
        faults = ["the tensors do not match their SHA-256: the file is damaged"]
    if faults:
        raise ArtifactError(f"{path} cannot be loaded: " + "; ".join(faults))
    model.load_state_dict(tensors)
    model.to(device).eval()
    return Stored(model, modality, header.get("provenance") or {})


def read_header(path: str | Path) -> dict[str, Any]:
    """The header alone, without the tensors."""
    return _opened(Path(path))[0]


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return found.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {}
    for name in ("lambent", "torch", "zuko", "numpy", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def _opened(path: Path) -> tuple[dict[str, Any], list[str]]:
    if path.suffix in (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"):
        raise ArtifactError(
            f"{path} is a pickle, which can run code when it is read, so it never is: save models with lambent.save"
        )
    if not path.is_file():
        raise ArtifactError(f"there is no model file at {path}")
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if not 2 <= size <= min(LARGEST_HEADER, path.stat().st_size - 8):
        raise ArtifactError(f"{path} is no model file, or only a part of one: its header would be {size} bytes long")
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
        header = json.loads(metadata["lambent"], parse_constant=_refused)
    except KeyError:
        raise ArtifactError(f"{path} is a safetensors file, but not one of lambent's") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from None
    if not isinstance(header, dict):
        raise ArtifactError(f"{path} is damaged: its header is no object")
    return header, names


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    header, names = _opened(path)
    try:
        with safe_open(path, framework="pt") as file:
            return header, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from None


def _faults(wanted: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    missing, extra = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    faults = [f"{name} is missing" for name in missing] + [f"{name} belongs to no part" for name in extra]
    for name in sorted(set(wanted) & set(given)):
        mine, theirs = wanted[name], given[name]
        if mine.shape != theirs.shape:
            faults.append(f"{name} has shape {list(theirs.shape)}, not {list(mine.shape)}")
        elif mine.dtype != theirs.dtype:
            faults.append(f"{name} has type {theirs.dtype}, not {mine.dtype}")
        elif theirs.dtype.is_floating_point and not bool(torch.isfinite(theirs).all()):
            faults.append(f"{name} holds numbers that are not finite")
    return faults


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number here ({math.nan} and infinities are refused)")
