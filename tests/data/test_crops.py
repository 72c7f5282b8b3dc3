"""Crops of photographs: cut at the right places, drawn anew each epoch, from a file as from memory, resumed to the bit."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pil

import lambent
from lambent.data import Image, encode_like, load
from lambent.data.kinds import crops
from lambent.data.stored.from_disk import FromDisk
from lambent.data.stored.opening import on_disk, on_disk_parted
from lambent.data.stored.uncut import crops_of
from lambent.errors import DataError, InterruptedRun, UsageError
from lambent.model import LatentModel
from lambent.model.networks import Mlp
from lambent.training.callbacks import Quiet

CPU = torch.device("cpu")
SIZES = [(20, 31), (9, 17), (40, 8), (8, 8), (25, 12)]


def numbered(number: int, size: tuple[int, int]) -> np.ndarray:
    """A photograph whose pixels tell where they lie: red the row, green the column, blue which photograph."""
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, np.full(size, number)], -1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number, size in enumerate(SIZES):
        Pil.fromarray(numbered(number, size)).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def test_rows_are_what_lies_about_the_centre(folder: Path) -> None:
    encoded = load(folder, modality=Image(crop=8))
    assert encoded.x.shape == (5, 3, 8, 8)
    for number, (height, width) in enumerate(SIZES):
        top, left = (height - 8) // 2, (width - 8) // 2
        expected = numbered(number, (height, width))[top : top + 8, left : left + 8]
        assert np.array_equal(encoded.x[number].permute(1, 2, 0).numpy(), expected)


def test_training_sees_a_window_of_each_photograph_drawn_anew(folder: Path, tmp_path: Path) -> None:
    data = on_disk(folder, tmp_path / "cache", modality=Image(crop=8))
    batches = FromDisk(data, 2, 3, CPU)
    places: list[tuple[int, int]] = []
    for epoch in range(300):
        for x, _, rows in batches.epoch(epoch):
            assert rows is not None
            for picture, row in zip(x.numpy(), rows.tolist(), strict=True):
                top, left = int(picture[0, 0, 0]), int(picture[1, 0, 0])
                whole = numbered(row, SIZES[row])
                assert np.array_equal(picture.transpose(1, 2, 0), whole[top : top + 8, left : left + 8])
                places += [(top, left)] if row == 1 else []
    counts = Counter(places)
    assert len(places) == 300
    assert set(counts) == {(top, left) for top in (0, 1) for left in range(10)}  # of 9 × 17 all 20, and no others
    expected = 300 / 20
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 43.8  # χ² of 19 degrees, one in a thousand


def test_validation_rows_are_cut_alike_in_every_epoch(folder: Path, tmp_path: Path) -> None:
    data = on_disk(folder, tmp_path / "cache", modality=Image(crop=8))
    fixed = FromDisk(data, 5, 0, CPU, fixed=True)
    for epoch in (0, 7):
        x, _, rows = next(fixed.epoch(epoch))
        assert rows is not None
        assert torch.equal(x, load(folder, modality=Image(crop=8)).x[rows])


def test_a_part_is_learned_from_alone_and_cut_alike(folder: Path, tmp_path: Path) -> None:
    train, held = on_disk_parted(folder, tmp_path / "cache", 0.4, modality=Image(crop=8))
    assert (len(train), len(held)) == (3, 2)
    whole = load(folder, modality=Image(crop=8)).x
    together = torch.cat([train[:], held[:]])
    assert sorted(map(bytes, together.numpy())) == sorted(map(bytes, whole.numpy()))
    assert len(list((tmp_path / "cache").glob("*.levels"))) == 1  # decoded once


def test_arrays_are_cut_too_and_deep_ones_keep_their_levels() -> None:
    deep = np.arange(2 * 12 * 10, dtype=np.uint16).reshape(2, 12, 10) * 100
    encoded = load(deep, modality=Image(crop=6))
    assert encoded.modality.white == 65535
    assert np.array_equal(encoded.x[:, 0].numpy(), deep[:, 3:9, 2:8])
    assert np.array_equal(encode_like(encoded.modality, deep[:1, :9]).x[:, 0].numpy(), deep[:1, 1:7, 2:8])


class Stop(Quiet):
    def on_step(self, run: Any) -> None:
        if run.step == 5:
            raise InterruptedRun("enough")


@pytest.mark.parametrize("where", ["disk", "memory", "array"])
def test_resumed_to_the_bit(folder: Path, tmp_path: Path, where: str) -> None:
    def data() -> Any:
        if where == "disk":
            return on_disk(folder, tmp_path / "cache", modality=Image(crop=8))
        source = folder if where == "memory" else np.random.default_rng(0).integers(0, 256, (5, 20, 12, 3), np.uint8)
        return load(source, modality=Image(crop=8))

    def model() -> LatentModel:
        return LatentModel(lambent.Flat(2), lambent.Gaussian(), Mlp(8, 1))

    how: dict[str, Any] = {"epochs": 3, "batch": 2, "average": 0, "patience": 0}
    whole, resumed = model(), model()
    lambent.fit(whole, "Elbo", data(), **how)
    kept = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InterruptedRun):
        lambent.fit(model(), "Elbo", data(), checkpoint=kept, callbacks=[Stop()], **how)
    lambent.fit(resumed, "Elbo", data(), checkpoint=kept, resume=True, **how)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    fixed = model()
    lambent.fit(fixed, "Elbo", load(folder, modality=Image(crop=8)).x, **how)
    assert any(not torch.equal(fixed.state_dict()[name], value) for name, value in whole.state_dict().items())


def test_labels_go_with_their_crops(tmp_path: Path) -> None:
    """The model is told the label of each crop: of photographs that are all dark or all bright, nothing else is to be known."""
    for kind, level in (("dark", 40), ("bright", 200)):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number, size in enumerate(SIZES):
            Pil.fromarray(np.full(size, level, np.uint8)).save(tmp_path / "photos" / kind / f"{number}.png")
    whole = load(tmp_path / "photos", modality=Image(crop=8, condition=("label",)))
    store = crops_of(whole.modality, whole.uncut, whole.source)
    assert torch.equal(store[:], whole.x)
    context = whole.conditioned()
    assert context is not None
    batches = FromDisk(store, 3, 0, CPU, context)
    for x, given, _ in batches.epoch(0):
        assert given is not None
        bright = given @ whole.modality.conditions.given({"label": "bright"}, 1)[0]
        assert torch.equal(x.amax((1, 2, 3)) == 200, bright > 0.5)


def test_the_estimator_takes_a_folder(folder: Path) -> None:
    vae = lambent.VAE(modality=Image(crop=8), network=Mlp(8, 1), latent=2, epochs=2, batch=2, validation=0.0)
    again = vae.fit(folder).reconstruct(folder)
    assert again.shape == (5, 8, 8, 3)


def test_too_small_a_photograph_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3\.png: is 8×8 .* too small for crops of 9×9"):
        load(folder, modality=Image(crop=9))
    with pytest.raises(DataError, match=r"3\.png: is 8×8"):
        on_disk(folder, tmp_path / "cache", modality=Image(crop=9))
    with pytest.raises(UsageError, match="leave one of them out"):
        Image(crop=8, size=(8, 8))


def test_places_hang_on_no_other_row() -> None:
    numbers = np.array([4, 7, 9])
    sizes = [(100, 90)] * 3
    every = crops.places(sizes, 10, numbers, 5)
    assert crops.places(sizes[1:2], 10, numbers[1:2], 5) == every[1:2]
    assert len(set(every)) == 3
