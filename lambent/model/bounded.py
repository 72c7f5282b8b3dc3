"""Whether a model bounds log p(x), and why not where it does not."""

from lambent.errors import UsageError
from lambent.model.model import LatentModel


def bounding(model: LatentModel) -> bool:
    """Whether a bound on log p(x) comes of the model: q(z|x) has a density, and its likelihood is a log-probability."""
    return model.latent.density and model.likelihood.normalized


def want_bound(model: LatentModel, what: str, instead: str = "") -> None:
    """Raise `UsageError` for a model without a bound: `what` is so for want of one, `instead` what is done about it."""
    if bounding(model):
        return
    why, use = f"a {model.latent.inference} posterior has no density", "use the Diagonal posterior"
    if model.latent.density:
        why = f"{type(model.likelihood).__name__} is a distance and no log p(x|z)"
        use = "use the Gaussian or DiscretizedLogistics likelihood"
    raise UsageError(f"{why}, so {what}: {instead or use}")
