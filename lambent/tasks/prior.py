"""fit_prior, refine: a better prior for a model that is already trained."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lambent.distributions import Explicit, vector
from lambent.distributions.transported import Transported
from lambent.errors import UsageError, nearest
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel, ask_encoder, check
from lambent.model.priors import Mixture, Prior, Vamp
from lambent.model.trace import from_posterior
from lambent.objectives import Loss, Objective
from lambent.part import Part, Spec
from lambent.seeds import seeded, stream
from lambent.tasks.explore import encode
from lambent.tasks.features.grouping import WAYS
from lambent.training.fitting import fit
from lambent.training.run import History

CODES = 4  # of each row in a step: an encoder costs more than a prior


class _PriorAlone(Objective):
    """−E log p(z), z ~ q(z|x), or what stands for it: the prior learns, all else stands still."""

    bounded = False

    @property
    def by_row(self) -> bool:
        return True

    def refusal(self, whole: Part) -> str | None:
        return None  # any posterior will do: the codes are data here

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        codes = 1 if model.latent.discrete else CODES  # without noise all are the same
        node = model.infer(x, codes, from_posterior(generator), context)[0]
        assert isinstance(node.p, Explicit)
        return Loss(node.p.loss(node.z.detach(), generator).mean(0))


def fit_prior(
    fitted: Fitted | LatentModel,
    data: Any,
    prior: Prior | Spec | str,
    *,
    epochs: int | None = 20,
    seed: int = 0,
    context: Any = None,
    begin: str | None = None,
    **settings: Any,
) -> History:
    """Replace p(z) (of the top level) by `prior`, fitted to the model's posteriors on `data`; works on any model.

    prior: a part, its name or its description.
    A mixture starts from expectation-maximization (scikit-learn), Diffusion from the codes' mean and scale, the rest from nought;
    all then maximize E log p(z), Diffusion by flow matching. Encoder and decoder keep their weights. context: [rows, width], for
    a model whose context has no names. Returns the history; `settings` go to `fit`. begin: mixture, kmeans or manifold:
    the codes are parted into as many groups as a Mixture has components, in that way of `lambent.cluster`, and each component is
    the Gaussian of a group; nothing is fitted beyond that.
    Ghosh et al., From Variational to Deterministic Autoencoders, 2020; Dai & Wipf, Diagnosing and Enhancing VAE Models, 2019.
    Errors: `UsageError` for a model that is not trained yet, or a prior that cannot hold its posteriors; those of `fit`. After
    any of them the model has the prior that it had.
    """
    fitted = Fitted.of(fitted)
    model, prior = fitted.model, Prior.from_spec(prior)
    ask_encoder(model)
    if not model.latent.density and isinstance(prior, Vamp):
        raise UsageError(
            f"a Vamp prior is a mixture of posteriors, and {model.latent.inference} has no density to mix: "
            "use Mixture, Flow or Diffusion"
        )
    if not isinstance(getattr(model.latent, "prior", None), Prior):
        raise UsageError(f"fit_prior replaces a latent's prior, and {type(model.latent).__name__} has none to replace")
    if model.members > 1:
        raise UsageError(
            f"fit_prior gives one model another prior, and this LatentModel has {model.members} members, whose codes "
            "have nothing in common: fit it to one of them, model.member(0), or train with members=1"
        )
    if "device" in settings:
        raise UsageError("a prior is fitted where its model is: move the model, and leave device out")
    _check_begin(begin, prior)
    rows = fitted.rows(data, seed, context=context)
    codes = _codes(model, rows, seed)
    embedded = model.likelihood.seen(model.likelihood.observe(rows.x[:1000]))
    replaced = model.latent.prior
    # Encoded rows are drawn anew in each batch, as in training.
    source = rows.x if rows.encoded is None else rows.encoded
    try:
        model.latent.prior = prior
        check(model)
        with seeded(torch.Generator().manual_seed(stream(seed, "prior start"))):
            model.latent.equip(prior, embedded, model.context)
        if begin is not None and isinstance(prior, Mixture):
            count = min(prior.components, len(codes))
            prior.begin_in(codes, WAYS[begin](codes.flatten(1).double().cpu().numpy(), count, count, seed).of)
        else:
            prior.begin(codes, seed)
        prior.to(model.device, model.anchor.dtype)
        if begin is not None or not prior.learned:
            return {}
        device = str(model.device)
        with _learning(model, prior):
            return fit(
                model, _PriorAlone(), source, epochs=epochs, seed=seed, device=device, context=rows.context, **settings
            )
    except BaseException:  # what was not learned to its end is no prior to leave behind
        model.latent.prior = replaced
        raise


def refine(
    fitted: Fitted | LatentModel,
    data: Any,
    prior: Prior | Spec | str = "Diffusion",
    *,
    epochs: int | None = 20,
    seed: int = 0,
    context: Any = None,
    joint: int = 0,
    begin: str | None = None,
    objective: Objective | Spec | str | None = None,
    **settings: Any,
) -> Fitted:
    """A copy of a trained model whose prior is fitted to its codes, by `fit_prior`; the model given stays as it is.

    joint: epochs in which all of the model then learns on, with the prior, by `objective`, else the one it was trained by:
    codes move to where the prior has its mass, such as into the Gaussians of a Mixture, for `lambent.cluster`. Jiang et al.,
    Variational Deep Embedding, 2017. begin: the way to group codes by which the Gaussians of a Mixture begin, as of `fit_prior`.
    The record of where it came from says under `refined` what the prior was and is, and how it was fitted.
    Errors: `UsageError` for joint epochs below 0, or for a detector, whose usual scores are those of its own prior; those of
    `fit_prior`.
    """
    given = Fitted.of(fitted)
    if given.detection is not None:
        raise UsageError(
            "a detector knows what scores are usual under its own prior: refine the model first, and make the detector of that"
        )
    if joint < 0:
        raise UsageError(f"joint: epochs in which all learns on, 0 for none, not {joint}")
    model = copy.deepcopy(given.model)
    before = None if getattr(model.latent, "prior", None) is None else model.latent.prior.spec()
    found = replace(given, model=model, provenance=dict(given.provenance), calibration={})
    if objective is not None and not joint:
        raise UsageError(
            "objective: what all of the model learns on by, with joint epochs: give these, or leave it out"
        )
    learned = Objective.from_spec(objective or given.provenance.get("objective") or {"type": "Elbo"})
    history = fit_prior(found, data, prior, epochs=epochs, seed=seed, context=context, begin=begin, **settings)
    plain_settings = {name: value for name, value in settings.items() if isinstance(value, (str, int, float, bool))}
    found.provenance["refined"] = {
        "from": before,
        "to": model.latent.prior.spec(),
        "fit": {"epochs": epochs, "seed": seed, **plain_settings},
        "history": history,
        **({} if begin is None else {"begin": begin}),
    }
    if joint:
        rows = given.rows(data, seed, context=context)
        source = rows.x if rows.encoded is None else rows.encoded
        device = str(model.device)
        more = fit(model, learned, source, epochs=joint, seed=seed, device=device, context=rows.context, **settings)
        model.eval()
        found.provenance["refined"] |= {"joint": joint, "objective": learned.spec(), "joint_history": more}
        found.provenance["objective"] = learned.spec()
    found.provenance["parameters"] = sum(p.numel() for p in model.parameters())
    return found


def _check_begin(begin: str | None, prior: Prior) -> None:
    """Refuse a way to begin that is none, or for a prior that has no components."""
    if begin is None:
        return
    if begin not in WAYS:
        raise UsageError(f"begin: {begin!r} is no way to group codes; {nearest(str(begin), list(WAYS))}")
    if not isinstance(prior, Mixture):
        raise UsageError(
            f"begin={begin!r} parts codes into groups, one for each component of a Mixture, and a {type(prior).__name__} has "
            "none: take Mixture, or leave it out"
        )


@torch.no_grad()
def density_error(fitted: Fitted, data: Any, seed: int = 0, rows: int = 10) -> float | None:
    """The standard error, in nats a row, that the prior's density brings into a mean bound; None where it is exact.

    As the estimate has it that is made with the same signs for all codes: averages over rows do not make it smaller.
    """
    model, some = fitted.model, fitted.rows(data, seed, limit=rows)
    context = None if some.context is None else some.context.to(model.device)
    node = model.infer(
        some.x.to(model.device), 1, from_posterior(torch.Generator(model.device).manual_seed(seed)), context
    )[0]
    p = vector(node.p)
    if not isinstance(p, Transported) or p.probes is None:
        return None
    each = p.estimates(node.z.flatten(2)).flatten(1).mean(1)
    return math.nan if len(each) == 1 else float(each.std()) / math.sqrt(len(each))


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
    return encode(model, rows.x[:20000], given, draw)[0]
