"""What follows from the measures of drawn pictures, in plain words: each remark with the numbers that show it."""

from collections.abc import Mapping

from lambent.metrics.samples.distance import Distance
from lambent.tasks.sections import Remark

ERRORS = 3.0  # standard errors that a number must lie beyond what it is held against
LEAN = 0.52  # share nearer to training pictures that may be chance
BLURRED, NOISY = 0.8, 1.25  # of the real pictures' energy at high frequencies
LOST = 1.5  # times the distance of the reconstructions
MISSING = 0.8  # of the coverage that the holdout has

Sets = Mapping[str, Mapping[str, Distance]]


def remarks(sets: Sets, rows: Mapping[str, int]) -> list[Remark]:
    """The rules, problems first; one good remark where none holds."""
    found = [*_remembered(sets), *_prior(sets), *_sharp(sets), *_missing(sets, rows)]
    fine = "No rule on this page finds fault with them; look at the pictures, and at how near the holdout is."
    return found or [Remark("good", "Nothing here speaks against them", fine)]


def _remembered(sets: Sets) -> list[Remark]:
    own = sets["generated"]
    found = []
    if (near := own.get("nearer_training")) and near.value > max(LEAN, 0.5 + ERRORS * (near.error or 0)):
        text = f"{near.value:.1%} are nearer to a training picture than to an unseen one; chance is half."
        advice = "Look at the nearest neighbours; train for fewer epochs, on more pictures, or with a smaller model."
        found.append(Remark("problem", "Samples lean to the training pictures", text, advice))
    if (gap := own.get("gap")) and "holdout" in sets and (usual := sets["holdout"].get("gap")):
        more = gap - usual
        if more.value > ERRORS * (more.error or 0) and more.value > 0.05:
            text = (
                f"Around the samples training pictures are likelier than unseen ones by {gap.value:.2f} nats per feature; "
                f"around real ones that were held out, by {usual.value:.2f}."
            )
            found.append(Remark("problem", "The model remembers what it was trained on", text))
    return found


def _prior(sets: Sets) -> list[Remark]:
    """What the samples lose against reconstructions is the prior's to mend."""
    if "reconstructions" not in sets:
        return []
    own, best = sets["generated"]["frechet"], sets["reconstructions"]["frechet"]
    if own.value < LOST * best.value or (own - best).value < ERRORS * ((own - best).error or 0):
        return []
    text = f"Their Fréchet distance is {own.value:.2f}, that of reconstructions {best.value:.2f}."
    advice = "Fit another prior to the codes of this model: lambent refine RUN --prior Diffusion, or lambent.fit_prior."
    return [Remark("notice", "The prior draws codes that the data do not have", text, advice)]


def _sharp(sets: Sets) -> list[Remark]:
    sharp = sets["generated"]["sharpness"]
    error = ERRORS * (sharp.error or 0)
    if sharp.value + error < BLURRED:
        text = f"At high frequencies they have {sharp.value:.0%} of the energy of real pictures."
        best = sets["reconstructions"]["sharpness"].value if "reconstructions" in sets else None
        text += "" if best is None else f" Reconstructions have {best:.0%}."
        return [
            Remark("notice", "Samples are blurred", text, "A larger or finer code, or a hierarchy of maps, sees more.")
        ]
    if sharp.value - error > NOISY:
        text = f"At high frequencies they have {sharp.value:.0%} of the energy of real pictures."
        return [Remark("notice", "Samples are noisy", text)]
    return []


def _missing(sets: Sets, rows: Mapping[str, int]) -> list[Remark]:
    """Coverage grows with the number of pictures, so that it is held against as many real ones."""
    if "holdout" not in sets or rows["holdout"] < rows["generated"] / 2:
        return []
    own, usual = sets["generated"]["coverage"], sets["holdout"]["coverage"]
    if own.value > MISSING * usual.value or own.value + ERRORS * (own.error or 0) > usual.value:
        return []
    text = f"{own.value:.0%} of the real pictures have a sample among their nearest; {usual.value:.0%} have a held-out one."
    return [Remark("notice", "Kinds of pictures are missing", text)]
