"""diagnose: measure, then apply the table of rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lambent.errors import DataError, UsageError
from lambent.fitted import Fitted
from lambent.model import ask_encoder
from lambent.model.bounded import want_bound
from lambent.objectives import Objective
from lambent.progress import shown
from lambent.tasks.diagnosis.evidence import Evidence, History, Look
from lambent.tasks.diagnosis.rules import RULES

FEWEST = 20  # rows


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its cause by a short name and in words, the numbers that show it, the cure in words and in flags.

    flags: of `lambent train`, to be laid on those of the run; () where none can help.
    """

    cause: str
    level: Literal["problem", "notice"]
    name: str
    shown: str
    cure: str
    flags: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "flags": list(self.flags)}


@dataclass(frozen=True)
class Diagnosis:
    """What was found, the likeliest cause first; nothing of a model that is well. evidence: all numbers."""

    findings: list[Finding]
    evidence: Evidence = field(repr=False)

    @property
    def problems(self) -> list[Finding]:
        """Those that are more than notes."""
        return [finding for finding in self.findings if finding.level == "problem"]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong; there may be notes."""
        return not self.problems

    @property
    def cause(self) -> str | None:
        """The short name of what is wrong first of all; None of a healthy model."""
        return self.problems[0].cause if self.problems else None

    @property
    def flags(self) -> tuple[str, ...]:
        """The cure of the first problem."""
        return self.problems[0].flags if self.problems else ()

    def plain(self) -> dict[str, Any]:
        """As JSON: the findings, and the numbers that they rest on."""
        return {
            "healthy": self.healthy,
            "cause": self.cause,
            "findings": [finding.plain() for finding in self.findings],
            "evidence": numbers(self.evidence),
        }


def diagnose(
    fitted: Any,
    data: Any,
    train: Any = None,
    *,
    objective: Any = None,
    history: History | None = None,
    seed: int = 0,
    limit: int | None = None,
    progress: bool = False,
) -> Diagnosis:
    """Say why a model has collapsed or failed, by the numbers that show it, and what to train it with instead.

    Measured: the bound and its parts, units by what removing them costs, the information, the gap between codes and prior, what
    further steps of the encoder alone and of all bring, the amortization gap, what the decoder knows without a code, and whether
    the data have any structure. The rules are a table: `lambent.tasks.diagnosis.rules.RULES`.

    fitted: a trained model, alone or in a `Fitted` or an estimator. data: rows it was not trained on, whatever `Fitted.rows`
    takes; train: rows that it was trained on, without which over-fitting is not looked for. objective, history: of its training,
    if the model does not know them. limit: only the first so many rows. progress: a bar on standard error.
    Errors: `UsageError` for a model without an encoder or a bound; `DataError` for fewer than 20 rows; those of `Fitted.rows`.
    """
    given, fitted = fitted, Fitted.of(fitted)
    ask_encoder(fitted.model)
    want_bound(fitted.model, "there is no KL to collapse")
    rows = fitted.rows(data, seed, limit=limit)
    if len(rows) < FEWEST:
        raise DataError(f"a diagnosis needs at least {FEWEST} rows; these are {len(rows)}")
    known = None if train is None else fitted.rows(train, seed)
    told: Mapping[str, Any] = fitted.provenance
    spec = objective if objective is not None else told.get("objective") or {"type": "Elbo"}
    course = history if history is not None else getattr(given, "history_", None) or told.get("history") or {}
    if not isinstance(course, Mapping):
        raise UsageError(f"history must be a mapping of columns, as fit returns it, not a {type(course).__name__}")
    trained = None if known is None else len(known)
    with shown(progress):
        evidence = Look(fitted, rows, known, Objective.from_spec(spec).spec(), course, trained, seed).evidence()
    return Diagnosis(judged(evidence), evidence)


def judged(evidence: Evidence) -> list[Finding]:
    """What the table says of the numbers: of the rules for one state the first that speaks, and notes where nothing is wrong."""
    found: list[Finding] = []
    taken: set[str] = set()
    for rule in RULES:
        state = rule.state(evidence)
        said = {finding.cause for finding in found}
        if not state or state in taken or rule.cause in said or (rule.level == "notice" and said):
            continue
        if (told := rule.shown(evidence)) is None:
            continue
        cure = rule.cure(evidence)
        level: Literal["problem", "notice"] = "notice" if rule.level == "notice" else "problem"
        found.append(Finding(rule.cause, level, rule.name, told, cure.words, cure.flags))
        if rule.level == "end":
            return found[-1:]
        if state != "any":
            taken.add(state)
    return found


def numbers(e: Evidence) -> dict[str, Any]:
    """The evidence as JSON, in nats per row unless said otherwise."""
    structure = None if e.structure is None else e.structure._asdict() | {"found": e.structure.found}
    return {
        "rows": e.rows,
        "elbo": e.elbo._asdict(),
        "training_elbo": None if e.own_elbo is None else e.own_elbo._asdict(),
        "above_others_in_training": None if e.over is None else e.over._asdict(),
        "reconstruction": e.reconstruction,
        "kl": e.kl,
        "kl_of_levels": e.level_kls,
        "active_units": {"reported": e.reported, "living": e.living, "of": e.units},
        "kl_of_units": [None if level.nats is None else level.nats.tolist() for level in e.levels],
        "removing_a_unit": None if e.reading.units is None else [[c.nats for c in level] for level in e.reading.units],
        "removing_a_level": [cost._asdict() for cost in e.reading.levels],
        "another_code": e.reading.exchanged._asdict(),
        "decoder_alone": e.reading.alone._asdict(),
        "mutual_information": {"nats": e.information, "at_its_ceiling": e.saturated},
        "prior_gap": e.prior_gap,
        "independent_columns": e.independent,
        "encoder_lag": e.lag.gain._asdict(),
        "decoder_lag": e.behind.gain._asdict(),
        "further_steps": e.further.gain._asdict() | {"kl_before": e.further.kl, "kl_after": e.further.kl_after},
        "amortization_gap": None if e.gap is None else e.gap._asdict(),
        "amortization_gap_in_training": None if e.own_gap is None else e.own_gap._asdict(),
        "structure": structure,
        "ghostly_share": None if e.components is None else e.components.ghostly,
        "codebook": None
        if e.codebook is None
        else {"share": e.codebook[0].share, "perplexity": e.codebook[0].perplexity},
    }
