"""A packed model: the same parts, each weight the nearest multiple of 2^-bits, in about as many bits as it has information."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from lambent import Bernoulli, Conv, Flat, Gaussian, Ladder, LatentModel, Mixture, Mlp, Vamp
from lambent.codec import pack
from lambent.codec.archive.folding import folded
from lambent.codec.pack import packed, unpacked
from lambent.data import Image
from lambent.errors import ArtifactError, UsageError
from lambent.fitted import Fitted, save

MODELS = {
    "mixture": lambda: LatentModel(Flat(3, Mixture(4)), Bernoulli(), Mlp(8, 1)).setup((5,)),
    "vamp": lambda: LatentModel(Flat(2, Vamp(3)), Bernoulli(), Conv((2,), 4)).setup((1, 4, 4)),
    "ladder": lambda: LatentModel(Ladder((2, 1), 4), Gaussian("each"), Mlp(4, 1)).setup((3,)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("bits", [6, 12, 16])
def test_weights_are_the_nearest_multiples(name: str, bits: int) -> None:
    model = MODELS[name]()
    back = unpacked(packed(model, bits)).model
    assert back.spec() == model.spec()
    mine, theirs = model.state_dict(), back.state_dict()
    assert list(mine) == list(theirs)
    weights = dict(model.named_parameters())
    for key, tensor in mine.items():
        wanted = (
            torch.from_numpy(np.rint(tensor.double().numpy() * 2.0**bits) * 2.0**-bits) if key in weights else tensor
        )
        assert torch.equal(theirs[key].double(), wanted.double()), key
        assert theirs[key].dtype == tensor.dtype


def test_packing_again_changes_nothing() -> None:
    once = packed(MODELS["mixture"](), 10)
    assert packed(unpacked(once), 10) == once


def test_the_modality_comes_along_and_nothing_else() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    modality = Image().fit(pictures)
    fitted = Fitted(MODELS["vamp"](), modality, {"data": "/home/me"})
    back = unpacked(packed(fitted))
    assert back.modality is not None
    assert back.modality.spec() == fitted.modality.spec()
    assert back.modality.state() == fitted.modality.state()
    assert b"/home/me" not in packed(fitted)
    assert back.provenance == {}


def test_weights_cost_their_information() -> None:
    """200,000 normal weights of deviation 0.05 at 2^-12: log2(0.05·2^12·√(2πe)) bits each, and 2 % at most for all else."""
    model = LatentModel(Flat(2), Gaussian(), Mlp(440, 2)).setup((2,))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.05, generator=generator)
    count = sum(weight.numel() for weight in model.parameters())
    assert count > 200_000
    information = count * math.log2(0.05 * 2**12 * math.sqrt(2 * math.pi * math.e)) / 8
    assert information < len(packed(model, 12)) < 1.02 * information


def test_weights_beyond_float32_are_kept_as_they_are() -> None:
    model = MODELS["mixture"]()
    weight = next(iter(model.parameters()))
    with torch.no_grad():
        weight[0] = 1e20
    back = next(iter(unpacked(packed(model)).model.parameters()))
    assert torch.equal(weight, back)


@pytest.mark.parametrize("bits", [0, 25])
def test_bits_that_cannot_be(bits: int) -> None:
    with pytest.raises(UsageError, match=r"rounded to 1 … 24 bits"):
        packed(MODELS["mixture"](), bits)


# ---- damage --------------------------------------------------------------------------------------------------------


def test_C2_a_packed_model_cut_at_every_byte() -> None:
    """A packed model cut anywhere is refused in one line."""
    data = packed(LatentModel(Flat(1), Gaussian(), Mlp(1, 1)).setup((1,)), 8)
    for length in range(len(data)):
        with pytest.raises(ArtifactError, match="the model inside cannot be read") as caught:
            unpacked(data[:length])
        assert "\n" not in str(caught.value)


def repacked(data: bytes, old: bytes, new: bytes) -> bytes:
    """With some of its description replaced."""
    version, bits, lanes, first, text, second, tables = pack.SIZES.unpack_from(data)
    at = pack.SIZES.size
    said = pack.unfolded(data[at : at + first], text)
    assert old in said
    said = said.replace(old, new, 1)
    sizes = pack.SIZES.pack(version, bits, lanes, len(folded(said)), len(said), second, tables)
    return sizes + folded(said) + data[at + first :]


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        (b'"shape":[', b'"shape":[1000000000,1000,', "far larger than its bytes"),
        (b'"shape":[', b'"shape":[-1,', "far larger than its bytes"),
        (b'"bins":', b'"bins":9', "break off"),
        (b'"bins":', b'"bins":-', "beyond its limits"),
        (b'"low":', b'"low":99999999999', "beyond its limits"),
        (b'"header"', b'"Header"', "KeyError"),
        (b'"Flat"', b'"Flap"', "describes a model that cannot be built"),
    ],
)
def test_C6_a_packed_model_that_claims_too_much(old: bytes, new: bytes, wrong: str) -> None:
    """Tensors larger than the bytes can tell, histograms beyond limits, unknown parts: refused before they are made."""
    data = packed(LatentModel(Flat(1), Gaussian(), Mlp(2, 1)).setup((2,)), 8)
    with pytest.raises(ArtifactError, match=f"the model inside cannot be read: .*{wrong}"):
        unpacked(repacked(data, old, new))


def test_a_later_format_says_so() -> None:
    data = packed(MODELS["mixture"]())
    with pytest.raises(ArtifactError, match="packed by format 2, and this version reads 1: update lambent"):
        unpacked(struct.pack("<B", 2) + data[1:])


def test_a_packed_model_is_smaller_than_its_file(tmp_path: Path) -> None:
    model = LatentModel(Flat(8), Bernoulli(), Mlp(256, 2)).setup((64,))
    assert len(packed(model, 12)) < 0.4 * save(tmp_path / "m", model).stat().st_size
