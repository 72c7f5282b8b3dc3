"""Whether the parts of a model can go together: each is asked, and the first that cannot says why."""

from lambent.errors import UsageError
from lambent.part import Part, family, registered


def check(model: Part, *others: Part) -> None:
    """Ask every part of the model, and any others, whether it can serve in this company; raise the first refusal."""
    for part in (*others, *(m for m in model.modules() if isinstance(m, Part))):
        if reason := part.refusal(model) or _alone(part, model):
            raise UsageError(reason)


def _alone(part: Part, model: Part) -> str | None:
    """Why a part cannot serve the members of an ensemble."""
    if model.members == 1 or part.many:
        return None
    kind, name = family(type(part)), type(part).__name__
    alike = getattr(type(part), "support", None)  # where codes lie: another of that kind serves in its place
    others = [n for n, other in registered(kind).items() if other.many and getattr(other, "support", None) == alike]
    instead = f"use {' or '.join(others)}, or members=1" if others else "use members=1"
    return f"a LatentModel of {model.members} members computes them in one pass, and {name} serves one alone: {instead}"
