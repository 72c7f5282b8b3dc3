"""Labels by name for rows of a run: those that rows bring along, or a column of their table that the model has not learned."""

from dataclasses import replace
from typing import Any

from lambent.cli.reading.sources import has_split, settled
from lambent.data import Encoded
from lambent.data.kinds.table import Table
from lambent.data.loading import raw_rows
from lambent.errors import UsageError
from lambent.tasks.features.labels import OWN


def with_label(encoded: Encoded, name: str, source: str, split: str) -> Encoded:
    """Rows with the label of that name beside them, read from their table where they do not bring it along.

    Errors: `UsageError` for a column that the model was trained on, `DataError` where there is none of that name.
    """
    table = encoded.modality
    if not isinstance(table, Table) or name in encoded.beside:
        return encoded
    if encoded.labels is not None and name in (OWN, table.label):
        return encoded
    if any(column.name == name and column.width for column in table.columns):
        raise UsageError(
            f"--label {name}: the model was trained on that column, so that its codes hold it; train without: lambent train "
            f"DATA --data.label {name}"
        )
    opened = table.open(raw_rows(settled(source), split).rows)
    values = opened.values(name)  # which says what there is, where there is no such column
    own = values if encoded.numbers is None else values[encoded.numbers]
    return replace(encoded, beside={**encoded.beside, name: own})


def source_of(provenance: dict[str, Any], data: str | None, split: str | None) -> tuple[str, str]:
    """Where rows are read from, and which split: as they are named, or the run's own, by default those of its test."""
    if data is not None:
        return data, split or ("test" if has_split(settled(data), "test") else "train")
    request = provenance.get("request")
    if not isinstance(request, dict):
        return "", split or "train"
    own, test = str(request.get("split", "train")), request.get("test")
    if split in (None, "test", test):
        own = test if isinstance(test, str) else own  # a share is cut off the split that is trained on
    elif split != "train":
        own = split
    return str(request.get("source", "")), own
