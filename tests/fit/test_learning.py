"""What the loop does to the weights: it learns, anneals, averages, stops, skips, and says why it could not go on."""

import gc
import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent.errors import DataError, DivergedError, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, Gaussian, Laplace
from lambent.model.networks import Conv, Mlp
from lambent.model.posteriors import Absent, Diagonal, Point
from lambent.model.trace import from_posterior
from lambent.objectives import BetaTc, Elbo, Objective
from lambent.objectives.bounds import Iwae
from lambent.objectives.factor import Factor
from lambent.part import Spec
from lambent.training.fitting import fit
from lambent.training.optimizers import scheduled
from lambent.training.run import Run
from lambent.training.validating import validated

Contexts = Callable[[Spec, int], Tensor | None]
FAST: dict[str, Any] = {"device": "cpu", "precision": "fp32"}


def small(**parts: Any) -> LatentModel:
    return LatentModel(**{"latent": Flat(2), "likelihood": Gaussian(), "network": Mlp(8, 1), **parts})


def rows(n: int = 60, columns: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, 2, generator=generator)
    mixing = torch.randn(2, columns, generator=torch.Generator().manual_seed(1))
    return hidden @ mixing + 0.3 * torch.randn(n, columns, generator=generator)


class Watch:
    """Notes the weights and the rate after every step, and keeps the run."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.rates: list[float] = []
        self.run: Run

    def on_start(self, run: Run) -> None:
        self.run = run
        self.weights.append(flat(run.model))

    def on_step(self, run: Run) -> None:
        self.weights.append(flat(run.model))
        self.rates.append(run.optimizer.param_groups[0]["lr"])


def flat(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


# ---- it learns ---------------------------------------------------------------------------------------------------


def test_loss_falls_on_handwritten_digits(real_data: Path) -> None:
    raw = gzip.decompress((real_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    x = (np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)[:2000] > 127).astype(np.uint8)
    model = LatentModel(latent=Flat(8), likelihood=Bernoulli(), network=Mlp(128, 1))
    history = fit(model, Elbo(), x, epochs=8, batch=100, validation=0.1, **FAST)
    assert history["elbo"] == sorted(history["elbo"])
    assert history["elbo"][-1] > -190
    assert history["validation_elbo"][-1] > -230
    assert history["kl"][-1] > 3


def test_loss_falls_on_a_real_table(real_data: Path) -> None:
    files = sorted((real_data / "anomaly").rglob("*.npz"))
    if not files:
        pytest.skip("no table there")
    with np.load(files[0]) as held:
        x = next(held[name] for name in held if held[name].ndim == 2).astype(np.float64)
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    history = fit(small(network=Mlp(32, 1)), Elbo(), x[:2000], epochs=15, batch=32, learning_rate=3e-3, **FAST)
    assert history["loss"][-1] < history["loss"][0] - 0.5


@pytest.mark.parametrize("network", [Mlp(8, 1), Conv((4,), 8)])
def test_images_of_bytes(network: Mlp | Conv) -> None:
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(40, 1, 1, 1, generator=generator) * torch.linspace(60, 255, 5)).round()
    x = images.expand(40, 1, 6, 5).to(torch.uint8)
    history = fit(small(network=network), Elbo(), x, epochs=10, batch=8, **FAST)
    assert history["loss"][-1] < history["loss"][0]


def test_history_has_one_entry_an_epoch_and_its_parts_add_up() -> None:
    history = fit(small(), Elbo(), rows(), epochs=3, batch=16, validation=0.25, **FAST)
    assert all(len(values) == 3 for values in history.values())
    assert history["epoch"] == [1, 2, 3]
    assert history["step"] == [3, 6, 9]
    for epoch in range(3):
        for prefix in ("", "validation_"):
            parts = [history[prefix + name][epoch] for name in ("reconstruction", "kl", "elbo", "loss")]
            assert parts[0] + parts[1] == pytest.approx(-parts[2])
            assert parts[0] + parts[1] == pytest.approx(parts[3], rel=1e-5)
    assert history["seconds"] == sorted(history["seconds"])
    json.dumps(history, allow_nan=False)


def test_an_autoencoder_reports_no_bound() -> None:
    """Without a density of q there is no ELBO, and a KL of nought would be a lie."""
    history = fit(
        small(latent=Flat(2, posterior=Point())), Elbo(), rows(), epochs=2, validation=0.2, patience=1, **FAST
    )
    for prefix in ("", "validation_"):
        assert history[f"{prefix}elbo"] == history[f"{prefix}kl"] == [None, None]
        assert history[f"{prefix}reconstruction"] == pytest.approx(history[f"{prefix}loss"])


def test_reported_loss_is_the_mean_over_rows_not_over_batches() -> None:
    """The last batch is smaller: its rows must not weigh more."""
    x = torch.cat((torch.zeros(9, 4), torch.full((1, 4), 30.0)))
    for batch in (9, 6, 3, 1, 10):
        model = small(likelihood=Gaussian("fixed"), latent=Flat(2, posterior=Point()))
        history = fit(model, Elbo(), x, epochs=1, batch=batch, learning_rate=0, average=0, **FAST)
        by_hand = -model.trace(x).log_px.detach().mean()
        assert history["reconstruction"][0] == pytest.approx(float(by_hand), rel=1e-5)


@pytest.mark.parametrize(("n", "batch"), [(1, 128), (2, 1), (4, 3), (7, 100), (9, 8)])
def test_any_number_of_rows_and_any_batch(objective_spec: Spec, n: int, batch: int, context: Contexts) -> None:
    """One row; a last batch of one; a batch larger than the data."""
    given = context(objective_spec, n)
    objective = Objective.from_spec(objective_spec)
    latent = Flat(2, posterior=Diagonal() if objective.encodes else Absent())
    model = small(context=0 if given is None else 2, latent=latent)
    history = fit(model, objective, rows(n), epochs=2, batch=batch, context=given, **FAST)
    assert history["step"][-1] == 2 * math.ceil(n / batch)
    assert all(math.isfinite(loss) for loss in history["loss"])


def test_a_second_fit_goes_on_from_the_weights_of_the_first() -> None:
    model = small()
    first = fit(model, Elbo(), rows(), epochs=10, learning_rate=0.01, **FAST)
    second = fit(model, Elbo(), rows(), epochs=1, learning_rate=0.01, **FAST)
    assert second["loss"][0] < first["loss"][0]


def test_epochs_by_default_make_enough_steps() -> None:
    assert len(fit(small(), Elbo(), rows(3), batch=3, **FAST)["loss"]) == 1000


# ---- data --------------------------------------------------------------------------------------------------------


def test_bytes_stay_bytes_and_doubles_become_singles() -> None:
    watch = Watch()
    x = np.random.default_rng(0).integers(0, 256, (50, 1, 6, 5), dtype=np.uint8)
    fit(small(), Elbo(), x, epochs=1, callbacks=[watch], **FAST)
    assert watch.run.batches.x.dtype == torch.uint8
    ends = []
    for dtype in (torch.float32, torch.float64):
        model = small()
        fit(model, Elbo(), rows().to(dtype), epochs=2, **FAST)
        ends.append(flat(model))
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    "kind", ["array", "list of tensors", "tensor", "big-endian", "read-only", "fortran", "booleans"]
)
def test_rows_come_in_many_forms(kind: str) -> None:
    x = rows().numpy()
    forms: dict[str, Any] = {
        "array": x,
        "list of tensors": list(torch.from_numpy(x).split(16)),
        "tensor": torch.from_numpy(x),
        "big-endian": x.astype(">f8"),
        "fortran": np.asfortranarray(x),
        "booleans": x > 0,
        "read-only": x.copy(),
    }
    forms["read-only"].flags.writeable = False
    likelihood = Bernoulli() if kind == "booleans" else Gaussian()
    kept = np.array(x)
    history = fit(small(likelihood=likelihood), Elbo(), forms[kind], epochs=2, batch=16, **FAST)
    assert math.isfinite(history["loss"][-1])
    assert np.array_equal(x, kept)


def test_rows_handed_over_are_not_changed_by_a_transform() -> None:
    x = rows()
    kept = x.clone()
    fit(small(), Elbo(), x, epochs=2, batch=16, transform=lambda batch, generator: batch.add_(1.0), **FAST)
    assert torch.equal(x, kept)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.zeros(0, 3), "at least one row"),
        (torch.zeros(3), "at least one row"),
        (np.array([["a", "b"]]), "table of type <U1"),
        (np.array([[None, 1]], dtype=object), "row 1: is missing or not a number"),
        ([[0.0, 1.0], [1.0, 0.0]], "one array"),
        ([], "number of batches"),
    ],
)
def test_what_holds_no_rows_is_refused(data: Any, words: str) -> None:
    with pytest.raises((DataError, UsageError), match=words):
        fit(small(), Elbo(), data, epochs=1, **FAST)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_row_is_refused_before_the_first_step(broken: float) -> None:
    x = rows()
    x[17, 2] = broken
    watch = Watch()
    with pytest.raises(DataError, match="row 17 "):
        fit(small(), Elbo(), x, epochs=1, callbacks=[watch], **FAST)
    assert not watch.weights
    with pytest.raises(DataError, match="row 17 "):
        fit(small(), Elbo(), rows(), validation=x, epochs=1, **FAST)


def test_a_constant_column_trains() -> None:
    x = rows()
    x[:, 1] = 3.0
    for scale in ("one", "each", "predicted"):
        history = fit(small(likelihood=Gaussian(scale)), Elbo(), x, epochs=20, learning_rate=0.03, **FAST)
        assert all(math.isfinite(v) for v in history["loss"])


# ---- validation and stopping -------------------------------------------------------------------------------------


def test_a_share_is_held_out_and_never_trained_on() -> None:
    x = torch.arange(40.0).reshape(-1, 1) + torch.zeros(1, 4)
    watch = Watch()
    fit(small(), Elbo(), x, epochs=1, batch=7, validation=0.25, callbacks=[watch], **FAST)
    trained, held = (b.x[:, 0].tolist() for b in (watch.run.batches, watch.run.validation))
    assert len(held) == 10
    assert sorted(trained + held) == x[:, 0].tolist()


def test_validation_rows_may_be_given_and_their_numbers_are_the_models() -> None:
    model, held = small(), rows(30, seed=9)
    watch = Watch()
    history = fit(model, Elbo(), rows(), epochs=4, validation=held, average=0, callbacks=[watch], **FAST)
    with torch.no_grad():
        trace = model.trace(held, 2000, from_posterior(torch.Generator().manual_seed(0)))
    assert history["validation_kl"][-1] == pytest.approx(float(trace.kl.mean()), rel=1e-4)
    assert history["validation_reconstruction"][-1] == pytest.approx(float(-trace.log_px.mean()), rel=0.1)
    again = validated(watch.run)
    assert again["validation_loss"] == history["validation_loss"][-1]


@pytest.mark.parametrize(
    ("objective", "weight"),
    [(Elbo(beta=4.0), 4.0), (BetaTc(beta=6.0), 1.0), (Iwae(4), 1.0), (Factor(width=4, depth=1), 1.0)],
    ids=["Elbo", "BetaTc", "Iwae", "Factor"],
)
def test_validation_loss_weighs_the_kl_as_the_objective_does(objective: Objective, weight: float) -> None:
    history = fit(small(), objective, rows(), epochs=1, validation=0.2, **FAST)
    expected = history["validation_reconstruction"][0] + weight * history["validation_kl"][0]
    assert history["validation_loss"][0] == pytest.approx(expected)


def test_validation_loss_knows_of_a_capacity() -> None:
    history = fit(small(), Elbo(beta=10.0, capacity=5.0), rows(), epochs=1, validation=0.2, **FAST)
    expected = history["validation_reconstruction"][0] + 10 * abs(history["validation_kl"][0] - 5)
    assert history["validation_loss"][0] == pytest.approx(expected)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_early_stopping_keeps_the_best_weights(average: float) -> None:
    model, watch = small(network=Mlp(64, 2)), Watch()
    history = fit(
        model, Elbo(beta=0.05), rows(24), validation=rows(50, seed=3), epochs=300, batch=8, learning_rate=0.01,
        patience=4, average=average, callbacks=[watch], **FAST,
    )  # fmt: skip
    losses = history["validation_loss"]
    assert len(losses) < 300
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 4 * 20 // 3 + 1  # four times twenty steps, of which an epoch has three
    watch.run.average = None  # the weights as they are now
    assert validated(watch.run)["validation_loss"] == pytest.approx(min(losses), rel=1e-6)


def test_patience_waits_until_the_weight_has_stopped_growing() -> None:
    """While λ grows the losses of two epochs cannot be compared, and the first would always win."""
    objective = Elbo(anneal="linear", warmup=0.5, beta=50.0)
    history = fit(small(), objective, rows(), validation=0.2, epochs=20, patience=2, **FAST)
    assert len(history["loss"]) >= 11


def test_patience_without_validation_is_refused() -> None:
    with pytest.raises(UsageError, match="validation"):
        fit(small(), Elbo(), rows(), patience=3, **FAST)


def test_validation_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"\[7\].*\[4\]"):
        fit(small(), Elbo(), rows(), validation=torch.zeros(5, 7), **FAST)
    with pytest.raises(DataError, match="at least one row"):
        fit(small(), Elbo(), rows(), validation=torch.zeros(0, 4), **FAST)


# ---- rates and averages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.25, 1.0])
def test_rate_follows_its_schedule(schedule: str, warmup: float) -> None:
    watch = Watch()
    fit(
        small(), Elbo(), rows(40), epochs=5, batch=2, schedule=schedule, warmup=warmup, learning_rate=0.01,
        callbacks=[watch], **FAST,
    )  # fmt: skip
    rates = watch.rates
    assert len(rates) == 100
    assert rates == pytest.approx([0.01 * scheduled(schedule, warmup, k / 100) for k in range(100)])
    top = round(warmup * 100)
    assert rates[:top] == sorted(rates[:top])
    if top < 100:
        assert rates[top] == pytest.approx(0.01)
        assert rates[top:] == sorted(rates[top:], reverse=True)
    if schedule != "constant" and warmup < 1:
        assert rates[-1] < 0.0005
    assert min(rates) > 0


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_average_of_weights_by_its_formula(decay: float) -> None:
    model, watch = small(), Watch()
    fit(model, Elbo(), rows(40), epochs=5, batch=2, average=decay, learning_rate=0.01, callbacks=[watch], **FAST)
    average = watch.weights[0]
    for step in range(1, 101):
        kept = min(decay, (step - 1) / (step + 8))
        average = kept * average + (1 - kept) * watch.weights[step]
    torch.testing.assert_close(flat(model), average, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(flat(model), watch.weights[-1])


def test_no_average_leaves_the_last_weights() -> None:
    model, watch = small(), Watch()
    fit(model, Elbo(), rows(40), epochs=2, batch=2, average=0, callbacks=[watch], **FAST)
    assert torch.equal(flat(model), watch.weights[-1])


def test_training_itself_does_not_depend_on_the_average() -> None:
    ends = []
    for average in (0.0, 0.99):
        watch = Watch()
        fit(small(), Elbo(), rows(), epochs=3, batch=8, average=average, validation=0.2, callbacks=[watch], **FAST)
        ends.append(watch.weights[-1])
    assert torch.equal(*ends)


def test_gradient_is_clipped() -> None:
    moved = []
    for clip in (0.0, 1e-6):
        watch = Watch()
        fit(small(), Elbo(), rows(), epochs=1, batch=60, clip=clip, callbacks=[watch], **FAST)
        adam = next(iter(watch.run.optimizer.state.values()))
        moved.append(float(adam["exp_avg"].norm()))
    assert moved[1] < 1e-3 * moved[0]


# ---- spikes and breakdowns ---------------------------------------------------------------------------------------


class Jolt:
    """A transform that spoils the batches of some steps."""

    def __init__(self, spoiled: Callable[[int], bool], by: float) -> None:
        self.spoiled, self.by, self.calls = spoiled, by, -1  # the first call looks at examples, before any step

    def __call__(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if x.shape[0] != 4:
            return x
        self.calls += 1
        return x * self.by if self.spoiled(self.calls) else x


@pytest.mark.parametrize(
    "objective", [Elbo(), Elbo(beta="auto"), Factor(width=4, depth=1)], ids=["Elbo", "auto", "Factor"]
)
@pytest.mark.parametrize(
    "likelihood", [Gaussian("fixed"), Gaussian(), Laplace("fixed")], ids=["fixed", "one", "Laplace"]
)
def test_a_spike_is_skipped_and_counted(objective: Objective, likelihood: Gaussian) -> None:
    watch = Watch()
    state: list[Tensor] = []

    class State:
        def on_step(self, run: Run) -> None:
            held = [*run.model.state_dict().values(), *run.objective.state_dict().values()]
            state.append(torch.cat([t.detach().flatten().clone() for t in held]).nan_to_num(-99))

    history = fit(
        small(likelihood=likelihood), objective, rows(40), epochs=4, batch=4, average=0,
        transform=Jolt(lambda call: call == 25, 1e4), callbacks=[watch, State()], **FAST,
    )  # fmt: skip
    still = [n for n in range(1, len(state)) if torch.equal(state[n], state[n - 1])]
    assert still == [25]
    assert history["skipped"] == [0, 0, 1, 1]
    assert max(history["loss"]) < 100, "the spike must not enter the mean"


def test_no_step_is_skipped_with_spike_nought() -> None:
    jolt = Jolt(lambda call: call == 25, 1e4)
    history = fit(small(), Elbo(), rows(40), epochs=4, batch=4, spike=0, transform=jolt, **FAST)
    assert history["skipped"][-1] == 0
    assert max(history["loss"]) > 1000


def test_a_new_level_of_the_loss_is_no_spike() -> None:
    """The data change for good: at most an epoch is lost, then training goes on."""
    watch = Watch()
    model = small(likelihood=Gaussian("fixed"))
    history = fit(
        model, Elbo(), rows(40), epochs=6, batch=4, learning_rate=0.01, callbacks=[watch],
        transform=Jolt(lambda call: call >= 25, 30.0), **FAST,
    )  # fmt: skip
    assert history["skipped"] == [0, 0, 5, 5, 5, 5] or history["skipped"][-1] <= 15
    assert not torch.equal(watch.weights[-1], watch.weights[-10])


def test_an_epoch_of_nothing_but_spikes_has_no_mean() -> None:
    history = fit(
        small(likelihood=Gaussian("fixed")), Elbo(), rows(40), epochs=3, batch=4,
        transform=Jolt(lambda call: call >= 10, 1e3), **FAST,
    )  # fmt: skip
    assert history["loss"][1] is None
    assert history["skipped"][1] == 10
    assert history["loss"][2] > 1000


def test_divergence_names_the_step_the_rows_and_the_cause() -> None:
    """Batch 13 is spoilt on its way to the model; its rows are named as they stand in the data."""

    def spoil(x: Tensor, generator: torch.Generator | None) -> Tensor:
        if x.shape[0] == 4:
            spoil.calls += 1
            if spoil.calls == 13:
                x = x.clone()
                x[2] = float("nan")
                spoil.row = x
        return x

    spoil.calls = 0
    model, watch = small(), Watch()
    order: list[list[int]] = []

    class Order:
        def on_start(self, run: Run) -> None:
            order.extend(batch[2].tolist() for batch in run.batches.epoch(1))

    with pytest.raises(DivergedError) as error:
        fit(model, Elbo(), rows(40), epochs=3, batch=4, transform=spoil, callbacks=[watch, Order()], **FAST)
    said = str(error.value)
    assert f"step 13 (epoch 2, rows [{order[2][2]}])" in said
    assert "rows themselves hold numbers that are not finite (at [2] of this batch)" in said
    assert torch.isfinite(flat(model)).all()
    assert not model.training


def test_divergence_of_the_weights_says_so() -> None:
    class Poison:
        def on_step(self, run: Run) -> None:
            if run.step == 5:
                with torch.no_grad():
                    run.model.encoder[1].weight.fill_(float("inf"))

    with pytest.raises(
        DivergedError, match=r"step 6 .*and more.*weights of encoder.1.weight.*learning rate \(now 0.001\)"
    ):
        fit(small(), Elbo(), rows(60), epochs=2, batch=20, callbacks=[Poison()], **FAST)


def test_divergence_leaves_the_average_where_it_is_good() -> None:
    class Poison:
        def on_step(self, run: Run) -> None:
            if run.step == 40:
                with torch.no_grad():
                    next(run.model.parameters()).fill_(float("nan"))

    model = small()
    with pytest.raises(DivergedError):
        fit(model, Elbo(), rows(60), epochs=50, batch=20, callbacks=[Poison()], **FAST)
    assert torch.isfinite(flat(model)).all()


def test_a_learning_rate_that_is_much_too_high_ends_in_words() -> None:
    x = rows() * 100
    with pytest.raises(DivergedError, match=r"learning rate|overflow"):
        fit(
            small(likelihood=Gaussian("predicted", floor=1e-12)),
            Elbo(),
            x,
            epochs=50,
            learning_rate=100.0,
            spike=0,
            **FAST,
        )


# ---- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0}, {"epochs": -1}, {"epochs": 1.5}, {"epochs": True}, {"batch": 0}, {"batch": 2.5}, {"learning_rate": -1.0},
        {"learning_rate": float("nan")}, {"learning_rate": "fast"}, {"weight_decay": -0.1}, {"schedule": "cosin"},
        {"warmup": 1.1}, {"warmup": float("nan")}, {"clip": -1}, {"spike": -1}, {"average": 1.0}, {"average": -0.1},
        {"validation": 1.0},
        {"validation": -0.1}, {"validation": True}, {"patience": -1}, {"patience": 1.5}, {"seed": -1}, {"seed": 2**64},
        {"seed": 0.5},
        {"precision": "fp16"}, {"device": "gpu"}, {"steps": 0}, {"resume": True}, {"context": torch.zeros(60, 3)},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(setting: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(setting)) if "resume" not in setting else "checkpoint"):
        fit(small(), Elbo(), rows(), **{**FAST, **setting})


# ---- memory ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective", [Elbo(beta="auto"), Factor(width=4, depth=1), Iwae(3)], ids=["Elbo", "Factor", "Iwae"]
)
def test_memory_does_not_grow_with_the_steps(objective: Objective) -> None:
    counts: list[int] = []

    class Count:
        def on_epoch(self, run: Run) -> None:
            gc.collect()
            counts.append(sum(issubclass(type(o), Tensor) for o in gc.get_objects()))

    fit(small(), objective, rows(300), epochs=6, batch=1, validation=0.1, patience=5, callbacks=[Count()], **FAST)
    assert counts[-1] <= counts[1] + 3, counts


def test_records_are_bounded_within_a_long_epoch() -> None:
    longest = []

    class Longest:
        def on_step(self, run: Run) -> None:
            longest.append(len(run.records))

    fit(small(), Elbo(), rows(900), epochs=1, batch=1, callbacks=[Longest()], **FAST)
    assert max(longest) < 300


def test_validation_sees_every_step_where_an_epoch_has_only_one() -> None:
    """With a step an epoch, no two epochs are judged by the same weights, and the average is never far behind."""
    model, x = small(), rows(24)
    history = fit(model, Elbo(), x, validation=x, epochs=40, batch=24, learning_rate=0.01, patience=0, **FAST)
    losses = history["validation_loss"]
    assert len(set(losses)) == 40
    fresh = fit(
        small(), Elbo(), x, validation=x, epochs=40, batch=24, learning_rate=0.01, average=0.0, patience=0, **FAST
    )
    fallen = fresh["validation_loss"][0] - fresh["validation_loss"][-1]  # type: ignore[operator]
    behind = losses[-1] - fresh["validation_loss"][-1]  # type: ignore[operator]
    assert abs(behind) < 0.15 * fallen
