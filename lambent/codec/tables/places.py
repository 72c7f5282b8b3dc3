"""The features of a token's place among those of its column, made again by arithmetic that is the same on every machine."""

import numpy as np
import torch
from torch import Tensor

from lambent.codec.exact.dyadic import rounded
from lambent.codec.exact.elementary import Reals
from lambent.model.likelihoods.features import WAVES, Layout

TERMS = 12  # of the series of a sine up to a quarter of a turn: 1e-17
TURN = 6.283185307179586


def sine(turns: Reals) -> Reals:
    """sin(2π t), by additions and products alone; sin and cos of a library differ in their last bits."""
    t = turns - np.floor(turns + 0.5)  # −½ … ½
    t = np.where(t > 0.25, 0.5 - t, np.where(t < -0.25, -0.5 - t, t))
    x = t * TURN
    square, found = x * x, np.ones_like(x)
    for term in range(2 * TERMS, 0, -2):
        found = 1.0 - square * found / float(term * (term + 1))
    return np.asarray(x * found)


def places(layout: Layout, phi: Tensor) -> Tensor:
    """φ of every token [tokens, features] as dyadic numbers: of the stored one the mid-ranks alone, the rest by the place."""
    made = []
    for column, tokens in enumerate(layout.tokens):
        place = np.arange(tokens) / max(1, tokens - 1)
        waves = [sine(w * place + shift) for w in WAVES for shift in (0.0, 0.25)]
        last = np.zeros(tokens)
        last[-1] = 1.0
        beside = np.stack((2 * place - 1, *waves, last), 1)
        midrank = phi[layout.places(column), :1].detach().cpu().double().clamp(-1, 1)  # as it is, but for a forged one
        made.append(torch.cat((midrank, torch.from_numpy(beside)), 1))
    return rounded(torch.cat(made))
