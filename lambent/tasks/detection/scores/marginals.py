"""A model of independent columns, learned at sight: kernels for numbers, frequencies for levels and tokens."""

import math

import torch
from torch import Tensor

from lambent.fitted import Fitted
from lambent.metrics.bound import filled
from lambent.tasks.detection.scores.columns import ColumnForms

KNOTS = 256  # quantiles that kernels stand on, at most
NARROWEST = 1e-3  # deviations, of a kernel: as narrow as the likelihoods of numbers go
CHUNK = 1024  # rows


def learned(fitted: Fitted, x: Tensor) -> dict[str, Tensor]:
    """Of each column the quantiles "knots" [K, D] and the kernel's "widths" [D]; of tokens their "frequencies" [V, D]."""
    forms = ColumnForms.of(fitted)
    x = forms.told(x).double()
    most = max(1, *forms.tokens)
    knots, widths, frequencies = [], [], []
    for column, tokens in zip(x.T, forms.tokens, strict=True):
        there = column[~column.isnan()]
        counts = torch.zeros(most, dtype=torch.float64)
        if tokens:
            places = there.floor().long().clamp(0, tokens - 1)
            counts[:tokens] = torch.bincount(places, minlength=tokens) + 0.5
            counts /= counts.sum()
        frequencies.append(counts)
        place, width = _kernels(there if len(there) and not tokens else torch.zeros(1, dtype=torch.float64), len(x))
        knots.append(place)
        widths.append(width)
    return {"knots": torch.stack(knots, 1), "widths": torch.stack(widths), "frequencies": torch.stack(frequencies, 1)}


def _kernels(values: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Quantiles of observed values, as many as there are rows or `KNOTS`, and Silverman's bandwidth."""
    count = min(KNOTS, rows)
    # At the middles of equal shares, so that as many kernels as values stand on the values themselves.
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    ordered = values.sort().values
    places = ordered[(shares * len(ordered)).floor().long()]
    spread = float(values.std(correction=0))
    inner = float(ordered[int(0.75 * (len(ordered) - 1))] - ordered[int(0.25 * (len(ordered) - 1))]) / 1.349
    narrower = min(spread, inner) if inner > 0 else spread
    width = max(0.9 * narrower * len(values) ** -0.2, NARROWEST * (spread or 1.0))
    return places, torch.tensor(width, dtype=torch.float64)


def independent(fitted: Fitted, x: Tensor, knots: Tensor, widths: Tensor, frequencies: Tensor) -> Tensor:
    """log p₀(x) of rows, [rows], float64, in nats of encoded rows; what is missing is left out."""
    forms = ColumnForms.of(fitted)
    tokens = torch.tensor(forms.tokens)
    numbers, named = (tokens == 0).nonzero()[:, 0], (tokens > 0).nonzero()[:, 0]
    found = torch.empty(len(x), dtype=torch.float64)
    for start in range(0, len(x), CHUNK):
        part = forms.told(filled(x, start, CHUNK)).double()
        terms = torch.zeros_like(part)
        z = (part[:, None, numbers] - knots[:, numbers]) / widths[numbers]
        log_kernels = -0.5 * z.square() - widths[numbers].log() - 0.5 * math.log(2 * math.pi)
        terms[:, numbers] = log_kernels.logsumexp(1) - math.log(len(knots))
        places = part[:, named].nan_to_num(0.0).floor().long().clamp_min(0)
        places = torch.minimum(places, tokens[named] - 1)
        terms[:, named] = frequencies[:, named].gather(0, places).log()
        real = min(CHUNK, len(x) - start)
        found[start : start + real] = torch.where(part.isnan(), 0.0, terms).sum(1)[:real]
    return found
