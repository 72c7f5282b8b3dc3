"""Views of a batch are part of what a run is: with another transform or augmentation it is not resumed."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lambent.data import Image
from lambent.errors import ArtifactError, InterruptedRun
from lambent.model import LatentModel
from lambent.objectives import Elbo
from lambent.training.fitting import fit
from lambent.training.run import Run
from lambent.training.views import described

Small = Callable[..., LatentModel]
FAST: dict[str, Any] = {"epochs": 3, "batch": 8, "device": "cpu", "precision": "fp32"}


class StopAt:
    def on_step(self, run: Run) -> None:
        if run.step == 7:
            raise InterruptedRun("stopped")


def jittered(size: float) -> Any:
    return lambda x, generator: x + size * torch.randn(x.shape, generator=generator)


def by_default(size: float) -> Any:
    def view(x: Tensor, generator: torch.Generator | None, size: float = size) -> Tensor:
        return x + size

    return view


def noting(notes: list[int]) -> Any:
    def view(x: Tensor, generator: torch.Generator | None, notes: list[int] = notes) -> Tensor:
        notes.append(1)
        return x

    return view


def scaled(x: Tensor, generator: torch.Generator | None, by: float = 1.0) -> Tensor:
    return x * by


class Scale:
    def __init__(self, by: float) -> None:
        self.by = by

    def __repr__(self) -> str:
        return f"Scale({self.by})"

    def __call__(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x * self.by

    def again(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x * self.by * self.by


class Other(Scale):
    def __call__(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x + self.by


class Layer(nn.Module):
    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x


PAIRS: dict[str, tuple[Any, Any]] = {
    "none": (None, jittered(0.1)),
    "a number closed over": (jittered(0.1), jittered(0.2)),
    "a default": (by_default(0.1), by_default(0.2)),
    "code": (lambda x, g: x + 1, lambda x, g: x + 2),
    "operation": (lambda x, g: x + 1, lambda x, g: x - 1),
    "name called": (lambda x, g: torch.sin(x), lambda x, g: torch.cos(x)),
    "partial": (functools.partial(scaled, by=1.0), functools.partial(scaled, by=2.0)),
    "object": (Scale(1.0), Scale(2.0)),
    "class": (Scale(1.0), Other(1.0)),
    "method": (Scale(1.0).again, Scale(2.0).again),
    "other method": (Scale(1.0).again, Scale(1.0).__call__),
    "modality": (Image(flip=True).augment, Image().augment),
    "modality's method": (Image().transform, Image().augment),
    "tensor": ((lambda t: lambda x, g: x + t)(torch.zeros(4)), (lambda t: lambda x, g: x + t)(torch.ones(4))),
    "module": (Layer(), nn.Identity()),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_other_views_have_other_names(pair: tuple[Any, Any]) -> None:
    assert described(pair[0]) != described(pair[1])


SAME: dict[str, Callable[[], Any]] = {
    "lambda": lambda: jittered(0.1), "default": lambda: by_default(0.3), "partial": lambda: functools.partial(scaled, by=2.0),
    "object": lambda: Scale(1.0), "method": lambda: Scale(1.0).again, "modality": lambda: Image(flip=True).augment,
    "module": lambda: Layer(), "list that is filled": lambda: noting([1] * int(torch.randint(9, ()))),
}  # fmt: skip


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_the_same_view_made_again_has_the_same_name(make: Callable[[], Any]) -> None:
    kept = [make() for _ in range(5)]  # all alive at once, at addresses of their own
    assert len({described(view) for view in kept}) == 1
    assert "0x" not in str(described(kept[0]))


@pytest.mark.parametrize("role", ["transform", "augment"])
def test_K16_a_run_with_another_view_is_not_resumed(role: str, x: Tensor, small_model: Small, tmp_path: Path) -> None:
    """Resumed without its augmentation, with another, or with another transform, a run is refused, and both are named."""
    path = tmp_path / "state"
    with pytest.raises(InterruptedRun):
        fit(small_model(), Elbo(), x, **FAST, checkpoint=path, callbacks=[StopAt()], **{role: jittered(0.1)})
    for other, shown in ((None, "None"), (jittered(0.2), "'.*jittered.*'"), (scaled, "'.*scaled.*'")):
        with pytest.raises(ArtifactError, match=rf"resumed exactly: {role}: '.*jittered.*' then, {shown} now$"):
            fit(small_model(), Elbo(), x, **FAST, checkpoint=path, resume=True, **{role: other})
    history = fit(small_model(), Elbo(), x, **FAST, checkpoint=path, resume=True, **{role: jittered(0.1)})
    whole = fit(small_model(), Elbo(), x, **FAST, **{role: jittered(0.1)})
    assert history["loss"] == whole["loss"]
