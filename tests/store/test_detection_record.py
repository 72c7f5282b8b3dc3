"""What a model file keeps of a detector: it comes back to the bit, and what is damaged is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lambent import ArtifactError
from lambent.detection import Detection
from lambent.fitted import Fitted, load, save


def number(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def detection() -> Detection:
    return Detection(
        {"type": "Evidence", "samples": 4},
        {"rows": torch.arange(6, dtype=torch.float32).view(2, 3), "places": torch.tensor([3, 1])},
        number(1, 2, 3),
        number(-1, 0.5),
        {"clean": True, "threshold": 2.5, "scale": [2.0, 0.5], "rule": {"fdr": 0.1}},
        number(0, 1, 2),
        torch.tensor([-5, 7]),
    )


@pytest.fixture
def kept_file(model, detection: Detection, tmp_path: Path) -> Path:
    return save(tmp_path / "detector.safetensors", Fitted(model, detection=detection))


def test_comes_back_to_the_bit(model, detection: Detection, kept_file: Path) -> None:
    found = load(kept_file)
    assert found.detection is not None
    assert found.detection.described() == detection.described()
    stored = found.detection.tensors()
    assert set(stored) == {
        f"detection/{n}" for n in ("held_out", "training", "held_out_seen", "known", "kept/rows", "kept/places")
    }
    for name, tensor in detection.tensors().items():
        assert torch.equal(stored[name], tensor), name
        assert stored[name].dtype == tensor.dtype
    for name, tensor in model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor)


def test_a_file_without_one_is_as_it_was(path: Path) -> None:
    assert load(path).detection is None


def test_a_score_that_is_no_number_is_not_saved(model, detection: Detection, tmp_path: Path) -> None:
    detection.held_out[0] = torch.nan
    with pytest.raises(ArtifactError, match="detection/held_out"):
        save(tmp_path / "n", Fitted(model, detection=detection))


def changes() -> dict[str, Callable]:
    def without(name: str) -> Callable:
        return lambda header, tensors: tensors.pop(f"detection/{name}")

    def put(name: str, tensor: torch.Tensor) -> Callable:
        return lambda header, tensors: tensors.update({f"detection/{name}": tensor})

    def fact(name: str, value: object) -> Callable:
        return lambda header, tensors: header["detection"]["facts"].update({name: value})

    return {
        "no held-out scores": without("held_out"),
        "no fingerprints": without("known"),
        "of another type": put("training", torch.zeros(2)),
        "of another shape": put("held_out", number(1, 2).view(1, 2)),
        "of another length": put("held_out_seen", number(1, 2)),
        "something else": put("more", number(1)),
        "fingerprints of floats": put("known", number(1)),
        "no score": lambda header, tensors: header["detection"].pop("score"),
        "a score that is a list": lambda header, tensors: header["detection"].update(score=[1]),
        "facts that are none": lambda header, tensors: header["detection"].update(facts=3),
        "a threshold of words": fact("threshold", "high"),
        "a scale of one number": fact("scale", [1.0]),
        "nothing": lambda header, tensors: header.update(detection=None),
    }


@pytest.mark.parametrize("what", changes())
def test_what_is_damaged_is_refused(kept_file: Path, rewritten: Callable, tmp_path: Path, what: str) -> None:
    def change(header: dict, tensors: dict) -> None:
        changes()[what](header, tensors)
        from lambent.disk import tensorfile

        header["sha256"] = tensorfile.digest(tensors)

    with pytest.raises(ArtifactError, match="detector is damaged"):
        load(rewritten(kept_file, tmp_path / "damaged", change))


def test_numbers_that_are_not_finite_are_refused(kept_file: Path, rewritten: Callable, tmp_path: Path) -> None:
    def change(header: dict, tensors: dict) -> None:
        tensors["detection/held_out"][1] = torch.inf

    with pytest.raises(ArtifactError, match="detection/held_out holds numbers that are not finite"):
        load(rewritten(kept_file, tmp_path / "damaged", change))


def test_tensors_of_a_detector_that_the_header_does_not_know_are_left_over(
    kept_file: Path, rewritten: Callable, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="detection/"):
        load(rewritten(kept_file, tmp_path / "damaged", lambda header, tensors: header.pop("detection")))
