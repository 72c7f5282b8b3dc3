"""Parting: the rows of a detector, cut into those to train on, to validate on, and to compare with."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.data.kinds.modality import Encoded
from lambent.data.kinds.table import Table
from lambent.data.loading import load_cut
from lambent.data.notices import warned
from lambent.data.splitting import take
from lambent.errors import DataError, UsageError
from lambent.estimators.assembly import chosen_modality
from lambent.estimators.naming import held_out_of
from lambent.estimators.suited import suits
from lambent.fitted import Fitted, Rows
from lambent.seeds import stream
from lambent.tasks.detection.calibrated import fingerprints
from lambent.training.settings import Training

FEWEST = 5  # rows of which one can be held out
CHANCE = 1e-3  # that a column of two levels agrees with the labels: below it, this is no accident
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """training, held_out: encoded by a modality fitted to the former; validation: rows, or a share of none.

    kept_numbers: of the rows of training and then of validation, among all rows; held_numbers: of those held out.
    """

    training: Encoded
    validation: Any
    held_out: Encoded | None
    kept_numbers: Numbers
    held_numbers: Numbers


def in_parts(vae: Any, X: Any, y: Any, share: float, seed: int) -> Parts:
    """The rows of `X` in three parts, without a copy of a row on both sides; what a VAE would validate on is cut off first.

    Errors: `DataError` for fewer than five rows, and for a column that gives the labels away.
    """
    chosen = X.modality if isinstance(X, Encoded) else chosen_modality(vae.modality, vae.condition, X, vae.likelihood)
    if chosen is not None and chosen.ordered:
        raise UsageError(
            "a Detector judges each row by itself, and windows of a series reach over several: train a VAE on them, such as "
            "VAE(modality=Table(window=8)), and give it to lambent.detect with reference rows; or lambent detect DATA "
            "--data.window 8"
        )
    cuts: list[Numbers] = []

    def cut(whole: Encoded) -> list[Numbers]:
        refuse_leaks(whole, y if y is not None else whole.labels)
        asked = vae.validation
        if isinstance(asked, str):  # "auto": as suits the purpose, where that says so
            asked = suits(whole.modality, vae.purpose).get("fit", {}).get("validation", asked)
        cuts[:] = _three(whole, share, asked, seed)
        return cuts

    if isinstance(X, Encoded):
        found = [take(X, index) for index in cut(X) if len(index)]
    else:
        _, *found = load_cut(X, cut, chosen)
    warned(found[0].source)
    training, validating, held = (found.pop(0) if len(index) else None for index in cuts)
    assert training is not None
    validation = vae.validation if not isinstance(vae.validation, (Real, str)) else 0.0
    return Parts(training, validation if validating is None else validating, held, np.concatenate(cuts[:2]), cuts[2])


def joined(fitted: Fitted, parts: Parts) -> Rows:
    """The rows that a detector knows as trained on: those to train on, and those that a share of them was validated on."""
    every = [fitted.rows(parts.training)]
    if len(parts.kept_numbers) > len(every[0]):
        every.append(fitted.rows(parts.validation))
    context = [each.context for each in every if each.context is not None]
    return Rows(torch.cat([each.x for each in every]), torch.cat(context) if context else None)


def _three(whole: Encoded, share: float, validation: Any, seed: int) -> list[Numbers]:
    rows = len(whole)
    if rows < (FEWEST if share else 2):
        raise DataError(
            f"there are {rows} rows (n_samples = {rows}), and at least {FEWEST} are needed, to learn from some and to compare "
            "with others"
        )
    kept, held = grouped_cut(whole, share, seed)
    if share and not len(held):
        raise DataError(
            f"no row can be held out to compare with: copies of a row stay on one side, and each of these {rows:,} rows has so "
            f"many that they are more than a share of {share:g} of all. Drop the copies, or hold none out (calibration=0 and "
            "contamination=0.01)"
        )
    asked = held_out_of(kept, validation)
    part = Training.of(validation=asked).validation if isinstance(asked, Real) else 0.0
    if not part:
        return [kept, np.empty(0, np.int64), held]
    within, out = grouped_cut(take(whole, kept), part, stream(seed, "validation share"))
    return [kept[within], kept[out], held]


def grouped_cut(encoded: Encoded, share: float, seed: int) -> tuple[Numbers, Numbers]:
    """The numbers of the rows that are kept and of those held out, ascending: a share of them, rounded; copies stay together.

    Rows are copies where the model would take them for one. Groups of copies are held out in an order drawn by the seed, as long
    as they fit in; two rows at least are kept.
    """
    rows = len(encoded)
    quota = min(max(1, round(share * rows)), rows - 2) if share else 0
    group = np.unique(fingerprints(encoded.x).numpy(), return_inverse=True)[1]
    first = np.unique(group, return_index=True)[1]
    sizes = np.bincount(group)
    out = np.zeros(len(sizes), bool)
    # In the order of their first rows: that of their fingerprints would tell nothing.
    for each in np.argsort(first)[np.random.default_rng(seed).permutation(len(sizes))]:
        if sizes[each] <= quota:
            out[each], quota = True, quota - sizes[each]
        if quota <= 0:
            break
    return np.flatnonzero(~out[group]), np.flatnonzero(out[group])


def refuse_leaks(encoded: Encoded, labels: Any) -> None:
    """`DataError` for a column of a table that is the label under other names: of two levels, which go with those of the labels.

    A gap counts as a level. Labels of more than two kinds are none of anomalies; agreement that could be an accident is let pass.
    """
    if labels is None or not isinstance(encoded.modality, Table):
        return
    words = np.array([str(label) for label in np.asarray(labels, dtype=object).reshape(-1)])
    kinds, own = np.unique(words, return_inverse=True)
    if len(kinds) != 2 or len(own) != len(encoded):
        return
    # An integer beyond all floats: it is compared with one, and not made one.
    if math.comb(len(own), int(min((own == 0).sum(), (own == 1).sum()))) < encoded.x.shape[1] / CHANCE:
        return
    for name, column in zip(encoded.modality.names, encoded.x.double().numpy().T, strict=True):
        levels, codes = np.unique(np.nan_to_num(column, nan=np.inf), return_inverse=True)
        if len(levels) == 2 and ((codes == own).all() or (codes != own).all()):
            raise DataError(
                f"column {name!r} is the label under another name: its two levels go with the two labels in every row, so that "
                f"it would give them away. Leave it out: Table(drop=({name!r},)), or --data.drop {name}"
            )
