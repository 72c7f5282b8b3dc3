"""What suits the data where the user left it open: the objective, and the settings of the training."""

from collections.abc import Mapping
from typing import Any

from lambent.data.kinds.modality import Modality
from lambent.model.likelihoods import Likelihood
from lambent.objectives import Objective


def chosen_objective(given: Any, modality: Modality | None, likelihood: Any) -> Objective:
    """The objective that was asked for, or what suits the data under their own likelihood, or the Elbo."""
    if given is not None or modality is None:
        return Objective.from_spec("Elbo" if given is None else given)
    defaults = modality.defaults()
    own = likelihood is None or Likelihood.from_spec(likelihood).spec()["type"] == defaults["likelihood"]["type"]
    return Objective.from_spec(defaults.get("objective", "Elbo") if own else "Elbo")


def settings_of(modality: Modality, given: Mapping[str, Any], endless: bool = False) -> dict[str, Any]:
    """Epochs, batch and learning rate as given, and what suits the data where None was, with the other settings that do.

    endless: of a training without an end, of which rates that end at nought are no part.
    """
    suited: dict[str, Any] = dict(modality.defaults().get("fit", {}))
    if endless:
        suited = {name: value for name, value in suited.items() if name not in ("schedule", "warmup")}
    return suited | {name: given[name] for name in ("epochs", "batch", "learning_rate") if given[name] is not None}
