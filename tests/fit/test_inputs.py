"""What `fit` takes and what it refuses: rows of every type and number, validation in every form, settings out of range."""

import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent.data import Encoded, Table
from lambent.errors import DataError, InterruptedRun, MachineError, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, Gaussian, Poisson
from lambent.model.networks import Mlp
from lambent.model.posteriors import Absent, Diagonal, Point
from lambent.model.priors import Flow, Mixture, Vamp
from lambent.objectives import Elbo, Objective, Wae
from lambent.training.callbacks import Journal, MLflow, TensorBoard
from lambent.training.fitting import fit
from lambent.training.run import Run

Contexts = Callable[[Any, int], Tensor | None]
Small = Callable[..., LatentModel]
FAST: dict[str, Any] = {"epochs": 2, "batch": 8, "device": "cpu", "precision": "fp32"}


class Start:
    """Keeps the run, for a look at what it holds."""

    run: Run

    def on_start(self, run: Run) -> None:
        self.run = run


# ---- rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.int8, ">f4", np.bool_, np.uint8])
def test_rows_of_any_numeric_type_train_as_their_values(dtype: Any) -> None:
    values = np.random.default_rng(0).integers(0, 2, (24, 4))
    histories = []
    for x in (values.astype(dtype), torch.tensor(values, dtype=torch.float32)):
        history = fit(LatentModel(Flat(2), Bernoulli(), Mlp(8, 1)), Elbo(), x, **FAST)
        histories.append({name: column for name, column in history.items() if name != "seconds"})
    assert histories[0] == histories[1]


def test_bytes_stay_bytes_in_memory_and_in_batches(small_model: Small) -> None:
    start, seen = Start(), set()
    x = torch.randint(0, 256, (20, 1, 4, 4)).to(torch.uint8)

    def augment(rows: Tensor, generator: torch.Generator | None) -> Tensor:
        seen.add(rows.dtype)
        return rows

    fit(small_model((1, 4, 4)), Elbo(), x, **FAST, validation=0.2, augment=augment, callbacks=[start])
    assert start.run.batches.x.dtype == start.run.validation.x.dtype == torch.uint8  # type: ignore[attr-defined, union-attr]
    assert seen == {torch.uint8}


@pytest.mark.parametrize(("n", "batch"), [(1, 1), (1, 128), (2, 8), (5, 128), (9, 8), (17, 8)])
def test_D2_D3_D4_any_number_of_rows(
    n: int, batch: int, objective_spec: Any, small_model: Small, context: Contexts
) -> None:
    """One row, fewer rows than a batch, or a last batch of one row: training works and its numbers are finite."""
    objective = Objective.from_spec(objective_spec)
    given = context(objective_spec, n)
    latent = Flat(2, posterior=Diagonal() if objective.encodes else Absent())
    model = small_model(context=0 if given is None else 2, latent=latent)
    history = fit(model, objective, torch.randn(n, 4), context=given, **FAST | {"batch": batch, "epochs": 3})
    assert history["step"] == [-(-n // batch) * epoch for epoch in (1, 2, 3)]
    assert all(math.isfinite(value) for value in history["loss"])  # type: ignore[arg-type]


@pytest.mark.parametrize("validation", [0.0, 0.5])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_D5_D6_a_broken_number_is_refused_with_its_row(bad: float, validation: float, small_model: Small) -> None:
    """A NaN, an infinity or a number beyond single precision is refused before the first step, with its row."""
    for row in (0, 17, 39):
        x = np.random.default_rng(0).normal(size=(40, 4))
        x[row, 2] = bad
        steps = Start()
        hint = r".*LatentModel\(gaps=True\)" if math.isnan(bad) else ""
        with (
            pytest.raises(DataError, match=rf"^row {row} holds a number that is not finite{hint}"),
            np.errstate(all="ignore"),
        ):
            fit(small_model(), Elbo(), x, **FAST, validation=validation, callbacks=[steps])
        assert not hasattr(steps, "run"), "training had begun"


def test_a_validation_row_outside_the_support_is_refused_first(small_model: Small) -> None:
    start = Start()
    for held_out in (torch.full((3, 4), -1.0), torch.full((3, 4), math.nan), torch.zeros(3, 5)):
        with pytest.raises(DataError):
            fit(
                small_model(likelihood=Poisson()),
                Elbo(),
                torch.ones(20, 4),
                **FAST,
                validation=held_out,
                callbacks=[start],
            )
    assert not hasattr(start, "run")


@pytest.mark.parametrize(
    "data", [torch.zeros(0, 4), torch.zeros(5), np.float64(3), np.array(["a", "b"]), torch.zeros(5, 0)]
)
def test_D1_what_holds_no_rows_is_refused(data: Any) -> None:
    """Data without a single row are refused, in whatever form they come."""
    with pytest.raises((DataError, UsageError), match="rows"):
        fit(LatentModel(Flat(2), Gaussian(), Mlp(8, 1)), Elbo(), data, **FAST)


def test_rows_of_another_shape_than_the_models_are_refused(small_model: Small) -> None:
    with pytest.raises(DataError, match=r"shape \[4\]; these have \[5\]"):
        fit(small_model(), Elbo(), torch.zeros(20, 5), **FAST)


# ---- validation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tensor", "array", "Encoded", "share", "one row", "a share below one row"])
def test_validation_in_every_form(form: str, x: Tensor, small_model: Small) -> None:
    held_out = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    forms = {"tensor": held_out, "array": held_out.double().numpy(), "Encoded": Encoded(held_out, Table())}
    forms |= {"share": 0.225, "one row": held_out[:1], "a share below one row": 0.001}
    start = Start()
    history = fit(small_model(), Elbo(), x, **FAST, validation=forms[form], callbacks=[start])
    counts = {"share": (31, 9), "one row": (40, 1), "a share below one row": (39, 1)}.get(form, (40, 9))
    assert (start.run.batches.rows, start.run.validation.rows) == counts  # type: ignore[union-attr]
    assert all(math.isfinite(value) for value in history["validation_elbo"])  # type: ignore[arg-type]


def test_a_share_is_drawn_once_and_kept_apart(x: Tensor, small_model: Small) -> None:
    trained: list[Tensor] = []
    start = Start()
    fit(
        small_model(), Elbo(), x, **FAST, validation=0.25, callbacks=[start],
        augment=lambda rows, generator: trained.append(rows.clone()) or rows,
    )  # fmt: skip
    held_out = {tuple(row) for row in start.run.validation.x.tolist()}  # type: ignore[union-attr]
    seen = {tuple(row) for batch in trained for row in batch.tolist()}
    assert held_out | seen == {tuple(row) for row in x.tolist()}
    assert not held_out & seen


def test_validation_takes_the_view_of_training_but_no_augmentation(x: Tensor, small_model: Small) -> None:
    calls = {"transform": 0, "augment": 0}

    def counted(name: str) -> Callable[[Tensor, Any], Tensor]:
        def view(rows: Tensor, generator: torch.Generator | None) -> Tensor:
            calls[name] += 1
            return rows

        return view

    fit(small_model(), Elbo(), x, **FAST, validation=x, transform=counted("transform"), augment=counted("augment"))
    assert calls["augment"] == 10
    assert calls["transform"] >= 10 + 2 * 2


def test_a_context_is_asked_for_before_the_first_step(x: Tensor, small_model: Small) -> None:
    start, context = Start(), torch.randn(40, 3)
    wanting: list[dict[str, Any]] = [
        {}, {"context": context[:, :2]}, {"context": context[:39]}, {"context": context / 0},
        {"context": context, "validation": x[:6]}, {"context": context, "validation": (x[:6], context[:5])},
    ]  # fmt: skip
    for settings in wanting:
        with pytest.raises((UsageError, DataError), match="context"):
            fit(small_model(context=3), Elbo(), x, **FAST | settings, callbacks=[start])
    assert not hasattr(start, "run"), "training had begun"
    history = fit(small_model(context=3), Elbo(), x, **FAST, context=context, validation=(x[:6], context[:6]))
    assert len(history["validation_elbo"]) == 2


# ---- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "error"),
    [({name: value}, UsageError) for name, values in {
        "epochs": (0, -1, 1.5), "batch": (0, -8, 2.5), "learning_rate": (math.nan, -1, math.inf, "fast"), "spike": (-1,),
        "weight_decay": (-1,), "warmup": (1.5, math.nan), "clip": (-1, math.nan), "average": (1.0, -0.1), "patience": (-1, 3),
        "validation": (1.0, -0.1, math.nan), "seed": (-1, 2**64, 1.5), "schedule": ("cosinus",), "precision": ("fp16", "double"),
        "device": ("gpu0", "tpu"), "steps": (0, 1.5), "resume": (True,),
    }.items() for value in values]
    + [({"device": "cuda:99"}, MachineError)],
    ids=str,
)  # fmt: skip
def test_L11_L12_L13_settings_that_cannot_be_are_refused(
    setting: dict[str, Any], error: type[Exception], x: Tensor, small_model: Small
) -> None:
    """A device that is not there, a seed out of range, or a size that cannot be is refused before anything is computed."""
    model, start = small_model(), Start()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(error) as caught:
        fit(model, Elbo(), x, **FAST | setting, callbacks=[start])
    name = next(iter(setting))
    named = {"resume": "checkpoint", "device": "device"}.get(name, name)
    assert named in str(caught.value)
    assert not hasattr(start, "run")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("prior", [Mixture(components=3), Vamp(components=3), Flow()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("objective", [Elbo(), Wae()], ids=lambda o: type(o).__name__)
def test_a_learned_prior_and_a_point_posterior_are_refused(prior: Any, objective: Objective, x: Tensor) -> None:
    model = LatentModel(Flat(2, prior=prior, posterior=Point()), Gaussian(), Mlp(8, 1))
    with pytest.raises(UsageError, match=r"Point .* fit_prior after"):
        fit(model, objective, x, **FAST)


def test_epochs_by_default_make_ten_thousand_steps_within_limits(small_model: Small) -> None:
    class Count:
        def on_start(self, run: Run) -> None:
            counted.append(run.epochs)
            raise InterruptedRun("the number is known")

    counted: list[int] = []
    for rows in (8, 8 * 100, 8 * 2000):
        with pytest.raises(InterruptedRun):
            fit(small_model(), Elbo(), torch.randn(rows, 4), **FAST | {"epochs": None}, callbacks=[Count()])
    assert counted == [1000, 100, 10]


# ---- what comes out ----------------------------------------------------------------------------------------------


def test_the_history_is_a_plain_dict_of_equally_long_lists(x: Tensor, small_model: Small, tmp_path: Path) -> None:
    history = fit(
        small_model(), Elbo(anneal="linear"), x, **FAST | {"epochs": 3}, validation=0.2,
        callbacks=[Journal(tmp_path / "history.jsonl")],
    )  # fmt: skip
    assert type(history) is dict
    assert {type(column) for column in history.values()} == {list}
    assert {len(column) for column in history.values()} == {3}
    assert {type(value) for column in history.values() for value in column} <= {int, float}
    assert history["epoch"] == [1, 2, 3]
    assert history["step"] == [4, 8, 12]
    for elbo, reconstruction, kl in zip(history["elbo"], history["reconstruction"], history["kl"], strict=True):
        assert elbo == -reconstruction - kl  # type: ignore[operator]
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{k: v[i] for k, v in history.items()} for i in range(3)]


def test_tensorboard_writes_event_files(x: Tensor, small_model: Small, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(small_model(), Elbo(), x, **FAST, callbacks=[TensorBoard(tmp_path)])
    files = list(tmp_path.glob("events.out.tfevents.*"))
    assert len(files) == 1
    content = files[0].read_bytes()
    assert all(name in content for name in (b"elbo", b"kl", b"reconstruction", b"learning_rate"))


def test_M10_a_missing_tracker_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tracker that is not installed is an error that names the extra to install."""
    if importlib.util.find_spec("mlflow") is None:
        with pytest.raises(MachineError, match=r"pip install 'lambent\[track\]'"):
            MLflow()
    for name in ("mlflow", "torch.utils.tensorboard"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MachineError, match=r"MLflow is not installed: pip install 'lambent\[track\]'"):
        MLflow()
    with pytest.raises(MachineError, match=r"TensorBoard is not installed: pip install 'lambent\[track\]'"):
        TensorBoard(tmp_path)
