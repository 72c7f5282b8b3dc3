"""Fully connected halves, for rows of any shape."""

from torch import nn

from lambent.model.networks.base import ACTIVATIONS, Activation, Along, Beside, Half, Network, initialized
from lambent.part import Shape, elements, option


class Mlp(Network):
    """`depth` hidden layers of `width` units in each half."""

    papers = ("he2015delving",)  # of how its weights start
    many = True

    width: int = option("units in each hidden layer", default=512, minimum=1, maximum=65536)
    depth: int = option("hidden layers in each half", default=2, minimum=1, maximum=1000)
    activation: Activation = option("non-linearity", default="silu")

    linear: bool = option(
        "a linear map beside the layers of each half, which starts from the principal components of the rows where these are "
        "vectors of real numbers: what is linear need not be learned, and few rows are enough for it",
        default=False,
        papers={True: "tipping1999probabilistic"},
    )

    def encoder(self, event: Shape) -> Half:
        layers = initialized(self._layers(elements(event)))
        if self.linear:
            return Half(nn.Flatten(), Along(nn.Sequential(*layers)), shape=(elements(event) + self.width,))
        return Half(nn.Flatten(), *layers, shape=(self.width,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        last = nn.Linear(self.width, elements(raw))
        shaped = [nn.Unflatten(1, raw)] if len(raw) > 1 else []
        layers = initialized([*self._layers(elements(hidden)), last])
        if self.linear:
            layers = [Beside(nn.Sequential(*layers), elements(hidden), elements(raw))]
        return Half(nn.Flatten(), *layers, *shaped, shape=raw)

    def _layers(self, inputs: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            layers += [nn.Linear(inputs, self.width), ACTIVATIONS[self.activation]()]
            inputs = self.width
        return layers
