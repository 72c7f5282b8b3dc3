"""Gather what a report shows: pictures or rows that the model makes, a map of its codes, its metrics and its history."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.condition import Category
from lambent.data.kinds.modality import Encoded, Modality
from lambent.fitted import Fitted, Rows
from lambent.metrics.chance import Chance, chance
from lambent.report.run.findings import Findings, LatentMap, Measure, Pictures, Tables
from lambent.tasks import explore
from lambent.tasks.by_row import labels_of
from lambent.tasks.evaluate import Evaluation, UnitUsage
from lambent.tasks.samples.without_encoder import liveliest

SHOWN = 30  # originals with their reconstructions
SAMPLES = 60
WALKS, STEPS = 6, 10
LEVELS_OF = 8  # rows whose levels are shown one by one
UNITS = 8
REACH = torch.linspace(
    -3, 3, 9
)  # of a traversal, in standard deviations of the prior, or of the codes along a direction
MAPPED = 2000
MOST_NAMED = 100  # columns of a table of rows
TABLE_ROWS = 12


def gather(
    fitted: Fitted, data: Encoded, evaluation: Evaluation, versions: dict[str, str] | None = None, seed: int = 0
) -> Findings:
    """Everything that the report of a run shows: of the model, of the rows it is tested on, and of where it came from.

    `fitted.provenance` as in the model file: name, command, created, data, objective, fit, history, parameters, seconds, steps,
    skipped.
    """
    fitted.model.eval()
    if fitted.modality is None:
        fitted = replace(fitted, modality=data.modality)
    rows, provenance = fitted.rows(data, seed), fitted.provenance
    slope = float(fitted.log_slope(rows.x).mean())
    settings = _settings(provenance, len(rows))
    return Findings(
        **settings | {"history": _in_units(settings["history"], slope)},
        spec=fitted.model.spec(),
        versions=versions or provenance.get("versions") or {},
        metrics={name: _metric(m) for name, m in evaluation.metrics.items()},
        levels=evaluation.levels,
        pictures=pictures_of(fitted, rows, evaluation.levels, seed),
        tables=tables_of(fitted, rows, seed),
        latent_map=map_of(fitted, rows) if fitted.model.latent.encodes else None,
        chance=_chance(fitted, rows, slope) if fitted.model.latent.encodes else None,
        slope=slope,
        alike=len(rows) > 1 and bool((rows.x == rows.x[:1]).all()),
        samples_under=_told_context(fitted),
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


# What the curves of a training have of log p(x), and its sign.
_OF_DENSITY = {
    **dict.fromkeys(("elbo", "validation_elbo"), 1),
    **dict.fromkeys(("reconstruction", "validation_reconstruction", "loss", "validation_loss"), -1),
}


def _in_units(history: dict[str, Any], slope: float) -> dict[str, Any]:
    """The curves of a training, which are of encoded rows, in the data's own units, as the metrics are."""

    def moved(name: str, values: Any) -> Any:
        sign = _OF_DENSITY.get(name)
        return values if sign is None else [v if v is None else v + sign * slope for v in values]

    return {name: moved(name, values) for name, values in history.items()} if slope else history


def _chance(fitted: Fitted, rows: Rows, slope: float) -> Chance | None:
    found = chance(fitted.model.likelihood, rows.x)
    return None if found is None else found._replace(nats=found.nats + slope)


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


def are_pictures(modality: Modality) -> bool:
    """Whether rows decode to pictures."""
    return len(modality.event) == 3 and modality.of_bytes


def pictures_of(fitted: Fitted, rows: Rows, levels: list[UnitUsage], seed: int = 0) -> Pictures | None:
    """Reconstructions, samples, walks between rows, and traversals of the units that carry most."""
    if fitted.modality is None or not are_pictures(fitted.modality):
        return None
    if not fitted.model.latent.encodes:
        return _pictures_of_samples(fitted, rows, seed)
    chosen = _spread(rows, SHOWN)
    units = busiest(levels, UNITS)
    ends = _spread(rows, 2 * min(WALKS, len(rows) // 2))
    first = rows.at(torch.tensor([0]))
    # An entry of a codebook is one of many, and no number to be moved.
    moved = (
        None
        if fitted.model.latent.discrete
        else explore.traverse(fitted, first.x, units, REACH, first.context, [level.directions for level in levels])
    )
    return Pictures(
        originals=fitted.pictures(chosen.x),
        reconstructions=fitted.pictures(explore.reconstruct(fitted, chosen.x, chosen.context)),
        samples=fitted.pictures(
            explore.generate(fitted, SAMPLES, seed, context=new_context(fitted, rows, SAMPLES, seed))
        ),
        by_level=_by_level(fitted, _spread(rows, LEVELS_OF)) if len(levels) > 1 else None,
        level_counts=explore.stages(fitted),
        interpolation=_strips(fitted, _walked(fitted, ends)) if len(ends) else None,
        traversals=None if moved is None else _strips(fitted, moved),
        traversal_units=[unit_name(unit, levels) for unit in units],
        traversal_values=REACH.tolist(),
    )


def _pictures_of_samples(fitted: Fitted, rows: Rows, seed: int) -> Pictures:
    """Samples, walks between codes of the prior, and traversals of the units that change most: of a model without an encoder."""
    given = new_context(fitted, rows, SAMPLES, seed)
    ends = None if given is None else given[: 2 * WALKS]
    codes = explore.prior_codes(fitted, 2 * WALKS, seed, ends)
    start, end = ([level[first::2] for level in codes] for first in (0, 1))
    sides = [None if ends is None else ends[first::2] for first in (0, 1)]
    walks = explore.walk(fitted, start, end, STEPS, context=sides[0], context_end=sides[1])
    first = None if ends is None else ends[:1]
    units = liveliest(fitted, UNITS, seed, first)
    moved = explore.moved(fitted, [level[:1] for level in codes], units, REACH, first)
    several = len(fitted.model.latent.shapes_of_levels) > 1
    return Pictures(
        samples=fitted.pictures(explore.generate(fitted, SAMPLES, seed, context=given)),
        interpolation=_strips(fitted, walks),
        traversals=_strips(fitted, moved),
        traversal_units=[f"level {level + 1}, unit {unit}" if several else f"unit {unit}" for level, unit in units],
        traversal_values=REACH.tolist(),
    )


def new_context(fitted: Fitted, rows: Rows, count: int, seed: int) -> Tensor | None:
    """What conditions new rows: each level of a single category equally often and in order, else as often as in training."""
    if rows.context is None:
        return None
    items = fitted.conditions.items
    if len(items) == 1 and isinstance(items[0], Category):
        category = items[0]
        levels = np.array([category.levels[i * len(category.levels) // count] for i in range(count)], dtype=object)
        return fitted.conditions.encode({category.name: levels})
    if items:
        return fitted.conditions.typical(count, torch.Generator().manual_seed(seed))
    return rows.context[torch.arange(count) % len(rows)]


def _told_context(fitted: Fitted) -> str:
    """What `new_context` gives, in a sentence; nothing for a model that is not conditioned by name."""
    items = fitted.conditions.items
    if len(items) == 1 and isinstance(items[0], Category):
        return f"Each {items[0].name} has equally many, in this order: {items[0].known}."
    return f"The values of {', '.join(fitted.conditions.names)} are drawn as often as in training." if items else ""


def _walked(fitted: Fitted, ends: Rows) -> Tensor:
    start, end = (ends.at(torch.arange(first, len(ends), 2)) for first in (0, 1))
    return explore.interpolate(fitted, start.x, end.x, STEPS, context=start.context, context_end=end.context)


def _strips(fitted: Fitted, rows: Tensor) -> NDArray[np.uint8]:
    """[strips, steps, *event] → [strips, steps, H, W(, 3)]."""
    flat: NDArray[np.uint8] = fitted.pictures(rows.flatten(0, 1))
    return flat.reshape(*rows.shape[:2], *flat.shape[1:])


def _by_level(fitted: Fitted, rows: Rows) -> NDArray[np.uint8]:
    """Each row's original, and what its levels hold from the top on."""
    held = explore.levels_shown(fitted, rows.x, rows.context)
    return np.concatenate((fitted.pictures(rows.x)[:, None], _strips(fitted, held)), 1)


def _spread(rows: Rows, count: int) -> Rows:
    """`count` rows at even distances, so that data in order of their class show all of them."""
    return rows.at(torch.linspace(0, len(rows) - 1, min(count, len(rows))).round().long())


def busiest(levels: Sequence[UnitUsage], count: int) -> list[tuple[int, int]]:
    """(level, unit) of the units that carry most nats, or move most; the largest first, active ones before the rest."""
    every = [
        (not level.active[unit], -share, (number, unit))
        for number, level in enumerate(levels)
        for unit, share in enumerate(level.shares)
    ]
    ranked = [place for _, _, place in sorted(every)]
    return ranked[:count]


def unit_name(place: tuple[int, int], levels: Sequence[UnitUsage]) -> str:
    """A unit's name for a reader, 'unit 3'; or a direction's, which are counted from 1 by what they carry: 'direction 1'."""
    number, unit = place
    name = f"unit {unit}" if levels[number].noun == "unit" else f"direction {unit + 1}"
    return name if len(levels) == 1 else f"level {number + 1}, {name}"


def tables_of(fitted: Fitted, rows: Rows, seed: int = 0) -> Tables | None:
    """A few rows, their reconstructions, and rows drawn from the model, in the units of the data."""
    modality = fitted.modality
    if modality is None or len(modality.event) > 1:  # which no table can show
        return None
    chosen = _spread(rows, TABLE_ROWS)
    columns, originals = named_rows(modality, chosen.x)
    context = new_context(fitted, rows, TABLE_ROWS, seed)
    drawn = named_rows(modality, explore.generate(fitted, TABLE_ROWS, seed, context=context, noise=True))[1]
    if not fitted.model.latent.encodes:
        return Tables(columns, samples=drawn)
    again = named_rows(modality, explore.reconstruct(fitted, chosen.x, chosen.context))[1]
    return Tables(columns, originals, again, drawn)


def named_rows(modality: Modality, x: Tensor) -> tuple[list[str], list[list[Any]]]:
    """Encoded rows as names of columns and lists of values, whatever form they decode to."""
    if (columns := modality.as_columns(x)) is not None:
        columns = dict(list(columns.items())[:MOST_NAMED])
        values = [np.asarray(column).reshape(len(x), -1) for column in columns.values()]
        names = [
            name if part.shape[1] == 1 else f"{name}{i}"
            for name, part in zip(columns, values, strict=True)
            for i in range(part.shape[1])
        ]
        return names, [[cell for part in row for cell in part.tolist()] for row in zip(*values, strict=True)]
    raw = modality.decode(x)
    if isinstance(raw, np.ndarray):
        flat = raw.reshape(len(raw), -1)
        known = [str(column.name) for column in getattr(modality, "columns", [])]
        return known if len(known) == flat.shape[1] else [f"x{i}" for i in range(flat.shape[1])], flat.tolist()
    import narwhals as nw

    frame = nw.from_native(raw, eager_only=True)
    return list(frame.columns), [list(row) for row in frame.rows()]


def map_of(fitted: Fitted, rows: Rows) -> LatentMap:
    """The posterior means of up to 2,000 rows in the plane of their two main directions."""
    picked = torch.linspace(0, len(rows) - 1, min(MAPPED, len(rows))).round().long()
    chosen = rows.at(picked)
    codes = explore.encode(fitted, chosen.x, chosen.context)[0].flatten(1)
    every = None if rows.encoded is None else labels_of(rows.encoded)
    labels = None if every is None else [every[i] for i in picked.tolist()]
    direct = codes.shape[1] <= 2
    axes = ("first unit", "second unit") if direct else ("first principal component", "second principal component")
    points = explore.plane(codes) if not direct else torch.nn.functional.pad(codes, (0, 2 - codes.shape[1]))
    method = "posterior means" if direct else "posterior means, PCA"
    return LatentMap(points.double().numpy(), labels, axes, method)
