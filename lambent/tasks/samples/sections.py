"""A judgement of drawn pictures as sections of a report: the table, the neighbours, the spectra."""

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.samples.distance import Distance
from lambent.tasks.samples.judgement import MEASURES, SETS, SampleJudgement
from lambent.tasks.sections import (
    Block,
    Cell,
    Curve,
    Curves,
    Details,
    Fact,
    Group,
    Listing,
    Paragraph,
    Remarks,
    Section,
    Sheet,
    TableBlock,
)

BETTER = {"half": "near ½", "one": "near 1", "nought": "as holdout"}
LOWEST, HIGHEST = -2.0, 1.0  # decades of energy that the curves show
PLAIN = {"reconstructions": "reconstructions", "holdout": "holdout", "independent": "independent pixels"}


def sample_sections(found: SampleJudgement) -> list[Section]:
    """What follows, every number beside its baselines; samples beside their nearest neighbours; energy by frequency."""
    return [_table(found), _neighbours(found), _spectra(found)]


def _table(found: SampleJudgement) -> Section:
    measures = [name for name in MEASURES if any(name in own for own in found.sets.values())]
    sets = list(found.sets)
    heads = ["Measure", *(name.capitalize() for name in sets), "Better"]
    rows = []
    for measure in measures:
        cells = [_cell(found.sets[name].get(measure), strong=name == "generated") for name in sets]
        better = MEASURES[measure].better
        rows.append((MEASURES[measure].title, [*cells, Cell(BETTER.get(better, better), role="unit")]))
    counts = [Cell(found.rows[name], number=True) for name in sets]
    rows.append(("Pictures", [*counts, Cell("")]))
    lead = (
        "A number says little alone: copies of the training pictures win every distance and have learned nothing, so that a "
        "model is judged by how near it comes to the holdout, not by how far below. Reconstructions show what a better prior "
        "could reach."
    )
    accuracy = found.facts.get("accuracy")
    space = f"Feature space: {found.space}" + ("." if accuracy is None else f", {_learned(found)}.")
    note = f"{space} Numbers in different spaces cannot be compared. {_counted(found)}".rstrip()
    meanings = [Fact(MEASURES[name].title, MEASURES[name].meaning) for name in measures]
    what = [Fact(name.capitalize(), SETS[name]) for name in sets]
    errors = [
        (MEASURES[measure].title, [_cell(found.sets[name].get(measure), error=True) for name in sets])
        for measure in measures
    ]
    body: list[Block] = [
        Remarks(found.remarks),
        TableBlock(heads, rows, "Every measure of the samples, and of what they are seen beside"),
        Paragraph(note, "note"),
        Details("Standard errors", [TableBlock(heads[:-1], errors, "The standard error of every number")]),
        Details("What they mean", [Listing([*what, *meanings])]),
    ]
    return Section("samples-judged", "Samples, judged", lead, body)


def _learned(found: SampleJudgement) -> str:
    facts = found.facts
    if facts["task"] == "classes":
        return f"a classifier of {facts['classes']} classes, {facts['accuracy']:.1%} right on training pictures held out of it"
    return f"learned without labels; it tells one picture's views from those of 63 others in {facts['accuracy']:.1%} of cases"


def _counted(found: SampleJudgement) -> str:
    """Where a set has fewer pictures than were drawn, what that does to its numbers."""
    few = [name for name in ("holdout", "reconstructions") if found.rows.get(name, 10**9) < found.rows["generated"]]
    if not few:
        return ""
    names = " and ".join(few)
    return (
        f"Of fewer pictures ({names}) the Fréchet distance is the larger, recall and coverage the smaller, by that alone: "
        "compare the limit and the kernel distance."
    )


def _cell(one: Distance | None, strong: bool = False, error: bool = False) -> Cell:
    value = None if one is None else one.error if error else one.value
    if one is None or value is None or not np.isfinite(value):
        return Cell("–", number=True)
    return Cell(written(value, one.error), number=True, strong=strong)


def written(value: float, error: float | None, digits: int = 2) -> str:
    """A number to as many decimals as show so many digits of its standard error, four at most."""
    known = error is not None and np.isfinite(error) and error > 0
    decimals = digits - 1 - int(np.floor(np.log10(error))) if known and error is not None else 2
    decimals = min(4, max(0, decimals))
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def _neighbours(found: SampleJudgement) -> Section:
    own = found.neighbours
    beside: NDArray[np.uint8] = np.concatenate([own.drawn[:, None], own.nearest], 1)
    half = (len(beside) + 1) // 2
    heads = ["drawn", *(str(i + 1) for i in range(own.nearest.shape[1]))]
    alt = "In each row a drawn picture, then the training pictures nearest to it, the nearest first"
    sheets: list[Block] = [Sheet(part, alt, heads=heads) for part in (beside[:half], beside[half:]) if len(part)]
    lead = (
        "Each row begins with a drawn picture; then come the training pictures nearest to it by their features. "
        "A model that has learned draws what is like them, and not the same."
    )
    return Section("samples-neighbours", "Samples and their nearest neighbours", lead, [Group(sheets)])


def _spectra(found: SampleJudgement) -> Section:
    x = found.spectra.frequencies
    relative = found.spectra.relative
    names = [name for name in ("generated", *PLAIN) if name in relative]
    charts: list[Block] = []
    for name in names[1:]:
        curves = [
            Curve(PLAIN[name], x, relative[name], value=_sharp(found, name)),
            Curve("generated", x, relative["generated"], main=True, value=_sharp(found, "generated")),
        ]
        charts.append(
            Curves(
                f"Samples and {PLAIN[name]}",
                curves,
                "log₁₀ of ratio",
                "Energy over that of real pictures by frequency, 1: half a cycle per pixel. Beside the names: sharpness.",
                level=0.0,
                up=(LOWEST, HIGHEST),
            )
        )
    lead = (
        "The energy of pictures by spatial frequency, over that of the real ones: on the line at 0 they are as sharp; what is "
        "blurred falls off to the right, what is noise rises."
    )
    body: list[Block] = charts or [
        Curves("Samples", [Curve("generated", x, relative["generated"], True)], up=(LOWEST, HIGHEST))
    ]
    return Section("samples-spectra", "Sharpness", lead, [Group(body)])


def _sharp(found: SampleJudgement, name: str) -> str:
    return f"{found.sets[name]['sharpness'].value:.2f}"
