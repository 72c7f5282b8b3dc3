"""The page of a map: whole and self-contained; and in a browser it draws, tells, lists, and decodes as Lambent does."""

import base64
import csv
import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pil

from lambent import Conv, DiscretizedLogistics, Elbo, Encoded, Fitted, Flat, Image, LatentModel, fit
from lambent.data import load
from lambent.report.map.page import render_map, write_map
from lambent.tasks.explore import decode
from lambent.tasks.map.layouts import Placed
from lambent.tasks.map.mapping import CodeMap, map_codes

ROWS = 60


def disks() -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Bright disks on the left or the right; each brightness is another, by which a row is known."""
    across, down = np.meshgrid(np.arange(16), np.arange(12))
    side = np.arange(ROWS) % 2
    bright = 60 + 3 * np.arange(ROWS)
    places = 4 + 7 * side
    far = (across[None] - places[:, None, None]) ** 2 + (down[None] - 6) ** 2
    return (bright[:, None, None] * (far < 14)).astype(np.uint8), np.where(side == 1, "right", "left")


def labelled() -> Encoded:
    pictures, labels = disks()
    rows = load(pictures, modality=Image())
    return replace(rows, labels=(labels == "right").astype(np.int64), label_names=["left", "right"])


@pytest.fixture(scope="module")
def trained() -> Fitted:
    rows = labelled()
    model = LatentModel(Flat(3), DiscretizedLogistics(), Conv((4, 8), 16))
    fit(model, Elbo(), rows, epochs=25, batch=20, learning_rate=3e-3, threads=1, device="cpu")
    return Fitted(model, rows.modality, {"name": "disks"})


@pytest.fixture(scope="module")
def made(trained: Fitted) -> CodeMap:
    return map_codes(trained, labelled(), samples=2, pictures=30)


@pytest.fixture(scope="module")
def page(made: CodeMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_map(made, tmp_path_factory.mktemp("map") / "map.html", "disks")


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def array(text: str, kind: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), kind)


# ---- the file ------------------------------------------------------------------------------------------------------------


def test_a_page_is_one_file_that_asks_for_nothing(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:|//|file:)|@import|fetch\(|XMLHttpRequest""", text)
    assert "default-src 'none'" in text


def test_points_codes_and_scores_are_in_the_page(made: CodeMap, page: Path) -> None:
    data = data_of(page.read_text())
    np.testing.assert_array_equal(array(data["points"], "<f4").reshape(-1, 2), made.placed.points)
    np.testing.assert_array_equal(array(data["codes"], "<f4").reshape(-1, 3), made.codes)
    assert [column["name"] for column in data["columns"]] == [
        "label",
        "bound of 2 samples",
        "elbo",
        "kl",
        "reconstruction",
    ]
    _, elbo, kl, lost = (array(column["values"], "<f8") for column in data["columns"][1:])
    np.testing.assert_allclose(elbo, -lost - kl, rtol=1e-4)
    assert data["columns"][0]["levels"] == ["left", "right"]


def test_small_pictures_are_the_rows_own(made: CodeMap, page: Path) -> None:
    sprites = data_of(page.read_text())["sprites"]
    assert "30 of 60 rows have their own small picture; the others show what the decoder makes" in page.read_text()
    sheet = np.asarray(Pil.open(io.BytesIO(base64.b64decode(sprites["uri"].split(",")[1]))))
    pictures, _ = disks()
    for place, row in enumerate(array(sprites["rows"], "<i4")):
        down, across = divmod(place, sprites["columns"])
        np.testing.assert_array_equal(sheet[12 * down : 12 * down + 12, 16 * across : 16 * across + 16], pictures[row])


def test_names_cannot_break_out_of_the_page(made: CodeMap) -> None:
    evil = "</script><script>alert(1)</script>"
    label = made.columns[0]
    text = render_map(replace(made, columns=[replace(label, levels=[evil, "&amp;"])]), name=evil)  # type: ignore[type-var]
    assert evil not in text
    assert text.count("<script") == 2
    assert data_of(text)["columns"][0]["levels"] == [evil, "&amp;"]


def test_the_same_map_is_the_same_page(trained: Fitted, made: CodeMap) -> None:
    again = map_codes(trained, labelled(), samples=2, pictures=30)
    assert render_map(again) == render_map(made)


# ---- in a browser --------------------------------------------------------------------------------------------------------


def canvas_of(browser: Any, of: str) -> NDArray[np.uint8]:
    """The pixels of a canvas as the page has them, [H, W, 4]."""
    uri = browser.ask(f"document.querySelector('{of}').toDataURL()")
    return np.asarray(Pil.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGBA"))


def text_of(browser: Any, of: str) -> str:
    return str(browser.ask(f"document.querySelector('{of}').textContent"))


def spot_of(browser: Any, row: int) -> tuple[float, float]:
    """Where a row stands in the window: its number is typed, and the page marks its point."""
    browser.ask(
        f"(() => {{ const r = document.getElementById('row'); r.value = {row}; r.dispatchEvent(new Event('change')); }})()"
    )
    browser.settle()
    x, y = browser.ask(
        "(() => { const b = document.querySelector('#marks .now').getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return x, y


def shown(browser: Any) -> NDArray[np.uint8]:
    browser.settle()
    return canvas_of(browser, "#picture")[..., 0]


def decoded(trained: Fitted, code: NDArray[np.float32]) -> NDArray[np.int64]:
    made = trained.pictures(decode(trained, [torch.from_numpy(np.asarray(code, np.float32)[None])]))
    return np.asarray(made)[0].astype(np.int64)


@pytest.mark.parametrize("how", ["#webgl", "#2d"])
def test_it_draws_every_point_in_the_colour_of_its_label(browser: Any, page: Path, made: CodeMap, how: str) -> None:
    browser.open(page, how)
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("data:", "about:"))] == [page.as_uri()]
    assert ("drawn by a 2-D canvas" if how == "#2d" else "drawn by WebGL.") in text_of(browser, "#drawn")
    x, y, *_ = browser.ask(
        "(() => { const b = document.getElementById('chart').getBoundingClientRect(); return [b.x, b.y]; })()"
    )
    points = canvas_of(browser, "#points")
    _, labels = disks()
    wanted = {"left": (0x3D, 0x63, 0xC9), "right": (0xD9, 0x9A, 0x00)}
    right = 0
    for row in range(0, ROWS, 5):
        across, down = spot_of(browser, row)
        seen = points[round(down - y), round(across - x)].astype(int)
        assert seen[3] > 100, f"nothing is drawn where row {row} stands"
        right += bool(np.abs(seen[:3] - wanted[labels[row]]).max() < 12)
    assert right >= 9  # a point may lie under one of the other side


def test_hovering_tells_the_row_under_the_pointer(browser: Any, page: Path, made: CodeMap) -> None:
    browser.open(page)
    pictures, labels = disks()
    points = made.placed.points
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(ROWS)
    lonely = np.argsort(-apart.min(1)).tolist()  # no other point lies over these
    own = next(row for row in lonely if row in made.pictured)
    without = next(row for row in lonely if row not in made.pictured)
    for row in (own, without):
        browser.mouse("mouseMoved", *spot_of(browser, row), button="none")
        browser.settle()
        told = text_of(browser, "#tip")
        assert f"row{row}label{labels[row]}" in told
        assert ("as the decoder makes it" in told) == (row == without)
        if row == own:
            np.testing.assert_array_equal(canvas_of(browser, "#tip canvas")[..., 0], pictures[row])


def test_a_click_takes_the_code_and_a_slider_changes_the_picture_to_what_lambent_decodes(
    browser: Any, page: Path, made: CodeMap, trained: Fitted
) -> None:
    browser.open(page)
    assert made.codes is not None
    assert int(browser.ask("document.getElementById('agreement').dataset.worst")) <= 1
    x, y = spot_of(browser, 7)
    browser.click(x, y)
    row = int(re.search(r"Row (\d+)", text_of(browser, "#of"))[1])  # type: ignore[index]
    code = made.codes[row].copy()
    before = shown(browser)
    assert np.abs(before - decoded(trained, code)).max() <= 1
    moved = 0
    for unit, value in ((0, -1.75), (1, 1.5), (2, 0.625)):
        browser.ask(
            f"(() => {{ const s = document.querySelector('#sliders input[data-unit=\"{unit}\"]'); s.value = {value};"
            "s.dispatchEvent(new Event('input')); })()"
        )
        code[unit] = value
        now = shown(browser)
        assert np.abs(now - decoded(trained, code)).max() <= 1
        moved = max(moved, int(np.abs(now.astype(int) - before).max()))
    assert moved > 20, "no slider changed the picture"


def test_shift_click_walks_between_two_rows(browser: Any, page: Path, made: CodeMap, trained: Fitted) -> None:
    browser.open(page)
    assert made.codes is not None
    spots = [spot_of(browser, row) for row in (2, 41)]
    browser.click(*spots[0])
    browser.click(*spots[1], modifiers=8)
    numbers = [int(n) for n in re.findall(r"row (\d+)", text_of(browser, "#ends"))]
    browser.ask(
        "(() => { const w = document.getElementById('way'); w.value = 0.25; w.dispatchEvent(new Event('input')); })()"
    )
    first, last = made.codes[numbers]
    assert "25 % of the way" in text_of(browser, "#of")
    assert np.abs(shown(browser) - decoded(trained, first + 0.25 * (last - first))).max() <= 1


def test_a_lasso_lists_its_rows_and_they_can_be_saved(browser: Any, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    x, y, w, h = browser.ask(
        "(() => { const b = document.getElementById('chart').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
    )
    every = [spot_of(browser, row) for row in range(ROWS)]
    browser.ask("document.getElementById('lasso').click()")
    half = x + w / 2
    corners = [(x + 2, y + 2), (half, y + 2), (half, y + h - 2), (x + 2, y + h - 2)]
    browser.mouse("mousePressed", *corners[0])
    for corner in corners[1:]:
        browser.mouse("mouseMoved", *corner, buttons=1)
    browser.mouse("mouseReleased", *corners[-1])
    browser.settle()
    inside = [row for row, (across, _) in enumerate(every) if across < half]
    assert 0 < len(inside) < ROWS
    assert text_of(browser, "#count") == f"{len(inside)} of {ROWS} rows"
    browser("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.ask("document.getElementById('save').click()")
    for _ in range(100):
        if (tmp_path / "rows.csv").exists():
            break
        time.sleep(0.05)
    saved = (tmp_path / "rows.csv").read_text()
    lines = list(csv.DictReader(io.StringIO(saved)))
    assert [int(line["row"]) for line in lines] == inside
    assert {line["label"] for line in lines} <= {"left", "right"}


def test_colour_by_a_score_has_a_ramp(browser: Any, page: Path) -> None:
    browser.open(page)
    before = canvas_of(browser, "#points")
    browser.ask(
        "(() => { const c = document.getElementById('colour'); c.value = 2; c.dispatchEvent(new Event('change')); })()"
    )
    browser.settle()
    assert "nats (from 1 % to 99 % of the rows)" in text_of(browser, "#legend")
    assert (canvas_of(browser, "#points") != before).any()


def test_it_is_light_or_dark_as_its_reader_wishes(browser: Any, page: Path) -> None:
    lights = []
    for scheme in ("light", "dark"):
        browser.open(page, scheme=scheme)
        seen = np.asarray(Pil.open(io.BytesIO(browser.photograph())).convert("L"))
        lights.append(float(np.median(seen)))
    assert lights[0] > 220
    assert lights[1] < 50


def test_a_hundred_thousand_points_are_drawn(browser: Any, made: CodeMap, tmp_path: Path) -> None:
    rows = 100_000
    points = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    many = replace(
        made,
        placed=Placed(points, ("across", "up"), "Noise."),
        rows=np.arange(rows),
        columns=[],
        pictures=None,
        codes=None,
        walker=None,
        why="The decoder does not run in this page: there is none.",
    )
    browser.open(write_map(many, tmp_path / "many.html"))
    assert browser.errors == []
    assert text_of(browser, "#drawn").startswith("100,000 points")
    assert (canvas_of(browser, "#points")[..., 3] > 0).mean() > 0.1
    assert "does not run in this page: there is none" in text_of(browser, ".why")
