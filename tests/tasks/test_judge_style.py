"""How well restyling went: what is known of pictures unchanged, shuffled and of the true partners is what is found."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lambent.errors import DataError, UsageError
from lambent.metrics.samples.space import Space
from lambent.tasks.judge_style import StyleJudge, judge_style

Bytes = NDArray[np.uint8]


def blocks(count: int, seed: int) -> tuple[Bytes, Bytes]:
    """Pictures of 4 × 4 blocks of any brightness under two lights: no two have the same content."""
    random = np.random.default_rng(seed)
    ink = random.uniform(0, 1, (count, 4, 4)).repeat(2, 1).repeat(2, 2)[..., None]
    night, paper = ink * [60, 80, 100] + [10, 20, 50], ink * [110, 80, 60] + [120, 110, 60]
    return night.astype(np.uint8), paper.astype(np.uint8)


@pytest.fixture(scope="module")
def judge(quarters: Space) -> StyleJudge:
    return StyleJudge(dict(zip(("night", "paper"), blocks(200, 8), strict=True)), quarters, paired=True)


def test_true_partners_pictures_unchanged_and_shuffled_ones_are_told_apart(judge: StyleJudge) -> None:
    night, paper = blocks(40, 9)
    found = judge.judged("night", "paper", night, paper, {"restyled": paper, "shuffled": paper[::-1]})
    sets = {name: {measure: one.value for measure, one in own.items()} for name, own in found.sets.items()}
    assert judge.classifier > 0.99
    assert sets["restyled"] == sets["partners"]
    assert sets["partners"]["pixels"] == 0
    assert sets["partners"]["features"] == 0
    assert sets["partners"]["retrieval"] == sets["partners"]["retrieval_pixels"] == 1
    assert sets["partners"]["style"] == 1
    assert sets["unchanged"]["style"] == 0
    expected = np.sqrt((((night.astype(float) - paper) / 255) ** 2).mean((1, 2, 3))).mean()
    assert sets["unchanged"]["pixels"] == pytest.approx(expected)
    assert sets["shuffled"]["retrieval"] < 0.1
    assert sets["unchanged"]["content"] == 1
    assert sets["unchanged"]["retrieval"] < 0.5  # for the light is another
    assert sets["partners"]["content"] == 1
    assert sets["shuffled"]["content"] < 0.1
    assert sets["nearest"]["style"] == 1
    assert found.gained("restyled", "partners") == 1
    assert found.gained("unchanged", "partners") == 0
    assert found.gained("restyled", "unchanged") is None
    assert found.sets["restyled"]["features"].space == "quarters 000000000000"
    assert set(found.plain()["sets"]) == set(sets)


def test_what_cannot_be_judged_is_said(judge: StyleJudge, quarters: Space) -> None:
    night, paper = blocks(40, 9)
    with pytest.raises(UsageError, match="no style is called 'papers'; did you mean 'paper'"):
        judge.judged("night", "papers", night, paper, {})
    with pytest.raises(DataError, match=r"restyled: pictures of \[39, 8, 8, 3\], and the source has \[40"):
        judge.judged("night", "paper", night, paper, {"restyled": paper[1:]})
    with pytest.raises(DataError, match="5 pictures are too few"):
        judge.judged("night", "paper", night[:5], paper[:5], {})
    with pytest.raises(DataError, match="20 pictures of each style"):
        StyleJudge({"night": night, "paper": paper[:3]})
    with pytest.raises(UsageError, match="two styles are given"):
        judge_style(paper, night, paper, {"a": night, "b": paper, "c": night}, quarters)
