"""Rows of counts: negative binomials given the sum of a row, beside scipy's and by hand."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from lambent.distributions import CountedRows, Dispersed, ZeroInflated, independent
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Mixed, NegativeBinomial, ZeroInflatedNegativeBinomial
from lambent.model.priors import Vamp
from lambent.model.trace import fixed

GENES = 40


def sparse_counts(rows: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.poisson(torch.full((rows, GENES), 0.3, dtype=dtype), generator=generator)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_scipy(x: Tensor, mean: Tensor, r: Tensor) -> np.ndarray:
    r, mean = (each.expand(x.shape).detach().numpy() for each in (r, mean))
    return np.asarray(stats.nbinom(r, r / (r + mean)).logpmf(x.numpy()).sum(-1))


def test_given_its_sum_a_row_is_of_shares_of_it() -> None:
    """m_g = ℓ softmax(raw)_g with ℓ = Σ x, an r for each gene."""
    likelihood = NegativeBinomial(library="observed")
    likelihood.setup((GENES,))
    likelihood.double()
    with torch.no_grad():
        likelihood.spread.log_scale.copy_(numbers(GENES, seed=1))
    x, raw = sparse_counts(), numbers(6, GENES, seed=2)
    found = likelihood.informed(raw, None, x).log_prob(x)
    mean = x.sum(1, keepdim=True) * raw.softmax(1)
    np.testing.assert_allclose(found.detach(), by_scipy(x, mean, likelihood.spread.log_scale.exp()), rtol=1e-9)
    torch.testing.assert_close(likelihood.informed(raw, None, x).mean.sum(1), x.sum(1))
    torch.testing.assert_close(likelihood.shares(raw), raw.softmax(1))


@pytest.mark.parametrize("name", ["nb", "zinb"])
def test_all_rows_of_two_genes_given_a_sum_make_one(name: str) -> None:
    """p(x | z, ℓ) at a fixed ℓ is a probability of x: over all pairs of counts."""
    likelihood: Any = {"nb": NegativeBinomial, "zinb": ZeroInflatedNegativeBinomial}[name](
        library="observed", dispersion="predicted"
    )
    raw = numbers(*likelihood.setup((2,)), seed=3)
    likelihood.double()
    size = torch.tensor([[2.0, 4.0]], dtype=torch.float64)
    px = likelihood.informed(raw.unsqueeze(0), None, size)
    pairs = torch.tensor(list(itertools.product(range(250), repeat=2)), dtype=torch.float64)
    assert abs(float(px.log_prob(pairs).exp().sum()) - 1) < 1e-6


def test_zero_inflation_is_a_mixture_by_hand() -> None:
    likelihood = ZeroInflatedNegativeBinomial(library="observed")
    raw_shape = likelihood.setup((GENES,))
    likelihood.double()
    x, raw = sparse_counts(), numbers(6, *raw_shape, seed=5)
    logits, gate = raw.split(GENES, 1)
    mean, pi = x.sum(1, keepdim=True) * logits.softmax(1), torch.sigmoid(gate)
    mass = torch.from_numpy(stats.nbinom(1.0, 1 / (1 + mean)).pmf(x.numpy()))
    by_hand = (torch.where(x == 0, pi, 0.0) + (1 - pi) * mass).log().sum(1)
    torch.testing.assert_close(likelihood.informed(raw, None, x).log_prob(x).detach(), by_hand)


@pytest.mark.parametrize("inflated", [False, True])
@pytest.mark.parametrize("samples", [None, 1, 3])
def test_quick_rows_are_those_of_their_elements(inflated: bool, samples: int | None) -> None:
    """Values and gradients, one r for all and one for each number, several samples of a row, rows of noughts among them."""
    x = sparse_counts()
    x[2] = 0
    batch = (6,) if samples is None else (samples, 6)
    log_mean, gate, log_r = numbers(*batch, GENES), numbers(*batch, GENES, seed=1), numbers(GENES, seed=2) * 4
    parameters = [each.requires_grad_() for each in (log_mean, gate, log_r)]
    counting = Dispersed(log_mean, log_r)
    elements = ZeroInflated(gate, counting) if inflated else counting
    wanted = parameters if inflated else [log_mean, log_r]
    quick, plain = CountedRows(elements, 1).log_prob(x), independent(elements, (GENES,)).log_prob(x)
    torch.testing.assert_close(quick, plain)
    weights = numbers(*batch, seed=7)
    gradients = [torch.autograd.grad((each * weights).sum(), wanted) for each in (quick, plain)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_huge_and_no_counts_in_float32() -> None:
    """A million transcripts of one gene and not one of another; a cell with nothing at all."""
    likelihood = NegativeBinomial(library="observed", dispersion="fixed", value=2.0)
    likelihood.setup((2,))
    x = torch.tensor([[1e6, 0.0], [0.0, 0.0], [1.0, 0.0]])
    raw = torch.tensor([[30.0, -30.0], [0.0, 0.0], [-80.0, 80.0]], requires_grad=True)
    found = likelihood.informed(raw, None, x).log_prob(x)
    share = raw.detach().double().softmax(1)
    exact = by_scipy(x, x.sum(1, keepdim=True).clamp_min(1).double() * share, torch.tensor(2.0))
    np.testing.assert_allclose(found[:2].detach(), exact[:2], rtol=1e-5, atol=1e-2)
    # The last has a share of e^−160, at which scipy has no number left: log m − log (1 + m/2) of it, 2 log 2/3 of the other.
    assert abs(float(found[2].detach()) - (-160 + 2 * math.log(2 / 3))) < 1e-3
    found.sum().backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_a_dispersion_for_each_gene_in_each_batch() -> None:
    model = LatentModel(likelihood=NegativeBinomial(library="observed", dispersion="context"), context=2)
    model.setup((GENES,))
    likelihood: Any = model.likelihood
    with torch.no_grad():
        likelihood.by_context.copy_(numbers(2, GENES, dtype=torch.float32))
    x, context = sparse_counts(2, torch.float32), torch.eye(2)
    px = likelihood.informed(torch.zeros(3, 2, GENES), context, x)
    mean = x.sum(1, keepdim=True) / GENES
    for batch in range(2):
        exact = by_scipy(x[batch].double(), mean[batch].double(), likelihood.by_context[batch].double().exp())
        np.testing.assert_allclose(px.log_prob(x)[:, batch].detach(), exact, rtol=1e-4)


def test_contexts_move_log_means_gene_by_gene() -> None:
    model = LatentModel(likelihood=NegativeBinomial(library="observed", effects=True), context=2).setup((GENES,))
    likelihood: Any = model.likelihood
    with torch.no_grad():
        likelihood.effect.copy_(numbers(2, GENES, dtype=torch.float32))
    raw, x, context = numbers(2, GENES, seed=3, dtype=torch.float32), sparse_counts(2, torch.float32), torch.eye(2)
    wanted = (raw + likelihood.effect).softmax(1)
    torch.testing.assert_close(likelihood.shares(raw, context), wanted)
    torch.testing.assert_close(likelihood.informed(raw, context, x).mean, wanted * x.sum(1, keepdim=True))


def test_a_trace_is_given_the_sums_of_its_rows_and_new_rows_a_usual_one() -> None:
    x = sparse_counts(50, torch.float32)
    x[:, 0] += torch.arange(50)
    model = LatentModel(likelihood=NegativeBinomial(library="observed")).setup((GENES,), x)
    trace = model.trace(x, 2)
    torch.testing.assert_close(trace.px.mean.sum(-1), x.sum(1).expand(2, -1))
    codes = [trace.nodes[0].z[0]]
    new = model.generate(50, fixed(*codes)).mean.sum(-1)
    torch.testing.assert_close(new, x.sum(1).median().expand(50))
    torch.testing.assert_close(model.generate(50, fixed(*codes), observed=x).mean.sum(-1), x.sum(1))


def test_shares_are_those_of_a_model_of_shares() -> None:
    plain = NegativeBinomial()
    plain.setup((3,))
    with pytest.raises(UsageError, match="observed"):
        plain.shares(torch.zeros(1, 3))
    with pytest.raises(UsageError, match="one column"):
        Mixed((NegativeBinomial(library="observed"),)).setup((1,))


def at_the_depth_of(x: Tensor) -> NegativeBinomial:
    likelihood = NegativeBinomial(library="observed")
    likelihood.setup((GENES,))
    likelihood.double()
    likelihood.study(x, torch.Generator())
    return likelihood


def test_a_cell_starts_from_the_shares_of_all() -> None:
    x = sparse_counts(200)
    likelihood = at_the_depth_of(x)
    raw = likelihood.start(x)
    expected = (x.sum(0) + 0.5) / (x.sum() + 0.5 * GENES)
    torch.testing.assert_close(likelihood.shares(raw.unsqueeze(0))[0], expected)
    assert math.isclose(float(likelihood.log_library.exp()), float(x.sum(1).median()), rel_tol=1e-6)


def test_a_row_is_read_at_the_median_depth_where_its_sum_is_given() -> None:
    x = sparse_counts(200)
    likelihood = at_the_depth_of(x)
    read = likelihood.seen(x)
    torch.testing.assert_close(likelihood.seen(7 * x), read)
    torch.testing.assert_close(read.expm1().sum(1), x.sum(1).median().expand(200))
    assert not likelihood.seen(torch.zeros(1, GENES).double()).any()  # a cell without counts has nothing to read
    latent = NegativeBinomial()
    latent.setup((GENES,))
    torch.testing.assert_close(latent.seen(x), x.log1p())


def test_what_a_model_starts_from_is_read_at_the_depth_of_its_rows() -> None:
    x = sparse_counts(64).float()
    latent = Flat(2, prior=Vamp(components=8))
    model = LatentModel(latent=latent, likelihood=NegativeBinomial(library="observed")).setup((GENES,), x)
    first = model.latent.prior.inputs.detach()
    assert first.shape[1:] == (GENES,)
    torch.testing.assert_close(first.expm1().sum(1), x.sum(1).median().expand(len(first)), rtol=0.2, atol=0)
