"""Room: a training that cannot fit is refused before it takes any memory, with what it needs and what to change."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lambent import VAE, Conv, Diagonal, Elbo, Flat, Gaussian, Iwae, LatentModel, Mlp, fit
from lambent.data.readers import regular
from lambent.errors import MachineError
from lambent.training import room
from lambent.training.settings import Training

GIB = 2**30


def free(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    monkeypatch.setattr(room, "free_memory", lambda: size)


def test_ten_large_pictures_are_refused_with_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,400² by the default model: 300 · 300 · 64 features to and from 256 units are 2.9 billion weights; none is made."""
    free(monkeypatch, 16 * GIB)
    made: list[torch.Tensor] = []
    started = torch.nn.Linear.reset_parameters

    def seen(layer: torch.nn.Linear) -> None:
        made.append(layer.weight)
        started(layer)

    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", seen)
    with pytest.raises(MachineError) as refused:
        VAE(epochs=1).fit(np.arange(10 * 2400 * 2400, dtype=np.uint32).astype(np.uint8).reshape(10, 2400, 2400))
    said = str(refused.value)
    assert "2.96 billion weights" in said or "2.95 billion weights" in said
    assert "and 17.2 GB are free" in said
    assert max(weight.numel() for weight in made) == 300 * 300 * 64 * 256
    assert all(weight.is_meta for weight in made)
    size = re.search(r"--data\.size (\d+),(\d+)", said)
    assert size is not None
    assert (int(size[1]), int(size[2])) == (600, 600)
    assert "--network.channels 16,32,64,64,64" in said
    assert "--network.width than 256" in said


def test_the_weights_of_a_table_are_counted_as_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 layers of 1,000 · 1,000 and what goes in and out, times four copies and an average: 80 MB and more."""
    x = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    free(monkeypatch, 50_000_000)
    model = LatentModel(Flat(2), Gaussian(), Mlp(1000, 3))
    with pytest.raises(MachineError, match=r"4\.0\d million weights.*take 8\d\.?\d* MB.*--network\.width than 1000"):
        fit(model, Elbo(), x, epochs=1)
    assert not model.ready
    free(monkeypatch, 500_000_000)
    fit(model, Elbo(), x, epochs=1)
    assert model.ready


@pytest.mark.parametrize("network", [Mlp(32, 1), Conv((8, 16), 32)], ids=["Mlp", "Conv"])
def test_the_estimate_is_that_of_a_real_pass(network: Mlp | Conv) -> None:
    """The weights exactly; what the halves keep, to what autograd keeps of a real one."""
    model = LatentModel(Flat(3), Gaussian(), network)
    twin = room.on_meta(model, (1, 12, 12))
    assert twin is not None
    assert all(parameter.is_meta for parameter in twin.parameters())
    model.setup((1, 12, 12))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert sum(parameter.numel() for parameter in twin.parameters()) == count
    kept: dict[int, torch.UntypedStorage] = {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(x: torch.Tensor) -> torch.Tensor:
        if x.untyped_storage().data_ptr() not in weights:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        model.encoder(torch.zeros(16, 1, 12, 12))
        model.decoder(torch.zeros(16, *model.read_shape))
    sizes = [storage.nbytes() for storage in kept.values()]
    raw = 4 * 16 * 144
    assert room.kept_by(twin, 16) == sum(sizes) + max(sizes) + room.TERMS * raw
    assert room.kept_by(twin, 16, draws=8) > 2 * room.kept_by(twin, 16)


def test_a_batch_that_cannot_fit_is_refused_though_its_weights_do(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((5000, 1, 24, 24), np.float32)
    model = LatentModel(Flat(2), Gaussian(), Conv((8,), 16))
    free(monkeypatch, 200_000_000)
    with pytest.raises(MachineError, match=r"batch of 5,000 rows about \d.*--batch"):
        fit(model, Elbo(), x, epochs=1, batch=5000)
    fit(LatentModel(Flat(2), Gaussian(), Conv((8,), 16)), Elbo(), x[:64], epochs=1, batch=64)
    with pytest.raises(MachineError, match="batch of 64 rows"):
        fit(LatentModel(Flat(2), Gaussian(), Conv((8,), 16)), Iwae(200), x[:64], epochs=1, batch=64)


def test_where_nothing_tells_what_is_free_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, None)
    model = LatentModel(Flat(2, posterior=Diagonal()), Gaussian(), Mlp(8, 1))
    fit(model, Elbo(), np.zeros((8, 3), np.float32), epochs=1)


def test_a_flow_is_refused_by_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts cannot be looked at without memory; its weights are counted as they are made all the same."""
    free(monkeypatch, 1_000_000)
    model = LatentModel({"type": "Flat", "size": 2, "prior": "Flow"}, Gaussian(), Mlp(500, 2))
    with pytest.raises(MachineError, match="needs more than"):
        fit(model, Elbo(), np.zeros((8, 3), np.float32), epochs=1)


def test_an_array_that_cannot_fit_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular, "free_memory", lambda: 10**9)
    with pytest.raises(MachineError, match=r"pictures: needs 2 GB of memory, more than the 1 GB that are free"):
        regular.empty((2 * 10**9,), np.dtype(np.uint8), "pictures")


def test_the_command_refuses_it_with_its_own_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lambent.cli import main

    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (20, 64, 64), dtype=np.uint8))
    free(monkeypatch, 60_000_000)
    run: Callable[[list[str]], int] = main
    assert run(["train", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 5
    said = capsys.readouterr().err
    assert "this training needs" in said
    assert "--data.size" in said
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_copies_are_those_of_the_settings() -> None:
    from lambent.data.batches import InMemory

    device = torch.device("cpu")
    batches = InMemory(torch.zeros(40, 3), 128, 0, device)
    settings = Training.of(precision="fp32", patience=3, validation=0.1)
    counted = [
        room.Room.of(s, o, batches, watched, device)
        for s, o, watched in (
            (settings, Elbo(), True),
            (settings, Elbo(), False),
            (settings.changed(average=0.0), Elbo(), False),
            (settings.changed(precision="bf16"), Iwae(5), True),
        )
    ]
    assert [one.copies for one in counted] == [6, 5, 4, 6.5]
    assert [one.draws for one in counted] == [1, 1, 1, 5]
    assert counted[0].batch == 40
    assert counted[0].rows == 40 * 3 * 4


def test_on_a_gpu_its_memory_counts() -> None:
    """Half a million weights want 10 MB: of 1 MB there it is refused, whatever the machine has."""
    rows, generous = np.zeros((8, 3), np.float32), 10**9
    examples = torch.from_numpy(rows)

    def place(here: int, there: int) -> room.Room:
        return room.Room(copies=5, batch=8, draws=1, rows=0, here=here, there=there)

    def model() -> LatentModel:
        return LatentModel(Flat(2), Gaussian(), Mlp(500, 2))

    with pytest.raises(MachineError, match="of memory of the GPU, and 1 MB are free"):
        place(generous, 10**6).set_up(model(), (3,), examples, 0)
    place(generous, generous).set_up(model(), (3,), examples, 0)
    place(4 * 10**6, generous).set_up(model(), (3,), examples, 0)  # of which the weights leave again
