"""Single cells: every form of counts that is read, what is left out and told, what is refused, and genes by name."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import io as scipy_io
from scipy import sparse

import lambent
from lambent.data import encode_like, load, load_parted
from lambent.data.catalog.cache import own_folder
from lambent.data.kinds.cells import Cells
from lambent.data.kinds.genes import variances
from lambent.data.loading import guess
from lambent.data.sparse import SparseRows
from lambent.errors import ArtifactError, DataError, MachineError, UsageError
from lambent.model import LatentModel
from lambent.objectives import Elbo
from lambent.training.fitting import fit

anndata = pytest.importorskip("anndata", reason="anndata is not installed: pip install 'lambent[cells]'")
h5py = pytest.importorskip("h5py")
pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The 'future.infer_string'"
)

COUNT, GENES = 60, 12
COUNTS = np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.5, 2, (COUNT, GENES)) + 0.05)
NAMES = [f"Gene{i}" for i in range(GENES)]
CELLS = [f"c{i}" for i in range(COUNT)]
TYPES = np.array(["glia", "neuron"])[np.arange(COUNT) % 2]


def made(values: np.ndarray = COUNTS, genes: list[str] = NAMES, **layers: np.ndarray) -> Any:
    rows = len(values)
    obs = pandas.DataFrame(
        {"type": pandas.Categorical(TYPES[:rows]), "batch": np.arange(rows) % 3, "age": np.linspace(0, 1, rows)},
        index=CELLS[:rows],
    )
    adata = anndata.AnnData(sparse.csr_matrix(values), obs=obs, var=pandas.DataFrame(index=genes))
    for name, layer in layers.items():
        adata.layers[name] = layer
    return adata


def _named(rows: Any) -> list[str]:
    return [] if rows.names is None else rows.names.tolist()


def write_h5ad(folder: Path) -> Path:
    made().write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


def write_10x(folder: Path) -> Path:
    """As Cell Ranger 3 writes it: genes × cells in compressed columns, and one feature that is an antibody."""
    path, matrix = folder / "filtered.h5", sparse.csr_matrix(np.c_[COUNTS, np.full(COUNT, 9)])
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name, values in (("data", matrix.data), ("indices", matrix.indices), ("indptr", matrix.indptr)):
            group[name] = values
        group["shape"] = np.array([GENES + 1, COUNT])
        group["barcodes"] = [name.encode() for name in CELLS]
        group["features/name"] = [name.encode() for name in [*NAMES, "CD3"]]
        group["features/id"] = [b"id"] * (GENES + 1)
        group["features/feature_type"] = [b"Gene Expression"] * GENES + [b"Antibody Capture"]
    return path


def write_old_10x(folder: Path) -> Path:
    path, matrix = folder / "old.h5", sparse.csr_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        group = file.create_group("GRCh38")
        for name, values in (("data", matrix.data), ("indices", matrix.indices), ("indptr", matrix.indptr)):
            group[name] = values
        group["shape"], group["barcodes"] = np.array([GENES, COUNT]), [name.encode() for name in CELLS]
        group["gene_names"] = [name.encode() for name in NAMES]
    return path


def write_mtx(folder: Path, gzipped: bool = False) -> Path:
    within = folder / f"mtx{gzipped}"
    within.mkdir()
    scipy_io.mmwrite(within / "matrix.mtx", sparse.coo_matrix(COUNTS.T), field="integer")
    lists = {"barcodes.tsv": CELLS, "features.tsv": [f"id{i}\t{name}\tGene Expression" for i, name in enumerate(NAMES)]}
    for name, lines in lists.items():
        (within / name).write_text("\n".join(lines) + "\n")
    for path in list(within.iterdir()) if gzipped else []:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return within


def write_npz(folder: Path) -> Path:
    matrix = sparse.csr_matrix(COUNTS)
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
    np.savez(folder / "parts.npz", **parts, genes=NAMES, cells=CELLS, Y=np.arange(COUNT) % 2)
    return folder / "parts.npz"


def write_by_columns(folder: Path) -> Path:
    sparse.save_npz(folder / "columns.npz", sparse.csc_matrix(COUNTS))
    return folder / "columns.npz"


def write_csv(folder: Path) -> Path:
    pandas.DataFrame(COUNTS, index=CELLS, columns=NAMES).to_csv(folder / "counts.csv", index_label="cell")
    return folder / "counts.csv"


WRITERS = {
    "h5ad": write_h5ad, "10x": write_10x, "old 10x": write_old_10x, "mtx": write_mtx,
    "mtx.gz": lambda folder: write_mtx(folder, True), "npz": write_npz, "csc npz": write_by_columns,
}  # fmt: skip


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_is_guessed_and_read_alike(tmp_path: Path, form: str) -> None:
    path = WRITERS[form](tmp_path)
    for source in (path, str(path)):
        rows = load(source)
        assert isinstance(rows.modality, Cells)
        assert isinstance(rows.x, SparseRows)
        np.testing.assert_array_equal(rows.x.numpy(), COUNTS)
        assert rows.x.dtype == torch.float32
    if form != "csc npz":
        assert rows.modality.names == NAMES
        assert _named(rows) == CELLS


def test_a_csv_file_is_of_cells_where_that_is_said(tmp_path: Path) -> None:
    rows = load(write_csv(tmp_path), modality="Cells")
    np.testing.assert_array_equal(rows.x.numpy(), COUNTS)
    assert isinstance(rows.modality, Cells)
    assert rows.modality.names == NAMES
    assert _named(rows) == CELLS


@pytest.mark.parametrize("form", [made, lambda: sparse.csr_array(COUNTS), lambda: sparse.coo_matrix(COUNTS)])
def test_objects_in_memory_are_read_and_left_as_they_are(form: Any) -> None:
    source = form()
    before = source.copy()
    rows = load(source, modality="Cells")
    np.testing.assert_array_equal(rows.x.numpy(), COUNTS)
    held, again = (each.X if hasattr(each, "X") else each for each in (source, before))
    np.testing.assert_array_equal(held.toarray(), again.toarray())


def test_a_sparse_matrix_is_cells_only_where_that_is_said() -> None:
    """It may count anything, words for one; AnnData hold cells."""
    assert isinstance(guess(made()), Cells)
    assert not isinstance(guess(sparse.csr_array(COUNTS)), Cells)


def test_labels_and_conditions_are_columns_of_obs() -> None:
    rows = load(made(), modality={"type": "Cells", "label": "type", "condition": ["batch"]})
    assert rows.label_names == ["glia", "neuron"]
    assert rows.labels is not None
    assert rows.labels.tolist() == (np.arange(COUNT) % 2).tolist()
    assert rows.context is not None
    assert rows.context.shape == (COUNT, 3)
    with pytest.raises(UsageError, match=r"has no column 'typ' beside the cells.*type"):
        load(made(), modality={"type": "Cells", "label": "typ"})
    with pytest.raises(UsageError, match=r"'bath'.*batch"):
        load(made(), modality={"type": "Cells", "condition": ["bath"]})


def test_a_layer_of_counts_is_found_where_X_holds_none() -> None:
    normalized = made(np.log1p(COUNTS), counts=COUNTS)
    rows = load(normalized)
    np.testing.assert_array_equal(rows.x.numpy(), COUNTS)
    assert rows.source["notices"]["from_layer"] == 1
    with pytest.raises(UsageError, match="has no layer 'count'"):
        load(normalized, modality={"type": "Cells", "layer": "count"})
    with pytest.raises(DataError, match="counts are whole numbers"):
        load(normalized, modality={"type": "Cells", "layer": "X"})


def test_raw_has_genes_of_its_own() -> None:
    adata = made(np.log1p(COUNTS[:, :4]), NAMES[:4])
    adata.raw = made()
    rows = load(adata)
    np.testing.assert_array_equal(rows.x.numpy(), COUNTS)


# ---- reliability -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-1.0, "counts are not negative"),
        (0.5, "counts are whole numbers"),
        (np.nan, "whole"),
        (np.inf, "whole"),
        (2.0**25, "at most"),
    ],
)
def test_D29_what_is_no_count_is_refused_by_cell_and_gene(value: float, why: str) -> None:
    """A negative, fractional, missing, infinite or huge value is refused with its cell, its gene, and where counts may lie."""
    counts = COUNTS.astype(np.float64)
    counts[7, 3] = value
    with pytest.raises(DataError, match=rf"cell 7 \(c7\), gene Gene3: .*{why}.*layer"):
        load(made(counts))


def test_D29_normalized_data_are_refused_with_how_many_are_at_fault() -> None:
    """Log-normalized values are refused, and it is said that others are none either."""
    with pytest.raises(DataError, match=r"and [\d,]+ others are none either.*not normalized"):
        load(made(np.log1p(COUNTS)))


def test_D29_explicit_zeros_change_nothing_and_are_told() -> None:
    """Noughts that are stored as if they were counts are dropped and told; the rows are the same to the bit."""
    matrix = sparse.csr_matrix(COUNTS)
    matrix.data[:5] = 0
    clean = sparse.csr_matrix(matrix.toarray())
    rows, other = (load(each, modality="Cells") for each in (matrix, clean))
    assert rows.source["notices"]["stored_zeros"] == 5
    assert rows.source["sha256"] == other.source["sha256"]
    assert isinstance(rows.x, SparseRows)
    assert len(rows.x.stored) == clean.nnz


def test_D29_values_that_are_stored_twice_are_added() -> None:
    """A place of a matrix that is stored twice holds the sum."""
    twice = sparse.coo_matrix((np.array([1, 2, 4]), ([0, 0, 1], [1, 1, 2])), shape=(2, 3))
    assert load(twice, modality={"type": "Cells", "least_cells": 0}).x.tolist() == [[0, 3, 0], [0, 0, 4]]


def test_D29_empty_cells_and_genes_are_left_out_and_told() -> None:
    """Cells and genes without a count are left out and told, the others keep number and label; nothing left is refused."""
    counts = COUNTS.copy()
    counts[[3, 9]], counts[:, 5] = 0, 0
    rows = load(made(counts), modality={"type": "Cells", "label": "type"})
    assert rows.x.shape == (COUNT - 2, GENES - 1)
    assert rows.source["notices"] == {"cells_left_out": 2, "rare_genes": 1}
    assert rows.numbers is not None
    assert set(range(COUNT)) - set(rows.numbers.tolist()) == {3, 9}
    assert rows.labels is not None
    assert rows.labels.tolist() == [i % 2 for i in range(COUNT) if i not in (3, 9)]
    with pytest.raises(DataError, match="no cell has 1 counts"):
        load(made(np.zeros_like(COUNTS)))
    with pytest.raises(DataError, match="no gene is found in 100 cells"):
        load(made(), modality={"type": "Cells", "least_cells": 100})


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_D29_names_that_genes_share_are_numbered() -> None:
    """Genes of one name are told apart by a number, and told."""
    rows = load(made(genes=["A", "A", *NAMES[2:]]))
    assert isinstance(rows.modality, Cells)
    assert rows.modality.names[:3] == ["A", "A-1", "Gene2"]
    assert rows.source["noticed"]["repeated_genes"] == ["A"]


@pytest.mark.parametrize("form", ["h5ad", "10x", "mtx", "mtx.gz", "npz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_D29_files_that_are_cut_short_are_refused(tmp_path: Path, form: str, share: float) -> None:
    """A file of any form that ends early is refused by its name."""
    path = WRITERS[form](tmp_path)
    file = next(path.glob("matrix.mtx*")) if path.is_dir() else path
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(DataError, match=file.name.split(".")[0]):
        load(path, modality="Cells")


def _parts(**changed: Any) -> dict[str, Any]:
    matrix = sparse.csr_matrix(COUNTS)
    return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape} | changed


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"indices": sparse.csr_matrix(COUNTS).indices + 5}, "beyond its 12 columns"),
        ({"indices": sparse.csr_matrix(COUNTS).indices - 1}, "beyond its 12 columns"),
        ({"indptr": np.zeros(COUNT + 1, int)}, "does not lead through"),
        ({"shape": (10**12, GENES)}, "no parts of one sparse matrix"),
        ({"shape": np.array([COUNT])}, "no shape of two numbers|damaged"),
        ({"data": np.array(["a"])}, "no parts of one sparse matrix"),
        ({"genes": np.array(["a"])}, "names 1 genes for 12"),
    ],
)
def test_D29_parts_that_do_not_fit_together_are_refused(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    """Parts of a sparse matrix that lead beyond it, or claim more than is there, are refused before anything is taken."""
    np.savez(tmp_path / "bad.npz", **_parts(**changed))
    with pytest.raises(DataError, match=why):
        load(tmp_path / "bad.npz")


def test_D29_a_matrix_that_claims_what_it_does_not_hold_is_refused(tmp_path: Path) -> None:
    """A header that claims 900 million entries in a small file is refused before they are allocated."""
    folder = write_mtx(tmp_path)
    lines = (folder / "matrix.mtx").read_text().splitlines()
    head = next(i for i, line in enumerate(lines) if not line.startswith("%"))
    lines[head] = f"{GENES} {COUNT} 900000000"
    (folder / "matrix.mtx").write_text("\n".join(lines))
    with pytest.raises(DataError, match="claims 900,000,000 entries"):
        load(folder)


def test_lists_beside_a_matrix_are_asked_for(tmp_path: Path) -> None:
    folder = write_mtx(tmp_path)
    (folder / "features.tsv").unlink()
    with pytest.raises(DataError, match=r"has no features\.tsv"):
        load(folder)


def test_a_missing_library_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    path, real = write_h5ad(tmp_path), importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name in ("anndata", "h5py"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MachineError, match=r"pip install 'lambent\[cells\]'"):
        load(path, modality=Cells())


# ---- later data ------------------------------------------------------------------------------------------------------


def test_later_genes_are_matched_by_name_in_any_order() -> None:
    modality = load(made()).modality
    order = np.random.default_rng(0).permutation(GENES)
    moved = made(np.c_[COUNTS[:, order], np.ones(COUNT, int)], [*(NAMES[i] for i in order), "another"])
    np.testing.assert_array_equal(encode_like(modality, moved).x.numpy(), COUNTS)


def test_missing_genes_are_refused_or_taken_as_never_found() -> None:
    less = made(COUNTS[:, 1:], ["gene1", *NAMES[2:]])
    with pytest.raises(DataError, match=r"lacks 2 of 12 genes: Gene0.*, Gene1 \(there is gene1\).*absent=nought"):
        encode_like(load(made()).modality, less)
    rows = encode_like(load(made(), modality={"type": "Cells", "absent": "nought"}).modality, less)
    np.testing.assert_array_equal(rows.x.numpy(), np.c_[np.zeros((COUNT, 2)), COUNTS[:, 2:]])
    assert rows.source["noticed"]["absent_genes"] == ["Gene0", "Gene1"]


def test_data_without_names_are_taken_by_place_and_told() -> None:
    rows = encode_like(load(made()).modality, sparse.csr_array(COUNTS))
    np.testing.assert_array_equal(rows.x.numpy(), COUNTS)
    assert rows.source["notices"]["by_position"] == 1
    with pytest.raises(DataError, match="13 genes without names, the model knows 12"):
        encode_like(load(made()).modality, sparse.csr_array(np.c_[COUNTS, COUNTS[:, 0]]))


def test_the_genes_that_vary_most_are_those_that_depth_does_not_explain() -> None:
    generator = np.random.default_rng(0)
    depth = generator.lognormal(0, 0.6, (400, 1))
    rates = np.tile(generator.gamma(2, 1, 20), (400, 1))
    rates[:200, 4] *= 6
    rates[200:, 11] *= 6
    counts = generator.poisson(depth * rates)
    rows = load(sparse.csr_array(counts), modality={"type": "Cells", "genes": 2})
    assert isinstance(rows.modality, Cells)
    assert rows.modality.names == ["gene4", "gene11"]
    residuals = variances(sparse.csr_array(counts))
    share, total = counts.sum(0) / counts.sum(), counts.sum(1, keepdims=True)
    mean = share * total
    by_hand = ((counts - mean) / np.sqrt(mean + mean**2 / 100)).clip(-20, 20).var(0)
    np.testing.assert_allclose(residuals, by_hand)


def test_the_modality_comes_back_from_its_state_and_refuses_a_damaged_one() -> None:
    modality = load(made(), modality={"type": "Cells", "label": "type", "genes": 5}).modality
    again = Cells.from_spec(modality.spec()).restore(json.loads(json.dumps(modality.state())))
    assert again.state() == modality.state()
    assert torch.equal(encode_like(again, made()).x.dense(), encode_like(modality, made()).x.dense())
    for state in ({}, modality.state() | {"genes": []}, modality.state() | {"genes": ["a", "a"]}):
        with pytest.raises(ArtifactError, match="the stored state of Cells is damaged"):
            Cells().restore(state)


def test_decoded_cells_are_what_was_read() -> None:
    rows = load(made())
    decoded = rows.modality.decode(rows.x)
    assert list(decoded.var_names) == NAMES
    np.testing.assert_array_equal(decoded.X.toarray(), COUNTS)
    plain = load(sparse.csr_array(COUNTS), modality="Cells")
    assert isinstance(plain.modality.decode(plain.x), np.ndarray)


# ---- training --------------------------------------------------------------------------------------------------------


def _trained(x: Any) -> LatentModel:
    model = LatentModel(latent={"type": "Flat", "size": 2}, network={"type": "Mlp", "width": 8, "depth": 1},
                        likelihood={"type": "NegativeBinomial", "library": "observed"})  # fmt: skip
    fit(model, Elbo(), x, epochs=3, seed=5, batch=16, validation=0.2)
    return model


def test_sparse_rows_train_to_the_same_bits_as_dense_ones() -> None:
    rows = load(made())
    ours, theirs = _trained(rows.x), _trained(rows.x.dense())
    for name, weights in ours.state_dict().items():
        assert torch.equal(weights, theirs.state_dict()[name]), name


def test_held_out_cells_are_numbered_as_in_the_data() -> None:
    counts = COUNTS.copy()
    counts[2] = 0
    kept, held = load_parted(made(counts), 0.25)
    for part in (kept, held):
        assert isinstance(part.x, SparseRows)
        assert part.numbers is not None
        np.testing.assert_array_equal(part.x.numpy(), counts[part.numbers])
        assert _named(part) == [CELLS[i] for i in part.numbers]


def test_no_passage_makes_all_cells_dense_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load(sparse.csr_array(np.tile(COUNTS, (40, 1))), modality="Cells")
    largest: list[int] = []
    dense = SparseRows.dense

    def watched(self: SparseRows, out: Any = None) -> Any:
        largest.append(len(self))
        return dense(self, out)

    monkeypatch.setattr(SparseRows, "dense", watched)
    monkeypatch.setattr("lambent.data.splitting.PIECE", 4 * GENES * 500)
    monkeypatch.setattr("lambent.model.likelihoods.base.PIECE", GENES * 500)
    model = lambent.VAE(latent=2, network={"type": "Mlp", "width": 8}, epochs=1, validation=0.1).fit(rows)
    model.transform(rows)
    assert max(largest) <= 1100  # 1,000 rows to start from, of 2,400


def test_worm_neurons_are_there_by_name(real: Path) -> None:
    assert own_folder() is not None
    rows = load("worm-neurons")
    assert rows.x.shape == (4186, 13_488)
    assert len(np.unique(rows.labels)) == 10
    assert rows.source["licence"].startswith("Apache-2.0")
