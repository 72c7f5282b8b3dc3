"""Rivalry: what the history of a training with a rival says of the contest, and what to do where it goes wrong.

A GAN's loss says nothing of how good its rows are. What does is how often the rival is right, how far apart rows of the model
lie beside rows of the data, and how large the gradients of both are. The same rules speak while training and in the report.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from lambent.part import Spec
from lambent.training.callbacks import Quiet
from lambent.training.run import Run

History = Mapping[str, Sequence[float | None]]

LASTING = 3  # epochs that say the same before anything is said
WON = 0.97  # share of its judgements that are right, from which a rival has won
LOST = 0.35  # and below which it has lost: it is worse than chance
BLIND = 0.005  # share of the loss of chance that a rival may lie from it and have learned nothing
ALIKE = 0.5  # of the distance between rows of the data, below which rows of the model are too much alike
UNLIKE = 0.2  # from 1, beyond which rows of the model are not spread like rows of the data
SWING = 2.0  # times its lowest that a spread may rise in the second half of training
FAR = 2.0  # and above which they have left the data
EXPLODED = 100.0  # times the gradient of the first epochs
APART = 0.75  # share of right judgements of codes from which they do not match the prior
MATCHED = 0.6  # and below which they do
SLOWER = "lower the learning rate to a third"


class Remark(NamedTuple):
    """What is to be said of a contest, and what to do; answer: the same in a few words."""

    level: Literal["problem", "notice", "good"]
    title: str
    text: str
    advice: str
    answer: str


Rule = Callable[[History, Spec], Remark | None]


def remarks(history: History, objective: Spec) -> list[Remark]:
    """All that the rules say of a history, whose objective is described by `objective`; nothing of one without a rival."""
    return [remark for rule in RULES if (remark := rule(history, objective)) is not None]


class Watch(Quiet):
    """Says while training, once, what goes wrong in a contest; `say` takes a line of text."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.said: set[str] = set()

    def on_epoch(self, run: Run) -> None:
        if run.opponent is None:
            return
        for remark in remarks(run.history, run.objective.spec()):
            if remark.level == "problem" and remark.title not in self.said:
                self.said.add(remark.title)
                self.say(f"epoch {run.epoch}: {remark.text} {remark.advice}")


# ---- the rules ---------------------------------------------------------------------------------------------------


def won(history: History, objective: Spec) -> Remark | None:
    """Whether the rival is right nearly always."""
    right = _lately(history, "rival_accuracy")
    if right is None or right < WON:
        return None
    text = f"The rival has won: {right:.0%} of its judgements are right, and what it dislikes tells the model little."
    if not _of_rows(objective):
        return Remark("problem", "The rival has won", text, f"{_heavier(objective)}.", "the rival has won")
    ways = [_flag(objective, "r1", 10.0, least=1.0), _flag(objective, "pace", 0.25)]
    flag, now = _place(objective, "augment")
    if now == "none":
        ways.append(f"of few pictures, let the rival see them changed ({flag} color,translation,cutout)")
    return Remark("problem", "The rival has won", text, _advice("Weaken it", ways), "the rival has won")


def lost(history: History, objective: Spec) -> Remark | None:
    """Whether the rival is wrong more often than chance: the model runs ahead of it."""
    right = _lately(history, "rival_accuracy")
    if right is None or right > LOST:
        return None
    text = f"The rival has lost: only {right:.0%} of its judgements are right, less than by chance. The model runs ahead of it."
    ways = [_flag(objective, "pace", 4.0), _flag(objective, "r1", 0.1)]
    return Remark("problem", "The rival has lost", text, _advice("Let it learn faster", ways), "the rival has lost")


def blind(history: History, objective: Spec) -> Remark | None:
    """Whether the rival tells nothing apart, though rows of the model are not spread like those of the data."""
    spread = _lately(history, "spread")
    if spread is None or not _is_blind(history, objective):
        return None
    text = (
        f"The rival sees nothing: its loss is that of chance, though rows of the model lie {spread:.2g} times as far apart as "
        "rows of the data do."
    )
    ways = [_flag(objective, "r1", 0.1), _flag(objective, "r2", 0.1), _flag(objective, "pace", 4.0)]
    return Remark("problem", "The rival sees nothing", text, _advice("Strengthen it", ways), "the rival sees nothing")


def _is_blind(history: History, objective: Spec) -> bool:
    spread, loss = _lately(history, "spread"), _lately(history, "rival_loss")
    if spread is None or loss is None or abs(spread - 1.0) < UNLIKE:
        return False  # the model may be so good that there is nothing to tell
    chance = math.log(4 if _place(objective, "loss")[1] == "non-saturating" else 2)
    return abs(loss - chance) < BLIND * chance


def collapsed(history: History, objective: Spec) -> Remark | None:
    """Whether rows of the model are much more alike than rows of the data, and do not become less so."""
    spread = _lately(history, "spread")
    if spread is None or spread >= ALIKE or _rising(_present(history, "spread")) or _is_blind(history, objective):
        return None
    text = (
        f"Mode collapse: rows of the model lie {spread:.0%} as far apart as rows of the data do, and do not spread out."
    )
    ways = _calmer(objective)
    flag, now = _place(objective, "loss")
    if now == "non-saturating":
        ways.append(f"judge rows of the model beside rows of the data ({flag} relativistic)")
    ways.append("take a larger batch")
    return Remark("problem", "Mode collapse", text, _advice("Calm the rival", ways), "modes have collapsed")


def swinging(history: History, objective: Spec) -> Remark | None:
    """Whether rows of the model are now too much alike, now too far apart: each drives the other about."""
    spreads = _present(history, "spread")
    later = spreads[len(spreads) // 2 :]
    if len(later) < 2 * LASTING or max(later) < SWING * min(later) or _monotone(later):
        return None
    text = (
        f"The contest swings: in the second half of training rows of the model lay between {min(later):.2g} and {max(later):.2g} "
        "times as far apart as rows of the data."
    )
    right = _lately(history, "rival_accuracy")
    ways = [_flag(objective, "pace", 4.0)] if right is not None and right < 0.5 else _calmer(objective)
    return Remark("problem", "The contest swings", text, _advice("Calm it", [*ways, SLOWER]), "the contest swings")


def far_off(history: History, objective: Spec) -> Remark | None:
    """Whether rows of the model have left the data."""
    spread = _lately(history, "spread")
    if spread is None or spread <= FAR:
        return None
    text = f"The model has left the data: its rows lie {spread:.2g} times as far apart as rows of the data do."
    ways = [_flag(objective, "pace", 4.0), SLOWER]
    return Remark(
        "problem", "The model has left the data", text, _advice("Bring it back", ways), "the model has left the data"
    )


def diverging(history: History, objective: Spec) -> Remark | None:
    """Whether a gradient has grown a hundredfold: the contest does not come to rest."""
    for name, whose in (("rival_gradient", "rival"), ("gradient", "model")):
        norms, now = _present(history, name), _lately(history, name)
        if now is None or len(norms) < 2 * LASTING:
            continue
        first = statistics.median(norms[:LASTING])
        times = now / max(first, 1e-12)
        if times > EXPLODED:
            text = f"The contest diverges: the {whose}'s gradient is {times:,.0f} times that of the first epochs."
            ways = [
                "lower the learning rate to a third",
                _flag(objective, "r1", 10.0, least=1.0),
                "clip gradients (--clip 1)",
            ]
            return Remark("problem", "The contest diverges", text, _advice("Calm both", ways), "the contest diverges")
    return None


def standing(history: History, objective: Spec) -> Remark | None:
    """Whether the last epochs learned nothing, for all of their steps were left out."""
    told, losses = history.get("rival_accuracy"), list(history.get("loss") or ())
    if not told or len(losses) < 2 or not all(_finite(v) is None for v in losses[-2:]) or not any(map(_finite, losses)):
        return None
    text = "Both stand still: every step of the last two epochs had a loss far above those before, and was left out."
    ways = [SLOWER, "let no step be left out (--spike 0)"]
    return Remark("problem", "Both stand still", text, _advice("Start anew", ways), "training stood still")


def matched(history: History, objective: Spec) -> Remark | None:
    """Whether codes match the prior, of objectives whose rival judges that."""
    right = _lately(history, "rival_accuracy")
    if right is None or not _judges_prior(objective) or not LOST < right < WON or MATCHED < right < APART:
        return None
    share = f"the rival is right in {right:.0%} of its judgements, where chance gives half"
    if right <= MATCHED:
        return Remark("good", "The codes match the prior", f"As far as a rival can tell: {share}.", "", "")
    text = f"Codes can be told from draws of the prior: {share}. Samples will look less like the data than reconstructions do."
    return Remark(
        "notice", "The codes do not match the prior", text, f"{_heavier(objective)}; or train for longer.", ""
    )


RULES: tuple[Rule, ...] = (won, lost, blind, collapsed, far_off, swinging, diverging, standing, matched)


# ---- reading histories and settings ------------------------------------------------------------------------------


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _present(history: History, name: str) -> list[float]:
    return [number for value in history.get(name) or () if (number := _finite(value)) is not None]


def _lately(history: History, name: str) -> float | None:
    """The median of the last epochs; None where they are too few to say."""
    present = _present(history, name)
    return statistics.median(present[-LASTING:]) if len(present) >= LASTING else None


def _rising(values: list[float]) -> bool:
    """Whether the last of the last few values is a tenth above the first of them."""
    return values[-1] > 1.1 * values[-LASTING]


def _place(objective: Spec, name: str, path: str = "--objective") -> tuple[str, Any]:
    """The flag that sets a field of the objective, or of the one that it is built around, and its value; None without one.

    A rival that the history tells of has a pace of its own; what is built around one without, such as `Invariant` with a rival
    whose answers are no contest about rows, is passed by.
    """
    inner = objective.get("of")
    if isinstance(inner, dict) and (name not in objective or "pace" not in objective):
        return _place(inner, name, f"{path}.of")
    return (f"{path}.{name}", objective[name]) if name in objective else ("", None)


def _monotone(values: list[float]) -> bool:
    return values in (sorted(values), sorted(values, reverse=True))


def _calmer(objective: Spec) -> list[str]:
    """Ways to a rival whose gradient is smoother."""
    return [_flag(objective, name, 10.0, least=1.0) for name in ("r1", "r2")]


def _of_rows(objective: Spec) -> bool:
    """Whether the rival judges rows; else codes."""
    return bool(_place(objective, "r1")[0])


def _judges_prior(objective: Spec) -> bool:
    return objective.get("type") == "Aae" or objective.get("by") == "rival"


def _heavier(objective: Spec) -> str:
    """To let the rival of codes weigh more, by the field of the objective that does."""
    flag, value = _place(objective, "gamma" if "gamma" in objective else "weight")
    now = 10.0 if value == "auto" else _finite(value)
    return (
        f"Give the rival more weight ({flag} {4 * now:g}, now {now:g})"
        if flag and now
        else "Give the rival more weight"
    )


def _flag(objective: Spec, name: str, factor: float, least: float = 0.0) -> str:
    """A field of the objective set to a multiple of what it is; empty where it has none, or where that would change nothing."""
    flag, value = _place(objective, name)
    now = _finite(value)
    new = None if now is None else max(least, factor * now)
    return f"{flag} {new:g}, now {now:g}" if new != now else ""


def _advice(aim: str, ways: list[str]) -> str:
    return f"{aim}: {'; or '.join(way for way in ways if way)}."
