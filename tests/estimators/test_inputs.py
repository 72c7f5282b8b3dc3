"""What a user gives a VAE: columns by name, constant columns, counts, and errors that say what was given and what to do."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from lambent import VAE, DataError, DataWarning, Image, LambentError, LatentModel, Table, UsageError, fit, load
from lambent.errors import CellError
from lambent.fitted import Fitted

X = np.random.default_rng(0).normal([0, 50, -3], [1, 20, 0.1], (60, 3))
FRAME = pd.DataFrame(X, columns=["one", "two", "three"])
SMALL: dict[str, Any] = {"latent": 2, "network": {"type": "Mlp", "width": 8}, "epochs": 2}


def fitted(data: Any, **settings: Any) -> VAE:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return VAE(**SMALL | settings).fit(data)


@pytest.fixture(scope="module", params=["frame", "csv", "loaded", "run"])
def vae(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VAE:
    folder = tmp_path_factory.mktemp("run")
    FRAME.to_csv(folder / "x.csv", index=False)
    if request.param == "frame":
        return fitted(FRAME)
    of_file = fitted(str(folder / "x.csv"))
    if request.param == "csv":
        return of_file
    of_file.save(folder / "model.safetensors")
    if request.param == "run":  # as the command writes it: without an estimator's own record
        Fitted(of_file.model_, of_file.modality_).save(folder / "model.safetensors")
    return load(folder / "model.safetensors")


@pytest.mark.parametrize(
    "library", [lambda f: f, pl.from_pandas, pa.Table.from_pandas], ids=["pandas", "polars", "arrow"]
)
def test_columns_are_matched_by_name_in_any_order(vae: VAE, library: Any) -> None:
    expected = vae.score_samples(FRAME)
    turned = FRAME[["three", "one", "two"]]
    assert np.array_equal(vae.score_samples(library(turned)), expected)
    assert np.array_equal(vae.transform(library(turned)), vae.transform(FRAME))
    assert np.array_equal(vae.fitted_.rows(library(turned)).x, vae.fitted_.rows(FRAME).x)
    assert list(vae.feature_names_in_) == ["one", "two", "three"]
    assert vae.n_features_in_ == 3
    assert list(vae.reconstruct(turned).columns) == ["one", "two", "three"]


def test_missing_names_are_listed_each_with_the_nearest(vae: VAE) -> None:
    with pytest.raises(
        DataError, match=r"lacks 2 of 3 columns: 'two' \(there is 'tow'\), 'three' \(there is 'Three'\)"
    ):
        vae.score_samples(FRAME.rename(columns={"two": "tow", "three": "Three"}))


def test_other_columns_are_told_and_left_out(vae: VAE) -> None:
    with pytest.warns(
        DataWarning, match="2 columns that the model was not trained on are left out: extra, more"
    ) as told:
        scores = vae.score_samples(FRAME.assign(extra="text", more=1.0))
    assert np.array_equal(scores, vae.score_samples(FRAME))
    assert told[0].filename == __file__, "the warning stands at the user's line"


def test_arrays_are_matched_by_place_and_told(vae: VAE) -> None:
    with pytest.warns(DataWarning, match=r"no names of columns: its 3 were taken in the order .*'one', 'two', 'three'"):
        scores = vae.score_samples(X)
    assert np.array_equal(scores, vae.score_samples(FRAME))
    with pytest.raises(
        DataError, match=r"X has 2 features, but VAE is expecting 3 features as input.*'one', 'two', 'three'"
    ):
        vae.score_samples(X[:, :2])


def test_frames_for_a_model_of_arrays() -> None:
    vae = fitted(X)
    assert not hasattr(vae, "feature_names_in_")
    with pytest.warns(DataWarning, match="trained on rows without names"):
        scores = vae.score_samples(FRAME)
    assert np.array_equal(scores, vae.score_samples(X))
    numbered = pd.DataFrame(X)
    assert np.array_equal(vae.score_samples(numbered[[2, 0, 1]]), scores), "numbers are names, too"


def test_conditions_by_name() -> None:
    frame = FRAME.assign(kind=["u", "v", "w"] * 20)
    vae = fitted(frame, condition="kind")
    assert list(vae.feature_names_in_) == ["one", "two", "three"]
    scores = vae.score_samples(frame)
    assert np.array_equal(vae.score_samples(frame[["kind", "three", "two", "one"]]), scores)
    other = frame.assign(kind=np.roll(frame["kind"], 1))
    assert not np.array_equal(vae.score_samples(other), scores)
    with pytest.raises(DataError, match="these rows have no 'kind'"):
        vae.score_samples(FRAME)


def test_a_constant_column_adds_nothing() -> None:
    plain, flat = fitted(FRAME), FRAME.assign(flat=5.0)[["one", "flat", "two", "three"]]
    with pytest.warns(DataWarning, match=r"1 column is the same in every row, and left out of the model: flat"):
        vae = VAE(**SMALL).fit(flat)
    assert vae.score(flat) == plain.score(FRAME)
    assert list(vae.feature_names_in_) == ["one", "flat", "two", "three"]
    assert (vae.sample(4)["flat"] == 5).all()
    assert (vae.reconstruct(flat)["flat"] == 5).all()
    with pytest.warns(DataWarning, match=r"column 'flat' was 5 in every row .*row 60 is 6\. .*no score counts it"):
        vae.score_samples(flat.assign(flat=[5.0] * 59 + [6.0]))


def test_low_counts_get_their_likelihood_unless_another_is_chosen() -> None:
    rows = np.random.default_rng(0).negative_binomial(1, 0.3, (80, 4))
    with pytest.warns(DataWarning, match=r"low counts: .*NegativeBinomial"):
        vae = VAE(**SMALL).fit(rows)
    assert type(vae.model_.likelihood).__name__ == "NegativeBinomial"
    drawn = vae.sample(20)
    assert (drawn == drawn.astype(int)).all()
    assert (drawn >= 0).all()
    assert (vae.score_samples(rows) < 0).all(), "probabilities"
    assert fitted(rows, likelihood="Gaussian").modality_.scale == "standard"
    assert fitted(rows, likelihood="Poisson").modality_.scale == "none"


def test_booleans_and_bits_are_numbers() -> None:
    frame = FRAME.assign(b=[True, False] * 30, n=[0, 1] * 30)
    back = fitted(frame).reconstruct(frame)
    assert back.shape == (60, 5)
    assert back["b"].dtype == bool
    fitted(X > 0)
    fitted((X > 0).astype(object))


def test_text_categories_dates_and_gaps_are_taken() -> None:
    """Mixed frames go in and come out, their scores deterministic and finite; a row of other types is refused."""
    frame = FRAME.mask(FRAME > 80).assign(k=["u", None, "v"] * 20, t=TIMES, c=pd.Categorical(["x", "y"] * 30))
    vae = fitted(frame)
    scores = vae.score_samples(frame)
    assert np.isfinite(scores).all()
    assert np.array_equal(scores, vae.score_samples(frame[frame.columns[::-1]]))
    assert vae.transform(frame).shape == (60, 2)
    drawn = vae.sample(50)
    assert [str(t) for t in drawn.dtypes] == [str(t) for t in frame.dtypes]
    assert set(drawn["c"].dropna()) <= {"x", "y"}
    objects = np.array([[1.5, "a"], [2.5, "b"], [3.5, "a"]] * 10, object)
    assert fitted(objects).sample(4).shape == (4, 2)
    gaps = X.copy()
    gaps[3, 1] = np.nan
    assert np.isfinite(fitted(gaps).score_samples(gaps)).all()
    with pytest.raises(DataError, match=r"column 't', row 1: 'never' is no date"):
        vae.score_samples(frame.assign(t="never"))


TIMES = pd.date_range("2020", periods=60)
BAD: dict[str, tuple[Any, str]] = {
    "numbers and text": (FRAME.assign(k=[*range(59), "v"]), r"column 'k', row 60: 'v' is no number"),
    "an array of dates": (TIMES.to_numpy()[:, None], r"datetime64.*np\.timedelta64\(1, 'D'\)"),
    "only keys": (
        FRAME[[]].assign(k=[f"k{i}" for i in range(60)]),
        r"no columns are left to learn from \('k': every value is",
    ),
    "infinite": (np.where(X > 80, np.inf, X), r"column 'x1', row \d+: is infinite"),
    "strings": (np.array([["1", "2"], ["3", "4"]]), r"x\.astype\(float\)"),
    "complex": (X + 1j, r"np\.hstack\(\[x\.real, x\.imag\]\)"),
    "one axis": (X[:, 0], r"not the shape \(60,\)\. Reshape your data: x\.reshape\(-1, 1\)"),
    "no axis": (3.0, "a float is no table; a table has two axes"),
    "nothing": (None, "a NoneType is no table"),
    "no rows": (X[:0], r"has 0 rows and 3 columns"),
    "one row": (X[:1], r"there is 1 row to learn from .* at least 2"),
    "no columns": (X[:, :0], r"has 60 rows and 0 columns"),
    "ragged": ([[1, 2], [3]], "a ragged list is no table"),
    "two of one name": (FRAME.set_axis(["a", "b", "a"], axis=1), r"several columns are called 'a' \(columns 1 and 3\)"),
    "sparse": (sparse.csr_array(X), r"a sparse matrix is no table; give its dense form, matrix\.toarray\(\)"),
    "a dict of keys": (sparse.dok_array(X), "a sparse matrix is no table"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore::lambent.errors.DataWarning")
def test_errors_say_what_was_given_and_what_to_do(case: str) -> None:
    data, words = BAD[case]
    with pytest.raises(LambentError, match=words):
        VAE(**SMALL).fit(data)


def test_a_cell_of_another_type() -> None:
    rows = X.astype(object)
    rows[4, 1] = {"a": 1}
    with pytest.raises(CellError, match=r"column 'x1', row 5: \"\{'a': 1\}\" is a dict"):
        VAE(**SMALL).fit(rows)


def test_weights_of_rows_are_refused_with_a_way() -> None:
    for verb in (VAE().fit, VAE().partial_fit):
        with pytest.raises(UsageError, match="takes no sample_weight: every row counts once"):
            verb(X, sample_weight=np.ones(60))
    with pytest.raises(UsageError, match=r"fit takes no argument 'epochs'.*given to VAE"):
        VAE().fit(X, epochs=3)


@pytest.mark.parametrize("shape", [(50, 24, 3), (50, 3, 24), (50, 100, 6), (50, 100, 8), (50, 6, 6)])
def test_windows_of_a_series_are_asked_about(shape: tuple[int, ...], tmp_path: Path) -> None:
    series = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(
        DataError, match=rf"50 windows of {shape[1]} steps by {shape[2]} channels, or as many pictures of"
    ):
        VAE(**SMALL).fit(series)
    assert fitted(series.reshape(50, -1)).reconstruct(series.reshape(50, -1)).shape == (50, shape[1] * shape[2])


def test_pictures_stay_pictures() -> None:
    floats = np.random.default_rng(0).random((30, 24, 3))
    with pytest.raises(DataError, match="24 steps by 3 channels"):
        VAE(**SMALL).fit(floats)
    assert isinstance(fitted(floats, modality="Image").modality_, Image)
    for shape in ((30, 9, 7), (30, 8, 8), (30, 6, 6), (30, 28, 28), (30, 3, 8, 8)):
        assert isinstance(fitted(np.random.default_rng(0).random(shape)).modality_, Image), shape
    assert isinstance(fitted(X).modality_, Table)


def test_fit_of_frames_and_objects() -> None:
    def trained(rows: Any) -> None:
        model = LatentModel(likelihood="Gaussian", network={"type": "Mlp", "width": 4})
        fit(model, "Elbo", rows, epochs=1)

    trained(X.astype(object))
    for rows, words in (
        (FRAME.assign(k="u"), r"column 'k', row 1: 'u' is no number"),
        (FRAME.assign(t=TIMES), r"column 't', row 1: '2020-01-01.00:00:00.*' is no number"),
        (np.array([[1, "a"]], object), r"column 'x1', row 1: 'a' is no number"),
        (sparse.csr_array(X), r"give its dense form, matrix\.toarray\(\)"),
        (None, "a NoneType holds no rows"),
    ):
        with pytest.raises(DataError, match=words):
            trained(rows)
