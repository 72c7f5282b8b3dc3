"""The law of the whole model: seeds, precision, refusals, and what it leaves behind in the process."""

import random
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent.distributions import sample
from lambent.errors import DataError, DivergedError, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat, Ladder
from lambent.model.likelihoods import Bernoulli, Categorical, Gaussian, Mixed
from lambent.model.networks import Conv, Mlp
from lambent.model.priors import Vamp
from lambent.model.trace import fixed, from_posterior, from_prior
from lambent.objectives import Elbo, Objective
from lambent.part import Part, Spec
from lambent.seeds import seeded
from lambent.training.fitting import fit
from lambent.training.precision import computing

Seed = Callable[[int], torch.Generator]
Assembled = Callable[..., tuple[LatentModel, Tensor]]


def state_of_the_process(device: torch.device) -> dict[str, Any]:
    """Everything global that a library must leave as it found it."""
    numpy_state = np.random.get_state()  # noqa: NPY002  the legacy state is what must not be touched
    found = {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (numpy_state[1].tolist(), numpy_state[2]),
        "python": random.getstate(),
        "matmul": torch.get_float32_matmul_precision(),
        "products": [
            getattr(b, "fp32_precision", None) for b in (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)
        ],
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()),
        "gradients": torch.is_grad_enabled(),
        "default": (torch.get_default_dtype(), str(torch.get_default_device())),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "tf32": (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
    }
    if device.type == "cuda":
        found["cuda"] = [state.tolist() for state in torch.cuda.get_rng_state_all()]
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_fit_leaves_the_process_as_it_found_it(
    objective_spec: Spec, precision: str, unassembled: Assembled, device: torch.device
) -> None:
    model, x = unassembled(objective=objective_spec)
    before = state_of_the_process(device)
    fit(model, Objective.from_spec(objective_spec), x, epochs=2, batch=3, precision=precision, device=device.type)
    assert state_of_the_process(device) == before


def test_products_set_by_the_newer_way_stay_so_and_do_not_disturb(unassembled: Assembled) -> None:
    """Once a backend's own precision is set, torch refuses to tell the general one."""
    backend = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(backend, "fp32_precision"):
        pytest.skip("this PyTorch has one way only")
    before = backend.fp32_precision
    try:
        backend.fp32_precision = "bf16"
        for precision in ("fp32", "bf16"):
            model, x = unassembled()
            fit(model, Elbo(), x, epochs=1, precision=precision, device="cpu")
            assert backend.fp32_precision == "bf16"
    finally:
        backend.fp32_precision = before
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("units", "inputs", "products"),
    [
        ((), None, "medium"),
        (("amx_tile", "avx512_bf16"), None, "medium"),
        (("avx512_bf16",), torch.bfloat16, "highest"),
    ],
    ids=["none", "tiles", "vectors"],
)
def test_fully_connected_layers_take_bf16_the_way_that_the_processor_has(
    units: tuple[str, ...],
    inputs: torch.dtype | None,
    products: str,
    unassembled: Assembled,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without tiles "medium" products stay in float32, so the layers' inputs must be bfloat16 themselves."""
    monkeypatch.setattr("lambent.training.precision._processor_has", lambda feature: feature in units)
    model, _ = unassembled()
    model.setup((4,))
    with computing(model, "bf16", torch.device("cpu")):
        assert model.low_precision == inputs
        assert torch.get_float32_matmul_precision() == products
    assert model.low_precision is None
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("end", ["interrupt", "error", "divergence"])
def test_a_training_that_breaks_off_does_so_too(end: str, unassembled: Assembled, device: torch.device) -> None:
    model, x = unassembled()
    errors = {"interrupt": KeyboardInterrupt, "error": OSError, "divergence": DivergedError}

    class Break:
        def on_step(self, loop: Any) -> None:
            if end == "divergence":
                with torch.no_grad():
                    next(loop.model.parameters()).fill_(float("nan"))
            elif loop.step == 3:
                raise errors[end]

    before = state_of_the_process(device)
    with pytest.raises(errors[end]):
        fit(model, Elbo(), x, epochs=3, batch=3, precision="bf16", device=device.type, callbacks=[Break()])
    assert state_of_the_process(device) == before
    assert model.low_precision is None
    assert not model.training


def test_setup_and_use_leave_the_generators_alone(
    any_role: tuple[str, Spec], unassembled: Assembled, device: torch.device, seed: Seed
) -> None:
    name, spec = any_role
    model, x = unassembled(**{name: spec})
    before = state_of_the_process(device)
    model.setup(tuple(x.shape[1:]), x).to(device)
    if model.latent.encodes:
        model.trace(x.to(device), 2, from_posterior(seed(0)))
    sample(model.generate(3, from_prior(seed(0))), (), seed(0))
    assert state_of_the_process(device) == before


def test_the_same_seed_gives_the_same_weights(any_role: tuple[str, Spec], unassembled: Assembled) -> None:
    name, spec = any_role
    states = []
    for number, disturbance in ((5, 0), (5, 99), (6, 0)):
        model, x = unassembled(**{name: spec})
        torch.manual_seed(disturbance)
        states.append(model.setup(tuple(x.shape[1:]), x, number).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert any(not torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_the_same_seed_gives_the_same_training(
    objective_spec: Spec, unassembled: Assembled, device: torch.device
) -> None:
    ends = []
    for number, disturbance in ((5, 0), (5, 99), (6, 0)):
        model, x = unassembled(objective=objective_spec)
        torch.manual_seed(disturbance)
        fit(model, Objective.from_spec(objective_spec), x, epochs=3, batch=3, seed=number, device=device.type)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_seeded_takes_one_number_from_its_generator() -> None:
    """So what is drawn inside has no influence on what is drawn afterwards."""
    after = []
    for count in (1, 1000):
        generator = torch.Generator().manual_seed(0)
        with seeded(generator):
            torch.rand(count)
        after.append(torch.rand(3, generator=generator))
    assert torch.equal(after[0], after[1])


def test_model_in_double_precision(any_role: tuple[str, Spec], assembled: Assembled, seed: Seed) -> None:
    name, spec = any_role
    model, x = assembled(**{name: spec})
    if not model.latent.encodes:
        assert sample(model.double().generate(3, from_prior(seed(0))), (), seed(0)).dtype == torch.float64
        return
    trace = model.double().trace(x.double(), 2, from_posterior(seed(0)))
    assert trace.z.dtype == torch.float64
    assert trace.log_px.dtype == torch.float64
    assert trace.kl.dtype == torch.float64


def test_parameters_are_reached_by_the_device_and_the_state(any_role: tuple[str, Spec], assembled: Assembled) -> None:
    """No tensor may hide in a list or an attribute, where moving and saving would miss it."""
    name, spec = any_role
    model, _ = assembled(**{name: spec})
    known = {id(t) for t in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        for attribute, value in vars(module).items():
            if attribute in ("_parameters", "_buffers", "_modules"):
                continue
            values = value if isinstance(value, (list, tuple)) else [value]
            hidden = [v for v in values if isinstance(v, Tensor) and v.requires_grad and id(v) not in known]
            assert not hidden, f"{type(module).__name__}.{attribute}"
            modules = [v for v in values if isinstance(v, torch.nn.Module) and not isinstance(v, Part)]
            assert not modules, f"{type(module).__name__}.{attribute} holds a module that nobody sees"


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "event", "words"),
    [
        ({"likelihood": Categorical(3), "network": Conv((3,))}, (1, 6, 5), ("Conv", "Categorical", "Mlp")),
        ({"likelihood": Mixed([Gaussian()] * 3), "network": Conv((3,))}, (3,), ("Conv", "Mixed", "Mlp")),
        ({"likelihood": Mixed([Gaussian()] * 3)}, (4,), ("Mixed", "3 columns", "4")),
        ({"latent": Flat(prior=Vamp()), "context": 2}, (4,), ("Vamp", "context", "Mixture")),
        ({"likelihood": Mixed([Mixed([Gaussian()])])}, (1,), ("Mixed", "list its columns")),
    ],
)
def test_pairs_that_cannot_be_are_refused_at_setup(
    parts: dict[str, Any], event: tuple[int, ...], words: tuple[str, ...]
) -> None:
    model = LatentModel(**parts)
    with pytest.raises(UsageError) as refusal:
        model.setup(event)
    assert all(word in str(refusal.value) for word in words)
    assert not model.ready


@pytest.mark.parametrize("event", [(), (0,), (3, 0, 2), (-1,)])
def test_rows_of_no_elements_are_refused(event: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="nothing to learn"):
        LatentModel().setup(event)


def test_rows_of_another_shape_are_refused_by_name() -> None:
    model = LatentModel(latent=Flat(2), likelihood=Gaussian(), network=Mlp(4, 1)).setup((3,))
    with pytest.raises(DataError, match=r"\[3\]; these have \[5\]"):
        fit(model, Elbo(), torch.randn(6, 5), epochs=1)


def test_context_has_its_shape(seed: Seed) -> None:
    model = LatentModel(latent=Flat(2), likelihood=Gaussian(), network=Mlp(4, 1), context=3).setup((4,))
    x, context = torch.randn(5, 4), torch.randn(5, 3)
    model.trace(x, 2, from_posterior(seed(0)), context)
    assert tuple(model.generate(5, from_prior(seed(0)), context).batch_shape) == (5,)
    for wrong in (None, context[:4], context[:, :2], context[0]):
        with pytest.raises(UsageError, match="context"):
            model.trace(x, 1, from_posterior(seed(0)), wrong)
        with pytest.raises(UsageError, match="context"):
            model.generate(5, from_prior(seed(0)), wrong)


def test_context_reaches_each_sample_of_its_own_row(seed: Seed) -> None:
    model = LatentModel(latent=Ladder((2, 2), 4), likelihood=Gaussian(), network=Mlp(4, 1), context=3).setup((4,))
    x, context = torch.randn(5, 4), torch.randn(5, 3)
    whole = model.trace(x, 3, from_posterior(seed(0)), context)
    codes = [node.z for node in whole.nodes]
    for row in range(5):
        one = model.trace(x[row : row + 1], 3, fixed(*[z[:, row : row + 1] for z in codes]), context[row : row + 1])
        torch.testing.assert_close(one.log_weight, whole.log_weight[:, row : row + 1])


def test_examples_are_optional_and_any_type() -> None:
    for examples in (None, torch.randint(0, 2, (9, 1, 6, 5), dtype=torch.uint8)):
        model = LatentModel(latent=Flat(2, prior=Vamp(3)), likelihood=Bernoulli(), network=Conv((3,), 4))
        model.setup((1, 6, 5), examples)
        assert model.latent.prior.inputs.shape == (3, 1, 6, 5)


def test_bits_start_from_their_means() -> None:
    """A decoder of bits starts from how often each is set, so that training need not begin with finding that out."""
    often = torch.tensor([0.001, 0.05, 0.5, 0.95])
    x = (torch.rand(1000, 4, generator=torch.Generator().manual_seed(0)) < often).float()
    model = LatentModel(Flat(3), Bernoulli(), Mlp(width=64)).setup((4,), x)
    with torch.no_grad():
        start = model.generate(500).mean.mean(0)
    torch.testing.assert_close(start, often, rtol=0.2, atol=0.02)
    assert torch.isfinite(Bernoulli().start(torch.zeros(1, 4))).all()


def test_one_bias_for_all_pixels_starts_where_they_all_want_to_and_else_nowhere() -> None:
    alike, unlike = torch.ones(5, 1, 8, 8), torch.eye(8).expand(5, 1, 8, 8)
    one, two, three = (LatentModel(Flat(3), Bernoulli(), Conv((4,))).setup((1, 8, 8), x) for x in (None, alike, unlike))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), three.parameters(), strict=True))
    last = list(two.decoder)[-1]  # type: ignore[arg-type]
    torch.testing.assert_close(last.bias.detach(), torch.logit(torch.tensor([5.5 / 6])))
