"""detect: rules, what they flag and what they promise, on a model whose scores are known."""

import numpy as np
import pandas as pd
import pytest
import torch

import lambent
from lambent import DataError, Fitted, Flat, LatentModel, Table, UsageError
from lambent.detection import Detection
from lambent.fitted import Rows
from lambent.model.networks import Mlp
from lambent.tasks.detection.calibrated import learned, scored_rows
from lambent.tasks.detection.decide import alarm_threshold, share_threshold
from lambent.tasks.detection.scores import Evidence, Score


class _First(Score):
    """The first number of a row."""

    no_paper = "for tests"

    def forward(self, fitted: Fitted, rows: Rows) -> torch.Tensor:
        return rows.x[:, 0].double()


@pytest.fixture
def fitted() -> Fitted:
    """Scores are the first column, x ≈ its value: a table of mean 0 and deviation 1 as it stands."""
    table = Table(scale="none").fit(np.random.default_rng(0).normal(size=(50, 2)))
    return Fitted(LatentModel(Flat(1), "Gaussian", Mlp(4, 1)).setup(table.event).eval(), table)


@pytest.fixture(autouse=True)
def _known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence stands for the score of these tests, so that a description finds it."""
    monkeypatch.setattr(Evidence, "forward", _First.forward)


def detector(fitted: Fitted, held_out: np.ndarray, clean: bool = True, **facts: object) -> Fitted:
    fitted.detection = Detection(
        Evidence().spec(), held_out=torch.from_numpy(np.sort(held_out)), facts={"clean": clean, **facts}
    )
    return fitted


def rows(*values: float) -> np.ndarray:
    return np.stack([np.array(values), np.zeros(len(values))], 1)


def test_p_values_and_the_rule_by_default(fitted: Fitted) -> None:
    found = lambent.detect(detector(fitted, np.arange(99.0)), rows(98.5, 200, 50, 3))
    assert found.p == pytest.approx([0.01, 0.01, 0.5, 0.97])
    assert found.flagged.tolist() == [True, True, False, False]
    assert found.rule == {"fdr": 0.1}
    assert found.threshold == pytest.approx((98.5 + 50) / 2)
    assert "at most 10 % are normal" in found.promise
    assert "99 held-out rows are exchangeable" in found.promise
    assert "may hold anomalies" not in found.promise


def test_rows_that_may_hold_anomalies_promise_nothing(fitted: Fitted) -> None:
    given = detector(fitted, np.arange(99.0), clean=False)
    assert lambent.detect(given, rows(*range(20))).rule == {"contamination": 0.1}
    found = lambent.detect(given, rows(98.5, 200), fdr=0.2)
    assert "may hold anomalies" in found.promise


def test_too_few_held_out_rows_for_so_many_are_told(fitted: Fitted) -> None:
    """p is 1/10 at least: of 20 rows k with p = 1/10 are flagged where 0.1 ≤ 0.2 k / 20, so from 10 on."""
    given = detector(fitted, np.arange(9.0))
    few = lambent.detect(given, rows(*[0.0] * 11, *[99.0] * 9), fdr=0.2)
    assert not few.flagged.any()
    assert few.threshold is None
    assert "of 20 rows 10 at least are flagged, or none" in few.promise
    assert lambent.detect(given, rows(*[0.0] * 10, *[99.0] * 10), fdr=0.2).flagged.sum() == 10


def test_a_share_is_flagged(fitted: Fitted) -> None:
    found = lambent.detect(detector(fitted, np.arange(9.0)), rows(*range(200)), contamination=0.05)
    assert np.flatnonzero(found.flagged).tolist() == list(range(190, 200))
    assert "nothing is promised" in found.promise


@pytest.mark.parametrize(
    ("values", "share", "count", "words"),
    [
        ((1, 2), 0.1, 0, "None is flagged: 10 % of these 2 rows is less than half a row"),
        (range(200), 0.013, 3, "The 3 most odd are flagged, as near to 1.3 % of these 200 rows"),
        ((5, 5, 5, 1), 0.25, 0, "the most odd ones have the same score"),
    ],
)
def test_the_promise_of_a_share_says_how_many(fitted: Fitted, values, share: float, count: int, words: str) -> None:
    found = lambent.detect(detector(fitted, np.arange(9.0)), rows(*values), contamination=share)
    assert found.flagged.sum() == count
    assert words in found.promise


def test_a_tail_is_extrapolated(fitted: Fitted) -> None:
    given = detector(fitted, np.random.default_rng(0).exponential(size=2000))
    found = lambent.detect(given, rows(1, 5, 60), tail=1e-3)
    assert found.flagged.tolist() == [False, False, True]
    assert found.threshold == pytest.approx(np.log(1000), rel=0.2)
    low, high = found.facts["interval"]
    assert low < np.log(1000) < high
    assert f"{found.facts['exceedances']:,} largest scores" in found.promise


def test_known_cases_choose_the_threshold(fitted: Fitted) -> None:
    frame = pd.DataFrame(
        {"x0": np.r_[0:20, 100:110].astype(float), "x1": 0.0, "case": ["normal"] * 18 + [None] * 2 + ["attack"] * 10}
    )
    with pytest.warns(lambent.DataWarning):
        found = lambent.detect(detector(fitted, np.arange(9.0)), frame, labels="case")
    assert found.threshold == (17 + 100) / 2
    assert found.flagged.sum() == 10
    assert found.facts["precision"] == {"value": 1.0, "error": 0.0}
    assert "18 normal and 10 odd cases" in found.promise
    values = [0] * 20 + [1] * 10
    with pytest.warns(lambent.DataWarning):
        assert lambent.detect(fitted, frame, labels=values).flagged.sum() == 10
    with pytest.warns(lambent.DataWarning), pytest.raises(DataError, match="did you mean 'case'"):
        lambent.detect(fitted, frame, labels="cases")
    with pytest.warns(lambent.DataWarning), pytest.raises(DataError, match="3 labels were given for 30"):
        lambent.detect(fitted, frame, labels=[0, 1, 1])


def test_the_detectors_own_rule_comes_first(fitted: Fitted) -> None:
    given = detector(fitted, np.arange(99.0), rule={"contamination": 0.5})
    assert lambent.detect(given, rows(1, 2, 3, 4)).flagged.tolist() == [False, False, True, True]
    assert lambent.detect(given, rows(1, 2, 3, 4), fdr=0.1).rule == {"fdr": 0.1}


def test_wrong_use_is_explained(fitted: Fitted) -> None:
    with pytest.raises(UsageError, match="no detector"):
        lambent.detect(fitted, rows(1))
    given = detector(fitted, np.array([]))
    with pytest.raises(UsageError, match="fdr and tail are several"):
        lambent.detect(given, rows(1), fdr=0.1, tail=0.1)
    for rule in ("fdr", "tail"):
        with pytest.raises(UsageError, match="this detector has none"):
            lambent.detect(given, rows(1), **{rule: 0.01})
    with pytest.raises(UsageError, match="share in"):
        lambent.detect(given, rows(1), contamination=0.7)
    with pytest.raises(UsageError, match="reference"):
        lambent.detect(given, rows(1), score="Evidence")


def test_reference_rows_make_a_detector_of_any_model(fitted: Fitted) -> None:
    found = lambent.detect(fitted, rows(98.5, 3), reference=rows(*range(99)), score="Evidence")
    assert found.p == pytest.approx([0.01, 0.97])
    assert found.rule == {"fdr": 0.1}
    assert fitted.detection is None


def test_a_share_of_the_flagged_is_normal(fitted: Fitted) -> None:
    """Over 300 draws of held-out and new rows the share flagged falsely is 0.1 × the share of normal rows, and no more."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(300):
        given = detector(fitted, rng.normal(size=500))
        found = lambent.detect(given, rows(*rng.normal(size=180), *(rng.normal(size=20) + 4)), fdr=0.1)
        shares.append(found.flagged[:180].sum() / max(1, found.flagged.sum()))
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(0.09, abs=3 * error)


def test_columns_and_frames(fitted: Fitted) -> None:
    given = detector(fitted, np.arange(99.0))
    found = lambent.detect(given, rows(98.5, 200, 50))
    assert list(found.columns()) == ["row", "score", "p", "flagged"]
    for data, library in ((pd.DataFrame(rows(98.5, 3)), "pandas"), (rows(98.5, 3), "pandas")):
        assert type(lambent.detect(given, data).frame()).__module__.startswith(library)
    polars = pytest.importorskip("polars")
    made = lambent.detect(given, polars.DataFrame(rows(98.5, 3), schema=["x0", "x1"])).frame()
    assert isinstance(made, polars.DataFrame)
    assert made["p"].to_list() == pytest.approx([0.01, 0.97])


def test_training_rows_are_read_out_as_such(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: a tenth of the score. On the scale of the others, and compared with the same read-out of the held-out rows."""
    monkeypatch.setattr(Evidence, "seen", lambda self, fitted, rows: rows.x[:, 0].double() / 10)
    training, held_out = fitted.rows(rows(*range(1000, 1010))), fitted.rows(rows(*range(99)))
    fitted.detection = learned(fitted, training, held_out, "Evidence", clean=True)
    found = scored_rows(fitted, fitted.rows(rows(98.5, 1003, 1003.5, 3)))
    assert found.known.tolist() == [False, True, False, False]
    assert found.scores == pytest.approx([98.5, 1003, 1003.5, 3], rel=1e-6)
    assert found.p == pytest.approx([0.01, 0.01, 0.01, 0.97])
    assert fitted.detection.training.tolist() == pytest.approx([100 + i / 10 for i in range(10)])
    assert "1 of these rows were trained on" in lambent.detect(fitted, rows(98.5, 1003), fdr=0.1).promise


def test_where_training_rows_may_be_odd_all_are_read_out_alike(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evidence, "seen", lambda self, fitted, rows: rows.x[:, 0].double() / 10)
    training, held_out = fitted.rows(rows(*range(1000, 1010))), fitted.rows(rows(*range(99)))
    fitted.detection = learned(fitted, training, held_out, "Evidence")
    found = scored_rows(fitted, fitted.rows(rows(98.5, 1003, 3)))
    assert found.scores == pytest.approx([9.85, 100.3, 0.3], rel=1e-6)
    assert found.p == pytest.approx([0.01, 0.01, 0.97])
    assert fitted.detection.held_out.tolist() == pytest.approx([i / 10 for i in range(99)])


def test_scores_beyond_numbers(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evidence, "forward", lambda self, fitted, rows: torch.tensor([1.0, torch.inf]))
    found = lambent.detect(detector(fitted, np.arange(99.0)), rows(1, 2))
    assert found.scores[1] == 1e300
    monkeypatch.setattr(Evidence, "forward", lambda self, fitted, rows: torch.tensor([1.0, torch.nan]))
    with pytest.raises(DataError, match="row 1 is nan"):
        lambent.detect(fitted, rows(1, 2))


def test_thresholds() -> None:
    held = np.arange(1.0, 100.0)  # p ≤ 0.1 of a score above the tenth largest, 90
    assert alarm_threshold(held, 0.1) == 90
    assert alarm_threshold(held, 1e-6) == 99, "as far as so many rows tell"
    assert share_threshold(np.arange(10.0), 0.2) == 7
    assert share_threshold(np.arange(3.0), 0.01) == 2
