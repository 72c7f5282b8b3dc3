"""Detection: what a detector keeps beside its model, as plain data: its score, and what scores are usual."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lambent.errors import ArtifactError
from lambent.part import Spec

PREFIX = "detection/"  # of its tensors' names in the model file
SCORES = ("held_out", "training")


@dataclass
class Detection:
    """How rows are scored, and what scores are usual. Higher scores are odder.

    score: the description of the score; kept: what that keeps of the training rows, by name. held_out: scores of normal rows that
    nothing was learned from, ascending, float64, empty where there are none; training: those of the training rows, read out for
    rows that were seen, ascending, float64. facts: plain JSON, such as the share that training trimmed.
    """

    score: Spec
    kept: dict[str, Tensor] = field(default_factory=dict)
    held_out: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    training: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    facts: dict[str, Any] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All its tensors by the names that they have in a model file."""
        own = {f"kept/{name}": tensor for name, tensor in self.kept.items()}
        every = {**own, "held_out": self.held_out, "training": self.training}
        return {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in every.items()}

    def described(self) -> dict[str, Any]:
        """The rest of it, plain JSON."""
        return {"score": self.score, "facts": self.facts}

    @classmethod
    def restored(cls, described: Any, tensors: dict[str, Tensor]) -> "Detection":
        """The inverse of `tensors` and `described`; `ArtifactError` for what is no such thing."""
        own = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        try:
            score, facts = dict(described["score"]), dict(described["facts"])
            scores = {name: own.pop(name) for name in SCORES}
        except (KeyError, TypeError, ValueError):
            raise ArtifactError("what the file says of its detector is damaged") from None
        if any(t.dtype != torch.float64 or t.dim() != 1 for t in scores.values()) or not all(
            name.startswith("kept/") for name in own
        ):
            raise ArtifactError("what the file says of its detector is damaged")
        kept = {name.removeprefix("kept/"): tensor for name, tensor in own.items()}
        return cls(score, kept, **{name: t.sort().values for name, t in scores.items()}, facts=facts)
