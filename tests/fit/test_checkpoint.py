"""The checkpoint as a file: whole or not there, refused where it is damaged, and never of a state that is not good."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lambent.disk import tensorfile
from lambent.errors import ArtifactError, DivergedError
from lambent.model import LatentModel
from lambent.objectives import Elbo, Loss
from lambent.objectives.factor import Factor
from lambent.training.checkpoint import FORMAT, Checkpoint, _read, _seal
from lambent.training.fitting import fit
from lambent.training.run import Run

Small = Callable[..., LatentModel]
FAST: dict[str, Any] = {"epochs": 2, "batch": 8, "device": "cpu", "precision": "fp32"}


class At:
    """Does something after one step."""

    def __init__(self, step: int, act: Callable[[Run], object]) -> None:
        self.step, self.act = step, act

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            self.act(run)


# ---- damage ------------------------------------------------------------------------------------------------------


def damaged(whole: bytes) -> dict[str, bytes]:
    """The file cut at every kind of place, with bits flipped in its header, foreign, and grown."""
    header = int.from_bytes(whole[:8], "little")
    step = whole.index(b'\\"step\\": ') + 10  # in the metadata, where a flipped bit leaves a file that can be read
    cuts = (0, 1, 7, 8, 9, header // 2, 7 + header, 8 + header, 8 + header + 100, len(whole) - 1)
    found = {f"cut at {cut}": whole[:cut] for cut in cuts}
    for at in (0, 7, 8, step, 8 + header // 2, 7 + header, 9 + header, (8 + header + len(whole)) // 2, len(whole) - 1):
        found[f"bit flipped at {at}"] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    return found | {"longer": whole + b"\0" * 9, "text": b"weights", "pickle": b"\x80\x04N." * 9}


def test_K1_K2_a_damaged_checkpoint_is_refused(x: Tensor, small_model: Small, tmp_path: Path) -> None:
    """A checkpoint cut, flipped, grown or foreign is refused by name when a run is to be resumed, and is not written to."""
    path = tmp_path / "state.safetensors"
    fit(small_model(), Factor(width=8, depth=1), x, **FAST, checkpoint=path)
    for name, content in damaged(path.read_bytes()).items():
        path.write_bytes(content)
        with pytest.raises(ArtifactError) as caught:
            fit(small_model(), Factor(width=8, depth=1), x, **FAST, checkpoint=path, resume=True)
        assert str(path) in str(caught.value), name
        assert path.read_bytes() == content, f"{name}: the refused file was written to"


FORGED: dict[str, tuple[Callable[[dict[str, Any], dict[str, Tensor]], object], str]] = {
    "shape": (lambda state, t: t.update(limit=torch.zeros(3)), "limit have another shape or type"),
    "stretched": (lambda state, t: t.update({n: x[:1] for n, x in t.items() if x.dim() == 2}), "another shape"),
    "type": (
        lambda state, t: t.update({n: x.double() for n, x in t.items() if "exp_avg" in n}),
        "another shape or type",
    ),
    "missing": (lambda state, t: t.pop(next(n for n in t if n.startswith("model."))), "stand on one side only"),
    "stranger": (lambda state, t: t.update(stranger=torch.zeros(1)), "stranger stand on one side only"),
    "generator": (lambda state, t: t.update(generator=t["generator"][:9]), "another shape"),
    "generator's numbers": (lambda state, t: t["generator"].fill_(255), "no state that a run can be in"),
    "counter": (lambda state, t: state.update(step="7"), "no state that a run can be in"),
    "no counter": (lambda state, t: state.pop("epoch"), "no state that a run can be in"),
}


@pytest.mark.parametrize("case", FORGED)
def test_K6_a_state_that_does_not_fit_is_refused_before_anything_is_loaded(
    case: str, x: Tensor, small_model: Small, tmp_path: Path
) -> None:
    """A checkpoint, sealed as if it were ours, with a tensor or counter of another shape, type or name is refused unread."""
    path = tmp_path / "state"
    fit(small_model(), Elbo(), x, **FAST, checkpoint=path)
    state, then, tensors = _read(path)
    change, words = FORGED[case]
    change(state, tensors)
    metadata = {"lambent_checkpoint": str(FORMAT), "state": json.dumps(state), "identity": json.dumps(then)}
    path.unlink()
    tensorfile.write(path, tensors, {**metadata, "sha256": _seal(tensors, metadata)})
    model = small_model()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(ArtifactError, match=words):
        fit(model, Elbo(), x, **FAST, checkpoint=path, resume=True)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_a_model_file_is_no_checkpoint(x: Tensor, small_model: Small, tmp_path: Path) -> None:
    save_file({"model.x": torch.zeros(1)}, tmp_path / "model", {"state": "{}"})
    with pytest.raises(ArtifactError, match="no checkpoint of this version"):
        fit(small_model(), Elbo(), x, **FAST, checkpoint=tmp_path / "model", resume=True)


# ---- the last good state -----------------------------------------------------------------------------------------


def test_M18_divergence_leaves_the_last_good_checkpoint(x: Tensor, small_model: Small, tmp_path: Path) -> None:
    """A loss that is not finite ends the run, and the checkpoint stays the last good one, which can be resumed."""
    path, contents = tmp_path / "state", []
    calls = []

    def augment(rows: Tensor, generator: torch.Generator | None) -> Tensor:
        calls.append(1)
        return rows * float("nan") if len(calls) == 7 else rows

    watch = [Checkpoint(path, seconds=0.0), At(6, lambda run: contents.append(path.read_bytes()))]
    model = small_model()
    with pytest.raises(DivergedError, match=r"^step 7 \(epoch 2"):
        fit(model, Elbo(), x, **FAST, augment=augment, callbacks=watch)
    assert path.read_bytes() == contents[0]
    fit(small_model(), Elbo(), x, **FAST, augment=augment, checkpoint=path, resume=True)  # and it can be gone on from


@pytest.mark.parametrize("moment", ["lambent.disk.tensorfile.write", "os.fsync", "os.replace", "folder"])
def test_K11_a_crash_at_any_moment_of_writing_leaves_a_whole_file(
    moment: str, x: Tensor, small_model: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old state stands until the new one is whole; and nothing else is left in the folder."""
    path, old = tmp_path / "state", []

    def crash(*_: Any) -> None:
        raise SystemExit("the power is cut")

    def prepared(run: Run) -> None:
        old.append(path.read_bytes())
        monkeypatch.setattr("lambent.disk.whole._flush_folder" if moment == "folder" else moment, crash)

    class Only(Checkpoint):
        def on_interrupt(self, run: Run) -> None: ...

    # The watch acts after step 7's state was written, so it is the writing of step 8's that crashes.
    with pytest.raises(SystemExit):
        fit(small_model(), Elbo(), x, **FAST, callbacks=[Only(path, seconds=0.0), At(7, prepared)])
    monkeypatch.undo()
    assert (path.read_bytes() == old[0]) == (moment != "folder")
    assert _read(path)[0]["step"] == (8 if moment == "folder" else 7)
    assert [found.name for found in tmp_path.iterdir()] == ["state"]
    fit(small_model(), Elbo(), x, **FAST, checkpoint=path, resume=True)


class Overflowing(Elbo):
    """Its loss stays finite at the step where its gradient does not."""

    def forward(self, model: LatentModel, x: Tensor, *rest: Any, **more: Any) -> Loss:
        loss = super().forward(model, x, *rest, **more)
        if abs(self.progress - 0.5) < 1e-6:
            loss.rows = loss.rows + 0.0 * (loss.rows * 0.0).sqrt().nan_to_num()
        return loss


def test_M18_an_overflowing_gradient_never_ends_in_a_model_or_a_checkpoint(
    x: Tensor, small_model: Small, tmp_path: Path
) -> None:
    """A gradient that overflows where its loss did not ends the run before such weights are kept."""
    path = tmp_path / "state"
    with pytest.raises(DivergedError, match=r"step 5 .*weights were not finite.*lower the learning rate"):
        fit(small_model(), Overflowing(), x, **FAST, callbacks=[Checkpoint(path, seconds=0.0)])
    state, _, tensors = _read(path)
    assert state["step"] == 4
    assert all(torch.isfinite(t).all() for name, t in tensors.items() if name.startswith("model."))
