"""Gather what a report shows: pictures or rows that the model makes, a map of its codes, its metrics and its history."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.kinds.modality import Encoded, Modality
from lambent.model import LatentModel
from lambent.report.run.findings import Findings, LatentMap, Measure, Pictures, Tables
from lambent.tasks import explore
from lambent.tasks.evaluate import Evaluation, rows_of

SHOWN = 30  # originals with their reconstructions
SAMPLES = 60
WALKS, STEPS = 6, 10
UNITS = 8
REACH = torch.linspace(-3, 3, 9)  # of a traversal, in standard deviations of the prior
MAPPED = 2000
TABLE_ROWS = 12


def gather(
    model: LatentModel,
    rows: Encoded,
    evaluation: Evaluation,
    provenance: dict[str, Any],
    versions: dict[str, str] | None = None,
    seed: int = 0,
) -> Findings:
    """Everything that the report of a run shows, from its model, the rows it is tested on, and where it came from.

    provenance: as in the model file: name, command, created, data, objective, fit, history, parameters, seconds, steps, skipped.
    """
    model.eval()
    x = rows_of(model, rows, seed)
    posterior = getattr(model.latent, "posterior", None)
    return Findings(
        **_settings(provenance, len(rows)),
        spec=model.spec(),
        versions=versions or provenance.get("versions") or {},
        metrics={name: _metric(m) for name, m in evaluation.metrics.items()},
        kl_per_unit=evaluation.kl_per_unit if getattr(posterior, "density", True) else [],
        active=evaluation.active,
        active_threshold=None,
        active_rule="A unit counts as active when its posterior mean varies over the rows by more than 0.01",
        pictures=pictures_of(model, rows.modality, x, evaluation, seed),
        tables=tables_of(model, rows.modality, x, seed),
        latent_map=map_of(model, rows, x),
    )


def _settings(provenance: dict[str, Any], tested: int) -> dict[str, Any]:
    """What the provenance says of the run, by the names that a report has for it."""
    return {
        "name": str(provenance.get("name") or "run"),
        "command": provenance.get("command"),
        "created": str(provenance.get("created") or ""),
        "data": _data(provenance.get("data") or {}, tested),
        "objective": provenance.get("objective") or {},
        "training": _training(provenance),
        "history": provenance.get("history") or {},
    }


def _metric(metric: Any) -> Measure:
    return Measure(value=metric.value, unit=metric.unit, standard_error=metric.standard_error, meaning=metric.meaning)


def _data(source: dict[str, Any], tested: int) -> dict[str, Any]:
    name = source.get("name") or str(source.get("path", "data")).rstrip("/").rpartition("/")[2]
    return {
        "name": name,
        "rows": source.get("rows"),
        "tested_on": tested,
        **{k: v for k, v in source.items() if k != "name"},
    }


def _training(provenance: dict[str, Any]) -> dict[str, Any]:
    found = dict(provenance.get("fit") or {})
    named = {name: name for name in ("parameters", "seconds", "steps", "kept_epoch")} | {"skipped": "skipped_spikes"}
    return found | {new: provenance[old] for old, new in named.items() if provenance.get(old) is not None}


def decoded(modality: Modality, x: Tensor) -> NDArray[np.uint8]:
    """Rows [n, …] in stored units as pictures [n, H, W(, 3)]."""
    pictures: NDArray[np.uint8] = modality.decode(x)
    return pictures


def are_pictures(modality: Modality) -> bool:
    """Whether rows decode to pictures."""
    return len(modality.event) == 3 and modality.event[0] in (1, 3) and modality.of_bytes


def pictures_of(
    model: LatentModel, modality: Modality, x: Tensor, evaluation: Evaluation, seed: int = 0
) -> Pictures | None:
    """Reconstructions, samples, walks between rows, and traversals of the units with the largest KL."""
    if not are_pictures(modality):
        return None
    bytes_ = {"of_bytes": modality.of_bytes}
    chosen = _spread(x, SHOWN)
    units = busiest(evaluation, UNITS)
    walks = min(WALKS, len(x) // 2)
    ends = _spread(x, 2 * walks)
    walked = explore.interpolate(model, ends[0::2], ends[1::2], STEPS, **bytes_) if walks else None  # type: ignore[arg-type]
    moved = explore.traverse(model, x[:1], units, REACH, **bytes_)  # type: ignore[arg-type]
    return Pictures(
        originals=decoded(modality, chosen),
        reconstructions=decoded(modality, explore.reconstruct(model, chosen, **bytes_)),  # type: ignore[arg-type]
        samples=decoded(modality, explore.generate(model, SAMPLES, seed, **bytes_)),  # type: ignore[arg-type]
        interpolation=None if walked is None else _strips(modality, walked),
        traversals=_strips(modality, moved),
        traversal_units=[unit_name(unit, len(evaluation.kl_per_unit)) for unit in units],
        traversal_values=REACH.tolist(),
    )


def _strips(modality: Modality, rows: Tensor) -> NDArray[np.uint8]:
    """[strips, steps, *event] → [strips, steps, H, W(, 3)]."""
    flat = decoded(modality, rows.flatten(0, 1))
    return flat.reshape(*rows.shape[:2], *flat.shape[1:])


def _spread(x: Tensor, count: int) -> Tensor:
    """`count` rows at even distances, so that data in order of their class show all of them."""
    return x[torch.linspace(0, len(x) - 1, min(count, len(x))).round().long()]


def busiest(evaluation: Evaluation, count: int) -> list[tuple[int, int]]:
    """(level, unit) of the units that carry the most KL, the largest first; active ones before the rest."""
    every = [
        (not evaluation.active[level][unit], -kl, (level, unit))
        for level, units in enumerate(evaluation.kl_per_unit)
        for unit, kl in enumerate(units)
    ]
    ranked = [place for _, _, place in sorted(every)]
    return ranked[:count]


def unit_name(place: tuple[int, int], levels: int) -> str:
    """A unit's name for a reader."""
    return f"unit {place[1]}" if levels == 1 else f"level {place[0] + 1}, unit {place[1]}"


def tables_of(model: LatentModel, modality: Modality, x: Tensor, seed: int = 0) -> Tables | None:
    """A few rows, their reconstructions, and rows drawn from the model, in the units of the data."""
    if are_pictures(modality):
        return None
    chosen = _spread(x, TABLE_ROWS)
    columns, originals = named_rows(modality, chosen)
    again = explore.reconstruct(model, chosen, of_bytes=modality.of_bytes)
    drawn = explore.generate(model, TABLE_ROWS, seed, of_bytes=modality.of_bytes, noise=True)
    return Tables(columns, originals, named_rows(modality, again)[1], named_rows(modality, drawn)[1])


def named_rows(modality: Modality, x: Tensor) -> tuple[list[str], list[list[Any]]]:
    """Encoded rows as names of columns and lists of values, whatever form they decode to."""
    raw = modality.decode(x)
    if isinstance(raw, np.ndarray):
        flat = raw.reshape(len(raw), -1)
        known = [str(column.name) for column in getattr(modality, "columns", [])]
        return known if len(known) == flat.shape[1] else [f"x{i}" for i in range(flat.shape[1])], flat.tolist()
    import narwhals as nw

    frame = nw.from_native(raw, eager_only=True)
    return list(frame.columns), [list(row) for row in frame.rows()]


def map_of(model: LatentModel, rows: Encoded, x: Tensor) -> LatentMap:
    """The posterior means of up to 2,000 rows in the plane of their two main directions."""
    picked = torch.linspace(0, len(x) - 1, min(MAPPED, len(x))).round().long()
    codes = explore.encode(model, x[picked])[0]
    labels = None
    if rows.labels is not None:
        names, chosen = rows.label_names, rows.labels[picked.numpy()]
        labels = [str(names[i]) if names and 0 <= i < len(names) else str(i) for i in chosen.tolist()]
    direct = codes.shape[1] <= 2
    axes = ("first unit", "second unit") if direct else ("first principal component", "second principal component")
    points = explore.plane(codes) if not direct else torch.nn.functional.pad(codes, (0, 2 - codes.shape[1]))
    method = "posterior means" if direct else "posterior means, PCA"
    return LatentMap(points.double().numpy(), labels, axes, method)
