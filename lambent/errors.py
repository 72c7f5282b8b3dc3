"""The errors a user can meet: what was given, what is allowed, the nearest name, what to do.

Each carries the exit status that the command line ends with.
"""

import difflib
from collections.abc import Iterable


class LambentError(Exception):
    """Any fault that Lambent explains; `exit_status` is what the command line returns for it."""

    exit_status = 1


class UsageError(LambentError, ValueError):
    """A name, a setting or a combination that cannot be (exit status 2)."""

    exit_status = 2


class DataError(LambentError, ValueError):
    """Data that cannot be read or that no chosen likelihood can hold (exit status 3)."""

    exit_status = 3


class CellError(DataError, TypeError):
    """A cell of a table that is neither a number nor text (exit status 3)."""


class DataWarning(UserWarning):
    """Something in the data that was settled without asking, and that a result may depend on."""


class ArtifactError(LambentError, ValueError):
    """A model file, a checkpoint or a run folder that is damaged, foreign or mismatched (exit status 4)."""

    exit_status = 4


class MachineError(LambentError, RuntimeError):
    """Something this machine lacks: a device, an optional package, space, memory (exit status 5)."""

    exit_status = 5


class DivergedError(LambentError, ArithmeticError):
    """Training met a number that is not finite; names the step, the rows and the likeliest cause."""

    exit_status = 3


class InterruptedRun(KeyboardInterrupt):
    """Training was stopped from outside (Ctrl-C, SIGTERM) after the last good state had been kept."""

    def __init__(self, message: str, exit_status: int = 130) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def nearest_name(name: str, allowed: Iterable[str]) -> str | None:
    """The closest allowed name; None where none is close."""
    folded = {n.lower(): n for n in sorted(allowed)}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.5)
    return folded[close[0]] if close else None


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A sentence that names the closest allowed name, if any, and lists them all."""
    names = sorted(allowed)
    close = nearest_name(name, names)
    hint = f"did you mean {close!r}? " if close is not None else ""
    return f"{hint}Allowed: {', '.join(names)}."


def bound(value: float, low: float, high: float) -> str:
    """Where a number must lie, in words; of a range too wide to be worth reading only the end that it passed."""
    if high <= 1e6:
        return f"must lie in {low:g} … {high:,}"
    return f"must be at least {low:g}" if value < low else f"must be at most {high:,}"
