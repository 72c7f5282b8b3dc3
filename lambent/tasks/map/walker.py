"""walker: a small decoder of pictures as a page carries it, to be walked through without Python."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.condition import Category
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.model.trace import fixed
from lambent.tasks.explore import decode, prior_moments
from lambent.tasks.map.heads import Head, head_of
from lambent.tasks.map.program import Program, program_of

MOST_WEIGHTS = 4_000_000  # 16 MB of float32, 21 MB in a page
MOST_PRODUCTS = 300_000_000  # of one picture: about half a second of plain JavaScript
Given = dict[str, Any]
CHECKED = 4  # pictures that the page compares its own with


@dataclass
class Walker:
    """A decoder of one vector of `units` and the numbers of a context, and what it makes of it.

    program, head: its layers, and the function of its raw output; event: the picture, [channels, height, width]. whitest: the
    value that is looked at as white. centre, spread: of every unit under the prior. sphere: codes lie on the unit sphere.
    given: of each condition of names its levels, and the place of the first of them behind the units. checks: codes with their
    context, [few, units + width]; checked: the pictures that Lambent decodes of them, bytes.
    """

    program: Program
    head: Head
    event: tuple[int, int, int]
    whitest: float
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    sphere: bool
    given: dict[str, Given]
    checks: NDArray[np.float32]
    checked: NDArray[np.uint8]


def walker_of(fitted: Fitted, code: Tensor, context: Tensor | None) -> Walker:
    """The decoder of a model for a page; code: those of rows, [rows, units], context: what conditions them, [rows, width].

    Raises `UsageError` that says why, for a model whose decoder a page cannot carry out.
    """
    _refuse(fitted, code)
    model = fitted.model
    head = head_of(model.likelihood)
    if head is None:
        raise UsageError(
            f"what a {type(model.likelihood).__name__} likelihood makes of its decoder's output has no form for a page"
        )
    program = program_of(model.decoder, (code.shape[1] + model.context,))
    _refuse_large(program)
    channels, height, width = model.event_shape
    moments = prior_moments(model, context=None if context is None else context[:1])[0]
    centre, spread = (moment.float().numpy() for moment in moments)
    checked = torch.linspace(0, len(code) - 1, min(CHECKED, len(code))).long()
    pictures = _pictures(fitted, code[checked], None if context is None else context[checked])
    beside = [] if context is None else [context[checked]]
    return Walker(
        program,
        head,
        (channels, height, width),
        _whitest(fitted),
        centre,
        spread,
        model.latent.support == "sphere",
        _given(fitted),
        torch.cat([code[checked], *beside], 1).float().numpy(),
        pictures,
    )


def _refuse(fitted: Fitted, code: Tensor) -> None:
    model = fitted.model
    shape = tuple(model.event_shape)
    if len(shape) != 3 or fitted.pictures(torch.zeros((1, *shape))) is None:
        raise UsageError("its rows are no pictures: sliders move pictures alone")
    if shape[0] not in (1, 3):
        raise UsageError(f"its pictures have {shape[0]} channels, and a page draws grey and colour ones")
    if model.members > 1:
        raise UsageError(f"it is an ensemble of {model.members} members, and a page carries one decoder")
    if len(model.code_shapes) > 1 or not _reads_codes(fitted, code):
        name = type(model.latent).__name__
        raise UsageError(f"between the codes of its {name} latent and its decoder other layers stand; Flat has none")


@torch.no_grad()
def _reads_codes(fitted: Fitted, code: Tensor) -> bool:
    """Whether the decoder reads the very code of the one level there is."""
    model = fitted.model
    if len(model.code_shapes[0]) != 1 or model.latent.grouped:
        return False
    z = code[:1].to(model.device, model.anchor.dtype)
    given = None if not model.context else z.new_zeros((1, model.context))
    hidden, _ = model.latent(None, fixed(z), 1, model._features, given)
    return tuple(hidden.shape) == tuple(z.shape) and bool(torch.equal(hidden, z))


def _refuse_large(program: Program) -> None:
    if len(program.weights) > MOST_WEIGHTS:
        raise UsageError(
            f"its decoder has {len(program.weights):,} weights, and a page carries {MOST_WEIGHTS:,} at most: the file would be "
            "too large"
        )
    if program.products > MOST_PRODUCTS:
        raise UsageError(
            f"its decoder takes {program.products:,} multiplications a picture, and a page takes {MOST_PRODUCTS:,} at most: "
            "the picture would not follow the slider"
        )


def _pictures(fitted: Fitted, code: Tensor, context: Tensor | None) -> NDArray[np.uint8]:
    made: NDArray[np.uint8] = np.asarray(fitted.pictures(decode(fitted, [code], context)))
    return made


def _whitest(fitted: Fitted) -> float:
    """The value of the likelihood's support that is looked at as white: 1, or the highest level."""
    likelihood = fitted.model.likelihood
    levels = float(getattr(likelihood, "levels", 2) - 1)

    def seen(value: float) -> int:
        row = torch.full((1, *fitted.model.event_shape), value)
        return int(np.asarray(fitted.pictures(likelihood.stored(row, fitted.of_bytes))).flat[0])

    for white in dict.fromkeys((1.0, levels)):
        if seen(white) == 255 and abs(seen(white / 2) - 127.5) <= 1:
            return white
    raise UsageError("its pictures are not looked at by a plain scale from black to white")


def _given(fitted: Fitted) -> dict[str, Given]:
    """The levels of each condition of names: the context has a one in the place of the level, and noughts in the others'."""
    return {
        item.name: {"levels": item.levels, "place": fitted.conditions.place(item.name)}
        for item in fitted.conditions.items
        if isinstance(item, Category)
    }


def described(walker: Walker) -> dict[str, Any]:
    """All but the arrays, as plain data."""
    return {
        "operations": walker.program.operations,
        "head": walker.head,
        "event": list(walker.event),
        "whitest": walker.whitest,
        "sphere": walker.sphere,
        "given": walker.given,
    }
