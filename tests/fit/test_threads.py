"""Threads and precision: measuring leaves no trace, what is chosen is recorded, what is recorded is repeated to the bit."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent import VAE
from lambent.errors import ArtifactError, InterruptedRun, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, Gaussian, Likelihood
from lambent.model.networks import Conv, Mlp, Network
from lambent.model.priors import Mixture, Prior, Standard
from lambent.objectives import Elbo, Objective
from lambent.objectives.factor import Factor
from lambent.training import measuring, pace, threads
from lambent.training.fitting import fit
from lambent.training.measuring import Timer, fastest, ways
from lambent.training.pace import Pace
from lambent.training.run import Run
from lambent.training.threads import Way, checked, put_back, scheduled, suit, written

Trained = tuple[dict[str, Tensor], dict[str, Any]]
FOUR = [Way(2, "fp32"), Way(1, "fp32"), Way(1, "bf16"), Way(2, "bf16")]


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads to choose from, and units for bfloat16, whatever the machine."""
    for module in (measuring, pace, threads):
        monkeypatch.setattr(module, "choices", lambda: [2, 1])
    monkeypatch.setattr(measuring, "has_bf16_units", lambda device: device.type == "cpu")
    with put_back():
        yield


def forced(monkeypatch: pytest.MonkeyPatch, way: Way) -> list[Way]:
    """Has every way be timed on few rows and on whole batches, as ever, and this one be taken; tells which were timed."""
    seen: list[Way] = []

    def choose(timer: Timer, options: list[Way], usual: Way, steps: int) -> tuple[Way, float]:
        for option in options:
            seen.append(option)
            for rows in (measuring.ROWS, None, None):
                assert timer(option, rows) > 0
        return way, 1.0

    monkeypatch.setattr(measuring, "fastest", choose)
    return seen


# ---- a number, or a schedule -------------------------------------------------------------------------------------


def test_a_schedule_is_read_as_it_was_written() -> None:
    assert scheduled("2") == scheduled(2) == {0: 2}
    assert scheduled(" 2, 1@5120") == {0: 2, 5120: 1}
    assert written(scheduled("2,1@5120,4@9000")) == "2,1@5120,4@9000"
    assert [checked(given) for given in (None, "auto", "2", 3, "2,1@7")] == [None, "auto", 2, 3, "2,1@7"]


@pytest.mark.parametrize("given", ["0", "-1", "two", "2@5", "2,1@0", "2,1@9,2@8", "2,", "", "5000", "1.5"])
def test_what_is_no_number_of_threads_is_refused(given: str, x: Tensor) -> None:
    with pytest.raises(UsageError, match="threads takes a whole number from 1 to 4,096, auto, or"):
        fit(LatentModel(Flat(2), Gaussian(), Mlp(8, 1)), Elbo(), x, threads=given)


# ---- measuring leaves no trace -----------------------------------------------------------------------------------


def rows() -> Tensor:
    return torch.randn(48, 6, generator=torch.Generator().manual_seed(0))


def grey() -> Tensor:
    return torch.rand(48, 6, generator=torch.Generator().manual_seed(0))


def pictures() -> Tensor:
    return torch.randint(0, 256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def binarized(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.bernoulli(x, generator=generator)


class Counting:
    """A view with a memory: measuring must not reach it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        self.calls += 1
        return x + self.calls * 1e-3


class Forgetful(Elbo):
    """An objective that draws from torch's own generator, and counts its calls in an attribute."""

    calls = 0

    def forward(self, model: LatentModel, x: Tensor, *rest: Any) -> Any:
        self.calls += 1
        return super().forward(model, x + 1e-3 * self.calls * torch.randn(()), *rest)


class Case:
    """Makes its parts afresh and trains them."""

    def __init__(
        self,
        objective: Callable[[], Objective] = Elbo,
        likelihood: Callable[[], Likelihood] = Gaussian,
        network: Callable[[], Network] = lambda: Mlp(width=8, depth=1),
        prior: Callable[[], Prior] = Standard,
        data: Callable[[], Any] = rows,
        context: int = 0,
        **settings: Any,
    ) -> None:
        self.parts, self.context, self.settings = (objective, likelihood, network, prior, data), context, settings

    def run(self, **more: Any) -> Trained:
        objective, likelihood, network, prior, data = (make() for make in self.parts)
        torch.manual_seed(5)
        model = LatentModel(Flat(2, prior=prior), likelihood, network, context=self.context)
        settings = {"epochs": 3, "batch": 8, "device": "cpu", **self.settings, **more}
        settings = {name: value() if name == "augment" else value for name, value in settings.items()}
        history = fit(model, objective, data, **settings)
        state = {**model.state_dict(prefix="model."), **objective.state_dict(prefix="objective.")}
        state["torch's own generator"] = torch.get_rng_state()
        return state, {name: values for name, values in history.items() if name != "seconds"}


def conditioned() -> Any:
    return [(batch, torch.ones(8, 2)) for batch in rows().split(8)]


CASES = {
    "plain": Case(),
    "opponent": Case(lambda: Factor(width=8, depth=1), average=0.9, clip=1.0, validation=0.2, epochs=4),
    "a learned weight": Case(lambda: Elbo(beta="auto"), Bernoulli, data=grey, transform=binarized),
    "memory": Case(Forgetful, augment=Counting),
    "mixture": Case(prior=lambda: Mixture(components=3), weight_decay=0.1, schedule="cosine"),
    "stream with context": Case(data=conditioned, context=2),
    "convolutions": Case(network=lambda: Conv(channels=(4,)), data=pictures, batch=4, average=0.9),
}


def assert_same(one: Trained, other: Trained) -> None:
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    assert not [
        name for name, t in one[0].items() if not torch.equal(t.nan_to_num(-9.5), other[0][name].nan_to_num(-9.5))
    ]


@pytest.mark.parametrize("way", FOUR, ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_after_measuring_is_the_run_with_those_settings_given(
    case: Case, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = case.run(threads=way.threads, precision=way.precision)
    seen = forced(monkeypatch, way)
    assert_same(case.run(threads="auto", precision="auto"), given)
    assert seen == FOUR


@pytest.mark.parametrize(
    ("settings", "tried"),
    [
        ({"threads": "auto"}, FOUR),
        ({"threads": "auto", "precision": "fp32"}, FOUR[:2]),
        ({"threads": "auto", "precision": "bf16"}, FOUR[:1:-1]),
        ({"threads": 2}, [FOUR[0], FOUR[3]]),
        ({"threads": 2, "precision": "fp32"}, []),
        ({}, []),
        ({"threads": "2,1@5"}, []),
        ({"threads": "auto", "epochs": 1}, []),  # six steps are over before they are measured
    ],
)
def test_what_is_left_open_is_measured_and_nothing_else(
    settings: dict[str, Any], tried: list[Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = forced(monkeypatch, tried[0] if tried else Way(1, "fp32"))
    CASES["plain"].run(**settings)
    assert seen == tried


def test_where_memory_is_short_nothing_is_copied_to_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that just fits must not end because every weight was held twice for a few seconds."""
    weights = [0]

    class Count:
        def on_start(self, run: Run) -> None:
            weights[0] = sum(p.nbytes for p in run.model.parameters())

    seen = forced(monkeypatch, FOUR[1])
    monkeypatch.setattr(measuring, "free_memory", lambda: 12 * weights[0])
    CASES["plain"].run(threads="auto", callbacks=[Count()])
    assert seen == [], "with nothing free"
    monkeypatch.setattr(measuring, "free_memory", lambda: 12 * weights[0] + 1)
    CASES["plain"].run(threads="auto")
    assert seen == FOUR


class Seen:
    """The threads at every step, and the run."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def on_start(self, run: Run) -> None:
        self.run = run

    def on_step(self, run: Run) -> None:
        self.numbers.append(torch.get_num_threads())


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, [1] * 18), (2, [2] * 18), ("2,1@5", [2] * 5 + [1] * 13), ("1,2@6,1@17", [1] * 6 + [2] * 11 + [1])],
)
def test_threads_hold_from_their_steps_on_and_are_put_back(given: Any, expected: list[int]) -> None:
    torch.set_num_threads(1)
    seen = Seen()
    CASES["plain"].run(threads=given, callbacks=[seen])
    assert seen.numbers == expected
    assert torch.get_num_threads() == 1


# ---- the choice --------------------------------------------------------------------------------------------------


class Clock:
    """A machine on which steps take what the table says; its first step of a kind takes ten times as long."""

    def __init__(self, seconds: dict[Way, float], few: dict[Way, float] | None = None) -> None:
        self.tables = {None: seconds, measuring.ROWS: {w: s / 16 for w, s in seconds.items()} | (few or {})}
        self.calls: list[tuple[Way, int | None]] = []
        self.spent = 0.0

    def __call__(self, way: Way, rows: int | None) -> float:
        took = self.tables[rows][way] * (1 if (way, rows) in self.calls else 10)
        self.calls.append((way, rows))
        self.spent += took
        return took


def table(*seconds: float) -> dict[Way, float]:
    """Seconds of two threads and of one in float32, of two and of one in bfloat16."""
    return dict(zip((*FOUR[:2], FOUR[3], FOUR[2]), seconds, strict=True))


MACHINES = {
    "one core busy, threads spin": (Clock(table(2.1, 0.10, 6.7, 0.08)), Way(1, "bf16")),
    "one core busy, threads sleep": (Clock(table(0.113, 0.10, 4.0, 0.08)), Way(1, "bf16")),
    "idle, threads help": (Clock(table(0.06, 0.10, 0.05, 0.08)), Way(2, "bf16")),
    "idle, threads do not help": (Clock(table(0.148, 0.10, 0.149, 0.11)), Way(1, "fp32")),
    "nearly the same": (Clock(table(0.0995, 0.10, 0.0998, 0.10)), Way(1, "fp32")),
    "tiny": (Clock(table(0.0012, 0.001, 0.0011, 0.0008)), Way(1, "bf16")),
}


@pytest.mark.parametrize(("clock", "best"), MACHINES.values(), ids=MACHINES)
def test_the_fastest_way_is_taken_within_three_hundredths_of_the_training(clock: Clock, best: Way) -> None:
    steps = 10_000
    clock.calls.clear()
    clock.spent = 0.0
    way, seconds = fastest(clock, FOUR, Way(2, "bf16"), steps)
    assert way == best
    assert seconds == pytest.approx(clock.tables[None][way])
    assert clock.spent < max(3.0, 0.03 * steps * seconds) + 3.0  # the rounds; and what kernels take the first time


def test_ways_that_wait_on_a_few_rows_are_not_tried_on_whole_batches() -> None:
    clock = Clock(table(2.1, 0.10, 6.7, 0.08))
    fastest(clock, FOUR, Way(2, "bf16"), 10_000)
    assert {way for way, rows in clock.calls if rows is None} == {Way(1, "fp32"), Way(1, "bf16")}
    # Where two threads wait for each other in float32, they are not tried in bfloat16 at all.
    assert (Way(2, "bf16"), measuring.ROWS) not in clock.calls


def test_outliers_do_not_decide() -> None:
    class Noisy(Clock):
        def __call__(self, way: Way, rows: int | None) -> float:
            took = super().__call__(way, rows)
            return 20 * took if rows is None and len(self.calls) % 5 == 0 else took

    assert fastest(Noisy(table(0.006, 0.010, 0.006, 0.010)), FOUR, Way(2, "bf16"), 10_000)[0].threads == 2


def test_short_trainings_are_looked_at_on_a_few_rows_alone() -> None:
    clock = Clock(table(0.06, 0.10, 0.05, 0.08))
    assert fastest(clock, FOUR, Way(2, "bf16"), 99) == (Way(2, "bf16"), 0.0)
    assert {rows for _, rows in clock.calls} == {measuring.ROWS}
    waiting = Clock(table(2.1, 0.10, 6.7, 0.08))
    assert fastest(waiting, FOUR, Way(2, "bf16"), 99) == (Way(1, "bf16"), 0.0)


def test_steps_of_many_seconds_are_measured_best_first_and_not_all() -> None:
    sixteen = ways(["fp32"], [64, 1, 32])
    clock = Clock(dict(zip(sixteen, (0.5, 30.0, 0.9), strict=True)))
    assert fastest(clock, sixteen, sixteen[0], 1_000)[0] == Way(64, "fp32")
    assert (Way(1, "fp32"), None) not in clock.calls


def test_parts_that_cannot_be_copied_are_trained_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Uncopied(Elbo):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("cannot be copied")

    seen = Seen()
    made = Case(Uncopied).run(threads="auto", precision="auto", callbacks=[seen])
    assert seen.run.threads == "2"
    assert_same(made, Case(Uncopied).run(threads=2, precision=seen.run.precision))


def test_a_signal_while_measuring_ends_the_run_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: Any) -> None:
        raise InterruptedRun("stopped by SIGTERM", 143)

    monkeypatch.setattr(measuring, "fastest", stopped)
    seen = Seen()
    with pytest.raises(InterruptedRun):
        CASES["plain"].run(threads="auto", callbacks=[seen])
    assert not hasattr(seen, "run")
    assert torch.get_num_threads() == 1


# ---- another look ------------------------------------------------------------------------------------------------


def test_steps_three_times_slower_are_looked_at_and_a_few_slow_ones_are_not() -> None:
    run = SimpleNamespace(watched=True, pace=0.5, step=100, threads="2")
    watch = Pace(run, lambda other: None, lambda: None)  # type: ignore[arg-type, return-value]
    for seconds in [0.5] * 9 + [1.4] * 9 + [0.5] * 5 + [9.0] * 4:
        watch.after_step(seconds)
        assert not watch.slow
    for _ in range(9):
        watch.after_step(1.6)
    assert watch.slow


def test_the_first_steps_set_the_measure_where_nothing_was_timed() -> None:
    run = SimpleNamespace(watched=True, pace=0.0, step=0, threads="2")
    watch = Pace(run, lambda other: None, lambda: None)  # type: ignore[arg-type, return-value]
    for _ in range(9):
        watch.after_step(0.4)
    assert run.pace == 0.4


class SlowAt:
    """Has the steps before the given ones have been slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
        after = Pace.after_step

        def told(pace: Pace, seconds: float) -> None:
            after(pace, seconds)
            pace.slow = pace.run.step + 1 in steps  # the loop counts the step after this

        monkeypatch.setattr(Pace, "after_step", told)


@pytest.mark.parametrize("name", ["plain", "opponent", "memory", "a learned weight"])
def test_a_change_within_a_run_is_recorded_and_repeated_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, told, seen = CASES[name], [], Seen()
    seen.on_threads = lambda run: told.append((run.step, run.threads))  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(pace, "chosen", lambda run, options, take: (Way(1 if run.step == 6 else 2, "fp32"), 1.0))
        SlowAt(patch, 6, 11)
        changed = case.run(threads="auto", precision="fp32", callbacks=[seen])
    assert told == [(6, "2,1@6"), (11, "2,1@6,2@11")]
    assert seen.numbers[:12] == [2] * 6 + [1] * 5 + [2]
    again = case.run(threads="2,1@6,2@11", precision="fp32")
    assert_same(again, changed)


def test_a_look_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real steps on copies in the middle of a run, after which it goes on as if nothing had been."""
    case = CASES["opponent"]
    left_alone = case.run(threads=2, precision="fp32")
    monkeypatch.setattr(measuring, "FEWER", 1)
    seen = forced(monkeypatch, Way(2, "fp32"))
    SlowAt(monkeypatch, 3, 9)
    assert_same(case.run(threads="auto", precision="fp32"), left_alone)
    assert seen == FOUR[:2] * 3


# ---- going on ----------------------------------------------------------------------------------------------------


class StopAt:
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            raise InterruptedRun("stopped")


@pytest.mark.parametrize("step", [1, 5, 6, 7, 12, 17])
def test_a_run_is_gone_on_with_by_the_threads_and_precision_that_were_measured(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, path = Case(average=0.9, validation=0.2, epochs=4, batch=7), tmp_path / "state"
    forced(monkeypatch, Way(2, "bf16"))
    monkeypatch.setattr(pace, "chosen", lambda *given: measuring.chosen(*given))
    settings: dict[str, Any] = {"threads": "auto", "precision": "auto"}
    whole = case.run(**settings)
    with pytest.raises(InterruptedRun):
        case.run(**settings, checkpoint=path, callbacks=[StopAt(step)])
    monkeypatch.setattr(pace, "chosen", lambda *given: pytest.fail("measured again"))
    seen = Seen()
    assert_same(case.run(**settings, checkpoint=path, resume=True, callbacks=[seen]), whole)
    assert (seen.run.threads, seen.run.precision, seen.run.watched) == ("2", "bf16", True)
    with pytest.raises(ArtifactError, match="threads: 'auto' then, 1 now"):
        case.run(**settings | {"threads": 1}, checkpoint=path, resume=True)


@pytest.mark.parametrize("step", [5, 6, 7, 11, 12])
def test_a_schedule_is_gone_on_with_to_the_bit(step: int, tmp_path: Path) -> None:
    """Stopped before a change, at it and after it, at an epoch's end and within."""
    case, path = Case(average=0.9, validation=0.2, data=rows), tmp_path / "state"
    settings: dict[str, Any] = {"threads": "1,2@6,1@12", "precision": "fp32"}
    whole = case.run(**settings)
    with pytest.raises(InterruptedRun):
        case.run(**settings, checkpoint=path, callbacks=[StopAt(step)])
    assert_same(case.run(**settings, checkpoint=path, resume=True), whole)


def test_a_checkpoint_from_before_threads_were_recorded_can_be_gone_on_with(tmp_path: Path) -> None:
    from lambent.disk import tensorfile
    from lambent.training.checkpoint import MACHINE, _read, _seal

    case, path = CASES["plain"], tmp_path / "state"
    whole = case.run(precision="fp32")
    with pytest.raises(InterruptedRun):
        case.run(precision="fp32", checkpoint=path, callbacks=[StopAt(7)])
    state, then, tensors = _read(path)
    del then["threads"]
    state = {name: value for name, value in state.items() if name not in MACHINE}
    metadata = {"lambent_checkpoint": "2", "state": json.dumps(state), "identity": json.dumps(then)}
    path.unlink()
    tensorfile.write(path, tensors, metadata | {"sha256": _seal(tensors, metadata)})
    for given in (None, "auto"):
        assert_same(case.run(precision="fp32", threads=given, checkpoint=path, resume=True), whole)


# ---- the scikit-learn face, and using a model ---------------------------------------------------------------------


def test_passes_over_rows_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, table = forced(monkeypatch, Way(2, "bf16")), rows().numpy()
    monkeypatch.setattr(measuring, "FEWER", 1)
    face: dict[str, Any] = {"network": Mlp(8, 1), "batch": 8, "epochs": 9, "device": "cpu"}
    vae, given = (VAE(2, **face, **more) for more in ({"threads": "auto"}, {"threads": 2, "precision": "bf16"}))
    for _ in range(3):
        vae.partial_fit(table)
        given.partial_fit(table)
    assert seen == FOUR
    assert vae.history_["loss"] == given.history_["loss"]


def test_other_threads_asked_for_between_passes_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, table = forced(monkeypatch, Way(1, "fp32")), rows().numpy()
    monkeypatch.setattr(measuring, "FEWER", 1)
    vae = VAE(2, network=Mlp(8, 1), batch=8, epochs=9, device="cpu", precision="fp32", threads=2).partial_fit(table)
    used: list[int] = []
    vae.model_.decoder.register_forward_hook(lambda *call: used.append(torch.get_num_threads()))
    vae.partial_fit(table)
    assert set(used) == {2}
    used.clear()
    vae.set_params(threads=1).partial_fit(table)
    assert set(used) == {1}
    used.clear()
    vae.set_params(threads=2).partial_fit(table)
    assert set(used) == {2}
    vae.set_params(threads="auto").partial_fit(table)
    assert seen == FOUR[:2]
    assert vae._kept is not None
    assert vae._kept.state["threads"] == "1"


def test_an_estimator_scores_by_its_threads_and_puts_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    vae = VAE(2, network=Mlp(8, 1), epochs=1, device="cpu", precision="fp32", threads=2).fit(rows().numpy())
    used: list[int] = []
    vae.model_.decoder.register_forward_hook(lambda *call: used.append(torch.get_num_threads()))
    vae.sample(3)
    vae.score_samples(rows().numpy())
    assert set(used) == {2}
    assert torch.get_num_threads() == 1
    looks: list[Any] = []
    monkeypatch.setattr("lambent.estimators.precise.suit", lambda model, number: looks.append(number))
    vae.set_params(threads="auto").fit(rows().numpy())
    first = vae.score_samples(rows().numpy())
    assert (vae.score_samples(rows().numpy()) == first).all()
    assert looks == ["auto", 1]  # found once, so that the same rows give the same numbers


def test_a_trained_model_is_used_by_the_threads_that_draw_fastest(
    small_model: Callable[..., LatentModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clock = small_model(), SimpleNamespace(now=0.0)
    monkeypatch.setattr(threads, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    for slow, best in ((2, 1), (1, 2)):

        def drawn(n: int, *rest: Any, slow: int = slow) -> None:
            clock.now += 0.001 * n * (5 if torch.get_num_threads() == slow else 1)

        monkeypatch.setattr(LatentModel, "generate", lambda self, *given, drawn=drawn: drawn(*given))
        suit(model, "auto")
        assert torch.get_num_threads() == best
    suit(model, 2)
    assert torch.get_num_threads() == 2
    suit(model, None)
    assert torch.get_num_threads() == 2
