"""citation: the BibTeX of exactly what a model uses.

A part names its papers where it is defined (`papers`, the `papers` of its options, `cited`); the entries are in papers.bib.
"""

import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from lambent import fitted as store
from lambent.data import Modality
from lambent.errors import UsageError
from lambent.estimators import VAE
from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.part import Part, family
from lambent.training.settings import Training
from lambent.version import __version__

ALWAYS = "lambent"
OWN = f"""@software{{{ALWAYS},
  author = {{{{The Lambent contributors}}}},
  title = {{{{Lambent}}: Variational autoencoders in {{Python}}}},
  version = {{{__version__}}}
}}"""


class Citation(str):
    """BibTeX, which shows itself as such at a prompt too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def citation(model: Any, objective: Objective | str | None = None) -> Citation:
    """BibTeX of what `model` implements and, where the objective is known, of what it was trained by.

    model: a `LatentModel`, a `VAE`, or the path of a model file, of which only the header is read. A VAE and a file know their
    objective; for a bare model give it. Above each entry a comment names the parts it is for.
    Errors: `UsageError` for anything else; `ArtifactError` for a file that is no model file.
    """
    parts, whole, notes, decay = _composed(model, objective)
    for_whom: dict[str, list[str]] = {ALWAYS: []}
    for part in parts:
        keys = part.cited(whole)
        name = f"{type(part).__name__} ({family(type(part)).__name__.lower()})"
        if not (keys or part.papers or part.no_paper):
            notes.append(f"{name} names no paper")
        for key in keys:
            if name not in for_whom.setdefault(key, []):
                for_whom[key].append(name)
        if isinstance(part, Objective):
            settings = Training(weight_decay=1.0 if decay else 0.0)
            for_whom |= {key: ["training"] for key in settings.cited(whole)}
    entries = [f"% {', '.join(names)}\n{entry(key)}" if names else entry(key) for key, names in for_whom.items()]
    return Citation("\n\n".join([*(f"% {note}" for note in notes), *entries]) + "\n")


@cache
def bibliography() -> dict[str, str]:
    """All entries of papers.bib by key."""
    text = Path(__file__).with_name("papers.bib").read_text("utf-8")
    entries = [found.strip() for found in re.split(r"^(?=@)", text, flags=re.MULTILINE) if found.strip()]
    return {found.partition("{")[2].partition(",")[0]: found for found in entries}


def entry(key: str) -> str:
    """The entry of that key; a part of your own may name one that papers.bib lacks."""
    return OWN if key == ALWAYS else bibliography().get(key, f"% {key} is not in papers.bib")


def _composed(model: Any, objective: Objective | str | None) -> tuple[list[Part], Part, list[str], bool]:
    """The parts in use, the model they are in, remarks, and whether the weights decayed."""
    notes: list[str] = []
    roots: list[Part]
    known: Any = None
    decay = False
    if isinstance(model, (str, Path)):
        header = store.read_header(model)
        came: dict[str, Any] = header.get("provenance") or {}
        whole = LatentModel.from_spec(header["model"])
        modality = (header.get("modality") or {}).get("spec")
        roots = [whole] if modality is None else [whole, Modality.from_spec(modality)]
        known, decay = came.get("objective"), bool((came.get("fit") or {}).get("weight_decay"))
    elif isinstance(model, LatentModel):
        whole, roots = model, [model]
    elif isinstance(model, VAE) and hasattr(model, "model_"):
        whole, roots, known = model.model_, [model.model_, model.modality_], model._objective()
    elif isinstance(model, VAE):
        notes.append("not fitted yet: what the data decide is left out")
        given = {name: getattr(model, name) for name in ("likelihood", "network") if getattr(model, name) is not None}
        # a Gaussian stands for whatever the data will decide, for the parts that look at their company
        spec = {"type": "LatentModel", "latent": model._latent_spec(), "likelihood": "Gaussian", **given}
        whole, known = LatentModel.from_spec(spec), model._objective()
        roots = [whole.latent, *(getattr(whole, name) for name in given)]
    else:
        kind = type(model).__name__
        raise UsageError(f"a LatentModel, a VAE or the path of a model file has a citation, not a {kind}")
    chosen = known if objective is None else objective
    if chosen is None:
        notes.append("the objective is not known: citation(model, objective) adds its papers")
    else:
        roots = [*roots, Objective.from_spec(chosen)]
    return [part for root in roots for part in _within(root)], whole, notes, decay


def _within(part: Part) -> Iterator[Part]:
    """The part and those in its fields, in their order."""
    yield part
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Part):
                yield from _within(inner)
