"""The page: whole, inert, self-contained, readable in both themes, and never broken by what is missing."""

import base64
import hashlib
import html
import io
import json
import math
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lambent.errors import MachineError, UsageError
from lambent.report import Findings, LatentMap, Pictures, Tables, render, write
from lambent.report.charts import grids, histogram
from lambent.tasks.evaluate import MEASURES, UnitUsage
from lambent.tasks.sections import (
    Cell,
    Code,
    Details,
    Fact,
    Figure,
    Histogram,
    Listing,
    Paragraph,
    Remark,
    Remarks,
    Section,
    Sheet,
    TableBlock,
)

VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = '<img src=x onerror="alert(1)">\'"</script><script>alert(2)</script>'


class Outline(HTMLParser):
    """Tags with their attributes, and whether every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    return parser


def pictures(shape: tuple[int, ...]) -> Pictures:
    rng = np.random.default_rng(0)

    def some(*sizes: int) -> Any:
        return rng.integers(0, 256, (*sizes, *shape), dtype=np.uint8)

    return Pictures(some(23), some(23), some(40), some(3, 9), some(4, 7), ["z3", "z1"], [-3, -2, -1, 0, 1, 2, 3])


def level(*nats: float, measure: str | None = "kl") -> UnitUsage:
    """A level whose units are active above 0.01; without a measure the numbers are movements."""
    return UnitUsage(measure, None if measure is None else list(nats), list(nats), [v > 0.01 for v in nats])


def full(**changes: Any) -> Findings:
    rng = np.random.default_rng(1)
    epochs = 30
    rise = [-100 - 60 * math.exp(-i / 4) for i in range(epochs)]
    findings = Findings(
        name="a full run",
        command="lambent train digits --latent 8",
        created="2025-11-23T10:12:00+00:00",
        data={"name": "digits", "rows": 1797, "event_shape": [8, 8], "licence": "CC BY 4.0", "split": {"train": 1500}},
        spec={"type": "LatentModel", "latent": {"type": "Flat", "prior": {"type": "Vamp", "components": 50}}},
        objective={"type": "Elbo", "beta": 1.0, "capacity": None},
        training={"epochs": epochs, "seconds": 75.2, "parameters": 120_000, "seed": 0, "compiled": True},
        versions={"lambent": "0.1.0", "torch": "2.9.1"},
        history={
            "epoch": [float(i + 1) for i in range(epochs)],
            "loss": [-v for v in rise],
            "elbo": list(rise),
            "kl": [5.0] * epochs,
            "reconstruction": [-v - 5 for v in rise],
            "validation_elbo": [v - 1 for v in rise],
            "learning_rate": [1e-3] * epochs,
        },
        metrics={
            "elbo": {"value": -101.234, "unit": "nats", "standard_error": 0.31, "meaning": "the evidence bound"},
            "bits_per_dim": {"value": 1.5, "unit": "bits"},
            "kl": {"value": 5.0, "unit": "nats"},
        },
        levels=[level(2.0, 1.5, 1.5, 0.001, 0.0, 0.0, 0.0, 0.0)],
        pictures=pictures((8, 8)),
        latent_map=LatentMap(rng.normal(size=(200, 2)), [str(i % 10) for i in range(200)], ("one", "two"), "a plane"),
    )
    return replace(findings, **changes)


def test_full_page_has_every_section() -> None:
    page = render(full())
    tags = outline(page).tags
    sections = [a["id"] for t, a in tags if t == "section"]
    assert sections == [
        "verdict", "training", "numbers", "reconstructions", "samples", "map", "units", "traversals", "interpolation",
        "model", "run",
    ]  # fmt: skip
    links = [a["href"] for t, a in tags if t == "a" and a.get("href")]
    assert set(links) - {"#verdict"} == {f"#{s}" for s in sections[1:]}
    for text in ("−101.23", "0.31", "120,000", "8 × 8", "Vamp", "lambent train", "1 min 15 s", "23 November 2025"):
        assert text in re.sub(r"<[^>]+>", "", page)


def test_minimal_page() -> None:
    page = render(Findings("bare"))
    tags = outline(page).tags
    assert [a["id"] for t, a in tags if t == "section"] == ["verdict"]
    assert "<h1>bare</h1>" in page
    assert "None" not in page.split("<body>")[1].split("<script>")[0]


def test_everything_foreign_is_inert() -> None:
    evil = full(
        name=EVIL,
        command=EVIL,
        created=EVIL,
        data={"name": EVIL, EVIL: EVIL},
        spec={"type": EVIL, "posterior": {"type": EVIL}, EVIL: [{"type": EVIL}]},
        objective={"type": EVIL},
        training={EVIL: EVIL, "skipped_spikes": 1},
        versions={EVIL: EVIL, "lambent": EVIL},
        metrics={EVIL: {"value": 1.0, "unit": EVIL, "meaning": EVIL}},
        latent_map=LatentMap(np.zeros((4, 2)), [EVIL, "a", EVIL, "b"], (EVIL, EVIL), EVIL),
        tables=Tables([EVIL], [[EVIL]], [[EVIL + "!"]], [[EVIL]]),
    )
    evil.history[EVIL] = [1.0]
    evil.pictures = replace(pictures((4, 4)), traversal_units=[EVIL])
    tags = outline(render(evil)).tags
    assert sum(t == "script" for t, _ in tags) == 1
    assert all(str(a["src"]).startswith("data:image/png;base64,") for t, a in tags if t == "img")
    assert not [a for _, a in tags if any(name.startswith("on") for name in a)]


def test_nothing_is_fetched() -> None:
    page = render(full())
    for tag, attributes in outline(page).tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:"))
    outside = re.findall(r"https?://[^\s\"']+", page)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in page
    assert "url(" not in page


def test_policy_allows_this_script_only() -> None:
    page = render(full())
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_both_themes_define_every_colour() -> None:
    style = files("lambent.report").joinpath("style.css").read_text("utf-8")
    light, *dark = re.findall(r":root[^{]*\{([^}]*)\}", style)
    defined = set(re.findall(r"(--[\w-]+):", light))
    for block in dark[:2]:
        assert set(re.findall(r"(--[\w-]+):", block)) == defined
    assert dark[0].split() == dark[1].split()
    used = set(re.findall(r"var\((--[\w-]+)\)", style))
    assert used - {"--natural", "--depth", "--columns"} <= defined
    assert defined <= used, "a colour that nothing uses"
    rules = re.sub(r":root[^{]*\{[^}]*\}", "", style)
    assert not re.search(r"#[0-9a-f]{3,8}\b", rules), "a colour outside the themes"


def test_charts_hold_no_colour_of_their_own() -> None:
    page = render(full())
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert not re.search(r"(fill|stroke)=|#[0-9a-f]{3,6}|rgb", drawing)


def test_pictures_and_charts_speak() -> None:
    tags = outline(render(full())).tags
    assert all(a.get("alt") for t, a in tags if t == "img")
    assert all(a.get("aria-label") for t, a in tags if a.get("role") in {"img", "region"})


def test_gaps_break_the_line() -> None:
    values: list[float | None] = [-5.0, -4.0, math.nan, -3.0, None, -2.0, math.inf, -1.0]
    page = render(Findings("gaps", history={"elbo": values, "validation_elbo": values}))
    path = re.search(r'class="line train" d="([^"]+)"', page)
    assert path is not None
    assert path[1].count("M") == 4
    assert "nan" not in path[1].lower()
    assert "NaN" not in page.split("<body>")[1].split("<script>")[0]


@pytest.mark.parametrize("values", [[-3.0], [None], [math.nan], [], [-3.0, -2.0], [1e308, -1e308, 1.0]])
def test_short_and_empty_histories(values: list[float | None]) -> None:
    history = {"elbo": values, "validation_elbo": values, "learning_rate": values}
    page = render(Findings("short", history=history))
    outline(page)
    assert ('id="training"' in page) == any(v is not None and math.isfinite(v) for v in values)


def test_columns_of_unequal_length_and_foreign_epochs() -> None:
    history: dict[str, list[float | None]] = {"epoch": [1, 1, None], "elbo": [-3.0, -2.0, -1.0, -0.5], "kl": [1.0]}
    outline(render(Findings("uneven", history=history)))


def test_arrays_serve_as_columns() -> None:
    history: Any = {"elbo": np.linspace(-9, -1, 12, dtype=np.float32), "kl": np.full(12, np.nan)}
    outline(render(full(history=history, levels=[level(*np.ones(3)), level(*np.ones(3))])))


def test_a_long_history_stays_small() -> None:
    column: list[float | None] = [-100 + math.sin(i) for i in range(20_000)]
    page = render(Findings("long", history={"elbo": column, "validation_elbo": column, "kl": column}))
    assert len(page) < 250_000
    assert "50 of 20,000 epochs" in page


def test_levels_of_a_ladder() -> None:
    page = render(full(levels=[level(1.0, 0.0), level(), level(*[0.5] * 600)]))
    outline(page)
    assert "Level 3" in page
    assert "no units of its own" in page
    assert "400 largest of 600 units" in page


def test_an_autoencoder_shows_its_loss_and_no_bound() -> None:
    page = render(full(spec={"type": "LatentModel", "posterior": {"type": "Point"}}))
    titles = re.findall(r"<figcaption><h3>(\w+)", page)
    assert "Loss" in titles
    assert "ELBO" not in titles


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("nats", [[], [0.0], [math.nan, 1.0], [-0.1, 0.2]])
def test_odd_levels(nats: list[float], measure: str | None) -> None:
    outline(render(full(levels=[level(*nats, measure=measure)])))
    outline(render(full(levels=[])))


def words(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page[page.index('id="units"') : page.index('id="traversals"')]))


def test_bars_of_a_kl_by_unit_sum_to_it() -> None:
    text = words(render(full()))
    assert "KL per unit nats" in text
    assert "3 of 8 units active · 5.001 nats in all" in text
    assert MEASURES["kl"] in text


def test_bars_that_are_no_parts_of_the_kl_are_not_summed() -> None:
    page = render(full(levels=[level(2.0, 1.5, 0.0, measure="matched")], metrics={"kl": {"value": 9.5}}))
    text = words(page)
    assert "against the matched Gaussian" in text
    assert "KL per unit" not in text
    assert "2 of 3 units active · the whole code's KL is 9.5 nats" in text
    assert "3.5" not in text
    assert MEASURES["matched"] in text


def test_without_a_measure_of_a_unit_what_moves_is_drawn() -> None:
    page = render(full(levels=[level(0.3, 0.002, measure=None)], metrics={"kl": {"value": 0.17}}))
    text = words(page)
    assert "What moves, by unit variance of the centre" in text
    assert "has no parts by unit" in text
    assert "1 of 2 units active · the whole code's KL is 0.17 nats" in text
    (data,) = (json.loads(str(a["data-bars"])) for _, a in outline(page).tags if a.get("data-bars"))
    assert data == {"word": "variance", "of": "unit", "units": [[0, 0.3, 1], [1, 0.002, 0]]}
    assert "threshold" in page.split("<body>")[1]


def test_of_a_code_that_may_be_turned_directions_are_shown_and_no_units() -> None:
    """One KL on the page, a definition beside the bars, directions from 1, and no unit anywhere."""
    shown = replace(pictures((8, 8)), traversal_units=["direction 1", "direction 2", "direction 3", "direction 4"])
    page = render(full(levels=[level(2.0, 1.5, 0.001, measure="direction")], pictures=shown))
    text = words(page)
    assert "Latent directions" in text
    assert "2 of 3 directions active · the whole code's KL is 5 nats" in text
    assert "3.501" not in text
    assert MEASURES["direction"] in text
    (data,) = (json.loads(str(a["data-bars"])) for _, a in outline(page).tags if a.get("data-bars"))
    assert data["of"] == "direction"
    assert [number for number, _, _ in data["units"]] == [1, 2, 3]
    moved = page[page.index('id="traversals"') : page.index('id="interpolation"')]
    assert "moved along one direction in each line of pictures" in moved
    assert "unit" not in moved
    assert "Active directions" in page
    assert "Active units" not in page


def test_a_unit_that_costs_more_than_one_in_use_is_explained() -> None:
    costly = UnitUsage("kl", [0.93, 0.94], [0.5, 0.001], [True, False])
    assert "says nothing about a row" in words(render(full(levels=[costly])))
    assert "says nothing about a row" not in words(render(full()))


def test_sections_of_tasks_stand_before_the_model() -> None:
    extra = Section(
        "spread",
        "Spread <b>",
        "A lead & more.",
        [
            Paragraph("Plain <i>words</i>."),
            Histogram([0.0, 0.1, 0.2, 5.0, math.nan], "Bound", "nats", of="page"),
            TableBlock(["Label", "Mean"], [("a<b", [Cell(-1234.5678, number=True)])], "Means"),
            Listing([Fact("depth", "3")]),
            Sheet(np.zeros((2, 3, 8, 8), np.uint8), "six black pictures"),
            Figure('<svg class="own"></svg>', "Drawn", note="by the task"),
            Details("More", [Code("x = 1")]),
            Remarks([Remark("good", "Fine", "All is well.")]),
        ],
    )
    page = render(full(), [extra])
    tags = outline(page).tags
    ids = [str(a["id"]) for t, a in tags if t == "section"]
    assert ids[ids.index("interpolation") :] == ["interpolation", "spread", "model", "run"]
    assert '<a href="#spread">Spread &lt;b&gt;</a>' in page
    text = page[page.index('id="spread"') : page.index('id="model"')]
    for part in ("Plain &lt;i&gt;words", "−1,235", '<svg class="own">', "All is well.", "x = 1", "six black pictures"):
        assert part in text
    assert "4 pages · median 0.15 · from 0 to 5" in text
    assert "1 value not finite" in text


@pytest.mark.parametrize(("name", "words"), [("map", "have the id 'map'"), ("Two words", "small letters")])
def test_an_id_that_links_cannot_use_is_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        render(full(), [Section(name, "Title", "Lead", [])])


@pytest.mark.parametrize(
    ("values", "heights"),
    [([0.0] * 4 + [1.0] * 2, 2), ([3.0] * 5, 1), ([float(i) for i in range(1000)], None)],
)
def test_a_histogram_draws_every_row(values: list[float], heights: int | None) -> None:
    figure = histogram.drawn(Histogram(values, "x"))
    bars = re.findall(r"v-([\d.]+)h", figure.drawing)
    assert 1 <= len(bars) <= histogram.MOST_BINS
    if heights is not None:
        assert len(bars) == heights
    if heights == 2:  # four rows stand twice as high as two
        assert float(bars[0]) == pytest.approx(2 * float(bars[1]), abs=0.2)


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, -math.inf]])
def test_a_histogram_of_nothing_says_so(values: list[float]) -> None:
    assert "no value" in histogram.drawn(Histogram(values, "x")).reading


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (8, 8, 1), (28, 20), (112, 92), (128, 128, 3)])
def test_grey_and_colour_pictures(shape: tuple[int, ...]) -> None:
    page = render(full(pictures=pictures(shape)))
    sources = [str(a["src"]) for t, a in outline(page).tags if t == "img"]
    assert len(sources) == 4
    for source in sources:
        image = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
        assert image.mode == ("RGBA" if shape[2:] == (3,) else "LA")
    assert len(page) < 1_500_000


def test_levels_of_a_hierarchy_are_shown_one_after_another() -> None:
    shown = replace(pictures((8, 8)), by_level=np.zeros((5, 4, 8, 8), np.uint8), level_counts=[1, 4, 9])
    page = render(full(pictures=shown))
    assert "What each level holds" in page
    for head in ("original", "1 level", "4 levels", "9 levels"):
        assert head in page
    assert "What each level holds" not in render(full())


def test_pictures_keep_their_pixels() -> None:
    given = pictures((8, 8))
    pairs = grids.pairs(given)
    assert pairs is not None
    grid = grids.encoded(pairs)
    assert given.originals is not None
    assert given.reconstructions is not None
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(grid.uri.split(",")[1]))))
    assert (sheet[:8, :8, 0] == given.originals[0]).all()
    assert (sheet[9:17, :8, 0] == given.reconstructions[0]).all()
    assert (sheet[8, :, 1] == 0).all()


@pytest.mark.parametrize(
    "broken", [np.zeros((0, 8, 8)), np.zeros(3), np.full((5, 8, 8), np.nan), np.zeros((2, 8, 8, 7))]
)
def test_odd_pictures_do_not_crash(broken: Any) -> None:
    outline(render(full(pictures=Pictures(broken, broken, broken, broken, broken))))


def test_tables() -> None:
    tables = Tables(["age", "work"], [[39, "State"], [50, None]], [[38.25, "Private"], [50.1, None]], [[1.5, "x"]])
    page = render(full(pictures=None, tables=tables))
    outline(page)
    assert '<td class=" odd">Private</td>' in page
    assert '<th scope="col" class="number">age</th>' in page
    assert page.count('<tr class="reconstruction">') == 2


def test_map_thins_drops_and_groups() -> None:
    points = np.random.default_rng(0).normal(size=(5000, 2))
    points[7] = np.nan
    page = render(full(latent_map=LatentMap(points, [f"label {i % 14}" for i in range(5000)])))
    outline(page)
    assert sum(d.count("M") for d in re.findall(r'class="dots [^"]*" data-name="[^"]*" d="([^"]*)"', page)) == 3000
    assert "4 other labels" in page
    assert "3,000 of 4,999 rows" in page


@pytest.mark.parametrize(
    "points", [np.zeros((0, 2)), np.zeros((1, 2)), np.full((3, 2), np.inf), np.zeros((4, 1)), np.zeros(0)]
)
def test_odd_maps(points: Any) -> None:
    outline(render(full(latent_map=LatentMap(points))))
    outline(render(full(latent_map=LatentMap(points, ["a"]))))


def test_size_limit() -> None:
    assert len(render(full(pictures=pictures((28, 28)))).encode()) < 1_500_000


def test_write_is_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    assert write(full(name="caf\udce9"), target) == target
    first = target.read_bytes()
    assert first.decode("utf-8").startswith("<!doctype html>")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(MachineError, match="No space"):
        write(full(), target)
    assert target.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
