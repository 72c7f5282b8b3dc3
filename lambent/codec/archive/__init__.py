"""The archive, `.lam`: blocks of rows with the checks of each, a description before them and an index behind; docs/format.md."""

from lambent.codec.archive.block import Block
from lambent.codec.archive.reader import Reader
from lambent.codec.archive.salvage import Salvage
from lambent.codec.archive.writer import Writer

__all__ = ["Block", "Reader", "Salvage", "Writer"]
