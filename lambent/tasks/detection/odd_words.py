"""odd_words: why texts are odd: the words that nobody would expect who had read the rest of the text."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lambent.data.kinds.text import END, Text
from lambent.distributions.sequences import Sequences
from lambent.fitted import Fitted, Rows
from lambent.model.trace import expected
from lambent.tasks.detection.reason import Reason, foremost

WORDS = 256  # of a text, the first, that are looked at
EXPECTED = 6  # tokens at most of a word that was to be expected


@torch.no_grad()
def odd_words(fitted: Fitted, rows: Rows, most: int) -> list[list[Reason]]:
    """For each text the words that stand out most, and what was to be expected in their places.

    Word by word, z is what q(z | the text without the word) expects; nats: Σ_t −log p(x_t | x_<t, z) − H(x_t | x_<t, z) over the
    word's tokens, so that a word is odd for what it is and not for how little could be known about it. That a text ends where
    it ends is looked at like a word. The first 256 words of a text are looked at.
    """
    assert isinstance(fitted.modality, Text)
    told = []
    for row in range(len(rows)):
        one = rows.at(torch.tensor([row]))
        tokens = one.x[0][~torch.isnan(one.x[0])].long()
        words = _words(fitted.modality, tokens)
        told.append(_reasons(fitted, fitted.modality, one, tokens, words, most) if words else [])
    return told


def _words(modality: Text, tokens: Tensor) -> list[tuple[int, int]]:
    """Where each word begins and ends among the tokens, blanks before it counted to it, and then the end of the text."""
    pieces = modality.decode(tokens.float().unsqueeze(1))
    starts = [
        place
        for place, piece in enumerate(pieces)
        if place == 0 or tokens[place] == END or (piece[:1].isspace() and bool(piece.strip())) or _blank(pieces, place)
    ]
    return list(itertools.pairwise([*starts, len(tokens)]))[:WORDS]


def _blank(pieces: Sequence[str], place: int) -> bool:
    """Whether the piece before this one is blank, so that it begins a word although it has no blank of its own."""
    return bool(pieces[place].strip()) and not pieces[place - 1].strip() and pieces[place - 1] != ""


def _reasons(
    fitted: Fitted, modality: Text, one: Rows, tokens: Tensor, words: list[tuple[int, int]], most: int
) -> list[Reason]:
    """The words of one text that cost most above what was to be expected, as reasons."""
    px = _without(fitted, one, tokens, words)
    places: dict[str, int] = {}
    found = []
    for number, ((start, stop), nats) in enumerate(zip(words, _costs(px, tokens, words), strict=True)):
        if tokens[start] == END:
            name, value = "its end", f"after {number} words" if number != 1 else "after 1 word"
        else:
            text = modality.decode(tokens[start:stop].float().unsqueeze(0))[0].strip()
            name, value = f"word {number + 1}", f'"{text}"'
        places[name] = number
        found.append(Reason(name, nats, value, within=nats <= 0))
    # What was to be expected is drawn token by token: for those alone that are named.
    return [_beside(reason, modality, px, tokens, words, places[reason.column]) for reason in foremost(found, most)]


def _beside(
    reason: Reason, modality: Text, px: Sequences, tokens: Tensor, words: list[tuple[int, int]], number: int
) -> Reason:
    """The reason with the word that was to be expected in that place, where it is another."""
    start = words[number][0]
    expects = _word(modality, _likely(px, tokens[:start], number))
    wanted = f'"{expects}"' if expects else "its end"
    same = not expects if tokens[start] == END else wanted == reason.value
    return reason if same else replace(reason, expected=wanted)


def _without(fitted: Fitted, one: Rows, tokens: Tensor, words: list[tuple[int, int]]) -> Sequences:
    """p(x | z) with z from the text without one of its words, a row for each of the words (of all members of the model)."""
    x = one.x.new_full((len(words), one.x.shape[1]), math.nan)
    for number, (start, stop) in enumerate(words):
        kept = tokens if tokens[start] == END else torch.cat((tokens[:start], tokens[stop:]))
        x[number, : len(kept)] = kept.to(x.dtype)
        if len(kept) < x.shape[1] and not bool((kept == END).any()):
            x[number, len(kept)] = END
    device = fitted.model.device
    context = None if one.context is None else one.context.expand(len(words), *one.context.shape[1:]).to(device)
    px = fitted.model.trace(x.to(device), 1, expected, context).px
    assert isinstance(px, Sequences)
    return px


def _costs(px: Sequences, tokens: Tensor, words: list[tuple[int, int]]) -> list[float]:
    """Of each word nats above its entropy."""
    raw = px.raw.reshape(-1, px.raw.shape[-1])
    state, token = px.conditionals.begin(raw), None
    tokens = tokens.to(raw.device)
    of_word = torch.tensor([stop for _, stop in words], device=raw.device)
    first = torch.tensor([start for start, _ in words], device=raw.device)
    costs = raw.new_zeros(len(words), dtype=torch.float64)
    for step, known in enumerate(tokens):
        logits, state = px.conditionals.step(token, state)
        # Members are averaged as probabilities: the model is their mixture.
        logs = logits.double().log_softmax(-1).reshape(-1, len(words), logits.shape[-1])
        logs = logs.logsumexp(0) - math.log(len(logs))
        here = (first <= step) & (step < of_word)
        entropy = -(logs.exp() * logs.nan_to_num(neginf=0.0)).sum(-1)
        costs += torch.where(here, -logs[:, known] - entropy, 0.0)
        token = known.expand(len(raw))
    return list(costs.tolist())


def _likely(px: Sequences, before: Tensor, number: int) -> Tensor:
    """The likeliest tokens after those before a word, which is given by its number."""
    raw = px.raw.reshape(-1, px.raw.shape[-1])[number : number + 1]
    likeliest = Sequences(px.conditionals, raw, px.event_shape[0], temperature=0.0)
    return likeliest.continued(before.unsqueeze(0).to(raw.device), EXPECTED)[0, len(before) :]


def _word(modality: Text, tokens: Tensor) -> str:
    """The first word of what was to be expected; empty where the text was to end."""
    ends = (tokens == END).nonzero()
    kept = tokens[: int(ends[0])] if len(ends) else tokens
    if not len(kept):
        return ""
    found = modality.decode(kept.float().unsqueeze(0))[0].split()
    return found[0] if found else ""
