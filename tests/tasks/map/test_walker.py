"""The decoder that a page carries makes the pictures that lambent decodes: in JavaScript, beside the model itself."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import lambent
from lambent import Conv, Fitted, Flat, Grid, Image, LatentModel, Mlp, ResNet
from lambent.data import load
from lambent.data.conditions import Conditions
from lambent.errors import UsageError
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Network
from lambent.tasks.explore import decode
from lambent.tasks.map import walker as walkers
from lambent.tasks.map.mapping import map_codes
from lambent.tasks.map.program import LAYERS, UnknownLayerError, program_of
from lambent.tasks.map.walker import Walker, described, walker_of

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed, so no JavaScript can be run here")
RUN = """
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const weights = new Float32Array(Uint8Array.from(atob(given.weights), (c) => c.charCodeAt(0)).buffer);
const made = given.raw ? decoder(given.operations, weights) : picturing(given.walker, weights);
console.log(JSON.stringify(given.codes.map((code) => Array.from(made(code)))));
"""
Bytes = NDArray[np.uint8]


def in_javascript(given: dict[str, Any], weights: NDArray[np.float32], codes: torch.Tensor) -> NDArray[np.float64]:
    """What the page's own script makes of codes, one row each."""
    script = files("lambent.report").joinpath("map/decoder.js").read_text("utf-8") + RUN
    assert NODE is not None
    text = json.dumps(
        given | {"weights": base64.b64encode(weights.astype("<f4").tobytes()).decode(), "codes": codes.tolist()}
    )
    done = subprocess.run([NODE, "-e", script], input=text, capture_output=True, text=True, check=True, timeout=60)
    return np.array(json.loads(done.stdout))


def pictures(shape: tuple[int, ...], rows: int = 12, top: int = 255) -> Bytes:
    """Noise of the full range of levels."""
    made = np.random.default_rng(0).integers(0, top + 1, (rows, *shape), dtype=np.uint8)
    made.flat[:2] = (0, top)
    return made


def untrained(
    likelihood: Any, network: Network, raw: Bytes, latent: Any = None, loud: float = 0.3, **choices: Any
) -> Fitted:
    """A model of pictures as it was set up, with noise on all its weights, so that its pictures differ by code."""
    rows = load(raw, modality=Image(**choices))
    part = Likelihood.from_spec(likelihood)
    model = LatentModel(latent or Flat(5), part, network).setup(rows.modality.event, rows.x)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in model.decoder.parameters():
            weights += (
                loud
                * torch.randn(weights.shape, generator=generator)
                / max(weights.numel() / weights.shape[0] if weights.dim() else 1.0, 1.0) ** 0.5
            )
    return Fitted(model.eval(), rows.modality)


def disagreement(fitted: Fitted, walker: Walker, codes: torch.Tensor) -> int:
    """The largest difference of a grey level between the page's pictures and Lambent's own."""
    theirs = in_javascript({"walker": described(walker)}, walker.program.weights, codes)
    own = np.asarray(fitted.pictures(decode(fitted, [codes]))).reshape(len(codes), -1)
    assert own.std(0).max() > 2, "the pictures do not differ by code, so the test tells nothing"
    return int(np.abs(theirs - own).max())


GREY, COLOUR = (10, 9), (8, 12, 3)
CASES = {
    "Mlp, logistics": ("DiscretizedLogistics", Mlp(16, 2), GREY),
    "Mlp linear, Gaussian": ({"type": "Gaussian", "scale": "predicted"}, Mlp(16, 1, linear=True), GREY),
    "Mlp gelu, continuous Bernoulli": ("ContinuousBernoulli", Mlp(16, 2, "gelu"), GREY),
    "Mlp tanh, Laplace": ("Laplace", Mlp(16, 2, "tanh"), COLOUR),
    "Conv of an odd size, mixture of logistics in colour": (
        {"type": "DiscretizedLogistics", "components": 3},
        Conv((4, 6), 16),
        COLOUR,
    ),
    "Conv leaky, Gaussian": ("Gaussian", Conv((4, 6), 16, "leaky_relu"), (11, 7, 3)),
    "ResNet": ("DiscretizedLogistics", ResNet((4, 6), 1, 16), GREY),
    "ResNet, squeezed, with a stem, StudentT": ("StudentT", ResNet((4, 6), 1, 16, "relu", 0.5, 2), COLOUR),
}


@needs_node
@pytest.mark.parametrize("name", CASES)
def test_the_page_makes_the_pictures_that_lambent_decodes_to_one_grey_level(name: str) -> None:
    likelihood, network, shape = CASES[name]
    fitted = untrained(likelihood, network, pictures(shape))
    codes = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    walker = walker_of(fitted, codes, None)
    assert disagreement(fitted, walker, codes) <= 1


@needs_node
def test_binary_pictures_are_shown_by_their_chances() -> None:
    raw = (pictures((6, 6)) > 127).astype(np.uint8) * 255
    fitted = untrained("Bernoulli", Mlp(16, 2), raw, binarize="threshold")
    codes = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    walker = walker_of(fitted, codes, None)
    assert walker.whitest == 1
    assert disagreement(fitted, walker, codes) <= 1


@needs_node
def test_a_condition_stands_behind_the_units_as_a_one_among_noughts() -> None:
    raw = pictures(GREY)
    rows = load(raw, modality=Image())
    sides = np.array(["left", "right", "middle"] * 4, object)
    rows.modality.conditions = Conditions.fit({"side": sides})
    rows = replace(rows, beside={"side": sides}, context=rows.modality.conditions.encode({"side": sides}))
    vae = lambent.VAE(
        Flat(5), network=Mlp(16, 1), likelihood="Gaussian", epochs=1, precision="fp32", threads=1, device="cpu"
    )
    fitted = Fitted.of(vae.fit(rows))
    made = map_codes(fitted, rows, samples=1)
    walker = made.walker
    assert walker is not None
    assert walker.given == {"side": {"levels": ["left", "middle", "right"], "place": 0}}
    assert made.codes is not None
    np.testing.assert_array_equal(made.codes[:3, 5:], [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    theirs = in_javascript({"walker": described(walker)}, walker.program.weights, torch.from_numpy(walker.checks))
    assert np.abs(theirs - walker.checked.reshape(len(theirs), -1)).max() <= 1


@needs_node
def test_layers_that_only_other_peoples_networks_have_are_computed_as_torch_does() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Linear(4, 48),
        nn.Unflatten(1, (12, 2, 2)),
        nn.GroupNorm(3, 12),
        nn.PixelShuffle(2),
        nn.BatchNorm2d(3),
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.ConvTranspose2d(3, 4, (3, 5), (2, 1), (1, 0), bias=False),
        nn.Conv2d(4, 2, (2, 3), (1, 2), (0, 1)),
        nn.Flatten(),
        nn.Sequential(nn.LayerNorm(2 * 14 * 6), nn.Identity(), nn.Sigmoid()),
    )
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.5)
    norm = layers[4]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.copy_(torch.tensor([0.3, -1.0, 2.0]))
    layers.eval()
    codes = torch.randn(3, 4)
    program = program_of(layers, (4,))
    made = in_javascript({"raw": True, "operations": program.operations}, program.weights, codes)
    np.testing.assert_allclose(made, layers(codes).detach().numpy(), atol=2e-6)


def test_an_unknown_layer_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UnknownLayerError, match=r"a layer Softmax, which a page cannot compute.*Conv2d"):
        program_of(nn.Sequential(nn.Linear(2, 3), nn.Softmax(1)), (2,))


def test_a_convolution_of_another_kind_is_refused() -> None:
    with pytest.raises(UnknownLayerError, match="Conv2d of a kind"):
        program_of(nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 4, 1, groups=2)), (4,))


def test_products_are_counted() -> None:
    layers = nn.Sequential(nn.Linear(2, 18), nn.Unflatten(1, (2, 3, 3)), nn.ConvTranspose2d(2, 5, 4, 2, 1))
    assert program_of(layers, (2,)).products == 2 * 18 + 9 * 2 * 5 * 16


def test_all_layers_of_the_default_networks_are_known() -> None:
    """Whatever an Mlp, Conv or ResNet decoder is made of."""
    for network in (Mlp(), Mlp(linear=True), Conv(), ResNet(), ResNet(stem=4)):
        assert {type(layer) for layer in network.decoder((3,), (1, 32, 32))} <= set(LAYERS)


def test_a_hierarchy_has_no_walker() -> None:
    grid = Grid("1x1 /4x1", width=(8, 8))
    fitted = untrained("DiscretizedLogistics", ResNet((4, 6, 8), 1, 16), pictures((8, 8)), grid)
    with pytest.raises(UsageError, match="between the codes of its Grid latent and its decoder other layers stand"):
        walker_of(fitted, torch.zeros(2, 8), None)


def test_a_large_decoder_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = untrained("Gaussian", Mlp(16, 2), pictures(GREY))
    with monkeypatch.context() as patch:
        patch.setattr(walkers, "MOST_WEIGHTS", 100)
        with pytest.raises(UsageError, match=r"has 1,898 weights, and a page carries 100"):
            walker_of(fitted, torch.zeros(2, 5), None)
    monkeypatch.setattr(walkers, "MOST_PRODUCTS", 100)
    with pytest.raises(UsageError, match="multiplications a picture"):
        walker_of(fitted, torch.zeros(2, 5), None)


def test_rows_that_are_no_pictures_have_no_walker(tmp_path: Path) -> None:
    rows = load(np.random.default_rng(0).normal(size=(20, 4)))
    model = LatentModel(Flat(2), Likelihood.from_spec("Gaussian"), Mlp(8, 1)).setup(rows.modality.event, rows.x)
    with pytest.raises(UsageError, match="no pictures"):
        walker_of(Fitted(model.eval(), rows.modality), torch.zeros(2, 2), None)
