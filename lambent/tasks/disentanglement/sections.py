"""What disentanglement looks like: the scores, what each unit says of each factor, and pictures moved along the best units."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.fitted import Fitted
from lambent.tasks.disentanglement.measure import Disentanglement
from lambent.tasks.explore import decode
from lambent.tasks.sections import Block, Cell, Paragraph, Section, Sheet, TableBlock

STEPS = 9
REACH = 2.0  # standard deviations of the codes on either side of their mean
MOST_UNITS = 40  # lines of the table of information


def disentanglement_sections(fitted: Any, found: Disentanglement) -> list[Section]:
    """The scores, the information of units and factors, and for each factor the unit that says most of it, moved."""
    sections = [_scores(found), _information(found)]
    moved = by_factor(Fitted.of(fitted), found)
    if moved is not None:
        lead = (
            "The code of a row near the middle, moved along the unit that says most of each factor, while the others stand "
            "still: in a line no other factor should change."
        )
        note = Paragraph(
            f"Columns: from −{REACH:g} to +{REACH:g} standard deviations of the codes about their mean.", "note"
        )
        sections.append(Section("by-factor", "Traversals by factor", lead, [moved, note]))
    return sections


def best_units(found: Disentanglement) -> list[tuple[str, int]]:
    """Of each factor the unit that says most of it, with the factors that are said best first."""
    shares = found.information / found.entropy
    order = np.argsort(-shares.max(0), kind="stable")
    return [(found.factors.names[k], int(shares[:, k].argmax())) for k in order]


@torch.no_grad()
def traversed(fitted: Fitted, found: Disentanglement) -> Tensor:
    """Rows decoded along the best unit of each factor, [K, steps, *event], in stored units."""
    means, spread = torch.from_numpy(found.codes.means), torch.from_numpy(found.codes.draws.std(0))
    centre = means.mean(0)
    scale = torch.where(spread > 0, spread, torch.ones_like(spread))
    start = means[((means - centre) / scale).square().sum(1).argmin()]
    lines = []
    for _, unit in best_units(found):
        line = start.repeat(STEPS, 1)
        line[:, unit] = centre[unit] + spread[unit] * torch.linspace(-REACH, REACH, STEPS, dtype=means.dtype)
        lines.append(line)
    context = None if found.context is None else found.context.expand(len(lines) * STEPS, -1)
    rows = decode(fitted, found.codes.levels(torch.cat(lines)), context)
    return rows.reshape(len(lines), STEPS, *rows.shape[1:])


def by_factor(fitted: Fitted, found: Disentanglement) -> Sheet | None:
    """The same as pictures; None of other rows."""
    rows = traversed(fitted, found)
    pictures = fitted.pictures(rows.flatten(0, 1))
    if pictures is None:
        return None
    cells = pictures.reshape(*rows.shape[:2], *pictures.shape[1:])
    names = [f"{factor}: {found.codes.names[unit]}" for factor, unit in best_units(found)]
    values = np.linspace(-REACH, REACH, STEPS)
    heads = [f"{value:+.1f}".replace("-", "−") if value else "0" for value in values]
    return Sheet(cells, f"A code moved along the unit that says most of each factor: {', '.join(names)}", names, heads)


def three_decimals(value: float) -> str:
    """As many for every score, so that they stand below one another; with a real minus sign."""
    return f"{value:.3f}".replace("-", "−")


def _scores(found: Disentanglement) -> Section:
    rows = [
        (
            one.title,
            [
                Cell(three_decimals(one.value), number=True, strong=name == "mig"),
                Cell("" if one.chance is None else three_decimals(one.chance), number=one.chance is not None),
                Cell(one.meaning, role="meaning"),
            ],
        )
        for name, one in found.scores.items()
    ]
    lead = (
        f"How far units keep {len(found.factors.names)} known factors apart, on {len(found.factors):,} rows: 1 is perfect, and 0 "
        "nothing, or else what the column of chance says."
    )
    body: list[Block] = [Paragraph(remark) for remark in found.remarks]
    body.append(TableBlock(["Score", "value", "chance", "meaning"], rows, "Scores of disentanglement"))
    return Section("disentanglement", "Disentanglement", lead, body)


def _information(found: Disentanglement) -> Section:
    """Shares of the entropy of each factor that each unit says."""
    shares = found.information / found.entropy
    best = shares.argmax(0)
    kept = np.sort(np.argsort(-shares.max(1), kind="stable")[:MOST_UNITS])
    rows = [
        (
            found.codes.names[j],
            [Cell(three_decimals(v), number=True, strong=bool(best[k] == j)) for k, v in enumerate(shares[j])],
        )
        for j in kept.tolist()
    ]
    note = f"The {MOST_UNITS} that say most of {len(shares)} units." if len(shares) > MOST_UNITS else ""
    lead = (
        "I(z; v) / H(v), the share of each factor that a unit says, by nearest neighbours, z drawn from q(z|x). The unit that "
        "says most of a factor is bold: a good code has one number near 1 in each column, and no second in its line."
    )
    table = TableBlock(["Unit", *found.factors.names], rows, "What each unit says of each factor", note)
    return Section("units-and-factors", "Units and factors", lead, [table])
