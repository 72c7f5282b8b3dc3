"""restyle: rows with their own content in another style, which is named, or taken from exemplars."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lambent.data.condition import Category, Condition
from lambent.errors import DataError, UsageError, nearest
from lambent.fitted import Fitted, Rows
from lambent.tasks.explore import decode, encode
from lambent.tasks.predict import Prediction, predict
from lambent.tasks.tiles import Tiles

SAMPLES = 8  # of the bound by which the likeliest style is told


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
    seed: int = 0,
) -> Restyled:
    """Rows through the code of their content, and back in another style.

    A model under conditions has styles by name: a row is read under its own, z = E q(z | x, c), and decoded under the other,
    E p(x | z, c'). A model with `Styled` codes has one of style beside those of content; it knows the styles of training by name,
    and takes others from exemplars that it has never seen.

    to: the name of a style, or {condition: value}; of a model with several conditions rows keep the rest. like: exemplars, raw
    rows that share one style. strength: from 0, the rows' own style, to 1. mix: the share of a second style: then two are named
    in `to`, shown in `like`, or one in each, the named first. own: the style that rows have; by default what they tell, or
    else the likeliest by the bound. seed: of rows that are drawn, as in `Fitted.rows`.
    Errors: `UsageError` for a model without styles, or of another kind than is asked for; those of `Fitted.rows`.
    """
    fitted = Fitted.of(fitted)
    styles = Styles.of(fitted)
    wish = Wish.of(to, like, strength, mix)
    taken, guessed = styles.read(raw, own, wish, seed)
    codes = encode(fitted, taken.x, taken.context)
    now = styles.own(taken.context, codes)
    x = decode(fitted, *styles.moved(codes, wish.style(styles, now, seed)))
    return Restyled(x, taken, styles.told(now), guessed)


def restyle_whole(
    tiles: Tiles,
    x: Tensor,
    to: Any = None,
    like: Any = None,
    strength: float = 1.0,
    mix: float | None = None,
    own: Any = None,
    seed: int = 0,
) -> Restyled:
    """The same for one photograph of any size, a row [1, channels, height, width] as `Tiles.photographs` gives it, in tiles."""
    styles = Styles.of(tiles.fitted)
    wish = Wish.of(to, like, strength, mix)
    context, guessed = styles.read_whole(tiles, x, own, wish, seed)
    codes = tiles.encode(x, context)
    now = styles.own(context, codes)
    moved, under = styles.moved(codes, wish.style(styles, now, seed))
    height, width = x.shape[2:]
    return Restyled(tiles.decode(moved, (height, width), under), Rows(x, context), styles.told(now), guessed)


@dataclass(frozen=True)
class Wish:
    """Which styles are asked for, and how much of them."""

    names: list[Any]
    exemplars: list[Any]
    strength: float
    mix: float

    @classmethod
    def of(cls, to: Any, like: Any, strength: float, mix: float | None) -> "Wish":
        """Once it is certain that as many styles are given as strength and mix need."""
        for name, value in {"strength": strength, "mix": mix}.items():
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} lies between 0 and 1, not at {value}")
        names, exemplars = _several(to, mix), _several(like, mix)
        count = len(names) + len(exemplars)
        if not count:
            raise UsageError("name a style (--to, to=…) or show one (--like, like=…)")
        if mix is None and count > 1:
            raise UsageError("one style is taken at a time, named or shown: mix says how much of a second")
        if mix is not None and count != 2:
            raise UsageError(f"mix is the share of a second style: name or show two, not {count}")
        return cls(names, exemplars, float(strength), 0.0 if mix is None else float(mix))

    def style(self, styles: "Styles", now: Tensor, seed: int) -> Tensor:
        """That style, for rows whose own is `now`, [rows, width]."""
        wanted = [styles.named(now, name) for name in self.names]
        wanted += [styles.shown(now, each, seed) for each in self.exemplars]
        target = torch.lerp(wanted[0], wanted[1], self.mix) if len(wanted) > 1 else wanted[0]
        return torch.lerp(now, target, self.strength)


def _several(given: Any, mix: float | None) -> list[Any]:
    """One style, or each of two that are mixed."""
    if given is None:
        return []
    return list(given) if mix is not None and isinstance(given, (list, tuple)) else [given]


# ---- where a model has its styles ------------------------------------------------------------------------------------


class Styles(ABC):
    """Where a model has the style of rows, as vectors [rows, width]: in its context, or in a code of its own."""

    def __init__(self, fitted: Fitted) -> None:
        self.fitted = fitted

    @staticmethod
    def of(fitted: Fitted) -> "Styles":
        """Those of a model; `UsageError` for one that has none."""
        if fitted.model.latent.grouped:
            return Shared(fitted)
        if fitted.conditions:
            return Conditioned(fitted)
        if fitted.model.context:
            raise UsageError("this model's context has no names: decode its codes under another, reconstruct(under=…)")
        raise UsageError(
            "this model knows no styles: train one under a label of style (--condition label), or with a code of style beside "
            "those of content (--latent Styled)"
        )

    @abstractmethod
    def read(self, raw: Any, own: Any, wish: Wish, seed: int) -> tuple[Rows, bool]:
        """The rows under their own style, and whether this had to be guessed."""

    @abstractmethod
    def read_whole(self, tiles: Tiles, x: Tensor, own: Any, wish: Wish, seed: int) -> tuple[Tensor | None, bool]:
        """The context of one photograph in its own style, and whether this had to be guessed."""

    @abstractmethod
    def own(self, context: Tensor | None, codes: list[Tensor]) -> Tensor:
        """The style of rows that were read so."""

    @abstractmethod
    def named(self, now: Tensor, name: Any) -> Tensor:
        """The style of that name, for rows whose own is `now`."""

    @abstractmethod
    def shown(self, now: Tensor, exemplars: Any, seed: int) -> Tensor:
        """The style that exemplars share, for rows whose own is `now`."""

    @abstractmethod
    def content(self, codes: list[Tensor]) -> list[Tensor]:
        """The codes of content alone."""

    @abstractmethod
    def moved(self, codes: list[Tensor], style: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The codes of that content in that style, and the context to decode them under."""

    @abstractmethod
    def told(self, now: Tensor) -> list[str] | None:
        """The names of the rows' own styles, where they have names."""


class Conditioned(Styles):
    """Styles by name: the context of a model under conditions."""

    def read(self, raw: Any, own: Any, wish: Wish, seed: int) -> tuple[Rows, bool]:
        self._check(wish)
        if own is not None:
            return self.fitted.rows(raw, seed, self._values(own)), False
        if isinstance(raw, Rows):
            return raw, False
        condition = self._asked(wish)
        silent = self.fitted.rows(raw, seed, {condition.name: condition.example})
        try:
            return self.fitted.rows(raw if silent.encoded is None else silent.encoded, seed), False
        except (DataError, UsageError):  # neither a column beside the rows nor a folder's name tells
            self._refuse_guess(condition)
        found = predict(self.fitted, silent, condition.name, SAMPLES)
        assert isinstance(found, Prediction)
        assert silent.context is not None
        return Rows(silent.x, self._under(silent.context, condition.name, found.likeliest), silent.encoded), True

    def read_whole(self, tiles: Tiles, x: Tensor, own: Any, wish: Wish, seed: int) -> tuple[Tensor | None, bool]:
        self._check(wish)
        conditions = self.fitted.conditions
        if own is not None:
            return conditions.given(self._values(own), 1), False
        condition = self._asked(wish)
        self._refuse_guess(condition)
        contexts = [
            conditions.given({condition.name: level}, 1)
            for level in self.fitted.conditions.category(condition.name).levels
        ]
        scores = [float(tiles.score(x, 1, seed, context).elbo) for context in contexts]
        return contexts[scores.index(max(scores))], True

    def _check(self, wish: Wish) -> None:
        """Refuse styles that there are not, before anything is computed."""
        for name in wish.names:
            self.named(torch.zeros(1, self.fitted.conditions.width), name)
        for _ in wish.exemplars:
            self.shown(torch.zeros(1, self.fitted.conditions.width), None, 0)

    def _asked(self, wish: Wish) -> Condition:
        """The condition that is the style."""
        items = self.fitted.conditions.items
        wanted = next(iter(self._values(wish.names[0]))) if wish.names else items[0].name
        return next((one for one in items if one.name == wanted), items[0])

    def _refuse_guess(self, condition: Condition) -> None:
        """Refuse rows that do not tell their style where a model cannot say which is the likeliest."""
        bounded = self.fitted.model.latent.density and self.fitted.model.likelihood.normalized
        if bounded and isinstance(condition, Category):
            return
        why = f"and this model ({self.fitted.model.latent.inference}) has no bound to guess it by"
        raise UsageError(f"these rows do not tell their own {condition.name}, {why}: say what it is (--from, own=…)")

    def _under(self, context: Tensor, name: str, levels: list[str]) -> Tensor:
        """A context [rows, width] with a level of each row's own in one of its conditions."""
        for level in set(levels):
            here = torch.tensor([each == level for each in levels])
            context = torch.where(here[:, None], self.fitted.conditions.replaced(context, {name: level}), context)
        return context

    def own(self, context: Tensor | None, codes: list[Tensor]) -> Tensor:
        if context is None:
            raise UsageError("these rows were taken without what conditions the model: give the data they come from")
        return context

    def named(self, now: Tensor, name: Any) -> Tensor:
        return self.fitted.conditions.replaced(now, self._values(name))

    def shown(self, now: Tensor, exemplars: Any, seed: int) -> Tensor:
        raise UsageError(
            f"this model knows its styles by name ({self._listed()}), and takes none from pictures: name one, or train with a "
            "code of style (--latent Styled)"
        )

    def content(self, codes: list[Tensor]) -> list[Tensor]:
        return codes

    def moved(self, codes: list[Tensor], style: Tensor) -> tuple[list[Tensor], Tensor | None]:
        return codes, style

    def told(self, now: Tensor) -> list[str] | None:
        """Levels of all conditions, parted by commas; those of numbers are left out."""
        parts = zip(self.fitted.conditions.items, now.split(self.fitted.conditions.widths, 1), strict=True)
        levels = [[one.levels[i] for i in part.argmax(1).tolist()] for one, part in parts if isinstance(one, Category)]
        return [", ".join(each) for each in zip(*levels, strict=True)] if levels else None

    def _values(self, style: Any) -> Mapping[str, Any]:
        """A style as values of conditions: a mapping as it is, a bare value that of the condition which knows it."""
        if isinstance(style, Mapping):
            return style
        items = self.fitted.conditions.items
        knowing = [one.name for one in items if isinstance(one, Category) and str(style) in one.levels]
        if len(knowing) > 1:
            raise UsageError(
                f"{style!r} is a level of {' and of '.join(knowing)}: say which, such as {knowing[0]}={style}"
            )
        if knowing or len(items) == 1:
            return {(knowing or [items[0].name])[0]: style}
        levels = [level for one in items if isinstance(one, Category) for level in one.levels]
        raise UsageError(
            f"no style is called {str(style)!r}; {nearest(str(style), levels) if levels else self._listed()}"
        )

    def _listed(self) -> str:
        return "; ".join(f"{one.name}: {one.known}" for one in self.fitted.conditions.items)


class Shared(Styles):
    """Styles as a code of their own, the first level, which rows of one style share."""

    def content(self, codes: list[Tensor]) -> list[Tensor]:
        return codes[1:]

    def moved(self, codes: list[Tensor], style: Tensor) -> tuple[list[Tensor], Tensor | None]:
        return [style, *codes[1:]], None

    def own(self, context: Tensor | None, codes: list[Tensor]) -> Tensor:
        return codes[0]
