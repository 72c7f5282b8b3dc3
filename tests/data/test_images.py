"""Image on arrays: layouts, number types, sizes, binarization, round trips."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Modality
from lambent.errors import ArtifactError, DataError, UsageError

GREY = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6) * 2
COLOUR = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
BITS = np.random.default_rng(1).integers(0, 2, (4, 5, 6), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "event"),
    [(GREY, (1, 5, 6)), (GREY[..., None], (1, 5, 6)), (GREY[:, None], (1, 5, 6)), (COLOUR, (3, 5, 6))],
)
def test_layouts_agree_and_come_back(array: np.ndarray, event: tuple[int, ...]) -> None:
    image = Image().fit(array)
    x = image.encode(array)
    assert image.event == event
    assert x.dtype == torch.uint8
    assert tuple(x.shape) == (4, *event)
    assert np.array_equal(image.decode(x), array.reshape(4, 5, 6) if event[0] == 1 else array)
    assert image.defaults()["likelihood"] == {"type": "DiscretizedLogistics"}
    assert not image.binary


def test_channels_first_is_channels_last() -> None:
    first = np.ascontiguousarray(COLOUR.transpose(0, 3, 1, 2))
    assert torch.equal(Image().fit(first).encode(first), Image().fit(COLOUR).encode(COLOUR))
    tensor = torch.from_numpy(first)
    assert torch.equal(Image().fit(tensor).encode(tensor), tensor)


def test_encoded_rows_are_no_view_of_the_callers_array() -> None:
    array = COLOUR.transpose(0, 3, 1, 2).copy()
    x = Image().fit(array).encode(array)
    before = x.clone()
    array[:] = 7
    assert torch.equal(x, before)


def test_flat_rows_need_a_size() -> None:
    flat = GREY.reshape(4, 30)
    assert torch.equal(Image(size=(5, 6)).fit(flat).encode(flat), Image().fit(GREY).encode(GREY))
    with pytest.raises(DataError, match="size"):
        Image().fit(flat)
    with pytest.raises(DataError, match="no images of 4×6"):
        Image(size=(4, 6)).fit(flat)


def test_ambiguous_axes_are_refused_unless_the_size_tells() -> None:
    array = np.zeros((2, 3, 8, 3), np.uint8)
    with pytest.raises(DataError, match=r"\[N,H,W,C\] and as \[N,C,H,W\]"):
        Image().fit(array)
    assert Image(size=(3, 8)).fit(array).event == (3, 3, 8)
    assert Image(size=(8, 3)).fit(array).event == (3, 8, 3)


@pytest.mark.parametrize("shape", [(4,), (4, 5, 6, 2), (2, 2, 2, 2, 2), (0, 5, 6), (3, 0, 6)])
def test_D1_shapes_that_hold_no_images(shape: tuple[int, ...]) -> None:
    """Arrays without images, or of a shape that holds none, are refused."""
    with pytest.raises(DataError, match="no images"):
        Image().fit(np.zeros(shape, np.uint8))


def test_floats_become_bytes_exactly() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for kind in (np.float16, np.float32, np.float64):
        values = (every / 255).astype(kind)
        image = Image().fit(values)
        assert np.array_equal(image.encode(values)[:, 0].numpy(), every)
        assert image.decode(image.encode(values)).dtype == np.float32
        assert np.array_equal(image.decode(image.encode(values)), (every / 255).astype(np.float32))
        assert np.array_equal(image.pictures(image.encode(values)), every)
    encoded = Image().fit(every / 255).read(every / 255 * 0.999)
    assert encoded.source["notices"] == {"rounded_to_bytes": 1}


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (GREY.astype(np.float32), "from 0 to 238.*Divide by 255"),
        (GREY / 127.5 - 1, "from -1 to .*centred on 0"),
        (GREY.astype(np.int32) * 900, "to 214200; integers must lie in 0…65535"),
        (GREY.astype(np.int64) - 1, "from -1"),
        (GREY.astype(np.complex64), "complex64"),
        (GREY.astype(object), "object"),
    ],
)
def test_D33_ranges_outside_are_refused_with_the_range_found(array: np.ndarray, words: str) -> None:
    """Floats of 0…255, pixels in −1…1, integers beyond 16 bits or negative are refused with range and remedy."""
    with pytest.raises(DataError, match=words):
        Image().fit(array)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_D5_D6_a_pixel_that_is_no_number_names_its_image(bad: float) -> None:
    """A NaN or infinite pixel is refused with the number of its image."""
    array = np.zeros((4, 5, 6), np.float32)
    array[2, 1, 1] = bad
    with pytest.raises(DataError, match="image 2"):
        Image().fit(array)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_two_levels_are_binary(kind: type) -> None:
    array = BITS.astype(kind)
    image = Image().fit(array)
    x = image.encode(array)
    assert image.binary
    assert image.defaults()["likelihood"] == {"type": "Bernoulli"}
    assert np.array_equal(x.numpy()[:, 0], BITS)
    assert np.array_equal(image.decode(x), array)
    assert image.decode(x).dtype == {np.int64: np.uint8}.get(kind, kind)
    assert np.array_equal(image.pictures(x), BITS * 255)
    assert torch.equal(image.encode(image.decode(x)), x)
    likelier = image.decode(torch.full((1, *image.event), 0.7))
    assert np.allclose(likelier, np.float32(0.7) if kind == np.float32 else 1)


def test_D33_grey_pixels_are_refused_where_two_levels_were_fitted() -> None:
    """Grey pixels are refused by a model of black and white."""
    image = Image().fit(BITS)
    with pytest.raises(DataError, match="between black and white"):
        image.encode(GREY)


def test_threshold() -> None:
    image = Image(binarize="threshold").fit(GREY)
    assert np.array_equal(image.encode(GREY).numpy()[:, 0], GREY > 127)
    assert image.binary
    bits = Image(binarize="threshold").fit(BITS)
    assert np.array_equal(bits.encode(BITS).numpy()[:, 0], BITS)


def test_dynamic_binarization_is_exact_and_seeded() -> None:
    every = np.tile(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (4000, 1, 1))
    image = Image(binarize="dynamic").fit(every)
    x = image.encode(every)
    assert np.array_equal(x.numpy()[:, 0], every)
    drawn = image.transform(x, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.uint8
    assert set(drawn.unique().tolist()) == {0, 1}
    p = torch.arange(256).reshape(1, 16, 16) / 255
    error = (drawn.double().mean(0) - p).abs()
    assert float((error / (p * (1 - p) / 4000).sqrt().clamp(min=1e-9)).max()) < 5
    assert bool((drawn[:, 0, 0, 0] == 0).all())
    assert bool((drawn[:, 0, 15, 15] == 1).all())
    assert torch.equal(drawn, image.transform(x, torch.Generator().manual_seed(0)))
    assert not torch.equal(drawn, image.transform(x, torch.Generator().manual_seed(1)))
    assert np.array_equal(image.decode(drawn), drawn.numpy()[:, 0] * 255)
    assert np.array_equal(image.decode(x), every)


def test_dynamic_binarization_of_two_levels_keeps_them() -> None:
    image = Image(binarize="dynamic").fit(BITS)
    assert np.array_equal(image.transform(image.encode(BITS)).numpy()[:, 0], BITS)


def test_flip_mirrors_half_of_the_rows() -> None:
    array = np.random.default_rng(2).integers(0, 256, (400, 5, 6), dtype=np.uint8)
    image = Image(flip=True).fit(array)
    x = image.encode(array)
    seen = image.augment(x, torch.Generator().manual_seed(0))
    same = (seen == x).flatten(1).all(1)
    mirrored = (seen == x.flip(-1)).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 150 < int(mirrored.sum()) < 250
    assert torch.equal(Image().fit(array).augment(x), x)
    assert torch.equal(image.transform(x), x)  # evaluation sees the images as they are


def test_colours_convert_as_asked() -> None:
    from PIL import Image as Pil

    grey = Image(colour="grey").fit(COLOUR)
    expected = np.stack([np.asarray(Pil.fromarray(c).convert("L")) for c in COLOUR])
    assert np.array_equal(grey.encode(COLOUR).numpy()[:, 0], expected)
    rgb = Image(colour="rgb").fit(GREY)
    assert np.array_equal(rgb.encode(GREY).numpy(), np.repeat(GREY[:, None], 3, axis=1))


@pytest.mark.parametrize("fit_to", ["crop", "pad", "stretch"])
def test_resizing(fit_to: str) -> None:
    white = np.full((2, 8, 4), 255, np.uint8)
    image = Image(size=(4, 4), fit_to=fit_to).fit(white)
    x = image.encode(white)
    assert tuple(x.shape) == (2, 1, 4, 4)
    assert bool((x == 255).all()) == (fit_to != "pad")
    if fit_to == "pad":
        assert bool((x[..., [0, 3]] == 0).all())
        assert bool((x[..., 1:3] == 255).all())
    bits = np.kron(BITS, np.ones((2, 2), np.uint8))
    assert set(Image(size=(5, 5), fit_to=fit_to).fit(bits).encode(bits).unique().tolist()) <= {0, 1}


def test_another_size_is_refused_without_a_size() -> None:
    with pytest.raises(DataError, match="5×7, not 5×6 as fitted"):
        Image().fit(GREY).encode(np.zeros((1, 5, 7), np.uint8))


def test_state_is_json_and_comes_back() -> None:
    for image, array in ((Image(binarize="threshold"), GREY), (Image(), BITS), (Image(size=(3, 4)), COLOUR)):
        image.fit(array)
        state = json.loads(json.dumps(image.state(), allow_nan=False))
        twin = Modality.from_spec(json.loads(json.dumps(image.spec()))).restore(state)
        assert isinstance(twin, Image)
        assert twin.event == image.event
        assert twin.binary == image.binary
        assert torch.equal(twin.encode(array), image.encode(array))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"event": [1, 2]},
        {"event": [2, 5, 5], "two_level": False, "notices": {}, "label_names": None},
        {"event": "abc"},
        {"event": None},
    ],
)
def test_a_damaged_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="Image"):
        Image().restore(state)


def test_before_fit_nothing_is_known() -> None:
    for use in (lambda: Image().event, lambda: Image().encode(GREY), lambda: Image().state()):
        with pytest.raises(UsageError, match="fit"):
            use()


def test_decode_clamps_and_refuses() -> None:
    image = Image().fit(GREY)
    x = torch.tensor([-3.0, 0.4, 0.6, 254.5001, 300.0, 7.0]).repeat(5).reshape(1, 1, 5, 6)
    assert image.decode(x)[0, 0].tolist() == [0, 0, 1, 255, 255, 7]
    with pytest.raises(DataError, match="NaN"):
        image.decode(x * float("nan"))
    with pytest.raises(DataError, match="shape"):
        image.decode(torch.zeros(2, 1, 6, 5))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.booleans(), st.integers(0, 99)
)
def test_round_trip_of_any_bytes(n: int, h: int, w: int, c: int, fortran: bool, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, (n, h, w, c), dtype=np.uint8)
    array[0, 0, 0, 0] = 200
    raw = np.asfortranarray(array) if fortran else array
    image = Image(size=(h, w)).fit(raw)
    assert np.array_equal(image.decode(image.encode(raw)), array[..., 0] if c == 1 else array)
