"""May synthetic rows be shared? A table of rules, each with its evidence; no proof, but what can be seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lambent.tasks.judgement import Measured
from lambent.tasks.sections import Remark

Metrics = dict[str, Measured]

ERRORS = 3.0  # standard errors that a number must lie beyond what unseen rows have
COPIES = 0.001  # share of rows more than among unseen ones that may be copies by chance
LEAK = 0.52  # what an attack may reach, and the share nearer to training rows, beyond chance
CLOSE = 0.9  # of the median distance that unseen rows have to the closest training row

Answer = Literal["yes", "no", "unknown"]

NO_PROOF = (
    "No measure proves that nothing can be learned of a single person; only training under differential privacy bounds it. Rows "
    "that stand alone in the data are the first to be recognised: look at those before you give any away."
)


@dataclass(frozen=True)
class Rule:
    """One sentence for when it holds and one for when not. needs: the metrics that it is about; without them it says nothing."""

    needs: tuple[str, ...]
    broken: Callable[[Metrics], bool]
    title: tuple[str, str]  # where it is broken, where not
    evidence: Callable[[Metrics], str]
    advice: str


def answered(metrics: Metrics) -> tuple[Answer, list[Remark]]:
    """The answer and the remarks behind it: rules of privacy first, then of use."""
    privacy = _remarks(PRIVACY, metrics, "problem")
    faithful = _remarks(FIDELITY, metrics, "notice")
    broken = [remark for remark in privacy if remark.level == "problem"]
    seen = "membership" in metrics
    answer: Answer = "no" if broken else "yes" if seen else "unknown"
    return answer, [_summed(answer, len(broken)), *privacy, *faithful]


def _summed(answer: Answer, broken: int) -> Remark:
    if answer == "no":
        what = "one measure speaks" if broken == 1 else f"{broken} measures speak"
        return Remark("problem", "May this be shared? No", f"{what[0].upper()}{what[1:]} against it; see below.")
    if answer == "unknown":
        text = "Nothing speaks against it, but without real rows that were not trained on there is nothing to compare with."
        return Remark("notice", "May this be shared? It cannot be said", text, "Hold rows out, and judge with them.")
    text = f"No measure here tells the rows that were trained on from others of their kind. {NO_PROOF}"
    return Remark("good", "May this be shared? Nothing here speaks against it", text)


def _remarks(rules: tuple[Rule, ...], metrics: Metrics, weight: Literal["problem", "notice"]) -> list[Remark]:
    found = []
    for rule in rules:
        if not all(name in metrics for name in rule.needs):
            continue
        broken = rule.broken(metrics)
        title = rule.title[0] if broken else rule.title[1]
        found.append(Remark(weight if broken else "good", title, rule.evidence(metrics), rule.advice if broken else ""))
    return found


def _excess(metrics: Metrics, name: str, limit: float) -> bool:
    """Whether a number whose chance value is ½ lies above its limit, and above chance by more than its error explains."""
    one = metrics[name]
    return one.value > limit and one.value - 0.5 > ERRORS * (one.error or 0.0)


def _copied(metrics: Metrics) -> bool:
    """More than chance explains; without unseen rows nobody knows what that is, and only a majority of copies tells."""
    one = metrics["copies"]
    if "unseen" not in one.beside:
        return one.value > 0.5
    return one.value - one.beside["unseen"] > max(COPIES, ERRORS * (one.error or 0.0))


def _copies(metrics: Metrics) -> str:
    one = metrics["copies"]
    there = one.beside.get("unseen")
    other = "" if there is None else f"; of real rows that were not trained on {100 * there:.2f} % are, by chance"
    return f"{100 * one.value:.2f} % of the rows equal a training row in every column{other}."


def _distance(metrics: Metrics) -> str:
    one = metrics["closest"]
    other = one.beside["unseen"]
    return f"Half of the rows lie within {one.value:.4f} of a training row, half of the unseen real rows within {other:.4f}."


def _nearer(metrics: Metrics) -> str:
    one = metrics["nearer_training"]
    return f"{100 * one.value:.1f} % of the rows are nearer to a training row than to an unseen one; 50 % would be by chance."


def _guessed(metrics: Metrics) -> str:
    one, advantage = metrics["membership"], metrics["membership_advantage"]
    return (
        f"Whoever guesses by distance who was trained on reaches an AUROC of {one.value:.3f} "
        f"(chance: 0.5 ± {one.error or 0:.3f}), "
        f"and finds {100 * advantage.value:.1f} % more of those who were than of those who were not."
    )


def _detected(metrics: Metrics) -> str:
    name = "detection_unseen" if "detection_unseen" in metrics else "detection"
    one = metrics[name]
    rows = "unseen real rows" if name == "detection_unseen" else "the real rows that they were made from"
    return (
        f"A detector tells them from {rows} with an AUROC of {one.value:.3f} (0.5: not at all); "
        f"columns drawn independently are told with {one.beside['independent']:.3f}."
    )


def _used(metrics: Metrics) -> str:
    one = metrics["use"]
    unit = one.meaning.partition(" of ")[0]
    return f"A model learned from them reaches an {unit} of {one.value:.3f}, from real rows {one.beside['real']:.3f}."


PRIVACY = (
    Rule(
        ("copies",),
        _copied,
        ("Rows are copied", "No more copies than by chance"),
        _copies,
        "Train for fewer epochs, or with more dropout; where the table has few distinct rows, leave these out.",
    ),
    Rule(
        ("closest", "membership"),
        lambda metrics: metrics["closest"].value < CLOSE * metrics["closest"].beside["unseen"],
        ("Rows lie too close to training rows", "As far from training rows as unseen real rows are"),
        _distance,
        "The model has memorized: fewer epochs, more dropout, more rows.",
    ),
    Rule(
        ("nearer_training",),
        lambda metrics: _excess(metrics, "nearer_training", LEAK),
        ("Rows lean to the training rows", "No nearer to training rows than to unseen ones"),
        _nearer,
        "The model has memorized: fewer epochs, more dropout, more rows.",
    ),
    Rule(
        ("membership", "membership_advantage"),
        lambda metrics: _excess(metrics, "membership", LEAK),
        ("It can be guessed who was trained on", "It cannot be guessed who was trained on"),
        _guessed,
        "Share fewer rows, or train with more dropout and for fewer epochs.",
    ),
)
FIDELITY = (
    Rule(
        ("detection",),
        lambda metrics: metrics.get("detection_unseen", metrics["detection"]).value > 0.6,
        ("They are told from real rows", "They are hardly told from real rows"),
        _detected,
        "See which columns the detector goes by; a longer training may help.",
    ),
    Rule(
        ("use",),
        lambda metrics: metrics["use"].value < metrics["use"].beside["real"] - 0.02,
        ("Less can be learned from them than from real rows", "They serve to learn from as real rows do"),
        _used,
        "See which pairs of columns hang together least like the real ones.",
    ),
)
