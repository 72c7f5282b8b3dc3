"""Score: how odd a row is under a trained model, as a family of parts."""

from abc import abstractmethod
from typing import Self

from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.model.bounded import bounding
from lambent.part import Part

SMALLEST = 4  # pixels along the shorter side of a picture that has outlines


class Score(Part):
    """How odd rows are, [rows] in float64, higher = odder; of a row's content alone, beside whatever others and in any order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kept: dict[str, Tensor] = {}  # what is known of the training rows, by name

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        """Keep what the score needs to know of the training rows; default: nothing."""
        return self

    @abstractmethod
    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        """Of rows that the model was not trained on; a row that equals one that is kept is compared with the others."""

    def seen(self, fitted: Fitted, rows: Rows) -> Tensor:
        """Of the training rows themselves; default: as of any."""
        scores: Tensor = self(fitted, rows)
        return scores

    def refuse(self, fitted: Fitted) -> None:
        """Raise `UsageError` for a model that cannot be scored so, with a score that can."""

    @staticmethod
    def default(fitted: Fitted) -> "Score":
        """The score that suits such data best, as measured: Blend for tables, Drawing for pictures.

        Of all else Evidence; where there is no density, Reconstruction.
        """
        if len(fitted.model.event_shape) == 1:
            objective = fitted.provenance.get("objective") or {}
            return Score.from_spec({"type": "Blend", "untrimmed": int(objective.get("untrimmed", 0))})
        if len(fitted.model.event_shape) == 3 and min(fitted.model.event_shape[1:]) >= SMALLEST:
            return Score.from_spec("Drawing")
        return Score.from_spec("Evidence" if bounding(fitted.model) else "Reconstruction")

    def known(self, name: str) -> Tensor:
        """What was learned under that name; `UsageError` before `learn`."""
        if name not in self.kept:
            raise UsageError(f"the {type(self).__name__} score knows no training rows yet: call learn first")
        return self.kept[name]


def want_density(fitted: Fitted, score: str) -> None:
    """`UsageError` for a model whose posterior has no density."""
    if not fitted.model.latent.density:
        raise UsageError(f"a Point posterior has no density, so {score} means nothing: use the Reconstruction score")


def want_columns(fitted: Fitted, score: str) -> None:
    """`UsageError` for rows that are no vectors of columns."""
    if len(fitted.model.event_shape) != 1:
        shape = list(fitted.model.event_shape)
        raise UsageError(f"the {score} score compares columns, and these rows have shape {shape}: use Evidence")
