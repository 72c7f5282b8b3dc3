"""The parts that suit telling odd rows can be assembled, and leave rows out."""

import numpy as np
import pandas as pd

from lambent.data.kinds.table import Table
from lambent.model import LatentModel, check
from lambent.objectives import Objective


def assembled(table: Table) -> tuple[LatentModel, Objective]:
    parts = table.detecting()
    described = {name: parts[name] for name in ("latent", "likelihood", "network")} | parts.get("model", {})
    gaps = {"gaps": table.gaps}
    model = LatentModel.from_spec({"type": "LatentModel", **gaps, **described}).setup(table.event)
    objective = Objective.from_spec(parts["objective"])
    check(model, objective)
    return model, objective


def test_numbers_are_read_by_an_ensemble_of_which_half_leaves_rows_out() -> None:
    rows = np.random.default_rng(0).normal(size=(1280, 3))
    table = Table().fit(rows)
    model, objective = assembled(table)
    assert (model.members, objective.trim, objective.untrimmed) == (4, 0.3, 2)
    settings = table.detecting()["fit"]
    assert settings["epochs"] * len(rows) == 600 * settings["batch"]


def test_other_tables_have_their_usual_parts_and_leave_rows_out() -> None:
    random = np.random.default_rng(0)
    mixed = pd.DataFrame({"kind": random.choice(["a", "b"], 200), "size": random.normal(size=200)})
    counts = random.poisson(0.3, size=(200, 3)).astype(float)
    for raw in (mixed, counts):
        table = Table().fit(raw)
        model, objective = assembled(table)
        assert model.members == 1
        assert (objective.trim, objective.untrimmed) == (0.3, 0)
        assert model.likelihood.spec()["type"] == table.defaults()["likelihood"]["type"]
