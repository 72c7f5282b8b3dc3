"""Windows of a table: consecutive rows as one, in order, cut without a leak."""

import numpy as np
import pandas as pd
import pytest
import torch

from lambent import VAE, DataError, Detector, Table, UsageError, load
from lambent.data import split
from lambent.data.loading import load as read
from lambent.data.loading import load_parted
from lambent.data.splitting import cut, digest, numbers


def counted(rows: int) -> pd.DataFrame:
    """Two columns that tell the row's number."""
    n = np.arange(rows, dtype=float)
    return pd.DataFrame({"a": n, "b": -10 * n, "odd": np.where(n == 7, "yes", "no")})


def table(**more: object) -> Table:
    return Table(window=3, scale="none", label="odd", **more)  # type: ignore[arg-type]


def test_a_window_holds_the_rows_before_its_own() -> None:
    encoded = read(counted(10), modality=table())
    assert encoded.modality.names == ["a[-2]", "b[-2]", "a[-1]", "b[-1]", "a[0]", "b[0]"]  # type: ignore[attr-defined]
    assert encoded.x.shape == (8, 6)
    assert encoded.x[5].tolist() == [5.0, -50.0, 6.0, -60.0, 7.0, -70.0]
    assert encoded.numbers is not None
    assert encoded.numbers.tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert encoded.labels is not None
    assert encoded.label_names is not None
    assert [encoded.label_names[one] for one in encoded.labels] == ["no"] * 5 + ["yes"] + ["no"] * 2
    frame = encoded.modality.decode(encoded.x)
    assert frame["b[-1]"].tolist() == [-10.0 * n for n in range(1, 9)]


def test_windows_share_their_memory() -> None:
    x = read(counted(10), modality=table()).x
    assert x.untyped_storage().nbytes() == 10 * 2 * 4
    assert digest(x) == digest(x.contiguous())


def test_a_cut_of_a_series_keeps_its_order_and_shares_no_row() -> None:
    train, held = load_parted(counted(40), 0.25, modality=table())
    assert (len(train), len(held)) == (28, 8)
    assert float(train.x.max()) == 29.0
    assert float(held.x[:, 0].min()) == 30.0
    assert numbers(held.source["part"]) is not None
    assert numbers(held.source["part"]).tolist() == list(range(30, 40))  # type: ignore[union-attr]
    assert held.numbers is not None
    assert held.numbers.tolist() == list(range(32, 40))


def test_windows_that_reach_over_a_cut_are_left_out() -> None:
    kept, out = split(read(counted(40), modality=table()), 0.25)
    assert set(kept.x[:, ::2].flatten().tolist()).isdisjoint(out.x[:, ::2].flatten().tolist())
    assert len(kept) + len(out) == 38 - 2
    sides = cut(38, 0.25, ordered=3)
    assert [side.index.tolist() for side in sides] == [list(range(26)), list(range(28, 38))]
    assert numbers(sides[0].facts).tolist() == list(range(26))  # type: ignore[union-attr]
    with pytest.raises(DataError, match="cannot be cut"):
        cut(5, 0.5, ordered=4)


def test_windows_have_gaps_and_kinds_as_rows_have() -> None:
    frame = counted(200)
    frame["a"] = np.random.default_rng(0).normal(size=200)
    frame["c"] = np.where(frame.index % 3 == 0, "x", "y")
    frame.loc[5, "a"] = np.nan
    encoded = read(frame.drop(columns="c"), modality=table(missing="yes"))
    assert np.flatnonzero(torch.isnan(encoded.x).any(1)).tolist() == [3, 4, 5]
    ranked = read(frame, modality=Table(window=3, drop=("odd",)))
    assert ranked.modality.names[:3] == ["a[-2]", "b[-2]", "c[-2]"]  # type: ignore[attr-defined]
    assert [n for n in ranked.modality.names if "missing" in n] == [  # type: ignore[attr-defined]
        "a[-2] is missing", "a[-1] is missing", "a[0] is missing",
    ]  # fmt: skip
    back = ranked.modality.decode(ranked.x)
    assert back["c[-1]"].tolist() == frame["c"].tolist()[1:-1]


def test_a_series_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(DataError, match="2 rows, and a window takes 3"):
        read(counted(2), modality=table())
    with pytest.raises(UsageError, match="pieces"):
        table().learn([counted(5)])


def test_a_model_of_windows_is_kept_whole(tmp_path: object) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 2)), columns=["a", "b"])
    trained = VAE(modality=Table(window=3), epochs=1, random_state=0).fit(frame)
    path = f"{tmp_path}/m.lambent"
    trained.fitted_.save(path)
    again = load(path)
    rows = [Table.read(one.fitted_.modality, frame).x for one in (trained, again)]
    assert torch.equal(*rows)
    assert rows[0].shape == (78, 6)
    assert trained.fitted_.column_names == again.fitted_.column_names


def test_a_detector_of_rows_refuses_windows() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    with pytest.raises(UsageError, match=r"windows of a series reach over several: .* --data\.window 8"):
        Detector(VAE(modality=Table(window=3))).fit(frame)
