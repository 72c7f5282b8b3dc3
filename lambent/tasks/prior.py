"""fit_prior: a better prior for a model that is already trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel, check
from lambent.model.latents import Flat, Ladder
from lambent.model.priors import Mixture, Prior, Vamp
from lambent.model.trace import from_posterior
from lambent.objectives import Loss, Objective
from lambent.part import Part, Spec
from lambent.seeds import seeded, stream
from lambent.tasks.explore import encode
from lambent.training.fitting import fit
from lambent.training.run import History


class _PriorAlone(Objective):
    """−E log p(z), z ~ q(z|x): the prior learns, all else stands still."""

    bounded = False

    def refusal(self, whole: Part) -> str | None:
        return None  # any posterior will do: the codes are data here

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        node = model.infer(x, 1, from_posterior(generator), context)[0]
        return Loss(-node.p.log_prob(node.z.detach())[0])


def fit_prior(
    fitted: Fitted | LatentModel,
    data: Any,
    prior: Prior | Spec | str,
    *,
    epochs: int = 20,
    seed: int = 0,
    context: Any = None,
    **settings: Any,
) -> History:
    """Replace p(z) (of the top level) by `prior`, fitted to the model's posteriors on `data`; works on any model.

    prior: a part, its name or its description.
    A mixture starts from expectation-maximization (scikit-learn), the rest from nought; all then maximize E log p(z). Encoder
    and decoder keep their weights. context: [rows, width], for a model whose context has no names. Returns the history;
    `settings` go to `fit`. Ghosh et al., From Variational to Deterministic Autoencoders, 2020; Dai & Wipf, Diagnosing and
    Enhancing VAE Models, 2019.
    Errors: `UsageError` for a model that is not trained yet, or a prior that cannot hold its posteriors; those of `fit`. After
    any of them the model has the prior that it had.
    """
    fitted = Fitted.of(fitted)
    model, prior = fitted.model, Prior.from_spec(prior)
    if not model.latent.density and isinstance(prior, Vamp):
        raise UsageError(
            f"a Vamp prior is a mixture of posteriors, and {model.latent.inference} has no density to mix: "
            "use Mixture or Flow"
        )
    if not isinstance(model.latent, (Flat, Ladder)):
        raise UsageError(
            f"fit_prior replaces the prior of Flat or Ladder, and {type(model.latent).__name__} has none to replace"
        )
    if model.members > 1:
        raise UsageError(
            f"fit_prior gives one model another prior, and this LatentModel has {model.members} members, whose codes "
            "have nothing in common: fit it to one of them, model.member(0), or train with members=1"
        )
    rows = fitted.rows(data, seed, context=context)
    codes = _codes(model, rows, seed)
    embedded = model.likelihood.seen(model.likelihood.observe(rows.x[:1000]))
    with seeded(torch.Generator().manual_seed(stream(seed, "prior start"))):
        model.latent.equip(prior, embedded, model.context)
    if isinstance(prior, Mixture):
        _expectation_maximization(prior, codes, seed)
    replaced = model.latent.prior
    model.latent.prior = prior.to(model.device, model.anchor.dtype)
    # Encoded rows are drawn anew in each batch, as in training.
    source = rows.x if rows.encoded is None else rows.encoded
    try:
        check(model)
        if not prior.learned:
            return {}
        device = str(model.device)
        with _learning(model, prior):
            return fit(
                model, _PriorAlone(), source, epochs=epochs, seed=seed, device=device, context=rows.context, **settings
            )
    except BaseException:  # what was not learned to its end is no prior to leave behind
        model.latent.prior = replaced
        raise


@contextmanager
def _learning(model: LatentModel, part: Part) -> Iterator[None]:
    """While active, of all the model only `part` learns."""
    before = [(p, p.requires_grad) for p in model.parameters()]
    own = {id(p) for p in part.parameters()}
    try:
        for parameter, _ in before:
            parameter.requires_grad_(id(parameter) in own)
        yield
    finally:
        for parameter, learned in before:
            parameter.requires_grad_(learned)


def _codes(model: LatentModel, rows: Rows, seed: int) -> Tensor:
    """One draw of the top code for up to 20,000 rows."""
    draw = from_posterior(torch.Generator(model.device).manual_seed(stream(seed, "codes")))
    given = None if rows.context is None else rows.context[:20000]
    return encode(model, rows.x[:20000], given, draw)[0].flatten(1)


def _expectation_maximization(prior: Mixture, codes: Tensor, seed: int) -> None:
    from sklearn.mixture import GaussianMixture

    kind = {"diagonal": "diag", "full": "full"}[prior.covariance]
    found = GaussianMixture(min(prior.components, len(codes)), covariance_type=kind, random_state=seed, reg_covar=1e-4)
    found.fit(codes.double().numpy())
    count = found.n_components
    with torch.no_grad():
        prior.logits.fill_(-20.0)  # components beyond the number of rows stay empty
        prior.logits[:count] = torch.from_numpy(found.weights_).log()
        prior.location[:count] = torch.from_numpy(found.means_)
        if prior.covariance == "diagonal":
            prior.log_scale[:count] = 0.5 * torch.from_numpy(found.covariances_).log()
        else:
            factor = torch.linalg.cholesky(torch.from_numpy(found.covariances_))
            prior.log_scale[:count] = factor.diagonal(dim1=-2, dim2=-1).log()
            prior.below[:count] = factor.tril(-1)
