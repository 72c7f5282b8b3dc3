"""Learning: the columns of a table, a piece at a time: what was seen of each, and what each becomes."""

from collections.abc import Sequence
from typing import Literal

from lambent.data.kinds.census import are_counts
from lambent.data.kinds.columns import kinds
from lambent.data.kinds.columns.base import LEFT_OUT, NAMED, TIMES, Column, Kind
from lambent.data.kinds.columns.cells import TEXT, has_long
from lambent.data.kinds.columns.encoding import Encoding
from lambent.data.kinds.columns.left_out import Empty
from lambent.data.kinds.columns.numeric import Learner, Scale
from lambent.data.kinds.columns.settling import column_of
from lambent.data.kinds.columns.tally import Tally
from lambent.data.notices import Notices
from lambent.data.readers import frames
from lambent.data.readers.frames import Columns
from lambent.errors import DataError, UsageError, nearest

Asked = Literal["auto", "standard", "robust", "none", "ranks", "mixed"]
BY_KIND = ("ranks", "mixed")  # scales of tables whose columns are encoded each by its kind
MOST_VALUES = 2**23  # that all columns together may hold while a table is learned in pieces
SAMPLE = 2**14  # of which each column may hold these whatever their number
DIFFERENT = 2**16  # values of a column that are counted each, while a table is learned in pieces


class Learning:
    """The columns of a table that are being learned; `most`: values that all may hold together, None for all there are."""

    def __init__(
        self, table: Columns, names: Sequence[str], scale: Asked, asked: dict[str, str], most: int | None
    ) -> None:
        for name in asked:
            if name not in table:
                raise UsageError(
                    f"{table.origin}: kinds: has no column {name!r}; {nearest(name, filter(None, table.names[:200]))}"
                )
        self.origin, self.names, self.scale, self.asked = table.origin, list(names), scale, asked
        self.share = None if most is None else max(SAMPLE, most // len(names))
        self.rows = 0
        others = [name for name in names if not self._is_plain(table, name)]
        if scale in ("standard", "robust", "none"):
            refuse_text(table, [name for name in others if asked.get(name) not in LEFT_OUT])
        if others or scale in BY_KIND or any(asked.get(name) in (*NAMED, *TIMES) for name in names):
            tallied = list(names) if scale in ("auto", *BY_KIND) else [*others, *asked]
        else:
            tallied = [name for name in names if name in asked]
        self.plain = {
            name: Learner(name, scale, self.share) for name in names if name not in others and scale not in BY_KIND
        }
        most = None if self.share is None else min(self.share, DIFFERENT)
        self.tallies = {name: Tally(name, most) for name in names if name in tallied}

    def _is_plain(self, table: Columns, name: str) -> bool:
        """Whether a column holds plain numbers; truth values are such in an array, or where a scale is asked for."""
        declared = table.declared(name).type
        if declared in TEXT or (
            declared == "Boolean" and table.backend != "array" and self.scale in ("auto", *BY_KIND)
        ):
            return False
        values = table.values(name)
        return values.dtype.kind in "biuf" and not has_long(values)

    def add(self, table: Columns) -> None:
        """Take in the next rows."""
        for learner in self.plain.values():
            learner.add(table)
        for tally in self.tallies.values():
            tally.add(table)
        self.rows += len(table)

    @property
    def sampled(self) -> list[str]:
        """The columns that had more values than are held, so that their quantiles and frequencies come from a sample."""
        if self.scale == "robust" and self.share is not None and self.rows > self.share:
            return list(self.plain)
        return [name for name, tally in self.tallies.items() if tally.rate < 1]

    def learned(self, notices: Notices) -> Encoding:
        """The columns, once all rows were taken in, with what is to be told of them."""
        found = {name: self._kind(tally) for name, tally in self.tallies.items()}
        modelled = [name for name, kind in found.items() if kind.name not in LEFT_OUT]
        by_kind = self.scale in BY_KIND or any(
            name not in self.plain or self.asked.get(name) in (*NAMED, *TIMES) for name in modelled
        )
        made = self._by_kind(found) if by_kind else self._by_scale(found, notices)
        for column in made.columns:
            if (what := column.notice()) and self.asked.get(column.name) != column.kind:  # who said so need not be told
                notices.note(what, column.name)
        return made

    def _kind(self, tally: Tally) -> Kind:
        if tally.name in self.asked:
            return kinds.declared(tally, self.asked[tally.name], self.origin)
        return kinds.kind_of(tally)

    def _by_kind(self, found: dict[str, Kind]) -> Encoding:
        leaves = self.scale == "mixed"
        columns = [column_of(self.tallies[name], found[name], leaves) for name in self.names]
        if all(not column.width for column in columns):
            told = "; ".join(f"{column.name!r}: {column.why}" for column in columns[:8])
            raise DataError(f"{self.origin}: no columns are left to learn from ({told})")
        gaps = [column.name for column in columns if column.width and self.tallies[column.name].gaps]
        return Encoding(columns, gaps, ranks=not leaves, leaves=leaves)

    def _by_scale(self, found: dict[str, Kind], notices: Notices) -> Encoding:
        """Scaled numbers. Where none varies, all stay: there is nothing else."""
        outside = {name: kind for name, kind in found.items() if kind.name in LEFT_OUT and self._leaves_out(name)}
        empty = [name for name, one in self.plain.items() if one.empty]
        learned = [one for name, one in self.plain.items() if name not in outside and name not in empty]
        if not learned:
            told = (
                "no cell holds a value"
                if empty and not outside
                else "; ".join(f"{n!r}: {k.why}" for n, k in outside.items())
            )
            raise DataError(f"{self.origin}: no columns are left to learn from ({told})")
        varying = [one for one in learned if not one.constant]
        seen = [(one.census, mean, deviation**2) for one in varying for mean, deviation in (one.moments.values(),)]
        of_counts = self.scale in ("auto", "none") and are_counts(seen)
        scale: Scale = self.scale if self.scale in ("robust", "none") else "none" if of_counts else "standard"
        columns: dict[str, Column] = {name: column_of(self.tallies[name], kind) for name, kind in outside.items()}
        columns |= {name: Empty(name, why="no cell holds a value") for name in empty if name not in columns}
        for one in learned:
            columns[one.name] = one.left_out() if varying and one.constant else one.column(scale, found.get(one.name))
        if of_counts:
            notices["low_counts"] = len(varying)
        elif scale != "robust":
            _note_far(varying, notices)
        gaps = [one.name for one in learned if one.gaps and columns[one.name].width]
        return Encoding([columns[name] for name in self.names], gaps, of_counts=of_counts)

    def _leaves_out(self, name: str) -> bool:
        """Whether a kind is one that leaves a column out of a table of plain numbers: these all stay, unless you say so."""
        return name not in self.plain or name in self.asked


def fault(table: Columns, name: str, scale: Asked) -> str | None:
    """Why a column cannot be learned from, in words; None where it can."""
    try:
        if scale not in ("auto", "ranks") and table.values(name).dtype.kind not in "biuf":
            refuse_text(table, [name])
        tally = Tally(name)
        tally.add(table)
        kinds.kind_of(tally)
    except DataError as error:
        return str(error).removeprefix(f"{table.origin}: column {name!r}, ")
    return None


def _note_far(learned: list[Learner], notices: Notices) -> None:
    for one in learned:
        for cell in one.census.far():
            advice = "mend or leave out the cell, or take the scale robust (--data.scale robust)"
            notices.note("far", f"{cell.words(one.name)}: {advice}")


def refuse_text(table: Columns, names: list[str]) -> None:
    """Refuse columns that hold text, dates or durations where a scale asks for numbers."""
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
        f". Columns that hold text or dates: {frames.listed(names, 12)}. The scale that was asked for is one of numbers: "
        "take the scale auto, leave the columns out with --data.drop, make one the label (--data.label), "
        "or condition on them (--condition); in Python Table(drop=…, label=…), VAE(condition=…)",
    )
