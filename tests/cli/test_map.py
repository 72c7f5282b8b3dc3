"""lambent map: the file, what is told of it, and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def flat(lambent: Run, pictures: Path, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pictures with one vector of codes."""
    folder = tmp_path_factory.mktemp("runs") / "flat"
    done = lambent("train", pictures, "--latent.size=4", "--network=Mlp", "--epochs=2", *small, "--out", folder)
    assert done.status == 0, done.err
    return folder


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', path.read_text(), re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_page_with_its_decoder(lambent: Run, flat: Path, pictures: Path) -> None:
    done = lambent("map", flat, pictures, "--out", "page.html", "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["rows"] == 40
    assert told["decoder"] is True
    assert told["bytes"] == Path("page.html").stat().st_size
    data = data_of(Path("page.html"))
    assert [column["name"] for column in data["columns"][:2]] == ["file", "label"]
    assert data["columns"][1]["levels"] == ["left", "right"]
    assert data["walker"]["units"] == 4
    assert "<h1>flat</h1>" in Path("page.html").read_text()


def test_the_same_command_writes_the_same_bytes(lambent: Run, flat: Path, pictures: Path) -> None:
    for name in ("a.html", "b.html"):
        assert lambent("map", flat, pictures, "--out", name, "--layout", "tsne", "--limit", 20).status == 0
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()
    assert data_of(Path("a.html"))["rows"] == 20


def test_a_hierarchy_says_why_it_has_no_sliders(lambent: Run, image_run: Path, pictures: Path) -> None:
    done = lambent("map", image_run, pictures, "--out", "page.html")
    assert done.status == 0, done.err
    assert "note: the decoder does not run in this page: between the codes of its Ladder latent" in done.err
    assert "40 rows, without a decoder" in done.out + done.err
    assert data_of(Path("page.html"))["walker"] is None
    assert "between the codes of its Ladder latent" in Path("page.html").read_text()


def test_a_table(lambent: Run, table_run: Path, table: Path) -> None:
    done = lambent("map", table_run, table, "--out", "page.html")
    assert done.status == 0, done.err
    names = [column["name"] for column in data_of(Path("page.html"))["columns"]]
    assert names[-3:] == ["a", "b", "c"]
    assert {"label", "elbo"} <= set(names)


def test_refusals_leave_no_file(lambent: Run, flat: Path, pictures: Path) -> None:
    done = lambent("map", flat, pictures, "--out", "page.png")
    assert done.status == 2
    assert "it can end in .html" in done.complaint
    done = lambent("map", flat, pictures, "--out", "page.html", "--layout", "tsn")
    assert done.status == 2
    assert "tsne" in done.err
    Path("page.html").write_text("mine")
    done = lambent("map", flat, pictures, "--out", "page.html")
    assert done.status == 2
    assert "exists; add --force" in done.complaint
    assert Path("page.html").read_text() == "mine"
    assert not Path("page.png").exists()
