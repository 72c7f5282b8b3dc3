"""judged: a judgement of synthetic rows as sections of a report."""

import numpy as np

from lambent.tasks import beside
from lambent.tasks.judgement import Judgement
from lambent.tasks.sections import Block, Cell, Details, Fact, Listing, Paragraph, Remarks, Section, TableBlock

HEADS = {"independent": "Independent columns", "bootstrap": "Copies", "unseen": "Unseen rows", "real": "Real rows"}
WORST = 15


def judged(found: Judgement) -> list[Section]:
    """May they be shared; every number beside its baselines; column by column; pair by pair."""
    rows = ", ".join(f"{count:,} {name} rows" for name, count in found.rows.items())
    first: list[Block] = [Remarks(found.remarks)]
    answer = Section("sharing", "May this be shared?", f"What speaks for it and against it: {rows}.", first)
    return [answer, _numbers(found), _columns(found), _pairs(found)]


def _numbers(found: Judgement) -> Section:
    names = [name for name in HEADS if any(name in one.beside for one in found.metrics.values())]
    rows = [
        (
            name.replace("_", " "),
            [
                Cell(one.value, number=True, strong=True),
                *(
                    Cell(one.beside[other], number=True) if other in one.beside else Cell("–", number=True)
                    for other in names
                ),
                Cell({"half": "nearer to ½"}.get(one.better, one.better), role="unit"),
            ],
        )
        for name, one in found.metrics.items()
    ]
    heads = ["Measure", "Synthetic", *(HEADS[name] for name in names), "Better"]
    lead = (
        "A number says little alone. Columns drawn independently win where only single columns are looked at, copies of the "
        "training rows win wherever privacy is not; unseen real rows show what is to be reached, though where "
        "they are fewer they look less alike by chance."
    )
    meanings = Listing([Fact(name.replace("_", " "), one.meaning) for name, one in found.metrics.items()])
    body: list[Block] = [
        TableBlock(heads, rows, "Every measure of the synthetic rows"),
        Details("What they mean", [meanings]),
    ]
    return Section("judged", "Judged", lead, body)


def _columns(found: Judgement) -> Section:
    gaps = any(max(column.gaps) > 0 for column in found.columns)
    heads = ["Column", "Kind", "Shape", *(["Gaps, real", "Gaps, synthetic"] if gaps else []), "Told by"]
    ranked = sorted(found.columns, key=lambda column: column.shape if np.isfinite(column.shape) else 2.0)
    rows = [
        (
            column.name,
            [
                Cell(column.kind),
                Cell(column.shape, number=True),
                *(Cell(share, number=True) for share in (column.gaps if gaps else ())),
                Cell(round(max(0.0, column.drop), 4), number=True),
            ],
        )
        for column in ranked
    ]
    note = "Told by: what the detector's AUROC loses when this column is shuffled."
    if found.left_out:
        note += f" Not compared, being names or free text: {', '.join(found.left_out)}."
    numbers: list[Block] = [TableBlock(heads, rows, "The columns, those least alike first"), Paragraph(note, "note")]
    shapes = np.array([column.shape for column in found.columns])
    charts = beside.marginals(found.coded, ("real", "synthetic"), shapes)
    lead = "How the values of each column fall: real rows in grey, synthetic ones in colour; those least alike first."
    return Section("judged-columns", "Column by column", lead, [*charts, Details("The columns in numbers", numbers)])


def _pairs(found: Judgement) -> Section:
    names = [column.name for column in found.columns[: beside.PAIRED]]
    body = beside.associations(names, ("real", "synthetic"), *found.associations)
    if found.pairs:
        worst = [(f"{pair.first} and {pair.second}", [Cell(pair.trend, number=True)]) for pair in found.pairs[:WORST]]
        table = TableBlock(["Columns", "Trend"], worst, "The pairs that hang together least like the real ones")
        body.append(Details("The pairs with the lowest Trend", [table]))
    lead = "Which columns say something about which: the synthetic rows should show the same pattern as the real ones."
    return Section("judged-pairs", "Pair by pair", lead, [*body, Paragraph(beside.ASSOCIATION, "note")])
