"""Every registered part by its name, from a process that has imported nothing but `lambent`."""

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import lambent
from lambent import VAE, LatentModel, fit
from lambent.objectives import Objective
from lambent.part import Part, registered

FRESH = """
import json, lambent
from lambent.part import families, registered
known = {kind.__name__: sorted(registered(kind)) for kind in families()}
for kind in families():
    for name in registered(kind):
        assert kind.from_spec(name).spec() == kind.from_spec({"type": name}).spec()
print(json.dumps(known))
"""


def walked() -> dict[str, list[str]]:
    """The concrete parts of every family, found by importing all modules of the package."""
    for module in pkgutil.walk_packages(lambent.__path__, "lambent."):
        if not module.name.startswith("lambent.__"):
            importlib.import_module(module.name)
    found: dict[str, set[str]] = {}  # a class may have two of these above it

    def look(kind: type, family: str | None) -> None:
        for below in kind.__subclasses__():
            own = family or below.__name__
            if below.__module__.startswith("lambent.") and not below.__name__.startswith("_"):
                if family is None and inspect.isabstract(below):
                    found[own] = set()
                elif own in found and not inspect.isabstract(below):
                    found[own].add(below.__name__)
            look(below, own)

    look(Part, None)
    return {family: sorted(names) for family, names in found.items()}


def test_a_fresh_process_knows_all_names() -> None:
    run = subprocess.run([sys.executable, "-W", "error", "-c", FRESH], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == walked()


def test_an_objective_alone_in_a_fresh_process() -> None:
    for name in ("Iwae", "Miwae", "Piwae", "Ciwae", "Factor", "Lagging"):
        assert name in walked()["Objective"]
    script = (
        "from lambent import VAE; import numpy as np; x = np.random.default_rng(0).normal(size=(20, 3))\n"
        + "\n".join(
            f"VAE(2, objective={name!r}, network={{'type': 'Mlp', 'width': 4}}, epochs=1).fit(x)"
            for name in ("Iwae", "Miwae", "Piwae", "Ciwae", "Factor")
        )
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("latent", ["Ladder", "Flat"])
def test_names_descriptions_and_parts_train_the_same(latent: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)

    def weights(objective: object) -> list[torch.Tensor]:
        model = LatentModel(latent=latent, likelihood="Gaussian", network={"type": "Mlp", "width": 4})
        fit(model, objective, x, epochs=1, precision="fp32")
        return [value.clone() for value in model.state_dict().values()]

    iwae = registered(Objective)["Iwae"]
    by_part = weights(iwae(samples=3))
    for given in ({"type": "Iwae", "samples": 3},):
        assert all(torch.equal(a, b) for a, b in zip(by_part, weights(given), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights(iwae()), weights("Iwae"), strict=True))
    with pytest.raises(lambent.UsageError, match="did you mean 'Iwae'"):
        weights("Iwea")


def test_priors_by_name_after_training() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    vae = VAE(2, epochs=1, network={"type": "Mlp", "width": 4}).fit(x)
    lambent.fit_prior(vae, x, {"type": "Mixture", "components": 3}, epochs=1)
    assert type(vae.model_.latent.prior).__name__ == "Mixture"
