"""Feature spaces: what turns pictures into the vectors that distances are taken between, each with a name of its own."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lambent.errors import ArtifactError, MachineError, UsageError
from lambent.model.feature_space import CHUNK, FeatureSpace, read, scaled

Bytes = NDArray[np.uint8]


class Space(ABC):
    """A feature space: `name` with the beginning of its SHA-256, and features [n, d] of pictures [n, H, W(, 3)], uint8."""

    name: str

    @abstractmethod
    def __call__(self, pictures: Bytes) -> NDArray[np.float64]:
        """Features of pictures; `DataError` or `UsageError` for pictures that the space cannot take."""


class Learned(Space):
    """The space of a network that was trained on the data at hand; `facts` say by what, as of `FeatureSpace`."""

    def __init__(self, space: FeatureSpace) -> None:
        self.space, self.facts = space.eval(), space.facts
        self.sha256 = space.sha256
        self.name = f"{self.facts['task']} {self.sha256[:12]}"

    @torch.no_grad()
    def __call__(self, pictures: Bytes) -> NDArray[np.float64]:
        x = planar(pictures)
        event = list(self.facts["event"])
        if list(x.shape[1:]) != event:
            raise UsageError(
                f"the feature space {self.name!r} is of pictures {event} (channels, height, width), and these are "
                f"{list(x.shape[1:])}: train one on these data (leave --features out)"
            )
        pieces = [self.space(scaled(part)) for part in x.split(CHUNK)]
        return np.asarray(torch.cat(pieces).double().numpy())

    def save(self, path: str | Path) -> Path:
        """Write it as a file of tensors, with its facts and its SHA-256; the old file stays until the new one is whole."""
        return self.space.save(path)


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


def opened(path: str | Path) -> Space:
    """The feature space in a file: one that was kept (.safetensors), or a network of the user's (.onnx).

    Errors: `ArtifactError` for a file that is damaged or holds no feature space, `UsageError` for one of another kind.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        return Foreign(path)
    if path.suffix.lower() != ".safetensors":
        raise UsageError(f"{path}: a feature space is a .safetensors file that was kept, or a network as .onnx")
    return Learned(read(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
