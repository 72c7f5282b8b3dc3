"""Priors that mix several distributions: learned Gaussians, or posteriors at pseudo-inputs."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import (
    SCALE_RANGE,
    DiagonalNormal,
    FromNoise,
    FullNormal,
    NormalMixture,
    limited,
    shaped,
    vector,
)
from lambent.model.priors.base import HELD, Encode, Prior
from lambent.part import Part, Shape, elements, option

REGULAR, EMPTY = 1e-4, -20.0  # what is added to variances, and log w of a component without codes
MOST_STARTS, STARTED = 3, 30  # of expectation-maximization, and components of all starts together


class Mixture(Prior):
    """Σ_c w_c N(μ_c, Σ_c), trained with the rest. Dilokthanakul et al., Deep Unsupervised Clustering with GMVAEs, 2016."""

    papers = ("dilokthanakul2016deep",)

    # The Gaussians have further to go than Adam's steps would take them; ten times as fast, they would close in on units that
    # the decoder has not yet learned to use. A Gaussian that covers no codes has to lose its weight before training ends, or
    # samples come from it. Below the diagonal are so many numbers that Adam's steps, of equal size for all, would scatter it.
    pace = {"logits": 10.0, "weigh.weight": 10.0, "location": 3.0, "log_scale": 3.0, "below": 0.1}

    components: int = option("number of Gaussians", default=10, minimum=1, maximum=10**6)
    covariance: Literal["diagonal", "full"] = option("shape of each Gaussian", default="diagonal")
    conditional: bool = option(
        "whether the weights depend on the context, where there is one; false keeps codes free of it, for decoding under another",
        default=True,
    )

    @property
    def held(self) -> int:
        size = self.location.shape[-1]
        return (HELD if self.covariance == "diagonal" else HELD + 2 * size) * self.components

    reparameterized = False

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        size = elements(shape)
        self.shape = shape
        self.logits = nn.Parameter(torch.zeros(self.components))
        # Which Gaussians are likely may depend on the context; from nought, so that it starts as the mixture without one.
        self.weigh = nn.Linear(context, self.components, bias=False) if context and self.conditional else None
        if self.weigh is not None:
            nn.init.zeros_(self.weigh.weight)
        # Close together, so that each has codes to learn from: far apart in many dimensions, most would never see any.
        self.location = nn.Parameter(0.3 * torch.randn(self.components, size))
        self.log_scale = nn.Parameter(torch.zeros(self.components, size))
        if self.covariance == "full":
            self.below = nn.Parameter(torch.zeros(self.components, size, size))

    @torch.no_grad()
    def begin(self, codes: Tensor, seed: int = 0) -> None:
        """By expectation-maximization, scikit-learn's: of few components the likeliest of several starts, for these end apart."""
        from sklearn.mixture import GaussianMixture

        kind = {"diagonal": "diag", "full": "full"}[self.covariance]
        if len(codes) == 1:
            self.begin_in(codes, np.zeros(1, np.int64))
            return
        count = min(self.components, len(codes))
        starts = max(1, min(MOST_STARTS, STARTED // count))
        found = GaussianMixture(
            count, covariance_type=kind, random_state=seed % 2**32, reg_covar=REGULAR, n_init=starts
        )
        found.fit(codes.flatten(1).double().cpu().numpy())
        self._set(found.weights_, found.means_, found.covariances_)

    @torch.no_grad()
    def begin_in(self, codes: Tensor, groups: NDArray[np.int64]) -> None:
        """A Gaussian for each group of codes, with its mean and covariance; groups: of each row, 0 … components − 1."""
        rows = codes.flatten(1).double().cpu().numpy()
        size, whole = rows.shape[1], self._spread(rows)
        own = [rows[groups == group] for group in range(int(groups.max()) + 1)]
        means = [part.mean(0) if len(part) else rows.mean(0) for part in own]
        spreads = []
        for part in own:
            # Few rows do not vary in all directions: for those that lack they do as all rows do.
            lacking = max(0, 2 * size - len(part))
            some = self._spread(part) if len(part) else whole
            spreads.append((len(part) * some + lacking * whole) / (len(part) + lacking))
        weights = np.array([len(part) for part in own]) / len(rows)
        self._set(np.maximum(weights, np.exp(EMPTY)), np.stack(means), np.stack(spreads))

    def _spread(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Variances [size] or a covariance [size, size], as the components have it."""
        if self.covariance == "diagonal":
            return np.asarray(rows.var(0) + REGULAR)
        apart = rows - rows.mean(0)
        return np.asarray(apart.T @ apart / len(rows) + REGULAR * np.eye(rows.shape[1]))

    def _set(self, weights: NDArray[Any], means: NDArray[Any], spreads: NDArray[Any]) -> None:
        """The first Gaussians, from [count], [count, size] and the spread of each; the rest are empty."""
        count = len(weights)
        self.logits.fill_(EMPTY)  # components beyond the number of rows stay empty
        self.logits[:count] = torch.from_numpy(weights).log()
        self.location[:count] = torch.from_numpy(means)
        if self.covariance == "diagonal":
            self.log_scale[:count] = 0.5 * torch.from_numpy(spreads).log()
            return
        factor = torch.linalg.cholesky(torch.from_numpy(spreads))
        self.log_scale[:count] = factor.diagonal(dim1=-2, dim2=-1).log()
        self.below[:count] = factor.tril(-1)

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        log_scale = limited(self.log_scale, *SCALE_RANGE)
        if self.covariance == "diagonal":
            components: FromNoise = DiagonalNormal(self.location, log_scale)
        else:
            components = FullNormal(self.location, self.below.tril(-1) + torch.diag_embed(log_scale.exp()))
        logits = self.logits if self.weigh is None or context is None else self.logits + self.weigh(context)
        return shaped(NormalMixture(logits, components), self.shape)


class Vamp(Prior):
    """Σ_c w_c q(z | u_c): a mixture of posteriors at learned pseudo-inputs u. Tomczak & Welling, VAE with a VampPrior, 2018."""

    papers = ("tomczak2018vae",)
    support = None

    components: int = option("number of pseudo-inputs", default=50, minimum=1, maximum=10**6)

    @property
    def held(self) -> int:
        return HELD * self.components

    reparameterized = False
    conditioned = False

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        picked = examples[torch.randint(len(examples), (self.components,))].float()
        # Exact copies of rows would be a kernel density of the training set from the first step on.
        self.inputs = nn.Parameter(picked + 0.01 * torch.randn_like(picked))
        self.logits = nn.Parameter(torch.zeros(self.components))

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        components = posterior(self.inputs)
        flat = vector(components)
        assert isinstance(flat, FromNoise)
        return shaped(NormalMixture(self.logits, flat), tuple(components.event_shape))

    def refusal(self, whole: Part) -> str | None:
        latent = getattr(whole, "latent", None)
        if latent is not None and not latent.density:
            return (
                f"a Vamp prior is a mixture of posteriors, and {latent.inference} has no density to mix: "
                "use the Diagonal posterior with Vamp, or the Standard prior and fit_prior afterwards"
            )
        if getattr(whole, "context", 0) and latent is not None and not latent.grouped:
            return "a Vamp prior has no context for its pseudo-inputs: use the Mixture prior in a model with context"
        return None
