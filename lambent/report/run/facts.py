"""The run's settings, numbers and rows as words: what the page's tables and lists show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lambent.report.charts.scales import thinned
from lambent.report.numerals import MISSING, show, show_seconds, show_with_error
from lambent.report.run.findings import Findings, Measure, Tables
from lambent.report.run.lookup import finite, last

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
class Fact:
    """A name with its value in words, or with facts of its own."""

    name: str
    text: str = ""
    parts: list["Fact"] = field(default_factory=list)


@dataclass
class Headline:
    """One of the large numbers at the top."""

    name: str
    value: str
    unit: str


@dataclass
class Cell:
    """A table's cell; `odd` marks a reconstruction that differs in kind from its original."""

    text: str
    number: bool = False
    odd: bool = False


@dataclass
class CellTable:
    """A table to print: heads, and rows of a caption each with cells."""

    heads: list[str]
    rows: list[tuple[str, list[Cell]]]
    note: str = ""

    def numeric(self, column: int) -> bool:
        """Whether a column of cells holds numbers, so that its head stands at the right."""
        cells = [cells[column] for _, cells in self.rows if column < len(cells)]
        return any(c.number for c in cells) and all(c.number or c.text == MISSING for c in cells)


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


def headlines(findings: Findings) -> list[Headline]:
    """The run's six most telling numbers, as far as they are known."""
    chosen = [
        _headline(key, findings.metrics[key]) for key in ("elbo", "bound", "bits_per_dim") if key in findings.metrics
    ]
    if "elbo" not in findings.metrics:
        bounds = [("Validation ELBO", "validation_elbo"), ("Training ELBO", "elbo"), ("Training loss", "loss")]
        known = [(name, last(findings.series(column))) for name, column in bounds]
        chosen = [Headline(name, show(v), "nats") for name, v in known if v is not None][:1] + chosen
    if "kl" in findings.metrics:
        chosen.append(_headline("kl", findings.metrics["kl"]))
    units = [active for level in findings.levels() for _, active in level]
    if units:
        chosen.append(Headline("Active units", show(sum(units)), f"of {show(len(units))}"))
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


def measures(findings: Findings) -> list[tuple[str, str, str, str, str]]:
    """The table of bounds: name, value, standard error, unit, meaning."""
    rows = []
    for key, metric in findings.metrics.items():
        value, error = show_with_error(metric.get("value"), metric.get("standard_error"))
        rows.append((title(key), value, error, str(metric.get("unit", "")), str(metric.get("meaning", ""))))
    return rows


def history(findings: Findings) -> CellTable | None:
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
    return CellTable(["Epoch", *(title(c) for c in values)], rows, note)


def paired_rows(tables: Tables, most: int = 8) -> CellTable | None:
    """Original rows, each above its reconstruction."""
    rows = []
    for before, after in list(zip(tables.originals, tables.reconstructions, strict=False))[:most]:
        rows.append(("original", [_cell(v) for v in before]))
        cells = [_cell(v) for v in after]
        for old, new in zip(before, cells, strict=False):
            new.odd = not new.number and words(old) != new.text
        rows.append(("reconstruction", cells))
    return CellTable(["", *map(str, tables.columns)], rows) if rows else None


def sampled_rows(tables: Tables, most: int = 12) -> CellTable | None:
    """CellTable drawn from the prior."""
    rows = [(str(i + 1), [_cell(v) for v in row]) for i, row in enumerate(tables.samples[:most])]
    return CellTable(["", *map(str, tables.columns)], rows) if rows else None


def _cell(value: Any) -> Cell:
    return Cell(words(value), number=not isinstance(value, bool | str) and finite(value) is not None)
