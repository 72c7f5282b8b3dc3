"""Single cells by the command: shown, trained on, and what is found of them written into the file that they came in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from lambent.cli import main

anndata = pytest.importorskip("anndata", reason="anndata is not installed: pip install 'lambent[cells]'")
pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The 'future.infer_string'"
)

COUNT, GENES, EMPTY = 140, 15, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cells.h5ad: two types in two batches, an empty cell, columns and codes of others; and a run that was trained on it."""
    folder, random = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    kind, batch = random.integers(0, 2, COUNT), random.integers(0, 2, COUNT)
    rates = random.gamma(1, 1, (2, GENES))[kind] * np.exp(random.normal(0, 1, (2, GENES)))[batch]
    counts = random.poisson(100 * rates / rates.sum(1, keepdims=True))
    counts[EMPTY] = 0
    obs = {"type": pandas.Categorical(np.array(["glia", "neuron"])[kind]), "batch": np.array(["A", "B"])[batch]}
    cells = anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=pandas.DataFrame(obs, index=[f"c{i}" for i in range(COUNT)]),
        var=pandas.DataFrame({"chromosome": range(GENES)}, index=[f"g{i}" for i in range(GENES)]),
    )
    cells.obsm["X_pca"], cells.uns["note"] = random.normal(size=(COUNT, 2)), "kept"
    cells.write_h5ad(folder / "cells.h5ad")
    asked = ["--data.label", "type", "--condition", "batch", "--epochs", "40", "--seed", "1", "--quiet"]
    assert main(["train", str(folder / "cells.h5ad"), "--out", str(folder / "run"), *asked]) == 0
    return folder


def written(folder: Path, verb: str, *more: str, name: str = "out.h5ad", data: bool = True) -> Any:
    out = folder / name
    rows = [str(folder / "cells.h5ad")] if data else []
    assert main([verb, str(folder / "run"), *rows, "-o", str(out), "--force", *more]) == 0
    return anndata.read_h5ad(out) if name.endswith(".h5ad") else pandas.read_csv(out)


def test_a_look_tells_what_lambent_makes_of_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", str(folder / "cells.h5ad"), "--data.label", "type"]) == 0
    said = capsys.readouterr().out
    for words in ("Cells", "1 cell with too few counts is left out", "counts of a cell", "2: glia", "NegativeBinomial"):
        assert words in said


def test_codes_are_added_to_all_that_the_file_has(folder: Path) -> None:
    found, before = written(folder, "embed"), anndata.read_h5ad(folder / "cells.h5ad")
    assert found.obsm["X_lambent"].shape == (COUNT, 10)
    assert np.flatnonzero(np.isnan(found.obsm["X_lambent"]).any(1)).tolist() == [EMPTY]
    np.testing.assert_array_equal(found.X.toarray(), before.X.toarray())
    np.testing.assert_array_equal(found.obsm["X_pca"], before.obsm["X_pca"])
    assert found.uns["note"] == "kept"
    pandas.testing.assert_frame_equal(found.obs, before.obs)
    pandas.testing.assert_frame_equal(found.var, before.var)
    table = written(folder, "embed", name="codes.csv")
    assert table["name"].tolist() == [name for i, name in enumerate(before.obs_names) if i != EMPTY]
    np.testing.assert_allclose(
        np.delete(found.obsm["X_lambent"], EMPTY, 0), table.filter(like="z").to_numpy(), atol=1e-5
    )


@pytest.mark.slow  # it compiles for most of a minute
def test_scanpy_takes_the_file_without_conversion(folder: Path) -> None:
    scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed")
    found = written(folder, "embed")
    found = found[~np.isnan(found.obsm["X_lambent"]).any(1)].copy()
    scanpy.pp.neighbors(found, use_rep="X_lambent", n_neighbors=5)
    assert found.obsp["connectivities"].shape == (COUNT - 1, COUNT - 1)


def test_expression_under_one_batch_is_a_layer(folder: Path) -> None:
    under = {batch: written(folder, "reconstruct", "--given", f"batch={batch}") for batch in "AB"}
    before = anndata.read_h5ad(folder / "cells.h5ad")
    batch = np.delete(before.obs["batch"].to_numpy(), EMPTY)
    for found in under.values():
        assert found.shape == (COUNT - 1, GENES)
        assert found.layers["lambent"].shape == found.shape
        assert (found.layers["lambent"] >= 0).all()
        np.testing.assert_array_equal(found.X.toarray(), np.delete(before.X.toarray(), EMPTY, 0))
    apart = np.abs(under["A"].layers["lambent"] - under["B"].layers["lambent"]).mean()
    assert apart > 0.2  # the batch has an effect
    own = np.where((batch == "A")[:, None], under["A"].layers["lambent"], under["B"].layers["lambent"])
    shares = under["A"].X.toarray() / under["A"].X.toarray().sum(1, keepdims=True)
    both = [np.abs(m / m.sum(1, keepdims=True) - shares).mean() for m in (own, under["A"].layers["lambent"])]
    assert both[0] < both[1]  # and the cells' own batch tells their counts better


def test_new_cells_are_counts_with_names_of_genes(folder: Path) -> None:
    found = written(folder, "sample", "-n", "30", "--given", "batch=A", data=False)
    assert found.shape == (30, GENES)
    assert list(found.var_names) == [f"g{i}" for i in range(GENES)]
    values = found.X.toarray()
    assert (values == np.rint(values)).all()
    assert values.sum() > 0


def test_scores_and_flags_are_columns_of_obs(folder: Path) -> None:
    found = written(folder, "score", "--samples", "4")
    assert np.flatnonzero(found.obs["lambent_bound"].isna()).tolist() == [EMPTY]
    table = written(folder, "score", "--samples", "4", name="scores.csv")
    np.testing.assert_allclose(found.obs["lambent_bound"].dropna(), table["bound"], rtol=1e-5)
    odd = written(folder, "detect", name="odd.h5ad")
    assert {"lambent_score", "lambent_flagged"} <= set(odd.obs.columns)
    assert np.isfinite(odd.obs["lambent_score"].drop("c4")).all()


def test_files_of_cells_are_for_models_of_cells(
    folder: Path, table_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(table_run), "-o", str(folder / "x.h5ad")]) == 2
    assert ".h5ad" in capsys.readouterr().err
