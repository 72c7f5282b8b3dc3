"""Feature spaces: a small network from pictures to what distances between them are taken by, and the file that keeps one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lambent.disk import modelfile, tensorfile
from lambent.errors import ArtifactError
from lambent.part import Shape

FEATURES = 64
CHANNELS = (16, 32, 64, 128)  # the last of them, as many as there are halvings
SIDE = 3  # pixels of the coarsest map, at least
POOL = 2  # of its places that are kept apart, down and across: where a thing is, is part of what is seen
CHUNK = 256
MOST_SIDE = 16384
MOST_CHANNELS = 256
KEPT = "feature space"  # what the header of its file calls the facts


class Describer(nn.Module):
    """A small convolutional network from pictures [n, C, H, W] in [0, 1] to features [n, 64], for data of one shape."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        sides = [(height, width)]
        while len(sides) == 1 or (len(sides) <= len(CHANNELS) and min(sides[-1]) > 2 * (SIDE - 1)):
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        layers: list[nn.Module] = []
        before = channels
        for after in CHANNELS[-(len(sides) - 1) :]:
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
            before = after
        self.layers = nn.Sequential(*layers)
        places = (min(POOL, sides[-1][0]), min(POOL, sides[-1][1]))
        self.pool = nn.AdaptiveAvgPool2d(places)
        self.last = nn.Linear(before * places[0] * places[1], FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """[n, C, H, W] → [n, 64]."""
        found: Tensor = self.last(self.pool(self.layers(2 * x - 1)).flatten(1))
        return found

    def maps(self, x: Tensor) -> list[Tensor]:
        """What its layers make of pictures, the finest first, [n, channels, height, width]; last the features [n, 64]."""
        found, x = [], 2 * x - 1
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.SiLU):
                found.append(x)
        return [*found, self.last(self.pool(x).flatten(1))]


class FeatureSpace(nn.Module):
    """The space of a network's 64 features, each standardized over the pictures that it was trained on.

    All its numbers lie in buffers once `frozen`: no optimizer sees them. facts: what it was trained by, plain JSON: task
    ("classes" or "views"), event [C, H, W], rows, the SHA-256 of these, and how well it does on rows held out; empty where it
    was not trained.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, event: Shape, network: Describer | None = None) -> None:
        super().__init__()
        channels, height, width = event
        self.network = network or Describer(channels, height, width)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.facts: dict[str, Any] = {}

    @torch.no_grad()
    def standardize(self, x: Tensor) -> None:
        """Take mean and deviation of each feature over rows [n, C, H, W], bytes or numbers in [0, 1]."""
        self.network.eval()
        features = torch.cat([self.network(scaled(part)) for part in x.split(CHUNK)])
        self.mean.copy_(features.mean(0))
        self.scale.copy_(features.std(0).clamp_min(1e-6) if len(x) > 1 else torch.ones(FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [n, C, H, W] in [0, 1] → standardized features [n, 64]."""
        found: Tensor = (self.network(x) - self.mean) / self.scale
        return found

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps of all layers, the finest first, and last the standardized features."""
        *maps, last = self.network.maps(x)
        return [*maps, (last - self.mean) / self.scale]

    def frozen(self) -> "FeatureSpace":
        """Itself, its weights made buffers."""
        for module in self.network.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, weight.detach())
        return self

    def tensors(self) -> dict[str, Tensor]:
        """The weights, mean and scale by name, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}

    @property
    def sha256(self) -> str:
        """Of `tensors`: two spaces are one where it is the same."""
        return tensorfile.digest(self.tensors())

    def save(self, path: str | Path) -> Path:
        """Write it as a file of tensors, with its facts and its SHA-256; the old file stays until the new one is whole."""
        return modelfile.written(path, self.tensors(), {KEPT: self.facts})


def read(path: Path) -> FeatureSpace:
    """The feature space that was kept in a file. Raises `ArtifactError` for one that is damaged or holds none."""
    header, found = modelfile.opened(path)
    facts: dict[str, Any] = header.get(KEPT) or {}
    try:
        channels, height, width = (int(side) for side in facts["event"])
        if not (1 <= channels <= MOST_CHANNELS and 4 <= height <= MOST_SIDE and 4 <= width <= MOST_SIDE):
            raise ValueError
        space = FeatureSpace((channels, height, width))
        task = str(facts["task"])
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"{path} holds no feature space") from None
    if faults := modelfile.misfits(space.state_dict(), found.tensors):
        raise ArtifactError(f"{path} cannot be read as a feature space: {'; '.join(faults)}")
    tensors = tensorfile.read_tensors(path, found)
    if tensorfile.digest(tensors) != header.get("sha256"):
        raise ArtifactError(f"{path}: the tensors do not match their SHA-256: the file is damaged")
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise ArtifactError(f"{path} holds numbers that are not finite")
    space.load_state_dict(tensors)
    space.facts = facts | {"task": task}
    return space


def scaled(x: Tensor) -> Tensor:
    """Bytes → numbers in [0, 1]; numbers as they are."""
    return x.float() / 255 if x.dtype == torch.uint8 else x
