"""The plain halves of a model: architectures from an event to features, and from a code to raw output."""

from lambent.model.networks.base import Convolutional, Half, Network, Pyramid, Spatial
from lambent.model.networks.conv import Conv
from lambent.model.networks.mlp import Mlp
from lambent.model.networks.resnet import ResNet
from lambent.model.networks.steps import Attention, Gru
from lambent.model.networks.transformer import Transformer
from lambent.model.networks.wave import Wave

__all__ = [
    "Attention",
    "Conv",
    "Convolutional",
    "Gru",
    "Half",
    "Mlp",
    "Network",
    "Pyramid",
    "ResNet",
    "Spatial",
    "Transformer",
    "Wave",
]
