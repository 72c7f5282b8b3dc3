"""Measures of mixing where their values are known."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from lambent.errors import UsageError
from lambent.metrics.mixing import bras, ilisi, kbet, kbet_by_label, lisi


def cells(shift: float, count: int = 400, batches: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two kinds of cells, far apart, in batches that lie `shift` from each other, at right angles to the kinds."""
    rng = np.random.default_rng(0)
    labels, batch = rng.integers(2, size=count), rng.integers(batches, size=count)
    codes = rng.normal(size=(count, 4))
    codes[:, 0] += 40 * labels - 20
    codes[:, 1] += shift * batch
    return codes, labels, batch


def test_bras_of_two_batches_is_scikits_silhouette() -> None:
    """Of two batches the others are one: 1 − |s| by label, s as scikit-learn has it."""
    codes, labels, batch = cells(3.0)
    own = [
        (1 - np.abs(silhouette_samples(codes[labels == kind], batch[labels == kind], metric="euclidean"))).mean()
        for kind in (0, 1)
    ]
    assert bras(codes, labels, batch, metric="euclidean") == pytest.approx(np.mean(own), rel=1e-9)


def test_bras_by_hand() -> None:
    """Three batches on a line at 0, 1 and 3, two cells each at the same place: a = 0, so that s = 1 whatever b."""
    codes = np.array([[0.0], [0.0], [1.0], [1.0], [3.0], [3.0]])
    assert bras(codes, np.zeros(6), [0, 0, 1, 1, 2, 2], metric="euclidean") == pytest.approx(0, abs=1e-12)
    # The first two at 0 and 2: a = 2 for both; the others of other batches lie (1, 1, 3, 3) and (1, 1, 1, 1) away: b = 2 and 1.
    codes[1] = 2.0
    first = [1 - abs((2 - 2) / 2), 1 - abs((1 - 2) / 2)]
    rest = [1 - 1.0] * 4
    assert bras(codes, np.zeros(6), [0, 0, 1, 1, 2, 2], metric="euclidean") == pytest.approx(np.mean(first + rest))


def test_bras_sees_a_batch_that_lies_apart_beside_two_that_are_mixed() -> None:
    """Of three batches two are mixed: the nearest other alone would call these perfect, all others do not."""
    codes, labels, batch = cells(0.0, 600, 3)
    mixed = bras(codes, labels, batch, metric="euclidean")
    apart = codes.copy()
    apart[:, 1] += 30.0 * (batch == 2)
    assert mixed > 0.97
    assert bras(apart, labels, batch, metric="euclidean") < 0.25


def test_lisi_by_hand() -> None:
    """Where neighbours are equally near, their number in effect is 1 / Σ p²: one batch of three in four."""
    circle = np.stack([np.cos(np.arange(4) * np.pi / 2), np.sin(np.arange(4) * np.pi / 2)], 1)
    codes = np.concatenate((np.zeros((1, 2)), circle))
    found = lisi(codes, [0, 1, 1, 1, 0], perplexity=4)[0]
    assert found == pytest.approx(1 / (0.75**2 + 0.25**2), rel=1e-6)


@pytest.mark.parametrize("batches", [2, 4])
def test_ilisi_lies_between_one_and_the_number_of_batches(batches: int) -> None:
    codes, _, batch = cells(0.0, 800, batches)
    assert 0.85 * batches < ilisi(codes, batch) <= batches
    codes, _, batch = cells(50.0, 800, batches)
    assert ilisi(codes, batch) == pytest.approx(1.0, abs=1e-9)


def test_kbet_rejects_by_chance_alone_where_batches_are_mixed() -> None:
    codes, labels, batch = cells(0.0, 1500)
    found = kbet(codes, batch, neighbours=30)
    assert abs(found.rejected - found.expected) < 0.03
    assert kbet_by_label(codes, labels, batch).accepted > 0.8


def test_kbet_rejects_all_where_batches_lie_apart() -> None:
    codes, labels, batch = cells(50.0, 600)
    assert kbet(codes, batch).rejected == 1
    assert kbet_by_label(codes, labels, batch).rejected == 1


def test_kinds_in_other_proportions_are_no_batch_effect_within_a_label() -> None:
    """One batch has mostly the first kind, the other the second: kBET over all rejects, within labels it does not."""
    rng = np.random.default_rng(1)
    codes, labels, _ = cells(0.0, 1000)
    batch = (rng.random(1000) < np.where(labels == 0, 0.85, 0.15)).astype(int)
    assert kbet(codes, batch).rejected > 0.9
    assert kbet_by_label(codes, labels, batch).rejected < 0.3
    assert bras(codes, labels, batch) > 0.9


def test_what_cannot_be_mixed_is_refused() -> None:
    codes, labels, batch = cells(0.0, 50)
    with pytest.raises(UsageError, match="all of one"):
        ilisi(codes, np.zeros(50))
    with pytest.raises(UsageError, match="no label"):
        bras(codes, batch, batch)
    with pytest.raises(UsageError, match="50 cells and 49 labels"):
        bras(codes, labels[1:], batch)
    with pytest.raises(UsageError, match="neighbours"):
        kbet(codes, batch, neighbours=1)
