"""Steps are those of torch's AdamW, without its compiler; gradients are cut all together, or each member's by themselves."""

import copy
import subprocess
import sys

import torch

from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import StudentT
from lambent.model.networks import Mlp
from lambent.training.optimizers import Clip, adam


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


def test_steps_are_those_of_torch() -> None:
    start = torch.randn(20, generator=torch.Generator().manual_seed(0))
    own, other = (torch.nn.Parameter(start.clone()) for _ in range(2))
    group = {"params": [own], "weight_decay": 0.1}
    steps = (
        adam([group], 0.01, 0.0, torch.device("cpu")),
        torch.optim.AdamW([other], 0.01, weight_decay=0.1, fused=True),
    )
    for number in range(5):
        for parameter, optimizer in zip((own, other), steps, strict=True):
            optimizer.zero_grad()
            (parameter - number).square().sum().backward()
            optimizer.step()
    assert torch.equal(own, other)


def test_a_training_does_not_load_the_compiler() -> None:
    """It takes longer than the training of a small table."""
    program = (
        "import sys, torch\n"
        "from lambent import Elbo, Flat, LatentModel, Mlp, fit\n"
        "model = LatentModel(Flat(2), 'Gaussian', Mlp(width=4))\n"
        "fit(model, Elbo(), torch.randn(20, 3), epochs=2, validation=0.2, device='cpu', clip=1.0)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
