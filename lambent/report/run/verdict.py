"""The verdict: is it collapsed, is it over-fitted, what to change next; in plain words, by documented rules."""

from collections.abc import Callable, Sequence

from lambent.report.numerals import count
from lambent.report.run import latent_rules, learning_rules
from lambent.report.run.findings import Findings
from lambent.tasks.sections import Remark

Rule = Callable[[Findings], Remark | None]

RULES: tuple[Rule, ...] = (
    latent_rules.no_bound,
    learning_rules.instability,
    learning_rules.over_fitting,
    latent_rules.collapse,
    learning_rules.under_training,
    latent_rules.empty_levels,
    latent_rules.too_small,
    latent_rules.loose_bound,
    latent_rules.prior_gap,
    latent_rules.weighted,
    learning_rules.skipped_steps,
)
_ORDER = ("problem", "notice", "good")


def verdict(findings: Findings) -> list[Remark]:
    """All remarks that the rules make about a run: problems first, then notes, then what is well."""
    remarks = [remark for rule in RULES if (remark := rule(findings)) is not None]
    return sorted(remarks, key=lambda remark: _ORDER.index(remark.level))


def summary(remarks: Sequence[Remark]) -> str:
    """The verdict in one sentence: the answers to the first questions, and how much else there is to read."""
    if not remarks:
        return "There is too little here to judge the run."
    answers = [remark.answer for remark in remarks if remark.answer]
    rest = sum(remark.level != "good" and not remark.answer for remark in remarks)
    if rest:
        answers.append(f"{rest} more to note" if answers else count(rest, "thing") + " to note")
    if not answers:
        return "Nothing stands out."
    sentence = "; ".join(answers)
    return sentence[0].upper() + sentence[1:] + "."
