"""Piecewise: which reader takes a file a piece at a time."""

import zipfile
from pathlib import Path

from lambent.data.readers import arrays, tabular
from lambent.data.readers import regular as files
from lambent.data.readers.pieces import ArrayPieces, MemberPieces, Pieces
from lambent.data.readers.table_pieces import DelimitedPieces, FeatherPieces, ParquetPieces
from lambent.errors import DataError


def pieces_of(
    source: str | Path,
    split: str = "train",
    delimiter: str | None = None,
    header: str = "auto",
    decimal: str = "auto",
) -> Pieces:
    """The reader of a .npy, .npz, Parquet, Feather or CSV file; `DataError` for a file of another kind."""
    file, key = arrays.divided(source)
    if arrays.is_array_file(source):
        if zipfile.is_zipfile(file):
            return MemberPieces(file, key, split)
        arrays.whole_split(split, file)
        return ArrayPieces(file)
    arrays.whole_split(split, file)
    kind = tabular.format_of(files.regular(file))
    if kind == "parquet":
        return ParquetPieces(file)
    if kind == "feather":
        return FeatherPieces(file)
    if tabular.is_table(file):
        return DelimitedPieces(file, delimiter, header, decimal)
    raise DataError(
        f"{file}: is not read a piece at a time; .npy, .npz, Parquet, Feather, CSV and folders of images are"
    )
