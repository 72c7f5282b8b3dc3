"""Models of weights made of whole numbers, and the hashes of what their exact forms give: run by itself, with a number of
threads, it prints them."""

import hashlib
import json
import sys

import numpy as np
import torch
from torch import Tensor

from lambent.codec.exact.compiling import exact
from lambent.codec.exact.dyadic import rounded, whole
from lambent.codec.exact.probing import probe
from lambent.distributions.shaped import vector
from lambent.model import LatentModel
from lambent.model.trace import Node, mean
from lambent.part import Shape, Spec

ROWS = 256
RESNET = {"type": "ResNet", "channels": [8, 12, 16], "width": 32}
MODELS: dict[str, tuple[Spec, Shape]] = {
    "mlp": ({"network": {"type": "Mlp", "width": 40}, "likelihood": "Bernoulli"}, (1, 14, 14)),
    "mlp with a linear map": (
        {"network": {"type": "Mlp", "width": 40, "linear": True, "activation": "gelu"}, "likelihood": "Bernoulli"},
        (23,),
    ),
    "ladder": (
        {
            "network": {"type": "Mlp", "width": 40, "activation": "tanh"},
            "latent": {"type": "Ladder", "sizes": [3, 5, 7], "width": 24},
            "likelihood": {"type": "Categorical", "levels": 5},
        },
        (19,),
    ),
    "conv": (
        {
            "network": {"type": "Conv", "channels": [6, 8], "width": 24},
            "latent": {"type": "Flat", "posterior": {"type": "Constant", "scale": 0.3}},
            "likelihood": "DiscretizedLogistics",
        },
        (3, 17, 13),
    ),
    "resnet": (
        {
            "network": RESNET | {"squeeze": 0.5, "stem": 2, "activation": "leaky_relu"},
            "latent": {"type": "Flat", "prior": "Vamp"},
            "likelihood": {"type": "DiscretizedLogistics", "components": 3},
        },
        (3, 25, 18),
    ),
    "resnet of one column": (
        {"network": RESNET | {"activation": "relu"}, "likelihood": {"type": "Ordinal", "levels": 7}},
        (2, 16, 1),
    ),
    "grid of sizes": (
        {
            "network": RESNET,
            "latent": {"type": "Grid", "layers": "1x1 3x2 /4x1 /2x2", "width": [24, 16], "channels": [4]},
            "likelihood": "DiscretizedLogistics",
        },
        (1, 28, 28),
    ),
    "grid of shares": (
        {
            "network": RESNET | {"activation": "gelu"},
            "latent": {"type": "Grid", "layers": "/32x1 /8x2 /4x1 /2x1", "width": [24, 16], "channels": [4]},
            "likelihood": {"type": "DiscretizedLogistics", "components": 2},
        },
        (3, 19, 23),
    ),
}


def rows_of(model: LatentModel, count: int, seed: int = 1) -> Tensor:
    """Rows of a model's likelihood, from whole numbers."""
    levels = getattr(model.likelihood, "levels", 2)
    values = np.random.default_rng(seed).integers(0, levels, (count, *model.event_shape))
    return torch.from_numpy(values.astype(np.uint8)) if levels > 2 else torch.from_numpy(values).float()


def model_of(name: str) -> LatentModel:
    """The model, its weights of about unit gain, the same on every machine."""
    spec, event = MODELS[name]
    model = LatentModel.from_spec({"type": "LatentModel"} | spec)
    model.setup(event, torch.zeros(60, *event))
    rng = np.random.default_rng(7)
    with torch.no_grad():
        for parameter in model.parameters():
            inputs = parameter[0].numel() if parameter.dim() else 1
            values = rng.integers(-(2**20), 2**20, tuple(parameter.shape)) / 2.0**20
            parameter.copy_(torch.from_numpy(np.asarray(values / np.sqrt(inputs))))
    return model.eval().requires_grad_(False)


def on_the_grid(node: Node, level: int) -> Tensor:
    """z at the centre of q, in multiples of 2^-8."""
    return rounded(mean(node, level), 8)


@torch.no_grad()
def passed(model: LatentModel, x: Tensor, batch: int) -> list[np.ndarray]:
    """What an exact model makes of rows: of every level q's and p's parameters, then the raw output; a batch at a time."""
    found: list[list[np.ndarray]] = []
    for piece in x.split(batch):
        raw, nodes = model.passed(piece, on_the_grid)
        flats = [vector(node.q) for node in nodes] + [vector(node.p) for node in nodes[1:]]
        numbers = [whole(value) for flat in flats for value in (flat.location, flat.log_scale)]
        found.append([each[0] if each.ndim == 3 else each for each in numbers] + [whole(raw)])
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def told(model: LatentModel) -> str:
    """A hash of the self-test and of what becomes of 256 rows, of which some, one by one, must become the same."""
    x = rows_of(model, ROWS)
    whole_batch = passed(model, x, ROWS)
    for one, many in zip(passed(model, x[:3], 1), whole_batch, strict=True):
        assert (one == many[:3]).all()
    digest = hashlib.sha256(probe(model))
    for numbers in whole_batch:
        digest.update(numbers.astype("<i8").tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    sys.stdout.write(json.dumps({name: told(exact(model_of(name))) for name in sys.argv[2:] or MODELS}) + "\n")
    sys.stderr.write(torch.backends.cpu.get_cpu_capability() + "\n")
