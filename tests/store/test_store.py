"""The model file: what was written comes back, and nothing that does not fit is let in."""

import os

import pandas
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lambent import ArtifactError, Flat, LatentModel, Table, UsageError
from lambent.fitted import FORMAT, Fitted, load, read_header, save


def test_comes_back_to_the_bit(model: LatentModel, path) -> None:
    stored = load(path)
    assert stored.model.spec() == model.spec()
    assert stored.provenance["name"] == "a run"
    for name, tensor in model.state_dict().items():
        assert torch.equal(stored.model.state_dict()[name], tensor)
    x = torch.randint(0, 256, (2, 1, 9, 7), dtype=torch.uint8)
    draws = [m.trace(x, 1, lambda node, level: node.q.mean[None]).log_px for m in (model, stored.model)]
    assert torch.equal(*draws)


def test_the_safetensors_library_reads_it(model: LatentModel, path) -> None:
    with safe_open(path, framework="pt") as file:
        assert set(file.metadata()) == {"lambent", "sha256"}
        for name, tensor in model.state_dict().items():
            assert torch.equal(file.get_tensor(name), tensor)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool])
def test_every_type_comes_back(tmp_path, dtype: torch.dtype) -> None:
    from lambent.disk import tensorfile

    tensors = {
        "stretched": torch.ones((), dtype=dtype).expand(1),
        "a": torch.ones(3, 1, dtype=dtype),
        "none": torch.zeros(0, 4, dtype=dtype),
        "one": torch.ones(()).to(dtype),
    }
    tensorfile.write(tmp_path / "t", tensors, {})
    found = tensorfile.read_tensors(tmp_path / "t", tensorfile.read_header(tmp_path / "t"))
    assert all(torch.equal(found[name], t) and found[name].dtype == dtype for name, t in tensors.items())


def test_modality_comes_back(tmp_path) -> None:
    table = Table(drop=("b",)).fit(pandas.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.0, 0.0, 1.0], "c": [5.0, 6.0, 9.0]}))
    model = LatentModel(Flat(2), "Gaussian").setup(table.event)
    stored = load(save(tmp_path / "m.safetensors", Fitted(model, table)))
    assert stored.modality is not None
    assert stored.modality.state() == table.state()
    assert stored.modality.spec() == table.spec()
    with pytest.raises(UsageError, match="the modality makes"):
        save(tmp_path / "n.safetensors", Fitted(LatentModel(Flat(2), "Gaussian").setup((5,)), table))


def test_header_alone(path) -> None:
    assert read_header(path)["event"] == [1, 9, 7]


def test_K6_every_mismatch_is_listed(path, tmp_path, rewritten) -> None:
    """Tensors that are missing, left over, or of another type or shape are all named, and nothing is loaded."""

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


def test_K6_a_renamed_tensor_is_named_twice(path, tmp_path, rewritten) -> None:
    """A renamed tensor is reported as missing under its old name and as belonging to no part under its new one."""
    with pytest.raises(ArtifactError, match=r"decoder\S+ is missing; renamed belongs to no part"):
        load(
            rewritten(path, tmp_path / "m", lambda h, t: t.update(renamed=t.pop(next(n for n in t if "decoder" in n))))
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_K7_numbers_that_are_not_finite(model: LatentModel, path, tmp_path, rewritten, value: float) -> None:
    """Weights that are NaN or infinite are refused when a model is written and when one is read, by the tensor's name."""

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
    """A pickle that would run code is refused under its own name and under a model file's; the error says what to use."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save(Bomb(), tmp_path / f"m{suffix}")
    (tmp_path / "m.safetensors").write_bytes((tmp_path / f"m{suffix}").read_bytes())
    with pytest.raises(ArtifactError, match=r"never is: save models with lambent\.save"):
        load(tmp_path / f"m{suffix}")
    with pytest.raises(ArtifactError):
        load(tmp_path / "m.safetensors")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "torch.nn.Linear", "__main__.Evil", "Elbo", "_PriorAlone"]
)
def test_K9_only_registered_names(path, tmp_path, rewritten, name: str) -> None:
    """A file that names any class or function but a registered part of the right family is refused."""

    def change(header, tensors):
        header["model"]["latent"] = {"type": name}

    with pytest.raises(ArtifactError, match="no Latent is called"):
        load(rewritten(path, tmp_path / "m.safetensors", change))


def test_K10_a_later_format(path, tmp_path, rewritten) -> None:
    """A file of a later format is refused in a sentence that says which format this version reads."""

    def change(header, tensors):
        header["format"] = FORMAT + 1

    with pytest.raises(ArtifactError, match="update lambent"):
        load(rewritten(path, tmp_path / "m.safetensors", change))


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": [0]},
        {"event": "x"},
        {"event": [True, 9, 7]},
        {"event": [1] * 9},
        {"event": None},
        {"model": []},
        {"model": {"type": "LatentModel", "x": 1}},
        {"modality": []},
        {"modality": {"spec": "Table", "state": {}}},
        {
            "modality": {
                "spec": "Image",
                "state": {"event": [1, 2, 2], "two_level": 1, "notices": {}, "label_names": None},
            }
        },
    ],
)
def test_K10_headers_that_describe_nothing(path, tmp_path, rewritten, wrong: dict) -> None:
    """A description of another architecture, of none, or of data of another shape is refused as one that cannot be built."""
    with pytest.raises(ArtifactError, match=r"cannot be (built|loaded)"):
        load(rewritten(path, tmp_path / "m.safetensors", lambda header, tensors: header.update(wrong)))


def test_a_foreign_safetensors_file(tmp_path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors")
    with pytest.raises(ArtifactError, match="not one of lambent's"):
        load(tmp_path / "m.safetensors")
    with pytest.raises(ArtifactError, match="no model file"):
        load(tmp_path / "absent.safetensors")
