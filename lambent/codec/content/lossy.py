"""Lossy pictures: photographs by rounded codes, each in a block of its own; what comes back is near, and the same everywhere."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from lambent.codec.archive import Block
from lambent.codec.content.base import Content, Encoded, Model, Part, Piece, Restored, Side
from lambent.codec.content.listing import PIXELS, Put, Unpacked, listed, refuse_twice
from lambent.codec.content.samples import Form
from lambent.codec.lossy.pictures import Lossy, refuse_quality
from lambent.data.photographs import photographs
from lambent.data.readers import regular as files
from lambent.data.readers.pictures import SUFFIXES
from lambent.errors import ArtifactError, DataError
from lambent.fitted import Fitted


class Photographs(Content):
    """All files of a folder, or one file: pictures of any size by a model with rounded codes, at a quality of 1 … 100.

    Each is brought to the model's own bands and bits; a file that would not become smaller, or is no picture, is kept as it is.
    """

    kind = "lossy"
    noun = "files"

    def __init__(self, source: Path, fitted: Fitted, quality: int) -> None:
        refuse_quality(quality)
        self.fitted, self.quality = fitted, quality
        self.notices: Counter[str] = Counter()
        self.files, self.names = listed(source, self.notices)
        self.total = len(self.files)

    def facts(self) -> Side:
        return {}

    def follow(self, sides: Iterable[Side]) -> None:
        refuse_twice(self.names, sides)

    def pieces(self) -> Iterator[Piece]:
        for name, path in zip(self.names, self.files, strict=True):
            with files.unchanged(files.regular(path)):
                held = path.read_bytes()
            plain = Part(held, {"as": "files", "items": [[name, len(held)]]})
            yield Piece(None, Part(b"", {"name": name, "path": str(path)}), plain, 1, len(held))

    def encode(self, model: Model, piece: Piece, seed: int) -> Encoded | None:
        assert isinstance(model.codec, Lossy)
        name, path = str(piece.coded.side["name"]), Path(str(piece.coded.side["path"]))
        if path.suffix.lower() not in SUFFIXES:
            return None
        try:
            _, x = next(photographs(self.fitted.modality, path))
        except DataError:
            return None
        payload = model.codec.encode(x, self.quality)
        levels = _levels(model.codec, payload)
        form = Form(len(levels), 16 if levels.dtype == np.uint16 else 8, levels.shape[1], levels.shape[2], len(levels))
        return Encoded(payload, 1, {"as": PIXELS, "items": [[name, *form.plain()]]}, raw=levels.tobytes())

    def restored(self) -> "RestoredPhotographs":
        return RestoredPhotographs(lambda path, form, content: None)


class RestoredPhotographs(Restored):
    """The same out of an archive."""

    def __init__(self, put: Put) -> None:
        self.unpacked = Unpacked(put)

    def decode(self, model: Model, block: Block, side: Side) -> bytes:
        if not isinstance(model.codec, Lossy):
            raise ArtifactError("this model has no rounded codes")
        if (said := model.codec.size(block.payload)) != block.size:
            raise ArtifactError(f"{block} holds {block.size:,} bytes, and describes a picture of {said:,}")
        with torch.no_grad():
            return _levels(model.codec, block.payload).tobytes()

    def take(self, raw: bytes, side: Side, index: int) -> None:
        self.unpacked.take(raw, side, index)

    def finish(self) -> None: ...


def _levels(codec: Lossy, payload: bytes) -> np.ndarray:
    """The picture of these bytes, [bands, height, width], little-endian."""
    found = codec.decode(payload)[0].numpy()
    return np.ascontiguousarray(found, np.uint8 if codec.white == 255 else "<u2")
