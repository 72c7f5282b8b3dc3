"""Drawn pictures judged: a copycat is seen through, blur and missing kinds are told, spaces are kept and named."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lambent
from lambent.data import Image
from lambent.data.kinds.modality import Encoded
from lambent.errors import ArtifactError, DataError, MachineError, UsageError
from lambent.metrics.samples import space
from lambent.metrics.samples.learning import learned
from lambent.metrics.samples.space import Learned, Space
from lambent.report import Findings, render
from lambent.tasks.samples.judge import independent
from lambent.tasks.samples.judgement import MEASURES, SampleJudgement
from lambent.tasks.samples.sections import sample_sections, written

Bytes = NDArray[np.uint8]


class Pooled(Space):
    """Features that are known: means over quarters of a picture."""

    name = "quarters 000000000000"

    def __call__(self, pictures: Bytes) -> NDArray[np.float64]:
        x = pictures.astype(np.float64).reshape(len(pictures), 2, pictures.shape[1] // 2, 2, pictures.shape[2] // 2, -1)
        found: NDArray[np.float64] = x.mean((2, 4)).reshape(len(x), -1)
        return found / 40


def bars(count: int, seed: int, kinds: int = 2) -> Bytes:
    """Grey pictures of 12 × 12 with a bright bar, upright or lying, at a place of its own, and noise."""
    random = np.random.default_rng(seed)
    x = random.normal(90, 12, (count, 12, 12))
    for i in range(count):
        place = random.integers(1, 10)
        if random.integers(0, kinds):
            x[i, place : place + 2] += 110
        else:
            x[i, :, place : place + 2] += 110
    return np.clip(x, 0, 255).astype(np.uint8)


def blurred(pictures: Bytes) -> Bytes:
    x = pictures.astype(float)
    for axis in (1, 2):
        x = (np.roll(x, 1, axis) + 2 * x + np.roll(x, -1, axis)) / 4
    return x.astype(np.uint8)


def values(found: SampleJudgement, measure: str) -> dict[str, float]:
    return {name: own[measure].value for name, own in found.sets.items() if measure in own}


@pytest.fixture(scope="module")
def honest() -> SampleJudgement:
    real, unseen = bars(400, 0), bars(200, 1)
    return lambent.judge_samples(real, bars(300, 2), unseen, blurred(real)[:300], features=Pooled())


def test_what_is_drawn_from_the_truth_is_as_good_as_the_holdout(honest: SampleJudgement) -> None:
    assert list(honest.sets) == ["generated", "reconstructions", "holdout", "copycat", "independent"]
    assert all(set(own) == set(MEASURES) for own in honest.sets.values())
    for measure in ("kernel", "frechet_limit", "precision", "density", "nearer_training", "sharpness"):
        own, usual = honest.sets["generated"][measure], honest.sets["holdout"][measure]
        apart = own - usual
        assert abs(apart.value) < 4 * (apart.error or 0), measure
    assert [one.level for one in honest.remarks] == ["good"]
    assert honest.rows == {
        "real": 400, "generated": 300, "reconstructions": 300, "holdout": 200, "copycat": 300, "independent": 300,
    }  # fmt: skip


def test_the_rows_beside_are_what_they_should_be(honest: SampleJudgement) -> None:
    frechet, gap, sharp = (values(honest, name) for name in ("frechet_limit", "gap", "sharpness"))
    assert frechet["copycat"] < 0.02 < 0.3 < frechet["independent"]
    assert gap["copycat"] > 0.5 > abs(gap["generated"])
    assert values(honest, "nearer_training")["copycat"] > 0.7
    # (¼, ½, ¼) along both axes leaves less than a third of what is fast
    assert sharp["reconstructions"] < 0.35
    assert sharp["copycat"] == pytest.approx(1, abs=0.05)
    assert sharp["independent"] > 1.2


def test_a_memory_is_told_from_a_model() -> None:
    real, unseen = bars(300, 0), bars(300, 1)
    found = lambent.judge_samples(real, real[:150], unseen, features=Pooled())
    titles = [one.title for one in found.remarks if one.level == "problem"]
    assert titles == ["Samples lean to the training pictures", "The model remembers what it was trained on"]


def test_blur_missing_kinds_and_a_bad_prior_are_told() -> None:
    real, unseen = bars(400, 0), bars(400, 1)
    found = lambent.judge_samples(real, blurred(bars(300, 2, kinds=1)), unseen, bars(300, 3), features=Pooled())
    titles = {one.title for one in found.remarks}
    wanted = {"Samples are blurred", "Kinds of pictures are missing", "The prior draws codes that the data do not have"}
    assert wanted <= titles


def test_independent_pixels_keep_each_pixels_values() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 3)).astype(np.uint8)
    found = independent(pictures, 2000, np.random.default_rng(1))
    for place in ((0, 0, 0), (2, 3, 2)):
        assert set(found[:, *place]) == set(pictures[:, *place])
    pair = np.corrcoef(found[:, 0, 0, 0], found[:, 0, 0, 1])[0, 1]
    assert abs(pair) < 0.1


def test_the_page_shows_table_pictures_and_spectra(honest: SampleJudgement) -> None:
    page = render(Findings("judged"), sample_sections(honest), alone=True)
    for words in ("Copycat", "Independent", "Likelihood gap", "quarters 000000000000", "Samples and reconstructions"):
        assert words in page
    # all curves lie in the frame of two decades below and one above
    assert page.count('class="line validation"') == 3
    plain = honest.plain()
    assert plain["sets"]["copycat"]["frechet"]["value"] == honest.sets["copycat"]["frechet"].value
    assert plain["measures"]["gap"]["better"] == "nought"
    assert (written(12.3456, 0.0123), written(-0.345, 2.0), written(-0.01, 2.0), written(3.14159, None)) == (
        "12.346",
        "−0.3",
        "0.0",
        "3.14",
    )


def test_a_kept_space_is_the_same_space(tmp_path: Path) -> None:
    pictures = bars(60, 0)
    labels = np.arange(60) % 3
    for own in (None, labels):
        made = learned(pictures, own, steps=5)
        again = learned(pictures, own, steps=5)
        assert made.name == again.name
        path = made.save(tmp_path / "space.safetensors")
        read = space.opened(path)
        assert isinstance(read, Learned)
        assert (read.name, read.facts) == (made.name, made.facts)
        assert np.array_equal(read(pictures), made(pictures))
        assert made(pictures).mean(0) == pytest.approx(np.zeros(64), abs=1e-4)
        assert made(pictures).std(0, ddof=1) == pytest.approx(np.ones(64), abs=1e-3)
    assert learned(pictures, labels, seed=1, steps=5).name != made.name
    with pytest.raises(UsageError, match=r"feature space 'classes .*' is of pictures"):
        made(bars(20, 0)[:, :8])


def test_a_classifier_learns_its_classes() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(240) % 2
    pictures = random.integers(0, 60, (240, 8, 8)) + 150 * (labels[:, None, None] == 1) * (np.arange(8) < 4)
    made = learned(pictures.astype(np.uint8), labels, steps=30)
    assert made.facts["task"] == "classes"
    assert made.facts["accuracy"] == 1.0
    features = made(pictures.astype(np.uint8))
    centres = [features[labels == kind].mean(0) for kind in (0, 1)]
    assert np.linalg.norm(centres[0] - centres[1]) > 4 * features[labels == 0].std(0).mean()


def test_files_that_hold_no_space_are_refused(tmp_path: Path) -> None:
    made = learned(bars(20, 0), steps=1)
    path = made.save(tmp_path / "space.safetensors")
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(ArtifactError, match="damaged"):
        space.opened(tmp_path / "damaged.safetensors")
    model = lambent.LatentModel(lambent.Flat(2), lambent.Gaussian(), lambent.Mlp(width=4)).setup((4,))
    lambent.save(tmp_path / "model.safetensors", model)
    with pytest.raises(ArtifactError, match="holds no feature space"):
        space.opened(tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"is a \.safetensors file"):
        space.opened(tmp_path / "space.pt")
    with pytest.raises(ArtifactError, match="no model file"):
        space.opened(tmp_path / "none.safetensors")


class Session:
    """What onnxruntime gives, as far as it is asked: a network of fixed batch, three channels and size."""

    def __init__(self, content: bytes, providers: list[str]) -> None:
        if content != b"network":
            raise ValueError("no such thing")
        self.seen: list[tuple[int, ...]] = []

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x", shape=[4, 3, 6, 6])]

    def run(self, outputs: None, given: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        x = given["x"]
        assert x.shape == (4, 3, 6, 6)
        assert x.dtype == np.float32
        return [np.stack([x.mean((1, 2, 3)), x[:, 2].max((1, 2))], 1)]


def test_a_network_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inception.onnx"
    path.write_bytes(b"network")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MachineError, match=r"pip install 'lambent\[onnx\]'"):
        space.opened(path)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session))
    found = space.opened(path)
    assert found.name == f"inception {hashlib.sha256(b'network').hexdigest()[:12]}"
    pictures = np.full((6, 12, 12), 51, np.uint8)
    pictures[5] = 255
    features = found(pictures)
    assert features == pytest.approx(np.array([[0.2, 0.2]] * 5 + [[1.0, 1.0]]), abs=1e-6)
    (tmp_path / "other.onnx").write_bytes(b"noise")
    with pytest.raises(ArtifactError, match="no network that onnxruntime can read: no such thing"):
        space.opened(tmp_path / "other.onnx")


def test_any_form_of_pictures_and_refusals() -> None:
    real = bars(80, 0)
    rows = Image().fit(real).read(real)
    assert isinstance(rows, Encoded)
    floats = bars(60, 1) / np.float32(255)
    found = lambent.judge_samples(rows, torch.from_numpy(floats), features=Pooled())
    same = lambent.judge_samples(real, bars(60, 1), features=Pooled())
    assert found.sets == same.sets
    assert "gap" not in found.sets["generated"]
    with pytest.raises(DataError, match="generated: 19 pictures are too few"):
        lambent.judge_samples(real, bars(19, 1), features=Pooled())
    with pytest.raises(DataError, match=r"generated: pictures of \(12, 8\)"):
        lambent.judge_samples(real, bars(30, 1)[:, :, :8], features=Pooled())
    other = lambent.judge_samples(real, bars(60, 1), features=learned(real, steps=1))
    with pytest.raises(UsageError, match="different feature spaces"):
        _ = other.sets["generated"]["kernel"] < same.sets["generated"]["kernel"]
    # of the pictures themselves, sharpness is the same whatever the features
    assert (other.sets["generated"]["sharpness"] - same.sets["generated"]["sharpness"]).value == 0
