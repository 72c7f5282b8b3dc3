"""Modality: raw data ↔ tensors, and the parts that suit it."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from lambent.data.conditions import Conditions
from lambent.errors import UsageError
from lambent.machine import Machine
from lambent.part import Part, Shape, Spec, option


class Modality(Part):
    """What kind of data this is: how raw rows become a tensor and come back.

    Its fields are the user's choices; what `fit` learns from the data is its `state`, plain JSON. Both are stored in
    the model file, so that a loaded model takes the same raw data that it was trained on.
    """

    counts_rows: ClassVar[bool] = False  # whether its notices count rows, and not columns
    of_bytes: ClassVar[bool] = False  # encoded rows are levels 0 … white, whatever scale a likelihood reads them on
    numbered: ClassVar[bool] = False  # opened rows know their own numbers in the data, wherever these are cut
    noun: ClassVar[str] = "rows"  # what a reader calls them
    annotates: ClassVar[tuple[str, ...]] = ()  # suffixes of files that `annotate` makes
    suffixes: ClassVar[tuple[str, ...]] = ()  # of files that `write` makes; "": it makes a folder of them
    gap_mark: ClassVar[str] = ""  # what stands in a row of another form than a table for what is missing of it
    by_mean: ClassVar[bool] = False  # new rows are shown as the mean of p(x | z), unless draws are asked for

    condition: tuple[str, ...] = option(
        "what the model is conditioned on, p(x | c): label, or columns of a table; they are not modelled themselves",
        default=(),
        papers={...: "sohn2015learning"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.conditions = Conditions()  # as fitted to the columns that `condition` names
        self.label_names: list[str] | None = (
            None  # so that later data get the same codes; None: of no labels, or numbers
        )

    @classmethod
    def claims(cls, source: Any) -> bool:
        """Whether a path, a list or an object is of this kind by its form, so that no other is asked; default: no.

        Nothing is read but what tells, such as the first bytes of a file.
        """
        return False

    @abstractmethod
    def fit(self, raw: Any) -> Self:
        """Learn what encoding needs (sizes, columns, means); returns self."""

    @abstractmethod
    def encode(self, raw: Any) -> Tensor:
        """Raw data → [rows, *event]; bytes stay bytes (uint8). `DataError` names the file, row or column at fault."""

    @abstractmethod
    def decode(self, x: Tensor) -> Any:
        """[rows, *event] in the likelihood's units → raw form (images: uint8 array; tables: a frame)."""

    @property
    @abstractmethod
    def event(self) -> Shape:
        """The shape of one encoded row; known after `fit`."""

    @property
    def white(self) -> int:
        """The encoded level that a likelihood of numbers in [0, 1] reads as 1; 255 of bytes."""
        return 255

    @property
    def gaps(self) -> bool:
        """Whether values of its rows may be missing, NaN; known after `fit`."""
        return False

    @property
    def ordered(self) -> int:
        """0, unless rows stand in an order that a cut is to keep: then how many of them one encoded row reaches over."""
        return 0

    def log_slope(self, x: Tensor) -> Tensor | None:
        """Nats, [N, D] of the columns, to be added to log-densities of encoded rows to have them in the data's own units.

        log |d encoded / d value| of each number of x; None (the default): encoded rows are in these units.
        """
        return None

    def levels(self, x: Tensor) -> np.ndarray | None:
        """Rows in the likelihood's units as pictures of levels 0 … white, [rows, H, W(, 3)]; None of other kinds."""
        return None

    def words(self, x: Tensor) -> Tensor | None:
        """How many words each encoded row has, [N], without its end; None of what is no text."""
        return None

    def pictures(self, x: Tensor) -> np.ndarray | None:
        """The same as bytes, to be looked at."""
        return None

    def told(self, encoded: "Encoded") -> dict[str, Any]:
        """Columns [rows] by which a reader knows encoded rows, to stand beside what is found of them; default: none."""
        return {}

    def summary(self, x: Tensor) -> dict[str, str]:
        """Facts about encoded rows in words, by name, for a look at a file; default: none."""
        return {}

    def as_columns(self, x: Tensor) -> dict[str, Any] | None:
        """Rows as columns of values [rows, …] by name, for a table or an array file; None (the default): as `decode` has them."""
        return None

    def write(self, path: Path, x: Tensor, lead: dict[str, Any]) -> None:
        """Write rows as the model has them to a file, or a folder, of one of `suffixes`; default: there are none.

        lead: what tells them apart, [rows] by name, such as the pair and the step of a walk.
        """
        raise UsageError(f"{path}: {type(self).__name__} has no files of its own")

    def annotate(
        self, path: Path, rows: "Encoded", found: Mapping[str, np.ndarray], made: Tensor | None = None
    ) -> None:
        """Write the data that rows came from to a file of one of `annotates`, with what was found of them beside; default: none.

        found: columns [rows] and codes [rows, units] by name. made: rows as the model has them, for those that they came from.
        """
        raise UsageError(f"{path}: {type(self).__name__} has no files to write beside its rows")

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `fit` learned, as plain JSON."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; returns self."""

    @abstractmethod
    def defaults(self) -> dict[str, Spec]:
        """Its natural parts by field name, {"likelihood": spec, "network": spec}, and "latent" and "objective" where it has one.

        Specs, for data knows only parts. Beside them "fit", the settings of a training that suit, where these are not the usual.
        """

    def detecting(self) -> dict[str, Spec]:
        """The parts and settings that suit telling odd rows, in the form of `defaults`; beside them "model", fields of the model.

        Default: those of `defaults`.
        """
        return self.defaults()

    def preset(self, name: str, machine: Machine) -> dict[str, Spec]:
        """The parts and settings of a size, in the form of `defaults`, as the machine allows; default: refused."""
        raise UsageError(
            f"presets are sizes of models of pictures, and what suits a {type(self).__name__} is found from its rows: leave "
            f"preset={name} out"
        )

    @property
    def likelihoods(self) -> list[Spec]:
        """The likelihood that suits each column of its rows, where these are independent given z; none where there are none."""
        return []

    def suited(self, encoding: str) -> Self:
        """The same, for a likelihood that wants columns of a table encoded so, by the name of a scale; default: itself."""
        return self

    def open(self, raw: Any) -> Any:
        """Raw data in a form that `fit` and `read` take too, so that files are read but once; default: as given.

        Of that form `len` tells the number of rows and an array of their numbers in brackets picks some.
        """
        return raw

    def foreign(self, raw: Any) -> str | None:
        """Why raw data that could be converted are not what was trained on, in words; default: None."""
        return None

    def learn(self, pieces: Iterable[Any]) -> Self:
        """`fit` on raw data that come in pieces, each in a form that `open` takes; default: refused."""
        raise UsageError(f"{type(self).__name__} cannot be learned from data in pieces; load them into memory")

    def allow(self, pieces: Iterable[Any]) -> None:
        """Once fitted, take in the form of held-out rows, in pieces, where theirs asks for more, such as deeper pixels.

        Nothing is learned of what these hold. Default: they are not looked at.
        """

    def unchanging(self, shape: Shape, dtype: np.dtype) -> bool:
        """Whether rows of an array, each of this shape and type, are byte for byte what `encode` makes of them."""
        return False

    def converting(self) -> Self:
        """The same, fitted as it is, but bringing data of another form to its own; default: itself."""
        return self

    def read(self, raw: Any) -> "Encoded":
        """`encode`, with the labels that the raw data carries (names of folders, a label column); default: none."""
        return Encoded(self.encode(raw), self)

    @property
    def drawn(self) -> bool:
        """Whether `transform` draws: encoded rows are then not yet what a model takes."""
        return False

    def transform(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A fresh random view of a batch of encoded rows, drawn each time (dynamic binarization); default: none."""
        return x

    def augment(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A random view that only training takes, so that a model sees more than there is; default: none."""
        return x


@dataclass
class Encoded:
    """Rows as tensors, with where they came from.

    x: [rows, *event], uint8 or float32. labels: one per row or None; never seen in training unless asked for.
    factors: [rows, K] ground-truth classes of K known generative factors, for disentanglement metrics; or None.
    source: plain JSON: name, path, split, rows, sha256 of the encoded array, licence, notices (what was converted).
    beside: columns [rows] that may condition a model, by name. context: [rows, width], what conditions one; or None.
    files: the file of each row, its path within the folder. numbers: of each row in the data that it was taken from; None: 0, 1 …
    lines: the line of each row in its file, from 1; None of what has no lines. names: what each row is called; None of none.
    uncut: what rows that are crops were cut out of, levels [rows, C, H, W] or pictures in files; None of all others.
    """

    x: Tensor
    modality: Modality
    labels: np.ndarray | None = None
    label_names: list[str] | None = None
    factors: np.ndarray | None = None
    factor_names: list[str] | None = None
    source: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, np.ndarray] = field(default_factory=dict)
    context: Tensor | None = None
    files: list[str] | None = None
    numbers: np.ndarray | None = None
    lines: np.ndarray | None = None
    names: np.ndarray | None = None
    uncut: Any = None

    def __len__(self) -> int:
        return len(self.x)

    def conditioned(self, gaps: bool = False) -> Tensor | None:
        """The context [rows, width], or None of a modality without conditions; `DataError` tells why rows have none.

        gaps: whether levels may be missing, each a row of noughts.
        """
        if self.context is None and self.modality.conditions:
            return self.modality.conditions.encode(self.beside, gaps)
        if self.context is None or gaps or not self.modality.conditions:
            return self.context
        return self.modality.conditions.without_gaps(self.context)
