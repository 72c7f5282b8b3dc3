"""Loading: any source → encoded rows, with the modality that suits it."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lambent.data.catalog import entries as catalog
from lambent.data.conditions import Conditions
from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.table import Table
from lambent.data.notices import together
from lambent.data.readers import arrays, idx, pictures, sql, tabular
from lambent.data.readers import regular as files
from lambent.data.readers.raw import Raw
from lambent.data.splitting import as_labels, numbers, sides
from lambent.errors import DataError, UsageError, nearest
from lambent.part import Spec, registered

NARROW = 8  # numbers of the shorter side, below which an array is hardly of pictures


def load(source: Any, split: str = "train", modality: Modality | Spec | str | None = None) -> Encoded:
    """Rows of a catalog name, a path, an array, a tensor or a frame, by a modality fitted to them.

    A modality that is not given is guessed: 3 and 4 axes and folders are images; 2 axes, frames, CSV and Parquet are
    tables. Raises `DataError` for what cannot be read, with the nearest name of the catalog.
    """
    raw, chosen = _opened(raw_rows(source, split), _unfitted(modality))
    return _fitted(raw, chosen, ())


def load_parted(
    source: Any,
    fractions: float | tuple[float, ...],
    seed: int = 0,
    split: str = "train",
    modality: Modality | Spec | str | None = None,
) -> tuple[Encoded, ...]:
    """`load`, and a share of the rows held out (or several, each of what the one before has left): (kept, held, …).

    The modality is fitted to the rows that are kept, without having seen the others. The rows are those that
    `lambent.data.split` would hold out. Raises `UsageError` unless 0 < fraction < 1, `DataError` if a part would be empty.
    """
    (kept, *held), chosen = _parted(raw_rows(source, split), _unfitted(modality), fractions, seed)
    return _fitted(kept, chosen, held), *(encoded(chosen, part) for part in held)


def load_cut(
    source: Any, cut: Callable[[Encoded], Sequence[np.ndarray]], modality: Modality | Spec | str | None = None
) -> tuple[Encoded, ...]:
    """All rows, encoded by a modality fitted to all; then those that `cut` makes of them, by one fitted to its first alone.

    cut: of the encoded rows the numbers of those of each part; a part without rows is left out.
    """
    opened, chosen = _opened(raw_rows(source), _unfitted(modality))
    anew = Modality.from_spec(chosen.spec())
    whole = _fitted(opened, chosen, ())
    kept, *held = [opened.take(index) for index in cut(whole) if len(index)]
    return whole, _fitted(kept, anew, held), *(encoded(anew, part) for part in held)


def encode_like(modality: Modality, source: Any, split: str = "train", convert: bool = True) -> Encoded:
    """Rows of any source that `load` takes, encoded by a modality that is fitted already.

    convert: False refuses what would have to be converted and was not when the modality was fitted, such as arrays of
    pictures of another size.
    """
    raw = raw_rows(source, split, several=False)
    if not convert:
        raw = replace(raw, rows=modality.open(raw.rows))
        if why := modality.foreign(raw.rows):
            raise DataError(f"{raw.facts.get('name') or raw.facts.get('path', 'the data')}: {why}")
    return encoded(modality, raw)


def parted_like(
    modality: Modality, source: Any, fractions: float | tuple[float, ...], seed: int = 0, split: str = "train"
) -> tuple[Encoded, ...]:
    """The rows of `load_parted` again, encoded by the modality that it fitted."""
    parts, chosen = _parted(raw_rows(source, split), modality, fractions, seed)
    return tuple(encoded(chosen, part) for part in parts)


def _unfitted(modality: Modality | Spec | str | None) -> Modality | Spec | str | None:
    """A copy of what is about to be fitted: rows that an instance was fitted to before are still read by it."""
    return modality.spec() if isinstance(modality, Modality) else modality


def _opened(raw: Raw, modality: Modality | Spec | str | None) -> tuple[Raw, Modality]:
    """The rows read, and the modality for them, not yet fitted."""
    if modality is None and raw.facts.get("name") is not None:
        modality = catalog.entry_named(raw.facts["name"])[0].modality
    chosen = guess(raw.rows) if modality is None else Modality.from_spec(modality)
    return replace(raw, rows=chosen.open(raw.rows)), chosen


def _parted(
    raw: Raw, modality: Modality | Spec | str | None, fractions: float | tuple[float, ...], seed: int
) -> tuple[list[Raw], Modality]:
    opened, chosen = _opened(raw, modality)
    # Windows are made of each part by itself, so that none reaches over the cut.
    parts = sides(len(opened.rows), fractions, seed, min(1, chosen.ordered))
    if len(parts) == 1:
        return [opened], chosen
    return [opened.take(side.index, part=side.facts) for side in parts], chosen


def _fitted(raw: Raw, chosen: Modality, held: Sequence[Raw]) -> Encoded:
    chosen.fit(raw.rows).allow(part.rows for part in held)
    found = encoded(chosen, raw)
    if chosen.condition:
        chosen.conditions = Conditions.fit(
            {name: named_beside(found.beside, name) for name in chosen.condition}, gaps=True
        )
        found.context = chosen.conditions.encode(found.beside, gaps=True)
    learned = {"notices": getattr(chosen, "notices", {}), "noticed": getattr(chosen, "noticed", {})}
    if found.label_names is not None:
        chosen.label_names = found.label_names  # so that later data get the same codes
    found.source |= together(learned, found.source)
    return found


def named_beside(beside: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The column of that name beside the rows; `UsageError` with the nearest name if there is none."""
    if name not in beside:
        unlabelled = "they have no labels (of a table, data.label names the column that holds them)"
        there = nearest(name, beside) if beside else unlabelled
        raise UsageError(f"condition {name!r}: these data have nothing of that name beside them; {there}")
    return beside[name]


def suggested(source: Any, split: str = "train") -> Modality:
    """The modality that a source suggests, by its name in the catalog or its form, not yet fitted."""
    raw = raw_rows(source, split)
    if raw.facts.get("name") is not None:
        return Modality.from_spec(catalog.entry_named(raw.facts["name"])[0].modality)
    return guess(raw.rows)


def guess(rows: Any) -> Modality:
    """The modality that the form of the data suggests; `DataError` if it suggests none."""
    if (kind := claimed(rows)) is not None:
        return kind()
    if isinstance(rows, np.ndarray):
        if rows.ndim in (3, 4):
            refuse_windows(rows)
            return Image()
        if rows.ndim == 2 or rows.dtype.names:
            return Table()
        raise DataError(f"an array of shape {rows.shape} is no table [N, D] and no images [N, H, W]")
    if isinstance(rows, (pictures.Pictures, list)) or (isinstance(rows, Path) and rows.is_dir()):
        return Image()
    if isinstance(rows, Path):
        return Table() if rows.suffix.lower() not in pictures.SUFFIXES else Image()
    return Table()


def claimed(source: Any) -> type[Modality] | None:
    """The kind of data that says that a path or an object is its own; None where it is to be told by its form."""
    return next((kind for kind in registered(Modality).values() if kind.claims(source)), None)


def refuse_windows(rows: np.ndarray) -> None:
    """Ask what an array of three axes holds that could be windows of a series as well as pictures; `DataError` says how.

    Pictures are about as wide as high, and their floats lie in [0, 1]. Asked about are rows at least twice as long as wide whose
    shorter side has fewer than 8 numbers, or whose floats lie outside of [0, 1]; and those with fewer than 8 whose floats do.
    """
    if rows.ndim != 3 or not all(rows.shape[1:]):
        return
    high, wide = rows.shape[1:]
    narrow, long = min(high, wide) < NARROW, max(high, wide) >= 2 * min(high, wide)
    if not (narrow and long) and not ((narrow or long) and _beyond_unit(rows)):
        return
    raise DataError(
        f"an array of shape {rows.shape} could be {len(rows):,} windows of {high} steps by {wide} channels, or as many pictures "
        f"of {high} × {wide}. Say which: windows as rows of a table, x.reshape(len(x), -1); pictures by naming the kind of "
        'data, modality="Image" (--data Image)'
    )


def _beyond_unit(rows: np.ndarray) -> bool:
    """Whether any of an array's floats lies outside of [0, 1]."""
    return rows.dtype.kind == "f" and rows.size > 0 and not bool(((rows >= 0) & (rows <= 1)).all())


def raw_rows(source: Any, split: str = "train", several: bool = True) -> Raw:
    """A source's raw rows with what lies beside them; `several`: one picture alone is too little to learn from."""
    if isinstance(source, str) and source.partition("?")[0] in catalog.CATALOG:
        return catalog.raw(source, split)
    if isinstance(source, str) and not source:
        raise DataError(
            f"the name of the data is empty; give a path (. for this folder) or a data set. {nearest('', NAMES)}"
        )
    if isinstance(source, (str, Path)):
        return _from_path(source, split, several)
    if isinstance(source, Raw):
        return source
    if isinstance(source, Tensor):
        values = source.detach().cpu()
        return Raw((values if values.dtype.itemsize != 2 else values.float()).numpy(), facts={"name": None})
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], (str, Path)):
        return Raw(list(source))
    if claimed(source) is not None:
        return Raw(source)
    if isinstance(source, (list, tuple)):
        try:
            return Raw(np.asarray(source))
        except ValueError:
            raise DataError("a ragged list is no table: all rows need the same length") from None
    return Raw(source)


def _from_path(source: str | Path, split: str, several: bool) -> Raw:
    if isinstance(source, str) and sql.is_url(source):
        arrays.whole_split(split, Path(sql.masked(source)))
        return Raw(sql.read_url(source), facts={"path": sql.masked(source)})
    path = Path(source)
    if _exists(path) and claimed(path) is not None:
        arrays.whole_split(split, path)
        return Raw(path, facts={"path": str(path)})
    if arrays.is_array_file(source):
        return arrays.read(source, split)
    if not _exists(path):
        raise DataError(
            f"{source}: no such file or folder, and no data set of that name; {nearest(str(source), NAMES)}"
        )
    if path.is_dir():
        inner = folder_of(path, split)
        if inner is None:
            arrays.whole_split(split, path)
            inner = path
        return Raw(inner, facts={"path": str(inner)})
    files.regular(path)
    if idx.is_idx_file(path):
        return idx.read(path, split)
    arrays.whole_split(split, path)
    if several and path.suffix.lower() in pictures.SUFFIXES:
        raise DataError(f"{path}: is one picture; give the folder with all of them")
    if path.suffix.lower() not in pictures.SUFFIXES and not tabular.is_table(path) and claimed(path) is None:
        kinds = f"{', '.join(tabular.SUFFIXES)}, .csv.gz, .log, .smi, .jsonl, .npy, .npz, IDX or a folder of images or texts"
        raise DataError(f"{path}: of unknown kind; {kinds} are read")
    return Raw(path, facts={"path": str(path)})


def folder_of(path: Path, split: str) -> Path | None:
    """The folder in `path` that holds a split, under any of its usual names (val, valid, validation)."""
    same = [name for name, meant in arrays.SPLITS.items() if meant == arrays.SPLITS.get(split)]
    return next((path / name for name in (split, *same) if (path / name).is_dir()), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def encoded(modality: Modality, raw: Raw) -> Encoded:
    """Opened rows as a fitted modality encodes them, with the labels beside them, and with their context if all is there.

    Without a context are rows that lack a condition, or have a level that was never seen: they may be taken under another.
    """
    found = modality.read(raw.rows)
    if raw.labels is not None:
        if len(raw.labels) != len(found):
            raise DataError(f"{raw.facts.get('path', 'the source')}: {len(raw.labels)} labels for {len(found)} rows")
        try:
            found.labels, found.label_names = as_labels(raw.labels, getattr(modality, "label_names", None))
        except DataError as error:
            raise DataError(f"{raw.facts.get('path', 'the source')}: {error}") from None
        found.label_names = found.label_names or raw.label_names
    if found.labels is not None:
        label = getattr(modality, "label", None)
        found.beside |= dict.fromkeys(
            ("label", *([label] if label else [])), named_labels(found.labels, found.label_names)
        )
    if modality.conditions:
        with suppress(DataError):  # `conditioned` says what is wrong, where they are asked for it
            found.context = modality.conditions.encode(found.beside, gaps=True)
    found.factors, found.factor_names = raw.factors, raw.factor_names
    facts = {key: value for key, value in raw.facts.items() if value is not None}
    found.source = {"split": "train"} | facts | found.source
    outer = numbers(raw.facts.get("part"))
    if outer is not None and not modality.numbered:
        found.numbers = outer if found.numbers is None else outer[found.numbers]
    if found.files is not None and ("path" in facts or "name" in facts):
        root = facts.get("path") or os.path.commonpath([os.path.dirname(path) for path in found.files])
        found.files = [os.path.relpath(path, root) for path in found.files]
    return found


def named_labels(labels: np.ndarray, names: list[str] | None) -> np.ndarray:
    """The labels by name, where they have names: numbers of classes say less, and depend on which classes there are.

    Names that are all numbers, not all of them whole, are a quantity: they come as float64, and a missing one as NaN.
    """
    if names is None or (len(labels) and not 0 <= labels.min() <= labels.max() < len(names)):
        return labels
    try:
        values = np.array([float(name or "nan") for name in names], np.float64)
        quantity = bool((values != np.rint(values)).any())
    except ValueError:
        quantity = False
    named: np.ndarray = (values if quantity else np.array(names, dtype=object))[labels]
    return named


NAMES = tuple(catalog.CATALOG)
