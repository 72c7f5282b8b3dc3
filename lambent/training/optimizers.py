"""Adam as the loop uses it: fused, each module at its pace, on a schedule, without subnormal numbers."""

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lambent.model.networks.stacked import Stacked
from lambent.model.priors import Prior

SLACK = 1e-6  # beside a norm of gradients, as torch has it
LAYERS = (nn.Linear, Stacked, nn.Bilinear, _ConvNd, nn.RNNBase, nn.MultiheadAttention)


class Adam(torch.optim.AdamW):
    """torch's AdamW, whose methods here are those without the wrapping that loads torch's compiler, on first use 1.5 seconds."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def adam(
    groups: list[dict[str, Any]],
    learning_rate: float,
    weight_decay: float,
    device: torch.device,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.AdamW:
    """AdamW in one kernel where the device has it. Loshchilov & Hutter, Decoupled Weight Decay Regularization, 2019."""
    fused = device.type in ("cpu", "cuda")
    return Adam(
        groups, lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=fused, foreach=None if fused else True
    )


def grouped(roots: Iterable[nn.Module], parameters: list[nn.Parameter], decaying: bool) -> list[dict[str, Any]]:
    """Parameters in groups of equal pace, the factor on the learning rate that their module asks for, for all or by name.

    Where weights decay, what is no weight matrix stands in groups of its own that do not: decay pulls to nought, which for a
    bias, a log scale, a logit or a prior's location is one value among others and no simpler model.
    """
    roots = list(roots)
    paces: dict[int, float] = {}
    for module in (module for root in roots for module in root.modules()):
        asked = getattr(type(module), "pace", {})
        names = asked if isinstance(asked, Mapping) else dict.fromkeys(dict(module.named_parameters()), asked)
        paces |= {id(p): names[name] for name, p in module.named_parameters() if name in names}
    matrices = {id(p) for root in roots for p in matrices_of(root)} if decaying else set(map(id, parameters))
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): []}
    for parameter in parameters:
        groups.setdefault((paces.get(id(parameter), 1.0), id(parameter) in matrices), []).append(parameter)
    return [
        {"params": own, "pace": pace, **({} if decays else {"weight_decay": 0.0})}
        for (pace, decays), own in groups.items()
    ]


def matrices_of(module: nn.Module) -> Iterator[nn.Parameter]:
    """The weights of linear, convolutional, recurrent and attention layers, without those of priors."""
    if isinstance(module, Prior):
        return
    if isinstance(module, LAYERS):
        own = module.named_parameters(recurse=False)
        yield from (p for name, p in own if p.dim() >= 2 and "weight" in name)
    for child in module.children():
        yield from matrices_of(child)


class Clip:
    """Gradients cut to a norm of `limit`; of the stacked weights of an ensemble those of each member by themselves.

    A member's part of the loss is one in M, and so is its gradient: it is cut as that of a model by itself would be. What the
    members share is cut with those of them all.
    """

    def __init__(self, roots: Iterable[nn.Module], limit: float) -> None:
        self.limit = limit
        layers = [module for root in roots for module in root.modules() if isinstance(module, Stacked)]
        self.stacked = [p for layer in layers for p in layer.parameters()]
        self.own = {id(p) for p in self.stacked}

    @torch.no_grad()
    def cut(self, optimizer: torch.optim.Optimizer) -> None:
        """Cut the gradients that stand in an optimizer's parameters now."""
        every = [p for group in optimizer.param_groups for p in group["params"]]
        rest = [p for p in every if id(p) not in self.own]
        if len(rest) < len(every):
            self._cut_each([p.grad for p in self.stacked if p.grad is not None])
        norm = torch.nn.utils.get_total_norm([p.grad for p in rest if p.grad is not None])
        if norm.device.type != "cpu" or not bool(norm + SLACK <= self.limit):  # else all are multiplied by 1
            torch.nn.utils.clip_grads_with_norm_(rest, self.limit, norm)

    def _cut_each(self, gradients: list[Tensor]) -> None:
        """Gradients [members, …], each member's all together no longer than the limit."""
        if not gradients:
            return
        lengths = torch.stack([torch.linalg.vector_norm(gradient, dim=(1, 2)) for gradient in gradients])
        norms = len(gradients[0]) * torch.linalg.vector_norm(lengths, dim=0)
        if norms.device.type != "cpu" or not bool((norms + SLACK <= self.limit).all()):
            kept = (self.limit / (norms + SLACK)).clamp_max(1.0)[:, None, None]
            for gradient in gradients:
                gradient.mul_(kept)


def norm_of(optimizer: torch.optim.Optimizer) -> Tensor:
    """The norm of all gradients that stand in an optimizer's parameters now, a number of no axes."""
    every = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return torch.nn.utils.get_total_norm(every)


def clear(optimizer: torch.optim.Optimizer) -> None:
    """Let go of the gradients; the optimizer's own way takes longer than its step on a small model."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def drop_subnormals(optimizer: torch.optim.Optimizer) -> None:
    """Set moments below 1e-30 to nought: they cost a fifth of the speed for ever, and move nothing."""
    for state in optimizer.state.values():
        for moment in (state["exp_avg"], state["exp_avg_sq"]):
            torch.hardshrink(moment, 1e-30, out=moment)  # in one pass


def scheduled(schedule: str, warmup: float, progress: float) -> float:
    """The factor on the learning rate at `progress` from 0 to 1: a linear rise over `warmup`, then the schedule."""
    if warmup and progress < warmup:
        return max(progress / warmup, 1e-3)
    if schedule == "constant":
        return 1.0
    after = (progress - warmup) / max(1e-12, 1 - warmup)
    return max(0.0, 1 - after) if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * min(1.0, after)))
