"""Slim: a model of a table without the numbers that coding does not use, so that it takes little room in an archive."""

import copy
import math

import torch
from torch import Tensor

from lambent.codec.exact.dyadic import rounded
from lambent.codec.tables.chain import sees_columns, sequence, visible
from lambent.data.kinds.columns.ranked import Ranked
from lambent.data.kinds.modality import Modality
from lambent.data.kinds.table import Table
from lambent.fitted import Fitted
from lambent.model.likelihoods.autoregressive import Autoregressive
from lambent.model.likelihoods.chain import Chain, Heads, Pairwise
from lambent.model.likelihoods.features import SMOOTH, Features


@torch.no_grad()
def slim(fitted: Fitted, bits: int = 8) -> Fitted:
    """A copy that codes about as well: what its columns never hear or show is nought, and mid-ranks have so many bits.

    It is good for nothing else: only columns in their own order see each other. Code by the copy itself once it is packed and
    unpacked, for that is what decodes. A model whose columns do not see columns comes back as it is.
    """
    if not sees_columns(fitted.model.likelihood):
        return fitted
    made = Fitted(copy.deepcopy(fitted.model), _slim_table(fitted.modality))
    likelihood = made.model.likelihood
    assert sees_columns(likelihood)
    chain: Chain = likelihood.chain
    for features in (chain.features, likelihood.read):
        _slim_features(features, bits)
    _slim_heads(chain.heads)
    if isinstance(chain.heard, Pairwise):
        chain.heard.weight.mul_(_heard(likelihood)[chain.heard.owner].unsqueeze(-1))
    return made


def _slim_features(features: Features, bits: int) -> None:
    """Of the table of vectors and places what some column shows."""
    shows = torch.zeros(len(features.vectors), features.rank + SMOOTH, dtype=torch.bool)
    for column in range(features.layout.columns):
        own = features.own[features.spans[column] : features.spans[column + 1]]
        shows[features.layout.places(column), own[own < shows.shape[1]][:, None]] = True
    features.vectors.mul_(shows[:, : features.rank] & (features.single > 0).unsqueeze(1))
    midrank = rounded(features.phi[:, 0], bits) * shows[:, features.rank]
    features.phi.zero_()[:, 0] = midrank  # all else is told by the place


def _slim_heads(heads: Heads) -> None:
    for group, columns in enumerate(heads.groups):
        tokens = torch.tensor([heads.layout.tokens[column] for column in columns])
        used = (torch.arange(heads.biases[group].shape[1]) < tokens[:, None]).unsqueeze(1)
        single = getattr(heads, f"single{group}")
        heads.weights[group].mul_(used if str(group) not in heads.smooth else single > 0)
        heads.biases[group].mul_(used.squeeze(1))
        getattr(heads, f"phi{group}").zero_()


def _heard(likelihood: Autoregressive) -> Tensor:
    """[columns, columns]: whether one is heard by the other."""
    return visible(likelihood.chain.layout, sequence(likelihood))


def _slim_table(modality: Modality | None) -> Modality | None:
    """The table with the ends of its bins in a few digits."""
    if not isinstance(modality, Table):
        return modality
    state = modality.state()
    for column in state["columns"]:
        if column["column"] == Ranked.tag and not column["step"]:
            column["low"], column["high"] = _slim_ends(column["low"], column["high"])
    return type(modality).from_spec(modality.spec()).restore(state)


def _slim_ends(low: list[float], high: list[float]) -> tuple[list[float], list[float]]:
    """Ends of bins to a hundredth of the narrower one beside each; those of single values, and of bins next to such, stay."""
    widths = [b - a for a, b in zip(low, high, strict=True)]
    low, high = list(low), list(high)
    for token in range(len(low) - 1):
        narrow = min(widths[token], widths[token + 1])
        if narrow > 0 and high[token] == low[token + 1]:
            digits = max(0, 2 - math.floor(math.log10(narrow)))
            high[token] = low[token + 1] = round(high[token], digits)
    return low, high
