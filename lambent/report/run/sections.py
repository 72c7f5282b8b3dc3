"""The sections of a run's report, in their order: each made from the findings, or left out where they hold nothing for it."""

import json
from collections.abc import Callable, Sequence

from lambent.report.charts import bars, grids, lines
from lambent.report.charts.scatter import scatter
from lambent.report.numerals import show
from lambent.report.run import facts
from lambent.report.run.findings import Findings, Pictures
from lambent.report.run.verdict import summary, verdict
from lambent.tasks.evaluate import ACTIVITY, MEASURES, UnitUsage
from lambent.tasks.sections import (
    Block,
    Code,
    Details,
    Group,
    Listing,
    Paragraph,
    Remarks,
    Section,
    Sheet,
)

Maker = Callable[[Findings], Section | None]


def sections_of(findings: Findings, more: Sequence[Section] = ()) -> list[Section]:
    """All that the page shows: what was learned, what tasks add, and last how to make the model again."""
    first = [section for make in FIRST if (section := make(findings)) is not None]
    last = [section for make in LAST if (section := make(findings)) is not None]
    return [*first, *more, *last]


def verdict_section(findings: Findings) -> Section:
    """The verdict, in a sentence and remark by remark."""
    remarks = verdict(findings)
    lead = "What the numbers below amount to, and what to change next."
    return Section("verdict", "Verdict", lead, [Paragraph(summary(remarks), "summary"), Remarks(remarks)])


def training(findings: Findings) -> Section | None:
    """The curves over the epochs, and the numbers behind them."""
    curves = lines.curves(findings)
    if not curves:
        return None
    lead = "How the run went, epoch by epoch. A good run changes fast at first and levels off."
    if curves[0].title == "ELBO":
        lead = (
            "The evidence bound and its two parts, epoch by epoch. "
            "A good run rises steeply, then both lines level off close together."
        )
    history = facts.history(findings)
    body: list[Block] = [Group(curves)]
    body += [Details("The numbers behind the curves", [history])] if history else []
    return Section("training", "Training", lead, body)


def numbers(findings: Findings) -> Section | None:
    """The table of measures."""
    table = facts.measures(findings)
    tested = findings.data.get("tested_on")
    rows = (
        f"on {show(tested)} test rows; the curves above are of other rows, those of training and validation"
        if tested
        else ""
    )
    lead = (
        f"Every measure with its unit{f', {rows}' if rows else ''}. "
        "The standard error says how far the number would move with other rows of the same kind."
    )
    return Section("numbers", "Numbers", lead, [table]) if table else None


def reconstructions(findings: Findings) -> Section | None:
    """Originals with what the model makes of them, as pictures or as rows."""
    pairs = _sheet(grids.pairs, findings.pictures)
    rows = facts.paired_rows(findings.tables) if findings.tables else None
    lead = (
        "In each pair the original is above, what the model makes of it below. "
        "Good ones keep the identity and lose only fine detail."
        if pairs
        else "Each row and what the model makes of it. "
        "Good ones keep the categories (differences are marked) and stay close in the numbers."
    )
    return _unless_empty("reconstructions", "Reconstructions", lead, pairs, rows)


def samples(findings: Findings) -> Section | None:
    """Pictures or rows drawn from the prior."""
    rows = facts.sampled_rows(findings.tables) if findings.tables else None
    lead = "Drawn from the prior, not picked. Good ones look like the data and differ from each other."
    lead = f"{lead} {findings.samples_under}".rstrip()
    return _unless_empty("samples", "Samples", lead, _sheet(grids.samples, findings.pictures), rows)


def latent_map(findings: Findings) -> Section | None:
    """The codes of rows in two dimensions."""
    lead = (
        "Each dot is one row, placed by its code. In a good map, like lies near like, and the dots leave no wide holes."
    )
    return _unless_empty("map", "Latent map", lead, scatter(findings.latent_map))


LEADS = {
    "kl": (
        "The KL of each unit of the code, largest first: what it costs, and the most that it can say about a row. "
        "A healthy code spreads its nats over several units."
    ),
    "matched": (
        "How much each unit of the code says about a row, largest first. These are no parts of the KL: "
        "under this prior or posterior it has none by unit."
    ),
    "direction": (
        "How much the code says about a row along each of its principal directions, largest first. Under this prior or "
        "posterior, with full covariances or over a sphere, the code may be turned, and a single unit means nothing alone. "
        "These are no parts of the KL."
    ),
    None: "The KL of this code has no parts by unit. Shown is how far each unit moves from row to row.",
}
MIXED = (
    "How much each unit of the code says about a row, largest first. "
    "The KL has parts by unit at some levels only; what is drawn stands above the bars."
)
STILL = "A unit without use stands still: its KL is what it costs to lie off the prior, and says nothing about a row."


def units(findings: Findings) -> Section | None:
    """What the units of the code carry, or its directions, with the definition of every measure that is drawn."""
    if not findings.levels:
        return None
    measures = list(dict.fromkeys(level.measure for level in findings.levels))
    scale = " All levels share one scale." if len(findings.levels) > 1 and len(measures) == 1 else ""
    lead = LEADS[measures[0]] if len(measures) == 1 else MIXED
    charts = bars.levels(findings.levels, findings.metric("kl"))
    notes = [f"{bars.WORDS[m].title}: {MEASURES[m]}." for m in measures if m] + [
        f"{MEASURES[None][0].upper()}{MEASURES[None][1:]}." for m in measures if not m
    ]
    notes += [f"Active: {rule}." for rule in dict.fromkeys(ACTIVITY[m] for m in measures)]
    notes += [STILL] if any(_costly(level) for level in findings.levels) else []
    body: list[Block] = [Group(charts)] if len(charts) > 1 else [*charts]
    title = "Latent directions" if findings.noun == "direction" else "Latent units"
    return Section("units", title, lead + scale, body + [Paragraph(note, "note") for note in notes])


def _costly(level: UnitUsage) -> bool:
    """Whether a unit that stands still has a larger KL than one that moves."""
    nats = list(zip(level.nats or [], level.active, strict=False))
    used, idle = ([v for v, active in nats if active is wanted] for wanted in (True, False))
    return level.measure == "kl" and bool(used) and max(idle, default=0.0) > min(used)


def traversals(findings: Findings) -> Section | None:
    """One unit, or direction, moved at a time."""
    sheet = _sheet(grids.traversals, findings.pictures)
    noun = findings.noun
    lead = (
        f"{'A draw of the prior' if findings.generator else 'The code of one row'}, moved along one {noun} in each line of "
        "pictures, while the others stand still. "
        f"A good {noun} changes one thing, smoothly, and the picture stays plausible at both ends."
    )
    of = "standard deviations of the prior about its mean"
    if noun == "direction":
        of = "standard deviations of the codes along it, about their mean; the directions are those of the bars above"
    note = Paragraph(f"Columns: the {noun}'s value in {of}.", "note")
    return _unless_empty("traversals", "Traversals", lead, sheet, note if sheet and sheet.heads else None)


def by_level(findings: Findings) -> Section | None:
    """What each level of a hierarchy holds."""
    lead = (
        "Each line is one row: the original, then what is left of it when only so many levels, the top first, are known and the "
        "prior says what to expect of the rest. A level that changes nothing holds nothing."
    )
    return _unless_empty("levels", "What each level holds", lead, _sheet(grids.by_level, findings.pictures))


def interpolation(findings: Findings) -> Section | None:
    """Walks between the codes of two rows."""
    ends = "one draw of the prior to another" if findings.generator else "the code of one row to that of another"
    lead = f"Each line of pictures walks from {ends}. In a good space every step is a plausible picture, with no jump."
    return _unless_empty("interpolation", "Interpolation", lead, _sheet(grids.interpolation, findings.pictures))


def model(findings: Findings) -> Section | None:
    """Every field of every part."""
    if not findings.spec:
        return None
    text = json.dumps(findings.spec, indent=2, ensure_ascii=False, default=str)
    body: list[Block] = [Listing(facts.facts(findings.spec)), Details("The specification as JSON", [Code(text)])]
    return Section("model", "Model", "The parts the model is made of, with every setting.", body)


def run(findings: Findings) -> Section | None:
    """The command, the data, the settings and the versions."""
    command = Code(findings.command, command=True, label="Command line") if findings.command else None
    settings = facts.settings(findings)
    together = Group(settings, "blocks") if settings else None
    return _unless_empty("run", "Run", "What it takes to make this model again.", command, together)


FIRST: tuple[Maker, ...] = (
    verdict_section,
    training,
    numbers,
    reconstructions,
    samples,
    latent_map,
    units,
    by_level,
    traversals,
    interpolation,
)
LAST: tuple[Maker, ...] = (model, run)


def _unless_empty(name: str, title: str, lead: str, *blocks: Block | None) -> Section | None:
    present = [block for block in blocks if block is not None]
    return Section(name, title, lead, present) if present else None


def _sheet(make: Callable[[Pictures], Sheet | None], pictures: Pictures | None) -> Sheet | None:
    return None if pictures is None else make(pictures)
