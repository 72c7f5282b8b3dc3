"""Rows onto a stack and back: without loss, at the float model's negative ELBO, the same bytes anywhere."""

import hashlib
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent.codec.pace import MOST, Pace
from lambent.codec.rows import Coded, RowCodec, from_stack
from lambent.codec.stack import Stack
from lambent.distributions import DiagonalNormal
from lambent.errors import ArtifactError
from lambent.model import LatentModel
from lambent.model.trace import Node
from lambent.objectives import Elbo
from lambent.training.fitting import fit

FULL = {"type": "Mixture", "components": 3, "covariance": "full"}
CONV = {"type": "Conv", "channels": [8], "width": 32}
SPECS = {
    "binary": ((1, 8, 8), {"latent": {"type": "Flat", "size": 4}, "network": {"type": "Mlp", "width": 32}}),
    "grey, full": ((1, 8, 8), {"latent": {"type": "Flat", "size": 6, "prior": FULL}, "network": CONV}),
    "colour, vamp": ((3, 8, 8), {"latent": {"type": "Flat", "size": 4, "prior": "Vamp"}, "network": CONV}),
    "ladder": ((1, 8, 8), {"latent": {"type": "Ladder", "sizes": [2, 4], "width": 16}, "network": CONV}),
    "grid": (
        (1, 8, 8),
        {
            "latent": {"type": "Grid", "layers": "1x1 4x2", "channels": [4, 2], "width": [16]},
            "network": {"type": "ResNet", "channels": [8, 16], "blocks": 1},
        },
    ),
}


def pictures(count: int, event: tuple[int, ...], seed: int = 0) -> Tensor:
    """Grey blobs at random places, in noise."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(1, 6, (count, 2, 1, 1))
    down, across = np.mgrid[:8, :8]
    blobs = 200 * np.exp(-((down - places[:, 0]) ** 2 + (across - places[:, 1]) ** 2) / 4)
    noisy = blobs[:, None] * rng.uniform(0.5, 1, (count, event[0], 1, 1)) + rng.normal(20, 3, (count, *event))
    return torch.from_numpy(np.clip(noisy, 0, 255).astype(np.uint8))


def rows_of(kind: str, count: int, seed: int = 0) -> Tensor:
    x = pictures(count, SPECS[kind][0], seed)
    return (x > 80).to(torch.uint8) if kind == "binary" else x


@cache
def trained(kind: str) -> LatentModel:
    event, spec = SPECS[kind]
    likelihood = "Bernoulli" if kind == "binary" else "DiscretizedLogistics"
    model = LatentModel.from_spec({"type": "LatentModel", "likelihood": likelihood, **spec})
    x = rows_of(kind, 512, 1)
    model.setup(event, x)
    fit(model, Elbo(), x, epochs=15, batch=64, learning_rate=3e-3)
    return model.eval()


@cache
def codec(kind: str) -> RowCodec:
    return RowCodec(trained(kind))


def there_and_back(kind: str, x: Tensor) -> Coded:
    coded = codec(kind).encode(x)
    assert Coded.from_bytes(coded.to_bytes()) == coded
    back = codec(kind).decode(coded)
    assert back.dtype == torch.uint8
    assert (back == x).all()
    return coded


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("count", [0, 1, 2, 77])
def test_C13_any_number_of_rows_comes_back(kind: str, count: int) -> None:
    """No rows, one, and odd numbers of them come back as they were."""
    there_and_back(kind, rows_of(kind, count))


@pytest.mark.parametrize("kind", SPECS)
def test_a_row_costs_the_negative_elbo_of_the_float_model(kind: str) -> None:
    model, x = trained(kind), rows_of(kind, 1500)
    torch.manual_seed(0)
    with torch.no_grad():
        elbo = float(model.trace(x, samples=8).log_weight.mean())
    bits = -elbo * len(x) / math.log(2)
    coded = there_and_back(kind, x)
    assert 0.985 * bits < 8 * len(coded.to_bytes()) < 1.01 * bits + 600  # a head, a pace, what the first row popped


@pytest.mark.parametrize("kind", SPECS)
def test_C12_rows_far_from_training_come_back(kind: str) -> None:
    """Noise, nought everywhere and white everywhere come back as they were."""
    event = SPECS[kind][0]
    white = 1 if kind == "binary" else 255
    noise = torch.randint(0, white + 1, (20, *event), generator=torch.Generator().manual_seed(0))
    for x in (noise, torch.zeros(9, *event), torch.full((9, *event), white)):
        there_and_back(kind, x.to(torch.uint8))


def test_rows_of_another_dtype_give_the_same_bytes() -> None:
    x = rows_of("binary", 50)
    assert codec("binary").encode(x.float()) == codec("binary").encode(x)


def test_C8_another_model_or_damage_is_told_not_decoded() -> None:
    """Rows decoded by another model, or with a bit of them flipped, do not end as rows begin: refused."""
    coded = codec("grey, full").encode(rows_of("grey, full", 30))
    other = RowCodec(trained("grid"))
    with pytest.raises(ArtifactError, match="another model"):
        other.decode(coded)
    damaged = bytearray(coded.data)
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(ArtifactError, match="damaged"):
        codec("grey, full").decode(coded._replace(data=bytes(damaged)))


@pytest.mark.parametrize("data", [b"", b"\x80" * 20, b"\x01\x00\x00"])
def test_C1_bytes_that_are_no_coded_rows_are_refused(data: bytes) -> None:
    """Bytes too short for the numbers that coded rows begin with, or with a number without end, are refused."""
    with pytest.raises(ArtifactError, match="five numbers"):
        Coded.from_bytes(data)


@pytest.mark.parametrize("said", [{"rows": -1}, {"borrowed": -1}, {"pace": Pace(10, -5)}, {"pace": Pace(-10, 5)}])
def test_C6_numbers_below_nought_are_refused(said: dict[str, Any]) -> None:
    """Rows, borrowed words or a pace below nought are refused before anything is decoded: by such a pace no batch would end."""
    coded = codec("binary").encode(rows_of("binary", 5))
    with pytest.raises(ArtifactError, match="less than nought"):
        codec("binary").decode(coded._replace(**said))


def test_a_code_is_its_whole_number_of_steps() -> None:
    steps = np.arange(9)
    node = Node(DiagonalNormal(torch.zeros(9), torch.zeros(9)), None, (1, 3))
    z = from_stack(Stack(1), [np.full(27, -7)], [steps], torch.device("cpu"))(node, 0)
    assert z.shape == (1, 3, 9)
    assert z[0, 1].tolist() == [-7.0, -3.5, -1.75, -0.875, -0.4375, -0.21875, -0.109375, -0.0546875, -0.02734375]


def test_C20_blocks_in_threads_give_the_same_bytes_in_order() -> None:
    """Blocks coded by one thread, again, and by two give the same bytes, and come back in order."""
    own = codec("grey, full")
    blocks = [rows_of("grey, full", 40, seed) for seed in range(5)]
    coded = list(own.encode_each(blocks))
    assert list(own.encode_each(blocks, threads=2)) == coded
    assert all((a == b).all() for a, b in zip(own.decode_each(coded, threads=2), blocks, strict=True))


def test_blocks_are_all_rows_in_order() -> None:
    own = codec("grey, full")
    cuts = own.blocks(200_001)
    assert [cut.start for cut in cuts] == [0, *(cut.stop for cut in cuts[:-1])]
    assert cuts[-1].stop == 200_001
    assert len(cuts) == round(200_001 * 64 / (1 << 22))


CHILD = """
import hashlib, sys, torch
torch.set_num_threads(int(sys.argv[1]))
from lambent.codec.rows import Coded, RowCodec
from lambent.fitted import load
from pathlib import Path
for path in sorted(Path(sys.argv[2]).glob("*.model")):
    own = RowCodec(load(path))
    coded = path.with_suffix(".coded").read_bytes()
    x = own.decode(Coded.from_bytes(coded))
    assert own.encode(x).to_bytes() == coded
    print(path.stem, hashlib.sha256(x.numpy().tobytes()).hexdigest(), own.probe().hex())
"""


@pytest.mark.parametrize(("capability", "threads"), [("default", 1), ("avx2", 2), ("avx512", 1)])
def test_C9_other_instructions_and_threads_decode_the_same(tmp_path: Path, capability: str, threads: int) -> None:
    """Rows decode the same, and encode to the same bytes, in a process with other vector instructions or threads."""
    from lambent.fitted import save

    expected = []
    for kind in ("grey, full", "grid"):
        stem, x, own = kind.partition(",")[0], rows_of(kind, 60), codec(kind)
        save(tmp_path / f"{stem}.model", trained(kind))
        (tmp_path / f"{stem}.coded").write_bytes(own.encode(x).to_bytes())
        expected.append(f"{stem} {hashlib.sha256(x.numpy().tobytes()).hexdigest()} {own.probe().hex()}")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(threads), str(tmp_path)],
        capture_output=True, text=True, check=False, env=os.environ | {"ATEN_CPU_CAPABILITY": capability},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == expected


def test_batches_grow_with_what_the_stack_holds() -> None:
    batches = list(Pace(popped=100, left=50).batches(1000, 64, 256))
    assert [batch.rows.start for batch in batches] == [0, *(batch.rows.stop for batch in batches[:-1])]
    assert batches[-1].rows.stop == 1000
    for batch in batches:
        assert batch.size == 1 or batch.size * 100 <= 100 + 0.75 * 50 * batch.rows.start
    lanes = [batch.lanes for batch in batches]
    assert lanes == sorted(lanes)
    assert max(lanes) <= MOST


def test_C14_many_rows_at_once_borrow_no_more_than_the_first() -> None:
    """What the first row pops is borrowed, and no more than that, however many rows follow."""
    own = codec("grid")
    coded = own.encode(rows_of("grid", 600))
    assert 32 * coded.borrowed <= 2 * coded.pace.popped + 400  # of a few hundred bits a row


def test_C14_the_first_bits_are_made_by_a_seed_that_is_kept() -> None:
    """An empty stack lends words that the seed makes, the same each time; by another seed, or fewer words, none come back."""
    own, x = codec("grey, full"), rows_of("grey, full", 7)
    coded = own.encode(x, seed=5)
    assert coded == own.encode(x, seed=5)
    assert coded.borrowed > 0
    assert own.encode(x, seed=6).data != coded.data
    for other in (coded._replace(seed=6), coded._replace(borrowed=coded.borrowed - 1)):
        with pytest.raises(ArtifactError, match="damaged"):
            own.decode(other)
