"""The network of columns that see columns: p(x_j | x_before, z) of all columns in a few batched products.

h_j = Σ_i visible[i, j] c_ij(x_i) + raw_j + b_j: what the columns before it show, and what z says; then a layer with a residual,
and the logits of the column's tokens. Any order of the columns, and all but the column itself, is one mask.
Germain, Gregor, Murray & Larochelle, MADE, 2015; Uria, Murray & Larochelle, A Deep and Tractable Density Estimator, 2014.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.distributions.products import exact_products
from lambent.model.likelihoods.features import SMOOTH, Features, Layout, alone, phi

FEWEST = 16  # tokens that a group of heads has room for
MILD = 0.3  # how strongly smooth features speak: bins start as their marginals, and neighbours stay alike


class Pairwise(nn.Module):
    """c_ij(x_i) = A_ij e_i(x_i): every column hears every other in its own way. Quadratic in the columns."""

    owner: Tensor
    strange: Tensor

    def __init__(self, layout: Layout, owner: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("owner", owner, persistent=False)
        columns = layout.columns
        self.weight = nn.Parameter(torch.randn(len(owner), columns, width) / math.sqrt(len(owner)))
        self.register_buffer("strange", strangers(layout), persistent=False)

    def forward(self, features: Tensor, order: Tensor) -> Tensor:
        """[rows, features] → [rows, columns, width]: each column hears those before it in `order`."""
        rank = order.argsort()
        visible = (rank[:, None] < rank[None, :]) & self.strange
        masked = self.weight * visible[self.owner].unsqueeze(-1)
        heard: Tensor = (features @ masked.flatten(1)).unflatten(-1, masked.shape[1:])
        return heard

    def gathered(self, features: Tensor) -> Tensor:
        """[rows, features] → what `one` needs of them, [rows, numbers], of which the features are the first."""
        return features

    def add(self, gathered: Tensor, column: int, span: slice, rows: Tensor, features: Tensor) -> None:
        """Let some rows show a column, too, that they did not show."""
        gathered[rows, span] = features

    def one(self, gathered: Tensor, column: int) -> Tensor:
        """What one column, that is not shown itself, hears of all others, [rows, width]."""
        return gathered @ (self.weight[:, column] * self.strange[self.owner, column].unsqueeze(-1))


class Shared(nn.Module):
    """c_ij(x_i) = g_j ⊙ A_i e_i(x_i): all columns hear one running sum. Linear in the columns, for wide tables.

    As NADE: Larochelle & Murray, The Neural Autoregressive Distribution Estimator, 2011.
    """

    place: Tensor
    owner: Tensor
    partner: Tensor

    def __init__(self, layout: Layout, owner: Tensor, width: int) -> None:
        super().__init__()
        count = torch.bincount(owner, minlength=layout.columns)
        most = int(count.max())
        within = torch.cat([torch.arange(int(n)) for n in count])
        self.register_buffer("owner", owner, persistent=False)
        self.register_buffer("place", owner * most + within, persistent=False)
        self.weight = nn.Parameter(torch.randn(layout.columns, most, width) / math.sqrt(len(owner)))
        self.gain = nn.Parameter(torch.ones(layout.columns, width))
        self.register_buffer("partner", torch.tensor(layout.partner), persistent=False)

    def _each(self, features: Tensor) -> Tensor:
        """[rows, columns, width] from each column."""
        columns, most, _ = self.weight.shape
        spread = features.new_zeros(len(features), columns * most).index_copy(1, self.place, features)
        return torch.bmm(spread.unflatten(1, (columns, most)).transpose(0, 1), self.weight).transpose(0, 1)

    def forward(self, features: Tensor, order: Tensor) -> Tensor:
        rank = order.argsort()
        each = self._each(features)
        ordered = each[:, order]
        before = (ordered.cumsum(1) - ordered)[:, rank]
        strange = (self.partner >= 0) & (rank[self.partner] < rank)
        return (before - each[:, self.partner] * strange[:, None]) * self.gain

    def gathered(self, features: Tensor) -> Tensor:
        """The features, and behind them the sum that all columns hear."""
        return torch.cat((features, self._each(features).sum(1)), 1)

    def add(self, gathered: Tensor, column: int, span: slice, rows: Tensor, features: Tensor) -> None:
        gathered[rows, span] = features
        gathered[rows, len(self.place) :] += features @ self.weight[column, : features.shape[1]]

    def one(self, gathered: Tensor, column: int) -> Tensor:
        heard = gathered[:, len(self.place) :]
        partner = int(self.partner[column])
        if partner >= 0:
            own = gathered[:, : len(self.place)][:, self.owner == partner]
            heard = heard - own @ self.weight[partner, : own.shape[1]]
        return heard * self.gain[column]


class Heads(nn.Module):
    """The logits of every column's tokens; columns with like numbers of tokens are one batched product.

    Of bins: a free bias and .3 φ(k)ᵀ L h, so that neighbours are about as likely; of single values among them also u_kᵀ h.
    """

    back: Tensor
    grouped: Tensor

    def __init__(self, layout: Layout, width: int) -> None:
        super().__init__()
        self.layout = layout
        groups: dict[tuple[bool, int], list[int]] = {}
        for column, (tokens, seen) in enumerate(zip(layout.tokens, layout.seen, strict=True)):
            room = 1 << max(0, (max(FEWEST, tokens) - 1).bit_length())
            groups.setdefault((seen == "bins", room), []).append(column)
        self.groups = list(groups.values())
        self.where = {c: (g, i) for g, group in enumerate(self.groups) for i, c in enumerate(group)}
        self.weights, self.biases, self.smooth = nn.ParameterList(), nn.ParameterList(), nn.ParameterDict()
        for g, ((binned, _), group) in enumerate(groups.items()):
            most = max(FEWEST, *(layout.tokens[c] for c in group))
            self.weights.append(nn.Parameter(torch.randn(len(group), width, most) * (0.1 / math.sqrt(width))))
            self.biases.append(nn.Parameter(torch.zeros(len(group), most)))
            if binned:
                self.smooth[str(g)] = nn.Parameter(torch.randn(len(group), width, SMOOTH) * (0.1 / math.sqrt(width)))
        for g, group in enumerate(self.groups):
            absent = torch.zeros(self.biases[g].shape)
            for i, column in enumerate(group):
                absent[i, layout.tokens[column] :] = -math.inf
            self.register_buffer(f"absent{g}", absent, persistent=False)
            self.register_buffer(f"phi{g}", torch.zeros(0))
            self.register_buffer(f"single{g}", torch.zeros(0))
        self.register_buffer("grouped", torch.tensor([c for g in self.groups for c in g]), persistent=False)
        self.register_buffer("back", self.grouped.argsort(), persistent=False)
        self.know(torch.ones(layout.total), alone(layout))

    @torch.no_grad()
    def know(self, counts: Tensor, single: Tensor, start: bool = False) -> None:
        """Take the places of binned tokens, and where they are to `start` from the biases, from how often each was met.

        single: which are single values; both [tokens of all columns].
        """
        features = phi(self.layout, counts)
        for g, group in enumerate(self.groups):
            bias = self.biases[g]
            smooth = str(g) in self.smooth
            table = bias.new_zeros(len(group), SMOOTH, bias.shape[1]) if smooth else bias.new_zeros(0)
            free = bias.new_zeros(len(group), 1, bias.shape[1]) if smooth else bias.new_zeros(0)
            for i, column in enumerate(group):
                places, tokens = self.layout.places(column), self.layout.tokens[column]
                if smooth:
                    table[i, :, :tokens] = MILD * features[places].T
                    free[i, 0, :tokens] = single[places].to(bias.dtype)
                if start:
                    smoothed = counts[places].double() + 0.3
                    bias[i, :tokens] = (smoothed / smoothed.sum()).log().to(bias.dtype)
            setattr(self, f"phi{g}", table)
            setattr(self, f"single{g}", free)

    def _logits(self, g: int, hidden: Tensor, members: slice = slice(None)) -> Tensor:
        """[columns, rows, width] of the group, or of some of it → logits [columns, rows, tokens]."""
        bias = (self.biases[g] + getattr(self, f"absent{g}"))[members].unsqueeze(1)
        logits: Tensor = torch.bmm(hidden, self.weights[g][members])
        if str(g) in self.smooth:
            product = torch.bmm(hidden, self.smooth[str(g)][members])
            logits = logits * getattr(self, f"single{g}")[members] + torch.bmm(
                product, getattr(self, f"phi{g}")[members]
            )
        found: Tensor = bias + logits
        return found

    def log_prob(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """log p of each column's token, [rows, columns], from hidden [columns, rows, width] and tokens [rows, columns]."""
        made = []
        with exact_products():
            # Split, and not indexed group by group, of which each would have a gradient as large as all.
            sizes = [len(group) for group in self.groups]
            each = zip(
                hidden.index_select(0, self.grouped).split(sizes), tokens.T[self.grouped].split(sizes), strict=True
            )
            for g, (own, token) in enumerate(each):
                logits = self._logits(g, own)
                chosen = token.unsqueeze(-1)
                made.append(logits.gather(-1, chosen).squeeze(-1) - logits.logsumexp(-1))
        return torch.cat(made)[self.back].T

    def logits(self, hidden: Tensor, column: int) -> Tensor:
        """log p of all tokens of one column, [rows, tokens], from its hidden [rows, width]."""
        g, i = self.where[column]
        with exact_products():
            logits = self._logits(g, hidden.unsqueeze(0), slice(i, i + 1))[0]
        return functional.log_softmax(logits[:, : self.layout.tokens[column]], -1)


class Chain(nn.Module):
    """All conditionals: what columns show, what they hear, and the layers from there to hidden units of every column."""

    def __init__(self, layout: Layout, width: int, rank: int, wide: bool) -> None:
        super().__init__()
        self.layout = layout
        self.features = Features(layout, rank, presence=True)
        self.heard: Pairwise | Shared = (Shared if wide else Pairwise)(layout, self.features.owner, width)
        columns = layout.columns
        self.bias = nn.Parameter(torch.zeros(columns, width))
        self.weight = nn.Parameter(torch.randn(columns, width, width) / math.sqrt(width))
        self.inner = nn.Parameter(torch.zeros(columns, width))
        self.heads = Heads(layout, width)

    def forward(self, raw: Tensor, value: Tensor, order: Tensor, masks: Tensor | None = None) -> Tensor:
        """Hidden units [columns, rows, width], rows being those of raw [*batch, columns, width] broadcast with value's."""
        own = value.reshape(-1, value.shape[-1])
        heard = self.heard(self.features(own), order).unflatten(0, value.shape[:-1] or (1,))
        hidden = (heard + raw).flatten(0, -3).add_(self.bias)
        return self._deepened(hidden.transpose(0, 1).contiguous(), slice(None), masks)

    def one(self, raw: Tensor, gathered: Tensor, column: int) -> Tensor:
        """Hidden units [rows, width] of one column that hears all that is gathered of the others; its own raw [rows, width]."""
        hidden = self.heard.one(gathered, column) + raw + self.bias[column]
        return self._deepened(hidden.unsqueeze(0), slice(column, column + 1), None).squeeze(0)

    def _deepened(self, hidden: Tensor, columns: slice, masks: Tensor | None) -> Tensor:
        hidden = functional.silu(hidden)
        if masks is not None:
            hidden = hidden.mul_(masks[0])
        product = torch.bmm(hidden, self.weight[columns].to(hidden.dtype))
        deeper = hidden + functional.silu(product + self.inner[columns].unsqueeze(1))
        return deeper if masks is None else deeper.mul_(masks[1])


def strangers(layout: Layout) -> Tensor:
    """[columns, columns], whether one may ever be seen by the other: not by itself, and not by its partner."""
    may = ~torch.eye(layout.columns, dtype=torch.bool)
    for column, partner in enumerate(layout.partner):
        if partner >= 0:
            may[column, partner] = False
    return may
