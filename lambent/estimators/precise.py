"""A model in float64, made once for many calls."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from lambent.fitted import Fitted
from lambent.training.threads import AUTO, put_back, suit

P = ParamSpec("P")
R = TypeVar("R")


class Precise:
    """The float64 copy of a Fitted, made when it is first asked for, and again when the model is no longer what was copied."""

    def __init__(self) -> None:
        self._state: list[tuple[Tensor, int]] = []
        self._copy: Fitted | None = None
        self.threads = 0  # in which it computes, where that was left to be found; 0 before the first use

    def of(self, fitted: Fitted) -> Fitted:
        """The copy; what changes a model, such as `fit_prior`, puts other tensors into it or counts their versions up."""
        state = [(tensor, tensor._version) for tensor in fitted.model.state_dict(keep_vars=True).values()]
        if self._copy is None or not _same(self._state, state):
            self._copy = replace(fitted, model=copy.deepcopy(fitted.model).double())
            self._state = state
        return self._copy

    def __reduce__(self) -> tuple[type["Precise"], tuple[()]]:
        return Precise, ()  # neither pickled nor copied: it can be made again


def threaded(verb: Callable[P, R]) -> Callable[P, R]:
    """An estimator's verb, computed by the threads that its own `threads` names, if any; torch's number is put back after it.

    "auto" is looked into once: by other threads a sum may end in other last digits, and the same rows give the same numbers.
    """

    @wraps(verb)
    def run(*args: P.args, **named: P.kwargs) -> R:
        estimator: Any = args[0]
        fitted = vars(estimator).get("fitted_")
        if estimator.threads is None or fitted is None:
            return verb(*args, **named)
        with put_back():
            known = estimator._exact.threads if estimator.threads == AUTO else 0
            suit(fitted.model, known or estimator.threads)
            estimator._exact.threads = torch.get_num_threads()
            return verb(*args, **named)

    return run


def _same(then: list[tuple[Tensor, int]], now: list[tuple[Tensor, int]]) -> bool:
    return len(then) == len(now) and all(a is b and n == m for (a, n), (b, m) in zip(then, now, strict=True))
