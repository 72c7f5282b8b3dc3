"""Text: texts as numbers of pieces [N, L], with an end, and nothing behind it."""

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.pieces_of_text import BYTES, Pieces
from lambent.data.notices import Notices
from lambent.data.readers import frames, sniffing, texts
from lambent.data.readers.frames import Columns
from lambent.data.readers.texts import Texts
from lambent.data.splitting import as_labels, digest
from lambent.data.writers.lines import SUFFIXES, write_texts
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.part import Shape, Spec, option

END = 0  # the token that ends a text
LONGEST = 128  # tokens of a text, unless told
MOST_LENGTH = 4096
EXAMPLES, EXAMPLE = 5, 100  # texts that are shown, and characters of each


class Text(Modality):
    """Texts as tokens [N, L], float32: numbers 1 … V − 1 of byte-level pieces, then 0, the end, then NaN, which costs nothing.

    Takes files with a text a line (.txt, .log, .smi), a field of JSON lines or a column of a table (`column`), a folder with a
    text a file, all of them also gzip, and strings: a list, an array, a Series. The pieces are learned from the texts, and any
    text comes back from them to the byte. A text of more than L tokens is cut there, and has no end. Empty ones are left out.
    """

    papers = ("sennrich2016neural",)

    counts_rows = True
    noun: ClassVar[str] = "texts"
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    symbols: int = option(
        "most tokens that there are: the end, 256 bytes, and pieces that are joined of them; fewer where texts repeat little",
        default=4096,
        minimum=BYTES + 1,
        maximum=65_536,
    )
    length: int | None = option(
        f"most tokens of a text with its end, longer ones are cut; none: those of the longest, at most {LONGEST}",
        default=None,
        minimum=2,
        maximum=MOST_LENGTH,
    )
    column: str | None = option(
        "of a table or of JSON lines the column that holds the texts; none: the one that is text", default=None
    )
    label: str | None = option("a column of labels beside the texts, not modelled", default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.notices: dict[str, int] = {}
        self._pieces: Pieces | None = None
        self._length = 0
        self._rows = 0

    @classmethod
    def claims(cls, source: Any) -> bool:
        """Whether these are texts by their form."""
        return isinstance(source, Texts) or sniffing.of_texts(source)

    @property
    def event(self) -> Shape:
        """(L,)."""
        self._fitted()
        return (self._length,)

    @property
    def vocabulary(self) -> int:
        """V: how many tokens there are, the end among them."""
        return len(self._fitted()) + 1

    def open(self, raw: Any) -> Texts:
        """Any accepted raw form → its texts."""
        if isinstance(raw, Texts):
            return raw
        beside = tuple(dict.fromkeys([*([self.label] if self.label else []), *self.condition]))
        if isinstance(raw, (str, Path)):
            return texts.texts_in(Path(raw), self.column, beside)
        if isinstance(raw, Columns) or frames.is_frame(raw):
            return texts.of_table(raw if isinstance(raw, Columns) else frames.from_frame(raw), self.column, beside)
        if isinstance(raw, np.ndarray) and raw.ndim != 1:
            raise DataError(f"an array of shape {raw.shape} is no list of texts; give one of strings, [N]")
        if not hasattr(raw, "__iter__"):
            raise DataError(f"a {type(raw).__name__} holds no texts; give a path, or a list of strings")
        return texts.of_strings(raw, f"the {type(raw).__name__}")

    def fit(self, raw: Any) -> Self:
        """Learn the pieces, and how many tokens a text has at most."""
        found = self.open(raw)
        self._pieces = Pieces.learned(found.texts, self.symbols - 1)
        self._rows = len(found)
        most = self.length or LONGEST
        self._length = self.length or max(
            2, *(min(most, len(row) + 1) for row in self._pieces.encode(found.texts, most))
        )
        self.label_names, self.notices = None, {}
        return self

    def encode(self, raw: Any) -> Tensor:
        """Texts → [N, L] float32; see the class."""
        return self.read(raw).x

    def read(self, raw: Any) -> Encoded:
        """`encode`, with the labels, and with what is cut, empty or replaced counted in `source["notices"]`."""
        found = self.open(raw)
        coded = self._fitted().encode(found.texts, self._length + 1)
        out = np.full((len(found), self._length), np.nan, np.float32)
        cut = 0
        for row, pieces in enumerate(coded):
            kept = pieces[: self._length]
            out[row, : len(kept)] = np.asarray(kept, np.float32) + 1
            if len(kept) < self._length:
                out[row, len(kept)] = END
            cut += len(pieces) >= self._length
        x = torch.from_numpy(out)
        notices = Notices(found.notices, found.notices.names)
        notices.update({"cut_texts": cut} if cut else {})
        facts = {"rows": len(x), "sha256": digest(x), **notices.facts()}
        labels, names = self._labels(found)
        beside = {name: found.beside[name] for name in self.condition if name in found.beside}
        return Encoded(x, self, labels, names, source=facts, beside=beside, files=found.files, lines=found.lines)

    def _labels(self, found: Texts) -> tuple[np.ndarray | None, list[str] | None]:
        if self.label is not None and self.label in found.beside:
            return as_labels(found.beside[self.label], self.label_names)
        if self.label is not None and found.labels is None and found.files is None:
            raise DataError(f"{found.origin}: has no column {self.label!r} to take labels from; leave label out")
        if found.labels is None or found.label_names is None:
            return None, None
        return as_labels(np.array(found.label_names, object)[found.labels], self.label_names)

    def decode(self, x: Tensor) -> list[str]:
        """[N, L] → texts, each up to its end."""
        if x.ndim != 2:
            raise DataError(f"texts to decode have shape {tuple(x.shape)}; [N, L] fits")
        values = x.detach().cpu().double().numpy()
        ended = ~(values > END)  # the end, and what is not there
        return self._fitted().decode(
            [row[: _first(end)].astype(np.int64) - 1 for row, end in zip(values, ended, strict=True)]
        )

    def words(self, x: Tensor) -> Tensor:
        """How many words each text has, parted by blanks, [N]; for a perplexity per word add one, its end."""
        return torch.tensor([len(text.split()) for text in self.decode(x)], dtype=torch.int64)

    def as_columns(self, x: Tensor) -> dict[str, Any]:
        """{"text": the texts}."""
        return {"text": np.array(self.decode(x), object)}

    def told(self, x: Tensor) -> dict[str, Any]:
        """The texts themselves, by which a reader knows rows."""
        return self.as_columns(x)

    def write(self, path: Path, x: Tensor, lead: dict[str, Any]) -> None:
        """One text a line (.txt), as JSON lines, or a folder with a file for each."""
        write_texts(path, self.decode(x), lead)

    def summary(self, x: Tensor) -> dict[str, str]:
        """What texts these are, in words: how long, of which tokens, and a few of them."""
        there = (~torch.isnan(x)).sum(1)
        used = int(x[~torch.isnan(x)].unique().numel())
        whole = int(((x == END).any(1)).sum())
        found = {
            "tokens": f"{int(there.sum()):,}, {used:,} different ones of {self.vocabulary:,}",
            "a text": f"{int(there.min())} … {int(there.max())} tokens with its end, on average "
            f"{float(there.double().mean()):.1f}; {whole:,} of {len(x):,} are whole",
        }
        some = np.linspace(0, len(x) - 1, min(EXAMPLES, len(x))).round().astype(int)
        shown = [
            text if len(text) <= EXAMPLE else f"{text[:EXAMPLE]} …" for text in self.decode(x[torch.from_numpy(some)])
        ]
        return found | {f"text {row}": repr(text)[1:-1] for row, text in zip(some.tolist(), shown, strict=True)}

    def state(self) -> dict[str, Any]:
        """{"merges": [[first, second], …], "length": L, "rows": …, "label_names": …}."""
        merges = [list(pair) for pair in self._fitted().merges]
        return {"merges": merges, "length": self._length, "rows": self._rows, "label_names": self.label_names}

    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ArtifactError` if it is no such state."""
        try:
            merges = [(str(first), str(second)) for first, second in state["merges"]]
            length, rows = int(state["length"]), int(state["rows"])
            names = None if state["label_names"] is None else [str(name) for name in state["label_names"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the stored state of Text is damaged ({error!r})") from None
        if not 2 <= length <= MOST_LENGTH or len(merges) >= 65_536:
            raise ArtifactError(f"the stored state of Text is damaged (length {length}, {len(merges)} merges)")
        self._pieces, self._length, self._rows, self.label_names = Pieces(merges), length, rows, names
        return self

    def defaults(self) -> dict[str, Spec]:
        """Tokens that see the code at every step, read by a recurrent network."""
        return {
            "likelihood": {"type": "Tokens", "symbols": self.vocabulary},
            "network": {"type": "Gru"},
            "latent": {"type": "Flat", "size": 32},
        }

    def _fitted(self) -> Pieces:
        if self._pieces is None:
            raise UsageError("Text: call fit first; until then its pieces are not known")
        return self._pieces


def _first(where: np.ndarray) -> int:
    """The first place that is true, or the length."""
    return int(where.argmax()) if where.any() else len(where)
