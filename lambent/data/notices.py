"""Notices: what was noticed of data, as counts in a source's record, and the same in sentences."""

import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lambent.errors import DataWarning

SHOWN = 8  # names that a sentence lists
# Each in the singular and, where there is one, the plural; {n}: how many, {names}: which.
SENTENCES: dict[str, tuple[str, str]] = {
    "all_constant": (
        "the only column is the same in every row: {names}",
        "all {n} columns are the same in every row: {names}",
    ),
    "constant": (
        "1 column is the same in every row, and left out of the model: {names} (samples and reconstructions have it)",
        "{n} columns are the same in every row, and left out of the model: {names} (samples and reconstructions have them)",
    ),
    "identifiers": (
        "1 column tells rows apart, and is left out of the model: {names} (made rows get new ones of the same format)",
        "{n} columns tell rows apart, and are left out of the model: {names} (made rows get new ones of the same format)",
    ),
    "free_text": (
        "1 column is free text, and left out of the model: {names} (made rows have none)",
        "{n} columns are free text, and left out of the model: {names} (made rows have none)",
    ),
    "empty_columns": (
        "1 column is empty, and left out of the model: {names}",
        "{n} columns are empty, and left out of the model: {names}",
    ),
    "merged_levels": (
        "1 column has levels so rare that they count as one, other: {names}",
        "{n} columns have levels so rare that they count as one, other: {names}",
    ),
    "ignored_columns": (
        "1 column that the model was not trained on is left out: {names}",
        "{n} columns that the model was not trained on are left out: {names}",
    ),
    "dropped_index": ("1 column is an index saved along, and left out: {names}",) * 2,
    "changed": ("{names}",) * 2,
    "far": ("{names}",) * 2,
    "by_position": ("{names}",) * 2,
    "low_counts": (
        "the numbers are low counts: they are not scaled, and NegativeBinomial suits them (for a density of measurements "
        "choose the Gaussian likelihood and the scale standard)",
    )
    * 2,
    "alpha_on_white": (
        "1 picture has transparency, which is laid on white (--data.bands all keeps it as a band of its own)",
        "{n} pictures have transparency, which is laid on white (--data.bands all keeps it as a band of its own)",
    ),
    "alpha_kept": (
        "1 picture has transparency, which is kept as the last band",
        "{n} pictures have transparency, which is kept as the last band",
    ),
    "decimal_comma": (
        "numbers are written with decimal commas in 1 column, and read so: {names}",
        "numbers are written with decimal commas in {n} columns, and read so: {names}",
    ),
    "cut_texts": (
        "1 text is longer than the tokens that a text may have, and cut (--data.length says how many)",
        "{n} texts are longer than the tokens that a text may have, and cut (--data.length says how many)",
    ),
    "empty_texts": ("1 text is empty, and left out", "{n} texts are empty, and left out"),
    "replaced_bytes": (
        "1 place in the file is not UTF-8, and was replaced by \N{REPLACEMENT CHARACTER}",
        "{n} places in the file are not UTF-8, and were replaced by \N{REPLACEMENT CHARACTER}",
    ),
    "surrogates": (
        "1 text holds half of a character, which was replaced by \N{REPLACEMENT CHARACTER}",
        "{n} texts hold halves of characters, which were replaced by \N{REPLACEMENT CHARACTER}",
    ),
    "no_header": ("the file has no row of names: its columns are called x0, x1, …",) * 2,
    "cells_left_out": (
        "1 cell with too few counts is left out (least_counts: {names})",
        "{n} cells with too few counts are left out (least_counts: {names})",
    ),
    "rare_genes": (
        "1 gene that is found in too few cells is left out (least_cells: {names})",
        "{n} genes that are found in too few cells are left out (least_cells: {names})",
    ),
    "less_variable_genes": (
        "1 gene that varies less than those that are kept is left out",
        "{n} genes that vary less than those that are kept are left out",
    ),
    "stored_zeros": (
        "1 nought is stored as if it were a count, which changes nothing",
        "{n} noughts are stored as if they were counts, which changes nothing",
    ),
    "repeated_genes": (
        "1 gene has a name that another has, and is numbered: {names}",
        "{n} genes have names that others have, and are numbered: {names}",
    ),
    "absent_genes": (
        "1 gene that the model knows is not in these data, and taken as found in no cell: {names}",
        "{n} genes that the model knows are not in these data, and taken as found in no cell: {names}",
    ),
    "other_features": (
        "1 feature is no gene, and left out: {names}",
        "{n} features are no genes, and left out: {names}",
    ),
    "from_layer": ("X holds no counts: those of {names} are taken",) * 2,
    "read_as_latin1": ("the file is not in UTF-8, and was read as Latin-1",) * 2,
}
WARNED = (
    "all_constant",
    "constant",
    "identifiers",
    "free_text",
    "empty_columns",
    "low_counts",
    "far",
    "decimal_comma",
    "ignored_columns",
    "by_position",
    "changed",
    "cells_left_out",
    "repeated_genes",
    "absent_genes",
    "from_layer",
)


class Notices(Counter[str]):
    """How often what was noticed, and of which columns or files, where that is known, in `names`."""

    def __init__(
        self, counts: Mapping[str, int] | None = None, names: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        super().__init__(counts or {})
        self.names: dict[str, list[str]] = {what: list(which) for what, which in (names or {}).items()}

    def note(self, what: str, name: str) -> None:
        """Count one, by name."""
        self[what] += 1
        self.names.setdefault(what, []).append(name)

    def facts(self) -> dict[str, Any]:
        """For a source's record: {"notices": counts, "noticed": names}."""
        return {"notices": dict(self), **({"noticed": self.names} if self.names else {})}


def together(learned: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Two records of notices as one: what is in both is counted as in the later."""
    counts = {**(learned.get("notices") or {}), **(fresh.get("notices") or {})}
    names = {**(learned.get("noticed") or {}), **(fresh.get("noticed") or {})}
    return {"notices": counts, **({"noticed": names} if names else {})}


def sentences(source: Mapping[str, Any], but: Iterable[str] = ()) -> dict[str, str]:
    """What a source's record says was noticed, in words."""
    counts, names = source.get("notices") or {}, source.get("noticed") or {}
    return {what: _sentence(what, counts[what], names.get(what, [])) for what in sorted(counts) if what not in but}


def _sentence(what: str, count: int, names: list[str]) -> str:
    apart = "; " if what in ("changed", "far", "by_position") else ", "
    listed = apart.join(name or "one without a name" for name in names[:SHOWN])
    listed += f" and {count - SHOWN:,} more" if len(names) > SHOWN else ""
    if what in SENTENCES and (names or "{names}" not in SENTENCES[what][0]):
        return SENTENCES[what][count != 1].format(n=f"{count:,}", names=listed)
    said = what if " " in what else what.replace("_", " ")  # one in words already may name files
    return f"{said}: {count:,}" + (f" ({listed})" if names else "")


def warned(source: Mapping[str, Any]) -> None:
    """Warn, at the user's own line, of what changes a result: columns left out, matched by place, read in another way."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "lambent":
        depth, frame = depth + 1, frame.f_back
    for what, words in sentences(source).items():
        if what in WARNED:
            warnings.warn(words, DataWarning, stacklevel=depth)
