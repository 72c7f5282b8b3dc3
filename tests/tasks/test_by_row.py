"""A section that a task returns: how the bound spreads over rows and labels."""

import math

import numpy as np
import pytest
import torch

from lambent import Flat, Gaussian, LatentModel, Mlp, evaluate
from lambent.metrics.bound import bounds
from lambent.model.posteriors import Point
from lambent.tasks.by_row import by_row
from lambent.tasks.evaluate import Evaluation
from lambent.tasks.sections import Histogram, TableBlock


def measured(bound: list[float], reconstruction: list[float]) -> Evaluation:
    return Evaluation({}, [], len(bound), 1, 0, {"reconstruction": reconstruction, "bound": bound})


def test_the_histogram_holds_the_bound_of_every_row() -> None:
    model = LatentModel(Flat(2), Gaussian(), Mlp(8)).setup((3,))
    x = torch.randn(40, 3)
    found = evaluate(model, x, 7, seed=3)
    shown, *rest = by_row(found)[0].body
    assert isinstance(shown, Histogram)
    assert shown.values == bounds(model, x, 7, 3).bound.tolist()
    assert np.mean(shown.values) == pytest.approx(found.metrics["bound"].value)
    assert rest == []


def test_labels_are_listed_from_the_least_well_modelled() -> None:
    found = measured([-1.0, -2.0, -10.0, -14.0, -5.0], [1.0, 2.0, 9.0, 13.0, 4.0])
    table = by_row(found, ["easy", "easy", "hard", "hard", "one"])[0].body[1]
    assert isinstance(table, TableBlock)
    assert [name for name, _ in table.rows] == ["hard", "one", "easy"]
    assert [c.content for c in table.rows[0][1]] == pytest.approx(
        [2, -12.0, 2.0, 11.0, 2.0]
    )  # s.e. of −10, −14: √8 / √2
    _, one = table.rows[1]
    assert one[1].content == -5.0
    assert isinstance(one[2].content, float)
    assert math.isnan(one[2].content)  # one row has no standard error


def test_without_a_density_the_reconstruction_takes_its_place() -> None:
    model = LatentModel(Flat(2, posterior=Point()), Gaussian(), Mlp(8)).setup((3,))
    found = evaluate(model, torch.randn(20, 3), 2)
    shown, table = by_row(found, ["a", "b"] * 10)[0].body
    assert isinstance(shown, Histogram)
    assert shown.title == "Reconstruction"
    assert np.mean(shown.values) == pytest.approx(found.metrics["reconstruction"].value)
    assert isinstance(table, TableBlock)
    means = [row[1][1].content for row in table.rows]
    assert means == sorted(means, reverse=True)


def test_without_numbers_of_rows_there_is_no_section() -> None:
    assert by_row(Evaluation({}, [], 3, 0, 0)) == []
