"""--codes: codes from a file or from the prior in the place of rows and an encoder, for the verbs that walk between them."""

import zipfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lambent.cli.folder import opened
from lambent.cli.reading.flags import Parser, filled, import_modules
from lambent.data.conditions import named
from lambent.errors import DataError, UsageError
from lambent.fitted import Fitted
from lambent.part import Shape, elements
from lambent.tasks import explore

PRIOR = "prior"
DRAWN = 1000  # codes of the prior, of which a number names one: always so many, so that a number means the same one


def add_codes(parser: Parser) -> None:
    """--codes, for a model without an encoder or for codes that were found otherwise."""
    parser.add_argument(
        "--codes",
        type=filled("--codes"),
        metavar="FILE|prior",
        help="codes in place of rows: an .npz that `lambent invert` or `lambent embed` wrote, or prior: draws of it by --seed; "
        "numbers of rows are then numbers of codes",
    )


def names_of_levels(levels: int) -> list[str]:
    """What codes are called in a file, the top level first."""
    return ["z"] if levels == 1 else [f"level{level + 1}_z" for level in range(levels)]


def opened_with_codes(options: Namespace, numbers: Sequence[int]) -> tuple[Fitted, list[Tensor], Tensor | None]:
    """The model, the codes of these numbers at every level, and the context that --given makes for each of them."""
    if options.data is not None:
        raise UsageError(f"--codes takes the place of rows: leave {options.data} out, or --codes")
    import_modules(options.modules)
    _, fitted = opened(options.run, options.device, options.threads)
    count = DRAWN if options.codes == PRIOR else 0
    context = fitted.given(named(options.given), max(count, len(numbers)))
    if options.codes == PRIOR:
        codes = explore.prior_codes(fitted, DRAWN, options.seed, context)
    else:
        codes = read_codes(options.codes, fitted.model.code_shapes)
    for number in numbers:
        if not 0 <= number < len(codes[0]):
            raise UsageError(f"there are codes 0 … {len(codes[0]) - 1}, and no {number}")
    index = torch.tensor(list(numbers))
    return fitted, [level[index] for level in codes], None if context is None else context[: len(numbers)]


def read_codes(path: str, shapes: Sequence[Shape]) -> list[Tensor]:
    """The codes in an .npz, of every level, the top first, each [rows, *shape]; `DataError` where they are not this model's."""
    wanted = names_of_levels(len(shapes))
    if Path(path).suffix.lower() != ".npz":
        raise UsageError(
            f"--codes {path}: codes are read from an .npz, which `lambent invert RUN --out codes.npz` writes"
        )
    try:
        with np.load(path) as held:
            missing = [name for name in wanted if name not in held]
            if missing:
                raise DataError(
                    f"{path}: holds no array {missing[0]!r}, and codes of this model are {', '.join(wanted)}"
                )
            arrays = [np.asarray(held[name], np.float32) for name in wanted]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as an .npz ({error})") from None
    for name, array, shape in zip(wanted, arrays, shapes, strict=True):
        if array.ndim < 2 or elements(array.shape[1:]) != elements(shape) or len(array) != len(arrays[0]):
            raise DataError(
                f"{path}: {name} has shape {list(array.shape)}, and this model's codes are {[*shape]} for each row"
            )
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds numbers that are not finite")
    return [torch.from_numpy(array).reshape(-1, *shape) for array, shape in zip(arrays, shapes, strict=True)]
