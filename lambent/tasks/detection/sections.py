"""The report of a detection: what stood out and why, how scores fall, whether p-values hold, how well known cases are found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.tasks.detection.drift import Change, Drift
from lambent.tasks.sections import (
    Block,
    Cell,
    Curve,
    Curves,
    Details,
    Fact,
    Group,
    Histogram,
    Listing,
    Paragraph,
    Section,
    Sheet,
    TableBlock,
)

MOST_ROWS = 30  # in the table of the oddest
MOST_COLUMNS = 40  # in the table of a drift
MOST_PICTURES = 12
LEVELS = (0.01, 0.05, 0.1, 0.2)

Numbers = NDArray[np.float64]


def decision(rule: str, promise: str, facts: Mapping[str, str]) -> Section:
    """What was flagged by which rule, and what that promises."""
    listed = Listing([Fact(name, text) for name, text in facts.items()])
    body: list[Block] = [Paragraph(rule, "summary"), Paragraph(promise), listed]
    return Section("decision", "What is flagged", "The rule, its threshold, and what can be promised of it.", body)


def score_heap(scores: Numbers, held_out: Numbers, threshold: float | None) -> Section:
    """How the scores fall, with the threshold, beside those of held-out normal rows."""
    name = "flagged from"
    caption = (
        "Every row by its score; higher = more odd. Heights go by the logarithm of the count, so that single rows show."
    )
    charts: list[Block] = [Histogram(scores.tolist(), "Scores", "", caption, mark=threshold, mark_name=name, tail=True)]
    if len(held_out):
        beside = "Rows that nothing was learned from: what is usual. The threshold is the same."
        charts.append(
            Histogram(
                held_out.tolist(), "Scores of held-out rows", "", beside, mark=threshold, mark_name=name, tail=True
            )
        )
    lead = "In a clean set all rows lie in one heap. What is odd lies far to the right of it; a second heap is a kind of its own."
    return Section("scores", "Scores", lead, [Group(charts)])


def oddest(
    lead: Mapping[str, Sequence[Any]],
    scores: Numbers,
    p: Numbers | None,
    flagged: NDArray[np.bool_],
    why: Mapping[int, str],
    pictures: NDArray[np.uint8] | None = None,
    heat: NDArray[np.uint8] | None = None,
) -> Section:
    """The rows with the highest scores: what tells them, and of pictures how they look, each above its heat-map.

    lead: columns that say which row it is, `row` first. p: none where nothing was held out. why: by the row's place, reasons.
    pictures, heat: of the oddest rows, in that order, [rows, H, W(, 3)].
    """
    order = np.argsort(-scores, kind="stable")[:MOST_ROWS]
    names = [name for name in lead if name != "row"]
    heads = ["Row", *(name.capitalize() for name in names), "Score", *([] if p is None else ["p"]), "Flagged", "Why"]
    rows = []
    for i in order.tolist():
        cells = [Cell(str(lead[name][i])) for name in names] + [Cell(float(scores[i]), number=True, strong=True)]
        cells += [] if p is None else [Cell(float(p[i]), number=True)]
        cells += [Cell("yes" if flagged[i] else "no", odd=bool(flagged[i])), Cell(why.get(i, ""), role="meaning")]
        rows.append((f"{int(lead['row'][i])}", cells))
    body: list[Block] = []
    if pictures is not None and len(pictures):
        body.append(_sheet(pictures, heat, [str(lead["row"][i]) for i in order[: len(pictures)].tolist()]))
    table = TableBlock(heads, rows, "The rows with the highest scores")
    body.append(Details("In numbers", [table]) if body else table)
    told = f"The {len(order)} rows with the highest scores, the oddest first; higher = more odd."
    if heat is not None:
        told += " Below each picture where it is odd: bright is what the model did not expect."
    return Section("oddest", "The oddest", told, body)


def _sheet(pictures: NDArray[np.uint8], heat: NDArray[np.uint8] | None, numbers: list[str]) -> Sheet:
    """Pictures in one line, or each above its heat-map, in lines of six."""
    if heat is None:
        return Sheet(
            pictures[None, :MOST_PICTURES], "The oddest pictures, the oddest first", heads=numbers[:MOST_PICTURES]
        )
    above, below = (_coloured(each[:MOST_PICTURES]) for each in (pictures, heat))
    wide = min(6, len(above))
    lines = []
    for start in range(0, len(above) - len(above) % wide, wide):
        lines += [above[start : start + wide], below[start : start + wide]]
    alt = "The oddest pictures, the oddest first, each above its heat-map: rows " + ", ".join(
        numbers[: len(lines) // 2 * wide]
    )
    return Sheet(np.stack(lines), alt, paired=True)


def _coloured(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pictures if pictures.ndim == 4 else np.repeat(pictures[..., None], 3, -1)


def calibration(p: Mapping[str, Numbers], main: str) -> Section:
    """Whether p-values are what they say: of normal rows a share t has p ≤ t.

    p: p-values of several sets of rows, by name; main: the set that the report is about.
    """
    beside = next(
        (name for name in reversed(list(p)) if name != main), main
    )  # two can be told apart; the table has all
    curves = [_cumulated(name, p[name], name == main) for name in dict.fromkeys((beside, main))]
    caption = (
        "Across: t. Up: the share of rows with p ≤ t. Normal rows lie on the diagonal; odd ones lift the left end."
    )
    chart = Curves("Calibration", curves, "", caption, diagonal=True)
    rows = [(name, [Cell(f"{(values <= t).mean():.3f}", number=True) for t in LEVELS]) for name, values in p.items()]
    table = TableBlock(["Share with p ≤", *(f"{t:g}" for t in LEVELS)], rows, "Shares of small p-values")
    lead = (
        "A row's p-value is the share of held-out normal rows that are at least as odd as it. Of normal rows like those no more "
        "than a share t has p ≤ t. Where a set known to be normal lies above the diagonal, it is unlike the held-out rows."
    )
    return Section("p-values", "Do p‑values hold?", lead, [Group([chart]), table])


def _cumulated(name: str, values: Numbers, main: bool) -> Curve:
    ordered, counts = np.unique(values, return_counts=True)
    shares = np.cumsum(counts) / len(values)
    steps = np.repeat(np.r_[0.0, shares], 2)[:-1]
    return Curve(name, [*np.r_[0.0, np.repeat(ordered, 2)].tolist(), 1.0], [*steps.tolist(), 1.0], main)


def known_cases(odd: NDArray[np.bool_], scores: Numbers, flagged: NDArray[np.bool_], words: str) -> Section | None:
    """ROC and precision–recall curves over rows that are known to be odd or normal; None where not both are there."""
    if not odd.any() or odd.all():
        return None
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    false, true, _ = roc_curve(odd, scores, drop_intermediate=True)
    precision, recall, _ = precision_recall_curve(odd, scores, drop_intermediate=True)
    area, average = float(roc_auc_score(odd, scores)), float(average_precision_score(odd, scores))
    found, alarms = float(flagged[odd].mean()), float(flagged[~odd].mean())
    share = float(odd.mean())
    right = float(odd[flagged].mean()) if flagged.any() else None
    charts: list[Block] = [
        Curves(
            "ROC", [Curve("AUROC", false.tolist(), true.tolist(), True, f"{area:.3f}")], "",
            "Across: normal rows flagged (false alarms). Up: odd rows found. The diagonal is guessing.",
            diagonal=True, spot=(alarms, found), spot_name="flagged",
        ),
        Curves(
            "Precision and recall",
            [Curve("average precision", recall[::-1].tolist(), precision[::-1].tolist(), True, f"{average:.3f}")], "",
            f"Across: odd rows found (recall). Up: how many of those flagged are odd (precision). Guessing: {share:.3g}.",
            level=share, spot=None if right is None else (found, right), spot_name="flagged",
        ),
    ]  # fmt: skip
    table = _confusion(odd, flagged)
    lead = f"{words}. The curves are over every threshold; the ring is the one that was used."
    return Section("known", "Known cases", lead, [Group(charts), table])


def _confusion(odd: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> TableBlock:
    rows = [
        (name, [Cell(int((mine & flagged).sum()), number=True), Cell(int((mine & ~flagged).sum()), number=True),
                Cell(float(flagged[mine].mean()), number=True)])
        for name, mine in (("Odd", odd), ("Normal", ~odd))
    ]  # fmt: skip
    right = f"{odd[flagged].mean():.3f} of those flagged are odd." if flagged.any() else "Nothing is flagged."
    return TableBlock(
        ["Known to be", "Flagged", "Not flagged", "Share flagged"], rows, "What was flagged of the known cases", right
    )


def drifted(found: Drift) -> Section:
    """Whether the whole has changed, by which test, and the columns, those that have most surely changed first."""
    sentence = found.sentence[0].upper() + found.sentence[1:] + "."
    body: list[Block] = [Paragraph(sentence, "summary"), _changes(found.whole, "Test of", "Tests of the whole")]
    if found.columns:
        body.append(_changes(found.columns[:MOST_COLUMNS], "Column", "Tests of every column"))
        if len(found.columns) > MOST_COLUMNS:
            body.append(Paragraph(f"{MOST_COLUMNS} of {len(found.columns):,} columns.", "note"))
    lead = (
        "Whether these rows come from where the reference comes from. A small p says that there is a change, the distance how "
        "large it is: 0 is alike, 1 is nothing in common. Of many rows a small change has a small p too."
    )
    return Section("drift", "Has the whole changed?", lead, body)


def _changes(changes: Sequence[Change], head: str, caption: str) -> TableBlock:
    rows = [
        (one.name, [Cell(one.distance, number=True, strong=one.changed), Cell(one.adjusted, number=True, odd=one.changed),
                    Cell(one.test), Cell(one.words, role="meaning")])
        for one in changes
    ]  # fmt: skip
    return TableBlock([head, "Distance", "p, adjusted", "By", "From reference → now"], rows, caption)
