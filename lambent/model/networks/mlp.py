"""Fully connected halves, for rows of any shape."""

from torch import nn

from lambent.model.networks.base import ACTIVATIONS, Activation, Half, Network, initialized
from lambent.part import Shape, elements, option


class Mlp(Network):
    """`depth` hidden layers of `width` units in each half."""

    papers = ("he2015delving",)  # of how its weights start

    width: int = option("units in each hidden layer", default=512, minimum=1, maximum=65536)
    depth: int = option("hidden layers in each half", default=2, minimum=1, maximum=1000)
    activation: Activation = option("non-linearity", default="silu")

    def encoder(self, event: Shape) -> Half:
        return Half(nn.Flatten(), *initialized(self._layers(elements(event))), shape=(self.width,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        last = nn.Linear(self.width, elements(raw))
        shaped = [nn.Unflatten(1, raw)] if len(raw) > 1 else []
        return Half(nn.Flatten(), *initialized([*self._layers(elements(hidden)), last]), *shaped, shape=raw)

    def _layers(self, inputs: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            layers += [nn.Linear(inputs, self.width), ACTIVATIONS[self.activation]()]
            inputs = self.width
        return layers
