"""drift: whether rows as a whole have changed since a model was trained, and in which columns."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.levels import Levels
from lambent.data.kinds.table import Table
from lambent.data.readers.framing import plain
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics import two_samples
from lambent.metrics.two_samples import Tested
from lambent.model.bounded import bounding
from lambent.seeds import stream
from lambent.tasks import explore
from lambent.tasks.detection.calibrated import detector_of
from lambent.tasks.detection.scores import Evidence, Reconstruction, Score

LEVEL = 0.05  # the chance that anything is called changed where nothing is
MOST_ROWS = 20_000  # of each side, drawn by the seed
MOST_CODES = 1000  # of each side whose codes are compared, for all pairs are
PERMUTATIONS = 999
FEWEST = 20
MOST_WORDS = 30  # letters of a level's name

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One test: what was compared, how far it is apart (0: alike, 1: nothing in common), and its p-value.

    adjusted: Holm's among all of its kind, so that the chance of any below α is at most α where nothing has changed. words: from
    what to what.
    """

    name: str
    test: str
    distance: float
    p: float
    adjusted: float
    words: str = ""

    @property
    def changed(self) -> bool:
        """Whether the adjusted p-value lies at most at 0.05."""
        return self.adjusted <= LEVEL


@dataclass(frozen=True)
class Drift:
    """Whether new rows come from where the reference comes from: tests of the whole, of every column, and what they say.

    p: of no change in the whole: the smallest adjusted one. rows: how many were compared, new and reference.
    """

    whole: list[Change]
    columns: list[Change]
    rows: tuple[int, int]

    @property
    def p(self) -> float:
        """The smallest adjusted p-value of the tests of the whole."""
        return min(one.adjusted for one in self.whole)

    @property
    def changed(self) -> bool:
        """Whether `p` lies at most at 0.05."""
        return self.p <= LEVEL

    @property
    def sentence(self) -> str:
        """What is found, and what it rests on."""
        new, reference = self.rows
        p = f"p {self.p:.2g}" if self.p >= 1e-4 else "p below 0.0001"
        moved = [one.name for one in self.columns if one.changed]
        named = ", ".join(moved[:5]) + (f" and {len(moved) - 5} more" if len(moved) > 5 else "")
        columns = f"; columns: {named}" if moved else "; no single column has" if self.changed and self.columns else ""
        if not self.changed and moved:
            columns = f", but single columns have: {named}"
        found = "the whole has changed" if self.changed else "no change of the whole is shown"
        return f"{found} ({p}; {new:,} rows beside {reference:,} of the reference){columns}"

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        listed = {
            name: [asdict(one) | {"changed": one.changed} for one in getattr(self, name)]
            for name in ("whole", "columns")
        }
        return {"changed": self.changed, "p": self.p, "rows": list(self.rows), "sentence": self.sentence, **listed}


def drift(fitted: Any, data: Any, reference: Any, *, seed: int = 0) -> Drift:
    """Test whether `data` come from the distribution that `reference` came from, as the model sees both.

    Of the whole: the scores (Kolmogorov–Smirnov) and the posterior means, each unit in its deviations over both (energy
    distance, 999 permutations). Of tables every column: numbers by Kolmogorov–Smirnov, levels by χ², and gaps by χ². Adjusted
    by Holm within the whole and within the columns. Rows are taken to be independent of one another; the reference must not
    have been trained on, or the scores alone would tell them apart.

    fitted: a trained model; of a detector its own score is looked at, of others −log p(x), as the K-sample bound has it. data,
    reference: whatever the model takes; of each at most 20,000 rows, drawn by the seed.
    Errors: `UsageError` for fewer than 20 rows on either side.
    """
    fitted = Fitted.of(fitted)
    generator = np.random.Generator(np.random.PCG64(stream(seed, "drift")))
    sides = [_taken(fitted.rows(rows, seed), generator) for rows in (data, reference)]
    for rows, what in zip(sides, ("new rows", "rows of the reference"), strict=True):
        if len(rows) < FEWEST:
            raise UsageError(f"{len(rows)} {what} are too few to tell a change from chance; give at least {FEWEST}")
    new, old = sides
    score = detector_of(fitted)[1] if fitted.detection is not None else _unlearned(fitted)
    scores = [np.asarray(score(fitted, rows).double().cpu()) for rows in sides]
    whole = [_of_scores(*scores), _of_codes(fitted, new, old, generator)]
    columns = _of_columns(fitted, new, old, generator)
    return Drift(_adjusted(whole), _adjusted(columns), (len(new), len(old)))


def _unlearned(fitted: Fitted) -> Score:
    """A score that need not know the training rows."""
    return Evidence() if bounding(fitted.model) else Reconstruction()


def _taken(rows: Rows, generator: np.random.Generator, most: int = MOST_ROWS) -> Rows:
    if len(rows) <= most:
        return rows
    return rows.at(torch.from_numpy(np.sort(generator.permutation(len(rows))[:most])))


def _adjusted(changes: list[Change]) -> list[Change]:
    """The same with Holm's p-values, those that have most surely changed first; of equal ones those furthest apart."""
    adjusted = two_samples.holm(np.array([one.p for one in changes]))
    found = [replace(one, adjusted=float(p)) for one, p in zip(changes, adjusted, strict=True)]
    return sorted(found, key=lambda one: (one.adjusted, -np.nan_to_num(one.distance)))


def _change(
    name: str, test: Literal["Kolmogorov–Smirnov", "χ²", "energy distance"], found: Tested, words: str
) -> Change:
    return Change(name, test, found.distance, found.p, found.p, words)


# ---- the whole -------------------------------------------------------------------------------------------------------


def _of_scores(new: Numbers, old: Numbers) -> Change:
    """Scores; in words the chance that a new row is odder than one of the reference."""
    odder = _odder(new, old)
    return _change(
        "scores",
        "Kolmogorov–Smirnov",
        two_samples.kolmogorov_smirnov(new, old),
        f"a new row is odder than one of the reference in {100 * odder:.0f} % of pairs (50: no change)",
    )


def _odder(new: Numbers, old: Numbers) -> float:
    """P(new > old) + ½ P(new = old)."""
    ordered = np.sort(old)
    below, upto = (np.searchsorted(ordered, new, side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(old)))


def _of_codes(fitted: Fitted, new: Rows, old: Rows, generator: np.random.Generator) -> Change:
    first, second = (_codes(fitted, _taken(rows, generator, MOST_CODES)) for rows in (new, old))
    both = np.concatenate([first, second])
    spread = both.std(0)
    kept = spread > 1e-9 * (1 + np.abs(both).max(0, initial=0.0))
    if not kept.any():
        return _change("codes", "energy distance", Tested(0.0, 1.0), "the codes of all rows are the same")
    first, second = (side[:, kept] / spread[kept] for side in (first, second))
    moved = np.abs(first.mean(0) - second.mean(0))
    most = int(moved.argmax())
    found = two_samples.energy(first, second, PERMUTATIONS, generator)
    unit = int(np.flatnonzero(kept)[most])
    return _change(
        "codes",
        "energy distance",
        found,
        f"the mean of unit z{unit} by {moved[most]:.2g} deviations, of all units the most",
    )


def _codes(fitted: Fitted, rows: Rows) -> Numbers:
    levels = explore.encode(fitted, rows.x, rows.context)
    return np.concatenate([np.asarray(level.flatten(1).double()) for level in levels], 1)


# ---- column by column ------------------------------------------------------------------------------------------------


def _of_columns(fitted: Fitted, new: Rows, old: Rows, generator: np.random.Generator) -> list[Change]:
    """Every column of a table, and the gaps of those that have any; nothing of what is no table."""
    table = fitted.modality
    sides = [np.asarray(rows.x.double().cpu()) for rows in (new, old)]
    if not isinstance(table, Table):
        return []
    found = []
    for place, column in enumerate(table.encoding.modelled):
        first, second = (side[:, place] for side in sides)
        one = (
            _of_levels(column, first, second, generator)
            if isinstance(column, Levels)
            else _of_numbers(column, first, second)
        )
        found.append(one)
        gaps = [np.isnan(side) for side in (first, second)]
        if any(missing.any() for missing in gaps):
            found.append(_of_gaps(column.name, gaps[0], gaps[1], generator))
    return found


def _of_numbers(column: Column, new: Numbers, old: Numbers) -> Change:
    """Encoded values stand in the order of the values themselves, which is all that the test looks at."""
    tested = two_samples.kolmogorov_smirnov(new, old)
    words = " → ".join(_middle(column, side) for side in (old, new))
    return _change(column.name, "Kolmogorov–Smirnov", tested, f"median {words}")


def _middle(column: Column, encoded: Numbers) -> str:
    """The median as it is written in the data."""
    there = np.sort(encoded[~np.isnan(encoded)])
    if not len(there):
        return "none"
    value = plain(column.decode(there[(len(there) - 1) // 2 : (len(there) - 1) // 2 + 1, None]))[0]
    return f"{value:,.4g}" if isinstance(value, (float, np.floating)) else str(value)


def _of_levels(column: Levels, new: Numbers, old: Numbers, generator: np.random.Generator) -> Change:
    counts = [_counted(side, column.tokens) for side in (new, old)]
    tested = two_samples.chi_squared(counts[0], counts[1], generator)
    shares = [side / max(1, side.sum()) for side in counts]
    most = int(np.abs(shares[0] - shares[1]).argmax())
    name = f"{str(column.levels[most])[:MOST_WORDS]!r}" if most < len(column.levels) else "other levels"
    return _change(column.name, "χ²", tested, f"{name} {_percent(shares[1][most])} → {_percent(shares[0][most])}")


def _counted(encoded: Numbers, levels: int) -> NDArray[np.int64]:
    return np.bincount(np.floor(encoded[~np.isnan(encoded)]).astype(np.int64), minlength=levels)


def _of_gaps(name: str, new: NDArray[np.bool_], old: NDArray[np.bool_], generator: np.random.Generator) -> Change:
    counts = [np.array([side.sum(), (~side).sum()]) for side in (new, old)]
    tested = two_samples.chi_squared(counts[0], counts[1], generator)
    return _change(f"{name} is missing", "χ²", tested, f"{_percent(float(old.mean()))} → {_percent(float(new.mean()))}")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
