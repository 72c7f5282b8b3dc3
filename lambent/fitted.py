"""Fitted: a trained model with the modality of its data and where it came from; and the model file that holds it.

The file is one of safetensors: the weights, and in its header the spec, the modality, the conditions, the provenance. Reading it
runs no code from it: names are looked up among the registered parts, tensors are numbers, the rest is JSON.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data import (
    Modality,  # not from its own module: its members must be registered
    Table,
    encode_like,
)
from lambent.data.batches import as_tensor
from lambent.data.conditions import Conditions
from lambent.data.kinds.modality import Encoded
from lambent.data.notices import warned
from lambent.data.splitting import row_hashes
from lambent.detection import KEPT, PREFIX, Detection
from lambent.disk import modelfile, tensorfile
from lambent.disk.allowance import allowance
from lambent.disk.tensorfile import Header
from lambent.errors import ArtifactError, DataError, LambentError, UsageError
from lambent.model import LatentModel
from lambent.model.labelling import with_labels
from lambent.seeds import stream
from lambent.version import versions

FORMAT = 1
MOST_AXES = 8
Calibration = dict[str, list[float]]


@dataclass
class Rows:
    """Rows as a model takes them: drawn, checked against its likelihood, with what conditions each.

    x: [rows, *event]; context: [rows, width] or None; encoded: what they came from, with labels and source, where it is known.
    """

    x: Tensor
    context: Tensor | None = None
    encoded: Encoded | None = None

    def __len__(self) -> int:
        return len(self.x)

    def at(self, index: Tensor) -> "Rows":
        """Some of the rows, by number."""
        return Rows(self.x[index], None if self.context is None else self.context[index])


@dataclass
class Fitted:
    """A trained model, the modality that turns raw data into what it takes, and the record of where it came from.

    calibration: of tables, scores of held-out cells by column, by which intervals of numbers are corrected; empty: they are not.
    detection: of a detector how rows are scored, and what scores are usual; None of other models.
    """

    model: LatentModel
    modality: Modality | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=dict)
    detection: Detection | None = None

    @classmethod
    def of(cls, given: Any) -> "Fitted":
        """The same for whatever holds a trained model: a Fitted, a LatentModel alone, or an estimator that was fitted."""
        if isinstance(given, Fitted):
            return given
        if isinstance(given, LatentModel):
            if not given.ready:
                raise UsageError("a trained model is expected, and this one has no weights yet: fit it first")
            return cls(given)
        if isinstance(given, (str, Path)):
            raise UsageError(f"a trained model is expected, not a path: lambent.load({str(given)!r}) reads one")
        held = getattr(given, "fitted_", None)
        if held is None and hasattr(given, "fit") and hasattr(given, "get_params"):
            raise UsageError(f"this {type(given).__name__} is not fitted yet: call fit first")
        if not isinstance(held, Fitted):
            raise UsageError(
                f"a trained model is expected (Fitted, LatentModel, a fitted VAE or Detector), not a {type(given).__name__}"
            )
        return held

    @property
    def conditions(self) -> Conditions:
        """What the model is conditioned on, by name."""
        return Conditions() if self.modality is None else self.modality.conditions

    @property
    def of_bytes(self) -> bool:
        """Whether rows are stored as bytes."""
        return self.modality is not None and self.modality.of_bytes

    def rows(
        self,
        raw: Any,
        seed: int = 0,
        given: Mapping[str, Any] | None = None,
        context: Any = None,
        limit: int | None = None,
    ) -> Rows:
        """Raw data (whatever the modality takes, or encoded rows) as the model takes them: drawn, checked, conditioned.

        Rows that training draws anew for each batch (dynamic binarization) are drawn once, each from `seed` and its own content,
        so that a row is the same beside whatever others. given: values of conditions that hold for all rows, in place of the
        rows' own. A model that tells labels (SemiSupervised) gives rows without one the likeliest. context: [rows, width], for a
        model whose context has no names. limit: only the first so many rows. `Rows`
        have been drawn and conditioned already, and take only a limit.
        Errors: `DataError` for rows of another shape, outside the likelihood's support, or without what conditions the model;
        `UsageError` for a condition or a context that does not fit.
        """
        if isinstance(raw, Rows):
            if given or context is not None:
                raise UsageError("these rows are conditioned already: say what is given where they are made")
            return raw if limit is None or limit >= len(raw) else raw.at(torch.arange(limit))
        encoded = self._encoded(raw)
        modality = self.modality or (None if encoded is None else encoded.modality)
        x = (as_tensor(raw) if encoded is None else encoded.x)[:limit]
        if tuple(x.shape[1:]) != self.model.event_shape:
            raise DataError(
                f"this model takes rows of shape {list(self.model.event_shape)}; these have {list(x.shape[1:])}"
            )
        if not len(x):
            raise DataError("there are no rows")
        if modality is not None and modality.drawn:
            x = drawn(modality, x, seed)
        self.model.likelihood.check(x)
        return Rows(x, self._labelled(x, self._context(encoded, len(x), given or {}, context)), encoded)

    def raw(self, x: Tensor) -> Any:
        """Rows as the model has them, in the units that the data came in: pictures as arrays, tables as frames."""
        return x.detach().cpu().numpy() if self.modality is None else self.modality.decode(x)

    @property
    def unnamed_context(self) -> bool:
        """Whether the model takes a context that has no names."""
        return bool(self.model.context) and not self.conditions

    def log_slope(self, x: Tensor) -> Tensor:
        """log |dx / d data| of rows as the model has them, [rows], in nats: what turns a density of x into one of the data.

        What is missing adds nothing; 0 for data of which the model sees the values themselves.
        """
        slopes = None if self.modality is None else self.modality.log_slope(x)
        return torch.zeros(len(x), dtype=torch.float64) if slopes is None else slopes.double().sum(1).cpu()

    @property
    def column_names(self) -> list[str] | None:
        """The names of the columns of rows as the model takes them; None where they are no table."""
        if isinstance(self.modality, Table):
            return list(self.modality.names)
        bare = self.modality is None and len(self.model.event_shape) == 1
        return [f"x{i}" for i in range(self.model.event_shape[0])] if bare else None

    def pictures(self, x: Tensor) -> Any:
        """Rows as the model has them as bytes to be looked at, [rows, H, W(, 3)]; None where they are no pictures."""
        return None if self.modality is None else self.modality.pictures(x)

    def given(self, values: Mapping[str, Any] | None, rows: int) -> Tensor | None:
        """Values of the conditions for so many new rows, [rows, width]; None for a model that takes none.

        Errors: `UsageError` for a value that is missing, unknown, or of another type, with those that are known.
        """
        if self.model.context and not self.conditions:
            raise UsageError("this model's context has no names: give it as a tensor [rows, width], context=…")
        if not self.conditions and not values:
            return None
        return self.conditions.given(values or {}, rows)

    def save(self, path: str | Path) -> Path:
        """Write the model file; see `save`."""
        return save(path, self)

    def _encoded(self, raw: Any) -> Encoded | None:
        if isinstance(raw, Encoded):
            return raw
        if self.modality is None:
            return None
        encoded = encode_like(self.modality, raw)
        warned(encoded.source)
        return encoded

    def _context(self, encoded: Encoded | None, rows: int, given: Mapping[str, Any], context: Any) -> Tensor | None:
        if context is not None:
            return self._fitting(as_tensor(context)[:rows], rows)
        theirs = Conditions() if encoded is None or not self.model.context else encoded.modality.conditions
        conditions = self.conditions or theirs
        own = None if encoded is None or encoded.context is None else encoded.context[:rows]
        if not conditions:
            return self.given(given, rows) if given or own is None else own
        if own is not None and theirs == conditions:
            return conditions.replaced(own, given) if given else own
        # Rows that were read by another modality may have other levels, or the same in another order.
        beside = {} if encoded is None else {name: values[:rows] for name, values in encoded.beside.items()}
        if told := self.told:
            beside = {told: np.full(rows, None, dtype=object)} | beside
        return conditions.completed(beside, given, rows, gaps=told is not None)

    @property
    def told(self) -> str | None:
        """The condition whose levels the model tells by itself where rows have none, if there is one."""
        if (part := self.model.labelling) is None:
            return None
        return next((name for name in self.conditions.names if self.conditions.place(name) == part.first), None)

    def _labelled(self, x: Tensor, context: Tensor | None) -> Tensor | None:
        """The context with the likeliest labels where these are missing; `DataError` where something else is."""
        if context is None:
            return None
        whole = with_labels(self.model, x, context)
        return self.conditions.without_gaps(whole) if self.conditions else whole

    def _fitting(self, context: Tensor, rows: int) -> Tensor:
        if tuple(context.shape) != (rows, self.model.context):
            wanted = f"a context of shape [{rows}, {self.model.context}]" if self.model.context else "no context"
            raise UsageError(f"this model takes {wanted} with these rows, not one of shape {list(context.shape)}")
        if not bool(torch.isfinite(context).all()):
            row = int((~torch.isfinite(context)).nonzero()[0, 0])
            raise DataError(f"row {row} of the context holds a number that is not finite")
        return context


def drawn(modality: Modality, x: Tensor, seed: int) -> Tensor:
    """The modality's random view of encoded rows, each drawn from the seed and its own content."""
    generator = torch.Generator()
    salt = stream(seed, "drawn rows")
    views = []
    for row, key in zip(x.split(1), row_hashes(x), strict=True):
        generator.manual_seed((int.from_bytes(key[:8], "little") >> 2) ^ salt)
        views.append(modality.transform(row, generator))
    return torch.cat(views)


def save(path: str | Path, fitted: Fitted | LatentModel) -> Path:
    """Write the model file; the old file stays until the new one is whole.

    Raises `ArtifactError` for weights that are not finite, `UsageError` for a model that could not be loaded again,
    `MachineError` where the disk refuses.
    """
    fitted = Fitted.of(fitted)
    model, modality = fitted.model, fitted.modality
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    if fitted.detection is not None:
        tensors |= fitted.detection.tensors()
    bad = [name for name, t in tensors.items() if not _finite(name, t)]
    if bad:
        raise ArtifactError(f"the model is not saved, for weights that are not finite: {', '.join(bad[:8])}")
    if modality is not None and modality.event != model.event_shape:
        raise UsageError(
            f"the model takes rows of shape {list(model.event_shape)}, the modality makes {list(modality.event)}"
        )
    if modality is not None and modality.conditions and modality.conditions.width != model.context:
        raise UsageError(
            f"the model takes a context of {model.context} numbers, the conditions of the modality make "
            f"{modality.conditions.width}"
        )
    if model.anchor.dtype != torch.float32:
        raise UsageError(f"model files hold float32, and this model is in {model.anchor.dtype}: save model.float()")
    header = {
        "format": FORMAT,
        "model": model.spec(),
        "event": list(model.event_shape),
        "modality": None if modality is None else _described(modality),
        "provenance": {**fitted.provenance, **model.likelihood.described(), "versions": versions()},
        **({"calibration": fitted.calibration} if fitted.calibration else {}),
        **({} if fitted.detection is None else {"detection": fitted.detection.described()}),
    }
    return modelfile.written(path, tensors, header)


def _finite(name: str, tensor: Tensor) -> bool:
    """Whether all numbers are finite; of rows that a detector keeps, NaN stands for a gap."""
    kept = tensor.nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf) if name.startswith(KEPT) else tensor
    return bool(torch.isfinite(kept).all())


def _described(modality: Modality) -> dict[str, Any]:
    conditions = {"conditions": modality.conditions.state()} if modality.conditions else {}
    return {"spec": modality.spec(), "state": modality.state(), **conditions}


def load(path: str | Path, device: str | torch.device = "cpu") -> Fitted:
    """Read a model file, or that of a run's folder, onto a device.

    Raises `ArtifactError` that lists everything wrong with it: damage, a later format, tensors missing, left over, of
    another shape or type, numbers that are not finite.
    """
    path = modelfile.model_path(path)
    header, found = modelfile.opened(path)
    if header.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} has format {header.get('format')!r}, and this version reads {FORMAT}: update lambent"
        )
    model, modality = _built(path, header, found)
    wanted = model.state_dict()
    beside = {name for name in found.tensors if name.startswith(PREFIX)} if "detection" in header else set()
    faults = modelfile.misfits(wanted, {name: t for name, t in found.tensors.items() if name not in beside})
    if not faults:  # only now are the tensors read: they are as large as the model's own
        tensors = tensorfile.read_tensors(path, found)
        faults = [
            f"{name} holds numbers that are not finite"
            for name, t in tensors.items()
            if t.dtype.is_floating_point and not _finite(name, t)
        ]
        if not faults and tensorfile.digest(tensors) != header.get("sha256"):
            faults = ["the tensors do not match their SHA-256: the file is damaged"]
    if faults:
        raise ArtifactError(f"{path} cannot be loaded: " + "; ".join(faults))
    own = {name: tensors.pop(name) for name in beside}
    detection = Detection.restored(path, header["detection"], own) if "detection" in header else None
    model.load_state_dict(tensors)
    model.to(device).eval()
    told = header.get("provenance")
    return Fitted(model, modality, told if isinstance(told, dict) else {}, _calibration(path, header), detection)


def _calibration(path: Path, header: dict[str, Any]) -> Calibration:
    try:
        found = {str(name): [float(score) for score in own] for name, own in header.get("calibration", {}).items()}
    except (AttributeError, TypeError, ValueError):
        found = {"": [math.nan]}
    if not all(math.isfinite(score) and score >= 0 for own in found.values() for score in own):
        raise ArtifactError(f"{path} cannot be loaded: the scores that its intervals are corrected by are damaged")
    return {name: sorted(own) for name, own in found.items()}


def read_header(path: str | Path) -> dict[str, Any]:
    """The header alone, without the tensors."""
    return modelfile.opened(modelfile.model_path(path))[0]


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
            modality.conditions = Conditions.restored(described.get("conditions"))
            if modality.conditions and modality.conditions.width != model.context:
                raise ArtifactError(
                    f"a context of {model.context}, of which its conditions make {modality.conditions.width}"
                )
    except LambentError as error:
        raise ArtifactError(f"{path} describes a model that cannot be built: {error}") from None
    except Exception as error:  # a stranger's description can fail in any of the parts' own ways
        what = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"  # torch's go on for pages
        raise ArtifactError(f"{path} describes a model that cannot be built: {what}") from None
    return model, modality
