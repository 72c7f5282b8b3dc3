"""Everything the report of a run shows, already computed: plain data, no tensors."""

from dataclasses import dataclass, field
from typing import Any, Required, TypedDict

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.chance import Chance
from lambent.report.run.lookup import finite, kind
from lambent.tasks.evaluate import UnitUsage


class Measure(TypedDict, total=False):
    """One number of the table of bounds: its value, unit, standard error (in the same unit) and meaning."""

    value: Required[float | None]
    unit: str
    standard_error: float | None
    meaning: str


@dataclass
class Pictures:
    """Pictures as uint8 arrays; each [n, H, W] (grey) or [n, H, W, 3] (colour) unless said otherwise.

    `by_level` is [rows, 1 + counts, H, W(, 3)], a row's original before what so many levels hold of it: `level_counts`.
    `interpolation` is [rows, steps, H, W(, 3)] and `traversals` [units, steps, H, W(, 3)]; `traversal_values` are the
    values the unit takes at each step, in standard deviations of the prior, or the direction, in those of the codes along it.
    """

    originals: NDArray[np.uint8] | None = None
    reconstructions: NDArray[np.uint8] | None = None
    samples: NDArray[np.uint8] | None = None
    interpolation: NDArray[np.uint8] | None = None
    traversals: NDArray[np.uint8] | None = None
    traversal_units: list[str] = field(default_factory=list)
    traversal_values: list[float] | None = None
    by_level: NDArray[np.uint8] | None = None
    level_counts: list[int] = field(default_factory=list)


@dataclass
class Tables:
    """Rows of a data set that is not made of pictures: row i of `reconstructions` belongs to row i of `originals`."""

    columns: list[str]
    originals: list[list[Any]] = field(default_factory=list)
    reconstructions: list[list[Any]] = field(default_factory=list)
    samples: list[list[Any]] = field(default_factory=list)


@dataclass
class LatentMap:
    """The rows in two dimensions: `points` [n, 2], a label for each or none, and how the plane was chosen."""

    points: NDArray[np.floating[Any]]
    labels: list[str] | None = None
    axes: tuple[str, str] = ("first axis", "second axis")
    method: str = ""


@dataclass
class Findings:
    """A run, as the report shows it; everything but the name may be missing.

    `history` holds columns of equal length: epoch, loss, elbo, reconstruction, kl, learning_rate, validation_loss,
    validation_elbo, validation_reconstruction, validation_kl, step, skipped, seconds. Bounds are in nats per row,
    so that elbo = −(reconstruction + kl) with reconstruction = −E[log p(x | z)]; None and NaN are gaps.
    `levels` say what the units of each latent level carry, the top first (a flat latent has one level). `chance`: what knowing
    nothing gives on the rows tested on; `slope`: the nats in all bounds that come from the units of the data alone; `alike`:
    whether the rows are all equal.
    """

    name: str
    command: str | None = None
    created: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[float | None]] = field(default_factory=dict)
    metrics: dict[str, Measure] = field(default_factory=dict)
    levels: list[UnitUsage] = field(default_factory=list)
    pictures: Pictures | None = None
    tables: Tables | None = None
    latent_map: LatentMap | None = None
    chance: Chance | None = None
    slope: float = 0.0
    alike: bool = False
    samples_under: str = ""  # which conditions the samples were drawn under, a sentence

    def series(self, column: str) -> list[float | None]:
        """A column of the history, one value per epoch; what is missing or not finite is None."""
        values = [finite(v) for v in self.raw(column)]
        return values + [None] * (self.epochs - len(values))

    def raw(self, column: str) -> list[object]:
        """A column of the history as it was given; empty where it is missing."""
        given = self.history.get(column)
        return [] if given is None else list(given)

    @property
    def epochs(self) -> int:
        """The number of epochs in the history."""
        return max((len(self.raw(column)) for column in self.history), default=0)

    def metric(self, *names: str) -> float | None:
        """The value of the first metric among `names` that is present and finite."""
        values = (finite(self.metrics[name].get("value")) for name in names if name in self.metrics)
        return next((v for v in values if v is not None), None)

    @property
    def autoencoder(self) -> bool:
        """Whether the encoder gives points: there is then no KL and no bound, whatever the history holds."""
        return kind(self.spec, "posterior") == "Point"

    @property
    def generator(self) -> bool:
        """Whether there is no encoder, as in a generative adversarial network: there are then no codes of rows, and no bound."""
        return kind(self.spec, "posterior") == "Absent"

    @property
    def kl_of_units(self) -> list[float]:
        """The KL of every unit of the code, or nothing where that of any level has no parts by unit."""
        if not all(level.measure == "kl" for level in self.levels):
            return []
        return [finite(v) or 0.0 for level in self.levels for v in level.shares]

    @property
    def active(self) -> list[bool]:
        """Whether each unit of the code is active, all levels together."""
        return [unit for level in self.levels for unit in level.active]

    @property
    def noun(self) -> str:
        """What the code is looked at by: 'direction' where its top level may be turned, else 'unit'."""
        return self.levels[0].noun if self.levels else "unit"
