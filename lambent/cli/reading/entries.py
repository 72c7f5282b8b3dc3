"""Entries of a comparison: the models known by name, and those of a YAML file, as what each asks for beside the rest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambent.cli.reading.plan import PARTS, read_plan
from lambent.cli.reading.trees import Tree
from lambent.errors import UsageError, nearest

SUFFIXES = (".yaml", ".yml", ".json")
# The same network, latent size and likelihood for all: what suits the data, or what the flags say. A plain Gaussian prior for all
# but the default recipe, whose learned one is a part of what it is.
PLAIN: Tree = {"prior": {"type": "Standard"}}
KNOWN: dict[str, Tree] = {
    "autoencoder": {"latent": {**PLAIN, "posterior": {"type": "Point"}}, "objective": {"type": "Elbo"}},
    "vae": {"latent": {**PLAIN, "posterior": {"type": "Diagonal"}}, "objective": {"type": "Elbo"}},
    "default": {},
    "gan": {"latent": PLAIN, "objective": {"type": "Gan"}},
    "vae-gan": {"latent": {**PLAIN, "posterior": {"type": "Diagonal"}}, "objective": {"type": "VaeGan"}},
}


@dataclass(frozen=True)
class Asked:
    """One model that is asked for: its name, and the branches of a configuration that are its own."""

    name: str
    tree: Tree
    recipe: str = ""  # the file, where it came from one


def asked_for(models: Any) -> list[Asked]:
    """The models of a comparison: names, paths of recipes, or a mapping from names to trees; none: all that are known.

    Errors: `UsageError` for a name that is not known, twice the same, or none.
    """
    if models is None:
        models = list(KNOWN)
    if isinstance(models, str):
        models = [word.strip() for word in models.split(",") if word.strip()]
    found = [Asked(name, dict(tree)) for name, tree in models.items()] if isinstance(models, dict) else []
    found = found or [_named(str(word)) for word in models]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--models: {name} is there twice; call one of them otherwise")
    if not found:
        raise UsageError(f"--models: which? {', '.join(KNOWN)}, or paths of YAML recipes")
    return found


def _named(word: str) -> Asked:
    if word in KNOWN:
        return Asked(word, _strict(KNOWN[word]))
    if not word.lower().endswith(SUFFIXES):
        raise UsageError(f"--models: no model is called {word[:60]!r}; {nearest(word, KNOWN)} Or a YAML recipe")
    tree = read_plan(word)
    # What a comparison decides for all: the rows, and how long.
    own = {name: tree[name] for name in (*PARTS, "model", "fit") if tree.get(name) is not None}
    if isinstance(own.get("fit"), dict):
        own["fit"] = {name: value for name, value in own["fit"].items() if name not in ("epochs", "seed")}
    return Asked(Path(word).stem, own, word)


def _strict(tree: Tree) -> Tree:
    """The same with a plain Elbo in full, so that nothing of the objective that suits the data stands in its place."""
    from lambent.objectives import Elbo

    if tree.get("objective") == {"type": "Elbo"}:
        return {**tree, "objective": Elbo().spec()}
    return tree
