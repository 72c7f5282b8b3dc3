"""Reasons: what a column costs and what was expected of it, against exact conditionals; and that planted faults are named."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from lambent import VAE, Fitted, Flat, Gaussian, LatentModel, Table, UsageError
from lambent.data.kinds.columns.numeric import Numeric
from lambent.detection import Detection
from lambent.fitted import Rows
from lambent.model.networks import Mlp
from lambent.tasks.detection import Reason, reasons, usual_costs, why
from lambent.tasks.detection.left_out import left_out
from lambent.tasks.detection.windows import located
from lambent.tasks.detection.wording import Expected, cell, number, percent
from lambent.tasks.score import scored

COLUMNS, HIDDEN, SCALE = 6, 2, 0.5
OFFSET = torch.arange(COLUMNS).double()


def loadings() -> Tensor:
    return torch.randn(COLUMNS, HIDDEN, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def linear(exact: bool) -> LatentModel:
    """x = W z + b + σε in float64; its posterior the exact one, or, of a model that takes gaps, the prior, which is too wide."""
    model = LatentModel(Flat(HIDDEN), Gaussian(scale="fixed", value=SCALE), Mlp(4, 1), gaps=not exact)
    model.setup((COLUMNS,)).double()
    model.decoder = nn.Linear(HIDDEN, COLUMNS).double()
    with torch.no_grad():
        model.decoder.weight.copy_(loadings())
        model.decoder.bias.copy_(OFFSET)
        model.likelihood.width.log_scale.fill_(math.log(SCALE))
        model.latent.posterior.head.weight.zero_()
        model.latent.posterior.head.bias.zero_()
        if exact:
            covariance = torch.linalg.inv(torch.eye(HIDDEN) + loadings().T @ loadings() / SCALE**2)
            gain = covariance @ loadings().T / SCALE**2
            model.encoder, head = nn.Identity(), nn.Linear(COLUMNS, 2 * HIDDEN).double()
            head.weight.zero_()
            head.weight[:HIDDEN] = gain
            head.bias[:HIDDEN] = -gain @ OFFSET
            head.bias[HIDDEN:] = covariance.diagonal().log() / 2
            model.latent.posterior.head = head
    return model


def drawn(rows: int, seed: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, HIDDEN, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, COLUMNS, generator=generator, dtype=torch.float64)
    return (z @ loadings().T + OFFSET + SCALE * noise).float().double()


def conditional(row: Tensor, column: int) -> tuple[float, float]:
    """Mean and deviation of a column given all others."""
    covariance = loadings() @ loadings().T + SCALE**2 * torch.eye(COLUMNS, dtype=torch.float64)
    rest = [other for other in range(COLUMNS) if other != column]
    gain = covariance[column, rest] @ torch.linalg.inv(covariance[rest][:, rest])
    mean = OFFSET[column] + gain @ (row[rest] - OFFSET[rest])
    return float(mean), math.sqrt(float(covariance[column, column] - gain @ covariance[rest, column]))


@pytest.mark.parametrize(("exact", "nats", "deviations"), [(True, 0.15, 0.2), (False, 1.0, 0.5)])
def test_costs_and_expectations_are_the_exact_conditionals(exact: bool, nats: float, deviations: float) -> None:
    """Of whole rows and odd ones, whether or not the encoder is any good: errors of nats where an oddity costs fifty."""
    x = drawn(24)
    x[0, 1] += 6
    x[1, 3] -= 8
    errors, shifts = [], []
    for index, found in left_out(linear(exact), Rows(x), OFFSET, {}):
        costs = -found.log_prob
        for column in range(COLUMNS):
            means = found.conditional(column).mean(column)
            for place, row in enumerate(index.tolist()):
                mean, deviation = conditional(x[row], column)
                far = (float(x[row, column]) - mean) / deviation
                true = 0.5 * far**2 + math.log(deviation) + 0.5 * math.log(2 * math.pi)
                errors.append(float(costs[place, column]) - true)
                shifts.append((float(means[place]) - mean) / deviation)
    assert float(np.sqrt(np.mean(np.square(errors)))) < nats
    assert float(np.sqrt(np.mean(np.square(shifts)))) < deviations


def test_the_other_columns_that_decide_are_named() -> None:
    """x₀ is a copy of x₁ but for noise, and x₂ has nothing to do with either."""
    torch.manual_seed(0)
    model = linear(True)
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]).double()
    covariance = torch.linalg.inv(torch.eye(2) + weight.T @ weight / SCALE**2)
    with torch.no_grad():
        model.decoder.weight.copy_(weight)
        model.decoder.bias.zero_()
        gain = covariance @ weight.T / SCALE**2
        model.latent.posterior.head.weight[:HIDDEN] = gain
        model.latent.posterior.head.bias.zero_()
        model.latent.posterior.head.bias[HIDDEN:] = covariance.diagonal().log() / 2
    x = torch.tensor([[7.0, 0.2, 0.9, 1.1, 0.0, 0.1]]).double()
    first = reasons(Fitted(model), Rows(x), [0])[0][0]
    assert (first.column, first.given) == ("x0", ("x1",))
    assert first.text.startswith("x0 7, expected -")
    assert first.text.endswith(" given x1")


def test_a_planted_fault_is_named_first() -> None:
    x = drawn(80, seed=11)
    fitted = Fitted(linear(True))
    columns = [row % COLUMNS for row in range(len(x))]
    for row, column in enumerate(columns):
        _, deviation = conditional(x[row], column)
        x[row, column] += 7 * deviation
    usual = usual_costs(fitted, Rows(drawn(200, seed=1)))
    fitted.detection = Detection({}, facts={"usual": usual})
    named = [each[0].column for each in reasons(fitted, Rows(x), range(len(x)))]
    assert np.mean([name == f"x{column}" for name, column in zip(named, columns, strict=True)]) > 0.9


def test_what_is_usual_is_the_median_of_the_exact_one() -> None:
    """−log p of a normal value less the entropy: ½ χ² − ½, whatever the deviation."""
    usual = usual_costs(Fitted(linear(True)), Rows(drawn(4000, seed=2)))
    for column in range(COLUMNS):
        assert usual[f"x{column}"][0] == pytest.approx(0.5 * 0.4549 - 0.5, abs=0.35)
        assert usual[f"x{column}"][1] == pytest.approx(float(OFFSET[column]), abs=1.0)


def test_how_far_out_a_cell_lies_is_its_exact_tail() -> None:
    x = drawn(16)
    x[0, 1] += 5
    found = reasons(Fitted(linear(True)), Rows(x), range(len(x)), most=COLUMNS)
    first = found[0][0]
    mean, deviation = conditional(x[0], 1)
    tail = math.erfc(abs(float(x[0, 1]) - mean) / deviation / math.sqrt(2))
    assert first.column == "x1"
    assert first.nats == pytest.approx(-math.log(tail) - 1, rel=0.1)


def ends(reason: Reason) -> tuple[float, float, float]:
    low, high = (float(end.replace(",", "")) for end in reason.expected.split(" to "))
    return low, float(reason.value.replace(",", "")), high


def test_nothing_named_lies_within_what_was_expected_unless_it_is_said_that_nothing_stands_out() -> None:
    x = drawn(60, seed=4)
    x[::3, 2] += 3
    kinds = set()
    for found in reasons(Fitted(linear(True)), Rows(x), range(len(x))):
        inside = [low <= value <= high for low, value, high in map(ends, found)]
        alone = why(found).startswith("nothing stands out alone, the combination is unusual: ")
        assert inside == [alone] * len(found)
        kinds.add(alone)
    assert kinds == {True, False}


def test_a_row_gets_the_same_words_beside_whatever_others() -> None:
    x = drawn(30)
    x[3, 2] += 5
    fitted = Fitted(linear(True))
    beside = reasons(fitted, Rows(x), [3, 0, 7])
    assert reasons(fitted, Rows(x[3:4]), [0])[0] == beside[0]
    assert reasons(fitted, Rows(x.flip(0)), [26])[0] == beside[0]
    assert reasons(fitted, Rows(x), []) == []


# ---- tables ------------------------------------------------------------------------------------------------------------


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """A service decides a size, and that whether it is large; when has nothing to do with them. Some ages are missing."""
    rng = np.random.default_rng(seed)
    service = rng.choice(["http", "smtp", "ftp"], rows, p=[0.5, 0.3, 0.2])
    middle = np.select([service == "http", service == "smtp"], [20.0, 60.0], 100.0)
    size = np.round(middle + 3 * rng.normal(size=rows), 2)
    age = np.where(rng.random(rows) < 0.1, np.nan, rng.integers(18, 80, rows))
    when = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D")
    large = np.where(size > 80, "yes", "no")
    return pd.DataFrame({"service": service, "size": size, "age": age, "when": when, "large": large})


def faults() -> pd.DataFrame:
    """Six rows of http, about 20 large, each with one fault."""
    rows = frame(2000, seed=1).query("service == 'http' and age == age").head(6).reset_index(drop=True)
    rows.loc[0, "service"] = "ftp"
    rows.loc[1, "service"] = "gopher"
    rows.loc[2, "size"] = 38.25
    rows.loc[3, "when"] = pd.Timestamp("2031-03-04")
    rows.loc[4, "size"] = np.nan
    rows.loc[5, "large"] = "yes"
    return rows


NAMED = ["service", "service", "size", "when", "size", "large"]


@pytest.fixture(scope="module", params=["ranks", "mixed"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    train = frame(1500)
    epochs = 20 if request.param == "ranks" else 40
    trained = VAE(modality=Table(scale=request.param), epochs=epochs, random_state=0).fit(train)
    fitted: Fitted = trained.fitted_
    fitted.detection = Detection({}, facts={"usual": usual_costs(fitted, fitted.rows(frame(300, seed=3)))})
    return fitted


def test_faults_of_every_kind_are_named(fitted: Fitted) -> None:
    found = reasons(fitted, fitted.rows(faults()), range(6))
    assert [each[0].column for each in found] == NAMED
    first = [each[0].text for each in found]
    assert first[0].startswith("service = ftp, expected http (")
    assert first[1].startswith("service = a level not met in training, expected http (")
    assert first[2].startswith("size 38.25, expected ")
    assert found[2][0].given[:1] == ("service",)
    assert first[3].startswith("when 2031-03-04, expected 2021-")
    assert first[4] == "size is missing, expected there, as in all 1,350 rows of training"
    assert first[5].startswith("large = yes, expected no (")


def test_what_columns_that_see_columns_expect(fitted: Fitted) -> None:
    if type(fitted.model.likelihood).__name__ != "Autoregressive":
        pytest.skip("of columns that are independent given a code the test above knows the exact answers")
    service = reasons(fitted, fitted.rows(faults()), [0])[0][0]
    assert service.given == ("size",)
    assert service.expected.startswith("http (9")


def test_ordinary_rows_have_little_to_name(fitted: Fitted) -> None:
    rows = fitted.rows(frame(40, seed=9))
    plain = [each[0].nats for each in reasons(fitted, rows, range(40))]
    odd = [each[0].nats for each in reasons(fitted, fitted.rows(faults()), range(6)) if not each[0].within]
    assert len(odd) >= 5  # between the sizes of two services a model may expect anything
    assert np.median(plain) + 2 < min(odd)


def test_pictures_have_heat_maps_instead() -> None:
    model = LatentModel(Flat(2)).setup((1, 8, 8))
    with pytest.raises(UsageError, match="heat-maps"):
        reasons(Fitted(model), Rows(torch.zeros(1, 1, 8, 8)), [0])


# ---- words -------------------------------------------------------------------------------------------------------------


def test_numbers_have_the_digits_that_say_something() -> None:
    assert number(1809.68, 2) == "1,809.68"
    assert number(-0.00004, 2) == "0"
    assert number(1e-17, 3) == "0"
    assert number(3.14159265, None) == "3.142"
    assert number(-21.912345, None) == "-21.91"
    assert number(0.000123456, None) == "0.0001235"
    assert percent(0.9999) == "over 99 %"
    assert percent(0.934) == "93 %"


def test_a_cell_is_written_as_the_data_have_it() -> None:
    column = Numeric("Amount", 88.3, 250.1, decimals=2)
    assert cell(column, float(np.float32((1809.68 - 88.3) / 250.1))) == "1,809.68"
    reason = Reason("Amount", 9.0, "1,809.68", "2 to 95", ("V10", "V14", "V17"))
    assert reason.text == "Amount 1,809.68, expected 2 to 95 given V10, V14, V17"
    assert why([reason, reason]) == f"{reason.text}; {reason.text}"


@pytest.mark.parametrize(
    ("expected", "inside", "outside"),
    [
        (Expected("-88 to 100", ("-88", "100")), "-41.04", "-88.01"),
        (Expected("2 to 1,950", ("2", "1,950")), "1,809.68", "1,950.1"),
        (Expected("2021-01-06 to 2021-10-22", ("2021-01-06", "2021-10-22")), "2021-03-08", "2031-03-08"),
        (Expected("2 s to 10 s", ("2 s", "10 s")), "9.5 s", "11 s"),
        (Expected("http (55 %) or smtp", levels=("http", "smtp")), "smtp", "ftp"),
        (Expected("1 (93 %)", levels=("1",)), "1.0", "2"),
    ],
)
def test_what_lies_within_what_was_expected(expected: Expected, inside: str, outside: str) -> None:
    assert expected.holds(inside)
    assert not expected.holds(outside)


# ---- series ------------------------------------------------------------------------------------------------------------


def series(rows: int, seed: int) -> pd.DataFrame:
    """A wave of sixteen steps, and a pressure that goes with it."""
    rng = np.random.default_rng(seed)
    wave = 20 + 5 * np.sin(2 * np.pi * np.arange(rows) / 16 + rng.uniform(0, 6)) + 0.3 * rng.normal(size=rows)
    pressure = 1000 + 3 * (wave - 20) + 0.5 * rng.normal(size=rows)
    return pd.DataFrame({"temperature": wave.round(2), "pressure": pressure.round(1)})


def test_a_spike_and_a_change_of_frequency_are_found_by_row() -> None:
    tested = series(400, seed=1)
    before = float(tested.loc[150, "temperature"])
    tested.loc[150, "temperature"] = before + 9
    fast = 20 + 5 * np.sin(2 * np.pi * np.arange(400) / 5)
    tested.loc[300:329, "temperature"] = fast[300:330].round(2)
    tested.loc[300:329, "pressure"] = (1000 + 3 * (fast - 20))[300:330].round(1)
    fitted: Fitted = VAE(modality=Table(window=8), epochs=30, random_state=0).fit(series(2500, seed=0)).fitted_
    rows = fitted.rows(tested)
    assert rows.encoded is not None
    assert rows.encoded.numbers is not None
    assert rows.encoded.numbers[0] == 7
    odd = located(-scored(fitted, rows).bound.numpy(), 8)
    assert len(odd) == 400
    assert set(np.argsort(-odd)[:31]) == {150, *range(300, 330)}
    for ends, step in ((150, "temperature"), (153, "temperature")):
        first = reasons(fitted, rows, [ends - 7])[0][0]
        assert (first.column, first.step, first.value) == (step, 150 - ends, number(before + 9, 2))
        low, high = (float(end) for end in first.expected.split(" to "))
        assert low - 0.5 < before < high + 0.5
        assert high - low < 2
    assert reasons(fitted, rows, [146])[0][0].text.startswith(
        f"temperature {number(before + 9, 2)} at 3 steps before, expected "
    )


def test_the_least_of_all_windows_over_a_row() -> None:
    scores = np.array([0.0, 5, 6, 7, 1, 2])
    assert located(scores, 3).tolist() == [0.0, 0, 0, 5, 1, 1, 1, 2]
    assert located(scores, 1).tolist() == scores.tolist()
