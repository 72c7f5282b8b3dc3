"""The priors over the numbers of entries, all places of a map after one another."""

import numpy as np
import torch

from lambent.codec.codebooks.attention import ExactTransformer
from lambent.codec.exact.dyadic import WEIGHT, whole
from lambent.codec.leaves.finite import Finite, finite
from lambent.codec.leaves.priors import TopPrior, top
from lambent.codec.stack import Numbers, Stack
from lambent.codec.symbols import Uniform as Even
from lambent.model.model import LatentModel
from lambent.model.priors import Transformer, Uniform
from lambent.part import Shape, elements


class EvenTop(TopPrior):
    """Every number is equally likely."""

    def __init__(self, entries: int, places: int) -> None:
        self.entries, self.places = entries, places

    def _numbers(self, rows: int) -> Even:
        nought = np.zeros(rows * self.places, np.int64)
        return Even(nought, nought + self.entries - 1)

    def push(self, stack: Stack, z: Numbers) -> None:
        self._numbers(len(z)).push(stack, z.reshape(-1))

    def pop(self, stack: Stack, rows: int) -> Numbers:
        return self._numbers(rows).pop(stack).reshape(rows, self.places)


class TransformerTop(TopPrior):
    """∏_i p(k_i | k_<i): a place after the other, whose keys and values are kept; the last place is pushed first."""

    network: ExactTransformer

    def __init__(self, network: ExactTransformer) -> None:
        self.network = network

    @torch.no_grad()
    def push(self, stack: Stack, z: Numbers) -> None:
        rows, network = len(z), self.network
        numbers, caches, states = torch.from_numpy(z).to(network.start.device), network.caches(rows), []
        for place in range(network.places):
            before = numbers[:, place - 1] if place else None
            states.append(network.step(before, place, caches, rows))
        for place in reversed(range(network.places)):
            self._under(states.pop()).push(stack, z[:, place])

    @torch.no_grad()
    def pop(self, stack: Stack, rows: int) -> Numbers:
        network = self.network
        z, caches, before = np.zeros((rows, network.places), np.int64), network.caches(rows), None
        for place in range(network.places):
            z[:, place] = self._under(network.step(before, place, caches, rows)).pop(stack)
            before = torch.from_numpy(z[:, place]).to(network.start.device)
        return z

    def _under(self, state: torch.Tensor) -> Finite:
        return finite(whole(self.network.logits(state)))


@top.register
def _(prior: Uniform, shape: Shape, model: LatentModel) -> TopPrior:
    return EvenTop(prior.entries, elements(prior.shape))


@top.register
def _(prior: Transformer, shape: Shape, model: LatentModel) -> TopPrior:
    made = ExactTransformer(prior, WEIGHT).to(model.device)
    return TransformerTop(made.requires_grad_(False).eval())
