"""restyle: rows with their own content in another style, which is named, or taken from exemplars."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.tasks.explore import decode, encode
from lambent.tasks.styles.base import Styles, Wish
from lambent.tasks.styles.conditioned import Conditioned
from lambent.tasks.styles.detail import carried, share_of
from lambent.tasks.styles.shared import Shared
from lambent.tasks.tiles import Tiles


@dataclass(frozen=True)
class Restyled:
    """x: restyled rows [rows, *event] in stored units; rows: what they were made of.

    own: of each row the style that it was read under, by name; None where a model reads styles off the rows themselves.
    guessed: whether these were the likeliest ones, as the rows do not tell.
    """

    x: Tensor
    rows: Rows
    own: list[str] | None = None
    guessed: bool = False


def restyle(
    fitted: Any,
    raw: Any,
    to: Any = None,
    like: Any = None,
    strength: float = 1.0,
    mix: float | None = None,
    own: Any = None,
    detail: float | None = None,
    seed: int = 0,
) -> Restyled:
    """Rows through the code of their content, and back in another style.

    A model under conditions has styles by name: a row is read under its own, z = E q(z | x, c), and decoded under the other,
    E p(x | z, c'). A model with `Styled` codes has one of style beside those of content; it knows the styles of training by name,
    and takes others from exemplars that it has never seen.

    to: the name of a style, or {condition: value}; of a model with several conditions rows keep the rest. like: exemplars, raw
    rows that share one style. strength: from 0, the rows' own style, to 1. mix: the share of a second style: then two are named
    in `to`, shown in `like`, or one in each, the named first. own: the style that rows have; by default what they tell, or
    else the likeliest by the bound. detail: the share d, from 0 to 1, of what the code lost of a picture that is carried over,
    x' + d (x − x''), x' decoded in the other style and x'' in its own: 0 is the decoder's picture alone, and 1 under a picture's
    own style the picture itself; by default 0.4 of pictures. seed: of rows that are drawn, as in `Fitted.rows`.
    Errors: `UsageError` for a model without styles, or of another kind than is asked for; those of `Fitted.rows`.
    """
    fitted = Fitted.of(fitted)
    styles = styles_of(fitted)
    wish, share = Wish.of(to, like, strength, mix), share_of(fitted, detail)
    taken, guessed = styles.read(raw, own, wish, seed)
    codes = encode(fitted, taken.x, taken.context)
    now = styles.own(taken.context, codes)
    x = decode(fitted, *styles.moved(codes, wish.style(styles, now, seed)))
    if share:
        x = carried(fitted, x, taken.x, decode(fitted, *styles.moved(codes, now)), share)
    return Restyled(x, taken, styles.told(now), guessed)


def restyle_whole(
    tiles: Tiles,
    x: Tensor,
    to: Any = None,
    like: Any = None,
    strength: float = 1.0,
    mix: float | None = None,
    own: Any = None,
    detail: float | None = None,
    seed: int = 0,
) -> Restyled:
    """The same for one photograph of any size, a row [1, channels, height, width] as `Tiles.photographs` gives it, in tiles."""
    styles = styles_of(tiles.fitted)
    wish, share = Wish.of(to, like, strength, mix), share_of(tiles.fitted, detail)
    context, guessed = styles.read_whole(tiles, x, own, wish, seed)
    codes = tiles.encode(x, context)
    now = styles.own(context, codes)
    size = (x.shape[2], x.shape[3])

    def decoded(style: Tensor) -> Tensor:
        moved, under = styles.moved(codes, style)
        return tiles.decode(moved, size, under)

    made = decoded(wish.style(styles, now, seed))
    if share:
        made = carried(tiles.fitted, made, x, decoded(now), share)
    return Restyled(made, Rows(x, context), styles.told(now), guessed)


def styles_of(fitted: Fitted) -> Styles:
    """Where a model has its styles; `UsageError` for one that has none."""
    if fitted.model.latent.grouped:
        return Shared(fitted)
    if fitted.conditions:
        return Conditioned(fitted)
    if fitted.model.context:
        raise UsageError("this model's context has no names: decode its codes under another, reconstruct(under=…)")
    raise UsageError(
        "this model knows no styles: train one under a label of style (--condition label), or with a code of style beside "
        "those of content (--latent Styled --condition label)"
    )
