"""A latent whose z is a map: every objective and convolutional network takes it, and its numbers are right."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from lambent.distributions import centre, sample
from lambent.errors import UsageError
from lambent.metrics.collapse import levels
from lambent.model import LatentModel
from lambent.model.latents import Latent, Variational
from lambent.model.latents.base import Encoder, Features
from lambent.model.likelihoods import Bernoulli
from lambent.model.networks import Conv, Mlp, Network, ResNet, Transformer
from lambent.model.posteriors import Diagonal, Full, Point, Posterior
from lambent.model.priors import Diffusion, Flow, Mixture, Prior, Standard, Vamp
from lambent.model.trace import Draw, Node, fixed, from_posterior, from_prior, mean
from lambent.objectives import BetaTc, Elbo, Objective
from lambent.objectives.bounds import Iwae
from lambent.part import Part, Shape, Spec, option, registered
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]
Keyed = Callable[..., Draw]
EVENT = (1, 6, 5)
NETWORKS = {
    "Conv": lambda: Conv((3, 4), 8),
    "ResNet": lambda: ResNet((3, 4), 1, 8),
    "Transformer": lambda: Transformer(2, 6, 1, 2),
}
SHAPES = {"Conv": (2, 2, 2), "ResNet": (2, 3, 3), "Transformer": (2, 3, 3)}


class _Maps(Variational):
    """One map of codes, at the coarsest resolution of the network. Its name keeps it out of the registry."""

    no_paper = "for these tests"
    single = True
    takes = "maps"

    channels: int = option("channels of the map", default=2, minimum=1)
    prior: Prior = option("p(z)", factory=Standard)
    posterior: Posterior = option("q(z|x)", factory=Diagonal)

    def setup(self, features: Shape | list[Shape], examples: Tensor, context: int = 0) -> Shape:
        assert isinstance(features, list)
        self.shape = (self.channels, *features[-1][1:])
        self.prior.setup(self.shape, examples, context)
        self.posterior.setup(features[-1], self.shape)
        return self.shape

    def forward(
        self, features: Features | None, draw: Draw, n: int, encoder: Encoder, context: Tensor | None = None
    ) -> tuple[Tensor, list[Node]]:
        p = self.prior(lambda x: self.posterior(encoder(x)[-1]), context)
        q = None if features is None else self.posterior(features[-1])
        node = Node(p, q, (1, n) if q is None else (n, q.batch_shape[0]))
        node.z = draw(node, 0)
        return node.z.flatten(0, 1), [node]

    @property
    def shapes_of_levels(self) -> tuple[Shape, ...]:
        return (self.shape,)


PRIORS: dict[str, Callable[[], Prior]] = {
    "Standard": Standard,
    "Mixture": lambda: Mixture(3),
    "MixtureFull": lambda: Mixture(3, covariance="full"),
    "Flow": lambda: Flow(1, 4),
    "Vamp": lambda: Vamp(3),
    "Diffusion": lambda: Diffusion(4, 1, 8, 0, 2),
}


@pytest.fixture
def pictures(device: torch.device) -> Tensor:
    return torch.rand(8, *EVENT, generator=torch.Generator().manual_seed(0)).round().to(device)


@pytest.fixture
def maps(pictures: Tensor, device: torch.device) -> Callable[..., LatentModel]:
    """maps("Conv", prior=…, context=2): a model whose z is a map, away from its start."""

    def built(network: str = "Conv", context: int = 0, **parts: Any) -> LatentModel:
        model = LatentModel(_Maps(**parts), Bernoulli(), NETWORKS[network](), context=context)
        model.setup(EVENT, pictures, 1)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        return model.to(device)

    return built


Maps = Callable[..., LatentModel]


def test_it_is_in_no_registry() -> None:
    assert "_Maps" not in registered(Latent)
    assert "_Maps" not in registered(Part)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("context", [0, 2])
def test_every_objective_trains_it_and_it_generates(
    objective_spec: Spec, network: str, prior: str, context: int, maps: Maps, pictures: Tensor, device: torch.device
) -> None:
    objective = Objective.from_spec(objective_spec)
    if prior == "Vamp" and context:
        with pytest.raises(UsageError, match="use the Mixture prior in a model with context"):
            maps(network, context, prior=Vamp(3))
        return
    model = maps(network, context, prior=PRIORS[prior]())
    given = torch.eye(context, device=device).repeat(4, 1) if context else None  # a context that any objective takes
    before = [p.detach().clone() for p in model.parameters()]
    settings = {"epochs": 1, "batch": 8, "precision": "fp32", "device": device.type, "average": 0}
    if objective_spec["type"] in ("Wae", "Aae", "InfoVae") and prior.startswith(("Mixture", "Vamp")):
        with pytest.raises(UsageError, match="use the Standard or Flow prior"):
            fit(model, objective, pictures, context=given, **settings)
        return
    if objective_spec["type"] in ("Gan", "Adversarial", "VaeGan"):
        with pytest.raises(UsageError, match=r"use the (DiscretizedLogistics|Absent)"):
            fit(model, objective, pictures, context=given, **settings)
        return
    if objective_spec["type"] in ("Invariant", "Matched", "SemiSupervised") and not context:
        with pytest.raises(UsageError, match="give the column"):
            fit(model, objective, pictures, **settings)
        return
    if objective_spec["type"] == "NotMiwae":
        with pytest.raises(UsageError, match="use Gaussian or StudentT"):
            fit(model, objective, pictures, context=given, **settings)
        return
    history = fit(model, objective, pictures, context=given, **settings)
    assert math.isfinite(history["loss"][0])
    assert math.isfinite(history["elbo"][0])
    now = list(model.parameters())
    assert all(torch.isfinite(p).all() for p in now)
    assert any(not torch.equal(a, b) for a, b in zip(before, now, strict=True))
    with torch.no_grad():
        drawn = sample(model.generate(3, from_prior(torch.Generator(device)), None if given is None else given[:3]))
    assert drawn.shape == (3, *EVENT)
    model.likelihood.check(drawn)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("prior", PRIORS)
def test_shapes_of_codes_and_terms(
    network: str, prior: str, maps: Maps, pictures: Tensor, seed: Seed, keyed: Callable[..., Draw]
) -> None:
    model, shape = maps(network, prior=PRIORS[prior]()), SHAPES[network]
    assert model.latent.shapes_of_levels == (shape,)
    assert model.latent.sizes_of_levels == (math.prod(shape),)
    for draw in (
        from_posterior(seed(0)),
        keyed(model, pictures),
        from_prior(seed(0)),
        mean,
        fixed(torch.ones(8, *shape)),
    ):
        trace = model.trace(pictures, 3, draw)
        node = trace.nodes[0]
        assert node.z.shape == (3, 8, *shape)
        assert torch.equal(trace.z, node.z.flatten(2))
        assert node.log_ratio.shape == trace.log_px.shape == (3, 8)
        assert trace.kl.expand(3, 8).shape == (3, 8)
    assert model.imagine(5)[0].z.shape == (1, 5, *shape)
    assert centre(model.generate(5, mean)).shape == (5, *EVENT)


@pytest.mark.parametrize("network", NETWORKS)
def test_kl_of_a_map_is_that_of_its_elements(network: str, maps: Maps, pictures: Tensor) -> None:
    model = maps(network)
    node = model.infer(pictures, 2)[0]
    q = Normal(node.q.mean.flatten(1), node.q.variance.sqrt().flatten(1))
    each = kl_divergence(q, Normal(torch.zeros_like(q.loc), torch.ones_like(q.scale)))
    assert float(each.detach().sum(-1).min()) > 0.1
    torch.testing.assert_close(node.kl, each.sum(-1))
    assert node.unit_kl is not None
    torch.testing.assert_close(node.unit_kl, each)
    log_q = Independent(q, 1).log_prob(node.z.flatten(2))
    torch.testing.assert_close(node.q.log_prob(node.z), log_q)


def test_every_element_of_a_map_is_a_unit_to_the_measures(maps: Maps, pictures: Tensor) -> None:
    model = maps()
    usage = levels(model, pictures)[0]
    node = model.infer(pictures)[0]
    assert usage.movement.shape == (8,)
    assert usage.measure == "kl"
    torch.testing.assert_close(usage.nats.sum().float(), node.kl.detach().mean())
    by_hand = node.q.mean.detach().flatten(1).double().var(0, unbiased=False)
    torch.testing.assert_close(usage.movement, by_hand)
    assert levels(maps(prior=Mixture(3)), pictures)[0].measure == "matched"


def test_a_mixture_over_maps_is_the_mixture_over_their_elements(maps: Maps, pictures: Tensor, seed: Seed) -> None:
    model = maps(prior=Mixture(3))
    prior, node = model.latent.prior, model.infer(pictures, 2, from_posterior(seed(0)))[0]
    written = MixtureSameFamily(
        Categorical(logits=prior.logits), Independent(Normal(prior.location, prior.log_scale.exp()), 1)
    )
    torch.testing.assert_close(node.p.log_prob(node.z), written.log_prob(node.z.flatten(2)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(node.kl, node.q.log_prob(node.z) - written.log_prob(node.z.flatten(2)))
    assert node.unit_kl is None
    drawn = sample(node.p, (20_000,), seed(1))
    assert drawn.shape[1:] == SHAPES["Conv"]
    mean_of_all, spread = written.mean.detach(), written.stddev.detach()
    assert ((drawn.flatten(1).mean(0) - mean_of_all).abs() < 5 * spread / 20_000**0.5).all()


def test_gradients_of_a_map_are_those_of_the_flat_formula(maps: Maps, pictures: Tensor, seed: Seed) -> None:
    """The doubly reparameterized gradient weighs all of a map by the weight of its own sample and row."""
    model = maps()
    objective = Iwae(4)
    found = torch.autograd.grad(objective(model, pictures, seed(0)).rows.sum(), model.latent.posterior.head.weight)[0]
    trace = model.trace(pictures, 4, from_posterior(seed(0)))
    z, q = trace.nodes[0].z, trace.nodes[0].q
    leaf = z.detach().requires_grad_()
    px = model._decode(leaf.flatten(0, 1), (4, 8), None)
    log_weight = px.log_prob(trace.x) + trace.nodes[0].p.log_prob(leaf) - q.detached().log_prob(leaf)
    share = torch.softmax(log_weight.detach(), 0)
    by_z = torch.autograd.grad((share.square() * log_weight).sum(), leaf)[0]
    expected = torch.autograd.grad(-(by_z * z).sum(), model.latent.posterior.head.weight)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_total_correlation_and_free_bits_count_every_element(maps: Maps, pictures: Tensor, seed: Seed) -> None:
    model = maps()
    trace = model.trace(pictures, 1, from_posterior(seed(0)))
    q, z = Normal(trace.nodes[0].q.mean.flatten(1), trace.nodes[0].q.variance.sqrt().flatten(1)), trace.z[0]
    densities = q.log_prob(z.unsqueeze(1)).double()
    joint = torch.logsumexp(densities.sum(-1), 1) - math.log(8 * 100)
    marginals = (torch.logsumexp(densities, 1) - math.log(8 * 100)).sum(-1)
    found = BetaTc._total_correlation(trace.nodes[0], 100)
    torch.testing.assert_close(found.double(), joint - marginals, rtol=1e-4, atol=1e-4)
    for prior in (Standard(), Mixture(2)):  # a unit at a time where that is known, else all together
        model = maps(prior=prior)
        trace = model.trace(pictures, 1, from_posterior(seed(0)))
        rows = Elbo(free_bits=100.0)(model, pictures, seed(0)).rows
        torch.testing.assert_close(rows, 100.0 * 8 - trace.log_px[0])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_context_goes_through_as_planes(network: str, maps: Maps, pictures: Tensor, device: torch.device) -> None:
    """It reaches the posterior and the decoder, each sample and row its own."""
    model = maps(network, 2)
    context = torch.randn(8, 2, device=device)
    whole = model.trace(pictures, 3, mean, context)
    for row in (0, 5):
        one = model.trace(pictures[row : row + 1], 3, mean, context[row : row + 1])
        torch.testing.assert_close(one.log_weight, whole.log_weight[:, row : row + 1], rtol=1e-4, atol=1e-4)
    other = model.trace(pictures, 3, mean, context + 1)
    assert not torch.allclose(other.z, whole.z)
    codes = fixed(whole.nodes[0].z[0])
    same = model.generate(8, codes, context)
    torch.testing.assert_close(centre(same), centre(whole.px)[0])
    assert not torch.allclose(centre(model.generate(8, codes, context + 1)), centre(same))
    with pytest.raises(UsageError, match="context"):
        model.generate(8)


@pytest.mark.parametrize("objective", ["Elbo", "Wae"])
def test_a_point_may_be_a_map(objective: str, maps: Maps, pictures: Tensor, device: torch.device) -> None:
    model = maps(posterior=Point())
    fit(model, Objective.from_spec(objective), pictures, epochs=1, precision="fp32", device=device.type)
    assert model.infer(pictures, 2)[0].z.shape == (2, 8, *SHAPES["Conv"])


def test_networks_and_posteriors_of_vectors_are_refused() -> None:
    plain: Network = Mlp(4, 1)
    with pytest.raises(
        UsageError, match="_Maps takes maps, and Mlp gives vectors: use the Conv, ResNet or Transformer network"
    ):
        LatentModel(_Maps(), Bernoulli(), plain).setup(EVENT)
    with pytest.raises(UsageError, match=r"a Full posterior is over vectors, not over codes of shape \[2, 2, 2\]"):
        LatentModel(_Maps(posterior=Full()), Bernoulli(), NETWORKS["Conv"]()).setup(EVENT)
