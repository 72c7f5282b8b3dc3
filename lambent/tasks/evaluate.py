"""evaluate: the bounds, their parts and the state of the codes, each with its unit and a standard error."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.metrics.bound import SAMPLES, Bounds
from lambent.metrics.codebook import codebook_usage
from lambent.metrics.collapse import ACTIVE, CARRYING, LevelUsage, levels, mutual_information
from lambent.metrics.directions import Directions
from lambent.model import LatentModel, ask_encoder
from lambent.model.bounded import bounding
from lambent.part import elements
from lambent.progress import shown
from lambent.tasks.heard import nearness
from lambent.tasks.metric import Metric, measured
from lambent.tasks.score import scored
from lambent.tasks.texts import of_texts

MOST_SAMPLES = 5000
NEAR = 0.9  # share of the most that an estimate of the mutual information can be, from which it says little


MEASURES: dict[str | None, str] = {
    "kl": "KL(q(z_j|x) ‖ p(z_j)), the mean over rows; over the units it sums to the level's KL",
    "matched": (
        "KL(q(z_j|x) ‖ N(m_j, s_j²)) with the mean and variance of the codes, the mean over rows: "
        "no less than the information I(x; z_j), and not a part of the KL to the prior"
    ),
    "direction": (
        "½ log of the variance of the codes along the direction over the mean variance of q(z|x) along it: the information of "
        "a Gaussian code of that spread and noise, and not a part of the KL to the prior"
    ),
    None: "the KL of this code has no parts by unit",
}
MOVEMENT = (
    "variance over the rows of the posterior's centre less the prior's, both given the centres of the levels above"
)
OF_A_DIRECTION = f"{MOVEMENT}, along the direction, in units of the mean variance of q(z|x) along it"
# What counts as active, by measure; the two whose scale is the code's own have a limit in nats.
ACTIVITY: dict[str | None, str] = {
    "kl": f"the {MOVEMENT}, is above {ACTIVE}",
    "matched": f"it carries more than {CARRYING:.3f} nats, as a Gaussian does whose centre makes {ACTIVE} of its variance",
    "direction": f"it carries more than {CARRYING:.3f} nats: the centre makes more than {ACTIVE} of the variance along it",
    None: f"the {MOVEMENT}, is above {ACTIVE}",
}


@dataclass(frozen=True)
class UnitUsage:
    """The units of one latent level, or its principal directions where the code may be turned and units mean nothing alone.

    measure: what `nats` are (`MEASURES` says what these mean); None where no measure of a single unit is known, and `nats` is
    then None. movement: the variance over the rows of each unit's centre. active: what `ACTIVITY` says of the measure.
    """

    measure: str | None
    nats: list[float] | None
    movement: list[float]
    active: list[bool]
    directions: Directions | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, found: LevelUsage) -> Self:
        nats = None if found.nats is None else found.nats.tolist()
        return cls(found.measure, nats, found.movement.tolist(), found.active.tolist(), found.directions)

    @property
    def noun(self) -> str:
        """What the numbers are of: 'unit' or 'direction'."""
        return "unit" if self.directions is None and self.measure != "direction" else "direction"

    @property
    def shares(self) -> list[float]:
        """What ranks the units: their nats, or where there are none their movement."""
        return self.movement if self.nats is None else self.nats

    def plain(self) -> dict[str, Any]:
        """As JSON, with the definitions of its numbers."""
        of_direction = self.noun == "direction"
        return {
            "of": self.noun,
            "measure": self.measure,
            "meaning": MEASURES[self.measure],
            "nats": self.nats,
            "movement": self.movement,
            "active": self.active,
            "moves": OF_A_DIRECTION if of_direction and self.measure else MOVEMENT,
            "counts_as_active": ACTIVITY[self.measure],
        }


@dataclass(frozen=True)
class Evaluation:
    """The metrics by name, and per latent level, the top first, what its units carry.

    Bounds of tables are in the data's own units.
    by_row: numbers of every row in nats, "bound" (of K samples) and "reconstruction" (−E log p(x|z)); no bound where
    there is none: without a density, or where a distance stands in the place of log p(x|z).
    """

    metrics: dict[str, Metric]
    levels: list[UnitUsage]
    rows: int
    samples: int
    seed: int
    by_row: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def plain(self) -> dict[str, Any]:
        """As JSON, without the numbers of single rows."""
        metrics = {name: asdict(metric) for name, metric in self.metrics.items()}
        levels = [level.plain() for level in self.levels]
        return {"metrics": metrics, "levels": levels, "rows": self.rows, "samples": self.samples, "seed": self.seed}


def evaluate(
    fitted: Fitted | LatentModel,
    data: Any,
    samples: int = SAMPLES,
    seed: int = 0,
    context: Any = None,
    limit: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model on rows it has not been trained on.

    fitted: a trained model, alone or in a `Fitted` or an estimator. data: whatever `Fitted.rows` takes.
    samples: K of the K-sample bound, 1 … 5000; memory does not grow with it. limit: only the first so many rows. Data that
    are drawn anew for each batch in training (dynamic binarization) are drawn once, from `seed`. context: [rows, width], for
    a model whose context has no names. progress: a bar on standard error.
    Errors: `UsageError` for K out of range, `DataError` for rows of another shape or outside the likelihood's support.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise UsageError(f"samples (K of the bound) must lie in 1 … {MOST_SAMPLES}, not {samples}")
    fitted = Fitted.of(fitted)
    ask_encoder(fitted.model)
    model, rows = fitted.model, fitted.rows(data, seed, context=context, limit=limit)
    x, given = rows.x, rows.context
    training = model.training
    model.eval()
    try:
        with shown(progress):
            found = scored(fitted, rows, samples, seed)
        units = [UnitUsage.of(level) for level in levels(model, x, seed, given)]
        metrics = _bound_metrics(model, found, samples)
        metrics |= of_texts(model, found, x, fitted.modality)
        metrics |= _code_metrics(model, x, units, seed, given)
        near = nearness(fitted.modality, fitted, rows)
        metrics |= {name: measured(values, unit, meaning) for name, (values, unit, meaning) in near.items()}
    finally:
        model.train(training)
    by_row = {"reconstruction": (-found.log_px).tolist()}
    if "bound" in metrics:
        by_row["bound"] = found.bound.tolist()
    return Evaluation(metrics, units, len(x), samples, seed, by_row)


def _bound_metrics(model: LatentModel, found: Bounds, samples: int) -> dict[str, Metric]:
    per_row = "nats per row"
    reconstruction = measured(-found.log_px, per_row, "−E log p(x|z), the reconstruction term")
    kl = {"kl": measured(found.kl, per_row, "KL(q(z|x) ‖ p(z))")} if model.latent.density else {}
    if not model.likelihood.normalized:
        lost = (
            f"what {type(model.likelihood).__name__} has in the place of −log p(x|z): a weighted distance, of no bound"
        )
        reconstruction = measured(-found.log_px, "a row, weighted", lost)
    if not bounding(model):
        return {"reconstruction": reconstruction} | kl
    metrics = {
        "elbo": measured(found.elbo, per_row, "lower bound on log p(x), reconstruction and KL together"),
        "bound": measured(found.bound, per_row, f"tighter lower bound on log p(x), of {samples} samples"),
    }
    if model.likelihood.discrete and not model.likelihood.ends:
        scale = -1 / (elements(model.event_shape) * math.log(2))
        metrics["bits_per_dim"] = measured(
            found.bound, "bits per dimension", "the K-sample bound as a code length", scale
        )
    return metrics | {"reconstruction": reconstruction} | kl


def _code_metrics(
    model: LatentModel, x: Tensor, units: list[UnitUsage], seed: int, context: Tensor | None
) -> dict[str, Metric]:
    every = [active for level in units for active in level.active]
    nouns = sorted({f"{level.noun}s" for level in units}, reverse=True)
    rules = dict.fromkeys(ACTIVITY[level.measure] for level in units)
    meaning = f"how many {' and '.join(nouns)} of the code are active; one is where {'; or '.join(rules)}"
    metrics = {"active_units": Metric(sum(every), f"of {len(every)} {' and '.join(nouns)}", None, meaning)}
    if model.latent.discrete:
        metrics |= _entry_metrics(model, x, context)
    if model.latent.density and len(x) > 1:
        value, error = mutual_information(model, x, seed, context)
        ceiling = math.log(min(1000, len(x)))
        rows = "x" if context is None else "x, c"  # q(z | x, c) knows the condition too
        limit = f"this estimate cannot exceed {ceiling:.2f}"
        if value > NEAR * ceiling:
            limit += ", and lies near it: the information may be far larger"
        metrics["mutual_information"] = Metric(value, "nats", error, f"I({rows}; z) of the top level; {limit}")
    return metrics


def _entry_metrics(model: LatentModel, x: Tensor, context: Tensor | None) -> dict[str, Metric]:
    usage, entries = codebook_usage(model, x, context)
    if usage.share is None or usage.perplexity is None:
        return {}
    of, meaning = (
        f"of {entries:,} entries",
        "exp of the entropy of which entry a place holds: all of them, if used evenly",
    )
    return {
        "codebook_usage": Metric(100 * usage.share, f"% {of}", None, "entries that these rows hold at some place"),
        "codebook_perplexity": Metric(usage.perplexity, of, None, meaning),
    }
