"""The run's settings, numbers and rows as words: what the page's tables and lists show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambent.report.charts.scales import thinned
from lambent.report.numerals import MISSING, show, show_seconds, show_with_error
from lambent.report.run.findings import Findings, Measure, Tables
from lambent.report.run.lookup import finite, last
from lambent.tasks.sections import Cell, Fact, Listing, TableBlock

DEEPEST = 12  # levels of nesting shown; a specification is never that deep, a cycle would be
LONGEST = 400  # characters of one cell or setting

NAMES = {
    "elbo": "ELBO",
    "bound": "K-sample bound",
    "bits_per_dim": "Bits per dimension",
    "kl": "KL",
    "mse": "Mean squared error",
    "fid": "FID",
    "sha256": "SHA-256",
}


@dataclass
class Headline:
    """One of the large numbers at the top."""

    name: str
    value: str
    unit: str


def title(key: str) -> str:
    """A key as a reader's words: 'bits_per_dim' is 'Bits per dimension'."""
    if key.startswith("validation_"):
        name = title(key.removeprefix("validation_"))
        return f"Validation {name if name.isupper() else name[:1].lower() + name[1:]}"
    return NAMES.get(key) or key[:1].upper() + key[1:].replace("_", " ")


def facts(tree: Mapping[str, Any], depth: int = 0) -> list[Fact]:
    """A nested mapping as facts, in its own order; a part's type becomes its text."""
    return [_fact(str(key), value, depth) for key, value in tree.items() if depth == 0 or key != "type"]


def _fact(key: str, value: Any, depth: int) -> Fact:
    name = title(key)
    if depth >= DEEPEST:
        return Fact(name, "…")
    if isinstance(value, Mapping):
        return Fact(name, str(value.get("type", "")), facts(value, depth + 1))
    if _is_list(value) and any(isinstance(v, Mapping) for v in value):
        parts = [_fact(str(i + 1), v, depth + 1) for i, v in enumerate(value)]
        return Fact(name, "", parts)
    if key == "seconds" or key.endswith("_seconds"):
        return Fact(name.replace("Seconds", "Time"), show_seconds(value))
    return Fact(name, words(value, " × " if "shape" in key else ", "))


def words(value: Any, between: str = ", ") -> str:
    """A plain value as text."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_list(value):
        text = between.join(words(v) for v in value)
    elif isinstance(value, str):
        text = value
    else:
        text = show(value) if finite(value) is not None else str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def subtitle(findings: Findings) -> list[str]:
    """Data, model and objective in a few words."""
    rows = findings.data.get("rows")
    data = str(findings.data.get("name", ""))
    if data and rows is not None:
        data += f", {show(rows)} rows"
    objective = str(findings.objective.get("type", ""))
    return [part for part in (data, str(findings.spec.get("type", "")), objective) if part]


def settings(findings: Findings) -> list[Listing]:
    """Data, objective, training and versions, as far as they are known."""
    blocks = {"Data": findings.data, "Objective": findings.objective, "Training": findings.training}
    lists = [Listing(facts(block), name) for name, block in blocks.items() if block]
    # packages keep their own spelling
    versions = [Fact(package, words(version)) for package, version in findings.versions.items()]
    return [*lists, Listing(versions, "Versions")] if versions else lists


def headlines(findings: Findings) -> list[Headline]:
    """The run's six most telling numbers, as far as they are known."""
    chosen = [
        _headline(key, findings.metrics[key]) for key in ("elbo", "bound", "bits_per_dim") if key in findings.metrics
    ]
    if "elbo" not in findings.metrics and not findings.generator:  # whose loss rises and falls with its rival's
        bounds = [("Validation ELBO", "validation_elbo"), ("Training ELBO", "elbo"), ("Training loss", "loss")]
        known = [(name, last(findings.series(column))) for name, column in bounds]
        chosen = [Headline(name, show(v), "nats") for name, v in known if v is not None][:1] + chosen
    if "kl" in findings.metrics:
        chosen.append(_headline("kl", findings.metrics["kl"]))
    units = findings.active
    if units:
        chosen.append(Headline(f"Active {findings.noun}s", show(sum(units)), f"of {show(len(units))}"))
    chosen += [
        _headline(k, m)
        for k, m in findings.metrics.items()
        if k not in ("elbo", "bound", "bits_per_dim", "kl", "active_units")
    ]
    chosen = chosen[:5]
    for key, name in (("seconds", "Training time"), ("parameters", "Parameters")):
        if finite(findings.training.get(key)) is not None and len(chosen) < 6:
            value = findings.training[key]
            chosen.append(Headline(name, show_seconds(value) if key == "seconds" else _short(value), ""))
    return chosen


def _headline(key: str, metric: Measure) -> Headline:
    value, _ = show_with_error(metric.get("value"), metric.get("standard_error"))
    return Headline(title(key), value, str(metric.get("unit", "")))


def _short(value: object) -> str:
    """A large count in thousands or millions."""
    number = finite(value) or 0.0
    for size, letter in ((1e9, " bn"), (1e6, " M"), (1e4, " k")):
        if number >= size:
            return show(number / (1e3 if letter == " k" else size), 3) + letter
    return show(number)


def measures(findings: Findings) -> TableBlock | None:
    """The table of bounds: name, value, standard error, unit, and meaning where any is given."""
    explained = any(metric.get("meaning") for metric in findings.metrics.values())
    rows = []
    for key, metric in findings.metrics.items():
        value, error = show_with_error(metric.get("value"), metric.get("standard_error"))
        cells = [Cell(value, number=True, strong=True), Cell(error, number=True)]
        cells.append(Cell(str(metric.get("unit", "")), role="unit"))
        cells += [Cell(str(metric.get("meaning", "")), role="meaning")] if explained else []
        rows.append((f"Active {findings.noun}s" if key == "active_units" else title(key), cells))
    chance = findings.chance
    if rows and chance is not None:
        cells = [Cell(show(chance.nats), number=True, strong=True), Cell(MISSING, number=True)]
        cells.append(Cell("nats per row", role="unit"))
        cells += [Cell(f"log p(x) of a model without a code: {chance.words}", role="meaning")] if explained else []
        rows.append(("Knowing nothing", cells))
    heads = ["Measure", "Value", "± s.e.", "Unit", *(["Meaning"] if explained else [])]
    return TableBlock(heads, rows, "Table of bounds and measures", measures=True) if rows else None


def history(findings: Findings) -> TableBlock | None:
    """The numbers behind the curves, at most fifty epochs."""
    columns = [c for c in findings.history if last(findings.series(c)) is not None]
    if not columns or columns == ["epoch"]:
        return None
    kept = thinned(findings.epochs, 50)
    epochs = findings.series("epoch")
    values = {c: findings.series(c) for c in columns if c != "epoch"}
    rows = [
        (show(epochs[i] or i + 1), [Cell(show(v[i], 5, aligned=True), number=True) for v in values.values()])
        for i in kept
    ]
    note = f"{len(kept)} of {findings.epochs:,} epochs." if len(kept) < findings.epochs else ""
    return TableBlock(["Epoch", *(title(c) for c in values)], rows, "Training history", note)


def paired_rows(tables: Tables, most: int = 8) -> TableBlock | None:
    """Original rows, each above its reconstruction."""
    rows = []
    for before, after in list(zip(tables.originals, tables.reconstructions, strict=False))[:most]:
        rows.append(("original", [_cell(v) for v in before]))
        cells = [_cell(v) for v in after]
        for old, new in zip(before, cells, strict=False):
            new.odd = not new.number and words(old) != new.content
        rows.append(("reconstruction", cells))
    heads = ["", *map(str, tables.columns)]
    return TableBlock(heads, rows, "Original rows and their reconstructions", paired=True) if rows else None


def sampled_rows(tables: Tables, most: int = 12) -> TableBlock | None:
    """Rows drawn from the prior."""
    rows = [(str(i + 1), [_cell(v) for v in row]) for i, row in enumerate(tables.samples[:most])]
    return TableBlock(["", *map(str, tables.columns)], rows, "Sampled rows") if rows else None


def _cell(value: Any) -> Cell:
    return Cell(words(value), number=not isinstance(value, bool | str) and finite(value) is not None)
