"""Opening: out of an archive again, with the model that it carries, that is given, or that is known here."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lambent.codec import lookup
from lambent.codec.archive import Block, Reader, Salvage
from lambent.codec.content.arrays import RestoredArrays
from lambent.codec.content.base import Model, Restored, Side
from lambent.codec.content.listing import Put
from lambent.codec.content.lossy import RestoredPhotographs
from lambent.codec.content.pictures import RestoredPictures
from lambent.codec.content.texts import RestoredTexts
from lambent.codec.described import side_of
from lambent.codec.exact.dyadic import NUMERICS
from lambent.codec.lossy.pictures import Lossy
from lambent.codec.pack import unpacked
from lambent.codec.rows import RowCodec, in_order
from lambent.errors import ArtifactError, MachineError
from lambent.fitted import Fitted
from lambent.progress import counting

KINDS = ("arrays", "lossy", "pictures", "table")


def coder(fitted: Fitted, kind: str, device: str | torch.device, bits: int) -> RowCodec | Lossy:
    """The exact form of a model by which content of that kind is coded; `UsageError` for a model that has none."""
    if kind == "lossy":
        return Lossy(fitted)
    return RowCodec(fitted) if kind == "table" else RowCodec(fitted, device, bits)


@dataclass
class Opened:
    """An archive whose blocks can be decoded.

    given: the model, where it was named, and by what name. lost: what of a damaged archive could not be had.
    """

    archive: Reader | Salvage
    given: Fitted | None = None
    name: str = "the model that was given"
    beside: Path | None = None
    device: str | torch.device = "cpu"
    threads: int = 1
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        header = self.archive.header
        if header["kind"] not in KINDS:
            raise ArtifactError(
                f"the archive holds {header['kind']!r}, which this version does not know: update lambent"
            )
        if header["numerics"] != NUMERICS:
            raise ArtifactError(
                f"the archive was made by the rules of arithmetic {header['numerics']}, and this version has {NUMERICS}: "
                "update lambent"
            )
        bits = header.get("weight_bits")
        if type(bits) is not int or not 1 <= bits <= 24 or not isinstance(header.get("content"), dict):
            raise ArtifactError("the header of the archive does not say how its model and its content are told")
        if isinstance(self.archive, Salvage):
            self.lost += self.archive.lost

    @cached_property
    def model(self) -> Model:
        """The model, once it has shown that this machine computes with it what the other one did."""
        bits = self.archive.header["weight_bits"]
        fitted = lookup.rounded(self._fitted(bits), bits)
        codec = coder(fitted, self.archive.header["kind"], self.device, bits)
        if codec.probe().hex() != self.archive.header.get("probe"):
            raise MachineError(
                "this machine computes differently from the one that made the archive, so that nothing would come back right: "
                "no block is decoded. Another version of torch or NumPy may be at fault; lambent doctor --deep tells more"
            )
        return Model(fitted, codec)

    def _fitted(self, bits: int) -> Fitted:
        wanted = self.archive.header["model"]
        if self.given is not None:
            return lookup.checked(self.given, wanted, self.name, bits)
        if self.archive.model is not None:
            return lookup.checked(unpacked(self.archive.model), wanted, "the archive itself", bits)
        return lookup.found(wanted, self.beside, bits)

    def restored(self, put: Put) -> Restored:
        """What the blocks are put into."""
        kind, facts = self.archive.header["kind"], self.archive.header["content"]
        if kind == "table":
            return RestoredTexts()
        if kind == "lossy":
            return RestoredPhotographs(put)
        return RestoredArrays(facts) if kind == "arrays" else RestoredPictures(facts, put)

    def all_into(self, restored: Restored) -> Any:
        """Every block, in order, each held against the digest of what was put in; what came back."""
        blocks = self.archive.blocks()
        with counting("decompressing blocks", self._count()) as add:
            for block, raw, side in in_order(lambda block: self._raw(block, restored), blocks, self.threads):
                if raw is not None:
                    restored.take(raw, side, block.number or 0)
                add(1)
        return restored.finish()

    def _count(self) -> int:
        if isinstance(self.archive, Salvage):
            return max(1, len(self.archive.numbers))
        return max(1, len(self.archive.index.entries)) if self.archive.source.seekable else 1

    def _raw(self, block: Block, restored: Restored) -> tuple[Block, bytes | None, Side]:
        try:
            side = side_of(block)
            return block, self._content(block, side, restored), side
        except ArtifactError as error:
            if not isinstance(self.archive, Salvage):
                raise
            self.lost.append(f"{block}: {error}")
            return block, None, {}

    def _content(self, block: Block, side: Side, restored: Restored) -> bytes:
        if not block.is_coded:
            return block.content()
        raw = restored.decode(self.model, block, side)
        block.check(raw)
        return raw
