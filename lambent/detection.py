"""Detection: what a detector keeps beside its model, as plain data: its score, and what scores are usual."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lambent.errors import ArtifactError
from lambent.part import Spec

PREFIX = "detection/"  # of its tensors' names in the model file
KEPT = f"{PREFIX}kept/"
DAMAGED = "what the file says of its detector is damaged"
SCORES = ("held_out", "training", "held_out_seen")


@dataclass
class Detection:
    """How rows are scored, and what scores are usual. Higher scores are odder.

    score: the description of the score; kept: what that keeps of the training rows, by name. held_out: scores of normal rows that
    nothing was learned from, ascending, float64, empty where there are none; training: those of the training rows, read out for
    rows that were seen, ascending, float64. facts: plain JSON, such as the share that training trimmed.
    known: fingerprints of the training rows, ascending, int64, by which they are told from others. held_out_seen: of a score with
    a read-out of its own for training rows that of the held-out rows, ascending; else empty.
    """

    score: Spec
    kept: dict[str, Tensor] = field(default_factory=dict)
    held_out: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    training: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    facts: dict[str, Any] = field(default_factory=dict)
    held_out_seen: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    known: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def tensors(self) -> dict[str, Tensor]:
        """All its tensors by the names that they have in a model file."""
        own = {f"kept/{name}": tensor for name, tensor in self.kept.items()}
        every = {**own, **{name: getattr(self, name) for name in (*SCORES, "known")}}
        return {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in every.items()}

    def described(self) -> dict[str, Any]:
        """The rest of it, plain JSON."""
        return {"score": self.score, "facts": self.facts}

    @classmethod
    def restored(cls, path: Any, described: Any, tensors: dict[str, Tensor]) -> "Detection":
        """The inverse of `tensors` and `described`; `ArtifactError`, with the path of the file, for what is no such thing."""
        own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        try:
            score, facts = dict(described["score"]), dict(described["facts"])
            scores, known = {name: own.pop(name) for name in SCORES}, own.pop("known")
        except (KeyError, TypeError, ValueError):
            raise ArtifactError(DAMAGED) from None
        types = [known.dtype == torch.int64, *(each.dtype == torch.float64 for each in scores.values())]
        lines = all(each.dim() == 1 for each in (known, *scores.values()))
        beside = len(scores["held_out_seen"]) in (0, len(scores["held_out"]))
        if not (all(types) and lines and beside and all(name.startswith("kept/") for name in own) and _sound(facts)):
            raise ArtifactError(DAMAGED)
        kept = {name.removeprefix("kept/"): tensor for name, tensor in own.items()}
        ascending = {name: each.sort().values for name, each in scores.items()}
        return cls(score, kept, **ascending, facts=facts, known=known.sort().values)


def _sound(facts: dict[str, Any]) -> bool:
    """Whether the facts that scores are computed by are numbers."""
    scale, threshold = facts.get("scale", [1.0, 0.0]), facts.get("threshold", 0.0)
    numbers = [*(scale if isinstance(scale, list) else [None]), threshold]
    return len(numbers) == 3 and all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers)
