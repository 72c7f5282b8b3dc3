"""Curves over the epochs: training muted, validation in the accent colour."""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, frame, outside, padded, thinned, ticks, whole_ticks
from lambent.report.numerals import count, show
from lambent.report.run.findings import Findings
from lambent.report.run.lookup import last
from lambent.tasks.sections import Figure, Key, Live

MOST_POINTS = 600  # per curve: more than a screen can show


class Plan(NamedTuple):
    """What one chart shows: columns of the history, and the words around them; `zero` draws down to zero where near."""

    column: str
    validation: str
    title: str
    unit: str
    meaning: str
    zero: bool = False


BOUND = "nats per row"
DISTANCE = (
    "The weighted distance of what the decoder makes from the row, in the place of −log p(x | z). Lower is better."
)
CHARTS = (
    Plan(
        "elbo", "validation_elbo", "ELBO", BOUND, "Higher is better. Both lines should rise, then level off together."
    ),
    Plan(
        "reconstruction",
        "validation_reconstruction",
        "Reconstruction",
        BOUND,
        "−E[log p(x | z)]: what the decoder leaves unexplained. Lower is better.",
    ),
    Plan(
        "kl", "validation_kl", "KL", BOUND, "What the latent code costs. It should settle well above zero.", zero=True
    ),
    Plan(
        "perplexity",
        "",
        "Perplexity of the entries",
        "entries",
        "How many entries of the codebook an epoch used, as if all evenly. It should not fall to a few.",
        zero=True,
    ),
    Plan("loss", "validation_loss", "Loss", "per row", "What training made smaller."),
    Plan(
        "rival_accuracy",
        "",
        "The rival is right",
        "share of its judgements",
        "A half is chance. At one the rival has won and teaches little; below a half the model runs ahead of it.",
    ),
    Plan("rival_loss", "", "Loss of the rival", "nats", "It falls as the rival learns and rises as the model does."),
    Plan(
        "spread",
        "",
        "Spread of what is made",
        "of the data's",
        "How far apart rows of the model lie beside rows of the data. Near 1 is good; far below it, modes have collapsed.",
        zero=True,
    ),
    Plan("gradient", "", "Gradient of the model", "norm", "It should neither vanish nor grow without end.", zero=True),
    Plan("rival_gradient", "", "Gradient of the rival", "norm", "The same of the rival.", zero=True),
    Plan("balance", "", "Weight of the rival", "", "What evens the rival's say with that of the rest.", zero=True),
    Plan("learning_rate", "", "Learning rate", "", "The optimizer's step size.", zero=True),
)


@dataclass
class Series:
    """One curve: a value per epoch, None for a gap; `kind` is train or validation."""

    name: str
    kind: str
    values: list[float | None]


def curves(findings: Findings) -> list[Figure]:
    """The charts whose columns hold at least one number."""
    epochs = epoch_numbers(findings)
    charts: list[Figure] = []
    for plan in CHARTS:
        if plan.column == "loss" and any(chart.title == "ELBO" for chart in charts):
            continue  # beside the bound the loss says nothing new
        if findings.autoencoder and plan.column in ("elbo", "kl"):
            continue  # numbers under these names would not be what the names say
        if plan.column == "reconstruction" and not findings.normalized:
            plan = plan._replace(unit="per row", meaning=DISTANCE)
        series = [Series("train", "train", findings.series(plan.column))]
        if plan.validation:
            series.append(Series("validation", "validation", findings.series(plan.validation)))
        series = [s for s in series if last(s.values) is not None]
        if series:
            charts.append(_curves(plan, epochs, series))
    return charts


def epoch_numbers(findings: Findings) -> list[float]:
    """The epochs' numbers, counted from 1 where the history does not give them in rising order."""
    given = findings.series("epoch")
    numbers = [v for v in given if v is not None]
    if len(numbers) == len(given) and all(a < b for a, b in pairwise(numbers)):
        return numbers
    return [float(i + 1) for i in range(findings.epochs)]


def _curves(plan: Plan, epochs: list[float], series: list[Series]) -> Figure:
    kept = thinned(len(epochs), MOST_POINTS)
    across = Scale(epochs[0], epochs[-1]) if len(epochs) > 1 else padded(epochs[0], epochs[0])
    up = frame(v for s in series for v in s.values)
    if plan.zero:
        up = _from_zero(up)
    parts = [axes.rows(up, ticks(up.low, up.high, 4)), axes.columns(across, whole_ticks(across.low, across.high, 5))]
    parts.append(axes.inner("".join(_path(s, epochs, kept, across, up) for s in series)))
    parts += [_end(s, epochs, across, up) for s in series]
    if plan.column == "elbo":
        parts.append(_best(series, epochs, across, up))
    keys = [Key(s.kind, s.name if len(series) > 1 else "", show(last(s.values), 5)) for s in series]
    words = f"{plan.title} by epoch, {count(len(epochs), 'epoch')}. " + "; ".join(_words(s) for s in series) + "."
    data, label = _readable(epochs, series, kept, across, up), f"{plan.title}: use the arrow keys to read the epochs"
    return Figure(
        axes.chart(words, parts),
        plan.title,
        plan.unit,
        plan.meaning,
        reading="last epoch",
        keys=keys,
        live=Live("curve", data, label),
        note=_left_out(series, up),
    )


def _from_zero(scale: Scale) -> Scale:
    """The same frame, down to zero where zero is near."""
    return Scale(0.0, scale.high) if -0.1 * scale.high < scale.low < 0.5 * scale.high else scale


def _path(series: Series, epochs: list[float], kept: list[int], across: Scale, up: Scale) -> str:
    steps, pen_down = [], False
    for i in kept:
        value = series.values[i]
        if value is None:
            pen_down = False
            continue
        point = f"{axes.coordinate(across.place(epochs[i]))} {axes.coordinate(1 - up.place(value))}"
        # the empty segment makes a point between two gaps visible as a dot
        steps.append(f"L{point}" if pen_down else f"M{point}h0")
        pen_down = True
    return f'<path class="line {series.kind}" d="{"".join(steps)}"/>'


def _end(series: Series, epochs: list[float], across: Scale, up: Scale) -> str:
    """A dot at the last value."""
    at = max(i for i, v in enumerate(series.values) if v is not None)
    value = series.values[at] or 0.0
    if not up.holds(value):
        return ""
    x, y = axes.percent(across.place(epochs[at])), axes.percent(1 - up.place(value))
    return f'<circle class="end {series.kind}" cx="{x}" cy="{y}" r="3"/>'


def _best(series: list[Series], epochs: list[float], across: Scale, up: Scale) -> str:
    """A ring and a word at the best validation epoch, where it is not the last one."""
    chosen = series[-1]
    value, at = max(((v, i) for i, v in enumerate(chosen.values) if v is not None), key=lambda pair: pair[0])
    if chosen.kind != "validation" or at >= len(epochs) - 2 or not up.holds(value):
        return ""
    place = across.place(epochs[at])
    x, y = axes.percent(place), axes.percent(1 - up.place(value))
    anchor = "start" if place < 0.12 else "end" if place > 0.88 else "middle"
    ring = f'<circle class="ring" cx="{x}" cy="{y}" r="4.5"/>'
    return (
        ring
        + f'<text class="mark" x="{x}" y="{y}" dy="1.9em" text-anchor="{anchor}">best, epoch {show(epochs[at])}</text>'
    )


def _words(series: Series) -> str:
    present = [v for v in series.values if v is not None]
    return f"{series.name} from {show(present[0])} to {show(present[-1])}"


def _left_out(series: list[Series], up: Scale) -> str:
    """A sentence about the values outside the frame, or nothing."""
    values = [v for s in series for v in outside(up, s.values)]
    if not values:
        return ""
    most = max(values, key=lambda v: abs(v - (up.low + up.high) / 2))
    return f"{count(len(values), 'value')} outside the frame, as far as {show(most)}."


def _readable(epochs: list[float], series: list[Series], kept: list[int], across: Scale, up: Scale) -> str:
    """The plotted numbers as JSON, for the pointer's read-out."""
    data: dict[str, Any] = {"x": [epochs[i] for i in kept], "frame": [across.low, across.high, up.low, up.high]}
    data["series"] = [{"kind": s.kind, "y": [_short(s.values[i]) for i in kept]} for s in series]
    return json.dumps(data, separators=(",", ":"))


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
