"""The heap keeps what a loop frees, so that the next turn does not fault it in again."""

import platform
import subprocess
import sys

import pytest

LOOP = """
import resource, torch
from lambent.training import heap

heap.settle()

@torch.no_grad()
def turn():
    x = torch.ones(1, 1 << 20)
    for _ in range(6):
        x = torch.nn.functional.silu(torch.cat((x, x[:1, :1 << 18]), 1))

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(10):
    turn()
before = faults()
for _ in range(10):
    turn()
print(faults() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library than glibc keeps its heap in its own way"
)
def test_freed_memory_is_used_again_without_faults() -> None:
    """Without it most processes count 50,000 and more here; how many depends on what lies at the end of their heap."""
    done = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000
