"""A model in float64, made once for many calls."""

import copy
from dataclasses import replace

from torch import Tensor

from lambent.fitted import Fitted


class Precise:
    """The float64 copy of a Fitted, made when it is first asked for, and again when the model is no longer what was copied."""

    def __init__(self) -> None:
        self._state: list[tuple[Tensor, int]] = []
        self._copy: Fitted | None = None

    def of(self, fitted: Fitted) -> Fitted:
        """The copy; what changes a model, such as `fit_prior`, puts other tensors into it or counts their versions up."""
        state = [(tensor, tensor._version) for tensor in fitted.model.state_dict(keep_vars=True).values()]
        if self._copy is None or not _same(self._state, state):
            self._copy = replace(fitted, model=copy.deepcopy(fitted.model).double())
            self._state = state
        return self._copy

    def __reduce__(self) -> tuple[type["Precise"], tuple[()]]:
        return Precise, ()  # neither pickled nor copied: it can be made again


def _same(then: list[tuple[Tensor, int]], now: list[tuple[Tensor, int]]) -> bool:
    return len(then) == len(now) and all(a is b and n == m for (a, n), (b, m) in zip(then, now, strict=True))
