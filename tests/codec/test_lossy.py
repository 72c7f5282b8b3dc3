"""Lossy pictures: cells of exact mass, files of the size that the model tells, and the same picture however it is decoded."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pil
from scipy.stats import logistic, norm

from lambent.codec import lookup
from lambent.codec.archive import Block
from lambent.codec.content.base import Model
from lambent.codec.content.lossy import RestoredPhotographs
from lambent.codec.extracting import Reading, in_memory
from lambent.codec.files import Options, compress
from lambent.codec.lossy import decode_lossy, encode_lossy
from lambent.codec.lossy.cells import MOST, Cells, factorized_table, normal_cells
from lambent.codec.lossy.pictures import Lossy, steps_of
from lambent.codec.lossy.reach import reach
from lambent.codec.stack import WHOLE, Stack
from lambent.data.kinds.image import Image
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.model.latents import Grid
from lambent.model.likelihoods import DiscretizedLogistics, Gaussian
from lambent.model.networks import ResNet
from lambent.model.posteriors import Diagonal, Uniform
from lambent.model.priors import Factorized
from lambent.model.trace import mean


def built(channels: int = 3, seed: int = 0, **parts: Any) -> Fitted:
    """A model away from its start, so that all of its layers matter."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (4, 32, 32, channels), generator=generator, dtype=torch.uint8).numpy()
    image = Image(crop=32).fit(pictures if channels > 1 else pictures[..., 0])
    grid = Grid("/16x1 /4x1", (3, 4), (6, 8), posterior=Uniform(), prior=Factorized(), activation="relu")
    parts = {"latent": grid, "likelihood": Gaussian("fixed", 0.1), "network": ResNet((5, 6), 1, 8, stem=2), **parts}
    model = LatentModel(**parts).setup(image.event)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        last = model.decoder[-2]  # so that grey levels lie between black and white
        last.weight.mul_(0.4)
        last.bias.fill_(0.5)
    return Fitted(model.eval(), image)


@pytest.fixture(scope="module")
def codec() -> Lossy:
    return Lossy(built())


def photograph(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth shapes and some noise."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / 40
    smooth = np.stack([np.sin(y * (1 + c)) * np.cos(x) for c in range(channels)], -1)
    made = 127 + 90 * smooth + generator.normal(0, 8, smooth.shape)
    return np.clip(made, 0, 255).astype(np.uint8)


# ---- cells -----------------------------------------------------------------------------------------------------------


def test_cells_of_normals_have_their_mass_and_come_back() -> None:
    generator = np.random.default_rng(1)
    scales = np.concatenate([[0.105, 0.105, 1.0, 300.0], np.exp(generator.uniform(-2.2, 4.5, 2000))])
    cells = normal_cells(np.floor(np.log(scales) * 4096 + 0.5).astype(np.int64), 0)
    values = np.rint(generator.normal(0, scales)).astype(np.int64)
    values[0], values[1] = MOST, -MOST  # as far off as can be: one quantum
    start, frequency = cells.intervals(values)
    assert frequency[0] == frequency[1] == 1
    assert start[0] + 1 == WHOLE
    assert start[1] == 0
    known = norm.cdf(values + 0.5, scale=scales) - norm.cdf(values - 0.5, scale=scales)
    bits = np.log2(WHOLE / frequency[2:]).mean() + np.log2(known[2:]).mean()
    assert abs(bits) < 0.01  # of single values, which scales by the nearest table make; the mean over all is 0.0005
    stack = Stack(7)
    cells.push(stack, values)
    assert (cells.pop(stack) == values).all()
    assert stack.is_empty


def test_the_quanta_of_a_factorized_prior_are_its_masses() -> None:
    prior = Factorized(2)
    prior.setup((2, 1, 1), torch.zeros(1, 1))
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([[0.3, -1.0], [-0.2, 1.0]]))
        prior.location.copy_(torch.tensor([[0.3, -2.0], [4.0, 1.0]]))
    table = factorized_table(prior)
    weights = torch.softmax(prior.logits.double(), 0).detach().numpy()
    means, widths = (each.detach().double().numpy() for each in (prior.location, prior.log_scale.exp()))
    values = np.arange(-30, 31)
    for channel in (0, 1):
        known = sum(
            weights[k, channel]
            * np.diff(logistic.cdf(np.append(values, 31) - 0.5, means[k, channel], widths[k, channel]))
            for k in (0, 1)
        )
        _, frequency = Cells(table, np.full(len(values), channel)).intervals(values)
        np.testing.assert_allclose(frequency / WHOLE, known, atol=2.0**-22, rtol=2e-4)
    assert (table.starts[:, 0] == 0).all()
    assert (table.starts[:, -1] == WHOLE).all()
    assert (np.diff(table.starts, axis=1) > 0).all()


def test_every_slot_is_found_in_its_cell() -> None:
    rows = np.array([-2.25, 0.0, 3.0, 6.9])
    cells = normal_cells((np.repeat(rows, 500) * 4096).astype(np.int64), 0)
    slots = np.tile(np.concatenate([[0, WHOLE - 1], np.random.default_rng(2).integers(0, WHOLE, 498)]), 4)
    values, start, frequency = cells.find(slots, slice(0, len(slots)))
    assert ((start <= slots) & (slots < start + frequency)).all()
    again, width = cells.intervals(values)
    assert (again == start).all()
    assert (width == frequency).all()


def test_quality_halves_its_steps_by_sixteens() -> None:
    assert steps_of(50) == (1.0, 0)
    assert steps_of(66)[0] == 0.5
    assert steps_of(34)[0] == 2.0
    assert steps_of(66)[1] == round(-math.log(2) * 4096)


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (37, 90), (130, 61)])
def test_a_picture_of_any_size_comes_back_as_what_the_model_makes_of_its_rounded_codes(
    codec: Lossy, size: tuple[int, int]
) -> None:
    pixels = photograph(*size)
    (again,) = decode_lossy(codec, encode_lossy(codec, [pixels]))
    assert again.shape == pixels.shape
    assert again.dtype == np.uint8
    if size == (32, 32):  # the float32 model's own rounded codes give that picture, but for edges of rounding
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        with torch.no_grad():
            location = codec.fitted.model.trace(x, 1, mean).px.mean[0, 0]
        expected = (location.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
        assert expected.std() > 5
        assert np.abs(expected - again).mean() < 0.1 * expected.std()  # some codes fall to the other side of an edge


def test_a_grey_picture_comes_back_grey() -> None:
    fitted = built(1)
    (again,) = decode_lossy(fitted, encode_lossy(fitted, [photograph(40, 50, 1)[..., 0]]))
    assert again.shape == (40, 50)


def test_tiles_equal_the_whole_to_the_bit(codec: Lossy) -> None:
    pixels = torch.from_numpy(photograph(250, 420)).permute(2, 0, 1)[None]
    data = codec.encode(pixels)
    whole = codec.decode(data, tile=1024)
    assert 0 < codec.halves.around_picture < 64
    for tile in (48, 64, 160):
        assert torch.equal(codec.decode(data, tile=tile), whole)


def test_the_picture_hangs_on_no_threads(codec: Lossy) -> None:
    data = codec.encode(torch.from_numpy(photograph(90, 120)).permute(2, 0, 1)[None])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = codec.decode(data)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(two, codec.decode(data))


def test_the_size_is_what_the_model_tells(codec: Lossy) -> None:
    """−log2 p̃ of the rounded codes, but for the stack's heads. The nearest table's width errs one way for all codes here, for
    the model was not trained; in one that was, such errors cancel to first order.
    """
    pixels = torch.from_numpy(photograph(512, 512)).permute(2, 0, 1)[None]
    model = codec.fitted.model.resized((3, 512, 512)).eval()
    with torch.no_grad():
        nodes = model.infer(pixels, 1, mean)
        bits = -sum(float(node.p.log_prob(node.z)) for node in nodes) / math.log(2)
    data = codec.encode(pixels)
    lanes = 1 << data[9]
    assert 0.99 * bits < 8 * (len(data) - 10 - 4 * lanes) < 1.015 * bits


def test_more_quality_takes_more_bytes_and_errs_less(codec: Lossy) -> None:
    pixels = torch.from_numpy(photograph(96, 96)).permute(2, 0, 1)[None]
    sizes = [len(codec.encode(pixels, quality)) for quality in (1, 25, 50, 75, 100)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 5


def test_several_pictures_and_what_is_wrong_with_bytes(codec: Lossy) -> None:
    pictures = [photograph(20, 30), photograph(33, 16)]
    data = encode_lossy(codec, pictures, quality=60)
    assert [each.shape for each in decode_lossy(codec, data)] == [(20, 30, 3), (33, 16, 3)]
    for cut in (0, 3, 9, 14, 18, 22, 40, len(data) - 1):
        with pytest.raises(ArtifactError):
            decode_lossy(codec, data[:cut])
    with pytest.raises(ArtifactError, match="behind the last"):
        decode_lossy(codec, data + b"x")
    with pytest.raises(ArtifactError, match="another model"):
        decode_lossy(built(seed=3), data)


def test_flipped_bits_of_codes_are_told(codec: Lossy) -> None:
    """What was pushed leaves every head as it began: 32 bits of each lane that a changed byte does not meet by chance."""
    data = bytearray(codec.encode(torch.from_numpy(photograph(64, 64)).permute(2, 0, 1)[None]))
    for place in range(10, len(data), 7):
        damaged = bytearray(data)
        damaged[place] ^= 4
        with pytest.raises(ArtifactError):
            codec.decode(bytes(damaged))


def test_C6_a_picture_larger_than_its_block_is_refused_before_it_is_made(codec: Lossy) -> None:
    """A head that says 2^20 pixels a side is held against the block's size: nothing is allocated for it."""
    x = torch.from_numpy(photograph(20, 30)).permute(2, 0, 1)[None]
    payload = codec.encode(x)
    assert codec.size(payload) == 3 * 20 * 30
    restored, model = RestoredPhotographs(lambda path, form, content: None), Model(codec.fitted, codec)
    raw = codec.decode(payload).numpy().astype(np.uint8).tobytes()
    assert restored.decode(model, Block.coded(raw, 1, payload, 1), {}) == raw
    forged = struct.pack("<II", 1 << 20, 1 << 20) + payload[8:]
    with pytest.raises(ArtifactError, match=r"1,800 bytes, and describes a picture of 3,298,534,883,328"):
        restored.decode(model, Block.coded(raw, 1, forged, 1), {})


@pytest.mark.parametrize("head", [(0, 5, 50, 0), (5, 1 << 21, 50, 0), (5, 5, 0, 0), (5, 5, 101, 0), (5, 5, 50, 40)])
def test_hostile_heads_are_refused(codec: Lossy, head: tuple[int, int, int, int]) -> None:
    with pytest.raises(ArtifactError, match="head of a picture"):
        codec.decode(struct.pack("<IIBB", *head) + bytes(8))


@pytest.mark.parametrize("quality", [0, 101, 50.5, "high"])
def test_a_quality_that_is_none_is_refused(codec: Lossy, quality: Any) -> None:
    with pytest.raises(UsageError, match="whole number from 1 to 100"):
        encode_lossy(codec, [photograph(8, 8)], quality)


def test_models_that_are_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="not made to be rounded"):
        Lossy(built(latent=Grid("/16x1 /4x1", (3, 4), (6, 8), posterior=Diagonal())))
    with pytest.raises(UsageError, match="DiscretizedLogistics likelihood"):
        Lossy(built(likelihood=DiscretizedLogistics()))
    with pytest.raises(UsageError, match="of one size whatever the picture"):
        Lossy(built(latent=Grid("1x1 /4x1", (3,), (6,), posterior=Uniform(), prior=Factorized())))


def test_the_reach_of_a_convolution_is_its_kernel() -> None:
    layer = torch.nn.Conv2d(1, 1, 7, padding=3)
    assert reach(lambda size: layer, 1, 1, 1) == 3
    assert reach(lambda size: layer, 1, 1, 8) == 8  # in whole steps


# ---- in archives -----------------------------------------------------------------------------------------------------


def test_a_folder_of_photographs_into_an_archive_and_back(tmp_path: Path) -> None:
    """Pictures come back as the codec decodes them, in every size; other files byte for byte; the model travels inside."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in (("a.png", (40, 50)), ("b.png", (70, 33))):
        Pil.fromarray(photograph(*size)).save(folder / name)
    (folder / "note.txt").write_text("taken at noon\n")
    made = compress(built(), folder, tmp_path / "x.lam", Options(model=True, quality=50))
    assert (made.archive.header["kind"], made.items, made.failed) == ("lossy", 3, 0)
    assert made.archive.coded_items == 2
    found = in_memory(tmp_path / "x.lam", Reading())[1]
    own = Lossy(lookup.rounded(built(), made.archive.header["weight_bits"]))
    for name, size in (("a.png", (40, 50)), ("b.png", (70, 33))):
        assert (found[name] == decode_lossy(own, encode_lossy(own, [photograph(*size)]))[0]).all()
    assert found["note.txt"] == b"taken at noon\n"


def test_a_quality_is_for_files_of_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="for pictures in files"):
        compress(built(), photograph(40, 50)[None], tmp_path / "x.lam", Options(quality=50))
    Pil.fromarray(photograph(40, 50)).save(tmp_path / "a.png")
    with pytest.raises(UsageError):
        compress(built(), tmp_path / "a.png", tmp_path / "x.lam", Options(quality=101))
