"""The layers of an ensemble: M networks of one build, computed in one pass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Stacked(nn.Module):
    """M linear maps of one shape, x_m W_m + b_m: weight [M, in, out], bias [M, 1, out].

    Takes [..., in], of which each member has an equal share, those of the first member first; gives [..., out].
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().mT for layer in layers]).contiguous())
        self.bias = nn.Parameter(torch.stack([layer.bias.detach().unsqueeze(0) for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        members, inputs, outputs = self.weight.shape
        made = torch.baddbmm(self.bias, x.reshape(members, -1, inputs), self.weight)
        return made.reshape(*x.shape[:-1], outputs)

    def of_member(self, member: int) -> dict[str, Tensor]:
        """The weights of one member, as a linear layer names them."""
        return {"weight": self.weight[member].mT, "bias": self.bias[member, 0]}


def stacked(members: Sequence[nn.Module]) -> nn.Module:
    """Modules of one build as one: the first of them, each linear layer in it replaced by those of all.

    What else has weights cannot be stacked; parts that hold such are refused when a model is assembled (`Part.many`).
    """
    first = members[0]
    if isinstance(first, nn.Linear):
        return Stacked([layer for layer in members if isinstance(layer, nn.Linear)])
    if any(True for _ in first.parameters(recurse=False)):
        raise TypeError(f"{type(first).__name__} has weights of its own, and they cannot be stacked")
    for name, _ in list(first.named_children()):
        first.add_module(name, stacked([module.get_submodule(name) for module in members]))
    return first


def apart(whole: nn.Module, member: int) -> dict[str, Tensor]:
    """The state of one member of a stacked module, by the names that it has in a module of that member alone."""
    state = dict(whole.state_dict())
    for path, module in whole.named_modules():
        if isinstance(module, Stacked):
            state |= {f"{path}.{name}": value for name, value in module.of_member(member).items()}
    return state


def in_turn(n: int, members: int) -> Tensor:
    """The members of n rows that come from each in turn, [n]."""
    return torch.arange(n) % members


def by_member(member: Tensor, members: int) -> tuple[Tensor, Tensor]:
    """An order in which rows of these members, [n], lie in equal shares, those of the first member first; and the way back.

    Returns places [members · most], the row that stands at each, the first of all where a member has fewer than the most; and
    back [n], where each row stands.
    """
    counts = torch.bincount(member, minlength=members)
    most = int(counts.max())
    order = torch.argsort(member, stable=True)
    own = member[order]
    slots = own * most + torch.arange(len(member), device=member.device) - (counts.cumsum(0) - counts)[own]
    places = torch.zeros(members * most, dtype=torch.long, device=member.device)
    places[slots] = order
    back = torch.empty_like(order)
    back[order] = slots
    return places, back
