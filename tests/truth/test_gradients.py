"""Gradient estimators of the multi-sample bounds: against autograd where it is exact, on average where it is not."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.latents import Flat, Ladder
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.posteriors import Diagonal, Full
from lambent.model.posteriors import Flow as FlowPosterior
from lambent.model.priors import Flow, Mixture, Prior, Standard, Vamp
from lambent.model.trace import from_posterior
from lambent.objectives.bounds import Ciwae, Iwae, Miwae, Piwae, Weighted

Seed = Callable[[int], torch.Generator]
Gradients = dict[str, Tensor]
PRIORS = {"Standard": Standard, "Mixture": lambda: Mixture(3), "Vamp": lambda: Vamp(3), "Flow": lambda: Flow(1, 4)}


@pytest.fixture
def build(device: torch.device) -> Callable[..., LatentModel]:
    """A tiny model in float64, moved away from its start so that no gradient is small by symmetry."""

    def built(prior: Prior | None = None, **fields: object) -> LatentModel:
        latent = fields.pop("latent", None) or Flat(2, prior=prior or Standard(), **fields)
        model = LatentModel(latent=latent, likelihood=Gaussian("fixed", 0.7), network=Mlp(4, 1, "tanh"))
        model.setup((3,), torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), seed=1)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        return model.double().to(device)

    return built


@pytest.fixture
def row(device: torch.device) -> Tensor:
    return torch.tensor([[0.4, -1.2, 0.9]], dtype=torch.float64, device=device)


def gradients(model: LatentModel, loss: Tensor) -> Gradients:
    named = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named.items(), found, strict=True)}


def of_encoder(name: str) -> bool:
    return name.startswith(("encoder.", "latent.posterior."))


def means(model: LatentModel, objective: Weighted, row: Tensor, generator: torch.Generator, copies: int) -> Gradients:
    """Sixty means of the gradient, each over `copies` independent draws for the same row: [60, …]."""
    x = row.expand(copies, -1)
    every = [gradients(model, objective(model, x, generator).rows.mean()) for _ in range(60)]
    return {name: torch.stack([g[name] for g in every]) for name in every[0]}


def apart(a: Gradients, b: Gradients, wanted: Callable[[str], bool]) -> float:
    """The largest difference of two mean gradients, in units of its standard error."""
    scores = []
    for name in filter(wanted, a):
        error = ((a[name].var(0) + b[name].var(0)) / len(a[name])).sqrt()
        scores.append(((a[name].mean(0) - b[name].mean(0)) / error.clamp_min(1e-12)).flatten())
    return float(torch.cat(scores).abs().max())


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("objective", [Iwae, Miwae, Ciwae])
def test_doubly_reparameterized_gradient_is_unbiased(
    prior: str, objective: type[Weighted], build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    model = build(PRIORS[prior]())
    plain = means(model, objective(samples=8, gradient="plain"), row, seed(1), 300)
    doubly = means(model, objective(samples=8, gradient="doubly"), row, seed(2), 300)
    assert apart(plain, doubly, lambda name: True) < 4.8


@pytest.mark.parametrize("prior", PRIORS)
def test_doubly_reparameterized_gradient_is_quieter_once_the_posterior_fits(
    prior: str, build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    """The noise of the encoder's gradient; far from the true posterior neither estimator is always the quieter."""
    model = build(PRIORS[prior]())
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    x = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(
        row.device
    ) @ torch.tensor([[1.0, 0.9, 0.0], [0.0, 0.3, 0.2], [0.1, 0.0, 1.0]], dtype=torch.float64, device=row.device)
    noise_of_training = seed(9)
    for _ in range(400):
        optimizer.zero_grad()
        Iwae(8)(model, x, noise_of_training).rows.mean().backward()
        optimizer.step()
    noise = []
    for gradient in ("plain", "doubly"):
        found = means(model, Iwae(64, gradient), row, seed(1), 10)
        noise.append(sum(float(g.var(0).sum()) for name, g in found.items() if of_encoder(name)))
    assert noise[1] < 0.7 * noise[0]


@pytest.mark.slow
@pytest.mark.parametrize("posterior", [Diagonal, Full])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("objective", [Iwae, Miwae, Ciwae])
def test_unbiased_to_a_sixth_of_the_error(
    objective: type[Weighted], prior: str, posterior: type, build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    """With many more draws, and few samples, where a bias would be largest."""
    model = build(PRIORS[prior](), posterior=posterior())
    plain = means(model, objective(samples=3, gradient="plain"), row, seed(1), 10_000)
    doubly = means(model, objective(samples=3, gradient="doubly"), row, seed(2), 10_000)
    assert apart(plain, doubly, lambda name: True) < 4.8


def test_a_biased_estimator_would_be_seen(build: Callable[..., LatentModel], row: Tensor, seed: Seed) -> None:
    """With the decoder's weights for the encoder too, the test above has to fail: so it can."""

    class Biased(Iwae):
        def bound(self, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            value, decoder, _ = super().bound(log_weight)
            return value, decoder, decoder

    try:
        model = build()
        plain = means(model, Iwae(samples=8, gradient="plain"), row, seed(1), 300)
        biased = means(model, Biased(samples=8, gradient="doubly"), row, seed(2), 300)
        assert apart(plain, biased, of_encoder) > 8
    finally:
        Biased._classes.remove(Biased)


@pytest.mark.parametrize("posterior", ["Diagonal", "Full"])
@pytest.mark.parametrize("objective", [Iwae(5), Miwae(3, groups=2), Ciwae(5, mix=0.3)], ids=["Iwae", "Miwae", "Ciwae"])
def test_plain_gradient_and_value_are_those_of_the_bound_itself(
    objective: Weighted, posterior: str, build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    model = build(Mixture(3), posterior=posterior)
    x = torch.cat((row, 0.5 * row, -row))
    log_weight = model.trace(x, objective.draws, from_posterior(seed(3))).log_weight
    reference = -written_out(objective, log_weight)
    loss = type(objective).from_spec({**objective.spec(), "gradient": "plain"})(model, x, seed(3)).rows
    torch.testing.assert_close(loss, reference)
    expected, found = gradients(model, reference.sum()), gradients(model, loss.sum())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def written_out(objective: Weighted, log_weight: Tensor) -> Tensor:
    """The definitions, from the papers."""
    weights = log_weight.exp()
    if isinstance(objective, Miwae):
        groups = weights.reshape(objective.groups, objective.samples, -1)
        return groups.mean(1).log().mean(0)
    if isinstance(objective, Ciwae):
        return objective.mix * log_weight.mean(0) + (1 - objective.mix) * weights.mean(0).log()
    return weights.mean(0).log()


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(
    "objective", [Iwae(6), Miwae(3, groups=2), Ciwae(6, mix=0.3), Piwae(3, groups=2)], ids=lambda o: type(o).__name__
)
def test_doubly_reparameterized_gradient_is_its_formula(
    objective: Weighted, prior: str, build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    """Σ_k b_k ∂log w_k/∂z_k ∂z_k/∂φ for the encoder, written out with z as a leaf; Σ_k a_k ∂log w_k for the rest."""
    model = build(PRIORS[prior]())
    x = torch.cat((row, 0.5 * row))
    found = gradients(model, objective(model, x, seed(3)).rows.sum())

    trace = model.trace(x, 6, from_posterior(seed(3)))
    z, q = trace.nodes[0].z, trace.nodes[0].q
    leaf = z.detach().requires_grad_()
    constant = q.detached()
    px = model._decode(leaf.flatten(0, 1), (6, len(x)), None)
    p = model.latent.prior(lambda rows: model.latent.posterior(model._features(rows)))
    log_weight = px.log_prob(trace.x) + p.log_prob(leaf) - constant.log_prob(leaf)
    a, b = weights_of(objective, log_weight.detach())
    by_z = torch.autograd.grad((b * log_weight).sum(), leaf, retain_graph=True)[0]
    # What the prior takes from the encoder itself (Vamp) is a parameter of p, and comes with the decoder's weights.
    directly = gradients(model, -(a * log_weight).sum())
    through_z = gradients(model, -(by_z * z).sum())
    for name in found:
        torch.testing.assert_close(found[name], directly[name] + through_z[name], rtol=1e-9, atol=1e-11, msg=name)


def weights_of(objective: Weighted, log_weight: Tensor) -> tuple[Tensor, Tensor]:
    """a for the decoder and b for the encoder, from Tucker et al., 2019, and Rainforth et al., 2018."""
    share = torch.softmax(log_weight, 0)
    if isinstance(objective, Ciwae):
        even = objective.mix / len(share)
        return even + (1 - objective.mix) * share, even + (1 - objective.mix) * share**2
    if isinstance(objective, (Miwae, Piwae)):
        grouped = torch.softmax(log_weight.reshape(objective.groups, objective.samples, -1), 1).flatten(0, 1)
        b = grouped**2 / objective.groups
        return (grouped / objective.groups if isinstance(objective, Miwae) else share), b
    return share, share**2


@pytest.mark.parametrize("objective", [Iwae, Miwae, Ciwae])
@pytest.mark.parametrize("prior", PRIORS)
def test_decoder_gradient_is_the_same_under_both_estimators(
    objective: type[Weighted], prior: str, build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    model = build(PRIORS[prior]())
    plain = gradients(model, objective(4, "plain")(model, row, seed(0)).rows.sum())
    doubly = gradients(model, objective(4, "doubly")(model, row, seed(0)).rows.sum())
    for name in plain:
        if not of_encoder(name):
            torch.testing.assert_close(plain[name], doubly[name], msg=name)
    assert any(not torch.allclose(plain[n], doubly[n]) for n in plain if of_encoder(n))


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_piwae_teaches_the_encoder_by_miwae_and_the_decoder_by_iwae(
    build: Callable[..., LatentModel], row: Tensor, seed: Seed, scale: float
) -> None:
    """To the bit of float32, and where the weights of whole groups vanish beside those of others."""
    model = build().float()
    with torch.no_grad():
        model.likelihood.width.log_scale.fill_(math.log(scale))
    x = row.float().expand(20, -1)
    log_weight = model.trace(x, 12, from_posterior(seed(4))).log_weight.detach()
    best = log_weight.reshape(4, 3, -1).amax(1)
    if scale < 1:
        assert float((best.amax(0) - best.amin(0)).min()) > 100, "groups should lie further apart than float32 reaches"
    piwae = gradients(model, Piwae(3, groups=4)(model, x, seed(4)).rows.sum())
    miwae = gradients(model, Miwae(3, groups=4)(model, x, seed(4)).rows.sum())
    iwae = gradients(model, Iwae(12)(model, x, seed(4)).rows.sum())
    for name in piwae:
        expected = miwae if of_encoder(name) else iwae
        torch.testing.assert_close(
            piwae[name], expected[name], rtol=2e-4, atol=2e-4 * float(expected[name].abs().max())
        )


def test_piwae_value_is_the_bound_of_all_samples(build: Callable[..., LatentModel], row: Tensor, seed: Seed) -> None:
    model = build()
    torch.testing.assert_close(Piwae(3, groups=4)(model, row, seed(0)).rows, Iwae(12)(model, row, seed(0)).rows)


def test_one_sample_of_every_bound_is_the_elbo(build: Callable[..., LatentModel], row: Tensor, seed: Seed) -> None:
    model = build()
    expected = -model.trace(row, 1, from_posterior(seed(0))).log_weight[0]
    for objective in (Iwae(1), Miwae(1, groups=1), Ciwae(1), Piwae(1, groups=1)):
        torch.testing.assert_close(objective(model, row, seed(0)).rows, expected)


def test_bounds_are_ordered(build: Callable[..., LatentModel], row: Tensor, seed: Seed) -> None:
    """ELBO ≤ MIWAE ≤ IWAE of all samples, and CIWAE between ELBO and IWAE, for the same weights."""
    model = build()
    x = row.expand(50, -1)
    elbo = Ciwae(12, mix=1.0)(model, x, seed(0)).rows
    miwae, ciwae = Miwae(3, groups=4)(model, x, seed(0)).rows, Ciwae(12, mix=0.5)(model, x, seed(0)).rows
    iwae = Iwae(12)(model, x, seed(0)).rows
    assert (elbo >= miwae).all()
    assert (miwae >= iwae).all()
    torch.testing.assert_close(ciwae, 0.5 * (elbo + iwae))


def test_more_samples_raise_the_bound(build: Callable[..., LatentModel], row: Tensor, seed: Seed) -> None:
    model = build()
    x = row.expand(4000, -1)
    with torch.no_grad():
        losses = [Iwae(k)(model, x, seed(0)).rows.mean() for k in (1, 5, 50)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize(
    "fields", [{"posterior": FlowPosterior(1, 4)}, {"latent": Ladder((2, 2), 4)}], ids=["Flow", "Ladder"]
)
def test_auto_is_plain_where_the_posterior_cannot_be_separated(
    fields: dict[str, object], build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    model = build(**fields)
    auto, plain = (gradients(model, Iwae(4, g)(model, row, seed(0)).rows.sum()) for g in ("auto", "plain"))
    for name in auto:
        torch.testing.assert_close(auto[name], plain[name])
    assert "gradient=plain" in (Iwae(4, "doubly").refusal(model) or "")


def test_full_posterior_takes_the_doubly_reparameterized_gradient(
    build: Callable[..., LatentModel], row: Tensor, seed: Seed
) -> None:
    model = build(posterior=Full())
    plain = means(model, Iwae(8, "plain"), row, seed(1), 300)
    doubly = means(model, Iwae(8, "doubly"), row, seed(2), 300)
    assert apart(plain, doubly, of_encoder) < 4.8
