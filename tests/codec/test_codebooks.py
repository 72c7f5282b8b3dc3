"""Codebooks through the codec: without loss, nothing borrowed, at the float model's negative ELBO."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lambent
from lambent.codec.codebooks.attention import ExactNorm, ExactTransformer, reach
from lambent.codec.codebooks.prior import EvenTop, TransformerTop
from lambent.codec.exact.compiling import compiled
from lambent.codec.exact.dyadic import whole
from lambent.codec.leaves.codes import Certain
from lambent.codec.rows import RowCodec
from lambent.codec.stack import Stack
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Codebook
from lambent.model.priors import Transformer
from lambent.model.trace import from_posterior
from lambent.objectives import Elbo
from lambent.training.fitting import fit

QUANTIZERS: dict[str, dict[str, Any]] = {
    "Finite": {"type": "Finite", "levels": [4, 3, 3]},
    "Nearest": {"type": "Nearest", "entries": 24, "size": 5},
}
TRANSFORMER = {"type": "Transformer", "width": 24, "depth": 2, "heads": 3}


def pictures(count: int, seed: int = 0) -> Tensor:
    """Grey blobs at random places, in noise."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(1, 6, (count, 2, 1, 1))
    down, across = np.mgrid[:8, :8]
    blobs = 200 * np.exp(-((down - places[:, 0]) ** 2 + (across - places[:, 1]) ** 2) / 4)
    noisy = blobs[:, None] * rng.uniform(0.5, 1, (count, 1, 1, 1)) + rng.normal(20, 3, (count, 1, 8, 8))
    return torch.from_numpy(np.clip(noisy, 0, 255).astype(np.uint8))


@cache
def trained(quantizer: str, prior: str) -> LatentModel:
    latent = {
        "type": "Codebook",
        "quantizer": QUANTIZERS[quantizer],
        "prior": TRANSFORMER if prior == "Transformer" else prior,
    }
    network = {"type": "Conv", "channels": [8, 12], "width": 32}
    spec = {"type": "LatentModel", "likelihood": "DiscretizedLogistics", "latent": latent, "network": network}
    model = LatentModel.from_spec(spec)
    x = pictures(512, 1)
    model.setup((1, 8, 8), x)
    fit(model, Elbo(), x, epochs=8, batch=64, learning_rate=5e-3)
    return model.eval()


CASES = [("Finite", "Uniform"), ("Finite", "Transformer"), ("Nearest", "Transformer")]


@pytest.mark.parametrize(("quantizer", "prior"), CASES)
def test_rows_come_back_at_the_negative_elbo_and_nothing_is_borrowed(quantizer: str, prior: str) -> None:
    model, x = trained(quantizer, prior), pictures(300, 2)
    codec = RowCodec(model)
    coded = codec.encode(x)
    assert (codec.decode(coded) == x).all()
    assert coded.borrowed <= 4  # the words that lanes begin with
    trace = model.double().trace(x, 1, from_posterior(torch.Generator()))
    nats = -float((trace.log_px - trace.kl).sum().detach())
    model.float()
    assert 8 * len(coded.data) == pytest.approx(nats / math.log(2), rel=5e-3, abs=200)


@pytest.mark.parametrize(("quantizer", "prior"), CASES)
def test_a_codec_made_anew_reads_it(quantizer: str, prior: str) -> None:
    model, x = trained(quantizer, prior), pictures(40, 3)
    coded = RowCodec(model).encode(x)
    assert (RowCodec(model).decode(coded) == x).all()
    assert RowCodec(model).probe() == RowCodec(model).probe()


def test_another_prior_is_told_by_the_probe() -> None:
    model = trained("Finite", "Transformer")
    before = RowCodec(model).probe()
    latent = model.latent
    assert isinstance(latent, Codebook)
    assert isinstance(latent.prior, Transformer)
    kept = latent.prior.head.bias.detach().clone()
    try:
        with torch.no_grad():
            latent.prior.head.bias[0] += 0.01
        assert RowCodec(model).probe() != before
    finally:
        with torch.no_grad():
            latent.prior.head.bias.copy_(kept)


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_the_exact_transformer_is_the_float_one_to_within_the_rounding(spread: float) -> None:
    torch.manual_seed(0)
    prior = Transformer(width=24, depth=3, heads=4)
    prior.setup((30, 4, 5), torch.zeros(0))
    with torch.no_grad():
        for weight in prior.parameters():
            weight.add_(torch.randn_like(weight) * spread)
    exact, numbers = ExactTransformer(prior.double(), 16), torch.randint(30, (9, 20))
    caches = exact.caches(9)
    befores = [numbers[:, place - 1] if place else None for place in range(20)]
    found = [exact.logits(exact.step(before, place, caches, 9)) for place, before in enumerate(befores)]
    wanted = prior.logits(numbers).detach()
    nats = [
        torch.log_softmax(logits, -1).gather(-1, numbers[..., None]).sum() for logits in (torch.stack(found, 1), wanted)
    ]
    assert float(nats[0]) == pytest.approx(float(nats[1]), rel=2e-3)
    assert float((torch.stack(found, 1) - wanted).abs().max()) < 0.1


def test_one_row_is_the_same_beside_others_and_by_itself() -> None:
    latent = trained("Finite", "Transformer").latent
    assert isinstance(latent, Codebook)
    assert isinstance(latent.prior, Transformer)
    exact = ExactTransformer(latent.prior, 16)
    numbers = torch.randint(36, (7, exact.places), generator=torch.Generator().manual_seed(1))

    def told(rows: Tensor) -> np.ndarray:
        caches, found = exact.caches(len(rows)), []
        for place in range(exact.places):
            state = exact.step(rows[:, place - 1] if place else None, place, caches, len(rows))
            found.append(whole(exact.logits(state)))
        return np.stack(found, 1)

    every = told(numbers)
    for row in range(7):
        assert (told(numbers[row : row + 1])[0] == every[row]).all()


@pytest.mark.parametrize("kind", ["even", "transformer"])
def test_priors_pop_what_they_push_and_the_stack_is_as_before(kind: str) -> None:
    if kind == "even":
        prior: EvenTop | TransformerTop = EvenTop(36, 4)
    else:
        latent = trained("Finite", "Transformer").latent
        assert isinstance(latent, Codebook)
        assert isinstance(latent.prior, Transformer)
        prior = TransformerTop(ExactTransformer(latent.prior, 16))
    z = np.random.default_rng(0).integers(0, 36, (13, 4))
    stack = Stack(4, 5)
    before = stack.to_bytes()
    prior.push(stack, z)
    assert (prior.pop(stack, 13) == z).all()
    assert stack.to_bytes() == before


def test_what_is_certain_costs_nothing() -> None:
    stack, values = Stack(2, 1), np.arange(6)
    before = stack.to_bytes()
    assert (Certain(values).pop(stack) == values).all()
    Certain(values).push(stack, values)
    assert stack.to_bytes() == before


def test_entries_that_lie_close_are_not_taken_for_one_another() -> None:
    """512 entries of two numbers, most of them nearer to another than the rounding: the decoder reads what the encoder meant."""
    latent = {"type": "Codebook", "quantizer": {"type": "Nearest", "entries": 512, "size": 2}}
    spec = {"type": "LatentModel", "likelihood": "DiscretizedLogistics", "latent": latent, "network": "Conv"}
    x = pictures(100, 6)
    model = LatentModel.from_spec(spec).setup((1, 8, 8), x).eval()
    assert isinstance(model.latent, Codebook)
    with torch.no_grad():
        model.latent.quantizer.codebook.mul_(0.02)
        model.latent.quantizer.head.weight.mul_(0.02)
    form = compiled(model).latent
    assert isinstance(form, Codebook)
    every = torch.arange(512).reshape(512, 1, 1)
    assert (form.quantizer.number(form.quantizer.entry(every)) != every).any()
    codec = RowCodec(model)
    assert (codec.decode(codec.encode(x)) == x).all()


@pytest.mark.parametrize("width", [98, 150, 24])
def test_a_norm_divides_by_its_width_and_not_by_its_reciprocal(width: int) -> None:
    """As whole numbers have it: the mean rounded to 2^-12, half of one up."""
    norm = ExactNorm(torch.nn.LayerNorm(width))
    x = torch.from_numpy(np.random.default_rng(width).integers(-(1 << 14), 1 << 14, (500, width)) / 4096)
    mean = norm.mean(x)[:, 0]
    sums = (x * 4096).sum(-1).long().tolist()
    assert (mean * 4096).long().tolist() == [(2 * total + width) // (2 * width) for total in sums]


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_numbers_are_those_of_the_float_codebook_but_at_the_edges(quantizer: str) -> None:
    model, x = trained(quantizer, "Transformer"), pictures(64, 4)
    form = compiled(model)
    numbers = [one.infer(x.to(dtype))[0].q.numbers for one, dtype in ((form, torch.float64), (model, torch.float32))]
    assert float((numbers[0] == numbers[1]).double().mean()) > 0.99
    assert isinstance(form.latent, Codebook)
    entries = form.latent.quantizer.entry(numbers[0])
    assert torch.equal(entries, torch.from_numpy(whole(entries) / 4096))
    assert torch.equal(form.latent.quantizer.entry(form.latent.quantizer.number(entries)), entries)


def test_sums_stay_exact() -> None:
    """The greatest sum by the sizes that numbers are cut to is below 2^53 units, and twice that size would not be."""
    for bits, terms, factors in ((24, 128, 2), (24, 65536, 2), (34, 64, 1), (34, 4096, 1)):
        size = reach(bits, terms, factors)
        assert terms * size**factors * 2**bits <= 2**53
        assert size == 2**10 or terms * (2 * size) ** factors * 2**bits > 2**53


def test_more_entries_than_a_symbol_tells_apart_are_refused() -> None:
    latent = {"type": "Codebook", "quantizer": {"type": "Finite", "levels": [300, 300]}}
    spec = {"type": "LatentModel", "likelihood": "DiscretizedLogistics", "latent": latent, "network": "Conv"}
    model = LatentModel.from_spec(spec).setup((1, 8, 8))
    with pytest.raises(UsageError, match="a codebook of 90,000 entries cannot be coded: 65,536 are allowed"):
        RowCodec(model)


def test_an_archive_by_a_codebook(tmp_path: Path) -> None:
    """compress and decompress, the model inside."""
    x = pictures(80, 5).numpy()[:, 0]
    vae = lambent.VAE(
        likelihood="DiscretizedLogistics",
        latent={"type": "Codebook", "quantizer": QUANTIZERS["Finite"], "prior": TRANSFORMER},
        network={"type": "Conv", "channels": [8, 12], "width": 32},
        epochs=2,
    ).fit(x)
    np.save(tmp_path / "x.npy", x)
    lambent.Codec(vae).compress(tmp_path / "x.npy", tmp_path / "x.lam", with_model=True)
    lambent.Codec().decompress(tmp_path / "x.lam", tmp_path / "y.npy")
    assert (np.load(tmp_path / "y.npy") == x).all()
