"""The model file: what was written comes back, and nothing else is let in."""

import json
import os
import struct

import pandas
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lambent import ArtifactError, Conv, Flat, LatentModel, MachineError, Mixture, Table
from lambent.likelihoods import DiscretizedLogistics
from lambent.store import FORMAT, load, read_header, save


@pytest.fixture
def model() -> LatentModel:
    return LatentModel(Flat(3, Mixture(4)), DiscretizedLogistics(), Conv((4, 8))).setup((1, 9, 7), seed=1)


@pytest.fixture
def path(model: LatentModel, tmp_path):
    return save(tmp_path / "model.safetensors", model, provenance={"name": "a run"})


def rewritten(path, target, change):
    """A copy of a model file with `change(header, tensors)` applied."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["lambent"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, target, {"lambent": json.dumps(header)})
    return target


def test_comes_back_to_the_bit(model: LatentModel, path) -> None:
    stored = load(path)
    assert stored.model.spec() == model.spec()
    assert stored.provenance["name"] == "a run"
    for name, tensor in model.state_dict().items():
        assert torch.equal(stored.model.state_dict()[name], tensor)
    x = torch.randint(0, 256, (2, 1, 9, 7), dtype=torch.uint8)
    draws = [m.trace(x, 1, lambda node, level: node.q.mean[None]).log_px for m in (model, stored.model)]
    assert torch.equal(*draws)


def test_modality_comes_back(tmp_path) -> None:
    table = Table(drop=("b",)).fit(pandas.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.0, 0.0, 1.0], "c": [5.0, 6.0, 9.0]}))
    model = LatentModel(Flat(2), "Gaussian").setup(table.event)
    stored = load(save(tmp_path / "m.safetensors", model, table))
    assert stored.modality is not None
    assert stored.modality.state() == table.state()
    assert stored.modality.spec() == table.spec()


def test_header_alone(path) -> None:
    assert read_header(path)["event"] == [1, 9, 7]


def test_K1_truncated(path, tmp_path) -> None:
    whole = path.read_bytes()
    header = struct.unpack("<Q", whole[:8])[0]
    for length in (0, 7, 8, 8 + header - 1, 8 + header, 8 + header + 100, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        with pytest.raises(ArtifactError):
            load(tmp_path / "cut.safetensors")


def test_K2_any_flipped_bit_is_noticed(path, tmp_path) -> None:
    whole = bytearray(path.read_bytes())
    header = struct.unpack("<Q", whole[:8])[0]
    for place in range(8 + header, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        (tmp_path / "flipped.safetensors").write_bytes(damaged)
        with pytest.raises(ArtifactError):
            load(tmp_path / "flipped.safetensors")


@pytest.mark.parametrize("length", [2**63, 0, 10**9, 2**64 - 1])
def test_K3_header_length(path, tmp_path, length: int) -> None:
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    with pytest.raises(ArtifactError, match="header"):
        load(tmp_path / "m.safetensors")


def test_K6_every_mismatch_is_listed(path, tmp_path) -> None:
    def change(header, tensors):
        names = sorted(tensors)
        tensors["stranger"] = torch.zeros(2)
        del tensors[names[0]]
        tensors[names[1]] = tensors[names[1]].double()
        tensors[names[2]] = torch.zeros(1, 1, 1, 1, 1)

    with pytest.raises(ArtifactError) as caught:
        load(rewritten(path, tmp_path / "m.safetensors", change))
    words = str(caught.value)
    assert all(part in words for part in ("is missing", "stranger belongs to no part", "has type", "has shape"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_K7_numbers_that_are_not_finite(model: LatentModel, path, tmp_path, value: float) -> None:
    def change(header, tensors):
        tensors[min(tensors)].view(-1)[0] = value

    with pytest.raises(ArtifactError, match="not finite"):
        load(rewritten(path, tmp_path / "m.safetensors", change))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = value
    with pytest.raises(ArtifactError, match="not finite"):
        save(tmp_path / "n.safetensors", model)
    assert not (tmp_path / "n.safetensors").exists()


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".ckpt", ".joblib"])
def test_K8_a_pickle_is_never_read(tmp_path, suffix: str) -> None:
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save(Bomb(), tmp_path / f"m{suffix}")
    (tmp_path / "m.safetensors").write_bytes((tmp_path / f"m{suffix}").read_bytes())
    for name in (f"m{suffix}", "m.safetensors"):
        with pytest.raises(ArtifactError):
            load(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "torch.nn.Linear", "__main__.Evil", "Elbo", "_PriorAlone"]
)
def test_K9_only_registered_names(path, tmp_path, name: str) -> None:
    def change(header, tensors):
        header["model"]["latent"] = {"type": name}

    with pytest.raises(ArtifactError, match="no Latent is called"):
        load(rewritten(path, tmp_path / "m.safetensors", change))


def test_K10_a_later_format(path, tmp_path) -> None:
    def change(header, tensors):
        header["format"] = FORMAT + 1

    with pytest.raises(ArtifactError, match="update lambent"):
        load(rewritten(path, tmp_path / "m.safetensors", change))


@pytest.mark.parametrize(
    "wrong", [{"event": [0]}, {"event": "x"}, {"model": []}, {"model": {"type": "LatentModel", "x": 1}}]
)
def test_K10_headers_that_describe_nothing(path, tmp_path, wrong: dict) -> None:
    with pytest.raises(ArtifactError):
        load(rewritten(path, tmp_path / "m.safetensors", lambda header, tensors: header.update(wrong)))


def test_K11_a_failing_disk_leaves_the_old_file(model: LatentModel, path, monkeypatch) -> None:
    before = path.read_bytes()
    for call in ("fsync", "replace"):

        def fail(*_, call=call):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, call, fail)
            with pytest.raises(MachineError, match="No space"):
                save(path, model, provenance={"name": "another"})
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_K11_a_foreign_safetensors_file(tmp_path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors")
    with pytest.raises(ArtifactError, match="not one of lambent's"):
        load(tmp_path / "m.safetensors")
    with pytest.raises(ArtifactError, match="no model file"):
        load(tmp_path / "absent.safetensors")
