"""Pieces: what a text is made of, learned from texts; any text comes back to the byte."""

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from lambent.errors import ArtifactError, MachineError

BYTES = 256  # every byte is a piece, so that none is missing
FEWEST = 2  # times that two pieces stand side by side before they are joined
LEARNED = 20_000  # characters of a text that pieces are learned from


def library() -> Any:
    """The package of tokenizers; `MachineError` with what installs it."""
    try:
        return importlib.import_module("tokenizers")
    except ImportError:
        raise MachineError("texts need the package tokenizers: pip install 'lambent[text]'") from None


class Pieces:
    """A byte-level byte-pair encoding (Gage 1994; Sennrich, Haddow, Birch 2016): the merges, in their order, are all of it.

    Piece 0 … 255 are the bytes, in the order of the letters that stand for them; each merge adds the next.
    """

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        tokenizers = library()
        letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
        table = {letter: number for number, letter in enumerate(letters)}
        for first, second in merges:
            table.setdefault(first + second, len(table))
        self.merges = list(merges)
        self.longest = max(map(len, table))  # bytes of a piece
        try:
            self._coder = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=table, merges=self.merges))
        except Exception as error:  # the library has no type of its own for what it refuses
            raise ArtifactError(f"the stored pieces of texts are damaged ({str(error)[:80]})") from None
        self._coder.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._coder.decoder = tokenizers.decoders.ByteLevel()

    @classmethod
    def learned(cls, texts: Iterable[str], most: int) -> "Pieces":
        """At most so many pieces, 256 or more, those that stand side by side most often joined first."""
        tokenizers = library()
        coder = tokenizers.Tokenizer(tokenizers.models.BPE())
        coder.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=most,
            min_frequency=FEWEST,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        coder.train_from_iterator((text[:LEARNED] for text in texts), trainer)
        found = importlib.import_module("json").loads(coder.to_str())["model"]["merges"]
        return cls([(str(pair[0]), str(pair[1])) for pair in found])

    def __len__(self) -> int:
        return int(self._coder.get_vocab_size())

    def encode(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """The pieces of each text, at most so many, by number."""
        # What lies beyond could not be among them, and a text may be very long.
        ends = [text[: most * self.longest] for text in texts]
        return [coded.ids[:most] for coded in self._coder.encode_batch(ends)]

    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        """The texts again; bytes that are no UTF-8 together, as a model may draw them, become �."""
        return list(self._coder.decode_batch([list(row) for row in pieces]))
