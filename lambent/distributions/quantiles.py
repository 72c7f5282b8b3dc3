"""How much of a distribution of single numbers lies below a value, and where a share of it ends; by dispatch on the distribution.

All in float64: these are differences of nearly equal numbers, and shares may be small.
"""

from collections.abc import Callable
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Laplace,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from torch.nn import functional

from lambent.distributions.counted import ZeroInflated
from lambent.distributions.elementwise import UnitInterval
from lambent.distributions.rounded import Rounded
from lambent.distributions.spiked import Spiked
from lambent.errors import UsageError


@singledispatch
def below(d: Distribution, value: Tensor) -> Tensor:
    """P(x < value), elementwise, in float64; of numbers with a density the same as P(x ≤ value).

    Raises `UsageError` for a distribution whose share below a value is not known.
    """
    try:
        share: Tensor = d.cdf(value.double()).double()
    except NotImplementedError:
        raise UsageError(f"{type(d).__name__} does not know how much of it lies below a value") from None
    return torch.where(value == torch.inf, 1.0, torch.where(value == -torch.inf, 0.0, share))


@singledispatch
def quantile(d: Distribution, share: Tensor) -> Tensor:
    """The least value with P(x ≤ value) ≥ share, elementwise, in float64. Raises `UsageError` as `below` does."""
    try:
        value: Tensor = d.icdf(share.double()).double()
    except NotImplementedError:
        raise UsageError(f"{type(d).__name__} does not know where a share of it ends") from None
    return value


def known(d: Distribution) -> bool:
    """Whether `below` and `quantile` are known of it."""
    try:
        quantile(d, below(d, torch.zeros((), dtype=torch.float64, device=_device(d))))
    except UsageError:
        return False
    return True


def whole(d: Distribution) -> bool:
    """Whether its values are whole numbers, and no others."""
    try:
        return bool(getattr(d.support, "is_discrete", False))
    except NotImplementedError:
        return False


def _device(d: Distribution) -> torch.device:
    found = next((v.device for v in vars(d).values() if isinstance(v, Tensor)), None)
    return found or torch.device("cpu")


def _by_scipy(of: Callable[..., np.ndarray], like: Tensor, *numbers: Tensor) -> Tensor:
    with np.errstate(all="ignore"):
        found = of(*(n.detach().double().cpu().numpy() for n in numbers))
    return torch.as_tensor(found, dtype=torch.float64).to(like.device)


@below.register
def _(d: Normal, value: Tensor) -> Tensor:
    share: Tensor = torch.special.ndtr((value.double() - d.loc.double()) / d.scale.double())
    return share


@quantile.register
def _(d: Normal, share: Tensor) -> Tensor:
    value: Tensor = d.loc.double() + d.scale.double() * torch.special.ndtri(share.double())
    return value


@below.register
def _(d: Laplace, value: Tensor) -> Tensor:
    out = (value.double() - d.loc.double()) / d.scale.double()
    tail = 0.5 * torch.exp(-out.abs())
    return torch.where(out < 0, tail, 1 - tail)


@quantile.register
def _(d: Laplace, share: Tensor) -> Tensor:
    share = share.double()
    low = share < 0.5
    out = torch.where(low, (2 * share).log(), -(2 * (1 - share)).log())
    return d.loc.double() + d.scale.double() * out


@below.register
def _(d: StudentT, value: Tensor) -> Tensor:
    from scipy.special import stdtr

    return _by_scipy(stdtr, d.loc, d.df, (value.double() - d.loc.double()) / d.scale.double())


@quantile.register
def _(d: StudentT, share: Tensor) -> Tensor:
    from scipy.special import stdtrit

    # Its own edges come out as NaN.
    inner = share.double().clamp(1e-300, 1 - 1e-16)
    df = d.df
    if df.numel() and bool((df == df.flatten()[0]).all()):  # dear to invert: once for a share, not for every row
        df = df.flatten()[0]
    out = _by_scipy(stdtrit, d.loc, df, inner)
    return d.loc.double() + d.scale.double() * out


@below.register
def _(d: UnitInterval, value: Tensor) -> Tensor:
    """(e^{lx} − 1)/(e^l − 1), by the mirror image x → 1 − x where l > 0, where nothing overflows."""
    x, logits = value.double().clamp(0, 1), d.logits.double()
    size, flat = logits.abs(), logits.abs() < 1e-5
    safe = torch.where(flat, torch.ones_like(size), size)
    mirrored = torch.where(logits > 0, 1 - x, x)
    share = torch.where(flat, mirrored, torch.expm1(-safe * mirrored) / torch.expm1(-safe))
    return torch.where(logits > 0, 1 - share, share)


@below.register
def _(d: Poisson, value: Tensor) -> Tensor:
    last = (value.double().ceil() - 1).clamp_max(2**53)
    return torch.where(last < 0, 0.0, torch.special.gammaincc(last.clamp_min(0) + 1, d.rate.double()))


@below.register
def _(d: NegativeBinomial, value: Tensor) -> Tensor:
    from scipy.special import betainc

    last = (value.double().ceil() - 1).clamp_max(2**53)
    # In torch's words the number counted is that of successes: P(x ≤ k) = I_{1−p}(r, k + 1).
    failing = torch.sigmoid(-d.logits.double())
    share = _by_scipy(betainc, last, d.total_count, last.clamp_min(0) + 1, failing.expand_as(last + failing))
    return torch.where(last < 0, 0.0, share)


@below.register
def _(d: ZeroInflated, value: Tensor) -> Tensor:
    gate = torch.sigmoid(d.gate.double())
    return torch.where(value > 0, gate + (1 - gate) * below(d.counting, value), 0.0)


@below.register
def _(d: Categorical, value: Tensor) -> Tensor:
    shares = functional.softmax(d.logits.double(), -1).cumsum(-1)
    count = value.double().ceil().clamp(0, shares.shape[-1])
    sums = functional.pad(shares, (1, 0))
    shape = torch.broadcast_shapes(count.shape, sums.shape[:-1])
    sums = sums.expand(*shape, sums.shape[-1])
    return sums.gather(-1, count.long().expand(shape).unsqueeze(-1)).squeeze(-1).clamp_max(1)


@quantile.register
def _(d: Categorical, share: Tensor) -> Tensor:
    sums = functional.softmax(d.logits.double(), -1).cumsum(-1)
    passed = (sums[..., :-1] < share.double().unsqueeze(-1)).sum(-1)  # the last is 1, but for rounding
    return passed.double()


@below.register
def _(d: Bernoulli, value: Tensor) -> Tensor:
    nought = torch.sigmoid(-d.logits.double())
    return torch.where(value > 1, 1.0, torch.where(value > 0, nought, 0.0))


@quantile.register
def _(d: Bernoulli, share: Tensor) -> Tensor:
    return (share.double() > torch.sigmoid(-d.logits.double())).double()


@quantile.register(Poisson)
@quantile.register(NegativeBinomial)
@quantile.register(ZeroInflated)
def _counted(d: Distribution, share: Tensor) -> Tensor:
    """By doubling, then by halving, between whole numbers."""
    share = share.double()
    mean: Tensor = d.mean.double()
    low, high = torch.full_like(mean + share, -1.0), (2 * mean + 1 + 0 * share).ceil()
    for _ in range(60):
        short = below(d, high + 1) < share
        if not bool(short.any()):
            break
        high = torch.where(short & (high < 2**52), 2 * high, high)
    while bool((high - low > 1).any()):
        middle = ((low + high) / 2).floor()
        reached = below(d, middle + 1) >= share
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return high


@below.register
def _(d: Rounded, value: Tensor) -> Tensor:
    """F at the edge below the first point that is not below the value."""
    edge = ((value.double() / d.step - 1e-9).ceil() - 0.5) * d.step
    return torch.sigmoid((edge - d.location.double()) / d.scale.double())


@quantile.register
def _(d: Rounded, share: Tensor) -> Tensor:
    reached = d.location.double() + d.scale.double() * torch.logit(share.double())
    value: Tensor = (reached / d.step - 0.5 - 1e-9).ceil() * d.step
    return value


@below.register
def _(d: Spiked, value: Tensor) -> Tensor:
    shares = d.log_weights.double().exp()
    found = shares[-1] * below(d.rest, value)
    for share, spike in zip(shares, d.spikes.double(), strict=False):
        found = found + torch.where(value.double() > spike, share, 0.0)
    return found


@quantile.register
def _(d: Spiked, share: Tensor) -> Tensor:
    """A spike where the share ends in it; else the rest's own, of what is left when the spikes below are taken away."""
    shares, share = d.log_weights.double().exp(), share.double()
    passed = torch.zeros_like(share + shares[-1])
    at = torch.full_like(passed, torch.nan)
    for own, spike in zip(shares, d.spikes.double(), strict=False):
        start = below(d, spike.expand_as(passed))
        at = torch.where((start < share) & (share <= start + own), spike, at)
        passed = passed + torch.where(start + own < share, own, 0.0)
    rest = quantile(d.rest, ((share - passed) / shares[-1]).clamp(0, 1))
    return torch.where(torch.isnan(at), rest, at)
