"""Where a model starts, as far as the rows tell it: the decoder's biases, and the principal components."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lambent.model.latents import Latent
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Half


@dataclass(frozen=True)
class Components:
    """x ≈ N(mean, W Wᵀ + noise² I), the columns of W being √(variance − noise²) · direction.

    mean: [columns]; directions: [units, columns]; variances: [units], the largest first; noise: a deviation.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    noise: float

    @property
    def sizes(self) -> Tensor:
        """The length of each column of W."""
        return (self.variances - self.noise**2).clamp_min(0).sqrt()


def components(x: Tensor, units: int) -> Components:
    """Probabilistic principal components of rows [rows, columns], by maximum likelihood.

    noise² is the mean variance in the directions left out; where none is, half of the least that is kept, with which the
    covariance still is the rows' own. Tipping & Bishop, Probabilistic Principal Component Analysis, 1999.
    """
    x = x.double()
    mean = x.mean(0)
    _, lengths, directions = torch.linalg.svd(x - mean, full_matrices=False)
    variances = lengths.square() / len(x)
    least = 1e-6 * float(variances[:1].sum())
    kept = min(units, int((variances > least).sum()))
    out = x.shape[1] - kept
    noise = float(variances[kept:].sum()) / out if out else 0.5 * float(variances[kept - 1 :].sum())
    noise = math.sqrt(max(noise, least, 1e-12))
    return Components(mean.float(), directions[:kept].float(), variances[:kept].float(), noise)


@torch.no_grad()
def start(likelihood: Likelihood, latent: Latent, decoder: nn.Module, observed: Tensor, embedded: Tensor) -> None:
    """Let a model begin where these rows, [rows, *event], put it.

    A decoder with a linear map begins as probabilistic principal components, and the posterior with theirs,
    z_j ~ N(√(λ_j − σ²) u_jᵀ(x − m) / λ_j, σ² / λ_j), where x is seen as it is and its likelihood has a location.
    """
    assert isinstance(decoder, Half)
    raw = likelihood.start(observed)
    if raw is not None:
        decoder.start(raw)
    linear, units = decoder.linear, sum(math.prod(shape) for shape in latent.shapes_of_levels)
    as_it_is = observed.dim() == 2 and embedded.shape == observed.shape and torch.equal(observed, embedded)
    if linear is None or not as_it_is or len(observed) < 2:
        return
    found = components(observed, units)
    if not len(found.variances):
        return
    around = likelihood.start_around(found.mean, torch.full_like(found.mean, found.noise))
    weight = (found.sizes / found.variances)[:, None] * found.directions
    if around is None or not latent.start(weight, -weight @ found.mean, found.noise / found.variances.sqrt()):
        return
    decoder.start(around)
    kept, columns = found.directions.shape
    linear.weight.zero_()  # of units beyond the components, and of what conditions: by chance they would drown a small noise
    linear.weight[:columns, :kept] = (found.sizes[:, None] * found.directions).T
