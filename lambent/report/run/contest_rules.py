"""Rules about the contest with a rival: those that speak while training, of the whole history."""

from lambent.report.run.findings import Findings
from lambent.tasks.sections import Remark
from lambent.training import rivalry


class OfHistory:
    """A rule about histories, as one of the verdict."""

    def __init__(self, rule: rivalry.Rule) -> None:
        self.rule = rule

    def __call__(self, findings: Findings) -> Remark | None:
        said = self.rule(findings.history, findings.objective)
        return None if said is None else Remark(said.level, said.title, said.text, said.advice, said.answer)


RULES = tuple(OfHistory(rule) for rule in rivalry.RULES)
