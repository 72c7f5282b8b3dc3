"""Model files that are damaged, foreign or absent (cases K)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def damaged(model: Path) -> dict[str, bytes]:
    whole = model.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    flipped = bytearray(whole)
    flipped[-3] ^= 16
    found = {
        f"K1_cut_at_{n}": whole[:n]
        for n in (0, 7, 8, 7 + header, 8 + header, (len(whole) + header) // 2, len(whole) - 1)
    }
    found |= {"K2_flipped": bytes(flipped), "K3_huge_header": (2**63 - 1).to_bytes(8, "little") + whole[8:]}
    return found | {"K3_no_header": bytes(8) + whole[8:], "text": b"a,b\n1,2\n" * 50}


def test_K1_K2_K3_damaged_models(lambent: Run, table_run: Path) -> None:
    """A model file cut, flipped or with a false header length ends every verb with status 4, one line, and nothing written."""
    for name, content in damaged(table_run / "model.safetensors").items():
        Path("model.safetensors").write_bytes(content)
        for verb in (["evaluate"], ["sample", "--out=s.csv"], ["info"]):
            refused = lambent(verb[0], "model.safetensors", *verb[1:])
            if verb == ["info"] and name in ("K2_flipped", "K1_cut_at_1"):
                continue  # the header alone is read, and it is whole
            assert refused.status == 4, (name, verb)
            assert "model.safetensors" in refused.complaint
    assert os.listdir() == ["model.safetensors"]


def test_K8_pickles_are_never_read(lambent: Run) -> None:
    """A pickle given to the command is refused with status 4, and the code in it does not run."""
    Path("model.pt").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    refused = lambent("evaluate", "model.pt")
    assert refused.status == 4
    assert "pickle" in refused.complaint
    assert os.listdir() == ["model.pt"]


def test_a_folder_without_a_model(lambent: Run) -> None:
    Path("empty").mkdir()
    refused = lambent("sample", "empty", "--out=s.csv")
    assert refused.status == 4
    assert "is it a run folder?" in refused.complaint
