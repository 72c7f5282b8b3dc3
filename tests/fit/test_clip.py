"""Gradients are cut to a norm: all together, or each member's of an ensemble by themselves."""

import copy

import torch

from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import StudentT
from lambent.model.networks import Mlp
from lambent.training.optimizers import Clip


def gradients(members: int) -> tuple[LatentModel, torch.optim.Optimizer]:
    model = LatentModel(Flat(2), StudentT("predicted"), Mlp(width=6, depth=1), members=members).setup((3,))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return model, torch.optim.AdamW(model.parameters())


def test_all_together_as_torch_does() -> None:
    for limit in (0.5, 1e6):
        model, optimizer = gradients(1)
        twin = copy.deepcopy(model)
        for own, other in zip(twin.parameters(), model.parameters(), strict=True):
            own.grad = other.grad.clone()
        Clip([model], limit).cut(optimizer)
        torch.nn.utils.clip_grad_norm_(twin.parameters(), limit)
        assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_each_member_by_itself() -> None:
    """A member ten times as steep is cut by itself; another below the limit stays to the bit. Lengths count as of one model."""
    model, optimizer = gradients(3)
    stacked = [p for p in model.parameters() if p.dim() == 3]

    def norms() -> torch.Tensor:
        return 3 * torch.stack([p.grad.flatten(1).square().sum(1) for p in stacked]).sum(0).sqrt()

    for parameter in stacked:
        parameter.grad[1] *= 10.0
        parameter.grad[2] *= 0.1
    before, kept = norms(), [p.grad[2].clone() for p in stacked]
    shared = [p.grad.clone() for p in model.parameters() if p.dim() != 3]
    limit = float(before[0]) * 0.9
    Clip([model], limit).cut(optimizer)
    torch.testing.assert_close(norms(), torch.tensor([limit, limit, float(before[2])]), rtol=1e-4, atol=0)
    assert all(torch.equal(p.grad[2], old) for p, old in zip(stacked, kept, strict=True))
    assert all(
        torch.equal(a.grad, b) for a, b in zip((p for p in model.parameters() if p.dim() != 3), shared, strict=True)
    )
