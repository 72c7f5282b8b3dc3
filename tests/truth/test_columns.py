"""Columns that look alike are computed together and learn each its own; every row of the data is checked."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from lambent import fitted
from lambent.data.kinds.modality import Encoded
from lambent.data.kinds.table import Table
from lambent.distributions import constructed
from lambent.errors import DataError
from lambent.metrics.bound import bounds, held
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistics,
    Gaussian,
    Laplace,
    Likelihood,
    Mixed,
    NegativeBinomial,
    StudentT,
)
from lambent.model.networks import Conv, Mlp
from lambent.objectives import Elbo
from lambent.part import Part, Shape
from lambent.training.fitting import fit
from lambent.training.precision import computing

# ---- columns of equal description ------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [Gaussian(), Laplace(), StudentT("one"), NegativeBinomial("one")])
def test_columns_share_a_kernel_and_no_weights(column: Likelihood) -> None:
    """log p of three equal columns with three different scales is the sum of three likelihoods with one each."""
    mixed = Mixed((column, column, column))
    mixed.setup((3,))
    assert len(mixed.groups) == 1
    values, raw, x = torch.tensor([-1.0, 0.0, 0.7]), torch.randn(4, 3), torch.randn(4, 3).exp().round()
    own = getattr(mixed.groups[0], "width", None) or mixed.groups[0].spread
    assert own.log_scale.shape == (3,)
    with torch.no_grad():
        own.log_scale.copy_(values)
    total = torch.zeros(4)
    for place, value in enumerate(values):
        one = Likelihood.from_spec(column.spec())
        one.setup((1,))
        with torch.no_grad():
            (getattr(one, "width", None) or one.spread).log_scale.fill_(value)
        total = total + one(raw[:, place : place + 1]).log_prob(x[:, place : place + 1])
    torch.testing.assert_close(mixed(raw).log_prob(x), total)


def test_two_gaussian_columns_learn_two_scales() -> None:
    scales = torch.tensor([0.2, 3.0])
    x = scales * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    mixed = Mixed((Gaussian(), Gaussian()))
    raw = torch.zeros(500, *mixed.setup((2,)))
    optimizer = torch.optim.Adam(mixed.groups.parameters(), lr=0.03)
    for _ in range(400):
        optimizer.zero_grad()
        (-mixed(raw).log_prob(x)).mean().backward()
        optimizer.step()
    found = mixed.groups[0].width.log_scale.detach().exp()
    torch.testing.assert_close(found, x.square().mean(0).sqrt(), rtol=1e-3, atol=0)


def test_weights_from_when_columns_shared_a_scale_are_read(tmp_path: Path) -> None:
    """Each column takes the one number that they shared."""
    model = LatentModel(Flat(2), Mixed((Gaussian(), Gaussian(), Bernoulli())), Mlp(4, 1)).setup((3,))
    group = model.likelihood.groups[0].width
    group.log_scale = nn.Parameter(torch.tensor(-0.7))  # as it was
    fitted.save(tmp_path / "old.safetensors", model)
    again = fitted.load(tmp_path / "old.safetensors").model
    torch.testing.assert_close(again.likelihood.groups[0].width.log_scale.detach(), torch.tensor([-0.7, -0.7]))


# ---- likelihoods with networks in them --------------------------------------------------------------------------------


class Deep(Likelihood):
    """A Gaussian whose location a network makes of the raw output, and of the context where there is one."""

    WIDE = 3000

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.flat = nn.Flatten(-len(event))
        size = torch.Size(event).numel()
        self.net = nn.Sequential(nn.Linear(size, self.WIDE), nn.ReLU(), nn.Linear(self.WIDE, size))
        return event

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        location = self.computed(self.net, self.flat(raw)).reshape(raw.shape)
        return self.over(constructed(Normal, location, torch.ones_like(location)))


Part._classes.remove(Deep)  # known to the registry in tests alone that ask for it


@pytest.fixture
def deep() -> Iterator[type[Likelihood]]:
    Part._classes.append(Deep)
    yield Deep
    Part._classes.remove(Deep)


def test_a_network_inside_a_likelihood_trains_in_the_precision_of_the_model(deep: type[Likelihood]) -> None:
    model = LatentModel(Flat(2), deep(), Conv((2,), 4)).setup((1, 4, 4))
    made: list[torch.dtype] = []
    model.likelihood.net.register_forward_hook(lambda _, given, out: made.append(out.dtype))
    x = torch.randn(6, 1, 4, 4)
    with computing(model, "bf16", torch.device("cpu")):
        low = model.trace(x).px
    assert made == [torch.bfloat16]
    assert low.mean.dtype == torch.float32
    high = model.trace(x).px
    assert made[1:] == [torch.float32]
    assert high.mean.dtype == torch.float32
    history = fit(model, Elbo(), x, epochs=2, precision="bf16")
    assert torch.bfloat16 in made[2:]
    assert all(math.isfinite(v) for v in history["loss"])


def test_memory_of_evaluation_counts_the_layers_of_a_likelihood(deep: type[Likelihood]) -> None:
    model = LatentModel(Flat(2), deep(), Mlp(8, 1)).setup((4,))
    assert held(model) == Deep.WIDE
    found = bounds(model, torch.randn(5, 4), 3)
    assert torch.isfinite(found.bound).all()


def test_equal_columns_with_networks_inside_share_nothing(deep: type[Likelihood]) -> None:
    mixed = Mixed((deep(), Gaussian(), deep(), Gaussian()))
    mixed.setup((4,))
    assert mixed.places == [[0], [2], [1, 3]]
    assert mixed.groups[0].net[0].weight is not mixed.groups[1].net[0].weight


# ---- every row is checked ------------------------------------------------------------------------------------------------


def bits(n: int) -> Tensor:
    return (torch.rand(n, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()


def test_the_last_row_of_an_encoded_file_is_checked() -> None:
    """Rows after the 4,096th once trained as they came, grey ones under the Bernoulli likelihood."""
    x = bits(5000)
    x[4500:] = 0.37
    model = LatentModel(Flat(2), Bernoulli(), Mlp(8, 1))
    encoded = Encoded(x, Table(scale="none"))
    with pytest.raises(DataError, match="ContinuousBernoulli"):
        fit(model, Elbo(), encoded, epochs=1)
    x[4500:] = 1
    fit(model, Elbo(), encoded, epochs=1)


def test_every_row_is_drawn_before_it_is_checked_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambent.model.likelihoods.base.PIECE", 60)
    sizes: list[int] = []

    def drawn(x: Tensor, generator: torch.Generator | None) -> Tensor:
        sizes.append(len(x))
        found = (torch.rand(x.shape, generator=generator) < x).float()
        found[x > 1] = 0.5
        return found

    likelihood = Bernoulli()
    likelihood.setup((6,))
    grey = torch.rand(95, 6)
    likelihood.check(grey, drawn, torch.Generator().manual_seed(0))
    assert sizes == [10] * 9 + [5]
    grey[94, 0] = 2.0
    with pytest.raises(DataError, match="ContinuousBernoulli"):
        likelihood.check(grey, drawn, torch.Generator().manual_seed(0))


def test_a_row_is_named_by_its_number_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambent.model.likelihoods.base.PIECE", 60)
    x = bits(95)
    x[57, 3] = math.inf
    with pytest.raises(DataError, match="row 57 "):
        Gaussian().check(x)


def test_a_piece_that_is_dark_is_no_reason_for_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether bytes look like bits is judged by all of them."""
    monkeypatch.setattr("lambent.model.likelihoods.base.PIECE", 36)
    x = torch.zeros(20, 1, 6, 6, dtype=torch.uint8)
    x[19] = 200
    for likelihood in (DiscretizedLogistics(), ContinuousBernoulli(), Gaussian()):
        likelihood.check(x)
        if likelihood.discrete:
            likelihood.check(x.float())
    with pytest.raises(DataError, match="Bernoulli"):
        Gaussian().check(x[:19])
    with pytest.raises(DataError, match="multiply by 255"):
        DiscretizedLogistics().check(x[:19].float())
