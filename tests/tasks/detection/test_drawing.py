"""Odd pictures: outlines against known ones, plain pictures, and scores that hang on content alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lambent import VAE, Detector, LatentModel, detect, fit, load
from lambent.data.kinds.image import Image
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.tasks.detection import Drawing, Score
from lambent.tasks.detection.scores.edges import DIRECTIONS, Outlines

SIZE = 16


def crosses(rows: int, seed: int) -> np.ndarray:
    """Bright crosses about the middle of dark pictures, with a little noise."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 12, (rows, SIZE, SIZE))
    for picture, (down, across), bright in zip(
        found, rng.integers(6, 10, (rows, 2)), rng.integers(150, 240, rows), strict=True
    ):
        picture[down - 1 : down + 1, 2:-2] = bright
        picture[2:-2, across - 1 : across + 1] = bright
    return found.astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    modality = Image().fit(crosses(300, 0))
    parts = modality.detecting()
    model = LatentModel.from_spec({"type": "LatentModel", **{k: parts[k] for k in ("latent", "likelihood", "network")}})
    fit(model, parts["objective"], modality.read(crosses(300, 0)), **parts["fit"] | {"epochs": 100})
    return Fitted(model.eval(), modality)


@pytest.fixture(scope="module")
def score(fitted: Fitted) -> Score:
    return Score.default(fitted).learn(fitted, fitted.rows(crosses(300, 0)))


def test_outlines_of_an_edge_point_from_dark_to_bright() -> None:
    picture = torch.zeros(1, 1, 12, 12)
    picture[..., 6:] = 1
    found = Outlines((1, 12, 12), 4)(picture).view(DIRECTIONS, 4, 4)
    assert found.sum((1, 2)).argmax() == 0  # to the right
    torch.testing.assert_close(found[1], found[0] * 0.5**1.5)  # 45° off: cos 45° · cos² 45°
    torch.testing.assert_close(found[2:7], torch.zeros(5, 4, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(found, found[:, :1].expand(-1, 4, -1))  # the same in every row of cells
    downward = Outlines((1, 12, 12), 4)(picture.mT).view(DIRECTIONS, 4, 4)
    torch.testing.assert_close(downward[2], found[0].T)  # a quarter turn on


def test_outlines_hang_neither_on_brightness_nor_on_contrast() -> None:
    picture = torch.from_numpy(crosses(1, 3))[:, None] / 255
    outlines = Outlines((1, SIZE, SIZE), 9)
    torch.testing.assert_close(outlines(0.3 + 0.5 * picture), outlines(picture), atol=0.01, rtol=0)
    assert outlines(picture).norm() == pytest.approx(1, abs=0.02)
    assert outlines(torch.full((1, 1, SIZE, SIZE), 0.9)).norm() < 1e-6


def test_colours_have_outlines_of_their_own_and_many_bands_share_them() -> None:
    picture = torch.rand(2, 5, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    one = Outlines((1, SIZE, SIZE), 4)(picture.mean(1, keepdim=True))
    torch.testing.assert_close(Outlines((5, SIZE, SIZE), 4)(picture), one)
    assert Outlines((3, SIZE, SIZE), 4)(picture[:, :3]).shape == (2, 3 * one.shape[1])


def test_a_plain_picture_is_not_normal_for_being_simple(fitted: Fitted, score: Score) -> None:
    normal = score(fitted, fitted.rows(crosses(100, 1)))
    blurred = np.repeat(np.repeat(crosses(1, 2)[:, ::8, ::8], 8, 1), 8, 2)
    plain = np.concatenate([np.full((3, SIZE, SIZE), [[[255]], [[128]], [[5]]]), blurred]).astype(np.uint8)
    assert (score(fitted, fitted.rows(plain)) > normal.max()).all()


def test_other_shapes_are_odd(fitted: Fitted, score: Score) -> None:
    shifted = np.roll(crosses(50, 4), 4, 2)
    assert score(fitted, fitted.rows(shifted)).min() > score(fitted, fitted.rows(crosses(100, 1))).quantile(0.95)


def test_a_score_hangs_on_content_alone(fitted: Fitted, score: Score) -> None:
    rows = fitted.rows(crosses(70, 5))
    whole = score(fitted, rows)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    assert torch.equal(score(fitted, rows.at(order)), whole[order])
    assert torch.equal(score(fitted, rows.at(torch.tensor([13]))), whole[13:14])


def test_a_training_picture_is_compared_with_the_others(fitted: Fitted) -> None:
    rows = fitted.rows(crosses(300, 0))
    score = Drawing(drawing=0, levels=0).learn(fitted, rows)
    outlines = Outlines((1, SIZE, SIZE), 9)(rows.x.float() / float(rows.x.max())).double()
    apart = (outlines[:, None] - outlines).norm(dim=2) + torch.eye(300) * 9
    u = (apart.amin(1) - apart.amin(1).median()) / score.kept["distance_deviation"]
    # The median of an even number of readings lies between two of them, so signs and order are what must agree.
    found = score(fitted, rows)
    assert found.argsort().tolist() == u.argsort().tolist()
    near = score._distance(fitted, rows, 1)
    torch.testing.assert_close(near, apart.amin(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(score._distance(fitted, rows, 3), apart.sort(1).values[:, 2], atol=1e-5, rtol=1e-5)


def test_training_pictures_that_are_odd_and_alike_are_compared_with_typical_ones(fitted: Fitted) -> None:
    odd = np.roll(crosses(20, 6), 5, 1)
    rows = fitted.rows(np.concatenate([crosses(300, 0), odd]))
    score = Drawing().learn(fitted, rows)
    seen = score.seen(fitted, rows)
    assert seen[300:].median() > seen[:300].quantile(0.95)


def test_drawing_is_for_pictures(fitted: Fitted) -> None:
    model = LatentModel.from_spec(
        {"type": "LatentModel", "latent": "Flat", "likelihood": "Gaussian", "network": "Mlp"}
    ).setup((3,))
    with pytest.raises(UsageError, match=r"compares pictures.*\[3\]: use Evidence"):
        Drawing().refuse(Fitted(model))
    Drawing().refuse(fitted)
    with pytest.raises(UsageError, match="call learn first"):
        Drawing()(fitted, fitted.rows(crosses(2, 0)))


def test_what_suits_detection_of_pictures() -> None:
    grey = Image().fit(crosses(300, 0)).detecting()
    assert grey["likelihood"] == {"type": "Gaussian", "scale": "one"}
    assert grey["fit"]["epochs"] * (300 // grey["fit"]["batch"]) == 1500
    binary = Image().fit((crosses(300, 0) > 100).astype(np.uint8)).detecting()
    assert binary["likelihood"] == {"type": "Bernoulli"}
    large = Image().fit(np.random.default_rng(0).integers(0, 255, (4, 128, 128), dtype=np.uint8)).detecting()
    assert large["network"] == {"type": "Conv"}


def test_a_detector_of_pictures_is_the_same_from_its_file(tmp_path: Path) -> None:
    vae = VAE(4, likelihood="Gaussian", network={"type": "Mlp", "width": 16}, epochs=3)
    detector = Detector(vae, clean=True).fit(crosses(120, 0))
    assert detector.fitted_.detection is not None
    assert detector.fitted_.detection.score["type"] == "Drawing"
    new = np.concatenate([crosses(5, 7), np.full((1, SIZE, SIZE), 128, np.uint8)])
    scores = detector.score_samples(new)
    assert scores.argmin() == 5  # the plain one is the least normal
    again = detect(load(detector.save(tmp_path / "detector.lambent")), new)
    assert np.array_equal(-again.scores, scores)
