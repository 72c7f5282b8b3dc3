"""lambent probe and lambent cluster: what codes are good for, from a run."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lambent import load
from lambent.cli.reading.labels import source_of

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def heaps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three heaps far apart with their names, a number that belongs to each, and one that belongs to nothing."""
    path = tmp_path_factory.mktemp("data") / "heaps.csv"
    random = np.random.default_rng(0)
    centres = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "kind", "size"])
        for i in range(240):
            of = (0, 0, 1, 2)[i % 4]
            numbers = centres[of] + 0.4 * random.normal(size=3)
            size = 10 * of + random.normal()
            writer.writerow([*numbers.round(4), ("ape", "bee", "cow")[of], f"{size:.3f}"])
    return path


@pytest.fixture(scope="module")
def run(lambent: Run, heaps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "heaps"
    done = lambent(
        "train", heaps, "--data.label=kind", "--data.drop=size", "--epochs=60", "--learning-rate=0.005",
        "--latent.size=2", "--latent.prior=Mixture",
        "--model.members=1", "--network.width=16", "--network.depth=1", "--samples=2", "--rows=20", "--precision=fp32",
        "--batch=16", "--likelihood=Gaussian", "--out", folder,
    )  # fmt: skip
    assert done.status == 0, done.err
    return folder


def test_probe_tells_a_label_from_codes_and_what_stands_beside(lambent: Run, run: Path, heaps: Path) -> None:
    page = run.parent / "probe.html"
    done = lambent("probe", run, heaps, "--few=1,10", "--epochs=30", "--json", "--report", page)
    assert done.status == 0, done.err
    for words in (
        "What codes tell of label",
        "on 60 rows, learned from 180",
        "Codes above the rest",
        "autoencoder",
    ):
        assert words in page.read_text()
    assert "--force" in lambent("probe", run, heaps, "--report", page).complaint
    found = json.loads(done.out)
    assert list(found["spaces"]) == ["codes", "data", "PCA", "autoencoder"]
    assert found["classes"] == ["ape", "bee", "cow"]
    assert found["rows"] == {"learned": 180, "tested": 60}
    assert found["spaces"]["data"]["linear"]["value"] == 1
    assert found["spaces"]["codes"]["neighbours"]["value"] > 0.9
    assert set(found["spaces"]["codes"]["few"]) == {"1", "10"}
    told = lambent("probe", run, heaps, "--few=1", "--no-autoencoder")
    assert told.status == 0, told.err
    assert "1 a class" in told.out
    assert "accuracy of label on 60 rows, learned from 180" in told.out
    assert "codes above PCA:" in told.out
    assert "autoencoder" not in told.out


def test_probe_tells_a_number_that_lies_in_a_column_of_its_own(lambent: Run, run: Path, heaps: Path) -> None:
    done = lambent("probe", run, heaps, "--label=size", "--no-autoencoder", "--few=1")
    assert done.status == 0, done.err
    assert "R² of size" in done.out
    found = json.loads(lambent("probe", run, heaps, "--label=size", "--no-autoencoder", "--json").out)
    assert found["measure"] == "R²"
    assert found["spaces"]["data"]["linear"]["value"] > 0.9
    assert found["spaces"]["codes"]["neighbours"]["value"] > 0.8


def test_probe_of_the_runs_own_rows_learns_from_those_of_its_training(lambent: Run, run: Path, heaps: Path) -> None:
    done = lambent("probe", run, "--test", heaps, "--no-autoencoder", "--few=1", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["rows"]["tested"] == 240
    assert found["rows"]["learned"] < 240
    few = lambent("probe", run, "--no-autoencoder", "--few=1")
    assert few.status == (0 if 240 - found["rows"]["learned"] >= 20 else 3)


def test_cluster_writes_the_cluster_of_each_row_and_the_centres(lambent: Run, run: Path, heaps: Path) -> None:
    done = lambent("cluster", run, heaps, "-o", "rows.csv", "--prototypes", "centres.csv", "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["by"] == "prior"
    assert told["agreement"]["accuracy"] > 0.7  # two Gaussians may share the largest heap
    assert all(one["share"] > 0.95 for one in told["clusters"] if one["label"])
    assert told["files"] == ["rows.csv", "centres.csv"]
    rows = list(csv.DictReader(Path("rows.csv").read_text().splitlines()))
    assert list(rows[0]) == ["row", "label", "cluster", "probability", "stands_for"]
    assert len(rows) == 240
    right = np.mean([row["label"] == row["stands_for"] for row in rows])
    share = sum(one["rows"] * one["share"] for one in told["clusters"]) / 240
    assert right == pytest.approx(share)
    assert right >= told["agreement"]["accuracy"]  # for which each label has one cluster at most
    centres = list(csv.DictReader(Path("centres.csv").read_text().splitlines()))
    assert {row["cluster"] for row in centres} == {row["cluster"] for row in rows}
    assert {"a", "b", "c"} <= set(centres[0])
    assert lambent("cluster", run, heaps, "-o", "rows.csv").complaint.endswith("choose another name")


@pytest.mark.parametrize("by", ["mixture", "kmeans"])
def test_cluster_finds_the_number_of_clusters_of_codes(lambent: Run, run: Path, heaps: Path, by: str) -> None:
    done = lambent("cluster", run, heaps, "--by", by, "--label=label", "-o", "rows.csv", "--report", "page.html")
    assert done.status == 0, done.err
    for words in ("Clusters", "stands for", "adjusted Rand index", "How many"):
        assert words in Path("page.html").read_text()
    assert "the lowest BIC of 1 to" in done.out
    assert "beside label of 240 rows: accuracy" in done.out
    three = json.loads(lambent("cluster", run, heaps, "--by", by, "--clusters=3", "-o", "3.csv", "--json").out)
    assert len(three["clusters"]) == 3
    assert three["bic"] == {}


def test_cluster_of_pictures_draws_the_centres(lambent: Run, image_run: Path, pictures: Path) -> None:
    done = lambent(
        "cluster", image_run, pictures, "--clusters=2", "-o", "rows.csv", "--prototypes", "centres.png", "--by=kmeans",
        "--report=page.html",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "What the decoder makes of the centre of each" in Path("page.html").read_text()
    with Image.open("centres.png") as sheet:
        assert sheet.size in ((12, 12), (12, 22), (22, 12))  # a gap, a picture of 8, a gap, and so on
    assert "left" in Path("rows.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("probe", "RUN", "DATA", "--label=a"), "the model was trained on that column"),
        (("probe", "RUN", "DATA", "--label=sise"), "size"),
        (("probe", "RUN", "DATA", "--held=2"), "share between 0 and 1"),
        (("probe", "RUN", "DATA", "--few=a"), "whole numbers from 1"),
        (("probe", "RUN", "DATA", "--as=words"), "classes"),
        (("cluster", "RUN", "DATA", "-o", "r.csv", "--by=gmm"), "mixture"),
        (("cluster", "RUN", "DATA", "-o", "r.csv", "--by=kmean"), "did you mean 'kmeans'"),
        (("cluster", "RUN", "DATA", "-o", "r.csv", "--by=manifold"), "need their number"),
        (("cluster", "RUN", "DATA", "-o", "r.csv", "--clusters=99"), "Gaussians, and 99 clusters"),
        (("cluster", "RUN", "DATA", "-o", "r.csv", "--label=size"), "is a number"),
        (("cluster", "RUN", "DATA", "-o", "r.csv", "--prototypes=c.png"), "are no pictures"),
        (("cluster", "RUN", "DATA", "-o", "r.doc"), "cannot be written as"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    lambent: Run, run: Path, heaps: Path, arguments: tuple[str, ...], told: str
) -> None:
    named = {"RUN": run, "DATA": heaps}
    done = lambent(*(named.get(word, word) for word in arguments))
    assert done.status in (2, 3)
    assert told in done.complaint


def test_refine_joint_trains_all_of_it_on_and_is_repeated_by_its_configuration(
    lambent: Run, run: Path, heaps: Path
) -> None:
    flags = ("--prior=Mixture", "--prior.components=3", "--epochs=2", "--batch=16", "--precision=fp32")
    done = lambent(
        "refine", run, *flags, "--joint=2", "--begin=kmeans", "--objective.beta=0.5", "--out", "joint", "--json"
    )
    assert done.status == 0, done.err
    old, new = (load(folder).fitted_ for folder in (run, Path("joint")))
    assert new.provenance["refined"]["joint"] == 2
    assert new.provenance["refined"]["begin"] == "kmeans"
    assert new.provenance["refined"]["objective"]["beta"] == 0.5
    assert new.provenance["objective"]["beta"] == 0.5  # what the model was trained by last
    assert lambent("refine", "--config", "joint/config.yaml", "--joint=0", "--out", "alone").status == 0
    assert (
        "did you mean 'kmeans'" in lambent("refine", run, "--prior=Mixture", "--begin=kmean", "--out", "no").complaint
    )
    assert "--joint EPOCHS" in lambent("refine", run, "--objective.beta=2", "--out", "no").complaint
    assert "--objective.beta" in lambent("refine", "--objective", "Elbo", "--help").out
    pairs = zip(old.model.decoder.parameters(), new.model.decoder.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)
    assert "All of it then learned on together, 2 epochs" in Path("joint/report.html").read_text()
    assert lambent("refine", "--config", "joint/config.yaml", "--out", "again").status == 0
    again = load("again").fitted_.model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in new.model.state_dict().items())
    assert json.loads(lambent("cluster", "joint", heaps, "-o", "r.csv", "--json").out)["by"] == "prior"


@pytest.mark.parametrize(
    ("test", "split", "read"),
    [
        ("test", None, "test"),
        ("test", "train", "train"),
        (0.1, None, "train"),
        (0.1, "test", "train"),
        (0.1, "valid", "valid"),
    ],
)
def test_a_label_is_read_from_the_split_that_its_rows_are_of(test: object, split: str | None, read: str) -> None:
    provenance = {"request": {"source": "set", "split": "train", "test": test, "limit": None}}
    assert source_of(provenance, None, split) == ("set", read)
