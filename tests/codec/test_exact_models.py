"""Exact models: the float model's numbers to within the rounding, and the same bits whatever computes them."""

import copy
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lambent.codec.exact import elementary, probing
from lambent.codec.exact.compiling import compiled, exact
from lambent.codec.exact.dyadic import rounded, whole
from lambent.codec.exact.layers import Tabled
from lambent.codec.exact.probing import probe
from lambent.distributions.shaped import vector
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.priors import Standard
from lambent.model.trace import from_posterior
from lambent.part import Spec

SCRIPT = Path(__file__).with_name("exact_bits.py")
BITS = {
    "mlp": "247bc1b6fe0ddea5",
    "mlp with a linear map": "604c60b8bd97f7d7",
    "ladder": "4625c80f06440b61",
    "conv": "1dec5fc539f5ae2c",
    "resnet": "b1c2fddb239bdf71",
    "resnet of one column": "8139c109dc39d17c",
    "grid of sizes": "a82f589dc4c1c385",
    "grid of shares": "a4af9b7ae1df3497",
}


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("exact_bits", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bits = _loaded()


@pytest.mark.parametrize("name", bits.MODELS)
def test_an_exact_model_is_the_float_model_within_the_rounding(name: str) -> None:
    model = bits.model_of(name)
    before = copy.deepcopy(model.state_dict())
    form, rows = exact(model), bits.rows_of(model, 24)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())  # it stays as it was
    raw, nodes = form.passed(rows, bits.on_the_grid)
    codes = [node.z for node in nodes]
    wanted, references = model.double().passed(rows, lambda node, level: codes[level])
    for node, reference in zip(nodes, references, strict=True):
        pairs = [(node.q, reference.q)] if node is nodes[0] else [(node.q, reference.q), (node.p, reference.p)]
        for found, float_one in pairs:
            for side in ("location", "log_scale"):
                number, float_number = getattr(vector(found), side), getattr(vector(float_one), side)
                assert torch.equal(number, rounded(number)), (name, side)
                torch.testing.assert_close(number, float_number, atol=0.004, rtol=0)
    assert torch.equal(raw, rounded(raw))
    torch.testing.assert_close(raw, wanted, atol=0.004, rtol=0)
    assert float(wanted.std()) > 0.05  # 200 units of the last place and more: there is something to be near to


@pytest.mark.parametrize("name", bits.MODELS)
def test_a_batch_of_one_gives_the_bits_of_a_batch_of_256_and_they_are_these(name: str) -> None:
    assert bits.told(exact(bits.model_of(name))) == BITS[name]


@pytest.mark.parametrize(
    ("threads", "environment"),
    [
        ("2", {}),
        ("1", {"ATEN_CPU_CAPABILITY": "avx512"}),
        ("1", {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}),
        ("2", {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
    ],
    ids=["two threads", "avx512", "avx2", "no vectors"],
)
def test_bits_are_the_same_by_other_threads_and_other_code(threads: str, environment: dict[str, str]) -> None:
    """Libraries choose their code by the processor; here by what they are told of it."""
    if environment.get("ATEN_CPU_CAPABILITY") == "avx512" and not torch.cpu._is_avx512_supported():
        pytest.skip("this processor has no AVX-512")
    names = ["mlp with a linear map", "ladder", "conv", "grid of shares"]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"} | environment
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), threads, *names], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout) == {name: BITS[name] for name in names}


def test_the_self_test_hangs_on_no_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture's place more or less at once, as on another device, and the hash of every layer is the same."""
    model = bits.model_of("conv")
    wanted = probe(exact(model))
    monkeypatch.setattr("lambent.codec.exact.compiling.PLACES", 1)
    assert probe(exact(model)) == wanted


def test_an_exact_model_stands_still_and_its_top_prior_is_left_to_the_codec() -> None:
    form = exact(bits.model_of("resnet").train().requires_grad_())
    assert not form.training
    assert not any(weight.requires_grad for weight in form.parameters())
    assert type(form.latent.prior) is Standard
    assert {weight.dtype for weight in (*form.latent.parameters(), *form.decoder.parameters())} == {torch.float64}
    assert form.anchor.dtype == torch.float64


def test_more_bits_of_weights_come_nearer_and_too_many_are_refused() -> None:
    model, rows = bits.model_of("mlp"), bits.rows_of(bits.model_of("mlp"), 50)
    wanted = copy.deepcopy(model).double().passed(rows, bits.on_the_grid)[1][0].q.location
    errors = []
    for number in (6, 10, 20):
        found = exact(model, number).passed(rows, bits.on_the_grid)[1][0].q.location
        errors.append(float((found - wanted).abs().mean()))
    assert errors[0] > 4 * errors[1] > 8 * errors[2]
    with pytest.raises(UsageError, match="exact up to 2 with weights of 30 bits behind the point"):
        exact(model, 30)


def test_the_self_test_tells_a_change_of_one_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    form = exact(bits.model_of("conv"))
    told = probe(form)
    assert probe(form) == told
    assert len(told) == 32
    table = next(module for module in form.decoder.modules() if isinstance(module, Tabled)).table
    off = copy.deepcopy(form)
    for module in off.decoder.modules():
        if isinstance(module, Tabled):
            module.table = table + 2.0**-12
    assert probe(off) != told
    off = copy.deepcopy(form)
    list(off.encoder.parameters())[1][:1] += 1.0  # one channel of the first layer is higher by the last place
    assert probe(off) != told

    right = elementary.normal_cdf
    monkeypatch.setattr(elementary, "normal_cdf", lambda x: np.nextafter(right(x), 1.0))
    assert probe(form) != told


def test_the_bound_of_an_exact_model_is_the_float_models() -> None:
    """Whole ELBOs, by the same noise."""
    for name in ("mlp", "mlp with a linear map", "ladder"):
        model = bits.model_of(name)
        rows, form = bits.rows_of(model, 64), exact(model)
        draws = [from_posterior(torch.Generator().manual_seed(3)) for _ in range(2)]
        traces = [form.trace(rows, 1, draws[0]), model.double().trace(rows, 1, draws[1])]
        elbos = [trace.log_px - trace.kl for trace in traces]
        assert abs(float((elbos[0] - elbos[1]).mean())) < 3e-4 * abs(float(elbos[1].mean()))


REFUSED: dict[str, tuple[Spec, tuple[int, ...], str]] = {
    "attention": (
        {"network": {"type": "Transformer", "width": 8, "depth": 1}},
        (1, 8, 8),
        "the Transformer network has no exact form, which coding needs: use Conv or Mlp or ResNet or Wave",
    ),
    "full covariances of q": (
        {"latent": {"type": "Flat", "posterior": "Full"}},
        (6,),
        "the Full posterior has no exact form, which coding needs: use Diagonal or Constant",
    ),
    "no encoder": (
        {"latent": {"type": "Flat", "posterior": "Absent"}},
        (6,),
        "this model has no encoder",
    ),
    "an ensemble": ({"members": 3}, (6,), "an ensemble of 3 models has no one code for a row: use members=1"),
    "a context": ({"context": 2}, (6,), "conditioned on 2 numbers a row, which an archive does not hold"),
    "gaps": ({"gaps": True}, (6,), "gaps=True leaves missing values out"),
    "a density": (
        {"likelihood": "Gaussian"},
        (6,),
        "Gaussian has a density and no probabilities, .*: use DiscretizedLogistics for images, Bernoulli for binary data",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_code_is_refused_in_a_sentence(name: str) -> None:
    spec, event, sentence = REFUSED[name]
    model = LatentModel.from_spec({"type": "LatentModel"} | spec).setup(event)
    with pytest.raises(UsageError, match=sentence):
        exact(model)


def test_networks_alone_are_compiled_for_a_density_too() -> None:
    model = LatentModel.from_spec({"type": "LatentModel", "likelihood": "Gaussian"}).setup((6,)).requires_grad_(False)
    rows = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    raw = compiled(model).passed(rows, bits.on_the_grid)[0]
    assert whole(raw).dtype == np.int64
    torch.testing.assert_close(raw, model.double().passed(rows, bits.on_the_grid)[0], atol=0.004, rtol=0)


def test_numbers_for_a_self_test_are_dyadic_and_spread() -> None:
    made = probing._made((3, 1000), 1)
    assert torch.equal(made, rounded(made, 8))
    assert float(made.min()) < -0.9
    assert float(made.max()) > 0.9
    assert abs(float(made.mean())) < 0.05
