"""Table: rows of named columns as float32 [N, D]."""

from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds.columns.base import Column, Intervals
from lambent.data.kinds.columns.encoding import Encoding
from lambent.data.kinds.columns.hiding import hidden
from lambent.data.kinds.columns.kinds import asked
from lambent.data.kinds.columns.learning import MOST_VALUES, Learning
from lambent.data.kinds.columns.left_out import Constant
from lambent.data.kinds.columns.restriction import Restriction, parsed
from lambent.data.kinds.columns.windows import widened, windows
from lambent.data.kinds.matching import matched, note_changed, refuse_gaps
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.opening import Opener
from lambent.data.kinds.suiting import detecting, suiting
from lambent.data.notices import Notices
from lambent.data.readers.frames import Columns
from lambent.data.readers.framing import framed
from lambent.data.readers.typed import Typed
from lambent.data.splitting import as_labels, digest
from lambent.errors import ArtifactError, DataError, UsageError, nearest
from lambent.part import Shape, Spec, option


class Table(Modality):
    """Columns of any kind, float32 [N, D]: numbers scaled, or every column by its rank; NaN where a cell is missing.

    A table of plain numbers is scaled, (value − centre) / scale in float64. Any other is encoded by ranks, one number for each
    column that is modelled: the place of a level, or token + place within it of a number, a date, a duration; then one number
    for each column that had gaps in training, its indicator (1: missing), which `encode` leaves open and `augment` fills in.
    The kind of each column is found, and why is told.

    Takes a path to CSV, TSV, Parquet or Feather, a data frame (pandas, polars, pyarrow, …) or a 2-D array. New data are matched
    by column name, in any order; columns that were not fitted are left out and told. Columns that are constant, empty, free
    text or identifiers are no part of the encoded rows: what is to be known of them is kept here, and `decode` brings them back.
    """

    no_paper = "a kind of data"

    scale: Literal["auto", "standard", "robust", "none", "ranks", "mixed"] = option(
        "how columns become numbers: mean and deviation, median and quartiles (with a likelihood that squashes what lies "
        "far out), as they are (none), by ranks and levels, or each as a likelihood of its own wants it (mixed); auto: ranks "
        "if any column is no plain number, else as they are for low counts and mean and deviation for the rest",
        default="auto",
    )
    kinds: tuple[str, ...] = option(
        "what columns are, where it should not be found: column=kind, such as age=count", default=()
    )
    missing: Literal["auto", "yes", "no"] = option(
        "whether cells may be missing; auto: yes under ranks and mixed, else if any is in training", default="auto"
    )
    hidden: float = option(
        "share of the rows, under ranks or with missing=yes, that lose cells at random while training, so that any can be asked "
        "for given others",
        default=0.1,
        minimum=0,
        maximum=1,
    )
    window: int = option(
        "rows of a time series that become one: each row together with those before it, columns NAME[-1], NAME[0]; the rows "
        "stand in order, and the last ones are held out",
        default=1,
        minimum=1,
        maximum=10_000,
    )
    drop: tuple[str, ...] = option("columns to leave out", default=())
    label: str | None = option("the column of labels: kept beside the data, never trained on", default=None)
    delimiter: str | None = option(
        "what separates the fields of a CSV file; none: found from its first line", default=None
    )
    header: Literal["auto", "first-row", "none"] = option(
        "where a CSV file has its column names; auto: in the first row unless that is all numbers", default="auto"
    )
    decimal: Literal["auto", ".", ","] = option(
        "what a CSV file has between whole and fraction of a number; auto: a comma where that is plain", default="auto"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        asked(self.kinds)
        self.label_names: list[str] | None = None
        self.notices: dict[str, int] = {}
        self.noticed: dict[str, list[str]] = {}  # the columns and cells behind the notices
        self._backend, self.named, self._rows = "array", False, 0
        self.encoding, self._gaps = Encoding(), self.missing == "yes"
        self.of_rows = Encoding()  # the same, but for windows: of one row

    # ---- what is known once it is fitted -------------------------------------------------------------------------

    @property
    def event(self) -> Shape:
        """(D,)."""
        if not self.columns:
            raise UsageError("Table: call fit first; until then its columns are not known")
        return (self.encoding.width,)

    @property
    def gaps(self) -> bool:
        return self._gaps

    @property
    def ordered(self) -> int:
        return self.window if self.window > 1 else 0

    @property
    def columns(self) -> list[Column]:
        """All columns, in order, those that are no part of the encoded rows too; empty before `fit`."""
        return self.encoding.columns

    @property
    def names(self) -> list[str]:
        """The names of the encoded columns, in order; indicators are called "age is missing"."""
        return self.encoding.names

    @property
    def learned(self) -> int:
        """How many rows it was learned from."""
        return self._rows

    def column(self, name: str) -> Column:
        """The column of that name; `UsageError` with the nearest if there is none."""
        return self.encoding.column(name)

    def restriction(self, text: str) -> Restriction:
        """What text such as age>40 asks of a column; `UsageError` for text that asks nothing of any."""
        return parsed(text, [column.name for column in self.columns])

    def intervals(self, restriction: Restriction) -> tuple[int, Intervals]:
        """(an encoded column, the half-open intervals of its values that satisfy the restriction).

        Of a restriction to missing cells it is the column's indicator; `UsageError` where a column never had gaps.
        """
        return self.encoding.intervals(restriction)

    # ---- learning ------------------------------------------------------------------------------------------------

    def fit(self, raw: Any) -> Self:
        """Learn kinds and names of columns, levels, tokens, scales; `DataError` names the column and cell that has no place."""
        return self._learn([raw], None)

    def learn(self, pieces: Iterable[Any]) -> Self:
        """`fit` on a table in pieces: the same to the bit; of large tables quantiles and frequencies come from a sample."""
        if self.window > 1:
            raise UsageError("windows reach over the ends of pieces: load the table into memory, or set window to 1")
        return self._learn(pieces, MOST_VALUES)

    def _learn(self, pieces: Iterable[Any], most: int | None) -> Self:
        learning: Learning | None = None
        notices = Notices()
        labels: set[str] = set()
        for table in map(self.open, pieces):
            if learning is None:
                notices = Notices(table.notices, table.notices.names)
                learning = Learning(table, self._learned_names(table, notices), self.scale, asked(self.kinds), most)
                self._backend, self.named = table.backend, table.named
            learning.add(table)
            labels.update((self._labels(table, sorted(labels))[1] or []) if self.label else [])
        if learning is None or not learning.rows:
            raise DataError("there are no rows to learn from")
        self._rows = learning.rows
        self.of_rows = learning.learned(notices)
        self.encoding = widened(self.of_rows, self.window)
        by_kind = self.encoding.ranks or self.encoding.leaves
        self._gaps = {"yes": True, "no": False}.get(self.missing, by_kind or bool(self.of_rows.gappy))
        if sampled := learning.sampled:
            notices["quartiles_from_a_sample"] = len(sampled)
        self.label_names = sorted(labels) or None
        self.notices, self.noticed = dict(notices), notices.names
        return self

    def _learned_names(self, table: Columns, notices: Notices) -> list[str]:
        """The columns that are learned from."""
        # Without a column of that name, labels that come beside the rows are meant: the y of `fit`, the labels of an archive.
        beside = [name for name in self._beside() if name != "label" or name in table]
        for name in (*self.drop, *([self.label] if self.label else []), *beside):
            if name not in table:
                raise UsageError(
                    f"{table.origin}: has no column {name!r}; {nearest(name, filter(None, table.names[:200]))}"
                )
        left_out = {*self.drop, self.label, *beside}
        index = table.index_like()
        if index is not None and index not in left_out:
            left_out.add(index)
            notices.note("dropped_index", index)
        names = [name for name in table.names if name not in left_out]
        if not names:
            raise DataError(f"{table.origin}: no columns are left to learn from")
        return names

    def allow(self, pieces: Iterable[Any]) -> None:
        """Held-out rows may have gaps where those learned from had none, unless gaps are refused."""
        if self.missing != "auto" or self._gaps:
            return
        for table in map(self.open, pieces):
            there = [table.values(column.name) for column in self.of_rows.columns if column.name in table]
            self._gaps = self._gaps or any(bool(np.isnan(found).any()) for found in there if found.dtype.kind == "f")

    # ---- encoding and decoding -----------------------------------------------------------------------------------

    def unchanging(self, shape: Shape, dtype: np.dtype) -> bool:
        """Whether an array's rows are their own encoding: float32, no column dropped, every scale 1 and centre 0."""
        whole = not self.drop and self.label is None and not self.condition and self.window == 1
        return dtype == np.float32 and tuple(shape) == self.event and self.encoding.unchanging and whole

    def encode(self, raw: Any) -> Tensor:
        """Raw rows → float32 [N, D]; `DataError` names a missing column or the row and column of a bad cell."""
        return self.read(raw).x

    def read(self, raw: Any) -> Encoded:
        """`encode`, with the label column as labels where the data have it."""
        self.event  # noqa: B018 - which says that there is none yet
        table = self.open(raw)
        notices = Notices(table.notices, table.notices.names)
        every = [column.name for column in self.of_rows.columns]
        needed = self.of_rows.needed() if table.named and self.named else every
        known = {self.label, *self.drop, *self.condition, *every}
        table = matched(table, needed, self.named, known, notices)
        out = self.of_rows.encode(table)
        if not self._gaps:
            refuse_gaps(table, self.of_rows.modelled, out)
        for column in self.of_rows.columns:
            if isinstance(column, Constant):
                note_changed(table, column, notices)
        labels, label_names = None, None
        if self.label and self.label in table:
            labels, label_names = self._labels(table, self.label_names)
        x, first = self._windowed(torch.from_numpy(out), table.origin), self.window - 1
        source = {"rows": len(x), "sha256": digest(x), **notices.facts()}
        found = {name: table.values(name)[first:] for name in self._beside() if name in table}
        labels = labels if labels is None else labels[first:]
        numbers = np.arange(first, table.rows) if first else None
        return Encoded(x, self, labels, label_names, source=source, beside=found, numbers=numbers)

    def _windowed(self, x: Tensor, origin: str) -> Tensor:
        """Encoded rows as windows; a window is numbered, labelled and conditioned as the row that it ends with."""
        if self.window == 1:
            return x
        found = windows(x[:, : len(self.of_rows.modelled)], self.window, origin)
        if not self.encoding.indicates:
            return found
        open_ones = found.new_full((len(found), len(self.encoding.indicates)), torch.nan)
        return torch.cat((found, open_ones), 1)

    def _beside(self) -> list[str]:
        """The columns that condition; "label" may stand for the column of labels, which is read as such."""
        return [name for name in self.condition if name != self.label and not (name == "label" and self.label)]

    def decode(self, x: Tensor, first: int = 0) -> Any:
        """[N, D] → the original units and types: an array if it was fitted on one, else a frame of the library it came from.

        Cells whose indicator is 1 come back missing. first: the number of the first row, where rows are decoded in pieces: made
        up identifiers go on from there.
        """
        if x.ndim != 2 or x.shape[1] != self.event[0]:
            raise DataError(f"rows to decode have shape {tuple(x.shape)}; [N, {self.event[0]}] fits")
        return self.framed(self.encoding.typed(x.detach().cpu().double().numpy(), first))

    def framed(self, columns: dict[str, Typed]) -> Any:
        """Decoded columns in the form that the data came in."""
        return framed(columns, self._backend)

    def log_slope(self, x: Tensor) -> Tensor:
        """log |d encoded / d value| of every encoded number, float64 [N, D], nats, in days and seconds for dates and times.

        Added to log-densities it brings them to the data's own units; 0 for levels, indicators and what is missing.
        """
        return torch.from_numpy(self.encoding.log_slope(x.detach().cpu().double().numpy())).to(x.device)

    def augment(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Of a share of the rows some cells gone, under ranks and where gaps were asked for; and the indicators filled in."""
        own = self.encoding
        if not own.ranks and self.missing != "yes":
            return x
        return hidden(x, len(own.modelled), own.indicates, self.hidden, generator)

    # ---- what suits it, and its state ----------------------------------------------------------------------------

    def defaults(self) -> dict[str, Spec]:
        """Parts that suit what was found: see `suiting`."""
        return suiting(self.encoding, self._rows, self.scale == "robust")

    def detecting(self) -> dict[str, Spec]:
        """Parts that suit telling odd rows: see `detecting` beside it."""
        return detecting(self.encoding, self._rows, self.scale == "robust")

    @property
    def likelihoods(self) -> list[Spec]:
        return self.encoding.likelihoods

    def suited(self, encoding: str) -> Self:
        """A copy, not yet fitted, whose scale "auto" is settled by how the likelihood wants columns encoded."""
        return type(self).from_spec(self.spec() | {"scale": encoding if self.scale == "auto" else self.scale})

    def state(self) -> dict[str, Any]:
        """{"columns": one description each, "gappy", "ranks", "backend", "named", "of_counts", "label_names", "notices", …}."""
        if not self.columns:
            raise UsageError("Table: call fit first; until then there is no state")
        return {
            **self.of_rows.state(),
            "gaps": self._gaps,
            "rows": self._rows,
            "backend": self._backend,
            "label_names": self.label_names,
            "notices": dict(self.notices),
            "noticed": self.noticed,
            "named": self.named,
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ArtifactError` if it is no such state."""
        try:
            encoding = Encoding.restored(state)
            names = state["label_names"]
            label_names = None if names is None else [str(name) for name in names]
            notices = {str(k): int(v) for k, v in state["notices"].items()}
            noticed = {str(k): [str(name) for name in v] for k, v in state.get("noticed", {}).items()}
            backend = str(state["backend"])
            named = bool(state.get("named", backend != "array" and "no_header" not in notices))
            rows, gaps = int(state.get("rows", 0)), bool(state.get("gaps", False))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(f"the stored state of Table is damaged ({error!r})") from None
        self.of_rows, self._gaps, self._rows = encoding, gaps, rows
        self.encoding = widened(encoding, self.window)
        self.label_names, self.notices, self.noticed = label_names, notices, noticed
        self._backend, self.named = backend, named
        return self

    def open(self, raw: Any) -> Columns:
        """Any accepted raw form → its columns, read but not yet encoded."""
        return Opener(self.delimiter, self.header, self.decimal).open(raw)

    def _labels(self, table: Columns, known: list[str] | None = None) -> tuple[np.ndarray | None, list[str] | None]:
        assert self.label is not None
        try:
            return as_labels(table.values(self.label), known)
        except DataError as error:
            raise DataError(f"{table.origin}: column {self.label!r}: {error}") from None
