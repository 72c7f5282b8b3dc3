"""synthesize: new rows of a table, as they come, or such as satisfy conditions on any of their columns."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lambent.data.condition import Category
from lambent.data.kinds.table import Table
from lambent.data.readers.typed import Typed
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.progress import counting
from lambent.seeds import mixed_seed, stream
from lambent.tasks.conditional import conditionals
from lambent.tasks.demands import Demand, Given, Relation, demanded, levels_of, relations, restrictions
from lambent.tasks.partial import partly, table_of
from lambent.tasks.resampling import LEAST, TRIES, Source, Worth

PIECE = 4096  # rows that are made together
CODES = 32  # of each row that is completed


@dataclass
class Synthesis:
    """New rows to be: `pieces` makes them, encoded, a piece at a time; `worth` tells, as they are made, how they came about."""

    table: Table
    rows: int
    make: Iterator[Tensor]
    worth: list[Worth] = field(default_factory=list)
    whole: bool = True  # made from nothing, and not in part given

    def encoded(self) -> Tensor:
        """All of them, [rows, columns]."""
        return torch.cat(list(self.make))

    def typed(self, x: Tensor, first: int = 0) -> dict[str, Typed]:
        """Encoded rows as values with their types; cells that were given stay as they are."""
        own = self.table.encoding
        return (own.made if self.whole else own.typed)(x.double().numpy(), first)

    def raw(self) -> Any:
        """All rows in the form that the table's data came in."""
        return self.table.framed(self.typed(self.encoded()))


def synthesize(
    fitted: Any,
    n: int | None = None,
    *,
    given: Given = (),
    given_rows: Any = None,
    where: Iterable[str] = (),
    balance: str | None = None,
    complete: bool = False,
    temperature: float = 1.0,
    seed: int = 0,
) -> Any:
    """n new rows of a table, in the form that its data came in; always n.

    given: conditions on any columns, as texts ("age>40", "education=Masters", "workclass in {a,b}", "age=missing") or values by
    name; and values of what the model is conditioned on. given_rows: rows known in part, each of which is completed; n is then
    their number, or they are taken in turn. where: relations between columns, "start<=end". balance: a column of levels, or a
    condition, of which each is to occur equally often. complete: no gaps; else they are as in the data.
    By importance resampling over the codes: each comes as often as its rows satisfy the conditions.
    Errors: `UsageError` for what no row satisfies, or hardly any, with how probable it is.
    """
    found = synthesis(
        fitted, n, given=given, given_rows=given_rows, where=where, balance=balance, complete=complete,
        temperature=temperature, seed=seed,
    )  # fmt: skip
    return found.raw()


def synthesis(
    fitted: Any,
    n: int | None = None,
    *,
    given: Given = (),
    given_rows: Any = None,
    where: Iterable[str] = (),
    balance: str | None = None,
    complete: bool = False,
    temperature: float = 1.0,
    seed: int = 0,
) -> Synthesis:
    """The same, a piece at a time: see `synthesize`."""
    fitted = Fitted.of(fitted)
    table = table_of(fitted)
    if not temperature > 0:
        raise UsageError(f"temperature must be above 0, not {temperature}")
    values, asked = parted(fitted, given)
    demand = demanded(table, restrictions(table, asked))
    maker = Maker(fitted, table, demand, relations(table, where), values, complete, temperature, seed)
    if given_rows is not None:
        if balance is not None:
            raise UsageError("rows that are completed cannot be balanced: leave out one of the two")
        return maker.completed(given_rows, n)
    if n is None or n < 1:
        raise UsageError(f"the number of rows must be at least 1, not {n}")
    return maker.made(n, balance)


def parted(fitted: Fitted, given: Given) -> tuple[dict[str, Any], Given]:
    """(values of what the model is conditioned on, the rest of what is given)."""
    names = fitted.conditions.names
    if hasattr(given, "items"):
        values = {name: value for name, value in given.items() if name in names}
        return values, {name: value for name, value in given.items() if name not in names}
    values, rest = {}, []
    for text in given:
        name, equals, value = str(text).partition("=")
        if name in values:
            raise UsageError(f"--given {name}: stands there twice")
        if name in names and not equals:
            raise UsageError(f"--given {name!r}: takes NAME=VALUE, such as label=3")
        if name in names:
            values[name] = value
        else:
            rest.append(text)
    return values, rest


@dataclass
class Maker:
    """Makes rows that satisfy a demand and relations, under values of the conditions."""

    fitted: Fitted
    table: Table
    demand: Demand
    relations: list[Relation]
    values: dict[str, Any]
    complete: bool
    temperature: float
    seed: int

    def made(self, n: int, balance: str | None) -> Synthesis:
        """New rows, n in all."""
        found = Synthesis(self.table, n, iter(()))
        sources = self._sources(balance)
        found.worth = [source.worth for source in sources if source.demand]
        for source in sources:
            source.judge(self.generator(-1))
        found.make = self._pieces(sources, n)
        return found

    def _sources(self, balance: str | None) -> list[Source]:
        if balance is None:
            return [self._source(self.demand, self.values)]
        condition = next((one for one in self.fitted.conditions.items if one.name == balance), None)
        if isinstance(condition, Category):
            return [self._source(self.demand, {**self.values, balance: level}) for level in condition.levels]
        place = self.table.names.index(balance) if balance in self.table.names else -1
        levels = levels_of(self.table, balance)
        indicator = f"{balance} is missing"
        base = self.demand
        if indicator in self.table.names:
            base = base.with_among(self.table.names.index(indicator), [(0.0, 1.0)], "")
        return [
            self._source(base.with_among(place, intervals, f"{balance}={level}"), self.values)
            for level, intervals in levels
        ]

    def _source(self, demand: Demand, values: dict[str, Any]) -> Source:
        hold = self._hold if self.relations else None
        context = self.fitted.given(values, 1)
        return Source(self.fitted.model, demand, context, self.temperature, hold, self._words())

    def _pieces(self, sources: list[Source], n: int) -> Iterator[Tensor]:
        with counting("sampling", n) as add:
            for piece in range(math.ceil(n / PIECE)):
                count = min(PIECE, n - piece * PIECE)
                generator = self.generator(piece)
                turn = (torch.arange(count) + piece * PIECE) % len(sources)
                x = torch.empty(count, self.table.event[0])
                for number, source in enumerate(sources):
                    own = (turn == number).nonzero().squeeze(1)
                    if len(own):
                        x[own] = source.drawn(len(own), generator)
                if len(sources) > 1:
                    x = x[torch.randperm(count, generator=torch.Generator().manual_seed(self.piece_seed(piece)))]
                yield self.finished(x)
                add(count)

    def completed(self, data: Any, n: int | None) -> Synthesis:
        """Rows known in part, completed; taken in turn until there are n."""
        partial = partly(self.fitted, data, self.seed)
        rows = partial.rows
        own = len(self.table.encoding.modelled)
        known = rows.x.clone()
        for number, place in enumerate(self.table.encoding.indicates, own):
            known[:, number] = torch.where(torch.isnan(known[:, place]), torch.nan, 0.0)
        self._refuse_contradiction(known)
        for place, value in self.demand.cells.items():
            known[:, place] = torch.where(torch.isnan(known[:, place]), value, known[:, place])
        count = len(known) if n is None else n
        if count < 1:
            raise UsageError(f"the number of rows must be at least 1, not {n}")
        whole = Synthesis(self.table, count, iter(()), whole=False)
        whole.make = self._completions(Rows(known, rows.context), count)
        return whole

    def _completions(self, rows: Rows, n: int) -> Iterator[Tensor]:
        self.complete = True
        for start in range(0, n, PIECE):
            index = torch.arange(start, min(n, start + PIECE)) % len(rows)
            part = rows.at(index)
            generator = self.generator(start // PIECE)
            x = torch.empty(len(index), rows.x.shape[1])
            for at, conditional in conditionals(
                self.fitted, part, CODES, self.piece_seed(start // PIECE), "completing"
            ):
                x[at], chance = conditional.drawn(generator, self.demand.among)
                self._refuse_impossible(chance, index[at])
                left = ~self._hold(x[at])
                for _ in range(TRIES):
                    if not bool(left.any()):
                        break
                    x[at[left]] = conditional.drawn(generator, self.demand.among)[0].to(x.dtype)[left]
                    left = ~self._hold(x[at])
                if bool(left.any()):
                    row = int(index[at[left]][0])
                    raise UsageError(f"row {row + 1}: of {TRIES} completions none satisfied {self._words()}")
            yield self.finished(x)

    def _refuse_contradiction(self, x: Tensor) -> None:
        for place, intervals in self.demand.among.items():
            value = x[:, place]
            inside = torch.isnan(value)
            for low, high in intervals:
                inside |= (value >= low) & (value < high)
            if not bool(inside.all()):
                row = int((~inside).nonzero()[0])
                raise UsageError(f"row {row + 1} has a value of its own that contradicts {self.demand.words}")

    def _refuse_impossible(self, log_chance: Tensor, rows: Tensor) -> None:
        bad = log_chance < math.log(LEAST)
        if self.demand.among and bool(bad.any()):
            worst = float(log_chance[bad].min().exp())
            raise UsageError(
                f"row {int(rows[bad][0]) + 1}: {self.demand.words} has a probability of {worst:.1g} given what the row has"
            )

    def _hold(self, x: Tensor) -> Tensor:
        """Which rows satisfy the relations."""
        kept = torch.ones(len(x), dtype=torch.bool)
        for relation in self.relations:
            kept &= relation.holds(self.table, x)
        return kept

    def _words(self) -> str:
        return ", ".join(map(str, self.relations))

    def finished(self, x: Tensor) -> Tensor:
        """Without gaps, where none are wanted."""
        if self.complete:
            x[:, len(self.table.encoding.modelled) :] = 0.0
        return x

    def piece_seed(self, piece: int) -> int:
        return mixed_seed(stream(self.seed, "synthesized rows"), piece)

    def generator(self, piece: int) -> torch.Generator:
        """The randomness of a piece, which hangs on no other piece."""
        return torch.Generator(self.fitted.model.device).manual_seed(self.piece_seed(piece))
