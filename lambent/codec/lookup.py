"""Models by their hash: what names one, and where it is looked for when an archive does not carry its own."""

import contextlib
import copy
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from lambent.data.catalog.cache import cache_folder
from lambent.disk import strict_json
from lambent.disk.modelfile import MODEL
from lambent.disk.tensorfile import as_bytes
from lambent.disk.whole import write_text
from lambent.errors import ArtifactError, LambentError
from lambent.fitted import Fitted, load

BITS = 16  # of a weight's fraction, that are kept of it
MOST_KNOWN = 1000  # places that are remembered
MOST_FOLDERS = 1000  # that are looked into beside an archive


def rounded(fitted: Fitted, bits: int = BITS) -> Fitted:
    """The same model with weights that are multiples of 2^-bits: what an archive is coded by, whether it carries them or not."""
    model = copy.deepcopy(fitted.model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(_whole(weight, bits) * 2.0**-bits)
    return Fitted(model, fitted.modality)


def _whole(tensor: Tensor, bits: int) -> Tensor:
    return (tensor.detach().cpu().double() * 2.0**bits).round()


def identity(fitted: Fitted, bits: int = BITS) -> str:
    """SHA-256 of a model: of the description of its parts, of its weights as multiples of 2^-bits, and of its buffers."""
    model = fitted.model
    said = {"model": model.spec(), "event": list(model.event_shape), "bits": bits}
    found = hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    weights = {name for name, _ in model.named_parameters()}
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"\n{name} {list(tensor.shape)}\n".encode())
        held = _whole(tensor, bits).long() if name in weights else tensor
        found.update(as_bytes(held))
    return found.hexdigest()


def remembered(name: str, path: Path) -> None:
    """Note in the user's cache where the model of that hash lies; where that cannot be, nothing is noted."""
    with contextlib.suppress(OSError, LambentError):
        known = _known()
        place = str(path.resolve())
        known.pop(name, None)
        kept = dict(list(known.items())[-MOST_KNOWN + 1 :]) | {name: place}
        write_text(_registry(), json.dumps(kept, indent=1))


def _registry() -> Path:
    return cache_folder() / "codec-models.json"


def _known() -> dict[str, str]:
    try:
        found = strict_json.parsed(_registry().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def found(wanted: str, beside: Path | None, bits: int = BITS) -> Fitted:
    """The model of that hash: among the runs beside the archive, in ./runs and here, then where one was seen last.

    Raises `ArtifactError` that tells where was looked, and what to do.
    """
    seen: set[Path] = set()
    for path in (*_around(beside), *_noted(wanted)):
        place = path.resolve()
        if place in seen:
            continue
        seen.add(place)
        with contextlib.suppress(LambentError):
            fitted = load(place)
            if identity(fitted, bits) == wanted:
                return fitted
    raise ArtifactError(
        f"the archive was made with the model {wanted[:12]}, which it does not carry; none of {len(seen)} models beside it, in "
        "./runs and known here is that one: name its run, --model RUN (in Python: Codec(run)), or compress with --with-model"
    )


def _noted(wanted: str) -> Iterable[Path]:
    place = _known().get(wanted)
    return [] if place is None or not os.path.isfile(place) else [Path(place)]


def _around(beside: Path | None) -> Iterator[Path]:
    """Model files: those that were compressed by here come last."""
    folders = ([] if beside is None else [beside, beside / "runs"]) + [Path("runs"), Path()]
    looked = 0
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in sorted(folder.iterdir()):
                looked += 1
                if looked > MOST_FOLDERS:
                    return
                if path.name == MODEL or path.suffix == ".safetensors":
                    yield path
                elif os.path.isfile(path / MODEL):
                    yield path / MODEL


def checked(given: Fitted, wanted: str, name: str, bits: int = BITS) -> Fitted:
    """The model that was given, if it is the one that the archive was made with; `ArtifactError` if not."""
    own = identity(given, bits)
    if own != wanted:
        raise ArtifactError(
            f"the archive was made with the model {wanted[:12]}, and {name} holds {own[:12]}: name the right run"
        )
    return given
