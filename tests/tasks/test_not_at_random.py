"""Gaps filled by a model that knows how values go missing: against integrals of the exact conditional."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.missingness import SelfMasking
from lambent.model.networks import Mlp
from lambent.model.posteriors import Diagonal
from lambent.tasks.conditional import conditionals

SCALE, SLOPE, SHIFT = 0.4, 1.5, -0.5
LOADINGS = torch.tensor([[1.0], [-0.7]], dtype=torch.float64)
OFFSET = torch.tensor([0.3, -0.2], dtype=torch.float64)
NAN = math.nan
ROWS = torch.tensor([[NAN, -1.0], [NAN, 0.6], [0.2, 0.1]], dtype=torch.float64)


@pytest.fixture
def fitted() -> Fitted:
    """x = W z + b + σε, of whose first column high values are missing more often; its posterior is wide."""
    model = LatentModel(
        Flat(1, posterior=Diagonal()),
        Gaussian(scale="fixed", value=SCALE),
        Mlp(4, 1),
        gaps=True,
        missingness=SelfMasking(),
    )
    model.setup((2,)).double()
    model.decoder = nn.Linear(1, 2).double()
    with torch.no_grad():
        model.decoder.weight.copy_(LOADINGS)
        model.decoder.bias.copy_(OFFSET)
        model.likelihood.width.log_scale.fill_(math.log(SCALE))
        model.latent.posterior.head.weight.zero_()
        model.latent.posterior.head.bias.copy_(torch.tensor([0.0, 0.0]))
        model.missingness.slope.copy_(torch.tensor([SLOPE, 0.0]))
        model.missingness.offset.copy_(torch.tensor([SHIFT, -2.0]))
    return Fitted(model)


def exact(second: float) -> tuple[Tensor, Tensor]:
    """Values of the first column and p(x_1 | x_2, m_1 = 1) at them, normalized to sum to one."""
    joint = MultivariateNormal(OFFSET, LOADINGS @ LOADINGS.T + SCALE**2 * torch.eye(2, dtype=torch.float64))
    line = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    rows = torch.stack((line, torch.full_like(line, second)), 1)
    return line, torch.softmax(joint.log_prob(rows) + nn.functional.logsigmoid(SLOPE * line + SHIFT), 0)


def test_means_and_quantiles_are_those_given_that_the_value_is_missing(fitted: Fitted) -> None:
    ((index, found),) = conditionals(fitted, fitted.rows(ROWS), 20_000)
    means, points = found.mean(0), found.points(0)
    for place, row in enumerate(index.tolist()):
        if row == 2:
            continue
        line, weights = exact(float(ROWS[row, 1]))
        truth = float((line * weights).sum())
        joint = LOADINGS @ LOADINGS.T + SCALE**2 * torch.eye(2, dtype=torch.float64)
        at_random = float(OFFSET[0] + joint[0, 1] / joint[1, 1] * (ROWS[row, 1] - OFFSET[1]))
        assert float(means[place]) == pytest.approx(truth, abs=0.01)
        assert truth > at_random + 0.05  # high values are missing: what is missing is high
        order = points.values[:, place].argsort()
        sums = points.weights[order, place].cumsum(0)
        for share in (0.05, 0.5, 0.95):
            expected = float(line[int((weights.cumsum(0) >= share).int().argmax())])
            assert float(points.values[order, place][int((sums >= share).int().argmax())]) == pytest.approx(
                expected, abs=0.03
            )


def test_draws_are_of_that_distribution_and_leave_the_rest(fitted: Fitted) -> None:
    rows = fitted.rows(ROWS[:1].expand(64, 2).contiguous())
    drawn = []
    for seed in range(60):
        ((_, found),) = conditionals(fitted, rows, 500, seed)
        drawn.append(found.drawn(torch.Generator().manual_seed(seed))[0])
    values = torch.cat(drawn)
    assert (values[:, 1] == -1.0).all()
    line, weights = exact(-1.0)
    mean = float((line * weights).sum())
    deviation = math.sqrt(float(((line - mean).square() * weights).sum()))
    assert float(values[:, 0].mean()) == pytest.approx(mean, abs=0.05)
    assert float(values[:, 0].std()) == pytest.approx(deviation, abs=0.05)


def test_a_row_gets_the_same_beside_whatever_others(fitted: Fitted) -> None:
    ((index, together),) = conditionals(fitted, fitted.rows(ROWS), 50)
    for row in range(2):
        ((_, alone),) = conditionals(fitted, fitted.rows(ROWS[row : row + 1]), 50)
        np.testing.assert_allclose(alone.mean(0)[0], together.mean(0)[index.tolist().index(row)], rtol=1e-12)
