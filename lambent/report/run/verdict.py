"""The verdict: is it collapsed, is it over-fitted, what to change next; in plain words, by documented rules."""

from collections.abc import Callable, Sequence

from lambent.report.numerals import count
from lambent.report.run import codebook_rules, contest_rules, failure_rules, latent_rules, learning_rules
from lambent.report.run.findings import Findings
from lambent.tasks.sections import Remark

Rule = Callable[[Findings], Remark | None]

# Of a model that did not learn there is nothing else to say: neither that it is collapsed, nor that it is not.
OF_ANY: tuple[Rule, ...] = (
    latent_rules.no_bound,
    failure_rules.not_trained,
    failure_rules.instability,
    failure_rules.skipped_steps,
    latent_rules.weighted,
    *contest_rules.RULES,
)
OF_TRAINED: tuple[Rule, ...] = (
    failure_rules.worse_than_nothing,
    learning_rules.over_fitting,
    latent_rules.collapse,
    codebook_rules.entries,
    learning_rules.under_training,
    latent_rules.empty_levels,
    latent_rules.too_small,
    latent_rules.nearly_points,
    latent_rules.free_bits_alone,
    latent_rules.loose_bound,
    latent_rules.prior_gap,
)
_ORDER = ("problem", "notice", "good")


def verdict(findings: Findings) -> list[Remark]:
    """All remarks that the rules make about a run: problems first, then notes, then what is well."""
    rules = OF_ANY if failure_rules.not_trained(findings) is not None else OF_TRAINED + OF_ANY
    remarks = [remark for rule in rules if (remark := rule(findings)) is not None]
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
