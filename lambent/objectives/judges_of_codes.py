"""Opponents that judge codes: what they are told is a vector."""

import itertools

import torch
from torch import nn

from lambent.seeds import seeded


def judge_of_codes(units: int, width: int, depth: int, answers: int, seed: int) -> nn.Sequential:
    """A network from codes [rows, units] to logits [rows, answers], of `depth` hidden layers of `width` units."""
    sizes = [units, *[width] * depth]
    layers: list[nn.Module] = []
    with seeded(torch.Generator().manual_seed(seed + 1)):
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], answers))
