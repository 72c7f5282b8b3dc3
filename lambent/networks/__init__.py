"""The plain halves of a model: architectures from an event to features, and from a code to raw output."""

from lambent.networks.base import Half, Network
from lambent.networks.conv import Conv
from lambent.networks.mlp import Mlp
from lambent.networks.resnet import ResNet

__all__ = ["Conv", "Half", "Mlp", "Network", "ResNet"]
