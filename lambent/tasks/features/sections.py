"""Probes and clusters as a report: who reads how much of a label, and what each cluster is."""

from typing import Any

from lambent.fitted import Fitted
from lambent.metrics.intervals import Interval
from lambent.tasks.features.cluster import Clusters
from lambent.tasks.features.probe import CODES, Probing
from lambent.tasks.features.readers import LINEAR, NEAREST
from lambent.tasks.sections import Block, Cell, Curve, Curves, Group, Paragraph, Section, Sheet, TableBlock

MOST = 100  # clusters of a sheet


def probe_sections(found: Probing) -> list[Section]:
    """Each space by each reader, with intervals; how much more the codes tell."""
    classes = found.kind == "classes"
    shown = percent if classes else plain
    few = list(next(iter(found.spaces.values())).few)
    heads = [
        "features", "units", "linear", "95 %", "neighbours", "95 %",
        *(f"{count:,} a class" if classes else f"{count:,} rows" for count in few),
    ]  # fmt: skip
    rows = []
    for name, one in found.spaces.items():
        cells = [Cell(str(one.units), number=True)]
        for reader in (one.linear, one.neighbours):
            cells += [
                Cell(shown(reader.value), number=True, strong=name == CODES),
                Cell(ends(reader, found), number=True),
            ]
        rows.append((name, [*cells, *(Cell(shown(one.few[count].value), number=True) for count in few)]))
    learned, tested = found.rows
    unit = "accuracy" if classes else "R²"
    lead = (
        f"{unit[:1].upper()}{unit[1:]} of {found.label} on {tested:,} rows, learned from {learned:,}; without looking "
        f"{shown(found.chance)}."
    )
    body: list[Block] = [TableBlock(heads, rows, f"What each space tells of {found.label}")]
    body += [Paragraph(note, "note") for note in found.notes]
    return [Section("probe", f"What codes tell of {found.label}", lead, body), _above(found)]


def cluster_sections(fitted: Any, found: Clusters) -> list[Section]:
    """The clusters with their rows, the decoded centres, agreement with labels, and BIC by number where that was looked for."""
    agreed = found.agreement is not None
    heads = ["cluster", "rows", "typical row", *(["stands for", "of its rows"] if agreed else [])]
    rows = []
    for one in found.clusters:
        cells = [Cell(f"{one.rows:,}", number=True), Cell(f"{one.typical:,}", number=True)]
        if agreed:
            share = "" if one.share is None else percent(one.share)
            cells += [Cell(one.label or "–"), Cell(share, number=True)]
        rows.append((str(one.number), cells))
    empty = f", {found.empty} of them empty" if found.empty else ""
    lead = f"{len(found.of):,} rows in {len(found.clusters) + found.empty:,} clusters{empty}, by {found.how}."
    body: list[Block] = [TableBlock(heads, rows, "The clusters and their rows")]
    if found.agreement is not None:
        scores = found.agreement
        told = (
            f"Beside {found.label} of {scores.rows:,} rows: accuracy {100 * scores.accuracy:.2f} %, normalized mutual "
            f"information {scores.information:.4f}, adjusted Rand index {scores.rand:.4f}."
        )
        body.append(Paragraph(told))
    sections = [Section("clusters", "Clusters", lead, body)]
    pictures = Fitted.of(fitted).pictures(found.prototypes[:MOST])
    if pictures is not None:
        names = [f"{one.number}" + (f": {one.label}" if one.label else "") for one in found.clusters[:MOST]]
        sheet = Sheet(pictures[:, None], f"The decoded centre of clusters {', '.join(names)}", names)
        sections.append(Section("centres", "Centres", "What the decoder makes of the centre of each.", [sheet]))
    if len(found.tried) > 1:
        sections.append(_tried(found))
    return sections


def percent(value: float, signed: bool = False) -> str:
    """A share in per cent."""
    return f"{100 * value:{'+' if signed else ''}.1f} %"


def plain(value: float, signed: bool = False) -> str:
    """A number of three decimals."""
    return f"{value:{'+' if signed else ''}.3f}"


def ends(interval: Interval, found: Probing) -> str:
    """The ends of an interval, in the measure of the probe."""
    shown = percent if found.kind == "classes" else plain
    return f"{shown(interval.low)} … {shown(interval.high)}".replace(" % …", " …")


def _above(found: Probing) -> Section:
    shown = percent if found.kind == "classes" else plain
    rows = []
    for name, readers in found.apart.items():
        cells = []
        for reader in (LINEAR, NEAREST):
            one = readers[reader]
            cells += [Cell(shown(one.value, True), number=True), Cell(ends(one, found), number=True)]
        rows.append((name, cells))
    lead = (
        "How much more is read from the codes than from other features, over the same test rows. "
        "An interval around 0 says nothing."
    )
    table = TableBlock(["beside", "linear", "95 %", "neighbours", "95 %"], rows, "Codes above other features")
    return Section("above", "Codes above the rest", lead, [table])


def _tried(found: Clusters) -> Section:
    numbers, values = [float(number) for number in found.tried], list(found.tried.values())
    best = min(found.tried, key=lambda number: found.tried[number])
    up = (min(values), max(values) if max(values) > min(values) else min(values) + 1.0)
    figure = Curves(
        "BIC", [Curve("BIC", numbers, values, main=True)], "", f"From {numbers[0]:.0f} to {numbers[-1]:.0f} clusters.",
        spot=(float(best), found.tried[best]), spot_name=str(best), across=(numbers[0], numbers[-1]), up=up,
    )  # fmt: skip
    lead = f"The Bayesian information criterion by the number of clusters: it is lowest at {best}."
    return Section("tried", "How many", lead, [Group([figure])])
