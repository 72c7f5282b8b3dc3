"""The rules of the doctor: one table of causes, each with where it is looked for, what shows it and what cures it."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from lambent.tasks.diagnosis import cures, shown
from lambent.tasks.diagnosis.cures import Cure
from lambent.tasks.diagnosis.evidence import Evidence
from lambent.tasks.diagnosis.states import anywhere, collapsed, pointlike


class Rule(NamedTuple):
    """A cause: in which state of the model it is looked for, what shows it (None: nothing does), and what cures it.

    level: "end" where nothing else is worth saying then; "notice" what is only said of a model without a problem. Of the rules
    for one state the first that speaks counts, but for those of any state.
    """

    cause: str
    name: str
    level: Literal["end", "problem", "notice"]
    state: Callable[[Evidence], str]
    shown: Callable[[Evidence], str | None]
    cure: Callable[[Evidence], Cure]


# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("alike",      "The rows are all alike",                   "end",     anywhere, shown.alike,       cures.other_rows),
    Rule("fast",       "The learning rate is too high",            "end",     anywhere, shown.too_fast,    cures.usual_rate),
    Rule("noise",      "The data have no structure",               "end",     anywhere, shown.noise,       cures.nothing),
    Rule("slow",       "The learning rate is too low",             "end",     anywhere, shown.too_slow,    cures.usual_rate),
    Rule("scale-low",  "The likelihood's scale is fixed too small", "problem", anywhere, shown.scale_small, cures.learned_scale),
    Rule("scale-high", "The likelihood's scale is fixed too large", "problem", anywhere, shown.scale_large, cures.learned_scale),
    Rule("cheap",      "λ is too small: an autoencoder",           "problem", pointlike, shown.cheap,       cures.fair_price),
    Rule("free-price", "Free bits exceed what the code is worth",  "problem", anywhere, shown.overpaid,    cures.less_free),
    Rule("late",       "The warm-up is longer than the training",  "problem", pointlike, shown.late,        cures.early),
    Rule("few",        "Too few rows: over-fitted",                "problem", pointlike, shown.few,         cures.smaller),
    Rule("exact",      "Posteriors are nearly points",             "notice",  pointlike, shown.exact,       cures.blurred),
    Rule("capacity",   "The KL is steered to nought",              "problem", collapsed, shown.capacity,    cures.no_capacity),
    Rule("dear",       "λ is too large",                           "problem", collapsed, shown.dear,        cures.fair_price),
    Rule("strong",     "The decoder does without the code",        "problem", collapsed, shown.strong,      cures.informed),
    Rule("free-bits",  "Free bits make dead units look alive",     "problem", collapsed, shown.given_away,  cures.gently_without),
    Rule("lag",        "The encoder lags behind",                  "problem", collapsed, shown.lagging,     cures.ahead),
    Rule("short",      "The training is too short",                "problem", collapsed, shown.unfinished,  cures.longer),
    Rule("lost",       "Units were lost as λ grew",                "problem", collapsed, shown.lost,        cures.floored),
    Rule("at-once",    "The KL weighs in full from the first step", "problem", collapsed, shown.at_once,     cures.gently),
    Rule("free-bits",  "Free bits make dead units look alive",     "problem", anywhere, shown.given_away,  cures.fewer_units),
    Rule("level",      "A level is skipped",                       "problem", anywhere, shown.skipped,     cures.levels),
    Rule("late",       "The warm-up is longer than the training",  "problem", anywhere, shown.late,        cures.early),
    Rule("lag",        "The encoder lags behind",                  "problem", anywhere, shown.lagging,     cures.ahead),
    Rule("few",        "Too few rows: over-fitted",                "problem", anywhere, shown.few,         cures.smaller),
    Rule("ghosts",     "The prior has ghost components",           "problem", anywhere, shown.ghosts,      cures.new_prior),
    Rule("dead-codes", "Most entries of the codebook are dead",    "problem", anywhere, shown.dead_codes,  cures.book),
    Rule("short",      "The training is too short",                "notice",  anywhere, shown.unfinished,  cures.longer),
    Rule("prior",      "The prior does not fit the codes",         "notice",  anywhere, shown.unmatched,   cures.richer_prior),
    Rule("coarse",     "The encoder is too coarse",                "notice",  anywhere, shown.coarse,      cures.finer),
)
# fmt: on
