"""Calibration: how far the intervals of a table's numbers are to reach, from held-out cells whose values are known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.data.kinds.table import Table
from lambent.fitted import Calibration, Fitted, Rows
from lambent.seeds import stream
from lambent.tasks.conditional import SAMPLES, conditionals
from lambent.tasks.estimates import TOGETHER, NumberEstimate, estimated, in_units

MOST_ROWS = 250  # held-out rows that are looked at
ROUNDS = 4  # in each of which a quarter of their cells is hidden
ALONE = 200  # cells from which a column is corrected by itself
DIGITS = 4
Array = NDArray[Any]


def calibrated(fitted: Fitted, data: Any, samples: int = SAMPLES, seed: int = 0) -> Calibration:
    """Scores of cells of held-out rows, each hidden once among a quarter of its row's, by column; of all together under "".

    A score is how many deviations, on the scale on which the column's conditional is normal, its true value lies from the median,
    up or down. Where the intervals of later rows reach as far as a cell of rank ⌈(n + 1) share⌉ among n, they cover at
    least that share, if these rows and gaps are exchangeable with the held-out ones: split-conformal prediction.
    Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005; Romano, Patterson and Candès, 2019.
    Nothing for models that are not of tables with gaps, that know how values go missing, or whose columns see each other in one
    order alone.
    """
    model, table = fitted.model, fitted.modality
    if not isinstance(table, Table) or not model.gaps or model.missingness is not None or not len(data):
        return {}
    if not model.latent.density or (model.context and not fitted.conditions) or model.likelihood.one_way is not None:
        return {}
    rows = fitted.rows(data, seed)
    columns = table.encoding.modelled
    chosen = torch.from_numpy(np.random.default_rng(stream(seed, "calibration")).permutation(len(rows))[:MOST_ROWS])
    rows = rows.at(chosen.sort().values)
    generator = torch.Generator().manual_seed(stream(seed, "calibration"))
    turn = torch.randint(ROUNDS, (len(rows), len(columns)), generator=generator)
    scores: dict[str, list[Array]] = {}
    for each in range(ROUNDS):
        asked = (turn == each) & ~torch.isnan(rows.x[:, : len(columns)])
        x = rows.x.clone()
        x[:, : len(columns)].masked_fill_(asked, torch.nan)
        for index, conditional in conditionals(fitted, Rows(x, rows.context), samples, seed, "calibrating intervals"):
            for place, column in enumerate(columns):
                cells = asked[index, place].numpy()
                if cells.any():
                    found = estimated(conditional, column, place)
                    if isinstance(found, NumberEstimate):
                        score = found.score(in_units(column, rows.x[index, place]))
                        scores.setdefault(column.name, []).append(score[cells])
    return _gathered(scores)


def _gathered(scores: Mapping[str, list[Array]]) -> Calibration:
    """Sorted scores of all columns together, and of those that have enough by themselves."""
    if not scores:
        return {}
    each = {name: np.concatenate(parts) for name, parts in scores.items()}
    kept = {name: own for name, own in each.items() if len(own) >= ALONE}
    return {
        name: np.sort(own).round(DIGITS).tolist()
        for name, own in {TOGETHER: np.concatenate(list(each.values())), **kept}.items()
    }
