"""lambent refine: a new run beside the old one, with another prior and the same encoder and decoder."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import lambent as package
from lambent.cli.reading import strict
from lambent.tasks.explore import generate

Run = Callable[..., Any]
QUICK = ("--epochs", 30, "--learning-rate", 0.01, "--precision=fp32", "--batch=16")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def far_run(lambent: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose codes lie in two heaps, far from its standard prior: β is small."""
    folder = tmp_path_factory.mktemp("far")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=generator) + 8 * torch.randint(2, (400, 1), generator=generator)
    data = folder / "heaps.csv"
    data.write_text("a,b,c\n" + "".join(",".join(f"{v:.4f}" for v in row) + "\n" for row in x.tolist()))
    done = lambent(
        "train", data, "--epochs=60", "--latent.size=2", "--latent.prior=Standard", "--objective.beta=0.02", "--samples=20",
        "--network.width=16", "--precision=fp32", "--batch=32", "--model.members=1", "--likelihood=Gaussian",
        "--out", folder / "run",
    )  # fmt: skip
    assert done.status == 0, done.err
    return folder / "run"


@pytest.mark.parametrize("prior", ["Diffusion", "Mixture", "Flow"])
def test_a_refined_run_stands_beside_the_old_one(lambent: Run, far_run: Path, prior: str) -> None:
    kept = {path.name: digest(path) for path in far_run.iterdir() if path.is_file()}
    done = lambent("refine", far_run, f"--prior={prior}", *QUICK, "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    new = far_run.parent / f"run-{prior.lower()}"
    assert told["run"] == str(new)
    assert {"config.yaml", "model.safetensors", "history.jsonl", "metrics.json", "report.html"} <= set(told["files"])
    assert kept == {path.name: digest(path) for path in far_run.iterdir() if path.is_file()}
    bound, kl = (told["metrics"][name] for name in ("bound", "kl"))
    own = json.loads(lambent("evaluate", far_run, "--samples=8", "--json").out)["metrics"]
    assert bound["before"]["value"] == pytest.approx(own["bound"]["value"], abs=1e-4)
    assert bound["after"]["value"] > bound["before"]["value"] + 0.1
    assert kl["after"]["value"] < kl["before"]["value"]
    old, found = (package.load(run).fitted_ for run in (far_run, new))
    assert (told["from"]["type"], told["to"]["type"]) == ("Standard", prior)
    assert found.model.latent.prior.spec() == told["to"]
    assert all(
        torch.equal(a, b) for a, b in zip(old.model.decoder.parameters(), found.model.decoder.parameters(), strict=True)
    )
    assert found.provenance["refined"]["run"] == str(far_run)
    assert "Refined" in (new / "report.html").read_text()
    rows = generate(found, 2000, seed=0)[:, 0]
    true = far_run.parent / "heaps.csv"
    known = torch.tensor([float(line.split(",")[0]) for line in true.read_text().split()[1:]])
    scaled = (known - known.mean()) / known.std()
    assert (rows.std() / scaled.std() - 1).abs() < 0.2


def test_the_same_again(lambent: Run, far_run: Path) -> None:
    """By the configuration that it wrote, from another folder, to the bit."""
    assert lambent("refine", far_run, "--prior.width=8", *QUICK, "--limit=100", "--out", "first").status == 0
    tree = strict.read("first/config.yaml")
    assert tree["refine"]["prior"]["width"] == 8
    assert tree["refine"]["data"] == {"source": None, "limit": 100}
    done = lambent("refine", "--config", "first/config.yaml", "--out", "second")
    assert done.status == 0, done.err
    first, second = (package.load(Path(name)).fitted_.model.state_dict() for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_prior_without_weights_is_a_run_like_others(lambent: Run, far_run: Path) -> None:
    """Nothing is fitted; what stood in the folder goes all the same, and what was told is written down."""
    assert lambent("refine", far_run, *QUICK, "--out", "new").status == 0
    done = lambent("refine", far_run, "--prior=Standard", "--out", "new", "--force", "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert "config.yaml" in told["files"]
    assert not Path("new/history.jsonl").exists()
    assert strict.read("new/config.yaml")["refine"]["prior"] == {"type": "Standard"}
    kl = told["metrics"]["kl"]
    assert kl["after"]["value"] == kl["before"]["value"]  # it had that prior before
    assert lambent("refine", "--config", "new/config.yaml", "--out", "again").status == 0
    assert strict.read("again/config.yaml")["refine"] == strict.read("new/config.yaml")["refine"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prior=Difusion"], "did you mean 'Diffusion'"),
        (["--prior.widht=3"], "did you mean 'width'"),
        (["--prior=Vamp", "--validation=valid"], "give a number, such as 0.1"),
        (["--epoch=3"], "did you mean '--epochs'"),
        (["--epochs=0"], "fit.epochs must be at least 1"),
    ],
)
def test_what_cannot_be_leaves_nothing(lambent: Run, far_run: Path, arguments: list[str], words: str) -> None:
    done = lambent("refine", far_run, *arguments, "--out", "new")
    assert done.status == 2
    assert words in done.complaint
    assert not Path("new").exists()


def test_the_run_itself_is_not_replaced(lambent: Run, far_run: Path) -> None:
    kept = {path.name: digest(path) for path in far_run.iterdir() if path.is_file()}
    for run in (far_run, far_run / "model.safetensors"):
        done = lambent("refine", run, "--prior=Standard", "--out", far_run, "--force")
        assert done.status == 2
        assert "stays as it is" in done.complaint
    assert kept == {path.name: digest(path) for path in far_run.iterdir() if path.is_file()}


def test_without_a_run(lambent: Run, table: Path) -> None:
    assert "which run?" in lambent("refine").complaint
    assert lambent("refine", table).status == 4
    assert "--prior.width" in lambent("refine", "--help").out


def test_in_python_the_old_model_stays() -> None:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    model = package.LatentModel(package.Flat(2), package.Gaussian(), package.Mlp(8, 1))
    package.fit(model, package.Elbo(), x, epochs=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = package.refine(model, x, "Diffusion", epochs=2)
    assert type(model.latent.prior).__name__ == "Standard"
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert type(found.model.latent.prior).__name__ == "Diffusion"
    assert found.provenance["refined"]["from"] == {"type": "Standard"}
    assert len(found.provenance["refined"]["history"]["loss"]) == 2
    with pytest.raises(package.UsageError, match="move the model, and leave device out"):
        package.refine(model, x, "Standard", device="cpu")


def test_a_prior_whose_densities_take_long_is_evaluated_on_few_unless_told(lambent: Run, far_run: Path) -> None:
    done = lambent("refine", far_run, "--epochs=1", "--precision=fp32", "--rows=4", "--samples=1", "--out", "costly")
    assert done.status == 0, done.err
    usual = lambent("evaluate", "costly", "--json")
    assert json.loads(usual.out)["samples"] == 8
    assert "densities of a Diffusion prior take long: 500 rows and 8 samples of each" in usual.err
    told = lambent("evaluate", "costly", "--samples=2", "--limit=3", "--json")
    assert (json.loads(told.out)["samples"], json.loads(told.out)["rows"]) == (2, 3)
    assert "take long" not in told.err
    plain = lambent("evaluate", far_run, "--json")
    assert json.loads(plain.out)["samples"] == 32
