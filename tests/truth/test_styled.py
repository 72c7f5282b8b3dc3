"""Styled: groups, pooled posteriors, shares of the KL, what a context lets expect, and a style that is learned."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.distributions import DiagonalNormal, StandardNormal
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.model import LatentModel, check
from lambent.model.latents import Codebook, Flat, Grid, Ladder, Styled
from lambent.model.latents.styled import parted, pooled_normal, summary
from lambent.model.networks import Conv
from lambent.model.trace import from_posterior, from_prior, mean
from lambent.objectives import Elbo, Iwae
from lambent.tasks.prior import fit_prior
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]
Build = Callable[..., LatentModel]


def normal(location: list[float], scale: list[float]) -> DiagonalNormal:
    return DiagonalNormal(torch.tensor(location).unsqueeze(1), torch.tensor(scale).unsqueeze(1).log())


# ---- groups ------------------------------------------------------------------------------------------------------


def test_groups_are_of_one_context_and_of_a_size_that_was_drawn(seed: Seed, device: torch.device) -> None:
    context = torch.eye(3, device=device)[torch.randint(3, (90,), generator=seed(0), device=device)]
    sizes = set()
    for number in range(40):
        together = parted(context, 4, seed(number))
        assert torch.equal(together, together.T)
        assert torch.equal(together, (together.float() @ together.float()) > 0), "rows of a group are all together"
        assert bool((context @ context.T > 0)[together].all())
        for kind in range(3):
            of_kind = together.sum(1)[context[:, kind] > 0]
            largest = int(of_kind.max())
            sizes.add(largest)
            left_over = int((of_kind != largest).sum())
            assert left_over == len(of_kind) % largest, "all of one size, and what is left over"
    assert sizes == {1, 2, 3, 4}
    assert torch.equal(parted(context, 4, seed(5)), parted(context, 4, seed(5)))


def test_precisions_of_a_group_add() -> None:
    """N(0, 1) N(3, 1) ∝ N(1.5, 1/2); N(1, 1) N(4, 1/2) ∝ N((1 + 4·4)/5, 1/5); a row by itself stays."""
    each = normal([0.0, 3.0, 1.0, 4.0, 7.0], [1.0, 1.0, 1.0, 0.5, 0.3])
    together = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2), torch.ones(1, 1)) > 0
    pooled = pooled_normal(each, together)
    torch.testing.assert_close(pooled.mean[:, 0], torch.tensor([1.5, 1.5, 3.4, 3.4, 7.0]))
    torch.testing.assert_close(pooled.variance[:, 0], torch.tensor([0.5, 0.5, 0.2, 0.2, 0.09]))


def test_a_group_shares_one_style_and_its_rows_one_kl(small_model: Build, seed: Seed, device: torch.device) -> None:
    model = small_model(context=2, latent=Styled(content=Flat(2), style=3, group=5)).train()
    x, context = torch.randn(12, 4, device=device), torch.eye(2, device=device).repeat(6, 1)
    trace = model.trace(x, 2, from_posterior(seed(3)), context)
    node = trace.nodes[0]
    assert node.sharing is not None
    heads = [int((node.z[0] == row).all(-1).nonzero()[0]) for row in node.z[0]]
    assert len(set(heads)) < 12
    for head in set(heads):
        rows = [row for row, own in enumerate(heads) if own == head]
        assert len({int(context[row, 0]) for row in rows}) == 1
        torch.testing.assert_close(node.sharing.share[rows], torch.full((len(rows),), 1 / len(rows), device=device))
        weights = node.sharing.own.variance[rows].reciprocal()
        q = DiagonalNormal((weights * node.sharing.own.mean[rows]).sum(0) / weights.sum(0), -0.5 * weights.sum(0).log())
        by_hand = torch.distributions.kl_divergence(
            torch.distributions.Normal(q.mean, q.variance.sqrt()), torch.distributions.Normal(0.0, 1.0)
        ).sum()
        torch.testing.assert_close(node.kl[rows].sum(), by_hand)
        torch.testing.assert_close(node.unit_kl[rows].sum(), by_hand)
    assert trace.kl.shape[-1] == 12
    torch.testing.assert_close(trace.kl, (node.kl + trace.nodes[1].kl).expand_as(trace.kl))


def test_once_trained_each_row_stands_by_itself(small_model: Build, seed: Seed, device: torch.device) -> None:
    model = small_model(context=2, latent=Styled(content=Flat(2), style=3)).eval()
    x, context = torch.randn(6, 4, device=device), torch.eye(2, device=device).repeat(3, 1)
    alone = torch.cat([model.infer(x[i : i + 1], 1, mean, context[i : i + 1])[0].z for i in range(6)], 1)
    torch.testing.assert_close(model.infer(x, 1, mean, context)[0].z, alone)
    torch.testing.assert_close(model.infer(x, 1, mean)[0].z, alone)  # no network reads the context


# ---- what a context lets expect ----------------------------------------------------------------------------------


def followed(model: LatentModel, own: DiagonalNormal, context: Tensor, steps: int = 3) -> Styled:
    latent = model.latent
    assert isinstance(latent, Styled)
    generator = torch.Generator(context.device).manual_seed(0)
    for _ in range(steps):
        nodes = model.train().infer(torch.randn(len(context), 4), 1, from_posterior(generator), context)
        nodes[0].sharing = nodes[0].sharing._replace(own=own)
        latent.follow(nodes, torch.tensor(True), generator)
    model.eval()
    return latent


def test_a_category_lets_expect_the_mean_of_its_styles(small_model: Build) -> None:
    model = small_model(context=2, latent=Styled(content=Flat(2), style=1)).cpu()
    context = torch.eye(2)[[0, 0, 0, 1, 1]]
    latent = followed(model, normal([1.0, 2.0, 3.0, -4.0, -6.0], [0.5] * 5), context)
    torch.testing.assert_close(latent.expected_style(torch.eye(2)), torch.tensor([[2.0], [-5.0]]), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        p = model.imagine(2, from_prior(), torch.eye(2))[0].p
    within = (1 + 0 + 1 + 1 + 1) / 5 + 0.25  # around their means, and of each
    torch.testing.assert_close(p.mean, torch.tensor([[2.0], [-5.0]]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(p.variance, torch.full((2, 1), within), rtol=1e-3, atol=1e-3)
    assert isinstance(model.imagine(2, from_prior())[0].p, StandardNormal)


def test_a_number_lets_expect_a_line(small_model: Build) -> None:
    model = small_model(context=1, latent=Styled(content=Flat(2), style=1)).cpu()
    context = torch.tensor([[-1.0], [0.5], [2.0]])
    latent = followed(model, normal([-3.0, 1.5, 6.0], [0.1] * 3), context)
    torch.testing.assert_close(latent.expected_style(torch.tensor([[4.0]])), torch.tensor([[12.0]]), rtol=1e-4, atol=0)


def test_a_step_that_was_skipped_teaches_no_style(small_model: Build, seed: Seed, device: torch.device) -> None:
    model = small_model(context=2, latent=Styled(content=Flat(2), style=1)).train()
    context = torch.eye(2, device=device).repeat(2, 1)
    nodes = model.infer(torch.randn(4, 4, device=device), 1, from_posterior(seed(0)), context)
    model.latent.follow(nodes, torch.tensor(False, device=device), seed(0))
    assert float(model.latent.counted) == 0.0


def test_maps_are_summed_up_by_mean_and_deviation() -> None:
    maps = torch.tensor([[[[1.0, 3.0], [1.0, 3.0]], [[2.0, 2.0], [2.0, 2.0]]]])
    torch.testing.assert_close(summary([maps]), torch.tensor([[2.0, 2.0, 1.0, 0.0]]), rtol=1e-3, atol=0.011)


# ---- training ----------------------------------------------------------------------------------------------------


def test_what_a_group_shares_is_found_in_the_style(small_model: Build) -> None:
    """Twenty kinds, each with a place of its own in two columns; two other columns vary within them."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(1200) % 20
    places = 2 * torch.randn(20, 2, generator=generator)
    x = torch.cat((places[kind], torch.randn(1200, 2, generator=generator)), 1)
    x = x + 0.1 * torch.randn(1200, 4, generator=generator)
    model = small_model((4,), context=20, latent=Styled(content=Flat(2), style=2, group=6))
    fit(model, Elbo(), x, context=torch.eye(20)[kind], epochs=60, batch=200, learning_rate=1e-2, device="cpu")
    with torch.no_grad():
        codes = torch.cat((model.infer(x, 1, mean)[0].z[0], torch.ones(1200, 1)), 1)
    told = codes @ torch.linalg.lstsq(codes, x).solution
    left = (x - told).var(0) / x.var(0)
    assert float(left[:2].max()) < 0.1, left
    assert float(left[2:].min()) > 0.8, left


@pytest.mark.parametrize(
    "content",
    [Flat(2), Ladder((2, 3), width=4), Grid("/4x1 /2x1", channels=(2,), width=(4,))],
    ids=["Flat", "Ladder", "Grid"],
)
def test_contents_of_any_topology(content: Ladder | Flat | Grid, small_model: Build, seed: Seed) -> None:
    model = small_model((1, 8, 8), context=2, latent=Styled(content=content, style=3), network=Conv((3, 4), 5)).cpu()
    x, context = torch.rand(8, 1, 8, 8), torch.eye(2).repeat(4, 1)
    history = fit(model, Elbo(), x, context=context, epochs=2, batch=4, device="cpu")
    assert history["elbo"][-1] is not None
    shapes = [tuple(node.z.shape) for node in model.infer(x, 2, from_posterior(torch.Generator().manual_seed(0)))]
    assert shapes == [(2, 8, *shape) for shape in ((3,), *content.shapes_of_levels)]
    assert tuple(model.generate(3).mean.shape) == (3, 1, 8, 8)


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_what_it_cannot_join_is_refused(small_model: Build) -> None:
    for content in (Codebook(), Styled()):
        with pytest.raises(UsageError, match=rf"^Styled joins .* {type(content).__name__} is no such: use Flat"):
            small_model((1, 8, 8), latent=Styled(content=content), network=Conv((3, 4), 5))
    model = small_model(latent=Styled(content=Flat(2), style=3))
    with pytest.raises(UsageError, match=r"^Iwae weighs .* in Styled rows of a group share theirs: use the Elbo"):
        check(model, Iwae())
    with pytest.raises(UsageError, match=r"^fit_prior .* Styled has none to replace"):
        fit_prior(Fitted.of(model), torch.randn(8, 4), "Mixture")
