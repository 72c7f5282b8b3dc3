"""Codes that are entries of a codebook: their numbers are right, to the last of them where they can be counted."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lambent.distributions import QuantizedMap
from lambent.errors import InterruptedRun, UsageError
from lambent.fitted import Fitted, load, save
from lambent.metrics.bound import bounds
from lambent.metrics.codebook import codebook_usage
from lambent.model import LatentModel
from lambent.model.latents import Codebook, Flat
from lambent.model.likelihoods import Bernoulli, Gaussian
from lambent.model.networks import Conv, Mlp
from lambent.model.priors import Prior, Standard, Transformer, Uniform
from lambent.model.quantizers import CodeUsage, Finite, Nearest, Quantizer
from lambent.model.trace import fixed, from_posterior, from_prior, mean
from lambent.objectives import Elbo, Iwae
from lambent.tasks.evaluate import evaluate
from lambent.tasks.explore import decode, encode, interpolate
from lambent.tasks.prior import refine
from lambent.training.fitting import fit
from lambent.training.run import Run

QUANTIZERS = {"Finite": lambda: Finite((3, 2)), "Nearest": lambda: Nearest(6, 2)}


@pytest.fixture
def pictures(device: torch.device) -> Tensor:
    """Sixty-four binary pictures whose four quarters are each dark or light, with some noise."""
    generator = torch.Generator().manual_seed(0)
    quarters = torch.randint(2, (64, 1, 2, 2), generator=generator).float()
    dark = quarters.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.bernoulli(0.1 + 0.8 * dark, generator=generator).to(device)


def built(
    x: Tensor, quantizer: Quantizer | None = None, prior: Prior | None = None, context: int = 0, seed: int = 1
) -> LatentModel:
    """A model of maps of 2 × 2 codes, away from its start."""
    latent = Codebook(quantizer or Finite((2,)), prior or Uniform())
    model = LatentModel(latent, Bernoulli(), Conv((4,), 4), context=context).setup(tuple(x.shape[1:]), x, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return model.to(x.device)


def every(entries: int, device: torch.device) -> Tensor:
    """All maps of 2 × 2 numbers, [entries⁴, 2, 2]."""
    return torch.tensor(list(itertools.product(range(entries), repeat=4)), device=device).reshape(-1, 2, 2)


# ---- quantizers --------------------------------------------------------------------------------------------------


def test_levels_of_a_finite_quantizer_are_where_they_should_be() -> None:
    quantizer = Finite((4, 3))
    quantizer.setup((5, 1, 1))
    z = torch.tensor([[0.3, -0.2], [-0.95, 0.99], [0.05, -5.0]]).reshape(3, 2, 1, 1)
    numbers = quantizer.number(z).flatten()
    assert numbers.tolist() == [2 * 3 + 1, 0 * 3 + 2, 2 * 3 + 0]
    expected = torch.tensor([[0.25, 0.0], [-0.75, 2 / 3], [0.25, -2 / 3]])
    torch.testing.assert_close(quantizer.entry(numbers.reshape(3, 1, 1)).reshape(3, 2), expected)


def test_standard_normal_features_use_the_levels_of_a_finite_quantizer_about_evenly() -> None:
    quantizer = Finite((5,))
    quantizer.setup((1, 1, 1))
    torch.nn.init.ones_(quantizer.head.weight)
    torch.nn.init.zeros_(quantizer.head.bias)
    features = torch.randn(20_000, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    shares = torch.bincount(quantizer(features).numbers.flatten(), minlength=5) / 20_000
    assert float((shares - 0.2).abs().max()) < 0.02


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_every_entry_has_its_own_number(kind: str, device: torch.device) -> None:
    quantizer = QUANTIZERS[kind]()
    quantizer.setup((3, 2, 3))
    quantizer.to(device)
    numbers = torch.arange(6, device=device).reshape(1, 2, 3)
    entries = quantizer.entry(numbers)
    assert entries.shape == (1, 2, 2, 3)
    assert torch.equal(quantizer.number(entries), numbers)


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_the_gradient_passes_straight_through(kind: str, device: torch.device) -> None:
    quantizer = QUANTIZERS[kind]()
    quantizer.setup((3, 2, 3))
    quantizer.to(device)
    q = quantizer(torch.randn(4, 3, 2, 3, device=device))
    z = q.rsample()
    assert torch.equal(z.detach(), q.entries), "a draw is an entry to the last bit"
    away = torch.randn(z.shape, device=device)
    (seen,) = torch.autograd.grad((z * away).sum(), q.vectors)
    assert torch.equal(seen, away)


def test_all_of_the_probability_is_at_one_map() -> None:
    q = Finite((3, 2))
    q.setup((3, 2, 2))
    one = q(torch.randn(5, 3, 2, 2))
    assert torch.equal(one.log_prob(one.entries), torch.zeros(5))
    other = one.entries.clone()
    other[2, 0, 1, 1] += 1
    assert one.log_prob(other).tolist() == [0, 0, -math.inf, 0, 0]


def quantized(vectors: Tensor, quantizer: Nearest) -> QuantizedMap:
    """Vectors [n, size] as maps of one place, in need of a gradient."""
    maps = vectors.reshape(len(vectors), -1, 1, 1).requires_grad_()
    numbers = quantizer.number(maps.detach())
    return QuantizedMap(maps, quantizer.entry(numbers), numbers)


def test_nearest_is_the_nearest() -> None:
    quantizer = Nearest(7, 3)
    quantizer.setup((3, 1, 1))
    z = torch.randn(50, 3, 1, 1)
    brute = torch.cdist(z.reshape(50, 3).double(), quantizer.codebook.double()).argmin(1)
    assert torch.equal(quantizer.number(z).flatten(), brute)


def test_entries_become_the_means_of_what_they_are_nearest_to() -> None:
    """Three clusters, four entries: three entries end at the clusters' means, all that there is to represent."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    quantizer = Nearest(3, 2, decay=0.9)
    quantizer.setup((2, 1, 1))
    taken = torch.tensor(True)
    for _ in range(400):
        rows = centres.repeat(20, 1) + 0.1 * torch.randn(60, 2, generator=generator)
        quantizer.follow(quantized(rows, quantizer), taken, generator)
    distances = torch.cdist(centres, quantizer.codebook)
    assert float(distances.amin(1).max()) < 0.1
    assert sorted(distances.argmin(1).tolist()) == [0, 1, 2]


def test_the_averages_of_an_entry_are_exponential() -> None:
    quantizer = Nearest(2, 1, decay=0.75)
    quantizer.setup((1, 1, 1))
    quantizer.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    quantizer.share.fill_(1.0)
    quantizer.total.copy_(quantizer.codebook)
    rows = torch.tensor([[1.0], [2.0], [9.0], [3.0]])
    quantizer.follow(quantized(rows, quantizer), torch.tensor(True), torch.Generator().manual_seed(0))
    shares = torch.tensor([0.75 + 0.25 * 3 / 2, 0.75 + 0.25 / 2])
    torch.testing.assert_close(quantizer.share, shares)
    expected = torch.tensor([[0.25 * 6 / 2], [7.5 + 0.25 * 9 / 2]]) / shares.unsqueeze(1)
    torch.testing.assert_close(quantizer.codebook, expected)


def test_entries_that_nothing_is_near_to_come_back_and_a_skipped_step_changes_none() -> None:
    quantizer = Nearest(4, 1)
    quantizer.setup((1, 1, 1))
    quantizer.codebook.fill_(1e3)
    quantizer.codebook[0] = 0.0
    rows = torch.arange(8.0).unsqueeze(1)
    before = quantizer.codebook.clone()
    quantizer.follow(quantized(rows, quantizer), torch.tensor(False), torch.Generator().manual_seed(0))
    assert torch.equal(quantizer.codebook, before)
    quantizer.follow(quantized(rows, quantizer), torch.tensor(True), torch.Generator().manual_seed(0))
    assert set(quantizer.codebook.flatten().tolist()) <= set(rows.flatten().tolist())
    assert len(quantizer.codebook.unique()) == 4


def test_usage_and_perplexity_of_known_counts() -> None:
    assert CodeUsage.of(torch.tensor([2, 2, 2, 2])) == pytest.approx((4.0, 1.0))
    assert CodeUsage.of(torch.tensor([9, 0, 0, 0])) == pytest.approx((1.0, 0.25))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert CodeUsage.of(torch.tensor([3, 1, 0])) == pytest.approx((math.exp(entropy), 2 / 3))
    assert CodeUsage.of(torch.zeros(3)) == (None, None)


# ---- the bound ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Uniform", "Transformer"])
def test_the_bound_lies_below_the_evidence_summed_over_all_codes(
    kind: str, pictures: Tensor, device: torch.device
) -> None:
    prior = Uniform() if kind == "Uniform" else Transformer(8, 1, 2)
    model = built(pictures, prior=prior)
    with torch.no_grad():
        numbers = every(2, device)
        codes = model.latent.quantizer.entry(numbers)
        px = model.generate(16, fixed(codes))
        log_p = model.imagine(16, fixed(codes))[0].p.log_prob(codes)
        joint = px.log_prob(pictures.unsqueeze(1)) + log_p
        evidence = joint.logsumexp(1).cpu().double()
        own = model.infer(pictures, 1, mean)[0].q.numbers
        place = (own.unsqueeze(1) == numbers).flatten(2).all(2).int().argmax(1)
        expected = joint.gather(1, place.unsqueeze(1)).squeeze(1).cpu().double()
    found = bounds(model, pictures, 4)
    torch.testing.assert_close(found.elbo, expected, rtol=1e-5, atol=1e-4)
    assert torch.equal(found.bound, found.elbo), "one code is all that there is to draw"
    assert bool((found.bound <= evidence + 1e-4).all())
    if kind == "Uniform":
        torch.testing.assert_close(found.kl, torch.full((64,), 4 * math.log(2)).double(), rtol=1e-6, atol=1e-6)


def test_a_bound_does_not_hang_on_the_number_of_samples_or_the_rows_beside(pictures: Tensor) -> None:
    model = built(pictures, Nearest(6, 2), Transformer(8, 1, 2))
    whole = torch.stack(bounds(model, pictures, 1))
    assert torch.equal(torch.stack(bounds(model, pictures, 7)), whole)
    assert torch.equal(torch.stack(bounds(model, pictures.flip(0), 1)).flip(1), whole)
    assert torch.equal(torch.stack(bounds(model, pictures[5:6], 1)), whole[:, 5:6])


# ---- training ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_training_finds_the_quarters_and_the_prior_their_frequencies(
    kind: str, pictures: Tensor, device: torch.device
) -> None:
    settings = {"batch": 16, "learning_rate": 1e-2, "precision": "fp32", "device": device.type, "validation": 0.0}
    model = LatentModel(Codebook(QUANTIZERS[kind](), Transformer(16, 1, 2)), Bernoulli(), Conv((8,), 8))
    history = fit(model, Elbo(), pictures, epochs=60, **settings)
    assert len(history["usage"]) == len(history["perplexity"]) == 60
    assert 1.0 <= history["perplexity"][-1] <= 6.0
    assert history["elbo"][-1] > history["elbo"][0] + 2
    # Sixteen kinds of pictures with noise of a tenth: no model has less than this entropy on average, nor has this one much more.
    noise = 16 * -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    found = bounds(model, pictures)
    assert float(-found.elbo.mean()) < noise + 4 * math.log(2) + 3
    assert float(found.kl.mean()) < 4 * math.log(6) - 1, "the transformer tells likely codes from others"


def test_the_kl_teaches_the_prior_alone(pictures: Tensor) -> None:
    model = built(pictures, Nearest(6, 2), Transformer(8, 1, 2))
    trace = model.trace(pictures, 1, from_posterior())
    trace.kl.sum().backward()
    own = {id(p) for p in model.latent.prior.parameters()}
    for parameter in model.parameters():
        learned = parameter.grad is not None and bool((parameter.grad != 0).any())
        assert learned == (id(parameter) in own) or id(parameter) in own
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in model.latent.prior.parameters())


def test_training_pays_the_commitment_and_no_bound_does(pictures: Tensor) -> None:
    model = built(pictures, Nearest(6, 2, commitment=0.5))
    trace = model.trace(pictures, 1, from_posterior())
    q = trace.nodes[0].q
    assert isinstance(q, QuantizedMap)
    expected = 0.5 * (q.vectors - q.entries).square().flatten(1).sum(1)
    assert trace.cost is not None
    torch.testing.assert_close(trace.cost[0], expected)
    loss = Elbo()(model, pictures).rows
    torch.testing.assert_close(loss, expected - trace.log_weight[0])


def test_entries_stand_still_once_the_encoder_does(pictures: Tensor, device: torch.device) -> None:
    settings = {"epochs": 4, "batch": 16, "precision": "fp32", "device": device.type, "average": 0.0, "validation": 0.0}
    seen: list[Tensor] = []

    class Watch:
        def on_epoch(self, run: Run) -> None:
            seen.append(run.model.latent.quantizer.codebook.clone())

    model = LatentModel(Codebook(Nearest(6, 2)), Bernoulli(), Conv((8,), 8))
    fit(model, Elbo(settle=0.5), pictures, callbacks=[Watch()], **settings)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    assert torch.equal(seen[2], seen[3])


@pytest.mark.parametrize("kind", QUANTIZERS)
@pytest.mark.parametrize("step", [3, 4, 6])
def test_a_resumed_run_ends_in_the_same_bits(
    kind: str, step: int, pictures: Tensor, device: torch.device, tmp_path: Path
) -> None:
    class StopAt:
        def on_step(self, run: Run) -> None:
            if run.step == step:
                raise InterruptedRun("stopped")

    def run(**more: object) -> tuple[dict[str, Tensor], dict[str, object]]:
        model = LatentModel(Codebook(QUANTIZERS[kind](), Transformer(8, 1, 2)), Bernoulli(), Conv((4,), 4))
        settings = {"epochs": 2, "batch": 16, "precision": "fp32", "device": device.type, "validation": 0.0}
        history = fit(model, Elbo(), pictures, **settings | more)
        return model.state_dict(), {name: values for name, values in history.items() if name != "seconds"}

    weights, history = run()
    with pytest.raises(InterruptedRun):
        run(checkpoint=tmp_path / "c", callbacks=[StopAt()])
    again, told = run(checkpoint=tmp_path / "c", resume=True)
    assert told == history
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_a_model_file_holds_the_codebook(kind: str, pictures: Tensor, tmp_path: Path) -> None:
    model = built(pictures, QUANTIZERS[kind](), Transformer(8, 1, 2)).cpu()
    path = save(tmp_path / "m.safetensors", Fitted(model))
    again = load(path).model
    assert torch.equal(torch.stack(bounds(again, pictures.cpu(), 1)), torch.stack(bounds(model, pictures.cpu(), 1)))
    drawn = [m.imagine(5, from_prior(torch.Generator().manual_seed(3)))[0].z for m in (model, again)]
    assert torch.equal(*drawn)


# ---- what is made of it ------------------------------------------------------------------------------------------


def test_an_evaluation_tells_what_is_used(pictures: Tensor, device: torch.device) -> None:
    model = built(pictures, Finite((3, 2)))
    usage, entries = codebook_usage(model, pictures)
    numbers = model.infer(pictures, 1, mean)[0].q.numbers.flatten().cpu()
    counts = torch.bincount(numbers, minlength=6)
    assert entries == 6
    assert usage == CodeUsage.of(counts)
    metrics = evaluate(model, pictures, samples=2).metrics
    assert metrics["codebook_usage"].value == pytest.approx(100 * float((counts > 0).double().mean()))
    assert metrics["codebook_perplexity"].value == usage.perplexity


def test_codes_from_outside_are_rounded_to_entries(pictures: Tensor) -> None:
    model = built(pictures, Finite((3, 2)))
    codes = encode(model, pictures)
    near = [code + 0.1 * torch.rand_like(code) for code in codes]
    assert torch.equal(decode(model, near), decode(model, codes))
    walk = interpolate(model, pictures[:3], pictures[3:6], 4)
    assert walk.shape == (3, 4, 1, 4, 4)
    torch.testing.assert_close(walk[:, 0], decode(model, [codes[0][:3]]))


@pytest.mark.parametrize(("factor", "shape"), [(0, (2, 3)), (2, (4, 6)), (4, (2, 3))])
def test_the_factor_chooses_the_map(factor: int, shape: tuple[int, int]) -> None:
    model = LatentModel(Codebook(Finite((3, 2)), factor=factor), Bernoulli(), Conv((4, 4), 4)).setup((1, 7, 11))
    assert model.latent.shapes_of_levels == ((2, *shape),)
    assert model.generate(2).mean.shape == (2, 1, 7, 11)


def test_what_cannot_serve_is_refused() -> None:
    def refused(match: str, latent: Codebook | Flat, objective: object = None, network: object = None) -> None:
        with pytest.raises(UsageError, match=match):
            fit(
                LatentModel(latent, Bernoulli(), network or Conv((4, 4), 4)),
                objective or Elbo(),
                torch.zeros(8, 1, 8, 8),
            )

    refused("use the Conv, ResNet or Transformer", Codebook(), network=Mlp())
    refused("use Transformer or Uniform", Codebook(prior=Standard()))
    refused("a Uniform prior is over entries", Flat(2, prior=Uniform()))
    refused("the network gives 4 × 4, 2 × 2: give another factor", Codebook(factor=8))
    refused("Iwae is for codes with noise", Codebook(), Iwae())
    for objective in (Elbo(capacity=3.0), Elbo(free_bits=0.1), Elbo(floor=1.0), Elbo(beta="auto")):
        refused("teaches its prior alone", Codebook(), objective)
    with pytest.raises(UsageError, match="at most 1,048,576 are allowed: give fewer levels"):
        Finite((4096, 4096))
    fit(
        LatentModel(Codebook(), Gaussian(scale="one"), Conv((4,), 4)),
        Elbo(beta="auto"),
        torch.rand(8, 1, 8, 8),
        epochs=1,
    )


def test_a_transformer_takes_the_place_of_the_uniform_prior(pictures: Tensor) -> None:
    """It is fitted to the codes alone: reconstructions stay to the bit, and the KL falls from 4 log 6 to what the codes hold."""
    model = built(pictures, Finite((3, 2)))
    before = bounds(model, pictures)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = refine(
        model,
        pictures,
        Transformer(16, 1, 2),
        epochs=60,
        batch=16,
        learning_rate=1e-2,
        validation=0.0,
    )
    after = bounds(found.model, pictures)
    assert torch.equal(after.log_px, before.log_px)
    torch.testing.assert_close(before.kl, torch.full((64,), 4 * math.log(6)).double(), rtol=1e-6, atol=1e-6)
    assert float(after.kl.mean()) < 4 * math.log(6) - 1
    assert found.model.latent.origin == "Transformer"
    assert model.latent.origin == "Uniform"
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in weights.items())
