"""What is drawn from a model to be judged: as it is shown, under conditions as frequent as in training, two levels as two."""

import numpy as np
import pytest

from lambent import VAE, Bernoulli, Fitted, Flat, Image, LatentModel, Mlp, Table
from lambent.data.kinds.modality import Encoded
from lambent.errors import UsageError
from lambent.tasks.samples import drawing

GREY = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)


def untrained(modality: Image) -> tuple[Fitted, Encoded]:
    rows = modality.fit(GREY).read(GREY)
    model = LatentModel(Flat(2), Bernoulli(), Mlp(width=8)).setup(modality.event, rows.x.float() / 255)
    return Fitted(model.eval(), modality), rows


def test_two_levels_are_drawn_and_grey_ones_are_shown() -> None:
    fitted, rows = untrained(Image(binarize="threshold"))
    for found in (drawing.samples(fitted, 30), drawing.reconstructions(fitted, rows, 30)):
        assert found.shape == (30, 8, 8)
        assert set(np.unique(found)) == {0, 255}
    fitted, rows = untrained(Image(binarize="dynamic"))
    for found in (drawing.samples(fitted, 30), drawing.reconstructions(fitted, rows, 60)):
        assert len(np.unique(found)) > 10  # the grey level, which P(1) stands for
    assert len(found) == 40  # there are no more
    assert np.array_equal(drawing.samples(fitted, 30, seed=3), drawing.samples(fitted, 30, seed=3))
    assert not np.array_equal(drawing.samples(fitted, 30, seed=3), drawing.samples(fitted, 30, seed=4))


def test_conditions_are_as_frequent_as_in_training() -> None:
    labels = np.array(["dark", "dark", "dark", "light"])[np.arange(160) % 4]
    pictures = (np.where(labels == "light", 210, 40)[:, None, None] + GREY[np.arange(160) % 40] // 16).astype(np.uint8)
    network = {"type": "Mlp", "width": 32, "depth": 1}
    vae = VAE(2, condition="label", network=network, batch=32, epochs=40, learning_rate=5e-3, precision="fp32")
    found = drawing.samples(Fitted.of(vae.fit(pictures, labels)), 1000)
    assert (found.mean((1, 2)) > 125).mean() == pytest.approx(0.25, abs=0.05)


def test_a_table_has_no_pictures() -> None:
    table = Table().fit(np.random.default_rng(0).normal(size=(30, 3)))
    model = LatentModel(Flat(2), network=Mlp(width=4)).setup((3,))
    with pytest.raises(UsageError, match="trained on Table; these measures are of pictures"):
        drawing.samples(Fitted(model, table), 10)
