"""Batches from anything that can be iterated, with the real number of steps; and rows that come with a context."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lambent.data.batches import Streaming
from lambent.errors import DataError, DivergedError, InterruptedRun, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.objectives import Elbo
from lambent.training.fitting import fit
from lambent.training.run import Run

FAST: dict[str, Any] = {"device": "cpu", "precision": "fp32", "epochs": 3}


def model(context: int = 0) -> LatentModel:
    return LatentModel(latent=Flat(2), likelihood=Gaussian(), network=Mlp(8, 1), context=context)


def rows(n: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


class Endless:
    """An iterable that starts afresh each time, never ends and does not tell its length."""

    def __iter__(self) -> Iterator[Tensor]:
        number = 0
        while True:
            yield rows(8, number)
            number += 1


class Counted(Endless):
    """Ends after five batches, and does not say so."""

    def __iter__(self) -> Iterator[Tensor]:
        for number in range(5):
            yield rows(8, number)


SOURCES: dict[str, Callable[[], Any]] = {
    "list": lambda: list(rows().split(8)),
    "arrays": lambda: [piece.numpy() for piece in rows().split(8)],
    "pairs": lambda: [(piece, piece[:, :2]) for piece in rows().split(8)],
    "loader of rows": lambda: DataLoader(rows(), batch_size=8),
    "loader of one tensor": lambda: DataLoader(TensorDataset(rows()), batch_size=8),
    "loader with labels": lambda: DataLoader(TensorDataset(rows(), torch.zeros(40)), batch_size=8),
    "last batch of one": lambda: [*rows().split(10), rows(1)],
}


@pytest.mark.parametrize("source", SOURCES)
def test_iterables_that_tell_their_length(source: str) -> None:
    history = fit(model(), Elbo(), SOURCES[source](), **FAST)
    assert history["step"] == [5, 10, 15]


def test_the_same_batches_in_the_same_order_are_the_same_training() -> None:
    ends = []
    for source in ("list", "arrays", "pairs", "loader of one tensor"):
        trained = model()
        fit(trained, Elbo(), SOURCES[source](), **FAST)
        ends.append(torch.cat([p.detach().flatten() for p in trained.parameters()]))
    assert all(torch.equal(ends[0], other) for other in ends[1:])


@pytest.mark.parametrize("source", [Counted(), Endless()], ids=["counted", "endless"])
def test_iterables_that_do_not_tell_need_steps(source: Endless) -> None:
    with pytest.raises(UsageError, match="steps="):
        fit(model(), Elbo(), source, **FAST)
    assert fit(model(), Elbo(), source, steps=5, **FAST)["step"] == [5, 10, 15]


def test_fewer_batches_than_announced_are_an_error() -> None:
    """Schedules and annealing would never reach their ends, in silence."""
    with pytest.raises(DataError, match="gave 5 batches in epoch 1, and not 9"):
        fit(model(), Elbo(anneal="linear"), Counted(), steps=9, **FAST)


def test_a_generator_is_refused_before_it_is_used_up() -> None:
    taken = []

    def once() -> Iterator[Tensor]:
        for piece in rows().split(8):
            taken.append(1)
            yield piece

    with pytest.raises(DataError, match="read only once"):
        fit(model(), Elbo(), once(), steps=5, **FAST)
    assert not taken


def test_an_iterable_that_runs_dry_is_an_error() -> None:
    class Once:
        used = 0

        def __len__(self) -> int:
            return 5

        def __iter__(self) -> Iterator[Tensor]:
            self.used += 1
            return iter(rows().split(8) if self.used < 3 else ())

    with pytest.raises(DataError, match="no batch in epoch 2"):
        fit(model(), Elbo(), Once(), **FAST)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ([1.0, 2.0, 3.0], "batch of rows"),
        (torch.zeros(4), "batch of rows"),
        (torch.zeros(0, 4), "batch of rows"),
        ((rows(), rows(), rows()), "batch of rows"),
        ((None, rows()), "batch of rows"),
        ("text", "must be numbers"),
        ({"x": rows()}, "must be numbers"),
    ],
    ids=str,
)
def test_items_that_are_no_batches_are_refused(item: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit(model(), Elbo(), [item], **FAST)


def test_a_share_cannot_be_held_out_of_a_stream_but_rows_can_be_given() -> None:
    with pytest.raises(UsageError, match="rows of their own"):
        fit(model(), Elbo(), SOURCES["list"](), validation=0.2, **FAST)
    history = fit(model(), Elbo(), SOURCES["list"](), validation=rows(9, 5), patience=2, **FAST)
    assert len(history["validation_loss"]) == len(history["epoch"])
    assert all(isinstance(loss, float) and loss == loss for loss in history["validation_loss"])


def test_a_broken_later_batch_names_its_step() -> None:
    batches = list(rows().split(8))
    batches[3][5, 1] = float("nan")
    with pytest.raises(DivergedError, match=r"step 4 \(epoch 1\).*at \[5\] of this batch"):
        fit(model(), Elbo(), batches, **FAST)


def test_a_broken_first_batch_is_refused_before_the_first_step() -> None:
    batches = list(rows().split(8))
    batches[0][5, 1] = float("nan")
    with pytest.raises(DataError, match="row 5 "):
        fit(model(), Elbo(), batches, **FAST)


def test_progress_counts_from_the_real_number_of_steps() -> None:
    seen = []

    class Watch:
        def on_step(self, run: Run) -> None:
            seen.append(run.objective.progress)

    fit(model(), Elbo(), Counted(), steps=5, callbacks=[Watch()], **FAST)
    assert seen == pytest.approx([k / 15 for k in range(1, 16)])


# ---- streams that shuffle ----------------------------------------------------------------------------------------


def by_generator() -> Any:
    return DataLoader(rows(), batch_size=8, shuffle=True, generator=torch.Generator())


class Told:
    """Tells its length, and shuffles by the number of the epoch that it is told."""

    epoch = -1

    def set_epoch(self, number: int) -> None:
        self.epoch = number

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(40, generator=torch.Generator().manual_seed(self.epoch))
        return iter(rows()[order].split(8))


def by_sampler() -> Any:
    class Sampler(Told):
        def __len__(self) -> int:
            return 40

        def __iter__(self) -> Iterator[int]:  # type: ignore[override]
            return iter(torch.randperm(40, generator=torch.Generator().manual_seed(self.epoch)).tolist())

    return DataLoader(rows(), batch_size=8, sampler=Sampler())


@pytest.mark.parametrize("source", [by_generator, Told, by_sampler])
@pytest.mark.parametrize("step", [3, 5, 7])
def test_K13_a_stream_that_shuffles_is_resumed_to_the_bit(source: Callable[[], Any], step: int, tmp_path: Path) -> None:
    """An iterable that can be told the order of an epoch is resumed in mid-epoch and ends in the same bits."""

    class Stop:
        def on_step(self, run: Run) -> None:
            if run.step == step:
                raise InterruptedRun("stopped")

    seen: list[Tensor] = []
    whole, resumed = model(), model()
    fit(whole, Elbo(), source(), augment=lambda x, generator: (seen.append(x.clone()), x)[1], **FAST)
    assert torch.equal(torch.cat(seen[:5]).sort(0).values, rows().sort(0).values)
    assert not torch.equal(torch.cat(seen[:5]), torch.cat(seen[5:10])), "it does shuffle"
    with pytest.raises(InterruptedRun):
        fit(resumed, Elbo(), source(), checkpoint=tmp_path / "state", callbacks=[Stop()], **FAST)
    resumed = model()
    fit(resumed, Elbo(), source(), checkpoint=tmp_path / "state", resume=True, **FAST)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_streams_fingerprint_knows_what_no_order_changes() -> None:
    def told(source: Any, steps: int | None = None) -> str:
        return Streaming(source, steps, torch.device("cpu")).fingerprint()

    def loader(x: Tensor, batch: int = 8) -> Any:
        return DataLoader(x, batch_size=batch, shuffle=True)

    own = told(loader(rows()))
    assert {told(loader(rows())) for _ in range(5)} == {own}
    for other in (loader(rows(48)), loader(rows(), 4), loader(rows()[:, :3]), loader(rows().double().byte())):
        assert told(other) != own
    assert told(Counted(), 5) != told(Counted(), 4)
    assert told(list(rows().split(8))) != told(list(rows(40, 1).split(8)))


# ---- context -----------------------------------------------------------------------------------------------------


def labelled(n: int = 200) -> tuple[Tensor, Tensor]:
    """Rows that lie around one of two centres, and which of them, as a context."""
    labels = torch.arange(n) % 2
    centres = torch.tensor([[3.0, -3.0, 0.0, 1.0], [-3.0, 3.0, 1.0, 0.0]])
    return centres[labels] + 0.3 * rows(n), torch.nn.functional.one_hot(labels, 2).float()


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_with_context_learns_from_it(stream: bool) -> None:
    x, context = labelled()
    trained = model(context=2)
    data: Any = [(x[i : i + 20], context[i : i + 20]) for i in range(0, 200, 20)] if stream else x
    given = {} if stream else {"context": context}
    settings = {**FAST, "epochs": 60, "batch": 20, "learning_rate": 0.01}
    fit(trained, Elbo(), data, validation=(x[:20], context[:20]), **settings, **given)
    with torch.no_grad():
        for label in (0, 1):
            wanted = torch.nn.functional.one_hot(torch.full((50,), label), 2).float()
            assert (trained.generate(50, context=wanted).mean.mean(0) - x[label::2].mean(0)).abs().max() < 0.7


def test_a_model_with_context_is_refused_without() -> None:
    x, context = labelled()
    for data in (x, list(x.split(20))):
        with pytest.raises(UsageError, match=r"context of shape .*none was given"):
            fit(model(context=2), Elbo(), data, **FAST)
    with pytest.raises(UsageError, match="takes no context"):
        fit(model(), Elbo(), x, context=context, **FAST)
    with pytest.raises(UsageError, match="pairs of rows"):
        fit(model(context=2), Elbo(), list(x.split(20)), context=context, **FAST)


def test_a_context_that_does_not_fit_is_refused() -> None:
    x, context = labelled()
    with pytest.raises(DataError, match="199 rows of context were given for 200 rows"):
        fit(model(context=2), Elbo(), x, context=context[:-1], **FAST)
    with pytest.raises(UsageError, match="context of shape"):
        fit(model(context=3), Elbo(), x, context=context, **FAST)
    context[7, 1] = float("nan")
    with pytest.raises(DataError, match="row 7 of the context"):
        fit(model(context=2), Elbo(), x, context=context, **FAST)


def test_context_follows_its_row_through_shuffling_and_holding_out() -> None:
    x = torch.arange(40.0).reshape(-1, 1).expand(-1, 4) / 10
    context = torch.arange(40.0).reshape(-1, 1) / 10
    seen: list[Tensor] = []

    class Matched(Elbo):
        """Compares the rows with their context."""

        def forward(self, model: LatentModel, x: Tensor, *rest: Any) -> Tensor:
            seen.append(x[:, 0] - rest[1][:, 0])
            return super().forward(model, x, *rest)

    class Watch:
        def on_start(self, run: Run) -> None:
            held = run.validation
            seen.append(held.x[:, 0] - held.context[:, 0])

    try:
        fit(model(context=1), Matched(), x, context=context, batch=7, validation=0.3, callbacks=[Watch()], **FAST)
    finally:
        Matched._classes.remove(Matched)
    assert len(seen) == 1 + 12
    assert all(bool((difference == 0).all()) for difference in seen)
