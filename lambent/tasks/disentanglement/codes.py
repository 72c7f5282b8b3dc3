"""Codes of rows as disentanglement is measured on: means, one draw of each posterior, its spread; and axes to turn them to."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import DiagonalNormal, FullNormal, NormalMixture, StandardNormal, vector
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.collapse import ACTIVE
from lambent.metrics.directions import turning
from lambent.metrics.rotation import covariance_axes, varimax
from lambent.model import ask_encoder
from lambent.model.trace import Node, beside, from_posterior, from_prior, mean
from lambent.progress import chunks
from lambent.seeds import stream
from lambent.tasks.explore import decode

Numbers = NDArray[np.float64]
Rotation = Literal["prior", "varimax"]

CHUNK = 512
MOST_UNITS = 256
PRIOR_DRAWS = 50_000
EVEN = 1.02  # largest over least variance of a prior, below which it has no axes of its own, beyond what draws show by chance


@dataclass(frozen=True)
class Coded:
    """Codes of rows at all levels side by side, each [rows, units].

    means: of q(z|x). draws: one of each. scales: its deviations, where q is Gaussian. names: of the units. turned: whether the
    prior or the posterior leaves the code free to turn. axes: [units, units], what the codes were turned by, z · axes; or None.
    shapes: of the levels, the top first.
    """

    means: Numbers
    draws: Numbers
    scales: Numbers | None
    names: tuple[str, ...]
    turned: bool
    shapes: tuple[tuple[int, ...], ...]
    axes: Tensor | None = None

    @property
    def active(self) -> NDArray[np.bool_]:
        """[units]: whether the means make more than a hundredth of the variance of the draws."""
        whole = self.draws.var(0)
        return np.asarray(self.means.var(0) > ACTIVE * np.where(whole > 0, whole, np.inf))

    def levels(self, codes: Tensor) -> list[Tensor]:
        """Codes in these units, [rows, units], as `decode` takes them: of every level, turned back."""
        plain = codes.double() if self.axes is None else codes.double() @ self.axes.T
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        parts = plain.float().split(sizes, 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]


@torch.no_grad()
def coded(fitted: Fitted, rows: Rows, rotate: Rotation | None = None, seed: int = 0) -> Coded:
    """The codes of rows; turned to the prior's own axes, or to those of the simplest loadings.

    rotate: "prior", the eigenvectors of the covariance of p(z); "varimax", the rotation by which each column of what is decoded
    follows few units. Both are orthogonal, so neither bound nor pictures change.
    Errors: `UsageError` for codes that are names of a codebook, on a sphere or at several levels where a rotation is asked for,
    of more than 256 units, or a prior without axes.
    """
    model = fitted.model
    ask_encoder(model)
    units = sum(int(np.prod(shape)) for shape in model.code_shapes)
    if model.latent.discrete:
        raise UsageError(
            "codes of a codebook are names, which have no units to keep factors apart; train with --latent Flat to measure this"
        )
    if units > MOST_UNITS:
        raise UsageError(f"disentanglement is told unit by unit, of {MOST_UNITS} at most, and this code has {units:,}")
    generator = torch.Generator(model.device).manual_seed(stream(seed, "disentanglement"))
    means, draws, spreads, turned = [], [], [], False
    for part in chunks("encoding", len(rows), CHUNK):
        given = None if rows.context is None else rows.context[part].to(model.device)
        x = rows.x[part].to(model.device)
        still = model.infer(x, 1, mean, given)
        drawn = model.infer(x, 1, from_posterior(generator), given)
        turned = any(turning(node) for node in still)
        means.append(_flat([node.z for node in still]))
        draws.append(_flat([node.z for node in drawn]))
        spreads.append(None if len(still) > 1 or model.members > 1 else _factor(still[0], len(x)))
    names = _names(tuple(tuple(shape) for shape in model.code_shapes))
    factors = None if any(one is None for one in spreads) else torch.cat([one for one in spreads if one is not None])
    plain = Coded(
        torch.cat(means).numpy(),
        torch.cat(draws).numpy(),
        None if factors is None else factors.square().sum(-1).sqrt().numpy(),
        names,
        turned,
        tuple(tuple(shape) for shape in model.code_shapes),
    )
    if rotate is None:
        return plain
    _refuse_rotation(fitted)
    axes = AXES[rotate](fitted, plain, rows)
    scales = None if factors is None else (axes.T @ factors).square().sum(-1).sqrt().numpy()
    return replace(
        plain,
        means=plain.means @ axes.numpy(),
        draws=plain.draws @ axes.numpy(),
        scales=scales,
        names=tuple(f"axis {j}" for j in range(units)),
        axes=axes,
    )


def _flat(levels: list[Tensor]) -> Tensor:
    return torch.cat([beside(z).flatten(1).double().cpu() for z in levels], 1)


def _names(shapes: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
    sizes = [int(np.prod(shape)) for shape in shapes]
    if len(sizes) == 1:
        return tuple(f"z{j}" for j in range(sizes[0]))
    return tuple(f"level {level + 1} z{j}" for level, size in enumerate(sizes) for j in range(size))


def _factor(node: Node, rows: int) -> Tensor | None:
    """L of q(z|x) = N(·, L Lᵀ), [rows, units, units] in float64; None where it is no Gaussian."""
    q = None if node.q is None else vector(node.q)
    if isinstance(q, FullNormal):
        return q.factor.reshape(-1, *q.factor.shape[-2:]).double().cpu().expand(rows, -1, -1)
    if isinstance(q, DiagonalNormal):
        scale = q.variance.sqrt().double().cpu()
        return torch.diag_embed(scale.reshape(-1, scale.shape[-1])).expand(rows, -1, -1)
    return None


def _refuse_rotation(fitted: Fitted) -> None:
    model = fitted.model
    if len(model.code_shapes) > 1 or model.members > 1:
        raise UsageError("a rotation is of one vector of units; this code has several: leave --rotate out")
    if model.latent.support != "space":
        raise UsageError(
            f"these codes lie on a {model.latent.support}, whose axes are all alike: leave --rotate out, or train with a prior "
            "over all of space"
        )


def _of_prior(fitted: Fitted, plain: Coded, rows: Rows) -> Tensor:
    covariance = prior_covariance(fitted, rows)
    variances = torch.linalg.eigvalsh(covariance)
    chance = (
        len(variances) / PRIOR_DRAWS
    ) ** 0.5  # of so many draws of N(0, I) the variances lie between (1 ± chance)²
    if float(variances[-1]) < EVEN * ((1 + chance) / (1 - chance)) ** 2 * float(variances[0]):
        raise UsageError(
            "this prior varies alike along all directions, so it has no axes of its own; --rotate varimax turns the code to "
            "where each column of the data follows few units"
        )
    return covariance_axes(covariance)


@torch.no_grad()
def prior_covariance(fitted: Fitted, rows: Rows) -> Tensor:
    """The covariance of p(z), [units, units] in float64: in closed form of Gaussians and their mixtures, else of fixed draws."""
    model = fitted.model
    generator = torch.Generator(model.device).manual_seed(stream(0, "disentanglement"))
    given = None if rows.context is None else rows.context[:1].to(model.device).expand(PRIOR_DRAWS, -1)
    node = model.imagine(PRIOR_DRAWS, from_prior(generator), given)[0]
    known = _covariance(vector(node.p)) if given is None else None
    if known is not None:
        return known
    draws = beside(node.z).flatten(1).double().cpu()
    return torch.cov(draws.T)


def _covariance(p: Distribution) -> Tensor | None:
    if isinstance(p, NormalMixture) and p.log_weights.dim() == 1 and (within := _covariances(p.components)) is not None:
        weights, places = p.log_weights.exp().double().cpu(), p.components.mean.double().cpu()
        centred = places - (weights[:, None] * places).sum(0)
        return (weights[:, None, None] * (within + centred[:, :, None] * centred[:, None, :])).sum(0)
    found = _covariances(p)
    return None if found is None else found.reshape(-1, *found.shape[-2:])[0]


def _covariances(p: Distribution) -> Tensor | None:
    """Of Gaussians, [..., units, units] in float64; None of others."""
    if isinstance(p, FullNormal):
        factor = p.factor.double().cpu()
        return factor @ factor.transpose(-1, -2)
    if isinstance(p, DiagonalNormal | StandardNormal):
        return torch.diag_embed(p.variance.double().cpu())
    return None


def _of_loadings(fitted: Fitted, plain: Coded, rows: Rows) -> Tensor:
    """Varimax of the least squares of decoded rows on codes."""
    z = torch.from_numpy(plain.means)
    x = decode(fitted, plain.levels(z), rows.context).flatten(1).double()
    x = torch.nan_to_num(x)
    loadings = torch.linalg.lstsq(z - z.mean(0), x - x.mean(0), driver="gelsd").solution.T
    return varimax(loadings)


AXES = {"prior": _of_prior, "varimax": _of_loadings}
