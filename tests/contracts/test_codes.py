"""The law of priors, posteriors and latents, and of every way to draw codes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.distributions import FromNoise, NormalMixture, centre, sample
from lambent.errors import UsageError
from lambent.metrics.bound import bounds
from lambent.model import LatentModel
from lambent.model.latents import Flat, Ladder
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.model.trace import Draw, first, fixed, from_posterior, from_prior, mean
from lambent.part import Spec

Seed = Callable[[int], torch.Generator]
Keyed = Callable[..., Draw]
Assembled = Callable[..., tuple[LatentModel, Tensor]]


@pytest.mark.parametrize("size", [1, 3])
def test_prior_is_one_distribution_over_vectors(
    any_prior_spec: Spec, size: int, assembled: Assembled, seed: Seed
) -> None:
    if Prior.from_spec(any_prior_spec).discrete:
        pytest.skip("over entries of a codebook, which have tests of their own")
    if size == 1 and Prior.from_spec(any_prior_spec).support == "sphere":
        pytest.skip("one unit has two directions, too few for a posterior")
    model, _ = assembled(prior=any_prior_spec, latent={"type": "Flat", "size": size})
    p = model.latent.prior(lambda rows: model.latent.posterior(model._features(rows)))
    assert tuple(p.batch_shape) == ()
    assert tuple(p.event_shape) == (size,)
    z = sample(p, (4, 5), seed(0))
    assert z.shape == (4, 5, size)
    assert p.log_prob(z).shape == (4, 5)
    assert centre(p).shape == (size,)
    assert torch.isfinite(p.log_prob(50 * z)).all()
    assert torch.equal(z, sample(p, (4, 5), seed(0)))
    assert not torch.equal(z, sample(p, (4, 5), seed(1)))


def test_prior_learns_if_it_says_so(any_prior_spec: Spec, assembled: Assembled, seed: Seed) -> None:
    model, _ = assembled(prior=any_prior_spec)
    prior = model.latent.prior
    assert prior.learned == bool(list(prior.parameters()))
    if prior.learned:
        p = prior(lambda rows: model.latent.posterior(model._features(rows)))
        p.log_prob(sample(p, (9,), seed(0)).detach()).sum().backward()
        assert all(q.grad is not None and torch.isfinite(q.grad).all() for q in prior.parameters())
        assert any(bool((q.grad != 0).any()) for q in prior.parameters())


def test_posterior_gives_a_distribution_for_each_row(
    any_reading_posterior_spec: Spec, device: torch.device, seed: Seed
) -> None:
    posterior = Posterior.from_spec(any_reading_posterior_spec)
    posterior.setup((7,), (3,))
    posterior.to(device)
    for batch in ((), (5,), (2, 5)):
        features = torch.randn(*batch, 7, device=device)
        q = posterior(features)
        assert isinstance(q, FromNoise), "noise from outside needs draws that are functions of noise"
        assert tuple(q.batch_shape) == batch
        assert tuple(q.event_shape) == (3,)
        z = sample(q, (4,), seed(0))
        assert z.shape == (4, *batch, 3)
        assert centre(q).shape == (*batch, 3)
        assert posterior.separable == (q.detached() is not None)
        if posterior.density:
            assert q.log_prob(z).shape == (4, *batch)
        else:
            with pytest.raises(NotImplementedError):
                q.log_prob(z)


@pytest.mark.parametrize("magnitude", [0.0, 1e3, 1e6])
def test_posterior_of_wild_features_is_still_a_distribution(
    any_reading_posterior_spec: Spec, magnitude: float, device: torch.device, seed: Seed
) -> None:
    posterior = Posterior.from_spec(any_reading_posterior_spec)
    posterior.setup((7,), (3,))
    q = posterior.to(device)(magnitude * torch.randn(5, 7, device=device))
    z = sample(q, (4,), seed(0))
    assert torch.isfinite(z).all()
    if posterior.density:
        assert torch.isfinite(q.log_prob(z)).all()


def test_one_unit_is_enough(any_reading_posterior_spec: Spec, device: torch.device) -> None:
    posterior = Posterior.from_spec(any_reading_posterior_spec)
    if posterior.support == "sphere":
        with pytest.raises(UsageError, match="at least 2 units"):
            posterior.setup((7,), (1,))
        return
    posterior.setup((7,), (1,))
    assert sample(posterior.to(device)(torch.randn(5, 7, device=device))).shape == (5, 1)


def test_detached_posterior_keeps_its_density_and_lets_go_of_its_parameters(
    any_reading_posterior_spec: Spec, device: torch.device, seed: Seed
) -> None:
    posterior = Posterior.from_spec(any_reading_posterior_spec)
    posterior.setup((7,), (3,))
    q = posterior.to(device)(torch.randn(5, 7, device=device))
    constant = q.detached()
    if constant is None:
        pytest.skip("its parameters cannot be separated")
    z = sample(q, (4,), seed(0)).detach()
    torch.testing.assert_close(constant.log_prob(z), q.log_prob(z).detach())
    assert not constant.log_prob(z).requires_grad


# ---- latents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 3])
def test_latent_leaves_a_node_for_each_level(
    any_latent_spec: Spec, samples: int, assembled: Assembled, seed: Seed
) -> None:
    model, x = assembled(latent=any_latent_spec)
    trace = model.trace(x, samples, from_posterior(seed(0)))
    sizes, shapes = model.latent.sizes_of_levels, model.latent.shapes_of_levels
    assert len(trace.nodes) == len(sizes)
    assert len(sizes) == 1 or not model.latent.single
    for node, shape in zip(trace.nodes, shapes, strict=True):
        assert node.z.shape == (samples, len(x), *shape)
        assert node.shape == (samples, len(x))
        assert node.log_ratio.shape == (samples, len(x))
        assert node.kl.expand(samples, len(x)).shape == (samples, len(x))
    assert trace.z.shape == (samples, len(x), sum(sizes))
    assert trace.log_px.shape == trace.log_weight.shape == (samples, len(x))


def test_latent_generates_without_features(any_latent_spec: Spec, assembled: Assembled, seed: Seed) -> None:
    model, x = assembled(latent=any_latent_spec)
    px = model.generate(6, from_prior(seed(0)))
    assert tuple(px.batch_shape) == (6,)
    again = model.generate(6, from_prior(seed(0)))
    assert torch.equal(px.mean, again.mean)
    assert not torch.equal(px.mean, model.generate(6, from_prior(seed(1))).mean)
    assert px.mean.shape == (6, *x.shape[1:])


def test_same_codes_give_the_same_rows_by_every_way_down(
    any_latent_spec: Spec, assembled: Assembled, seed: Seed
) -> None:
    """There is one top-down pass: what inference drew, generation decodes to the same distribution."""
    model, x = assembled(latent=any_latent_spec)
    trace = model.trace(x, 1, from_posterior(seed(0)))
    px = model.generate(len(x), fixed(*[node.z[0] for node in trace.nodes]))
    torch.testing.assert_close(px.mean, trace.px.mean[0])
    replayed = model.trace(x, 1, fixed(*[node.z[0] for node in trace.nodes]))
    torch.testing.assert_close(replayed.log_weight, trace.log_weight)


def test_prior_of_the_model_is_the_one_it_samples_from(any_latent_spec: Spec, assembled: Assembled, seed: Seed) -> None:
    """log p(z) of generated codes, level by level, averages to minus the entropy of what was sampled."""
    model, _ = assembled(latent=any_latent_spec)
    with torch.no_grad():
        nodes = model.imagine(4000, from_prior(seed(0)))
        for node in nodes:
            own = node.p.log_prob(node.z)
            entropy = node.p.entropy()
            assert abs(float((own + entropy).mean())) < 5 * float((own + entropy).std()) / 4000**0.5 + 1e-6


# ---- draws -------------------------------------------------------------------------------------------------------


@pytest.fixture(
    params=["Flat", "Ladder", "mixture", "mixture of full", "flow", "full", "point", "convolutional", "Grid"]
)
def model_and_rows(request: pytest.FixtureRequest, assembled: Assembled) -> tuple[LatentModel, Tensor]:
    specs: dict[str, dict[str, Spec]] = {
        "Flat": {},
        "Ladder": {"latent": {"type": "Ladder", "sizes": [2, 3], "width": 4}},
        "Grid": {"latent": {"type": "Grid", "layers": "1x1 /2x2", "channels": [2], "width": [4]}},
        "mixture": {"prior": {"type": "Mixture", "components": 3}},
        "mixture of full": {"prior": {"type": "Mixture", "components": 3, "covariance": "full"}},
        "convolutional": {"network": {"type": "Conv", "channels": [4, 5]}},
        "flow": {"posterior": {"type": "Flow", "transforms": 1, "width": 4}, "prior": {"type": "Flow", "width": 4}},
        "full": {"posterior": {"type": "Full"}},
        "point": {"posterior": {"type": "Point"}},
    }
    return assembled(**specs[request.param])


def codes(model: LatentModel, x: Tensor, draw: Draw, samples: int = 3) -> Tensor:
    with torch.no_grad():
        return torch.cat([node.z.flatten(2) for node in model.infer(x, samples, draw)], -1)


def test_noise_from_keys_makes_a_row_independent_of_the_rows_beside_it(
    model_and_rows: tuple[LatentModel, Tensor], keyed: Keyed
) -> None:
    model, x = model_and_rows
    whole = codes(model, x, keyed(model, x, 3))
    for subset in ([2], [5, 2], list(range(7, -1, -1)), [2, 2, 2]):
        part = codes(model, x[subset], keyed(model, x[subset], 3))
        torch.testing.assert_close(part, whole[:, subset], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 5, 32])
def test_the_bounds_of_a_row_are_the_same_bits_in_any_order_and_company(
    model_and_rows: tuple[LatentModel, Tensor], samples: int
) -> None:
    model, x = model_and_rows
    many = (
        torch.cat([x + 0.01 * i for i in range(40)])
        if x.dtype.is_floating_point
        else x.repeat(40, *[1] * (x.dim() - 1))
    )
    whole = torch.stack(bounds(model, many, samples))
    order = torch.randperm(len(many), generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.stack(bounds(model, many[order], samples)).nan_to_num(7), whole[:, order].nan_to_num(7))
    for row in (0, 17, len(many) - 1):
        alone = torch.stack(bounds(model, many[row : row + 1], samples))
        assert torch.equal(alone.nan_to_num(7), whole[:, row : row + 1].nan_to_num(7))


def test_noise_from_keys_differs_between_samples_and_seeds(
    model_and_rows: tuple[LatentModel, Tensor], keyed: Keyed
) -> None:
    model, x = model_and_rows
    if not model.latent.density:
        pytest.skip("a point has no noise")
    drawn = codes(model, x, keyed(model, x, 3))
    assert not torch.allclose(drawn[0], drawn[1])
    assert not torch.allclose(drawn, codes(model, x, keyed(model, x, 4)))


def test_posterior_noise_differs_between_rows(model_and_rows: tuple[LatentModel, Tensor], seed: Seed) -> None:
    model, x = model_and_rows
    if not model.latent.density:
        pytest.skip("a point has no noise")
    same = x[:1].expand(8, *x.shape[1:])
    drawn = codes(model, same, from_posterior(seed(3)))
    assert len(drawn.flatten(0, 1).unique(dim=0)) == 24
    assert torch.equal(drawn, codes(model, same, from_posterior(seed(3))))


def test_temperature_nought_is_the_centre_of_the_prior(model_and_rows: tuple[LatentModel, Tensor], seed: Seed) -> None:
    model, _ = model_and_rows
    with torch.no_grad():
        cold = model.imagine(5, from_prior(seed(0), 0.0))
        middles = model.imagine(5, mean)
        for node, middle in zip(cold, middles, strict=True):
            if isinstance(node.p, NormalMixture):  # the centre of one of its components
                away = (node.z.unsqueeze(-2) - node.p.components.mean).abs().sum(-1).amin(-1)
                assert float(away.max()) < 1e-6
            else:
                torch.testing.assert_close(node.z, middle.z)


def test_mean_is_the_mean(model_and_rows: tuple[LatentModel, Tensor]) -> None:
    model, x = model_and_rows
    nodes = model.infer(x, 2, mean)
    for node in nodes:
        torch.testing.assert_close(node.z, centre(node.q).expand_as(node.z))
    assert torch.equal(codes(model, x, mean), codes(model, x, mean))


def test_fixed_takes_what_it_is_given(model_and_rows: tuple[LatentModel, Tensor]) -> None:
    model, x = model_and_rows
    given = [torch.randn(len(x), *shape, device=x.device) for shape in model.latent.shapes_of_levels]
    side_by_side = torch.cat([each.flatten(1) for each in given], -1)
    torch.testing.assert_close(codes(model, x, fixed(*given)), side_by_side.expand(3, -1, -1))
    with pytest.raises(UsageError, match="more than 0 latent levels"):
        codes(model, x, fixed())


@pytest.mark.parametrize(
    "latent",
    [
        {"type": "Ladder", "sizes": [2, 3, 2], "width": 4},
        {"type": "Grid", "layers": "1x1 /2x2", "channels": [2], "width": [4]},
    ],
    ids=["Ladder", "Grid"],
)
def test_first_takes_the_top_from_one_draw_and_the_rest_from_another(
    latent: Spec, assembled: Assembled, seed: Seed
) -> None:
    model, x = assembled(latent=latent)
    for count in range(4):
        nodes = model.infer(x, 1, first(count, mean, from_prior(seed(0))))
        for level, node in enumerate(nodes):
            from_mean = torch.allclose(node.z, centre(node.q).expand_as(node.z))
            assert from_mean == (level < count)


def test_a_draw_takes_nothing_from_the_global_generator(
    model_and_rows: tuple[LatentModel, Tensor], seed: Seed, keyed: Keyed
) -> None:
    model, x = model_and_rows
    state = torch.get_rng_state()
    for draw in (from_posterior(seed(0)), keyed(model, x), from_prior(seed(0)), mean):
        codes(model, x, draw)
    model.generate(3, from_prior(seed(0)))
    assert torch.equal(torch.get_rng_state(), state)


def test_ladder_of_one_level_is_flat_to_the_objectives() -> None:
    assert Ladder((4,)).sizes_of_levels == (4,)
    assert Flat(4).sizes_of_levels == (4,)


def test_wider_codes_than_rows(assembled: Assembled) -> None:
    model, x = assembled(latent={"type": "Flat", "size": 50}, likelihood={"type": "Bernoulli"})
    assert model.trace(x).z.shape[-1] == 50


def test_vamp_starts_from_the_data_and_not_at_it(assembled: Assembled) -> None:
    model, x = assembled(prior={"type": "Vamp", "components": 5})
    inputs = model.latent.prior.inputs.detach()
    distance = torch.cdist(inputs.flatten(1), model.likelihood.embed(model.likelihood.observe(x)).flatten(1)).amin(1)
    assert float(distance.max()) < 0.2
    assert float(distance.min()) > 0


def test_priors_of_different_seeds_differ(any_prior_spec: Spec, unassembled: Assembled) -> None:
    built = []
    for number in (0, 0, 1):
        model, x = unassembled(prior=any_prior_spec)
        built.append(model.setup(tuple(x.shape[1:]), x, number).latent.prior.state_dict())
    assert all(torch.equal(built[0][k], built[1][k]) for k in built[0])
    if Prior.from_spec(any_prior_spec).learned:
        assert any(not torch.equal(built[0][k], built[2][k]) for k in built[0])


def test_every_prior_is_in_the_registry_of_a_latent(prior_spec: Spec) -> None:
    assert Flat(2, prior=prior_spec).prior.spec() == Prior.from_spec(prior_spec).spec()
