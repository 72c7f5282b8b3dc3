"""Small tables and models of them, for tests of what is asked of columns; a space of features that are known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from lambent import Fitted, Flat, LatentModel, Table
from lambent.data import load
from lambent.data.kinds.modality import Encoded
from lambent.metrics.samples.space import Space
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Mlp


def _frame(rows: int = 400, gaps: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """job decides age, age decides pay but for noise; size is a number of its own."""
    rng = np.random.default_rng(seed)
    job = rng.choice(["clerk", "cook", "nurse"], rows, p=[0.5, 0.2, 0.3])
    age = np.select([job == "nurse", job == "cook"], [30, 50], 40) + rng.integers(-5, 6, rows)
    pay = (100.0 * age + rng.normal(0, 50, rows)).round(2)
    since = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), "D")
    found = pd.DataFrame({"job": job, "age": age, "pay": pay, "since": since, "ok": rng.random(rows) < 0.3})
    if gaps:
        found["age"] = found["age"].astype(float)
        for name in ("job", "age", "pay", "since"):
            found.loc[rng.random(rows) < gaps, name] = None
    return found


def _untrained(data: pd.DataFrame, sharpness: float = 1.0, seed: int = 0) -> Fitted:
    """A model of the frame's columns as it was set up, its weights enlarged, so that columns depend on each other and on z."""
    rows: Encoded = load(data, modality=Table())
    table = rows.modality
    assert isinstance(table, Table)
    own = table.encoding
    spec = {
        "tokens": list(own.tokens),
        "kinds": list(own.seen),
        "indicates": list(own.indicates),
        "width": 8,
        "rank": 4,
        "agnostic": 0.25,
    }
    likelihood = Likelihood.from_spec({"type": "Autoregressive", **spec})
    model = LatentModel(Flat(1), likelihood, Mlp(8, 1), gaps=True).setup(table.event, rows.x, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (*model.decoder.parameters(), *model.likelihood.parameters()):
            parameter += (
                sharpness * torch.randn(parameter.shape, generator=generator) / max(parameter.shape[-1], 1) ** 0.5
            )
    return Fitted(model.eval(), table)


@pytest.fixture(scope="session")
def frame() -> Callable[..., pd.DataFrame]:
    """frame(rows, gaps, seed): see `_frame`."""
    return _frame


@pytest.fixture(scope="session")
def untrained() -> Callable[..., Fitted]:
    """untrained(frame, sharpness, seed): see `_untrained`."""
    return _untrained


class Quarters(Space):
    """Features that are known: means over quarters of a picture, of all channels."""

    name = "quarters 000000000000"

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        x = pictures.astype(np.float64).reshape(len(pictures), 4, 2, 4, 2, -1)
        return np.asarray(x.mean((2, 4, 5)).reshape(len(x), -1) / 255)


@pytest.fixture(scope="session")
def quarters() -> Space:
    """A space without weights."""
    return Quarters()
