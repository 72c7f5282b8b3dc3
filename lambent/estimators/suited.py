"""What suits the data where the user left it open: the objective, and the settings of the training."""

from collections.abc import Callable, Mapping
from typing import Any

from lambent.data.kinds.modality import Modality
from lambent.errors import UsageError, nearest
from lambent.machine import Machine
from lambent.model.likelihoods import Likelihood
from lambent.objectives import Objective, for_detecting
from lambent.part import Part, Spec


def untrimmed(objective: Any) -> Any:
    """The objective, a part or its description, with no share of the rows left out of training; other objectives as they are."""
    spec = objective.spec() if isinstance(objective, Part) else objective
    if not isinstance(spec, dict) or not spec.get("trim"):
        return objective
    return {name: value for name, value in spec.items() if name not in ("trim", "untrimmed")}


def _novelties(modality: Modality) -> dict[str, Spec]:
    suits = modality.detecting()
    return {**suits, **({"objective": untrimmed(suits["objective"])} if "objective" in suits else {})}


PURPOSES: dict[str, Callable[[Modality], dict[str, Spec]]] = {
    "density": lambda modality: modality.defaults(),
    "outliers": lambda modality: modality.detecting(),
    "novelties": _novelties,
}


def suits(modality: Modality, purpose: str, preset: str | None = None, device: str = "auto") -> dict[str, Spec]:
    """The parts and settings that suit the data for a purpose, or those of a preset; `UsageError` for an unknown one."""
    if preset is not None:
        return modality.preset(preset, Machine.here(device))
    if purpose not in PURPOSES:
        raise UsageError(f"no purpose is called {purpose!r}; {nearest(str(purpose), PURPOSES)}")
    return PURPOSES[purpose](modality)


def chosen_objective(given: Any, modality: Modality | None, likelihood: Any, purpose: str = "density") -> Objective:
    """The objective that was asked for, or what suits the data under their own likelihood, or the Elbo."""
    if given is not None or modality is None:
        chosen = Objective.from_spec("Elbo" if given is None else given)
        return chosen if purpose == "density" else for_detecting(chosen)
    defaults = suits(modality, purpose)
    own = likelihood is None or Likelihood.from_spec(likelihood).spec()["type"] == defaults["likelihood"]["type"]
    return Objective.from_spec(defaults.get("objective", "Elbo") if own else "Elbo")


def settings_of(modality: Modality, given: Mapping[str, Any], endless: bool = False) -> dict[str, Any]:
    """Epochs, batch and learning rate as given, and what suits the data where None was, with the other settings that do.

    endless: of a training without an end, of which rates that end at nought are no part.
    """
    suited: dict[str, Any] = dict(
        suits(modality, given["purpose"], given.get("preset"), given.get("device", "auto")).get("fit", {})
    )
    if endless:
        suited = {name: value for name, value in suited.items() if name not in ("schedule", "warmup")}
    suited.pop("validation", None)  # which rows these are is settled where rows are taken in
    return suited | {name: given[name] for name in ("epochs", "batch", "learning_rate") if given[name] is not None}
