"""The settings of a training: one list of them, from which the keywords of `fit`, the flags and the identity follow."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lambent import VAE
from lambent.cli.reading.settings import checked, of_fit
from lambent.cli.reading.trees import Typed
from lambent.data import load
from lambent.errors import InterruptedRun, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Conv, Mlp
from lambent.model.priors import Flow, Mixture, Prior
from lambent.objectives import Elbo
from lambent.objectives.factor import Factor
from lambent.seeds import STREAMS, mixed_seed, stream
from lambent.training.checkpoint import identity
from lambent.training.fitting import fit
from lambent.training.optimizers import grouped
from lambent.training.run import Run
from lambent.training.settings import Training, usual_patience, waited_for
from lambent.training.validating import validated

Small = Callable[..., LatentModel]
FAST: dict[str, Any] = {"epochs": 2, "batch": 8, "device": "cpu", "precision": "fp32"}
OTHERS = {
    "model",
    "objective",
    "data",
    "context",
    "transform",
    "augment",
    "checkpoint",
    "resume",
    "progress",
    "callbacks",
}


class Start:
    run: Run

    def on_start(self, run: Run) -> None:
        self.run = run


# ---- one list ----------------------------------------------------------------------------------------------------


def test_the_keywords_of_fit_are_the_fields_with_their_types_and_defaults() -> None:
    given, hints, own = inspect.signature(fit).parameters, typing.get_type_hints(fit), typing.get_type_hints(Training)
    fields = {field.name: field.default for field in dataclasses.fields(Training)}
    assert {name: p.default for name, p in given.items() if name not in OTHERS} == fields
    assert {name: hints[name] for name in fields} | {"validation": float} == {name: own[name] for name in fields}


def test_the_estimators_own_settings_have_the_same_defaults() -> None:
    shared = set(inspect.signature(VAE).parameters) & {field.name for field in dataclasses.fields(Training)}
    assert shared == {"epochs", "batch", "learning_rate", "validation", "patience", "precision", "threads", "device"}
    assert VAE().validation == "auto", "it alone holds rows out by itself"
    suited = {"epochs", "batch", "learning_rate"}
    assert all(getattr(VAE(), name) is None for name in suited), "what suits the data, which may be what `fit` has"
    shared -= {"validation", *suited}
    assert {name: getattr(VAE(), name) for name in shared} == {name: getattr(Training(), name) for name in shared}


def test_the_docstring_of_fit_tells_each_meaning() -> None:
    for field in dataclasses.fields(Training):
        assert f"        {field.name}: {field.metadata['meaning']}.\n" in (fit.__doc__ or "")


def test_the_flags_are_the_fields_with_their_ranges() -> None:
    flags = of_fit()
    assert {*flags, "steps"} == {field.name for field in dataclasses.fields(Training)}
    assert (flags["average"].low, flags["average"].high) == (0, 0.999999)
    assert flags["patience"].kind == "a whole number or 'auto'"
    assert [checked(Typed(word), flags["patience"], "") for word in ("auto", "7", "0")] == ["auto", 7, 0]
    for word in ("-1", "1.5", "automatic", "true"):
        with pytest.raises(UsageError, match=r"^fit\.patience "):
            checked(Typed(word), flags["patience"], "fit.patience")


def test_errors_begin_with_the_setting() -> None:
    with pytest.raises(UsageError, match=r"^batch must be at least 1, not 0 \(rows in each step\)$"):
        Training.of(batch=0)
    with pytest.raises(UsageError, match=r"^schedule takes 'constant' or 'linear' or 'cosine', not 'cosinus' "):
        Training.of(schedule="cosinus")


def test_the_identity_holds_what_changes_the_result(x: Tensor, small_model: Small) -> None:
    start = Start()
    fit(small_model(), Elbo(), x, **FAST | {"epochs": None, "batch": 40}, validation=0.25, callbacks=[start])
    told = identity(start.run)
    assert {field.name for field in dataclasses.fields(Training)} <= set(told)
    assert (told["epochs"], told["patience"], told["precision"], told["device"]) == (1000, 10, "fp32", "cpu")
    assert (told["steps"], told["batch"]) == (1, 30)


# ---- patience by default -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "epochs", "validation", "patience"),
    [
        (40, 300, 0.1, 15),
        (40, 1200, 0.1, 60),
        (40, 20, 0.1, 10),
        (11_112, 2, 0.1, 0),
        (11_111, 2, 0.1, 10),
        (40, 300, 0.0, 0),
    ],
)
def test_patience_is_on_by_itself_where_rows_are_few_and_some_held_out(
    rows: int, epochs: int, validation: float, patience: int, small_model: Small
) -> None:
    class Look(Start):
        def on_start(self, run: Run) -> None:
            super().on_start(run)
            raise InterruptedRun("enough")

    look = Look()
    with pytest.raises(InterruptedRun):
        fit(
            small_model(),
            Elbo(),
            torch.randn(rows, 4),
            **FAST | {"epochs": epochs},
            validation=validation,
            callbacks=[look],
        )
    assert look.run.settings.patience == patience


@pytest.mark.parametrize(
    ("epochs", "steps", "patience", "waited"),
    [
        (1000, 1, 10, 200),
        (1000, 3, 30, 200),
        (769, 13, 99, 153),
        (60, 2, 10, 100),
        (500, 20, 100, 100),
        (127, 79, 25, 25),
        (24, 71, 10, 10),
    ],
)
def test_the_usual_patience_lasts_a_fifth_of_all_steps(epochs: int, steps: int, patience: int, waited: int) -> None:
    assert usual_patience(epochs, steps) == patience
    assert waited_for(patience, steps) == waited
    assert waited_for(patience, steps) * steps >= 200, "ten epochs of twenty steps at least"


def test_few_rows_end_with_the_best_weights_by_default(x: Tensor, small_model: Small) -> None:
    """A large network on thirty rows over-fits at once: the model that is left is the best epoch's, not the last one's."""
    start, model = Start(), small_model(network=Mlp(64, 2))
    held_out = torch.randn(200, 4, generator=torch.Generator().manual_seed(5))
    settings = {**FAST, "epochs": 200, "learning_rate": 0.01, "average": 0.0}
    history = fit(model, Elbo(beta=0.05), x, validation=held_out, callbacks=[start], **settings)
    losses = [float(loss or 0.0) for loss in history["validation_loss"]]
    best = losses.index(min(losses)) + 1
    assert start.run.best_epoch == best
    assert len(losses) == best + 40 < 200  # a fifth of all epochs; ten of twenty steps, of which an epoch has five
    assert losses[-1] > min(losses) + 0.1, "nothing was there to be saved"
    assert validated(start.run)["validation_loss"] == pytest.approx(min(losses), rel=1e-6)


# ---- what decays -------------------------------------------------------------------------------------------------


def test_a_learned_scale_does_not_decay() -> None:
    """Rows of deviation 3, a code too small to tell of them: σ is theirs, whatever the weights must pay."""
    x = 3 * torch.randn(512, 3, generator=torch.Generator().manual_seed(0))
    scales = []
    for decay in (0.0, 1.0):
        model = LatentModel(Flat(1), Gaussian(), Mlp(4, 1))
        fit(model, Elbo(), x, epochs=150, weight_decay=decay, average=0.0, device="cpu", precision="fp32")
        scales.append(float(model.likelihood.width.log_scale.detach().exp()))
    assert scales[1] == pytest.approx(float(x.std()), rel=0.03)
    assert scales[1] >= scales[0] - 0.05


@pytest.mark.parametrize(
    "model",
    [
        LatentModel(Flat(2, prior=Mixture(3)), Gaussian("each"), Mlp(4, 1)),
        LatentModel(Flat(2, prior=Flow(1, 4)), Gaussian(), Conv((4,), 8)),
    ],
    ids=["Mixture", "Flow"],
)
def test_exactly_the_weight_matrices_of_networks_decay(model: LatentModel) -> None:
    model.setup((1, 6, 5), torch.rand(20, 1, 6, 5))
    groups = grouped([model], list(model.parameters()), decaying=True)
    decaying = {id(p) for group in groups if group.get("weight_decay") is None for p in group["params"]}
    within = {id(p) for m in model.modules() if isinstance(m, Prior) for p in m.parameters()}
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    matrices = {id(m.weight) for m in model.modules() if isinstance(m, kinds) and id(m.weight) not in within}
    assert decaying == matrices
    assert 0 < len(decaying) < len(list(model.parameters()))
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_an_opponents_matrices_decay_and_its_biases_do_not(x: Tensor, small_model: Small) -> None:
    start, objective = Start(), Factor(width=4, depth=1)
    fit(small_model(), objective, x, **FAST, weight_decay=0.1, callbacks=[start])
    assert start.run.opponent is not None
    found = {id(p): g["weight_decay"] for g in start.run.opponent.param_groups for p in g["params"]}
    assert [found[id(p)] for p in objective.opponent.parameters()] == [0.1, 0.0, 0.1, 0.0]


def test_one_step_of_decay_alone_shrinks_matrices_by_its_formula(x: Tensor, small_model: Small) -> None:
    """AdamW: θ ← (1 − η λ) θ before the step of the gradient, which without a rate is nought; here η λ = 0.1."""
    model = small_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    start = Start()
    fit(model, Elbo(), x, **FAST | {"epochs": 1, "batch": 40}, learning_rate=1e-3, weight_decay=100.0, average=0.0,
        callbacks=[start])  # fmt: skip
    for name, p in model.named_parameters():
        factor = 0.9 if name.endswith("weight") else 1.0
        # Adam's first step is the rate in size, times the pace.
        torch.testing.assert_close(
            p.detach(), factor * before[name], atol=1.1e-2 if "scale" in name else 1.1e-3, rtol=0
        )


# ---- held-out rows -----------------------------------------------------------------------------------------------


def changed_where_held_out(x: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """The rows with 50 added to those that a share of them is."""
    held = round(len(x) * share)
    out = np.random.Generator(np.random.PCG64(stream(seed, "validation share"))).permutation(len(x))[:held]
    other = x.copy()
    other[out] += 50
    return other


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_estimators_scales_know_nothing_of_held_out_rows(share: float) -> None:
    x = np.random.default_rng(0).normal(size=(100, 3))
    fitted = [VAE(2, validation=share, epochs=1).fit(v) for v in (x, changed_where_held_out(x, share))]
    assert fitted[0].modality_.state() == fitted[1].modality_.state()
    kept = np.isclose(changed_where_held_out(x, share), x).all(1)
    assert fitted[0].modality_.columns[0].centre == pytest.approx(x[kept, 0].mean(), abs=1e-12)
    assert fitted[0].history_["validation_loss"] != fitted[1].history_["validation_loss"]


def test_a_path_given_to_fit_is_scaled_by_the_rows_that_are_kept(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(100, 3))
    other, start = changed_where_held_out(x, 0.3), Start()
    np.save(tmp_path / "x.npy", other)
    fit(
        LatentModel(Flat(2), Gaussian(), Mlp(4, 1)),
        Elbo(),
        tmp_path / "x.npy",
        **FAST,
        validation=0.3,
        callbacks=[start],
    )
    kept = np.isclose(other, x).all(1)
    scaled = (other - other[kept].mean(0)) / other[kept].std(0)
    train, held = start.run.batches, start.run.validation
    np.testing.assert_allclose(train.x.numpy(), scaled[kept], atol=1e-5)  # type: ignore[attr-defined]
    np.testing.assert_allclose(held.x.numpy(), scaled[~kept], atol=1e-4)  # type: ignore[union-attr]
    assert train.numbers.tolist() == np.flatnonzero(kept).tolist()  # type: ignore[attr-defined]


def test_an_array_is_cut_as_the_estimator_cuts_it(x: Tensor, small_model: Small) -> None:
    start = Start()
    fit(small_model(), Elbo(), x, **FAST, validation=0.2, callbacks=[start])
    out = np.random.Generator(np.random.PCG64(stream(0, "validation share"))).permutation(40)[:8]
    assert start.run.validation.x.tolist() == x[np.sort(out)].tolist()  # type: ignore[union-attr]


def test_validation_by_a_path_is_read_as_the_rows_to_train_on(tmp_path: Path) -> None:
    train, held = np.random.default_rng(0).normal(3, 2, size=(60, 3)), np.random.default_rng(1).normal(size=(20, 3))
    np.save(tmp_path / "train.npy", train)
    np.save(tmp_path / "held.npy", held)
    start = Start()
    fit(
        LatentModel(Flat(2), Gaussian(), Mlp(4, 1)), Elbo(), str(tmp_path / "train.npy"), **FAST,
        validation=str(tmp_path / "held.npy"), callbacks=[start],
    )  # fmt: skip
    scaled = (held - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(start.run.validation.x.numpy(), scaled, atol=1e-5)  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="would be scaled by itself"):
        fit(LatentModel(Flat(2), Gaussian(), Mlp(4, 1)), Elbo(), train, **FAST, validation=tmp_path / "held.npy")


def test_validation_by_a_name_of_the_catalog() -> None:
    rows, start = load("fashion", "test").x[:16], Start()
    model = LatentModel(Flat(2), "DiscretizedLogistics", Mlp(8, 1))
    fit(model, Elbo(), rows, **FAST, validation="fashion", callbacks=[start])
    assert torch.equal(start.run.validation.x, load("fashion").x)  # type: ignore[union-attr]


# ---- streams of randomness ---------------------------------------------------------------------------------------


def test_streams_have_names_and_keep_their_numbers() -> None:
    numbers = {
        "bound": 1,
        "levels": 2,
        "mutual information": 3,
        "reconstruct": 4,
        "generate": 5,
        "prior start": 6,
        "codes": 7,
    }
    numbers |= {"prior moments": 8, "drawn rows": 0xDA7A, "examples": -1, "training noise": 0x10015E}
    numbers |= {"validation share": 0x59117, "validation noise": 0x7A11D, "views of examples": 0x5EE}
    assert numbers.items() <= STREAMS.items()
    assert len(set(STREAMS.values())) == len(STREAMS)
    assert stream(3, "bound") == mixed_seed(3, 1) == 2303568864939704970
