"""Likelihood: p(x | z), from the decoder's raw output to a distribution over data."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import Observed, centre, independent
from lambent.errors import DataError
from lambent.model.lowering import lowered
from lambent.part import Part, Shape, Spec

Transform = Callable[[Tensor, torch.Generator | None], Tensor]
PIECE = 1 << 22  # numbers that are checked at a time: 16 MB in float32


class Likelihood(Part):
    """p(x | z) over one event of a fixed shape.

    `observe` turns stored rows into values of its support, `embed` turns those into what the encoder reads.
    """

    many = True  # what it learns beside the networks' output, a scale of a column, all members share
    told: ClassVar[tuple[str, ...]] = ()  # fields that the data tell, where they are left at their defaults
    discrete: ClassVar[bool] = False  # True: probabilities (bits are meaningful); False: densities
    domain: ClassVar[str] = "finite numbers"
    planar: ClassVar[bool] = True  # of images it takes images, so that convolutions can emit what it reads
    unit_bytes: ClassVar[bool] = True  # bytes are read as 255ths, levels of deeper pictures as parts of their white
    examples: ClassVar[int] = 1000  # rows that `start` asks for
    elementwise: ClassVar[bool] = (
        False  # its log-probability is a sum over elements, made by `over`: some may be missing
    )

    normalized: ClassVar[bool] = True  # False: its terms are no log-probabilities, and no bound is claimed with them
    ends: ClassVar[bool] = False  # rows end where they end, of their own length: `lengths`, `padding`
    forgeable: ClassVar[bool] = False  # `forged` has a gradient in the raw output
    reparameterized: ClassVar[bool] = False  # its draws have a gradient in the raw output

    def __post_init__(self) -> None:
        super().__post_init__()
        self.gaps = False  # values may be missing (NaN); the model says so before setup
        self.apart = False  # the elements are columns by themselves and share no weights; Mixed says so before setup
        self.white = 255  # the stored level that is read as 1; the model says so before setup
        self.beside = 0  # the width of the context that it is handed; the model says so before setup
        self.low_precision: torch.dtype | None = None  # what networks compute in; set by the loop for its own duration

    @property
    def encoding(self) -> str:
        """How it wants columns of a table encoded, by the name of a scale: as they are for probabilities, else at unit scale."""
        return "none" if self.discrete else "standard"

    @property
    def one_way(self) -> str | None:
        """Why columns cannot be told given any others, and what to do; None where they can."""
        return None

    def told_by(self, suggested: Spec) -> "Likelihood":
        """The same with the fields that only the data can tell, as they suggest them; itself where there are none."""
        told = self.told if suggested.get("type") == type(self).__name__ else ()
        own, plain = self.spec(), Likelihood.from_spec(type(self).__name__).spec() if told else {}
        fields = {name: suggested[name] for name in told if own[name] == plain[name] and name in suggested}
        return Likelihood.from_spec(own | fields) if fields else self

    def of_columns(self, columns: Sequence[Spec]) -> "Likelihood":
        """The same for rows of columns that suggest a likelihood each; itself, unless it holds one for every column."""
        return self

    @abstractmethod
    def setup(self, event: Shape) -> Shape:
        """Make the weights, if any; returns the raw shape that the decoder must emit."""

    @abstractmethod
    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        """p(x | z, c) from [*batch, *raw]; batch shape [*batch], event shape as set up.

        context: [rows, width], for models that are given one; rows is the last axis of the batch.
        """

    def informed(self, raw: Tensor, context: Tensor | None, observed: Tensor) -> Distribution:
        """p(x | z, c, s(x)): `forward`, given too what a likelihood takes of observed rows without modelling it; mostly nothing.

        observed: [rows, *event], which no more than their s, such as a cell's library size, is looked at of.
        """
        return self(raw, context)  # type: ignore[no-any-return]

    def over(self, elements: Distribution) -> Distribution:
        """The event of independent elements, [*batch, *event]: log-probabilities sum over it, over what is not missing."""
        return Observed(elements, len(self.event)) if self.gaps else independent(elements, self.event)

    def computed(self, module: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """What a network inside the likelihood makes of `inputs`, computed as the model's networks are; in their dtype."""
        with lowered(self.low_precision, inputs[0]):
            made = module(*inputs)
        return made if self.low_precision is None else made.to(inputs[0].dtype)

    def observe(self, x: Tensor) -> Tensor:
        """Stored rows → values in the support, floating-point but for tokens."""
        if self.reads_levels(x):
            return x.float() / self.white
        return x if x.dtype.is_floating_point else x.float()

    def reads_levels(self, x: Tensor) -> bool:
        """Whether stored rows are levels 0 … white that are read as numbers in [0, 1]: bytes, or what the model was told of."""
        deep = self.white != 255 and not x.dtype.is_floating_point
        return self.unit_bytes and (deep or x.dtype == torch.uint8)

    def stored(self, x: Tensor, of_bytes: bool) -> Tensor:
        """The inverse of `observe`, for rows that are stored as levels or not; still floating-point."""
        return x * self.white if of_bytes and self.unit_bytes else x

    def readable(self, x: Tensor) -> Tensor:
        """What of observed values the encoder is to read; all, unless a likelihood knows better."""
        return x

    def embed(self, x: Tensor) -> Tensor:
        """Observed values → numbers of about unit scale, for a network to read."""
        return x

    def embedded_from(self, marks: Tensor) -> Tensor:
        """A mark of each value, [rows, *event] → one of each number that `embed` makes of it, to be broadcast over those."""
        return marks

    def seen(self, x: Tensor) -> Tensor:
        """Observed values → the encoder's input: embedded; where values may be missing, with their mask beside them.

        A missing value is nought, and 0 in the mask, which is 1 elsewhere. Both are joined along the first axis of the event
        (vectors, channels of an image), flat where a value is embedded as several numbers.
        """
        x = self.readable(x)
        if not self.gaps:
            return self.embed(x)
        there = ~torch.isnan(x)
        embedded = self.embed(x.masked_fill(~there, 0.0))
        values, mask = embedded * self.embedded_from(there), there.to(embedded.dtype)
        if values.shape == mask.shape:
            return torch.cat((values, mask), 1)
        return torch.cat((values.flatten(1), mask.flatten(1)), 1)

    def reading(self) -> list[nn.Module]:
        """The modules of `embed`, which the encoder reads through; none of most."""
        return []

    def shown(self, px: Distribution) -> Tensor:
        """How p(x | z) is looked at: one row of its support, [*batch, *event]; its centre, unless a likelihood knows better."""
        return centre(px)

    def forged(self, px: Distribution) -> Tensor:
        """The centre of p(x | z) as the encoder reads rows, [*batch, *seen], with its gradient: what a rival is shown of it."""
        return self.embed(self.shown(px))

    def study(self, observed: Tensor, generator: torch.Generator) -> None:
        """Learn from observed rows, once and before the training, what no gradient teaches; mostly nothing."""

    def adopt(self, other: "Likelihood") -> None:
        """Share with the same likelihood for rows of another size what could serve both, and would not be alike by itself."""

    def described(self) -> dict[str, Any]:
        """What a model file is to say of it beside its fields, plain JSON; nothing of most."""
        return {}

    def start(self, observed: Tensor) -> Tensor | None:
        """The raw output, [*raw], that suits these observed rows on the whole: where a decoder starts. None: anywhere."""
        return None

    def start_around(self, location: Tensor, scale: Tensor) -> Tensor | None:
        """The raw output, [*raw], of which p(x | z) has this location and this deviation, both [*event].

        A learned scale starts there, too. None, and nothing done, where the raw output is no location in the data's own units.
        """
        return None

    def check(self, x: Tensor, transform: Transform | None = None, generator: torch.Generator | None = None) -> None:
        """Refuse rows outside the support, saying what was found and which likelihood would hold them.

        All rows, piece by piece, so that memory does not grow with them; each as `transform` draws it, where there is one.
        Raises `DataError`.
        """
        rows = max(1, PIECE // max(1, x[:1].numel()))
        highest: Tensor | None = None
        for start in range(0, len(x), rows):
            piece = x[start : start + rows]
            piece = piece.to(piece.device)  # dense, of sparse rows
            if transform is not None:
                piece = transform(piece.clone(), generator)  # some work in place
            piece = self._finite(piece, start)
            self.admit(piece)
            top = piece.amax(0, keepdim=True)
            highest = top if highest is None else torch.maximum(highest, top)
        if highest is not None:
            self.doubt(highest)

    def _finite(self, x: Tensor, first: int) -> Tensor:
        """The rows, nought where a value is missing and may be, or a row has ended, or a refusal; `first`: the first's number."""
        if not x.dtype.is_floating_point:
            return x
        right = torch.isfinite(x)
        if bool(right.all()):
            return x
        missing = torch.isnan(x)
        allowed = missing if self.gaps else self.padding(x)
        wrong = ~right if allowed is None else ~right & ~allowed
        if bool(wrong.any()):
            row = int(wrong.flatten(1).any(1).nonzero()[0])
            self._refuse_row(first + row, bool(missing[row].any()))
        return x.masked_fill(missing, 0.0)

    def _refuse_row(self, row: int, missing: bool) -> None:
        said = f"row {row} holds a number that is not finite; {type(self).__name__} takes {self.domain}"
        if missing and not self.gaps and self.elementwise:
            said += ". NaN stands for a missing value: LatentModel(gaps=True) leaves those out"
        raise DataError(said)

    def lengths(self, x: Tensor) -> Tensor | None:
        """How many tokens each observed row holds, [rows], its end included; None of rows that are all of one length."""
        return None

    def padding(self, x: Tensor) -> Tensor | None:
        """Which NaN of stored rows, bool as x, say that a row has ended; None of rows that are all of one length."""
        return None

    def admit(self, x: Tensor) -> None:
        """Refuse values outside the support; called with some of the rows at a time, all of them finite."""

    def doubt(self, highest: Tensor) -> None:
        """Refuse what lies in the support and yet is of another kind, by the greatest value of each element, [1, *event]."""
        if highest.dtype == torch.uint8 and self.unit_bytes and int(highest.max()) <= 1:
            self.refuse(highest, "the Bernoulli likelihood for binary data")

    def refuse(self, x: Tensor, instead: str) -> None:
        low, high = float(x.min()), float(x.max())
        raise DataError(
            f"{type(self).__name__} is a likelihood of {self.domain}; these data lie in {low:g} … {high:g}. Use {instead}"
        )

    def calibrated(self, px: Distribution, x: Tensor) -> Distribution | None:
        """`px` with the scale that fits `x` best, for likelihoods whose own scale makes λ superfluous; else None."""
        return None

    def follow(self, taken: Tensor) -> None:
        """Move the own scale towards the last calibrated one, unless the step was skipped (`taken` is false)."""

    def refusal(self, whole: Part) -> str | None:
        if getattr(whole, "gaps", False) and not self.elementwise:
            name = type(self).__name__
            return (
                f"{name} has no log-probability of a part of its elements, which gaps=True asks for: "
                "use Gaussian or Categorical(levels=256), or rows without missing values"
            )
        return None


def within_unit(likelihood: Likelihood, x: Tensor) -> None:
    """Refuse rows outside [0, 1], of levels outside black to white."""
    top = likelihood.white if likelihood.reads_levels(x) else 1
    if float(x.min()) < 0 or float(x.max()) > top:
        likelihood.refuse(x, "the Gaussian likelihood, or bring the data to [0, 1]")


def event_of(shape: Shape, channels: int) -> Shape:
    """The raw shape of `channels` numbers per element, stacked along the first axis: what any network can emit."""
    return (channels * shape[0], *shape[1:])


def chunks(raw: Tensor, count: int, event: Shape) -> tuple[Tensor, ...]:
    return raw.chunk(count, -len(event))
