"""The model and the parts that a plan comes to, once the data are known."""

from lambent.cli.reading.plan import Plan
from lambent.cli.voice import Voice
from lambent.data import Modality
from lambent.errors import UsageError
from lambent.model import LatentModel, check
from lambent.part import Spec


def assembled(plan: Plan, modality: Modality, voice: Voice) -> tuple[LatentModel, dict[str, Spec]]:
    """The model, and every part in full, by section; the plan takes the settings that suit the data."""
    defaults = plan.suited(modality)
    plan.suit(defaults)
    parts = plan.described(defaults, modality.likelihoods)
    own: Spec = {k: v for k, v in parts.items() if k != "objective"}
    own |= plan.model | {"context": modality.conditions.width, "white": modality.white, "gaps": modality.gaps}
    return _model(own, plan, voice), parts


def _model(own: Spec, plan: Plan, voice: Voice) -> LatentModel:
    """The model of these parts; of one member, where several suit the data but not a part that was chosen."""
    spec = {"type": "LatentModel", **own}
    model = LatentModel.from_spec(spec)
    if model.members == 1 or "members" in plan.asked:
        return model
    try:
        check(model)
    except UsageError as error:
        alone = LatentModel.from_spec(spec | {"members": 1})
        check(alone)
        voice.note(f"one model is trained, where an ensemble of {model.members} suits the data: {error}")
        plan.model["members"] = 1
        return alone
    return model
