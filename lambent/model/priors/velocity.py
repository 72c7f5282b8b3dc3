"""The network of velocities behind a Diffusion prior: residual blocks that see the time and the context."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.distributions.transported import LATE, at_rest
from lambent.part import Shape

FREQUENCIES = 16  # of the time's sines


class VelocityNetwork(nn.Module):
    """v(w, t | c) = a(t) w + b(t) f(w, t, c): f residual, nought at the start; a, b fixed.

    a makes f = 0 leave N(0, I) as it is; b falls to 0 at t = 1, where v is w whatever the codes, as any smooth density has it.
    Vectors go through linear layers; maps [channels, height, width] through convolutions, whose weights know no size of map.
    """

    def __init__(self, shape: Shape, context: int, width: int, depth: int) -> None:
        super().__init__()
        self.shape = shape
        self.maps = len(shape) > 1
        self.time = nn.Linear(2 * FREQUENCIES, width)
        self.given = nn.Linear(context, width, bias=False) if context else None
        self.enter = self._layer(shape[0], width)
        self.blocks = nn.ModuleList(_Block(width, 2 ** (i % 3) if self.maps else 0) for i in range(depth))
        self.leave = self._layer(width, shape[0])
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def _layer(self, inputs: int, outputs: int) -> nn.Linear | nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, padding=1) if self.maps else nn.Linear(inputs, outputs)

    def forward(self, w: Tensor, time: Tensor, context: Tensor | None = None) -> Tensor:
        """w [..., elements], time () or [...], context [rows, width]: velocities [..., elements]."""
        seen = functional.silu(self.time(_sines(time)))
        if self.given is not None and context is not None:
            seen = seen + self.given(context)
        bent = self._bent(w, seen)
        left = (1 - time).unsqueeze(-1)
        return at_rest(time).unsqueeze(-1) * w + left / (left + LATE) * bent

    def _bent(self, w: Tensor, seen: Tensor) -> Tensor:
        here = w
        if self.maps:
            here = w.reshape(-1, *self.shape)
            seen = seen.expand(*w.shape[:-1], -1).reshape(len(here), -1) if seen.dim() > 1 else seen
        state = self.enter(here)
        for block in self.blocks:
            state = block(state, seen)
        left: Tensor = self.leave(functional.silu(state))
        return left.reshape(w.shape)


class _Block(nn.Module):
    """h + W₂ silu(W₁ (h / |h| ∘ (1 + γ) + β)), |h| the root of its mean square, γ and β of the time and the context."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.maps = dilation > 0
        self.modulate = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        if self.maps:
            self.first: nn.Module = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
            self.second: nn.Module = nn.Conv2d(width, width, 3, padding=1)
        else:
            self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, state: Tensor, seen: Tensor) -> Tensor:
        scale, shift = self.modulate(seen).chunk(2, -1)
        if self.maps:
            scale, shift = (part[..., None, None] for part in (scale, shift))
        size = state.square().mean(1 if self.maps else -1, keepdim=True)  # place by place: a map's size changes nothing
        bent: Tensor = self.second(functional.silu(self.first(state * (size + 1e-5).rsqrt() * (1 + scale) + shift)))
        return state + bent


def _sines(time: Tensor) -> Tensor:
    """cos and sin of the time at frequencies from ½ to 32 turns, [..., 2 · FREQUENCIES]."""
    turns = torch.logspace(-1, 5, FREQUENCIES, base=2, dtype=time.dtype, device=time.device)
    angle = 2 * math.pi * time.unsqueeze(-1) * turns
    return torch.cat((angle.cos(), angle.sin()), -1)
