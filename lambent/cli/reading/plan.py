"""Plan: everything that a training run is to do, as one tree; the YAML of a run is this tree, and flags are branches of it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambent.cli.reading import settings, strict
from lambent.cli.reading.specs import completed, fields_of
from lambent.cli.reading.trees import Tree, Typed, as_tree, merged
from lambent.errors import UsageError, nearest
from lambent.machine import Machine
from lambent.part import Part, Spec, registered

VERSION = 1
PARTS = ("latent", "likelihood", "network", "objective")
SECTIONS = ("lambent", "name", "data", *PARTS, "model", "fit", "evaluate")


@dataclass
class Plan:
    """What was asked for: sections as given, settings complete; parts are completed once the data are known.

    detecting: parts and settings that nobody chose are those that suit telling odd rows; clean: nor does training trim then.
    preset: they are those of this size; chosen: what it said, by section.
    """

    name: str | None
    rows: Tree
    modality: Tree
    parts: dict[str, Any]
    model: Tree
    fit: Tree
    evaluate: Tree
    asked: frozenset[str] = frozenset()  # the settings of the loop and of the model that were given
    detecting: bool = False
    clean: bool = False
    preset: str | None = None
    chosen: Tree = field(default_factory=dict)

    @classmethod
    def of(cls, tree: Tree) -> "Plan":
        """The plan that a tree describes; `UsageError` names the path of the first mistake."""
        for key in tree:
            if key not in SECTIONS:
                raise UsageError(f"{key}: no such section; {nearest(key, SECTIONS)}")
        _check_version(tree.get("lambent", VERSION))
        data = _section(tree, "data", "source")
        own = settings.of_rows()
        return cls(
            name=_run_name(tree.get("name")),
            rows=settings.read({k: v for k, v in data.items() if k in own}, own, "data"),
            modality={k: v for k, v in data.items() if k not in own},
            parts={name: tree.get(name) for name in PARTS},
            model=settings.read(_section(tree, "model"), settings.of_model(), "model"),
            fit=settings.read(_section(tree, "fit"), settings.of_fit(), "fit"),
            evaluate=settings.read(_section(tree, "evaluate"), settings.of_evaluation(), "evaluate"),
            asked=frozenset({**_section(tree, "fit"), **_section(tree, "model")}),
        )

    def check(self) -> None:
        """Find mistakes in the parts before any data are read; fields of a part still unnamed must fit one of its family."""
        for name, kind in families().items():
            given = self.parts[name]
            by_data = name in ("likelihood", "network") or self.preset is not None
            if by_data and isinstance(given, dict) and "type" not in given:
                _plausible(kind, given, name)
            elif given is not None:
                completed(kind, given, None if name in ("likelihood", "network") else default_of(name), name)
        if "type" in self.modality:
            completed(modalities(), self.modality, None, "data")
        else:
            _plausible(modalities(), self.modality, "data", also=settings.of_rows())

    @property
    def encoding(self) -> str | None:
        """How the likelihood that was chosen wants columns encoded; None where the data are to suggest one."""
        tree = as_tree(self.parts["likelihood"], "Likelihood", "likelihood")
        if "type" not in tree:
            return None
        kind = families()["likelihood"]
        chosen: Any = kind.from_spec(completed(kind, tree, None, "likelihood"))
        return str(chosen.encoding)

    def described(self, defaults: dict[str, Spec], columns: Sequence[Spec] = ()) -> dict[str, Spec]:
        """Every part in full; `defaults` are those that suit the data, `columns` the likelihoods that suit theirs."""
        from lambent.objectives import Objective, for_detecting, suggested_latent

        start = {name: defaults.get(name) or default_of(name) for name in PARTS}
        chosen = as_tree(self.parts["likelihood"], "Likelihood", "likelihood").get("type")
        if chosen not in (None, start["likelihood"]["type"]):  # the objective suits the data's own likelihood
            start["objective"] = default_of("objective")
        found = {name: completed(kind, self.parts[name], start[name], name) for name, kind in families().items()}
        likelihood: Any = families()["likelihood"].from_spec(found["likelihood"])
        found["likelihood"] = likelihood.of_columns(columns).spec()
        objective = Objective.from_spec(found["objective"])
        own = suggested_latent(
            start["latent"], found["latent"], for_detecting(objective) if self.detecting else objective
        )
        return found | {"latent": completed(families()["latent"], self.parts["latent"], own, "latent")}

    def suited(self, modality: Any) -> dict[str, Any]:
        """The parts and settings that suit the data, and what the model is for."""
        found: dict[str, Any]
        if self.preset is not None:
            found = modality.preset(self.preset, Machine.here(self.fit["device"]))
            self.chosen |= found | {"fit": {**found["fit"], "precision": None}}  # which the machine decides, too
        else:
            found = modality.detecting() if self.detecting else modality.defaults()
        if self.clean and "trim" in found.get("objective", {}):
            found = found | {"objective": found["objective"] | {"trim": 0.0}}
        return found

    def framed(self) -> None:
        """Take the fields of the data that the preset needs to know before rows are read, but for those that were given."""
        from lambent.data.kinds.presets import framing
        from lambent.data.loading import raw_rows

        if self.preset is not None and self.rows["source"] and not {"size", "crop"} & self.modality.keys():
            self.chosen["data"] = framing(self.preset, raw_rows(self.rows["source"], self.rows["split"]).rows)
            self.modality |= self.chosen["data"]

    def suit(self, defaults: dict[str, Any]) -> None:
        """Take the settings of the loop and of the model that suit the data, but for those that were given."""
        for section in ("fit", "model"):
            own: Tree = getattr(self, section)
            own |= {name: value for name, value in defaults.get(section, {}).items() if name not in self.asked}

    def plain(self, modality: Spec, parts: dict[str, Spec]) -> Tree:
        """The tree with every field resolved: the same run again."""
        named = {"name": self.name} if self.name else {}
        return {
            "lambent": VERSION,
            **named,
            "data": {**self.rows, **modality},
            **parts,
            **({"model": self.model} if self.model else {}),
            "fit": self.fit,
            "evaluate": self.evaluate,
        }


def families() -> dict[str, type[Part]]:
    """The families that a run chooses from, by section."""
    from lambent.model.latents import Latent
    from lambent.model.likelihoods import Likelihood
    from lambent.model.networks import Network
    from lambent.objectives import Objective, bounds  # noqa: F401 - register their objectives

    return {"latent": Latent, "likelihood": Likelihood, "network": Network, "objective": Objective}


def modalities() -> type[Part]:
    """The family of the kinds of data."""
    from lambent.data import Modality

    return Modality


def default_of(name: str) -> Spec:
    """The part that stands where neither user nor data say another."""
    return {"type": {"latent": "Flat", "likelihood": "Bernoulli", "network": "Mlp", "objective": "Elbo"}[name]}


def read_plan(path: str | Path) -> Tree:
    """The tree in a .yaml, .yml or .json file."""
    tree = strict.read(path)
    if tree is None:
        raise UsageError(f"{path}: is empty; at least give it the data, such as 'data: {{source: fashion}}'")
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: a configuration is a mapping of sections ({', '.join(SECTIONS)})")
    return tree


def with_flags(tree: Tree, flags: Tree) -> Tree:
    """Flags laid on a file's tree, with the short forms of the file written out first."""
    data = tree.get("data")
    if isinstance(data, str):
        tree = tree | {"data": {"source": data}}
    return merged(tree, flags)


def sourced(flags: Tree, positional: str | None) -> Tree:
    """Settle what `--data NAME` means: a modality if one has that name, else the data themselves."""
    known = registered(modalities())
    data = flags.get("data")
    if isinstance(data, str):
        data = {"type": data}
    data = dict(data or {})
    named = data.get("type")
    if named is not None and named not in known:
        if positional is not None or "source" in data:
            raise UsageError(f"--data: no kind of data is called {named!r}; {nearest(str(named), known)}")
        data["source"] = Typed(data.pop("type"))
    if positional is not None:
        data["source"] = Typed(positional)
    return {**{k: v for k, v in flags.items() if k != "data"}, **({"data": data} if data else {})}


def _section(tree: Tree, name: str, short: str | None = None) -> Tree:
    value = tree.get(name)
    if value is None:
        return {}
    if short and isinstance(value, str):
        return {short: value}
    if not isinstance(value, dict):
        raise UsageError(f"{name}: a mapping of settings is expected, not {str(value)[:60]!r}")
    return value


def _plausible(kind: type[Part], given: Tree, path: str, also: Iterable[str] = ()) -> None:
    """Refuse fields that no part of the family has: which part they are for is decided once the data are known."""
    known = {field for cls in registered(kind).values() for field in fields_of(cls)} | set(also)
    for key in given:
        if key not in known:
            raise UsageError(f"{path}.{key}: no {kind.__name__} has a field {key!r}; {nearest(key, known)}")


def _check_version(version: Any) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UsageError(f"lambent: the version of the configuration is a whole number, {VERSION} now, not {version!r}")
    if version > VERSION:
        raise UsageError(
            f"lambent: {version} is a later version of the configuration than this one reads ({VERSION}); update lambent"
        )


def _run_name(name: Any) -> str | None:
    """A run's name: it becomes the name of a folder, so it may not lead anywhere else."""
    if name is None:
        return None
    fits = isinstance(name, str) and 0 < len(name.encode("utf-8", "replace")) <= 120 and name == name.strip()
    if not fits or re.search(r"[\x00-\x1f\x7f/\\:]", name) or name.startswith((".", "-")):
        raise UsageError(
            f"name: {str(name)[:60]!r} cannot be a run's name: up to 120 letters, without / \\ : and not beginning with . or -"
        )
    return str(name)
