"""Candidate: one trained model of a comparison, with the rows that it is measured on, and what it can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data.kinds.modality import Encoded
from lambent.fitted import Fitted
from lambent.objectives import Objective
from lambent.objectives.adversarial.rivalled import Rivalled
from lambent.objectives.around import Around
from lambent.tasks.compare.comparison import Method


@dataclass(frozen=True)
class Odd:
    """The same model trained without a class: test rows as it reads them, and which of them are of that class."""

    fitted: Fitted
    test: Encoded
    odd: NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """A model trained by one seed, rows that it was trained on and test rows, as it reads them.

    metrics: what its evaluation found, by name. folder: where its run lies. without: the same model trained without a class;
    unfound: why there is none.
    """

    name: str
    seed: int
    fitted: Fitted
    train: Encoded
    test: Encoded
    metrics: Mapping[str, Mapping[str, Any]]
    folder: str = ""
    without: Odd | None = None
    unfound: str = "no class was left out: --odd LABEL"

    @property
    def encodes(self) -> bool:
        """Whether the model has an encoder."""
        return self.fitted.model.latent.encodes

    @property
    def spec(self) -> dict[str, Any]:
        """Its parts, as the report names them."""
        whole = self.fitted.model.spec()
        parts = {name: whole[name] for name in ("latent", "likelihood", "network") if name in whole}
        return parts | {"objective": self.fitted.provenance.get("objective") or {}}


def method_of(candidate: Candidate) -> Method:
    """How a model is trained and what it is for, by its parts."""
    model = candidate.fitted.model
    objective = Objective.from_spec(candidate.fitted.provenance.get("objective") or {"type": "Elbo"})
    density, encodes, rival = model.latent.density, candidate.encodes, judges_pictures(objective)
    if not encodes:
        training = (
            "A game: a rival learns to tell drawn pictures from real ones, the decoder to deceive it. No encoder."
        )
        use = "New pictures. No codes, no reconstructions, no probabilities; codes by optimization (lambent invert)."
        return Method(training, use, encodes, density)
    if not density:
        training = "Reconstruction alone: pictures through a narrow code and back."
        training += " A rival judges what it draws." if rival else ""
        use = "Codes, compression to few numbers, finding odd rows by their error. Its code has no distribution to draw from."
        return Method(training, use, encodes, density, samples=rival)
    training = "A bound on the probability of the data: reconstruction, and a code held to a distribution (KL)."
    use = "Everything: codes, reconstructions, new pictures, a bound on log p(x) for compression and odd rows."
    if rival:
        training += " A rival judges what it draws."
        use = "New pictures that are to look real, with codes, reconstructions and a bound on log p(x)."
    return Method(training, use, encodes, density)


def judges_pictures(objective: Objective) -> bool:
    """Whether a rival of pictures takes part in the training, in the objective or in one that it is built around."""
    return isinstance(objective, Rivalled) or (isinstance(objective, Around) and judges_pictures(objective.inner))
