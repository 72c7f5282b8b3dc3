"""Company: whether the parts of a model can serve together, and what it must have for what is asked of it."""

from typing import TYPE_CHECKING

from lambent.errors import UsageError
from lambent.model.posteriors import WITHOUT_ENCODER
from lambent.part import Part, family, registered

if TYPE_CHECKING:
    from lambent.model.model import LatentModel


def ask_encoder(model: "LatentModel") -> None:
    """Refuse, in a sentence that says what to do, a model without an encoder: for what needs the codes of rows."""
    if not model.latent.encodes:
        raise UsageError(WITHOUT_ENCODER)


def check(model: "LatentModel", *others: Part) -> None:
    """Ask every part of the model, and any others, whether it can serve in this company; raise the first refusal."""
    for part in (*others, *(m for m in model.modules() if isinstance(m, Part))):
        if reason := part.refusal(model) or _alone(part, model):
            raise UsageError(reason)


def _alone(part: Part, model: "LatentModel") -> str | None:
    """Why a part cannot serve the members of an ensemble."""
    if model.members == 1 or part.many:
        return None
    kind, name = family(type(part)), type(part).__name__
    alike = getattr(type(part), "support", None)  # where codes lie: another of that kind serves in its place
    others = [n for n, other in registered(kind).items() if other.many and getattr(other, "support", None) == alike]
    instead = f"use {' or '.join(others)}, or members=1" if others else "use members=1"
    return f"a LatentModel of {model.members} members computes them in one pass, and {name} serves one alone: {instead}"
