"""lambent.Cells on AnnData: what it writes, which genes it finds, whom it takes for two, what it says of batches."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import lambent
from lambent.errors import ArtifactError, DataWarning, UsageError
from lambent.metrics.mixing import bras
from lambent.tasks.expression.kinds import Kinds

anndata = pytest.importorskip("anndata", reason="anndata is not installed: pip install 'lambent[cells]'")
pandas = pytest.importorskip("pandas")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The 'future.infer_string'"
)

COUNT, GENES, RAISED = 500, 100, 10


def made(seed: int = 0) -> Any:
    """Two kinds of cells in two batches; ten genes are four times as frequent in the second, thirty in the other batch."""
    rng = np.random.default_rng(seed)
    kind, batch = rng.integers(2, size=COUNT), (rng.random(COUNT) < 0.4).astype(int)
    rates = np.tile(rng.gamma(0.6, size=GENES) + 0.2, (COUNT, 1))
    rates[kind == 1, :RAISED] *= 4
    rates[batch == 1, 40:70] *= 2.5
    depth = rng.lognormal(6.5, 0.4, size=(COUNT, 1))
    counts = rng.poisson(depth * rates / rates.sum(1, keepdims=True))
    names = np.array(["liver", "nerve"])[kind]
    obs = pandas.DataFrame(
        {
            "batch": np.array(["first", "second"])[batch],
            "kind": names,
            "told": np.where(rng.random(COUNT) < 0.3, names, None),
        },
        index=[f"cell{i}" for i in range(COUNT)],
    )
    var = pandas.DataFrame(index=[f"gene{i}" for i in range(GENES)])
    return anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


@pytest.fixture(scope="module")
def adata() -> Any:
    return made()


@pytest.fixture(scope="module")
def cells(adata: Any) -> lambent.Cells:
    return lambent.Cells(4, condition="batch", label="told", epochs=60).fit(adata)


def test_codes_and_expression_are_written_into_the_anndata(adata: Any, cells: lambent.Cells) -> None:
    np.testing.assert_allclose(adata.obsm["X_lambent"], cells.transform(adata), rtol=1e-5, atol=1e-5)
    assert adata.obsm["X_lambent"].shape == (COUNT, 4)
    np.testing.assert_allclose(adata.layers["lambent_normalized"].sum(1), 1e4, rtol=1e-4)
    assert adata.X.sum() == made().X.sum()  # the counts are as they were


@pytest.mark.slow
def test_scanpy_reads_what_is_written(adata: Any, cells: lambent.Cells) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed")
        scanpy.pp.neighbors(adata, use_rep="X_lambent", n_neighbors=10)
        scanpy.tl.rank_genes_groups(adata, "kind", layer="lambent_normalized", groups=["nerve"], reference="liver")
    connected = adata.obsp["connectivities"]
    same = adata.obs["kind"].to_numpy()[:, None] == adata.obs["kind"].to_numpy()
    assert connected.multiply(same).sum() > 0.95 * connected.sum()
    found = {str(name) for name in adata.uns["rank_genes_groups"]["names"]["nerve"][:RAISED]}
    assert len(found & {f"gene{i}" for i in range(RAISED)}) >= 8


def test_codes_are_free_of_batches_and_hold_kinds(adata: Any, cells: lambent.Cells) -> None:
    codes = cells.transform(adata)
    kinds, batches = adata.obs["kind"].to_numpy(), adata.obs["batch"].to_numpy()
    log_shares = np.log1p(1e4 * adata.X.toarray() / adata.X.sum(1))
    unmixed = np.linalg.svd(log_shares - log_shares.mean(0), full_matrices=False)[0][:, :4]
    assert bras(unmixed, kinds, batches) < 0.55
    assert bras(codes, kinds, batches) > 0.7
    assert bras(codes, batches, kinds) < 0.6


def test_expression_as_if_of_one_batch(adata: Any, cells: lambent.Cells) -> None:
    """Genes that the second batch has more of are as frequent in all cells, once these are taken for the first's."""
    second = (adata.obs["batch"] == "second").to_numpy()
    own = cells.normalized(adata)
    as_first = cells.normalized(adata, given={"batch": "first"})
    assert own[second, 40:70].sum() / second.sum() > 1.4 * own[~second, 40:70].sum() / (~second).sum()
    ratio = (as_first[second, 40:70].sum() / second.sum()) / (as_first[~second, 40:70].sum() / (~second).sum())
    assert abs(ratio - 1) < 0.1
    np.testing.assert_allclose(as_first[~second], own[~second], rtol=1e-5)
    assert cells.normalized(adata, samples=3).shape == own.shape


def test_genes_that_differ_are_found_and_others_are_not(adata: Any, cells: lambent.Cells) -> None:
    found = cells.differential_expression(adata, "kind", "nerve", "liver")
    raised = {f"gene{i}" for i in range(RAISED)}
    assert set(found.index[:RAISED]) == raised
    assert found.is_de.loc[list(raised)].all()
    assert found.is_de.sum() <= RAISED + 4
    assert (found.bayes_factor.iloc[:RAISED] > 3).all()
    np.testing.assert_allclose(found.log2_fold.loc[list(raised)], 2.0, atol=0.5)
    assert ((found.low <= found.log2_fold) & (found.log2_fold <= found.high)).all()
    assert found.expected_fdr.is_monotonic_increasing
    swapped = cells.differential_expression(adata, "kind", "liver", "nerve")
    np.testing.assert_allclose(swapped.log2_fold.loc[list(raised)], -2.0, atol=0.5)


def test_a_group_beside_itself_differs_in_nothing(adata: Any, cells: lambent.Cells) -> None:
    half = np.arange(COUNT) % 2 == 0
    found = cells.differential_expression(adata, group1=half, group2=np.flatnonzero(~half), change=0.5)
    assert found.is_de.sum() == 0
    assert found.probability.median() < 0.1


def test_kinds_of_cells_are_told_where_they_are_not_known(adata: Any, cells: lambent.Cells) -> None:
    unknown = adata.obs["told"].isna().to_numpy()
    assert unknown.mean() > 0.5
    assert (cells.predict(adata) == adata.obs["kind"])[unknown].mean() > 0.97
    np.testing.assert_allclose(cells.predict_proba(adata).sum(1), 1)
    assert cells.classes_ == ["liver", "nerve"]


def test_two_cells_measured_as_one_look_more_like_two(adata: Any, cells: lambent.Cells) -> None:
    rng = np.random.default_rng(5)
    with_two = adata.copy()
    kind, batch = with_two.obs["kind"].to_numpy(), with_two.obs["batch"].to_numpy()
    first = rng.choice(np.flatnonzero(kind == "liver"), 20, replace=False)
    partners = [rng.choice(np.flatnonzero((kind == "nerve") & (batch == batch[i]))) for i in first]
    counts = with_two.X.tolil()
    counts[first] = (adata.X[first] + adata.X[partners]).tolil()
    with_two.X = counts.tocsr()
    scores = cells.doublet_scores(with_two)
    two = np.isin(np.arange(COUNT), first)
    assert ((scores >= 0) & (scores <= 1)).all()
    above = (scores[two][:, None] > scores[~two]).mean()  # the area under the ROC curve
    assert above > 0.8


def test_cells_come_back_from_their_file(adata: Any, cells: lambent.Cells, tmp_path: Path) -> None:
    path = cells.save(tmp_path / "cells.safetensors")
    again = lambent.load(path)
    assert isinstance(again, lambent.Cells)
    np.testing.assert_array_equal(again.transform(adata), cells.transform(adata))
    np.testing.assert_array_equal(again.predict(adata), cells.predict(adata))
    assert again.genes_ == [f"gene{i}" for i in range(GENES)]
    assert again.condition == "batch"


def test_genes_that_vary_most_give_a_frame(adata: Any) -> None:
    some = adata.copy()
    few = lambent.Cells(2, genes=30, epochs=2, likelihood="NegativeBinomial").fit(some)
    frame = some.obsm["lambent_normalized"]
    assert list(frame.columns) == few.genes_
    assert frame.shape == (COUNT, 30)
    assert "lambent_normalized" not in some.layers


def test_empty_cells_are_left_out_and_get_nothing(adata: Any) -> None:
    some = adata[:60].copy()
    counts = some.X.tolil()
    counts[7] = 0
    some.X = counts.tocsr()
    with pytest.warns(DataWarning, match="too few counts"):
        lambent.Cells(2, epochs=1).fit(some)
    assert np.isnan(some.obsm["X_lambent"][7]).all()
    assert np.isfinite(np.delete(some.obsm["X_lambent"], 7, 0)).all()


def test_sparse_matrices_and_arrays_are_taken_too(adata: Any) -> None:
    model = lambent.Cells(2, epochs=1).fit(adata.X)
    np.testing.assert_allclose(model.transform(adata.X), model.transform(adata.X.toarray()))
    assert np.isfinite(model.score(adata.X))


def test_what_cannot_be_asked_is_refused(adata: Any, cells: lambent.Cells) -> None:
    with pytest.raises(UsageError, match="nerve"):
        cells.differential_expression(adata, "kind", "nerves")
    with pytest.raises(UsageError, match="no column"):
        cells.differential_expression(adata, "sort", "nerve")
    with pytest.raises(UsageError, match="which group"):
        cells.differential_expression(adata, "kind")
    with pytest.raises(UsageError, match="fdr"):
        cells.differential_expression(adata, "kind", "nerve", fdr=5)
    with pytest.raises(UsageError, match="holds no cells"):
        cells.differential_expression(adata, group1=np.zeros(COUNT, bool))
    plain = lambent.Cells(2, epochs=1, likelihood="Poisson").fit(adata)
    with pytest.raises(UsageError, match='library="observed"'):
        plain.normalized(adata)
    with pytest.raises(UsageError, match="label"):
        plain.predict(adata)
    with pytest.raises(UsageError, match="another kind of data"):
        lambent.Cells(modality=lambent.data.Table()).fit(adata)
    with pytest.raises(ArtifactError, match="damaged"):
        Kinds.restored({"levels": ["a"], "centre": [0.0]})


# ---- labels that few cells have ------------------------------------------------------------------------------------


def test_labels_of_some_cells_name_the_others(tmp_path: Path) -> None:
    """As scANVI: a kind of cells that one in ten has, with a word for none; kinds in obs, probabilities in obsm."""
    chance = np.random.default_rng(0)
    kind = chance.integers(2, size=300)
    rates = np.tile(chance.gamma(0.6, size=40) + 0.2, (300, 1))
    rates[kind == 1, :8] *= 5
    names = np.array(["liver", "nerve"], object)[kind]
    told = np.where(chance.random(300) < 0.1, names, "Unknown")
    adata = anndata.AnnData(
        chance.poisson(10 * rates).astype(np.float32),
        obs=pandas.DataFrame(
            {"told": told, "batch": chance.choice(["s", "t"], 300)}, index=[f"c{i}" for i in range(300)]
        ),
    )
    cells = lambent.Cells(
        2,
        condition="batch",
        labels="told",
        unlabelled="Unknown",
        network={"type": "Mlp", "width": 32},
        epochs=30,
        batch=32,
    )
    cells.fit(adata)
    assert cells.classes_ == ["liver", "nerve"]
    assert (cells.predict(adata) == names).mean() > 0.95
    assert list(adata.obs["lambent_label"]) == list(cells.predict(adata))
    frame = adata.obsm["lambent_probabilities"]
    assert list(frame.columns) == ["liver", "nerve"]
    np.testing.assert_allclose(frame.sum(1), 1, atol=1e-5)
    again = lambent.load(cells.save(tmp_path / "cells.lambent"))
    np.testing.assert_array_equal(again.predict(adata), cells.predict(adata))
    with pytest.raises(UsageError, match="leave one out"):
        lambent.Cells(2, label="told", labels="told").fit(adata)
