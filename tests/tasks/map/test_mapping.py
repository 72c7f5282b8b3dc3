"""The map itself: layouts of known codes, what is told of rows, and models that have no decoder for a page."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import lambent
from lambent import Fitted, Flat, Image, LatentModel, Mlp, Point
from lambent.data import load
from lambent.errors import MachineError, UsageError
from lambent.model.likelihoods import Likelihood
from lambent.model.posteriors import Absent
from lambent.tasks.explore import encode
from lambent.tasks.map import columns, mapping
from lambent.tasks.map.columns import Names, Numbers
from lambent.tasks.map.layouts import LAYOUTS, pca, tsne
from lambent.tasks.map.mapping import CodeMap, map_codes
from lambent.tasks.score import scored


def groups(rows: int = 40) -> tuple[Tensor, np.ndarray]:
    """Codes of two heaps far apart, and which heap each belongs to."""
    which = np.arange(rows) % 2
    codes = torch.randn(rows, 5, generator=torch.Generator().manual_seed(0))
    codes[:, 2] += 40.0 * torch.from_numpy(which)
    return codes, which


def together(points: np.ndarray, which: np.ndarray) -> float:
    """The share of rows whose nearest other row is of their own heap."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    return float((which[apart.argmin(1)] == which).mean())


def model_of(raw: object, likelihood: str = "Gaussian", members: int = 1, **parts: object) -> tuple[Fitted, object]:
    rows = load(raw, modality=parts.pop("modality", None))
    latent = Flat(parts.pop("size", 3), **parts)  # type: ignore[arg-type]
    model = LatentModel(latent, Likelihood.from_spec(likelihood), Mlp(8, 1), members=members)
    return Fitted(model.setup(rows.modality.event, rows.x).eval(), rows.modality), rows


def column(made: CodeMap, name: str) -> Numbers | Names:
    return next(each for each in (*made.columns, *made.values) if each.name == name)


# ---- layouts -------------------------------------------------------------------------------------------------------------


def test_principal_components_of_codes_whose_variances_are_known() -> None:
    """Variances 9, 4 and 0.25 along three axes, at right angles."""
    angles = torch.arange(60) * 2 * torch.pi / 60
    codes = torch.stack([0.5 * (2 * angles).sin(), 3 * angles.cos(), 2 * angles.sin()], 1)
    placed = pca(codes, 0)
    assert placed.axes == ("component 1, 67.9 % of the variance", "component 2, 30.2 % of the variance")
    assert "98.1 %" in placed.how
    np.testing.assert_allclose(np.abs(placed.points), codes[:, 1:].abs().numpy(), atol=1e-5)


def test_codes_that_are_all_the_same_have_a_map() -> None:
    assert np.isfinite(pca(torch.ones(5, 3), 0).points).all()


def test_codes_of_one_unit_lie_on_a_line() -> None:
    points = pca(torch.arange(5.0).unsqueeze(1), 0).points
    np.testing.assert_allclose(points[:, 1], 0)
    np.testing.assert_allclose(np.abs(np.diff(points[:, 0])), 1, rtol=1e-5)


def test_neighbours_stay_together_and_a_seed_repeats() -> None:
    codes, which = groups()
    placed = tsne(codes, 3)
    assert together(placed.points, which) == 1
    np.testing.assert_array_equal(placed.points, tsne(codes, 3).points)
    assert "perplexity 13" in placed.how


def test_a_code_of_one_unit_and_a_large_seed_are_laid_out_by_neighbours() -> None:
    which = np.arange(2).repeat(20)
    placed = tsne(torch.from_numpy(100 * which + np.linspace(0, 1, 40)).unsqueeze(1), 2**40)
    assert together(placed.points, which) == 1


@pytest.mark.slow
def test_neighbours_stay_together_in_umap() -> None:
    pytest.importorskip("umap")
    codes, which = groups(80)
    assert together(LAYOUTS["umap"](codes, 0).points, which) == 1


def test_umap_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(
        MachineError, match=r"UMAP is not installed: pip install 'lambent\[map\]', or take --layout tsne"
    ):
        LAYOUTS["umap"](torch.zeros(10, 3), 0)


def test_too_few_rows_have_no_neighbours() -> None:
    with pytest.raises(UsageError, match="3 are too few: take the layout pca"):
        tsne(torch.zeros(3, 2), 0)


def test_an_unknown_layout_is_told_the_nearest() -> None:
    fitted, rows = model_of(np.random.default_rng(0).normal(size=(9, 3)))
    with pytest.raises(UsageError, match=r"no layout is called 'tsn'.*tsne"):
        map_codes(fitted, rows, layout="tsn")


# ---- what is told of rows ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    made = pd.DataFrame({
        "pay": random.normal(3000, 500, 30).round(2),
        "job": random.choice(["cook", "nurse"], 30),
        "ok": random.random(30) < 0.5,
        "age": random.integers(20, 60, 30).astype(float),
    })  # fmt: skip
    made.loc[3, "age"] = np.nan
    return made


def of_table(frame: pd.DataFrame) -> CodeMap:
    vae = lambent.VAE(2, epochs=1, network=Mlp(8, 1), precision="fp32", threads=1, device="cpu").fit(frame)
    return map_codes(vae, frame, samples=2)


def test_a_table_has_its_own_cells_and_says_why_it_has_no_sliders(frame: pd.DataFrame) -> None:
    made = of_table(frame)
    assert made.walker is None
    assert made.why == "The decoder does not run in this page: its rows are no pictures: sliders move pictures alone."
    pay, job, age = (column(made, name) for name in ("pay", "job", "age"))
    assert isinstance(pay, Numbers)
    assert isinstance(age, Numbers)
    assert isinstance(job, Names)
    np.testing.assert_allclose(pay.values, frame["pay"], atol=0.006)
    np.testing.assert_array_equal(np.isnan(age.values), frame["age"].isna())
    assert [job.levels[i] for i in job.places] == frame["job"].tolist()
    ok = column(made, "ok")
    assert isinstance(ok, Names)
    assert [ok.levels[i] for i in ok.places] == [str(value) for value in frame["ok"]]


def test_columns_that_are_left_out_are_counted(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST_COLUMNS", 2)
    made = of_table(frame)
    assert [each.name for each in made.values] == ["pay", "job"]
    assert made.notes == ["The first 2 of 4 columns are here; the map is of all."]


def test_scores_are_those_of_lambent_score() -> None:
    fitted, rows = model_of(np.random.default_rng(0).normal(size=(9, 3)))
    made = map_codes(fitted, rows, samples=4, seed=5)
    found = scored(fitted, fitted.rows(rows, 5), 4, 5)
    bound = column(made, "bound of 4 samples")
    assert isinstance(bound, Numbers)
    np.testing.assert_array_equal(bound.values, found.bound.double().numpy())
    assert {each.unit for each in made.columns if isinstance(each, Numbers)} == {"nats"}


def test_an_autoencoder_has_a_reconstruction_and_no_bound() -> None:
    fitted, rows = model_of(np.random.default_rng(0).normal(size=(9, 3)), posterior=Point())
    assert [each.name for each in map_codes(fitted, rows).columns] == ["reconstruction"]


def test_labels_are_names_even_where_they_are_numbers_and_stand_in_order() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (12, 5, 5), dtype=np.uint8)
    fitted, rows = model_of(pictures, modality=Image())
    labels = np.array([10, 9, 2] * 4)
    made = map_codes(fitted, replace(rows, labels=labels))  # type: ignore[type-var]
    label = column(made, "label")
    assert isinstance(label, Names)
    assert label.levels == ["2", "9", "10"]
    assert [label.levels[i] for i in label.places] == [str(n) for n in labels]


def test_rows_keep_their_numbers_in_the_data() -> None:
    fitted, rows = model_of(np.random.default_rng(0).normal(size=(9, 3)))
    numbered = replace(rows, numbers=np.arange(9) * 7 + 3)  # type: ignore[type-var]
    np.testing.assert_array_equal(map_codes(fitted, numbered).rows, np.arange(9) * 7 + 3)


# ---- pictures and decoders -----------------------------------------------------------------------------------------------


def test_large_pictures_are_made_small_by_means() -> None:
    pictures = np.zeros((6, 96, 192), np.uint8)
    pictures[:, :, :96] = 200
    pictures[::2, ::4] = 40
    fitted, rows = model_of(pictures, modality=Image())
    made = map_codes(fitted, rows, samples=1)
    assert made.pictures is not None
    assert made.pictures.shape == (6, 24, 48)
    np.testing.assert_array_equal(made.pictures[1, :, :24], 200)
    np.testing.assert_array_equal(made.pictures[0, :, :24], (3 * 200 + 40) // 4)


def test_no_pictures_are_kept_where_none_are_asked_for() -> None:
    fitted, rows = model_of(np.random.default_rng(0).integers(0, 256, (6, 5, 5), dtype=np.uint8), modality=Image())
    made = map_codes(fitted, rows, pictures=0)
    assert made.pictures is None
    assert made.notes == []


def test_codes_are_those_that_lambent_embeds_and_too_many_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, rows = model_of(np.random.default_rng(0).integers(0, 256, (6, 5, 5), dtype=np.uint8), modality=Image())
    made = map_codes(fitted, rows)
    assert made.codes is not None
    np.testing.assert_array_equal(made.codes, encode(fitted, fitted.rows(rows).x)[0].numpy())
    monkeypatch.setattr(mapping, "NUMBERS", 10)
    less = map_codes(fitted, rows)
    assert less.codes is None
    assert less.walker is not None
    assert less.notes == ["The codes of 6 rows of 3 units are too many to be set by a click."]


def test_an_ensemble_has_no_one_decoder() -> None:
    fitted, rows = model_of(
        np.random.default_rng(0).integers(0, 256, (6, 5, 5), dtype=np.uint8), members=2, modality=Image()
    )
    assert "an ensemble of 2 members" in map_codes(fitted, rows).why


def test_a_model_without_an_encoder_is_refused() -> None:
    fitted, rows = model_of(np.random.default_rng(0).normal(size=(9, 3)), posterior=Absent())
    with pytest.raises(UsageError, match="encoder"):
        map_codes(fitted, rows)
