"""Size of CSV files by trained models of their tables, beside xz and OpenZL; byte for byte.

    python benchmarks/table_archives.py
    python benchmarks/table_archives.py --keep RUNS               # models are kept there, and taken from there again
    python benchmarks/table_archives.py --only Adult

OpenZL needs the package openzl (without it its rows are left out); a model inside an archive needs zstandard. Tables: those of
LAMBENT_DATA or ../shared/data.
"""

import argparse
import lzma
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Record, column

import lambent
from lambent.codec.pack import packed, unpacked
from lambent.codec.tables.slim import slim
from lambent.codec.tables.table import decode_table, encode_table
from lambent.codec.tables.text import sheet
from lambent.data import Table
from lambent.fitted import Fitted

PROTOCOL = (
    "Each file whole, decoded again to the same bytes. The models are trained on the very rows that they compress, as a table "
    "that is archived once would be: columns that see columns (Autoregressive), each in one order, no units left out. *Apart*: "
    "the model is kept elsewhere, and its size is not counted, as where many such files are to come. *Inside*: the archive "
    "carries it, its weights in multiples of 2⁻³, without what coding does not use. xz: preset 9 extreme. OpenZL: its CSV "
    "profile is not in the Python package; here each column is given to it by itself, as strings, and of 23 of its graphs "
    "(integers parsed, tokens sorted, deltas, transposed, entropy-coded, FieldLZ, zstd 19) the smallest is taken, column by "
    "column, which is its training taken to the end. Rates with whatever else the machine was doing: a lower bound."
)
COLUMNS = [
    column("data", "Table"),
    column("codec", "Codec"),
    column("bytes", "Bytes", "", ",d"),
    column("share", "of the file", "%", ".2f"),
    column("model", "of these the model", "", ",d"),
    column("encode", "Encode", "MB/s", ".3f"),
    column("decode", "Decode", "MB/s", ".3f"),
    column("minutes", "Training", "minutes", ".1f"),
]
# Of each table its file, and of two models, the one apart and the one inside: units of a column, numbers of a level, of a code,
# of a hidden layer, passes, rows of a batch.
TABLES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "Adult": ("tables/adult.csv", (32, 8, 4, 32, 6, 256), (16, 4, 4, 32, 8, 256)),
    "NSL-KDD": ("anomaly/nsl-kdd/KDDTrain+_20Percent.txt", (16, 4, 4, 32, 6, 256), (8, 3, 4, 24, 6, 256)),
    "Credit cards": ("anomaly/fraud-sample.csv", (4, 2, 4, 16, 60, 64), (4, 2, 4, 16, 60, 64)),
}
INSIDE = 3  # bits of a weight behind the point


def fitted(path: Path, sizes: tuple[int, ...], keep: Path | None) -> tuple[Fitted, float]:
    """A model trained on the rows of a file, and in how many minutes."""
    width, rank, code, hidden, epochs, batch = sizes
    kept = None if keep is None else keep / f"{path.stem}-{width}"
    if kept is not None and kept.exists():
        return Fitted.of(lambent.load(kept)), float(kept.with_suffix(".minutes").read_text())
    likelihood = Table(scale="ranks").fit(path).defaults()["likelihood"]
    likelihood |= {"width": width, "rank": rank, "dropout": 0.0, "agnostic": 0.1 if likelihood["indicates"] else 0.0}
    began = time.perf_counter()
    vae = lambent.VAE(
        {"type": "Flat", "size": code, "prior": "Standard"},
        likelihood=likelihood,
        network={"type": "Mlp", "width": hidden},
        objective="Elbo",
        modality=Table(scale="ranks", hidden=0.0),
        epochs=epochs,
        batch=batch,
        learning_rate=5e-3,
        validation=0.0,
        threads=1,
    ).fit(path)
    minutes = (time.perf_counter() - began) / 60
    made = Fitted.of(vae)
    if kept is not None:
        made.save(kept)
        kept.with_suffix(".minutes").write_text(f"{minutes:.3f}")
    return made, minutes


def measured(model: Fitted, content: bytes, inside: int) -> dict[str, Any]:
    """Size and speed of a file by a model, that has so many bytes of the archive."""
    began = time.perf_counter()
    data = encode_table(model, content)
    encoded = time.perf_counter()
    assert decode_table(model, data) == content
    decoded = time.perf_counter()
    return {
        "bytes": len(data) + inside,
        "model": inside or None,
        "encode": len(content) / 1e6 / (encoded - began),
        "decode": len(content) / 1e6 / (decoded - encoded),
    }


def by_openzl(content: bytes) -> int | None:
    """Bytes of a table's columns, each by the graph that makes it smallest; None without the package."""
    try:
        import openzl.ext as zl
    except ImportError:
        return None
    found = sheet(content)
    assert found is not None
    return min(of_columns(zl, found.columns, named) for named in (False, True))


def of_columns(zl: Any, columns: list[list[str]], named: bool) -> int:
    """Bytes of columns, of which the first cell is a name, kept beside them, or is not."""
    total = sum(len(own[0]) + 1 for own in columns) if named else 0
    count = len(graphs(zl, zl.Compressor()))
    for own in columns:
        cells = [cell.encode() for cell in own[named:]]
        text = np.frombuffer(b"".join(cells), np.uint8)
        lengths = np.array([len(cell) for cell in cells], np.uint32)
        if len(text):
            total += min(filter(None, (with_graph(zl, number, text, lengths) for number in range(count))))
    return total


def with_graph(zl: Any, number: int, text: Any, lengths: Any) -> int | None:
    """Bytes of a column of strings by one of the graphs; None where it does not fit, as integers do not fit text."""
    compressor, context = zl.Compressor(), zl.CCtx()
    compressor.select_starting_graph(graphs(zl, compressor)[number])
    context.ref_compressor(compressor)
    context.set_parameter(zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION)
    try:
        return len(context.compress([zl.Input(zl.Type.String, text, lengths)]))
    except RuntimeError:
        return None


def graphs(zl: Any, compressor: Any) -> list[Any]:
    """Graphs of a column of strings: as text, as integers, as tokens."""
    g, n, c = zl.graphs, zl.nodes, compressor
    lz, zstd = g.FieldLz(compression_level=9)(c), g.Zstd(compression_level=19)(c)
    numbers = [
        lz,
        n.RangePack()(c, g.Fse()(c)),
        n.RangePack()(c, g.Entropy()(c)),
        n.ConvertNumToSerialLE()(c, zstd),
        n.DeltaInt()(c, lz),
        g.Compress()(c),
        n.ConvertNumToStructLE()(c, n.TransposeSplit()(c, zstd)),
    ]
    sorted_ones = [n.TokenizeNumeric(sort=True)(c, n.DeltaInt()(c, lz), graph) for graph in numbers]
    text = n.SeparateStringComponents()(c, zstd, lz)
    tokens = [n.TokenizeString(sort=True)(c, text, graph) for graph in numbers]
    return [g.Compress()(c), text, *(n.ParseInt()(c, graph) for graph in [*numbers, *sorted_ones]), *tokens]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a folder for the models")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES), help="tables")
    given = parser.parse_args()
    record = Record(RESULTS / "table_archives.json", "Tables in archives", PROTOCOL, COLUMNS, key=("data", "codec"))
    data = Path(os.environ.get("LAMBENT_DATA", "../shared/data"))
    for name in given.only:
        file, apart, inside = TABLES[name]
        content = (data / file).read_bytes()

        def add(codec: str, name: str = name, size: int = len(content), **found: Any) -> None:
            record.add(data=name, codec=codec, **found, share=100 * found["bytes"] / size)

        add("xz -9e", bytes=len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)))
        if (bytes_ := by_openzl(content)) is not None:
            add("OpenZL, each column by its best graph", bytes=bytes_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", lambent.DataWarning)
            model, minutes = fitted(data / file, apart, given.keep)
            add("Lambent, model apart", minutes=minutes, **measured(model, content, 0))
            model, minutes = fitted(data / file, inside, given.keep)
            carried = packed(slim(model), INSIDE)
            add("Lambent, model inside", minutes=minutes, **measured(unpacked(carried), content, len(carried)))


if __name__ == "__main__":
    main()
