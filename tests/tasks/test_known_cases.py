"""A few known cases: what words mean, which threshold they choose, and what that is worth."""

import numpy as np
import pytest

from lambent import DataError
from lambent.tasks.detection.cases import best_threshold, judged_by_cases, known_cases


@pytest.mark.parametrize(
    ("labels", "odd", "known"),
    [
        ([0, 1, 0, 1], [0, 1, 0, 1], [1, 1, 1, 1]),
        ([0.0, float("nan"), 1.0], [0, 0, 1], [1, 0, 1]),
        ([True, False, None], [1, 0, 0], [1, 1, 0]),
        ([1, -1, 1], [0, 1, 0], [1, 1, 1]),
        (["yes", "No", ""], [1, 0, 0], [1, 1, 0]),
        (["normal.", "neptune.", "smurf."], [0, 1, 1], [1, 1, 1]),
        (["fraud", None, "attack"], [1, 0, 1], [1, 0, 1]),
        (["0", "1", " "], [0, 1, 0], [1, 1, 0]),
        ([np.nan, np.nan], [0, 0], [0, 0]),
    ],
)
def test_words(labels: list, odd: list, known: list) -> None:
    found = known_cases(labels)
    assert found[0].astype(int).tolist() == odd
    assert found[1].astype(int).tolist() == known


def test_words_that_do_not_say_which_is_odd_are_refused() -> None:
    with pytest.raises(DataError, match=r"which of the labels \(blue, red\) are odd"):
        known_cases(["red", "blue"])
    with pytest.raises(DataError, match="0 and 1"):
        known_cases([0, 1, 2])


def test_the_threshold_is_best_by_f1() -> None:
    """Flagging the top three gives P = 2/3, R = 1, F1 = 0.8; the top one P = 1, R = 1/2, F1 = 2/3."""
    scores, odd = np.array([1.0, 2.0, 5.0, 6.0, 7.0]), np.array([0, 0, 1, 0, 1], bool)
    assert best_threshold(scores, odd) == 3.5
    assert best_threshold(np.array([1.0, 1.0, 1.0]), np.array([0, 1, 1], bool)) < 1, "equal scores are flagged together"


def test_what_the_threshold_is_worth() -> None:
    """Two normal distributions 2 apart, as many of either: F1 is best near −0.2 of the middle, P = .79, R = .88, AUROC = .921."""
    rng = np.random.default_rng(0)
    odd = np.repeat([False, True], 2000)
    found = judged_by_cases(rng.normal(size=4000) + 2 * odd, odd)
    assert found.auroc[0] == pytest.approx(0.921, abs=3 * found.auroc[1])
    assert found.auroc[1] == pytest.approx(0.0042, rel=0.3)
    assert found.f1[0] == pytest.approx(0.846, abs=0.02)
    assert found.folds == 5
    assert (found.normal, found.odd) == (2000, 2000)


def test_cross_validation_does_not_judge_by_what_it_chose_by() -> None:
    """Scores that mean nothing: the best F1 of all cases is no lower than the share of odd ones allows, and AUROC is a half."""
    rng = np.random.default_rng(1)
    odd = rng.random(400) < 0.1
    found = judged_by_cases(rng.normal(size=400), odd)
    assert found.precision[0] < 0.2
    assert found.auroc[0] == pytest.approx(0.5, abs=0.1)


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(DataError, match="3 normal and 1 odd"):
        judged_by_cases(np.arange(4.0), np.array([0, 0, 0, 1], bool))
