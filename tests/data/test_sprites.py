"""Sprites: the factors, the geometry, the grids."""

import numpy as np
import pytest

from lambent.data import load
from lambent.data.catalog.sprites import FACTORS, SHAPES, Sprites, parse, render
from lambent.errors import DataError, UsageError


def test_the_full_grid_is_the_published_one() -> None:
    full = Sprites()
    assert len(full) == 737_280
    assert full.counts == (1, 3, 6, 40, 32, 32)
    _, shape, scale, orientation, x, y = full.grid
    assert shape.tolist() == [1, 2, 3]
    assert np.allclose(scale, np.linspace(0.5, 1, 6))
    assert np.allclose(orientation, np.linspace(0, 2 * np.pi, 40))
    assert np.allclose(x, np.linspace(0, 1, 32))
    assert np.allclose(y, x)
    last = np.array([0, 1, 32, 1024, len(full) - 1])
    assert full.classes(last).tolist() == [
        [0] * 6,
        [0] * 5 + [1],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 2, 5, 39, 31, 31],
    ]


def test_pictures_match_their_factors() -> None:
    images, classes, values = render(orientations=5, scales=3, x=4, y=4)
    assert images.shape == (3 * 3 * 5 * 16, 64, 64)
    assert images.dtype == np.uint8
    assert set(np.unique(images)) == {0, 1}
    assert classes.shape == values.shape == (len(images), len(FACTORS))
    rows, columns = np.mgrid[:64, :64]
    area = images.sum((1, 2))
    centre_x = (images * columns).sum((1, 2)) / area
    centre_y = (images * rows).sum((1, 2)) / area
    round_ones = classes[:, 1] < 2  # the heart's middle is not its centre of mass
    assert np.abs(centre_x - (16 + 31 * values[:, 4]))[round_ones].max() < 0.4
    assert np.abs(centre_y - (16 + 31 * values[:, 5]))[round_ones].max() < 0.4
    full = area[(classes[:, 2] == 2) & (classes[:, 3] == 0)]
    half = area[(classes[:, 2] == 0) & (classes[:, 3] == 0)]
    assert np.abs(half / full - 0.25).max() < 0.05


def test_coverage_is_that_of_the_published_set_and_nothing_is_cut_off() -> None:
    images = Sprites(x=2, y=2).render()
    assert images.mean() == pytest.approx(0.0437, abs=0.001)
    for edge in (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]):
        assert not edge.any()


def test_squares_and_ellipses_have_their_symmetries_and_hearts_point_down() -> None:
    grid = Sprites(scales=1, orientations=1, x=1, y=1)
    square, ellipse, heart = (Sprites((s,), 1, 1, 1, 1).render()[0] for s in SHAPES)
    assert len(grid) == 3
    rows, columns = (np.flatnonzero(square.any(axis)) for axis in (1, 0))
    side = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    assert square[side].all()
    assert square[side].shape[0] == square[side].shape[1]
    assert ellipse.any(0).sum() == pytest.approx(2 * ellipse.any(1).sum(), abs=1)
    width = heart.sum(1)[heart.any(1)]
    assert width[0] > width[-1]


def test_orientation_turns_counter_clockwise() -> None:
    upright = Sprites(("ellipse",), 1, 40, 1, 1)
    tenth = upright.render()[4]  # 4 · 2π/39 ≈ 37°
    rows, columns = np.nonzero(tenth)
    assert np.corrcoef(rows, columns)[0, 1] < -0.5  # rising to the right: rows count downwards
    full = upright.render()
    assert np.array_equal(full[0], full[39])


def test_blocks_packed_and_rendered_agree() -> None:
    grid = Sprites(scales=2, orientations=3, x=5, y=2)
    images = grid.render()
    blocks = list(grid.blocks())
    assert len(blocks) == 18
    assert np.array_equal(np.concatenate(blocks), images)
    assert np.array_equal(np.unpackbits(grid.packed(), axis=1).reshape(images.shape), images)
    assert Sprites(scales=1, orientations=1, x=1, y=1, size=128).render().mean() == pytest.approx(
        Sprites(scales=1, orientations=1, x=1, y=1).render().mean(), rel=0.05
    )


def test_each_combination_is_distinct_on_the_default_grid_but_for_symmetry() -> None:
    hearts = Sprites(("heart",), orientations=10, x=8, y=8).render()
    assert len(np.unique(hearts.reshape(len(hearts), -1), axis=0)) == len(hearts)


def test_options_by_name() -> None:
    assert parse("") == Sprites(orientations=10, x=8, y=8)
    assert parse("scale=6,orientation=1,x=16,y=16") == Sprites(orientations=1, x=16, y=16)
    assert parse("shape=heart,size=32").shapes == ("heart",)
    assert parse("shape=2").shapes == SHAPES[:2]
    encoded = load("sprites?scale=2,orientation=3,x=4,y=4")
    assert len(encoded) == 3 * 2 * 3 * 16
    assert encoded.factors is not None
    assert encoded.factors.shape == (len(encoded), 6)
    assert encoded.factor_names == list(FACTORS)
    assert encoded.labels is not None
    assert np.array_equal(encoded.labels, encoded.factors[:, 1])
    assert encoded.label_names == list(SHAPES)


@pytest.mark.parametrize(
    "options",
    ["scales=3", "scale", "scale=", "scale=0", "scale=7", "x=-1", "x=1e3", "shape=4", "shape=cube", "size=2000"],
)
def test_wrong_options(options: str) -> None:
    with pytest.raises(UsageError, match="sprites"):
        load(f"sprites?{options}")


def test_too_much_at_once_is_refused() -> None:
    with pytest.raises(DataError, match="take too much memory"):
        Sprites(size=512).render()
    with pytest.raises(UsageError, match="shapes"):
        Sprites(("heart", "heart"))
    with pytest.raises(UsageError, match="no shape 'hart'; did you mean 'heart'"):
        Sprites(("hart",))
