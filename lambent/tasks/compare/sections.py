"""A comparison as sections of a report: the verdict, the article's three rows, every number, pictures side by side."""

import numpy as np

from lambent.tasks.compare.comparison import MEASURES, MODEL_FREE, Bytes, Comparison, Direction, Entry, Number
from lambent.tasks.compare.verdict import in_sentence, told
from lambent.tasks.samples.sections import written
from lambent.tasks.sections import Block, Cell, Details, Fact, Listing, Paragraph, Remarks, Section, Sheet, TableBlock

BETTER: dict[Direction, str] = {"higher": "higher", "lower": "lower", "one": "near 1", "none": ""}


# Tables by what they are of; what is no model has numbers of samples alone.
TABLES: dict[str, tuple[str, ...]] = {
    "Samples": (
        "sharpness", "coarse", "middle", "fine", "finest", "frechet", "precision", "recall", "density", "coverage",
        "nearer_training",
    ),
    "Bounds, codes and reconstructions": (
        "bits_per_dim", "bound", "error", "sharpness_of_reconstructions", "probe", "auroc", "straightness", "largest_step",
    ),
    "Effort": ("training", "epochs", "sampling", "parameters"),
}  # fmt: skip


def comparison_sections(found: Comparison) -> list[Section]:
    """All that a comparison has to show."""
    return [_verdict(found), _three_rows(found), _numbers(found), *_pictures(found), _runs(found)]


def _verdict(found: Comparison) -> Section:
    """Which model when, a line for each purpose, and what else follows."""
    rows = []
    for one in found.uses:
        numbers = ", ".join(told(number) for number in one.best.values())
        following = "" if one.next is None else f"{one.next[0]} {told(one.next[1])}"
        cells = [Cell(f"when {one.when}"), Cell(f"{MEASURES[one.measure].title} {numbers}"), Cell(following)]
        rows.append((" or ".join(one.best), cells))
    heads = ["For this data, use …", "", "because", "next"]
    lead = "Models within two standard errors of the best, or within a gain too small to matter, are named together."
    body: list[Block] = [TableBlock(heads, rows, "Which model to use when")] if rows else []
    return Section("verdict", "Verdict", lead, [*body, Remarks(found.verdict)])


def _three_rows(found: Comparison) -> Section:
    """Training method, sharpness and use of each."""
    entries = [entry for entry in found.entries if entry.method is not None]
    rows = [
        ("Training method", [Cell(entry.method.training if entry.method else "") for entry in entries]),
        ("Sharpness", [Cell(_sharpness(entry)) for entry in entries]),
        ("Use", [Cell(entry.method.use if entry.method else "") for entry in entries]),
    ]
    lead = "How each is trained, how sharp it draws on this data, and what it is for."
    heads = ["", *(entry.name for entry in entries)]
    return Section("models", "What each is", lead, [TableBlock(heads, rows, "Training method, sharpness and use")])


def _sharpness(entry: Entry) -> str:
    own = entry.numbers.get("sharpness")
    if own is None or own.value is None or not own.known:
        return "not measured: of pictures alone"
    share = float(own.value)
    word = "blurred" if share < 0.8 else "noisy" if share > 1.25 else "as sharp as the data"
    again = entry.numbers.get("sharpness_of_reconstructions")
    more = "" if again is None or not again.known else f"; reconstructions have {float(again.value or 0):.0%}"
    return f"{word}: samples have {share:.0%} of the data's energy at high frequencies{more}"


def _numbers(found: Comparison) -> Section:
    names = [name for name in MEASURES if any(name in entry.numbers for entry in found.entries)]
    measures = [name for name in names if any(e.numbers[name].known for e in found.entries if name in e.numbers)]
    lead = (
        "Means over seeds. No model draws better than real pictures that were held out; copies of training pictures win every "
        "distance, and have learned nothing."
    )
    beside = [Fact(name.capitalize(), MODEL_FREE[name]) for name in found.beside]
    body: list[Block] = [
        *_tables(found, measures),
        *_none(found, names),
        Details(
            "Standard errors: of the spread over seeds, of a single one its own", _tables(found, measures, errors=True)
        ),
        Details("Each seed by itself", [_by_seed(found, measures)]),
        Details("What they mean", [Listing([*_meanings(measures), *beside])]),
    ]
    return Section("numbers", "Numbers", lead, body)


def _tables(found: Comparison, measures: list[str], errors: bool = False) -> list[Block]:
    every = [_table(found, title, [n for n in names if n in measures], errors) for title, names in TABLES.items()]
    return [table for table in every if table.rows]


def _table(found: Comparison, title: str, measures: list[str], errors: bool) -> TableBlock:
    """Measures of every model that was trained, beside what is no model where that has any of them."""
    trained = [entry for entry in found.entries if entry.by_seed]
    beside = [name for name, numbers in found.beside.items() if any(measure in numbers for measure in measures)]
    rows = []
    for name in measures:
        cells = [_cell(entry.numbers.get(name), errors) for entry in trained]
        cells += [_cell(found.beside[one].get(name), errors) for one in beside]
        rows.append((MEASURES[name].title, [*cells, Cell(BETTER[MEASURES[name].better], role="unit")]))
    heads = [title, *(entry.name for entry in trained), *(name.capitalize() for name in beside), "Better"]
    return TableBlock(heads, rows, f"{title} of every model")


def _meanings(measures: list[str]) -> list[Fact]:
    return [Fact(MEASURES[name].title, MEASURES[name].meaning) for name in measures]


def _cell(one: Number | None, error: bool = False) -> Cell:
    if one is None:
        return Cell("–", number=True)
    if one.value is None or not one.known:
        return Cell("none", number=True)
    if error:
        return Cell("–" if not one.error else written(one.error, one.error), number=True)
    return Cell(told(one) if one.error else with_error(one), number=True)


def with_error(one: Number) -> str:
    """A number as a table shows it, with its standard error where it has one."""
    assert one.value is not None
    if one.error is None or not np.isfinite(one.error) or one.error == 0:
        return f"{one.value:,.0f}" if float(one.value).is_integer() or abs(one.value) >= 100 else f"{one.value:.3g}"
    return f"{written(one.value, one.error, 1)} ± {written(one.error, one.error, 1)}"


def _none(found: Comparison, measures: list[str]) -> list[Block]:
    """Why numbers are missing, or how they came about otherwise: each reason once, with the models that it holds for."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in found.entries:
        own: dict[str, list[str]] = {}
        for name in measures:
            one = entry.numbers.get(name)
            why = "" if one is None else one.how if one.known else one.why and f"none: {one.why}"
            if why:
                own.setdefault(why, []).append(in_sentence(name))
        for why, titles in own.items():
            reasons.setdefault((", ".join(titles), why), []).append(entry.name)
    facts = [Fact(", ".join(names), f"{titles}: {why}") for (titles, why), names in reasons.items()]
    return [Listing(facts, "Where there is none, or it came about otherwise")] if facts else []


def _by_seed(found: Comparison, measures: list[str]) -> TableBlock:
    columns = [(entry, seed) for entry in found.entries for seed in entry.by_seed]
    heads = ["Measure", *(f"{entry.name} {seed}" for entry, seed in columns)]
    rows = [
        (MEASURES[name].title, [_cell(entry.by_seed[seed].get(name)) for entry, seed in columns]) for name in measures
    ]
    return TableBlock(heads, rows, "Every number of every seed")


def _pictures(found: Comparison) -> list[Section]:
    """Samples of the same noise, the same test rows and the same walk, a row for each model."""
    pictured = [(entry.name, entry.shown) for entry in found.entries if entry.shown is not None]
    if not pictured:
        return []
    sections = [
        _sheet(
            "samples",
            "Samples side by side",
            "A row for each model, of its first seed; nobody chose them. Columns come from the same noise: where two models "
            "have the same prior they are of the same code.",
            [(name, own.samples) for name, own in pictured],
        )
    ]
    again = [(name, own.reconstructions) for name, own in pictured]
    if found.originals is not None:
        lead = (
            "Test pictures, and each model's reconstruction of them; of a model without an encoder by codes that were searched "
            "for (lambent invert)."
        )
        sections.append(_sheet("again", "The same rows", lead, [("test rows", found.originals), *again]))
    walked = [(name, own.walk) for name, own in pictured]
    if walked:
        lead = (
            "From one test picture to another through the codes, the same two for all; of a model without an encoder from one "
            "code of its prior to another."
        )
        sections.append(_sheet("walks", "Walks side by side", lead, walked))
    return sections


def _sheet(name: str, title: str, lead: str, rows: list[tuple[str, Bytes]]) -> Section:
    width = min(len(pictures) for _, pictures in rows)
    cells = np.stack([pictures[:width] for _, pictures in rows])
    return Section(name, title, lead, [Sheet(cells, f"{title}: a row for each model", names=[n for n, _ in rows])])


def _runs(found: Comparison) -> Section:
    facts = [Fact(name, text) for name, text in found.facts.items()]
    runs = [
        Fact(f"{entry.name}, seed {seed}", folder) for entry in found.entries for seed, folder in entry.folders.items()
    ]
    body: list[Block] = [
        Listing(facts),
        Listing(runs, "Runs"),
        Paragraph("Each run is a folder of its own, with a model, a report and a configuration that makes it again.", "note"),
    ]  # fmt: skip
    return Section("protocol", "How they were compared", "The same rows and networks, the same budget for each.", body)
