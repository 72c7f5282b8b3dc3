"""Opening: any form of a table → its columns, read but not yet encoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data.readers import frames, tabular
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
            return tabular.read_table(raw, self.delimiter, self.header, self.decimal)
        if isinstance(raw, Tensor):
            raw = raw.detach().cpu()
            return frames.from_array((raw.float() if raw.dtype == torch.bfloat16 else raw).numpy())
        if isinstance(raw, np.ndarray):
            return frames.from_array(raw)
        if hasattr(raw, "toarray"):
            raise DataError(
                "a sparse matrix is no table; give its dense form, matrix.toarray(), or say that it counts genes in cells, "
                'modality="Cells"'
            )
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
