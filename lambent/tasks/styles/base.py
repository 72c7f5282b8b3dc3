"""Styles: where a model has the style of rows; and the wish for one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lambent.data.condition import Category
from lambent.errors import UsageError, nearest
from lambent.fitted import Fitted, Rows
from lambent.tasks.tiles import Tiles


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


class Styles(ABC):
    """Where a model has the style of rows, as vectors [rows, width]: in its context, or in a code of its own."""

    def __init__(self, fitted: Fitted) -> None:
        self.fitted = fitted

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
