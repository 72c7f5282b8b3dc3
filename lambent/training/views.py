"""Views of a batch, told apart: what a checkpoint remembers of the functions that change the rows."""

import functools
import hashlib
import inspect
import re
import types
from typing import Any

from torch import Tensor, nn

from lambent.data.batches import Transform
from lambent.part import Part

PLAIN = (bool, int, float, complex, str, bytes, type(None))


def described(view: Transform | None) -> str | None:
    """A name for what a view does: equal names, equal views, as far as code and plain values tell.

    A part's method: the part's spec. A function: its module, its name, and a hash of its code, its defaults and the plain
    values that it closes over. Anything else that can be called: its repr without addresses, and a hash of its code.
    """
    if view is None:
        return None
    owner = getattr(view, "__self__", None)
    if isinstance(owner, Part):
        return f"{view.__name__} of {owner!r}"
    if owner is not None and isinstance(view, types.MethodType):
        function = view.__func__
        code = f" {_hash(function)}" if isinstance(function, types.FunctionType) else ""
        return f"{_name(view)} of {_shown(owner)}{code}"
    if isinstance(view, functools.partial):
        return f"partial of {described(view.func)} {_plain((view.args, tuple(sorted(view.keywords.items()))))}"
    if isinstance(view, types.FunctionType):
        return f"{_name(view)} {_hash(view)}"
    own = getattr(type(view), "forward" if isinstance(view, nn.Module) else "__call__")
    return f"{_shown(view)}{f' {_hash(own)}' if isinstance(own, types.FunctionType) else ''}"


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _shown(owner: Any) -> str:
    return re.sub(r"(?<= at )0x[0-9a-fA-F]+", "…", repr(owner))


def _hash(function: types.FunctionType) -> str:
    closed = [] if function.__closure__ is None else [_cell(cell) for cell in function.__closure__]
    defaults = (function.__defaults__ or (), tuple(sorted((function.__kwdefaults__ or {}).items())))
    told = f"{_code(function.__code__)} {_plain(defaults)} {closed}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _code(code: types.CodeType) -> str:
    """Instructions and constants; not where they stand in a file."""
    constants = [_code(c) if inspect.iscode(c) else _plain(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _cell(cell: types.CellType) -> str:
    try:
        return _plain(cell.cell_contents)
    except ValueError:  # not filled yet: a function that names itself
        return "empty"


def _plain(value: Any) -> str:
    """A value that cannot change as it is; of a list that a view may fill while it runs, only what it is."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, (tuple, frozenset)):
        inner = [_plain(v) for v in value]
        return f"({', '.join(inner if isinstance(value, tuple) else sorted(inner))})"
    if isinstance(value, Tensor):
        return f"tensor {hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]}"
    if isinstance(value, Part):
        return repr(value)
    if isinstance(value, types.FunctionType):
        return f"{_name(value)} {_code(value.__code__)}"
    return type(value).__qualname__
