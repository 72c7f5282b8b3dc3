"""Opening: any form of a table → its columns, read but not yet encoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data.readers import arrays, delimited, frames
from lambent.data.readers import regular as files
from lambent.data.readers.frames import Columns
from lambent.errors import DataError


@dataclass(frozen=True)
class Opener:
    """How text files are read: what separates fields, where names are, and what stands before fractions."""

    delimiter: str | None = None
    header: str = "auto"
    decimal: str = "auto"

    def open(self, raw: Any) -> Columns:
        """A path, a frame, an array or rows of rows → its columns; `DataError` for what is no table, with what to give."""
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
