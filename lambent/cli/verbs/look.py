"""lambent data FILE: what train would read, and what it would make of it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lambent.cli.reading.plan import Plan, sourced
from lambent.cli.reading.sources import guessed, has_split, settled, split_to_test
from lambent.cli.reading.specs import completed
from lambent.cli.reading.trees import Tree
from lambent.cli.reading.words import in_line
from lambent.cli.voice import Voice
from lambent.data import Encoded, Modality
from lambent.data import load as encode
from lambent.data.kinds.columns.learning import fault
from lambent.data.kinds.table import Table
from lambent.data.loading import raw_rows
from lambent.data.notices import sentences, together
from lambent.data.readers.frames import Columns
from lambent.data.readers.raw import Raw
from lambent.data.splitting import as_labels
from lambent.data.survey import surveyed
from lambent.errors import DataError, UsageError

MOST_COLUMNS = 60  # that are printed; --json gives all
MOST_LABELS = 20


@dataclass(frozen=True)
class Look:
    """Rows as they were opened and, unless they are refused, encoded."""

    raw: Raw
    modality: Modality
    encoded: Encoded | None
    refusal: str | None = None

    @classmethod
    def at(cls, source: str, split: str, fields: Tree) -> "Look":
        """Read as train reads; a table that it refuses is kept with the reason, all other errors are those of train."""
        raw = raw_rows(source, split)
        modality = Modality.from_spec(completed(Modality, fields or None, guessed(raw.rows, fields), "data"))
        raw = replace(raw, rows=modality.open(raw.rows))
        try:
            encoded = encode(raw, split, modality)
            return cls(
                raw, encoded.modality, encoded
            )  # fitted, for what suits the data is chosen by what was found in them
        except DataError as error:
            if not isinstance(raw.rows, Columns):
                raise
            return cls(raw, modality, None, str(error))


def look(source: str, flags: Tree, voice: Voice) -> None:
    """Say what is in a file or a folder; nothing is written."""
    plan = Plan.of(sourced(flags, source))
    plan.check()
    if plan.rows["limit"] is not None:
        raise UsageError("--data.limit is for training; all rows are looked at here")
    request = plan.rows | {"source": settled(source)}
    seen = Look.at(request["source"], request["split"], plan.modality)
    facts = _facts(seen, request) | {"train": plan.described(seen.modality.defaults(), seen.modality.likelihoods)}
    voice.result(facts)
    voice.table(("", ""), _lines(facts))
    if "columns" in facts:
        voice.say()
        shown = [_row(column) for column in facts["columns"][:MOST_COLUMNS]]
        voice.table(("column", "kind", "gaps", "use", "why"), shown, right=(2,))
    if (more := len(facts.get("columns", [])) - MOST_COLUMNS) > 0:
        voice.say(f"and {more:,} columns more; --json gives all")
    if seen.refusal is not None:
        voice.say(f"\nlambent train refuses this table: {seen.refusal}")


def _facts(seen: Look, request: Tree) -> dict[str, Any]:
    """Everything but what would be trained, as plain JSON."""
    encoded = seen.encoded
    noticed = together({}, seen.raw.rows.notices.facts() if encoded is None else encoded.source)
    found = {
        "source": request["source"],
        "kind": type(seen.modality).__name__,
        "split": request["split"],
        "rows": len(encoded) if encoded is not None else len(seen.raw.rows),
        "splits": _splits(request, seen.modality),
        "test": split_to_test(request),
        "shape": None if encoded is None else list(encoded.x.shape[1:]),
        "type": None if encoded is None else str(encoded.x.dtype).removeprefix("torch."),
        "bytes": None if encoded is None else encoded.x.nbytes,
        "labels": _labels(seen),
        **noticed,
        "refusal": seen.refusal,
        **surveyed(seen.raw.rows),
        "summary": {} if encoded is None else seen.modality.summary(encoded.x),
    }
    if isinstance(seen.raw.rows, Columns):
        found["columns"] = [_column(seen, column) for column in found["columns"]]
    return found


def _splits(request: Tree, modality: Modality) -> dict[str, int]:
    """How many rows there are beside those of the split that is looked at, by split."""
    others = [s for s in ("train", "valid", "test") if s != request["split"] and has_split(request["source"], s)]
    return {split: len(modality.open(raw_rows(request["source"], split, several=False).rows)) for split in others}


def _labels(seen: Look) -> dict[str, int] | None:
    """How many rows bear each label."""
    values, names = seen.raw.labels, seen.raw.label_names
    label, rows = getattr(seen.modality, "label", None), seen.raw.rows
    if seen.encoded is not None:
        values, names = seen.encoded.labels, seen.encoded.label_names
    elif label is not None and isinstance(rows, Columns):
        values, names = as_labels(rows.values(label))
    if values is None:
        return None
    codes, counts = np.unique(values, return_counts=True)
    fits = names is not None and len(codes) > 0 and codes[0] >= 0 and codes[-1] < len(names)
    return {names[c] if fits and names else str(c): n for c, n in zip(codes.tolist(), counts.tolist(), strict=True)}


def _column(seen: Look, facts: dict[str, Any]) -> dict[str, Any]:
    """What a column is, why, and what train does with it; before it is known, what its values are."""
    table, name = seen.raw.rows, facts["name"]
    found = None
    if isinstance(seen.modality, Table) and seen.refusal is None:
        found = next((column for column in seen.modality.columns if column.name == name), None)
    if name in getattr(seen.modality, "condition", ()):
        use = "conditions the model"
    elif name == getattr(seen.modality, "label", None):
        use = "label"
    elif name in getattr(seen.modality, "drop", ()):
        use = "left out"
    elif found is not None:
        use = found.use
    elif name == table.index_like():
        use = "left out: an index"
    else:
        why = fault(table, name, getattr(seen.modality, "scale", "auto"))
        use = "learned from" if why is None else f"refused: {why}"
    return facts | {"kind": found and found.kind, "why": found and found.why, "use": use}


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts in words."""
    found = [("data", facts["source"]), ("kind", facts["kind"]), ("rows", f"{facts['rows']:,}")]
    found += [(f"split {split}", f"{count:,} rows") for split, count in facts["splits"].items()]
    test = facts["test"]
    found.append(("to test on", f"split {test}" if isinstance(test, str) else f"{test:g} of the rows, held out"))
    if "array" in facts:
        array = facts["array"]
        shape = " × ".join(map(str, array["shape"]))
        found.append(("array", f"{array['type']}, {shape}, from {_number(array['least'])} to {_number(array['most'])}"))
    if "files" in facts:
        found.append(("files", ", ".join(f"{count:,} {suffix}" for suffix, count in facts["files"].items())))
    if facts["shape"] is not None:
        found.append(("a row", f"{' × '.join(map(str, facts['shape']))} of {facts['type']}"))
        found.append(("in memory", f"{facts['bytes']:,} bytes"))
    if facts["labels"]:
        named = [f"{name} {count:,}" for name, count in list(facts["labels"].items())[:MOST_LABELS]]
        more = ["…"] * (len(facts["labels"]) > MOST_LABELS)
        found.append(("labels", f"{len(facts['labels']):,}: {', '.join([*named, *more])}"))
    found += facts["summary"].items()
    found += [("notice", words) for words in sentences(facts).values()]
    parts = ("latent", "likelihood", "network", "objective")
    return [*found, *((part, in_line(facts["train"][part])) for part in parts)]


def _row(column: dict[str, Any]) -> tuple[str, ...]:
    ends = "" if column["least"] is None else f" from {_number(column['least'])} to {_number(column['most'])}"
    why = column["why"] or f"{column['values']:,} different values{ends}"
    return column["name"], column["kind"] or column["type"], f"{column['gaps']:,}", column["use"], why


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
