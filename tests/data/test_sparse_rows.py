"""Rows in compressed form stand wherever rows of a tensor do, and give the same bits."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent.data.batches import InMemory, as_tensor
from lambent.data.sparse import SparseRows, bytes_of, resident
from lambent.data.splitting import digest, row_hashes

ROWS, WIDTH = 50, 30


@pytest.fixture
def dense() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.poisson(torch.full((ROWS, WIDTH), 0.2), generator)


@pytest.fixture
def rows(dense: Tensor) -> SparseRows:
    starts = torch.cat((torch.zeros(1, dtype=torch.int64), (dense > 0).sum(1).cumsum(0)))
    return SparseRows(dense[dense > 0], (dense > 0).nonzero()[:, 1].int(), starts, WIDTH)


@pytest.mark.parametrize(
    "key",
    [
        slice(3, 9), slice(None, 7), slice(None, None, 3), slice(60, 70), torch.tensor([4, 4, -1]), np.array([1, 2]), [3, 4],
        torch.arange(ROWS) % 2 == 0,
    ],
)  # fmt: skip
def test_chosen_rows_stay_compressed(rows: SparseRows, dense: Tensor, key: object) -> None:
    chosen = rows[key]  # type: ignore[index]
    assert isinstance(chosen, SparseRows)
    assert chosen.shape == dense[key].shape  # type: ignore[index]
    assert torch.equal(chosen.dense(), dense[key])  # type: ignore[index]


def test_all_else_is_that_of_the_dense_rows(rows: SparseRows, dense: Tensor) -> None:
    assert isinstance(rows, Tensor)
    assert (rows.shape, rows.dtype, rows.device, len(rows)) == (dense.shape, dense.dtype, dense.device, ROWS)
    for asked in (rows.log1p(), torch.log1p(rows), rows.to("cpu").log1p(), rows[:].log1p()):
        assert torch.equal(asked, dense.log1p())
    assert torch.equal(rows[3], dense[3])
    assert torch.equal(rows[:, 3], dense[:, 3])
    assert torch.equal(torch.cat(rows.split(20)), dense)
    np.testing.assert_array_equal(np.asarray(rows), dense.numpy())
    assert digest(rows) == digest(dense)
    assert row_hashes(rows) == row_hashes(dense)
    assert as_tensor(rows) is rows
    assert bytes_of(rows) < bytes_of(dense) / 2


def test_the_same_seed_gives_the_same_batches_and_fingerprint(rows: SparseRows, dense: Tensor) -> None:
    device = torch.device("cpu")
    ours, theirs = (InMemory(x, 16, 3, device) for x in (rows, dense))
    assert isinstance(ours.x, SparseRows)
    assert ours.fingerprint() == theirs.fingerprint()
    for number in range(2):
        for one, other in zip(ours.epoch(number), theirs.epoch(number), strict=True):
            assert type(one[0]) is Tensor
            assert torch.equal(one[0], other[0])


def test_rows_stay_compressed_where_they_are_put(rows: SparseRows) -> None:
    assert isinstance(resident(rows, torch.device("cpu")), SparseRows)
    assert repr(rows).startswith("SparseRows(50 × 30")
