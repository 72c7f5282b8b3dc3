"""probe: what a plain reader learns of a label from codes, beside what it learns from the rows, their PCA and an autoencoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.data.splitting import cut
from lambent.errors import DataError, UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.intervals import Interval
from lambent.metrics.probe import LEAST
from lambent.model import ask_encoder
from lambent.progress import counting
from lambent.tasks.features.labels import OWN, Kind, Labels, labels_of
from lambent.tasks.features.readers import NEIGHBOURS, Outcome, apart, reading_of
from lambent.tasks.features.spaces import Features, codes_of, raw_of, tried_autoencoder

MOST = 10_000  # rows that a reader learns from, and that it is tested on: nearest neighbours look at every pair
FITTED = 20_000  # rows that a PCA is fitted to
HELD = 0.25
FEW = (1, 10, 100)  # labelled rows of each class
CODES, RAW, PCA_CODES, AUTOENCODER = "codes", "data", "PCA", "autoencoder"


@dataclass(frozen=True)
class Probing:
    """What of a label can be read from each space of features.

    kind: "classes", where numbers are shares of test rows told right, or "number", where they are R². spaces: by name, codes
    first; apart: by name of another space and then of reader, how much more codes tell, over the same test rows. chance: what is
    reached without looking, the share of the commonest class, or 0. rows: learned from, and tested on. notes: what was left out.
    """

    label: str
    kind: Kind
    classes: list[str]
    spaces: Mapping[str, Outcome]
    apart: Mapping[str, Mapping[str, Interval]]
    chance: float
    rows: tuple[int, int]
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """The same as dicts of names and numbers."""
        return {
            "label": self.label,
            "kind": self.kind,
            "classes": self.classes,
            "measure": "accuracy" if self.kind == "classes" else "R²",
            "chance": self.chance,
            "rows": {"learned": self.rows[0], "tested": self.rows[1]},
            "spaces": {name: one.plain() for name, one in self.spaces.items()},
            "codes_above": {
                name: {reader: found._asdict() for reader, found in own.items()} for name, own in self.apart.items()
            },
            "notes": self.notes,
        }


@dataclass(frozen=True)
class _Side:
    """Rows with their labels: those that a reader looks at, by number."""

    rows: Rows
    labels: Labels
    chosen: NDArray[np.int64]

    @property
    def looked_at(self) -> Rows:
        return _at(self.rows, self.chosen)

    @property
    def told(self) -> Labels:
        return self.labels.at(self.chosen)


def probe(
    fitted: Any,
    data: Any,
    label: Any = OWN,
    *,
    test: Any = None,
    test_label: Any = None,
    kind: Kind | None = None,
    held: float = HELD,
    few: Sequence[int] = FEW,
    neighbours: int = NEIGHBOURS,
    most: int = MOST,
    autoencoder: bool = True,
    epochs: int | None = None,
    seed: int = 0,
) -> Probing:
    """How much of a label a linear reader and nearest neighbours tell from a model's codes, with all labels and with few.

    Beside the codes E q(z|x) stand the rows as the encoder sees them, as many of their principal components as there are units,
    and the codes of an autoencoder of the same network and as many units, which is trained on the rows of `data` that are
    learned from. Classes: a logistic regression on features of deviation 1, the share told right with Wilson's interval; k
    nearest neighbours; the regression from 1, 10 and 100 rows of each class, over ten draws of these. Numbers: ridge regression,
    R² by bootstrap; from 10, 100, 1000 rows.

    data: rows with labels; where `test` names none, a share `held` of them is tested on and not learned from. label: a name,
    "label", the column of labels, a condition or a factor, or an array [rows]; test_label: the array of the test rows. kind:
    "classes" or "number", found by default. few: rows of each class; of numbers ten times as many rows in all. most: rows that
    are learned from and tested on. autoencoder: False leaves it out; epochs: of its training, by default those of the model's
    own. Alain & Bengio, Understanding intermediate layers using linear classifier probes, 2016.
    Errors: `UsageError` for a model without an encoder, or one that is told the label as a condition; `DataError` for fewer than
    20 labelled rows on a side, or labels that are all alike.
    """
    fitted = Fitted.of(fitted)
    ask_encoder(fitted.model)
    _refuse_told(fitted, label)
    known, tested = _sides(fitted, data, label, test, test_label, kind, held, most, seed)
    reading = reading_of(known.told, tested.told, few, neighbours, seed)
    notes: list[str] = []
    spaces: dict[str, Outcome] = {}
    for name, first, second in _spaces(fitted, known, tested, autoencoder, epochs, seed, notes):
        spaces[name] = reading.outcome(first, second)
    notes += reading.notes
    beyond = {name: apart(spaces[CODES], one) for name, one in spaces.items() if name != CODES}
    return Probing(
        known.labels.name,
        "number" if known.labels.numeric else "classes",
        known.labels.classes,
        spaces,
        beyond,
        reading.chance,
        (len(known.chosen), len(tested.chosen)),
        notes,
    )


def _refuse_told(fitted: Fitted, label: Any) -> None:
    """Refuse a label that the encoder reads: it would be found in the codes of any model."""
    if not isinstance(label, str):
        return
    own = getattr(fitted.modality, "label", None)
    same = {label, OWN, own} if label in (OWN, own) else {label}
    if same & set(fitted.conditions.names):
        raise UsageError(
            f"the encoder is told {label!r}, as a condition: its codes are under that label, and cannot be probed for it; train "
            "without the condition"
        )


def _sides(
    fitted: Fitted,
    data: Any,
    label: Any,
    test: Any,
    test_label: Any,
    kind: Kind | None,
    held: float,
    most: int,
    seed: int,
) -> tuple[_Side, _Side]:
    if most < LEAST:
        raise UsageError(f"most: a probe looks at {LEAST} rows at least, not {most}")
    rows = fitted.rows(data, seed)
    labels = labels_of(label, rows, kind)
    if test is not None:
        others = fitted.rows(test, seed)
        given = label if test_label is None else test_label
        if not isinstance(label, str) and test_label is None:
            raise UsageError("the labels of the test rows are needed, too: test_label")
        theirs = _aligned(labels, labels_of(given, others, "number" if labels.numeric else "classes"))
        return _side(rows, labels, most, seed), _side(others, theirs, most, seed)
    ordered = 0 if rows.encoded is None else rows.encoded.modality.ordered
    parts = [np.asarray(side.index, np.int64) for side in cut(len(rows), held, seed, ordered)]
    first, second = (_side(_at(rows, index), labels.at(index), most, seed) for index in parts)
    return first, second


def _aligned(labels: Labels, others: Labels) -> Labels:
    """The labels of other rows by the numbers of these; a class that is not known among these is a number of its own."""
    if labels.numeric:
        return others
    classes = [*labels.classes, *(name for name in others.classes if name not in labels.classes)]
    number = np.array([classes.index(name) for name in others.classes], np.int64)
    values = np.where(others.values < 0, -1, number[others.values])
    return Labels(others.name, values, classes)


def _side(rows: Rows, labels: Labels, most: int, seed: int) -> _Side:
    known = labels.known
    if len(known) < LEAST:
        raise DataError(
            f"{len(known):,} rows of this side have a {labels.name}: a probe learns from and is tested on {LEAST} at least"
        )
    if len(known) > most:
        known = np.sort(np.random.default_rng(seed).permutation(known)[:most])
    return _Side(rows, labels, known)


def _at(rows: Rows, index: NDArray[np.int64]) -> Rows:
    return rows.at(torch.from_numpy(index))


def _spaces(
    fitted: Fitted, known: _Side, tested: _Side, wanted: bool, epochs: int | None, seed: int, notes: list[str]
) -> Iterator[tuple[str, Features, Features]]:
    """Name, features to learn from and features to be tested on, one space after the other."""
    learned, unseen = known.looked_at, tested.looked_at
    with counting("spaces of features", 3 + wanted) as add:
        codes = codes_of(fitted, learned)
        units = codes.shape[1]
        yield CODES, codes, codes_of(fitted, unseen)
        add(1)
        raw = raw_of(fitted, learned.x)
        if raw is None:
            notes.append("the rows are too wide to be read as they are, and so is their PCA")
        else:
            held = raw_of(fitted, unseen.x)
            assert held is not None
            yield RAW, raw, held
            add(1)
            yield PCA_CODES, *_principal(fitted, known, raw, held, units, seed)
            add(1)
        if wanted:
            found = tried_autoencoder(fitted, known.rows, units, epochs, seed)
            if isinstance(found, str):
                notes.append(f"no autoencoder of the same network: {found}")
            else:
                yield AUTOENCODER, codes_of(found, learned), codes_of(found, unseen)
            add(1)


def _principal(
    fitted: Fitted, known: _Side, raw: Features, held: Features, units: int, seed: int
) -> tuple[Features, Features]:
    """As many principal components as there are units, of all rows that are learned from, labelled or not."""
    from sklearn.decomposition import PCA

    some = np.random.default_rng(seed).permutation(len(known.rows))[:FITTED]
    rows = raw_of(fitted, _at(known.rows, np.sort(some)).x)
    assert rows is not None
    found = PCA(min(units, *rows.shape), random_state=seed % 2**32).fit(rows)
    return found.transform(raw), found.transform(held)
