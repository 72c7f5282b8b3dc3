"""Training on rows from disk ends in the bits of training on rows in memory, and is resumed to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lambent
from lambent.data import load
from lambent.data.stored.ondisk import OnDisk
from lambent.data.stored.opening import on_disk, on_disk_parted
from lambent.errors import DataError, InterruptedRun
from lambent.model import LatentModel
from lambent.model.likelihoods import base
from lambent.model.networks import Mlp
from lambent.training.callbacks import Quiet
from lambent.training.intake import EXAMPLES

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (150, 1, 6, 5), dtype=np.uint8)
TABLE = RNG.normal(2, 3, (150, 6))


def model(**parts: Any) -> LatentModel:
    return LatentModel(lambent.Flat(2), **{"likelihood": lambent.Gaussian(), "network": Mlp(8, 1), **parts})


@pytest.fixture(params=["bytes", "bits drawn", "table"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any, dict[str, Any]]:
    np.save(tmp_path / "rows.npy", TABLE if request.param == "table" else PIXELS)
    modality = {"type": "Image", "binarize": "dynamic"} if request.param == "bits drawn" else None
    parts = {"bytes": {"likelihood": lambent.DiscretizedLogistics()}, "bits drawn": {"likelihood": lambent.Bernoulli()}}
    return str(tmp_path / "rows.npy"), modality, parts.get(request.param, {})


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_the_same_bits_as_in_memory(case: tuple[str, Any, dict[str, Any]], validation: float, tmp_path: Path) -> None:
    source, modality, parts = case
    how: dict[str, Any] = {"epochs": 2, "batch": 32, "seed": 5, "validation": validation}
    first, second = model(**parts), model(**parts)
    memory = lambent.fit(first, lambent.Elbo(), load(source, modality=modality), **how)
    disk = lambent.fit(second, lambent.Elbo(), on_disk(source, tmp_path / "cache", modality=modality), **how)
    del memory["seconds"], disk["seconds"]
    assert disk == memory
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


class Stop(Quiet):
    """Interrupts after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step(self, run: Any) -> None:
        if run.step == self.steps:
            raise InterruptedRun("enough")


@pytest.mark.parametrize(("began", "went_on"), [("disk", "disk"), ("memory", "disk"), ("disk", "memory")])
def test_resumed_to_the_bit_from_either_place(
    case: tuple[str, Any, dict[str, Any]], began: str, went_on: str, tmp_path: Path
) -> None:
    source, modality, parts = case
    cache = tmp_path / "cache"

    def data(place: str) -> Any:
        return load(source, modality=modality) if place == "memory" else on_disk(source, cache, modality=modality)

    how: dict[str, Any] = {"epochs": 3, "batch": 32, "validation": 0.2}
    whole = model(**parts)
    lambent.fit(whole, lambent.Elbo(), data("memory"), **how)
    kept = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InterruptedRun):
        lambent.fit(model(**parts), lambent.Elbo(), data(began), checkpoint=kept, callbacks=[Stop(6)], **how)
    resumed = model(**parts)
    lambent.fit(resumed, lambent.Elbo(), data(went_on), checkpoint=kept, resume=True, **how)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_context_and_rows_to_validate_on(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", TABLE)
    train, held = on_disk_parted(tmp_path / "rows.npy", tmp_path / "cache", 0.2)
    context, other = torch.randn(len(train), 3), torch.randn(len(held), 3)
    how: dict[str, Any] = {"epochs": 2, "batch": 32, "context": context}
    first, second = model(context=3), model(context=3)
    disk = lambent.fit(first, lambent.Elbo(), train, validation=(held, other), **how)
    memory = lambent.fit(second, lambent.Elbo(), train.loaded(), validation=(held.loaded(), other), **how)
    del memory["seconds"], disk["seconds"]
    assert disk == memory
    with pytest.raises(DataError, match="3 rows of context were given for 120"):
        lambent.fit(model(context=3), lambent.Elbo(), train, context=torch.zeros(3, 3))


def test_every_row_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PIECE", 3000)
    rows = np.zeros((EXAMPLES * 3, 1, 6, 5), np.uint8)
    rows[-2, 0, 2, 2] = 7  # between the examples
    np.save(tmp_path / "rows.npy", rows)
    stored = on_disk(tmp_path / "rows.npy", tmp_path / "cache")
    with pytest.raises(DataError, match="Bernoulli is a likelihood of zeros and ones; these data lie in 0 … 7"):
        lambent.fit(model(likelihood=lambent.Bernoulli()), lambent.Elbo(), stored, epochs=1)
    # Bytes of which most pieces hold 0 and 1 alone are no bits.
    rows[0] = 255
    np.save(tmp_path / "bytes.npy", rows)
    stored = on_disk(tmp_path / "bytes.npy", tmp_path / "cache")
    lambent.fit(model(likelihood=lambent.DiscretizedLogistics()), lambent.Elbo(), stored, epochs=1)
    monkeypatch.setattr(OnDisk, "__getitem__", lambda self, rows: pytest.fail("checked again"))
    again = on_disk(tmp_path / "bytes.npy", tmp_path / "cache")
    lambent.fit(model(likelihood=lambent.DiscretizedLogistics()), lambent.Elbo(), again, epochs=1)
