"""Table: rows of named columns as float32 [N, D]."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds import columns
from lambent.data.kinds.census import are_counts
from lambent.data.kinds.columns import Column, Constant, Learner, Numeric
from lambent.data.kinds.matching import matched
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.notices import Notices
from lambent.data.readers import arrays, delimited, frames
from lambent.data.readers import regular as files
from lambent.data.readers.frames import Columns
from lambent.data.splitting import as_labels, digest
from lambent.errors import ArtifactError, DataError, UsageError, nearest
from lambent.part import Shape, Spec, option

FRAMES = ("pandas", "polars", "pyarrow")
MOST_VALUES = 2**23  # that all columns together may hold while a table is learned in pieces
MOST_UNITS = 16
PRIOR: Spec = {"type": "Mixture", "components": 10, "covariance": "full"}
FEW = 10_000  # rows up to which the narrower network is enough
SAMPLE = 2**14  # of which each column may hold these whatever their number


class Table(Modality):
    """Numeric columns, float32 [N, D], each scaled to (value − centre) / scale in float64.

    Takes a CSV or Parquet path, a data frame (pandas, polars, pyarrow, …) or a 2-D array. New data are matched by
    column name, in any order; columns that were not fitted are left out and told. A column that is the same in every row is
    no part of the encoded rows: it is kept here, and comes back from `decode`.
    """

    no_paper = "a kind of data"

    scale: Literal["auto", "standard", "robust", "none"] = option(
        "centre and scale of a column: mean and deviation, median and quartiles (with a likelihood that squashes what lies "
        "far out), or 0 and 1; auto: 0 and 1 for low counts, else mean and deviation",
        default="auto",
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
        self.columns: list[Column] = []
        self.label_names: list[str] | None = None
        self.notices: dict[str, int] = {}
        self.noticed: dict[str, list[str]] = {}  # the columns and cells behind the notices
        self.of_counts = False  # low counts
        self._backend, self.named, self._rows = "array", False, 0

    @property
    def event(self) -> Shape:
        """(D,)."""
        if not self.columns:
            raise UsageError("Table: call fit first; until then its columns are not known")
        return (sum(column.width for column in self.columns),)

    def fit(self, raw: Any) -> Self:
        """Learn names, centres and scales; `DataError` names the columns that hold text and the first such cell."""
        return self._learn([raw], None)

    def learn(self, pieces: Iterable[Any]) -> Self:
        """`fit` on a table in pieces: the same numbers to the bit; of large tables the quartiles come from a sample."""
        return self._learn(pieces, MOST_VALUES)

    def _learn(self, pieces: Iterable[Any], most: int | None) -> Self:
        learners: dict[str, Learner] = {}
        notices = Notices()
        labels: set[str] = set()
        rows = 0
        for table in map(self.open, pieces):
            if not learners:
                notices = Notices(table.notices, table.notices.names)
                learners = self._learners(table, notices, most)
                self._backend, self.named = table.backend, table.named
            for one in learners.values():
                one.add(table)
            labels.update((self._labels(table, sorted(labels))[1] or []) if self.label else [])
            rows += len(table)
        if not rows:
            raise DataError("there are no rows to learn from")
        self._rows = rows
        self._settle(list(learners.values()), notices)
        if most and self.scale == "robust" and rows > max(SAMPLE, most // len(learners)):
            notices["quartiles_from_a_sample"] = len(self.columns)
        self.label_names = sorted(labels) or None
        self.notices, self.noticed = dict(notices), notices.names
        return self

    def _settle(self, learned: list[Learner], notices: Notices) -> None:
        """The columns, with what is to be told of them. Where none varies, all stay: there is nothing else."""
        varying = [one for one in learned if not one.constant]
        seen = [(one.census, mean, deviation**2) for one in varying for mean, deviation in (one.moments.values(),)]
        self.of_counts = self.scale in ("auto", "none") and are_counts(seen)
        scale: columns.Scale = self.scale
        if scale == "auto":
            scale = "none" if self.of_counts else "standard"
        self.columns = [one.left_out() if varying and one.constant else one.column(scale) for one in learned]
        for column in self.columns:
            if what := column.notice():
                notices.note(what, column.name)
        if self.of_counts:
            notices["low_counts"] = len(varying)
        elif scale != "robust":
            self._note_far(varying, notices)

    def _note_far(self, learned: list[Learner], notices: Notices) -> None:
        for one in learned:
            for cell in one.census.far():
                advice = "mend or leave out the cell, or take the scale robust (--data.scale robust)"
                notices.note("far", f"{cell.words(one.name)}: {advice}")

    def _learners(self, table: Columns, notices: Notices, most: int | None) -> dict[str, Learner]:
        """One for each column that is learned from, by what the first rows hold."""
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
        share = None if most is None else max(SAMPLE, most // len(names))
        chosen = {name: columns.learner(table, name, self.scale, share) for name in names}
        self._refuse_text(table, [name for name, one in chosen.items() if one is None])
        return {name: one for name, one in chosen.items() if one is not None}

    def unchanging(self, shape: Shape, dtype: np.dtype) -> bool:
        """Whether an array's rows are their own encoding: float32, no column dropped, every scale 1 and centre 0."""
        plain = all(isinstance(c, Numeric) and c.centre == 0 and c.scale == 1 for c in self.columns)
        whole = not self.drop and self.label is None and not self.condition
        return dtype == np.float32 and tuple(shape) == self.event and plain and whole

    def encode(self, raw: Any) -> Tensor:
        """Raw rows → float32 [N, D]; `DataError` names a missing column or the row and column of a bad cell."""
        return self.read(raw).x

    def read(self, raw: Any) -> Encoded:
        """`encode`, with the label column as labels where the data have it."""
        width = self.event[0]
        table = self.open(raw)
        notices = Notices(table.notices, table.notices.names)
        known = {self.label, *self.drop, *self.condition}
        table = matched(table, [column.name for column in self.columns], self.named, known, notices)
        out = files.empty((table.rows, width), np.dtype(np.float32), table.origin)
        place = 0
        for column in self.columns:
            out[:, place : place + column.width] = column.encode(table)
            place += column.width
            if isinstance(column, Constant):
                _note_changed(table, column, notices)
        labels, names = None, None
        if self.label and self.label in table:
            labels, names = self._labels(table, self.label_names)
        x = torch.from_numpy(out)
        source = {"rows": len(x), "sha256": digest(x), **notices.facts()}
        found = {name: table.values(name) for name in self._beside() if name in table}
        return Encoded(x, self, labels, names, source=source, beside=found)

    @property
    def names(self) -> list[str]:
        """The names of the encoded columns, in order."""
        return [column.name for column in self.columns for _ in range(column.width)]

    def column(self, name: str) -> Column:
        """The column of that name; `UsageError` with the nearest name if there is none."""
        found = next((column for column in self.columns if column.name == name), None)
        if found is None:
            raise UsageError(f"there is no column {name!r}; {nearest(name, [column.name for column in self.columns])}")
        return found

    def log_slope(self, x: Tensor) -> Tensor:
        """−log scale of each column, 0 where a value is missing."""
        scales = [column.scale if isinstance(column, Numeric) else 1.0 for column in self.columns if column.width]
        slopes = -torch.tensor(scales, dtype=torch.float64).log().expand(len(x), -1)
        return slopes.masked_fill(torch.isnan(x.cpu()), 0.0)

    def _beside(self) -> list[str]:
        """The columns that condition; "label" may stand for the column of labels, which is read as such."""
        return [name for name in self.condition if name != self.label and not (name == "label" and self.label)]

    def decode(self, x: Tensor) -> Any:
        """[N, D] → the original units: an array if it was fitted on one, else a frame of the library it came from."""
        if x.ndim != 2 or x.shape[1] != self.event[0]:
            raise DataError(f"rows to decode have shape {tuple(x.shape)}; [N, {self.event[0]}] fits")
        values = x.detach().cpu().double().numpy()
        decoded: dict[str, np.ndarray] = {}
        place = 0
        for column in self.columns:
            decoded[column.name] = column.decode(values[:, place : place + column.width])
            place += column.width
        if self._backend == "array":
            return np.stack(list(decoded.values()), axis=1)
        import narwhals as nw

        return nw.from_dict(decoded, backend=_installed(self._backend)).to_native()

    def defaults(self) -> dict[str, Spec]:
        """A Student's t with predicted scales; of low counts a NegativeBinomial, under the robust scale a JohnsonSU.

        As many units as columns, 16 at most, under a mixture of ten Gaussians; a network that starts from principal components.
        Under a Gaussian one far row may decide a whole bound. Chosen over small tables: see `benchmarks/tables.py`.
        """
        likelihood: Spec = {"type": "StudentT", "scale": "predicted"}
        if self.of_counts:
            likelihood = {"type": "NegativeBinomial"}
        elif self.scale == "robust":
            likelihood = {"type": "JohnsonSU"}
        latent = {
            "type": "Flat",
            "size": min(MOST_UNITS, *self.event) if self.columns else MOST_UNITS,
            "prior": dict(PRIOR),
        }
        network = {"type": "Mlp", "width": 128 if self._rows <= FEW else 256, "linear": True}
        return {"likelihood": likelihood, "latent": latent, "network": network}

    def suited(self, discrete: bool) -> Self:
        """A copy, not yet fitted, whose scale "auto" is settled by what the likelihood holds: probabilities or densities."""
        scale = {"auto": "none" if discrete else "standard"}.get(self.scale, self.scale)
        return type(self).from_spec(self.spec() | {"scale": scale})

    def state(self) -> dict[str, Any]:
        """{"columns": one description each, "backend", "named", "of_counts", "label_names", "notices", "noticed"}."""
        if not self.columns:
            raise UsageError("Table: call fit first; until then there is no state")
        return {
            "columns": [column.state() for column in self.columns],
            "backend": self._backend,
            "label_names": self.label_names,
            "notices": dict(self.notices),
            "noticed": self.noticed,
            "named": self.named,
            "of_counts": self.of_counts,
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ArtifactError` if it is no such state."""
        try:
            found = [columns.restored(column) for column in state["columns"]]
            names = state["label_names"]
            label_names = None if names is None else [str(name) for name in names]
            notices = {str(k): int(v) for k, v in state["notices"].items()}
            noticed = {str(k): [str(name) for name in v] for k, v in state.get("noticed", {}).items()}
            backend = str(state["backend"])
            named = bool(state.get("named", backend != "array" and "no_header" not in notices))
            of_counts = bool(state.get("of_counts", False))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(f"the stored state of Table is damaged ({error!r})") from None
        if not found or len({column.name for column in found}) != len(found):
            raise ArtifactError("the stored state of Table has no columns, or two of one name")
        self.columns, self.label_names, self.notices, self.noticed = found, label_names, notices, noticed
        self._backend, self.named, self.of_counts = backend, named, of_counts
        return self

    def open(self, raw: Any) -> Columns:
        """Any accepted raw form → its columns, read but not yet scaled."""
        if isinstance(raw, Columns):
            return raw
        if isinstance(raw, (str, Path)):
            return self._file(Path(raw), raw)
        if isinstance(raw, Tensor):
            raw = raw.detach().cpu()
            return frames.from_array((raw.float() if raw.dtype == torch.bfloat16 else raw).numpy())
        if isinstance(raw, np.ndarray):
            return frames.from_array(raw)
        if hasattr(raw, "toarray"):
            raise DataError("a sparse matrix is no table; give its dense form, matrix.toarray()")
        if isinstance(raw, dict):
            raise DataError("a dict is no table; make a data frame of it, pandas.DataFrame(columns)")
        if frames.is_frame(raw):
            return frames.from_frame(raw)
        try:
            array = np.asarray(raw)
            if not array.ndim:
                raise ValueError
            return frames.from_array(array)
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"a {type(raw).__name__} is no table; a table has two axes: give a frame, a path or a 2-D array"
            ) from None

    def _file(self, path: Path, raw: str | Path) -> Columns:
        if arrays.is_array_file(raw):
            return frames.from_array(arrays.read(raw).rows)
        with files.regular(path).open("rb") as stream:
            start = stream.read(4)
        if start == b"PAR1":
            return frames.read_parquet(path)
        for mark, kind in {b"PK\3\4": "a workbook or zip", b"\x1f\x8b": "gzip"}.items():
            if start.startswith(mark):
                raise DataError(f"{path}: is {kind} inside; unpack it, or save it as CSV or Parquet")
        if path.suffix.lower() in (".parquet", ".pq"):
            return frames.read_parquet(path)  # which says what is wrong with it
        return delimited.read_csv(path, self.delimiter, self.header, self.decimal)

    def _labels(self, table: Columns, known: list[str] | None = None) -> tuple[np.ndarray | None, list[str] | None]:
        assert self.label is not None
        try:
            return as_labels(table.values(self.label), known)
        except DataError as error:
            raise DataError(f"{table.origin}: column {self.label!r}: {error}") from None

    def _refuse_text(self, table: Columns, names: list[str]) -> None:
        if not names:
            return
        cells = {name: frames.first_text(table.values(name)) for name in names}
        for name in (name for name, row in cells.items() if row is None):
            frames.numbers(table, name)  # numbers after all, but ones that no float holds: refused there
        # The telling cell is in the column that holds numbers the longest.
        name, row = max(cells.items(), key=lambda item: item[1] or 0)
        frames.refuse_cell(
            table,
            name,
            row or 0,
            f". Columns that hold text or dates: {frames.listed(names, 12)}. "
            "Mend the cells, leave the columns out with --data.drop, make one the label (--data.label), "
            "or condition on them (--condition); in Python Table(drop=…, label=…), VAE(condition=…)",
        )


def _note_changed(table: Columns, column: Constant, notices: Notices) -> None:
    """Note the rows that differ from what every row had that was learned from."""
    rows = column.changed(table)
    if not len(rows):
        return
    values = table.values(column.name)
    cells = [f"row {table.place(int(row)) + 1} is {float(values[row]):g}" for row in rows[:3]]
    more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    notices["changed"] += len(rows)
    notices.names.setdefault("changed", []).append(
        f"column {column.name!r} was {column.value:g} in every row that was learned from, and is not here: "
        f"{', '.join(cells)}{more}. The model knows nothing of this column, and no score counts it"
    )


def _installed(backend: str) -> Any:
    preferred = (backend, *FRAMES)
    return next(name for name in preferred if name in FRAMES and importlib.util.find_spec(name) is not None)
