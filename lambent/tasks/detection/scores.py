"""Scores: how odd a row is under a trained model. Higher is odder."""

from abc import abstractmethod
from typing import Self

from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import SAMPLES
from lambent.part import Part, option
from lambent.tasks.score import scored


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
        """The score for such a model where none is named."""
        return Evidence()


class Evidence(Score):
    """−log p(x) as the K-sample bound has it, in nats and the data's own units. Burda et al., 2016."""

    papers = ("burda2016importance",)

    samples: int = option("K of the bound", default=SAMPLES, minimum=1, maximum=100_000)

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        return -scored(fitted, rows, self.samples).bound

    def refuse(self, fitted: Fitted) -> None:
        if not fitted.model.latent.density:
            raise UsageError("a Point posterior has no density, so rows have no evidence: use the Reconstruction score")
