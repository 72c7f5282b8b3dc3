"""The exact form of a likelihood whose columns see the columns before them, and how its rows are coded, column by column."""

from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from lambent.codec.exact.compiling import exact_form
from lambent.codec.exact.dyadic import LIMIT, WEIGHT, check_sums, rounded, whole
from lambent.codec.exact.layers import ExactLinear, Tabled
from lambent.codec.leaves.emissions import Emission, emission
from lambent.codec.leaves.finite import finite
from lambent.codec.stack import Numbers
from lambent.codec.symbols import Symbols, Uniform
from lambent.codec.tables.places import places
from lambent.model.likelihoods import Likelihood
from lambent.model.likelihoods.autoregressive import Autoregressive
from lambent.model.likelihoods.chain import MILD, Chain, Pairwise, Shared, strangers
from lambent.model.likelihoods.features import Features, Layout


class ExactAutoregressive(nn.Module):
    """An Autoregressive likelihood in whole numbers. Rows are tokens [rows, columns]; the cell of an indicator of 1 is missing.

    Cells come in the order that the likelihood has, each after its indicator, and see the cells before them; an indicator sees
    the indicators before it, too.
    """

    def __init__(self, likelihood: Autoregressive, bits: int = WEIGHT) -> None:
        super().__init__()
        chain: Chain = likelihood.chain
        self.layout: Layout = chain.layout
        self.event, self.hidden, self.gaps = likelihood.event, likelihood.hidden, likelihood.gaps
        self.sequence = sequence(likelihood)
        self.read = Shown(likelihood.read)
        self.shown = Shown(chain.features)
        self.hearing = hearing(chain, visible(self.layout, self.sequence), bits)
        self.links = nn.ModuleList(Link(chain, column, bits) for column in range(self.layout.columns))

    # ---- as the encoder reads rows -------------------------------------------------------------------------------

    def observe(self, x: Tensor) -> Tensor:
        """Rows as they are."""
        return x

    def seen(self, x: Tensor) -> Tensor:
        """Tokens [rows, columns] as numbers for the encoder, of missing cells noughts; with a mask, where there may be such."""
        tokens = x.long()
        there = self.there(tokens)[:, : self.read.layout.columns]
        values = self.read(tokens[:, : self.read.layout.columns], there)
        return torch.cat((values, there.double()), 1) if self.gaps else values

    def there(self, tokens: Tensor) -> Tensor:
        """Which cells are not missing, [rows, columns]."""
        there = torch.ones_like(tokens, dtype=torch.bool)
        for column, partner in enumerate(self.layout.partner):
            if partner > column:
                there[:, column] = tokens[:, partner] == 0
        return there

    # ---- as it is coded ------------------------------------------------------------------------------------------

    def symbols(self, raw: Tensor, told: Tensor, column: int, rows: Tensor) -> Symbols:
        """The tokens of a column in some of the rows, from raw [rows, columns, width] and what the others tell."""
        if not bool(rows.any()):
            return Uniform(np.empty(0, np.int64), np.empty(0, np.int64))
        own, told = (raw[:, column], told) if bool(rows.all()) else (raw[rows, column], told[rows])
        logits = self.links[column](own + self.hearing.heard(told, column))
        return finite(whole(logits))


def sees_columns(likelihood: Likelihood) -> TypeGuard[Autoregressive]:
    """Whether the columns of a likelihood see each other, so that it has the exact form made here."""
    return isinstance(likelihood, Autoregressive)


def sequence(likelihood: Autoregressive) -> list[int]:
    """The columns as they are coded: in the likelihood's order, each after its indicator, which has to be known before it."""
    layout: Layout = likelihood.chain.layout
    own = (column for column in likelihood.order.tolist() if column < layout.columns - layout.indicators)
    return [one for column in own for one in (layout.partner[column], column) if one >= 0]


def visible(layout: Layout, sequence: list[int]) -> Tensor:
    """[columns, columns]: whether one is heard by the other: it is before it, and no indicator, unless both are."""
    rank, own = torch.tensor(sequence).argsort(), layout.columns - layout.indicators
    before = rank[:, None] < rank[None, :]
    before[own:, :own] = False
    return before & strangers(layout)


class Shown(nn.Module):
    """What tokens show, side by side: dyadic numbers, [rows, features]; those that are not there show nought."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.layout, self.spans = features.layout, features.spans
        single = features.single.detach().double().unsqueeze(1)
        whole = [rounded(features.vectors.detach().clamp(-LIMIT, LIMIT)) * single, places(self.layout, features.phi)]
        table = torch.cat([*whole, torch.ones_like(single)], 1)
        spans = zip(self.spans, self.spans[1:], strict=False)
        tables = [table[self.layout.places(j)][:, features.own[a:b]] for j, (a, b) in enumerate(spans)]
        self.tables = nn.ParameterList(nn.Parameter(each.contiguous(), requires_grad=False) for each in tables)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        every = range(self.layout.columns)
        return torch.cat([self.tables[j][tokens[:, j]] * there[:, j, None] for j in every], 1)


class HeardOfEach(nn.Module):
    """Every column hears every other in its own way: `told` are the features of all."""

    def __init__(self, shown: Features, heard: Pairwise, visible: Tensor, bits: int) -> None:
        super().__init__()
        self.spans = shown.spans
        weight = heard.weight.detach().double() * visible[heard.owner].unsqueeze(-1)
        self.layers = nn.ModuleList(
            ExactLinear(f"what column {column} hears", weight[:, column].T, None, bits)
            for column in range(weight.shape[1])
        )

    def told(self, features: Tensor) -> Tensor:
        """What the columns tell, from their features."""
        return features

    def add(self, told: Tensor, column: int, rows: Tensor, features: Tensor) -> None:
        """Let a column of some rows tell its features, too."""
        told[rows, self.spans[column] : self.spans[column + 1]] = features

    def heard(self, told: Tensor, column: int) -> Tensor:
        """What a column hears of those before it, [rows, width]."""
        found: Tensor = self.layers[column](told)
        return found


class HeardInOne(nn.Module):
    """All columns hear one sum, each with gains of its own: `told` is what each adds to it, [rows, columns, width]."""

    visible: Tensor

    def __init__(self, shown: Features, heard: Shared, visible: Tensor, bits: int) -> None:
        super().__init__()
        every = (
            heard.weight.detach().cpu().double().flatten(0, 1).T
        )  # [width, features]: of what is heard of all columns
        check_sums("what every column hears", every, every.new_zeros(len(every)), bits)
        self.spans = shown.spans
        self.layers = nn.ModuleList(
            ExactLinear(f"what column {j} tells", heard.weight[j, : self.spans[j + 1] - self.spans[j]].T, None, bits)
            for j in range(len(heard.weight))
        )
        self.register_buffer("visible", visible, persistent=False)
        self.gains = nn.Parameter(rounded(heard.gain.detach(), bits).clamp(-LIMIT, LIMIT), requires_grad=False)

    def told(self, features: Tensor) -> Tensor:
        parts = features.split([b - a for a, b in zip(self.spans, self.spans[1:], strict=False)], 1)
        return torch.stack([layer(part) for layer, part in zip(self.layers, parts, strict=True)], 1)

    def add(self, told: Tensor, column: int, rows: Tensor, features: Tensor) -> None:
        told[rows, column] = self.layers[column](features)

    def heard(self, told: Tensor, column: int) -> Tensor:
        both = told[:, self.visible[:, column]].sum(1).clamp(-LIMIT, LIMIT)
        return rounded(both * self.gains[column])


def hearing(chain: Chain, visible: Tensor, bits: int) -> HeardOfEach | HeardInOne:
    """The exact form of what columns hear; visible [columns, columns]: whether one is heard by the other."""
    if isinstance(chain.heard, Shared):
        return HeardInOne(chain.features, chain.heard, visible, bits)
    return HeardOfEach(chain.features, chain.heard, visible, bits)


class Link(nn.Module):
    """From what a column hears to the logits of its tokens, [rows, width] → [rows, tokens]."""

    def __init__(self, chain: Chain, column: int, bits: int) -> None:
        super().__init__()
        name = f"the layer of column {column}"
        self.bias = nn.Parameter(rounded(chain.bias[column].detach()), requires_grad=False)
        self.inner = ExactLinear(name, chain.weight[column].T, chain.inner[column], bits)
        self.curve = Tabled("silu")
        self.head = ExactLinear(name, *_head(chain, column, bits), bits)

    def forward(self, heard: Tensor) -> Tensor:
        hidden = self.curve(heard + self.bias)
        logits: Tensor = self.head(hidden + self.curve(self.inner(hidden)))
        return logits


def _head(chain: Chain, column: int, bits: int) -> tuple[Tensor, Tensor]:
    """The logits' weights [tokens, width] and biases: those of bins, which speak by smooth features, multiplied out exactly."""
    heads, tokens = chain.heads, chain.layout.tokens[column]
    group, member = heads.where[column]
    weight = rounded(heads.weights[group][member, :, :tokens].detach(), bits)
    if str(group) in heads.smooth:
        own = chain.layout.places(column)
        smooth = rounded(MILD * heads.smooth[str(group)][member].detach().cpu().double(), bits)
        check_sums(f"the layer of column {column}, by its features", smooth, smooth.new_zeros(len(smooth)), bits)
        product = smooth @ places(chain.layout, chain.features.phi)[own].T
        weight = weight * chain.features.single[own].double() + product
    return weight.T, heads.biases[group][member, :tokens].detach().double()


class Columns(Emission):
    """Rows of tokens under an exact chain, a stage for each column; of cells only those that are there.

    What the columns have told so far is kept from one stage to the next: they are asked for in their order.
    """

    def __init__(self, likelihood: ExactAutoregressive, raw: Tensor) -> None:
        self.likelihood, self.rows, self.event = likelihood, len(raw), likelihood.event
        self.raw = raw.reshape(len(raw), *likelihood.hidden)
        self.stages = len(likelihood.sequence)

    def symbols(self, stage: int, before: list[Numbers], last: Symbols | None) -> Symbols:
        chain = self.likelihood
        if stage == 0:
            self.tokens = torch.zeros(self.rows, chain.layout.columns, dtype=torch.int64, device=self.raw.device)
            self.told = chain.hearing.told(chain.shown(self.tokens, torch.zeros_like(self.tokens, dtype=torch.bool)))
        else:
            column = chain.sequence[stage - 1]
            rows = self._there(column)
            values = torch.from_numpy(before[-1]).to(self.raw.device)
            if len(values):
                self.tokens[rows, column] = values
                chain.hearing.add(self.told, column, rows, chain.shown.tables[column][values])
        column = chain.sequence[stage]
        return chain.symbols(self.raw, self.told, column, self._there(column))

    def parted(self, x: Numbers) -> list[Numbers]:
        self.tokens = torch.from_numpy(x)
        return [x[self._there(column).numpy(), column] for column in self.likelihood.sequence]

    def joined(self, parts: list[Numbers]) -> Numbers:
        column = self.likelihood.sequence[-1]
        self.tokens[self._there(column), column] = torch.from_numpy(parts[-1]).to(self.tokens.device)
        return np.asarray(self.tokens.cpu().numpy())

    def _there(self, column: int) -> Tensor:
        """The rows whose cell of a column is not missing, by their indicators."""
        partner = self.likelihood.layout.partner[column]
        if partner < column:  # it has none, or is one
            return torch.ones(self.rows, dtype=torch.bool, device=self.tokens.device)
        return self.tokens[:, partner] == 0


@exact_form.register
def _(likelihood: Autoregressive, bits: int) -> nn.Module:
    return ExactAutoregressive(likelihood, bits)


@emission.register(ExactAutoregressive)
def _(likelihood: ExactAutoregressive, raw: Tensor) -> Emission:  # type: ignore[misc] # it stands where a likelihood did
    return Columns(likelihood, raw)
