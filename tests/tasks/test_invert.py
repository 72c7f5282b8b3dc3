"""invert: codes by optimization, against the codes that are known."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.model.latents import Codebook, Flat, Grid, Ladder
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Conv, Mlp
from lambent.model.posteriors import Absent
from lambent.model.priors import Sphere
from lambent.model.trace import fixed
from lambent.tasks.invert import CANDIDATES, invert

SIGMA = 0.5


class Affine(nn.Module):
    """x̂ = W z + b in the decoder's place."""

    def __init__(self, units: int, columns: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(columns, units, generator=generator))
        self.bias = nn.Parameter(torch.randn(columns, generator=generator))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.T + self.bias


def linear(units: int = 3, columns: int = 6, **latent: object) -> LatentModel:
    """z ~ N(0, I), x | z ~ N(W z + b, σ²), whose codes are known in closed form."""
    model = LatentModel(Flat(units, **latent), Gaussian("fixed", SIGMA), Mlp(width=4, depth=1)).setup((columns,)).eval()
    model.decoder = Affine(units, columns)
    return model


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_the_code_of_a_linear_model_is_ridge_regression(weight: float) -> None:
    """argmin ‖x − Wz − b‖² / 2σ² + w ‖z‖² / 2 = (WᵀW + w σ² I)⁻¹ Wᵀ (x − b)."""
    model = linear()
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    w, b = model.decoder.weight.detach(), model.decoder.bias.detach()
    known = torch.linalg.solve(w.T @ w + weight * SIGMA**2 * torch.eye(3), w.T @ (x - b).T).T
    found = invert(model, x, prior=weight, steps=400)
    torch.testing.assert_close(found.codes[0], known, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.made, known @ w.T + b, rtol=1e-3, atol=1e-3)
    error = (known @ w.T + b - x).double().square().mean(1).sqrt()
    torch.testing.assert_close(found.error, error, rtol=1e-3, atol=1e-3)
    normal = torch.distributions.Normal(known @ w.T + b, SIGMA).log_prob(x).sum(1)
    loss = -normal - weight * torch.distributions.Normal(0.0, 1.0).log_prob(known).sum(1)
    torch.testing.assert_close(found.loss.float(), loss, rtol=1e-4, atol=1e-3)


def test_without_an_encoder_the_scale_is_the_rows_own() -> None:
    """min over z and σ: D/2 log ‖x − Wz − b‖²/D, least where the square is, so with no prior the code is least squares'."""
    model = linear(posterior=Absent())
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    w, b = model.decoder.weight.detach(), model.decoder.bias.detach()
    known = torch.linalg.lstsq(w, (x - b).T).solution.T
    found = invert(model, x, prior=0.0, steps=400)
    torch.testing.assert_close(found.codes[0], known, rtol=1e-3, atol=1e-3)
    # And with the prior its slope is nought: D/2 · ∇ log S + z = 0.
    found = invert(model, x, steps=600)
    z = found.codes[0].clone().requires_grad_()
    square = (z @ w.T + b - x).square().mean(1)
    (6 / 2 * square.log() + 0.5 * z.square().sum(1)).sum().backward()
    assert z.grad is not None
    assert float(z.grad.abs().max()) < 0.05


def test_what_is_missing_is_left_out() -> None:
    """Of the columns that are there the code is ridge regression on those."""
    model = LatentModel(Flat(3), Gaussian("fixed", SIGMA), Mlp(width=4, depth=1), gaps=True).setup((6,)).eval()
    model.decoder = Affine(3, 6)
    x = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    x[:, 4:] = torch.nan
    w, b = model.decoder.weight.detach()[:4], model.decoder.bias.detach()[:4]
    known = torch.linalg.solve(w.T @ w + SIGMA**2 * torch.eye(3), w.T @ (x[:, :4] - b).T).T
    torch.testing.assert_close(invert(model, x, steps=400).codes[0], known, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("latent", "network", "shape"),
    [
        (Flat(4, posterior=Absent()), Mlp(width=8, depth=1), (9,)),
        (Flat(4, prior=Sphere(), posterior=Absent()), Mlp(width=8, depth=1), (9,)),
        (Ladder((2, 3), width=8, posterior=Absent()), Mlp(width=8, depth=1), (9,)),
        (Grid("1x1 /2x1", channels=(2,), width=(4,), posterior=Absent()), Conv(channels=(3, 4), width=5), (1, 8, 8)),
    ],
    ids=["Flat", "Sphere", "Ladder", "Grid"],
)
def test_codes_that_made_rows_are_bettered_by_the_search(
    latent: object, network: object, shape: tuple[int, ...]
) -> None:
    """Rows that the model made: every level gets codes of its shape, and the rows come back nearer than any candidate."""
    model = LatentModel(latent, Gaussian(), network).setup(shape).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2.0)  # so that codes make a difference
        x = model.likelihood.shown(model.generate(3))
    found, nearest = (invert(model, x, steps=steps, prior=0.0) for steps in (200, 0))
    assert [tuple(code.shape) for code in found.codes] == [(3, *s) for s in model.code_shapes]
    assert (found.error < nearest.error).all()
    assert float(found.error.mean()) < 0.5 * float(nearest.error.mean())
    if model.latent.support == "sphere":
        torch.testing.assert_close(found.codes[0].norm(dim=1), torch.ones(3), rtol=0, atol=1e-5)
    with torch.no_grad():
        again = model.likelihood.shown(model.generate(3, fixed(*found.codes)))
    torch.testing.assert_close(again, found.made)


def test_a_row_has_its_code_beside_whatever_others() -> None:
    model = linear(posterior=Absent())
    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    whole = invert(model, x, steps=50)
    turned = invert(model, x.flip(0), steps=50)
    alone = invert(model, x[2:3], steps=50)
    torch.testing.assert_close(whole.codes[0], turned.codes[0].flip(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whole.codes[0][2:3], alone.codes[0], rtol=1e-4, atol=1e-4)


def test_it_is_never_worse_than_the_encoder() -> None:
    model = linear()
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trace = model.trace(x, 1, lambda node, level: node.q.mean.expand(*node.shape, *node.q.event_shape))  # type: ignore[union-attr]
        own = -(trace.log_px + trace.nodes[0].p.log_prob(trace.nodes[0].z))[0]
    for steps in (0, 10):
        assert (invert(model, x, steps=steps, starts=1).loss <= own + 1e-4).all()


def test_members_have_codes_of_their_own_side_by_side() -> None:
    model = LatentModel(Flat(2), Gaussian(), Mlp(width=4, depth=1), members=3).setup((5,)).eval()
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    found = invert(model, x, steps=30)
    assert found.codes[0].shape == (4, 6)
    second = invert(model.member(1), x, steps=30)
    torch.testing.assert_close(found.codes[0][:, 2:4], second.codes[0], rtol=1e-4, atol=1e-4)


def test_a_context_is_decoded_under() -> None:
    """x̂ = W z + b with b from the context: the code knows which."""
    model = LatentModel(Flat(2, posterior=Absent()), Gaussian(), Mlp(width=4, depth=1), context=1).setup((6,)).eval()
    model.decoder = Affine(3, 6)  # the last column of W is the context's
    w, b = model.decoder.weight.detach(), model.decoder.bias.detach()
    x, context = torch.randn(3, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([[-2.0], [0.0], [3.0]])
    known = torch.linalg.lstsq(w[:, :2], (x - b - context @ w[:, 2:].T).T).solution.T
    found = invert(model, x, prior=0.0, steps=400, context=context)
    torch.testing.assert_close(found.codes[0], known, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"steps": -1}, "steps must lie in 0"),
        ({"starts": 0}, f"starts must lie in 1 … {CANDIDATES}"),
        ({"starts": 1000}, "starts must lie in 1"),
        ({"prior": -1.0}, "weight of log p"),
        ({"rate": 0.0}, "rate must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        invert(linear(), torch.zeros(2, 6), **setting)  # type: ignore[arg-type]


def test_entries_of_a_codebook_are_refused() -> None:
    model = LatentModel(Codebook(), Gaussian(), Conv(channels=(3, 4), width=5)).setup((1, 8, 8))
    with pytest.raises(UsageError, match="entries, which no gradient moves"):
        invert(model, torch.zeros(2, 1, 8, 8))


def test_the_model_is_left_as_it_was(small_model: Callable[..., LatentModel]) -> None:
    model = small_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    invert(Fitted.of(model), torch.randn(3, 4, device=model.device), steps=5)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
