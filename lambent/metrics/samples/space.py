"""Feature spaces: what turns pictures into the vectors that distances are taken between, each with a name of its own."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lambent.disk import modelfile, tensorfile
from lambent.errors import ArtifactError, MachineError, UsageError

FEATURES = 64
CHANNELS = (16, 32, 64, 128)  # the last of them, as many as there are halvings
SIDE = 3  # pixels of the coarsest map, at least
POOL = 2  # of its places that are kept apart, down and across: where a thing is, is part of what is seen
CHUNK = 256
MOST_SIDE = 16384
NETWORK = "network."

Bytes = NDArray[np.uint8]


class Space(ABC):
    """A feature space: `name` with the beginning of its SHA-256, and features [n, d] of pictures [n, H, W(, 3)], uint8."""

    name: str

    @abstractmethod
    def __call__(self, pictures: Bytes) -> NDArray[np.float64]:
        """Features of pictures; `DataError` or `UsageError` for pictures that the space cannot take."""


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


class Learned(Space):
    """The space of a network that was trained on the data at hand, each feature standardized over its training rows.

    facts: what it was trained by, plain JSON: task ("classes" or "views"), event [C, H, W], rows, the SHA-256 of these, and
    how well it does on rows held out.
    """

    def __init__(self, network: Describer, mean: Tensor, scale: Tensor, facts: dict[str, Any]) -> None:
        self.network, self.mean, self.scale, self.facts = network.eval(), mean, scale, facts
        self.sha256 = tensorfile.digest(self.tensors())
        self.name = f"{facts['task']} {self.sha256[:12]}"

    def tensors(self) -> dict[str, Tensor]:
        """The weights, mean and scale by name."""
        own = {f"{NETWORK}{name}": t.detach().cpu().contiguous() for name, t in self.network.state_dict().items()}
        return own | {"mean": self.mean.cpu(), "scale": self.scale.cpu()}

    @torch.no_grad()
    def __call__(self, pictures: Bytes) -> NDArray[np.float64]:
        x = planar(pictures)
        event = list(self.facts["event"])
        if list(x.shape[1:]) != event:
            raise UsageError(
                f"the feature space {self.name!r} is of pictures {event} (channels, height, width), and these are "
                f"{list(x.shape[1:])}: train one on these data (leave --features out)"
            )
        pieces = [(self.network(scaled(part)) - self.mean) / self.scale for part in x.split(CHUNK)]
        return np.asarray(torch.cat(pieces).double().numpy())

    def save(self, path: str | Path) -> Path:
        """Write it as a file of tensors, with its facts and its SHA-256; the old file stays until the new one is whole."""
        return modelfile.written(path, self.tensors(), {"feature space": self.facts})


class Foreign(Space):
    """The space of a network that the user brings as an ONNX file, such as Inception or DINO; its name holds the file's SHA-256.

    It is given pictures [n, C, H, W], float32 in [0, 1], grey repeated where it takes three channels, and resized (bilinear,
    antialiased) where it fixes its size; what else it wants (normalization) stands in the file. Its first output, flattened.
    Errors: `MachineError` without onnxruntime, `ArtifactError` for a file that it cannot read.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MachineError(
                f"{path} is read by onnxruntime, which is not installed: pip install 'lambent[onnx]'"
            ) from None
        content = _content(Path(path))
        try:
            self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        except Exception as error:  # whose classes are the library's own
            raise ArtifactError(f"{path} is no network that onnxruntime can read: {str(error)[:200]}") from None
        taken = self.session.get_inputs()[0]
        if len(taken.shape) != 4:
            raise ArtifactError(f"{path} takes an input of {taken.shape}: pictures [n, C, H, W] are given")
        self.input = taken.name
        self.channels, *size = (side if isinstance(side, int) else 0 for side in taken.shape[1:])
        self.size = [int(side) for side in size]  # 0: any
        self.batch = taken.shape[0] if isinstance(taken.shape[0], int) else CHUNK
        self.name = f"{Path(path).stem} {hashlib.sha256(content).hexdigest()[:12]}"

    def __call__(self, pictures: Bytes) -> NDArray[np.float64]:
        found = [self._of(part) for part in planar(pictures).split(self.batch)]
        return np.concatenate(found)

    def _of(self, x: Tensor) -> NDArray[np.float64]:
        count = len(x)
        x = scaled(x)
        if self.channels not in (0, x.shape[1]):
            x = x.repeat(1, 3, 1, 1) if self.channels == 3 and x.shape[1] == 1 else x.mean(1, keepdim=True)
        if all(self.size) and list(x.shape[2:]) != self.size:
            x = nn.functional.interpolate(x, self.size, mode="bilinear", antialias=True)
        if count < self.batch != CHUNK:  # of a fixed batch the rest is filled
            x = torch.cat([x, x[:1].expand(self.batch - count, *x.shape[1:])])
        found = np.asarray(self.session.run(None, {self.input: x.numpy()})[0], np.float64)
        return found.reshape(len(found), -1)[:count]


def planar(pictures: Bytes) -> Tensor:
    """Pictures [n, H, W] or [n, H, W, C] of bytes → [n, C, H, W]."""
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or not len(pictures):
        raise UsageError(f"pictures are bytes [n, H, W] or [n, H, W, C], not {pictures.dtype} {list(pictures.shape)}")
    x = torch.from_numpy(np.ascontiguousarray(pictures))
    return x.unsqueeze(1) if x.dim() == 3 else x.permute(0, 3, 1, 2).contiguous()


def scaled(x: Tensor) -> Tensor:
    """Bytes → numbers in [0, 1]."""
    return x.float() / 255


def opened(path: str | Path) -> Space:
    """The feature space in a file: one that was kept (.safetensors), or a network of the user's (.onnx).

    Errors: `ArtifactError` for a file that is damaged or holds no feature space, `UsageError` for one of another kind.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        return Foreign(path)
    if path.suffix.lower() != ".safetensors":
        raise UsageError(f"{path}: a feature space is a .safetensors file that was kept, or a network as .onnx")
    header, found = modelfile.opened(path)
    facts: dict[str, Any] = header.get("feature space") or {}
    try:
        channels, height, width = (int(side) for side in facts["event"])
        if not (1 <= channels <= 3 and 4 <= height <= MOST_SIDE and 4 <= width <= MOST_SIDE):
            raise ValueError
        network = Describer(channels, height, width)
        task = str(facts["task"])
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"{path} holds no feature space") from None
    wanted = {f"{NETWORK}{name}": t for name, t in network.state_dict().items()}
    wanted |= {"mean": torch.zeros(FEATURES), "scale": torch.ones(FEATURES)}
    if faults := modelfile.misfits(wanted, found.tensors):
        raise ArtifactError(f"{path} cannot be read as a feature space: {'; '.join(faults)}")
    tensors = tensorfile.read_tensors(path, found)
    if tensorfile.digest(tensors) != header.get("sha256"):
        raise ArtifactError(f"{path}: the tensors do not match their SHA-256: the file is damaged")
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise ArtifactError(f"{path} holds numbers that are not finite")
    mean, scale = tensors.pop("mean"), tensors.pop("scale")
    network.load_state_dict({name.removeprefix(NETWORK): t for name, t in tensors.items()})
    return Learned(network, mean, scale, facts | {"task": task})


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
