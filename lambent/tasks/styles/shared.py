"""Shared: styles as a code of their own, named by training or taken from exemplars."""

from typing import Any

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Rows
from lambent.model.trace import mean
from lambent.tasks.explore import CHUNK
from lambent.tasks.pooling import pooled_mean
from lambent.tasks.styles.base import Styles, Wish
from lambent.tasks.tiles import Tiles


class Shared(Styles):
    """Styles as a code of their own, the first level, which rows of one style share."""

    def read(self, raw: Any, own: Any, wish: Wish, seed: int) -> tuple[Rows, bool]:
        self._check(own, wish)
        return self._without_context(raw, seed), False

    def read_whole(self, tiles: Tiles, x: Tensor, own: Any, wish: Wish, seed: int) -> tuple[Tensor | None, bool]:
        self._check(own, wish)
        return None, False

    def own(self, context: Tensor | None, codes: list[Tensor]) -> Tensor:
        return codes[0]

    def named(self, now: Tensor, name: Any) -> Tensor:
        """The mean style that training has seen under that name."""
        if not self.fitted.conditions:
            raise UsageError(
                "the styles of this model have no names, as it was trained without labels: show one (--like, like=…)"
            )
        context = self.fitted.conditions.given(self._values(name), 1)
        latent: Any = self.fitted.model.latent
        style: Tensor = latent.expected_style(context.to(self.fitted.model.device))
        return style.to(now).expand_as(now)

    @torch.no_grad()
    def shown(self, now: Tensor, exemplars: Any, seed: int) -> Tensor:
        """The mean of q(s | exemplars) ∝ Π_i q(s | x_i): each counts by its precision."""
        model = self.fitted.model
        parts = self._without_context(exemplars, seed).x.split(CHUNK)
        posteriors = [model.infer(part.to(model.device), 1, mean)[0].q for part in parts]
        return pooled_mean(q for q in posteriors if q is not None).to(now).expand_as(now)

    def content(self, codes: list[Tensor]) -> list[Tensor]:
        return codes[1:]

    def moved(self, codes: list[Tensor], style: Tensor) -> tuple[list[Tensor], Tensor | None]:
        return [style, *codes[1:]], None

    def told(self, now: Tensor) -> list[str] | None:
        return None

    def _check(self, own: Any, wish: Wish) -> None:
        """Refuse styles that there are not, before anything is computed."""
        if own is not None:
            raise UsageError(
                "this model reads the style of rows off themselves: leave out which they have (--from, own=…)"
            )
        for name in wish.names:
            self.named(torch.zeros(1, self.fitted.model.latent.sizes_of_levels[0]), name)

    def _without_context(self, raw: Any, seed: int) -> Rows:
        """Rows by themselves, whatever is known of their styles."""
        any_style = {one.name: one.example for one in self.fitted.conditions.items}
        rows = raw if isinstance(raw, Rows) else self.fitted.rows(raw, seed, any_style)
        return Rows(rows.x, None, rows.encoded)
