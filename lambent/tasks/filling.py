"""Filling: what stands in the gaps of texts, given what is before and behind them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lambent.data.kinds.text import END, Text
from lambent.data.readers.texts import Texts
from lambent.distributions.sequences import Sequences
from lambent.errors import DataError, UsageError
from lambent.fitted import Fitted
from lambent.model import ask_encoder
from lambent.model.trace import from_posterior
from lambent.seeds import mixed_seed, stream

CODES = 64  # drawn of each gap
MOST_TOKENS = 12  # of what a gap is filled with


@dataclass(frozen=True)
class Filling:
    """Texts with their gaps filled, and the number of each text that had any with its fills in their order."""

    texts: list[str]
    fills: dict[int, list[str]]


@torch.no_grad()
def fill(fitted: Any, data: Any, *, samples: int = CODES, draw: bool = False, seed: int = 0) -> Filling:
    """Texts whose gaps, marked ___, are filled by what the model makes of the rest; all else stays as it is.

    K = `samples` codes are drawn from q(z | the text without the gap), and with each what could follow what stands before it,
    of 1 … 12 tokens. Taken is the fill f with the greatest p(before, f, behind | z) or, with `draw`, one by its importance,
    p(behind | before, f, z), for it was drawn from p(f | before, z). Several gaps are filled one after the other.
    Errors: `UsageError` for a model of anything but texts; `DataError` where no text has a gap.
    """
    fitted = Fitted.of(fitted)
    modality = fitted.modality
    if not isinstance(modality, Text):
        raise UsageError(
            f"gaps marked {Text.gap_mark} are filled in texts, and this model is of other rows: use impute"
        )
    ask_encoder(fitted.model)
    found = data if isinstance(data, Texts) else modality.open(data)
    if not any(Text.gap_mark in text for text in found.texts):
        raise DataError(f"{found.origin}: no text has a gap; mark what is missing by {Text.gap_mark}")
    fitted.model.eval()
    texts: list[str] = []
    fills: dict[int, list[str]] = {}
    for row, text in enumerate(found.texts):
        generator = torch.Generator(fitted.model.device).manual_seed(mixed_seed(stream(seed, "filled texts"), row))
        while Text.gap_mark in text:
            before, _, behind = text.partition(Text.gap_mark)
            piece = _filled(fitted, modality, before, behind, samples, draw, generator)
            text = before + piece + behind
            fills.setdefault(row, []).append(piece)
        texts.append(text)
    return Filling(texts, fills)


def _filled(
    fitted: Fitted, modality: Text, before: str, behind: str, samples: int, draw: bool, generator: torch.Generator
) -> str:
    """What stands between two parts of a text; a blank that the first ends in is no part of it."""
    start, rest = before.rstrip(" "), behind.replace(Text.gap_mark, "")
    x = modality.encode([" ".join((start + rest).split())]).to(fitted.model.device)
    px = fitted.model.trace(x, samples, from_posterior(generator)).px
    assert isinstance(px, Sequences)
    known = modality.encode([start])[0]
    known = known[known > END].long()
    room = min(MOST_TOKENS, modality.event[0] - len(known))
    if room < 1:
        raise DataError(f"{before[:40]!r} …: before the gap stand {len(known)} tokens, as many as a text may have")
    given = known.to(fitted.model.device).expand(samples * fitted.model.members, -1)
    made = px.continued(given, room, generator)[:, len(known) :].cpu()
    candidates = _candidates(modality, made)
    if not candidates:
        return ""
    places = torch.tensor([place for place, _ in candidates])
    whole = _log_prob(px, modality, [start + one + rest for _, one in candidates], places, True)
    if draw:
        shares = (whole - _log_prob(px, modality, [start + one for _, one in candidates], places, False)).softmax(0)
        best = int((shares.cumsum(0) > _uniform(generator)).int().argmax())
    else:
        best = int(whole.argmax())
    chosen = candidates[best][1]
    return chosen.removeprefix(" ") if before.endswith(" ") or not before else chosen


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, device=generator.device, dtype=torch.float64))


def _candidates(modality: Text, made: Tensor) -> list[tuple[int, str]]:
    """(number of the code, fill) of every beginning of what was drawn that is whole characters and more than blanks."""
    ends = [int((row == END).int().argmax()) if bool((row == END).any()) else len(row) for row in made]
    pairs = [(place, steps) for place, end in enumerate(ends) for steps in range(1, end + 1)]
    if not pairs:
        return []
    padded = torch.zeros(len(pairs), made.shape[1], dtype=made.dtype)
    for number, (place, steps) in enumerate(pairs):
        padded[number, :steps] = made[place, :steps]
    found = zip((place for place, _ in pairs), modality.decode(padded.float()), strict=True)
    return [(place, text) for place, text in found if text.strip() and "\N{REPLACEMENT CHARACTER}" not in text]


def _log_prob(px: Sequences, modality: Text, texts: list[str], places: Tensor, ended: bool) -> Tensor:
    """log p(text | z) of each under the code of its number, with its end or without, [texts]."""
    x = modality.encode(texts)
    x = (x if ended else x.masked_fill(x == END, float("nan"))).to(px.raw.device)
    raw = px.raw.reshape(-1, px.raw.shape[-1])[places.to(px.raw.device)]
    return Sequences(px.conditionals, raw, px.event_shape[0]).log_prob(x).double().cpu()
