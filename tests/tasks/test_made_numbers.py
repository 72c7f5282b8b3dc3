"""Made rows of plain numbers keep to the range, the decimals and the types of those that were learned from."""

import numpy as np
import pandas as pd
import pytest

import lambent
from lambent import VAE, Table, UsageError


@pytest.fixture(scope="module")
def vae() -> VAE:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, 300),
            "price": rng.lognormal(3, 1, 300).round(2),
            "weight": rng.normal(size=300),
        }
    )
    return VAE(epochs=1, modality=Table(missing="yes")).fit(frame)


def test_range_decimals_and_types(vae: VAE) -> None:
    made = vae.sample(3000)
    assert made.dtypes.astype(str).to_dict() == {"age": "int64", "price": "float64", "weight": "float64"}
    assert made["age"].between(18, 89).all()
    cents = made["price"] * 100
    np.testing.assert_allclose(cents, cents.round(), atol=1e-6)
    assert made["price"].min() >= 0
    assert made["weight"].nunique() > 1000


def test_conditions_hold_after_rounding(vae: VAE) -> None:
    assert (vae.sample(300, given=["age>40"])["age"] >= 41).all()
    assert (vae.sample(300, given=["age<=20"])["age"] <= 20).all()
    assert (vae.sample(50, given=["age=40"])["age"] == 40).all()
    with pytest.raises(UsageError, match="no value of column 'age'"):
        vae.sample(10, given=["age>89"])
    with pytest.raises(UsageError, match="no value of column 'age'"):
        vae.sample(10, given=["age=40.5"])


def test_given_cells_stay_as_they_are(vae: VAE) -> None:
    begun = pd.DataFrame({"age": [200.0, 40.0], "price": [np.nan, np.nan], "weight": [0.25, np.nan]})
    made = lambent.synthesize(vae, given_rows=begun)
    assert made["age"].tolist() == pytest.approx([200.0, 40.0], rel=1e-6)
    assert made["weight"][0] == pytest.approx(0.25)
