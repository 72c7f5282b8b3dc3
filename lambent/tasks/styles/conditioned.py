"""Conditioned: styles by name, the context of a model under conditions."""

from typing import Any

import torch
from torch import Tensor

from lambent.data.condition import Category, Condition
from lambent.errors import DataError, UsageError
from lambent.fitted import Rows
from lambent.model.bounded import want_bound
from lambent.tasks.predict import Prediction, predict
from lambent.tasks.styles.base import Styles, Wish
from lambent.tasks.tiles import Tiles

SAMPLES = 8  # of the bound by which the likeliest style is told


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
        what = f"the {condition.name} of these rows, which they do not tell, cannot be guessed"
        instead = "say what it is (--from, own=…)"
        if not isinstance(condition, Category):
            raise UsageError(f"{what}, for it has no levels: {instead}")
        want_bound(self.fitted.model, what, instead)

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
            "code of style (--latent Styled --condition label)"
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
