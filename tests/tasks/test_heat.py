"""Heat-maps: shares of pixels that sum to the log-probability, planted squares that are found, files that show them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pil
from torch import Tensor

from lambent import VAE, Fitted, Flat, Image, LatentModel, UsageError
from lambent.fitted import Rows
from lambent.model.likelihoods import Likelihood
from lambent.part import Spec
from lambent.tasks.detection import Box, Heatmap, heatmaps, saved_heatmaps, usual_heat
from lambent.tasks.detection.heat import _boxes, _smoothed, pixelwise
from lambent.tasks.detection.overlay import coloured

SIDE = 24


def gradients(count: int, seed: int, squares: bool = False) -> tuple[np.ndarray, list[Box]]:
    """Slopes of grey in any direction, with a little noise; some with a square of 7 × 6 in which they are turned over."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, count)
    down, across = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) - 0.5
    slope = np.cos(angle)[:, None, None] * down + np.sin(angle)[:, None, None] * across
    pictures = np.clip(128 + 120 * slope + 6 * rng.normal(size=slope.shape), 0, 255).round().astype(np.uint8)
    boxes = []
    for picture in pictures if squares else ():
        top, left = (int(place) for place in rng.integers(1, SIDE - 8, 2))
        picture[top : top + 7, left : left + 6] += 90
        boxes.append(Box(top, left, 7, 6, 0.0))
    return pictures, boxes


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    likelihood: Spec = {"type": "DiscretizedLogistics"}
    trained = VAE(4, modality=Image(), likelihood=likelihood, network="Mlp", epochs=20, random_state=0)
    return trained.fit(gradients(1000, 0)[0]).fitted_  # type: ignore[no-any-return]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    high = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    wide = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    inside = max(high, 0) * max(wide, 0)
    return inside / (one.height * one.width + other.height * other.width - inside)


def test_a_planted_square_is_found(fitted: Fitted) -> None:
    pictures, squares = gradients(20, 2, squares=True)
    maps = heatmaps(fitted, fitted.rows(pictures), usual=usual_heat(fitted, fitted.rows(gradients(100, 1)[0])))
    assert all(each.boxes for each in maps)
    found = [overlap(each.boxes[0], square) for each, square in zip(maps, squares, strict=True)]
    assert np.mean(np.array(found) > 0.5) >= 0.9
    assert all(each.boxes[0].nats > 50 for each in maps)


def test_normal_pictures_have_few_regions(fitted: Fitted) -> None:
    usual = usual_heat(fitted, fitted.rows(gradients(100, 1)[0]))
    maps = heatmaps(fitted, fitted.rows(gradients(40, 3)[0]), usual=usual)
    assert np.mean([bool(each.boxes) for each in maps]) < 0.25
    assert abs(np.mean([each.heat.mean() for each in maps])) < 0.1


def test_a_picture_has_the_same_map_beside_whatever_others(fitted: Fitted) -> None:
    pictures, _ = gradients(5, 2, squares=True)
    usual = usual_heat(fitted, fitted.rows(gradients(10, 1)[0]))
    beside = heatmaps(fitted, fitted.rows(pictures), [3], usual)[0]
    alone = heatmaps(fitted, fitted.rows(pictures[3:4]), usual=usual)[0]
    assert np.array_equal(beside.heat, alone.heat)
    assert beside.boxes == alone.boxes


@pytest.mark.parametrize(
    "likelihood", ["Bernoulli", "ContinuousBernoulli", "DiscretizedLogistics", "Gaussian", "Categorical"]
)
@torch.no_grad()
def test_shares_of_pixels_sum_to_the_log_probability(likelihood: str) -> None:
    spec: Spec = {"type": likelihood} | ({"levels": 256} if likelihood == "Categorical" else {})
    for channels in (1, 3):
        model = LatentModel(Flat(2), Likelihood.from_spec(spec)).setup((channels, 8, 8))
        x = torch.randint(0, 2 if likelihood == "Bernoulli" else 256, (5, channels, 8, 8)).to(torch.uint8)
        trace = model.trace(x, 3)
        each = pixelwise(trace.px, trace.x)
        assert each.shape == (3, 5, 8, 8)
        torch.testing.assert_close(each.sum((-2, -1)), trace.log_px, rtol=1e-4, atol=1e-2)


def test_a_region_reaches_as_far_as_half_of_its_peak() -> None:
    raw = np.zeros((40, 40))
    raw[10:18, 20:30] = 2.0
    raw[30, 5] = 50.0
    first, second = _boxes(_smoothed(raw), raw, 0.2)
    assert (first.top, first.left, first.height, first.width) == (10, 20, 8, 10)
    assert first.nats == pytest.approx(152.0)  # without its four corners, of which smoothing leaves less than half
    assert second.nats == pytest.approx(50.0)
    assert first.text == "rows 10 to 17, columns 20 to 29: 152 nats more than expected"
    assert Box(3, 4, 1, 2, 7.0).text == "row 3, columns 4 to 5: 7 nats more than expected"


def test_files_show_picture_and_map(fitted: Fitted, tmp_path: Path) -> None:
    pictures, _ = gradients(3, 2, squares=True)
    paths = saved_heatmaps(fitted, fitted.rows(pictures), [2, 0], tmp_path, names=["a/b", "c"])
    assert paths == [tmp_path / "a" / "b.png", tmp_path / "c.png"]
    shown = np.asarray(Pil.open(paths[0]))
    assert shown.shape == (264, 2 * 264 + 4, 3)
    assert np.array_equal(shown[::11, :264:11, 0], pictures[2])
    assert (shown[:, 268:] == (0, 229, 255)).all(-1).any()
    assert saved_heatmaps(fitted, fitted.rows(pictures), [], tmp_path / "none") == []


def test_colours_rise_in_lightness() -> None:
    lightness: Tensor = torch.from_numpy(coloured(np.linspace(0, 1, 50)) @ np.array([0.2126, 0.7152, 0.0722]))
    assert bool((lightness.diff() > 0).all())


def test_tables_have_reasons_instead() -> None:
    model = LatentModel(Flat(2)).setup((6,))
    with pytest.raises(UsageError, match="reasons name the columns"):
        heatmaps(Fitted(model), Rows(torch.zeros(2, 6)))


def test_a_picture_without_regions_says_so() -> None:
    region = Box(10, 4, 8, 8, 84.2)
    none = np.zeros((28, 28))
    assert Heatmap(none, [], 1.0).text == "no region stands out, the picture as a whole is unusual"
    assert Heatmap(none, [region], 1.0).text == "rows 10 to 17, columns 4 to 11: 84 nats more than expected"
