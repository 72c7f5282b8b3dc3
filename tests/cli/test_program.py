"""The command as a whole: verbs, help, statuses, streams, the surroundings (cases L)."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lambent as package
from lambent.cli import program

Run = Callable[..., Any]


def test_help_and_version(lambent: Run) -> None:
    shown = lambent("--help")
    assert shown.status == 0
    assert all(verb in shown.out for verb in program.VERBS)
    assert lambent("--version").out.strip() == f"lambent {package.__version__}"
    assert lambent().status == 2


@pytest.mark.parametrize("verb", program.VERBS)
def test_every_verb_explains_itself(lambent: Run, verb: str) -> None:
    shown = lambent(verb, "--help")
    assert shown.status == 0
    assert f"usage: lambent {verb}" in shown.out
    assert "--debug" in shown.out
    assert "--quiet" in shown.out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from lambent.cli import main; main(['--help']); "
        "print([m for m in ('torch', 'numpy', 'ruamel.yaml', 'filelock', 'rich', 'argparse') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings(), check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["trian"], "did you mean 'train'?"),
        (["--verson"], "did you mean '--version'?"),
        (["train", "x", "--epoch", "3"], "did you mean '--epochs'?"),
        (["train", "x", "--latnt.size", "3"], "did you mean '--latent'?"),
        (["train", "x", "--latent.sise", "3"], "did you mean 'size'?"),
        (["train", "x", "--latent.prior", "Vmap"], "did you mean 'Vamp'?"),
        (["train", "x", "--latent.prior.components", "3"], "Mixture, Vamp have it: choose with --latent.prior "),
        (["train", "x", "--likelihood.scal", "one"], "did you mean 'scale'?"),
        (["train", "x", "--data.binarise", "none"], "did you mean 'binarize'?"),
        (["train", "x", "--data", "Imgae"], "did you mean 'Image'?"),
        (["train", "x", "y"], "'y'"),
        (["sample", "run", "--out", "x.png", "--temprature", "1"], "did you mean '--temperature'?"),
        (["parts", "Vampp"], "did you mean 'Vamp'?"),
        (["data", "mnits"], "did you mean 'mnist'?"),
        (["evaluate"], "required: RUN"),
        (["train", "x", "--latent"], "--latent needs a name"),
        (["train", "x", "--latent..size", "3"], "not a flag"),
    ],
)
def test_L1_unknown_names(lambent: Run, arguments: list[str], hint: str) -> None:
    """An unknown verb, flag, part, field or data set ends with status 2 and the nearest name."""
    refused = lambent(*arguments)
    assert refused.status == 2
    assert hint in refused.complaint
    assert refused.out == ""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["train", "nosuch.csv"], 3), (["evaluate", "nosuch"], 4), (["info", "nosuch.safetensors"], 4)],
)
def test_L2_missing_file(lambent: Run, arguments: list[str], status: int) -> None:
    """Data, a run or a model file that is not there ends with status 3 or 4 and its path, and leaves nothing behind."""
    refused = lambent(*arguments)
    assert refused.status == status
    assert arguments[1] in refused.complaint
    assert os.listdir() == []


def test_L2_missing_data_of_a_trained_model(lambent: Run, table_run: Path) -> None:
    """Data for a trained model that are not there end with status 3 and their path."""
    refused = lambent("evaluate", table_run, "nosuch.csv")
    assert refused.status == 3
    assert "nosuch.csv" in refused.complaint


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["data"], ["doctor"], ["parts"], ["evaluate", "RUN", "--samples=1", "--quiet"]],
)
def test_L8_closed_output(process: Callable[..., subprocess.Popen[str]], table_run: Path, arguments: list[str]) -> None:
    """Whoever reads the output has gone, as `| head` does: status 141, no word and no traceback, whichever verb it is."""
    started = process(*(str(table_run) if word == "RUN" else word for word in arguments))
    assert started.stdout is not None
    assert started.stderr is not None
    started.stdout.close()
    assert started.stderr.read() == ""
    started.stderr.close()
    assert started.wait() == 141


def test_L8_no_output_at_all() -> None:
    """Neither output nor error stream is open: the verb still ends with status 0."""
    command = f"{sys.executable} -m lambent data >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], env=surroundings(), check=False).returncode == 0


@pytest.mark.parametrize("columns", ["1", "200", "0", "-3", "many"])
def test_L9_odd_terminals(columns: str) -> None:
    """On a terminal of any width, even one column or none, a table is drawn; without colours where NO_COLOR says so."""
    ours, theirs = pty.openpty()
    env = {**surroundings(), "COLUMNS": columns, "NO_COLOR": "1", "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-m", "lambent", "doctor"], stdout=theirs, stderr=theirs, env=env, check=False
    )
    os.close(theirs)
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "\x1b[3" not in said
    assert columns == "1" or "python" in said
    assert "Traceback" not in said


def test_L9_the_bar_of_training_fits_one_column(table: Path) -> None:
    """Training on a terminal one column wide, without colours, draws its bar and ends well."""
    ours, theirs = pty.openpty()
    env = {**surroundings(), "COLUMNS": "1", "NO_COLOR": "1", "TERM": "dumb"}
    command = ["train", str(table), "--data.label=kind", "--epochs=2", "--network.width=8", "--samples=1", "--out=r"]
    started = subprocess.Popen(
        [sys.executable, "-m", "lambent", *command], stdout=subprocess.PIPE, stderr=theirs, env=env
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the terminal ends with an error, not with an empty read
        while piece := os.read(ours, 1 << 16):
            said += piece
    os.close(ours)
    out, _ = started.communicate(timeout=60)
    assert started.returncode == 0, said
    assert b"\x1b[3" not in said
    assert b"Traceback" not in said + out


def test_L9_no_terminal(lambent: Run) -> None:
    """Into a file or a pipe goes plain text, without colours."""
    shown = lambent("data")
    assert shown.status == 0
    assert "\x1b" not in shown.out
    assert shown.out.isprintable() or "\n" in shown.out


def test_L11_no_such_device(lambent: Run, table: Path, table_run: Path) -> None:
    """A CUDA device that is not there ends with status 5: the processor is not taken in its place unseen."""
    for arguments in (["train", table, "--out", "r"], ["evaluate", table_run], ["sample", table_run, "--out", "s.csv"]):
        refused = lambent(*arguments, "--device", "cuda:97")
        assert refused.status == 5
        assert "CUDA" in refused.complaint
    assert lambent("evaluate", table_run, "--device", "gpu").status == 2
    assert os.listdir() == []


@pytest.mark.parametrize("seed", ["-1", str(2**64), "1.5", "x", ""])
def test_L12_seeds_out_of_range(lambent: Run, table: Path, table_run: Path, seed: str) -> None:
    """A seed that is negative, beyond 2^63, a fraction or no number ends with status 2, and nothing is written."""
    for arguments in (["train", table, "--out", "r"], ["sample", table_run, "--out", "s.csv"], ["evaluate", table_run]):
        refused = lambent(*arguments, f"--seed={seed}")
        assert refused.status == 2
        assert "seed" in refused.complaint
    assert os.listdir() == []


def test_L14_L16_bare_surroundings(
    lambent: Run, process: Callable[..., subprocess.Popen[str]], table_run: Path, table: Path
) -> None:
    """Without HOME, with a cache that cannot be and a locale of decimal commas, verbs write the same bytes as ever."""
    env = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "de_DE.UTF-8",
        "XDG_CACHE_HOME": "/proc/nosuch",
        "OMP_NUM_THREADS": "1",
    }
    said, complaints = process("data", "--json", env=env).communicate()
    assert complaints == ""
    assert json.loads(said)["fashion"]["available"] == "built in"
    started = process("score", table_run, table, "--out=there.csv", "--samples=2", "--quiet", env=env)
    assert started.communicate() == ("", "")
    assert lambent("score", table_run, table, "--out=here.csv", "--samples=2").status == 0
    assert Path("there.csv").read_bytes() == Path("here.csv").read_bytes()


def test_doctor(lambent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    common = {"python", "torch", "devices", "memory", "disk", "cache", "LAMBENT_DATA"}
    for arguments, more in (((), {"processors"}), (("--deep",), {"threads", "bf16 units"})):
        found = lambent("doctor", "--json", *arguments)
        assert found.status == 0
        assert common | more <= {check["name"] for check in json.loads(found.out)}
    assert "without loading torch" in lambent("doctor").out
    monkeypatch.setenv("LAMBENT_DATA", "/nosuch/folder")
    ill = lambent("doctor")
    assert ill.status == 5
    assert "To mend: LAMBENT_DATA" in ill.out


def test_doctor_names_a_torch_that_is_absent_or_too_old(lambent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lambent.cli.verbs import doctor

    def absent(name: str) -> str:
        raise doctor.metadata.PackageNotFoundError(name)

    for version, words in ((absent, "pip install torch"), (lambda _: "2.5.1+cpu", "torch 2.6 or later is needed")):
        monkeypatch.setattr(doctor.metadata, "version", version)
        ill = lambent("doctor")
        assert ill.status == 5
        assert words in ill.out


@pytest.mark.parametrize(
    "arguments", [["data"], ["data", "fashion"], ["data", "--json"], ["doctor"], ["data", "--help"]]
)
def test_verbs_that_need_no_model_do_not_wait_for_torch(arguments: list[str]) -> None:
    """Loading torch takes longer than a second; what lists and checks must not."""
    code = (
        f"import sys; from lambent.cli import main; status = main({arguments!r}); "
        "print(status, sorted(m for m in ('torch', 'sklearn', 'pyarrow', 'narwhals') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings(), check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_M10_extras_are_named(lambent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package of an extra is missing, `lambent doctor` names it and the command that installs it."""
    from lambent.cli.verbs import doctor

    monkeypatch.setattr(doctor, "extras", lambda: {"track": ["surely-not-installed"]})
    assert "lacks surely-not-installed — pip install 'lambent[track]'" in lambent("doctor").out


def test_data(lambent: Run) -> None:
    listed = json.loads(lambent("data", "--json").out)
    assert listed["fashion"]["rows"] == {"train": 10_000, "test": 2_000}
    assert listed["mnist"]["available"] in ("fetched on use", "here")
    assert {"licence", "address", "notes"} <= listed["fashion"].keys()
    assert "Zalando" in lambent("data", "fashion").out


def test_parts(lambent: Run) -> None:
    listed = json.loads(lambent("parts", "--json").out)
    assert list(listed)[:5] == ["Modality", "Latent", "Likelihood", "Network", "Objective"]
    size = listed["Latent"]["Flat"]["fields"]["size"]
    assert size == {"kind": "whole number", "default": 16, "limits": "≥ 1, ≤ 65536", "meaning": "number of units"}
    assert all(part["meaning"] for family in listed.values() for part in family.values())
    assert "components = 50" in lambent("parts", "Vamp").out


@pytest.mark.slow
def test_parts_are_kept_from_one_call_to_the_next(tmp_path: Path) -> None:
    """The second call imports no torch and says the same; a file that is damaged or of another version is made anew."""
    env = {**surroundings(), "XDG_CACHE_HOME": str(tmp_path)}
    run = "from lambent.cli import main; main(['parts', '--json'])"
    program = f"import sys; {run}; print('torch' in sys.modules, file=sys.stderr)"

    def said() -> tuple[str, str]:
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr.strip()

    kept = tmp_path / "lambent" / "parts.json"
    first, imported = said()
    assert imported == "True"
    assert said() == (first, "False")
    for damage in (kept.read_text()[:100], "[]", kept.read_text().replace('"of": "', '"of": "older-')):
        kept.write_text(damage)
        assert said() == (first, "True")
        assert said() == (first, "False")


@pytest.mark.parametrize(
    "chosen",
    [
        [],
        ["--latent=Ladder", "--latent.prior=Vamp", "--data=Table"],
        ["--latent={type: Flat, prior: Vamp}", "--objective=Factor"],
    ],
)
def test_the_help_of_train_does_not_wait_for_torch(tmp_path: Path, chosen: list[str]) -> None:
    """From the second call on it is made from what is kept, and reads as it does with everything imported."""
    env = {**surroundings(), "XDG_CACHE_HOME": str(tmp_path), "COLUMNS": "100"}

    def said(before: str = "") -> tuple[str, str]:
        program = f"""import sys{before}
from lambent.cli import main
status = main(["train", *{chosen!r}, "--help"])
print(status, "torch" in sys.modules, file=sys.stderr)"""
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr.strip()

    first, imported = said()
    assert imported == "0 True"
    assert said() == (first, "0 False")
    assert said(", lambent.fitted") == (first, "0 True")
    assert all(flag in first for flag in ("--learning-rate", "--samples", "--latent.prior", "--data.split"))
    assert ("--latent.prior.components" in first) == bool(chosen)


def test_the_help_of_train_lists_a_users_own_part(tmp_path: Path) -> None:
    Path("mine.py").write_text(
        "from lambent.model.priors.base import Prior\n"
        "from lambent.part import option\n\n\n"
        "class Wide(Prior):\n    width: float = option('how wide it is', default=2.5, above=0)\n\n"
        "    def setup(self, shape, examples): ...\n    def forward(self, posterior, context=None): ...\n"
    )
    env = {**surroundings(), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lambent", "train", "--import=mine", "--latent.prior=Wide", "--help"]
    for _ in range(2):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert " ".join(done.stdout.split()).count("how wide it is [number, > 0; default 2.5]") == 1
    assert (
        "Wide"
        not in subprocess.run(
            [sys.executable, "-m", "lambent", "parts"], env=env, capture_output=True, text=True, check=True
        ).stdout
    )


def test_a_fault_of_our_own_is_one_line(lambent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lambent.cli.verbs import catalogue

    def break_down(arguments: list[str]) -> int:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(catalogue, "data", break_down)
    broken = lambent("data")
    assert broken.status == 1
    assert "RuntimeError: two" in broken.complaint
    assert "Traceback" in lambent("data", "--debug").err


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")]
)
def test_M4_memory(lambent: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Memory that runs out anywhere in a verb ends in status 5 and the advice to take a smaller batch."""
    from lambent.cli.verbs import catalogue

    def break_down(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(catalogue, "data", break_down)
    broken = lambent("data")
    assert broken.status == 5
    assert "smaller batch" in broken.complaint


def surroundings() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
