"""Evidence: what is measured of a model and its rows before anything is said of why; numbers and settings alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import bounds
from lambent.metrics.chance import chance
from lambent.metrics.codebook import codebook_usage
from lambent.metrics.collapse import LevelUsage, levels, mutual_information
from lambent.metrics.encoder_gaps import Learned, Who, amortization_gap, learned
from lambent.metrics.ghosts import Components, components
from lambent.metrics.reading import Cost, Reading, reading, shuffled
from lambent.metrics.structure import Structure, structure
from lambent.model import LatentModel
from lambent.model.quantizers import CodeUsage
from lambent.model.trace import from_posterior, mean
from lambent.part import Spec
from lambent.progress import counting

History = Mapping[str, Sequence[float | None]]

ROWS = 400  # of either kind that are looked at
OWN_ROWS = 100  # whose own posterior is sought
SAMPLES = 8
WHO: tuple[Who, ...] = ("encoder", "decoder", "all")
NAMED = 128  # symbols whose counts stand for a text


@dataclass(frozen=True)
class Scale:
    """Of a likelihood with one scale: fixed is the value it was given, or None; residual the root mean square of x less its mean
    given z; variances of the rows along their principal directions, the largest first.
    """

    fixed: float | None
    residual: float
    variances: list[float] = field(repr=False)

    def kept(self, price: float) -> int:
        """Directions of a variance above `price`, λσ²: those of a linear VAE. Lucas et al., Don't Blame the ELBO!, 2019."""
        return sum(v > price for v in self.variances)


@dataclass(frozen=True)
class Evidence:
    """Numbers in nats per row, of rows that the model was not trained on where these are known, and the settings of its training.

    elbo, reconstruction (E log p(x|z)), kl: of the rows; own_elbo: of rows of the training, and over: by how much a usual one
    of these lies above a usual one of the others; independent: of a model of columns by themselves, where there is one. lag,
    behind, further: what more steps of the encoder alone, of all but it, and of all bring. own_gap, gap: the amortization gap
    of rows of the training, and of others. prior_gap: KL(q(z) ‖ p(z)), the KL of the top level less the information, too high
    where the information is at its ceiling (`saturated`).
    """

    objective: Spec
    history: History
    rows: int
    members: int
    trained: int | None
    parameters: int
    elbo: Cost
    reconstruction: float
    kl: float
    information: float
    saturated: bool
    prior_gap: float
    levels: list[LevelUsage]
    level_kls: list[float]
    reading: Reading
    independent: float | None
    structure: Structure | None
    own_elbo: Cost | None
    over: Cost | None
    lag: Learned
    behind: Learned
    further: Learned
    gap: Cost | None
    own_gap: Cost | None
    components: Components | None
    codebook: tuple[CodeUsage, int] | None
    scale: Scale | None

    # ---- what follows from the numbers ---------------------------------------------------------------------------

    def setting(self, name: str, otherwise: float) -> float:
        """A number among the objective's fields."""
        value = self.objective.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise

    @property
    def rate(self) -> float | None:
        """The highest learning rate of the history."""
        known = [v for v in self.history.get("learning_rate", ()) if v is not None]
        return max(known, default=None)

    @property
    def trained_for_bound(self) -> bool:
        """Whether the loss was that of the ELBO itself at the end: an encoder that was taught another lags by that alone."""
        return (
            self.setting("beta", 1.0) == 1
            and self.objective.get("capacity") is None
            and not self.setting("free_bits", 0.0)
        )

    @property
    def epochs(self) -> int:
        return max((len(values) for values in self.history.values()), default=0)

    @property
    def alive(self) -> list[list[bool]]:
        """By level, which units truly live: active, of a KL above what is free, and missed by the likelihood when removed."""
        free = self.setting("free_bits", 0.0)
        found = []
        for number, level in enumerate(self.levels):
            active = level.active.tolist()
            if self.reading.units is None:
                cost = self.reading.levels[number]
                found.append([unit and cost.above(LEAST) for unit in active])
                continue
            nats = [math.inf] * len(active) if level.measure != "kl" or level.nats is None else level.nats.tolist()
            costs = self.reading.units[number]
            if level.directions is not None:  # directions are no units: what each unit costs says what lives
                active, nats = [True] * len(costs), [math.inf] * len(costs)
            found.append(
                [
                    a and (not free or n > 1.05 * free or c.above(free)) and c.above(LEAST)
                    for a, n, c in zip(active, nats, costs, strict=True)
                ]
            )
        return found

    @property
    def living(self) -> int:
        return sum(map(sum, self.alive))

    @property
    def units(self) -> int:
        return sum(map(len, self.alive))

    @property
    def reported(self) -> int:
        """Units that count as active by how far their centres move alone."""
        return sum(int(level.active.sum()) for level in self.levels)

    @property
    def per_unit(self) -> float:
        """Nats of KL for each unit that lives."""
        return self.kl * self.members / self.living if self.living else 0.0


LEAST = 0.005  # nats that removing a unit must cost


@dataclass
class Look:
    """Everything that is measured, in its order; train: rows of the training, or None where only the rows given are known."""

    fitted: Fitted
    rows: Rows
    train: Rows | None
    objective: Spec
    history: History
    trained: int | None
    seed: int

    def evidence(self) -> Evidence:
        """Measure; a model that is in training comes back so."""
        model = self.fitted.model
        training = model.training
        model.eval()
        try:
            with counting("diagnosing", 6) as add:
                return self._measured(model, add)
        finally:
            model.train(training)

    def _measured(self, model: LatentModel, add: Any) -> Evidence:
        rows, seed = _some(self.rows, ROWS, self.seed), self.seed
        x, context = rows.x, rows.context
        slope = float(self.fitted.log_slope(x).mean())
        found = bounds(model, x, SAMPLES, seed, context)
        usage = levels(model, x, seed, context)
        information, _ = mutual_information(model, x, seed, context) if len(x) > 1 else (0.0, 0.0)
        level_kls = _level_kls(model, rows)
        add(1)
        read = reading(model, x, seed, context)
        add(1)
        known = structure(self._values(model, rows), seed)
        add(1)
        own = None if self.train is None else _some(self.train, ROWS, seed)
        learn, judged = (own, rows) if own is not None else _halves(rows)
        pairs = (learn.x, learn.context), (judged.x, judged.context)
        lag, behind, further = (learned(model, *pairs, who, seed=seed) for who in WHO)
        add(1)
        gaps = [None if part is None else _gap(model, part, seed) for part in (rows, own)]
        add(1)
        usual = chance(model.likelihood, x)
        own_elbos = None if own is None else bounds(model, own.x, SAMPLES, seed, own.context).elbo + slope
        add(1)
        return Evidence(
            objective=self.objective,
            history=self.history,
            rows=len(x),
            members=model.members,
            trained=self.trained,
            parameters=sum(p.numel() for p in model.parameters()),
            elbo=Cost.of(found.elbo + slope),
            reconstruction=float(found.log_px.mean()) + slope,
            kl=float(found.kl.mean()),
            information=information,
            saturated=information > 0.9 * math.log(max(2, min(1000, len(x)))),
            prior_gap=level_kls[0] - information,
            levels=usage,
            level_kls=level_kls,
            reading=read,
            independent=None if usual is None or usual.levels is not None else usual.nats + slope,
            structure=known,
            own_elbo=None if own_elbos is None else Cost.of(own_elbos),
            over=None if own_elbos is None else apart(own_elbos, found.elbo + slope),
            lag=lag,
            behind=behind,
            further=further,
            gap=gaps[0],
            own_gap=gaps[1],
            components=components(model, x, seed, context),
            codebook=codebook_usage(model, x, context) if model.latent.discrete else None,
            scale=_scale(model, x, context),
        )

    def _values(self, model: LatentModel, rows: Rows) -> Any:
        """Two halves of rows with their shuffles, as numbers to look for structure in: values, or of texts counts of pairs."""
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed))
        found = []
        for half in order.chunk(2):
            x = rows.x[half]
            pair = (x, shuffled(model.likelihood, x, self.seed))
            if model.likelihood.ends:
                found.append([_counts(each) for each in pair])
            else:
                found.append([model.likelihood.observe(each).flatten(1).double().cpu().numpy() for each in pair])
        if model.likelihood.ends:
            common = np.argsort(-sum(rows.sum(0) for rows, _ in found), kind="stable")[:NAMED]
            found = [[each[:, common] for each in pair] for pair in found]
        return found


def _counts(tokens: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How often each pair of hashed neighbours stands in a row, [rows, 1024]."""
    there = ~torch.isnan(tokens)
    names = tokens.nan_to_num(0.0).long() % 32
    found = torch.zeros(len(tokens), 1024)
    pairs = names[:, :-1] * 32 + names[:, 1:]
    found.scatter_add_(1, pairs, (there[:, :-1] & there[:, 1:]).float())
    return found.double().numpy()


def apart(first: Tensor, second: Tensor) -> Cost:
    """The difference of two medians, with its error by the spreads about them: a few rows of a bound far off decide nothing."""
    both = [values.double() for values in (first, second)]
    middles = [values.median() for values in both]
    # 1.253 σ/√n, of a normal σ by the median absolute deviation.
    errors = [1.858 * (v - m).abs().median() / math.sqrt(len(v)) for v, m in zip(both, middles, strict=True)]
    return Cost(float(middles[0] - middles[1]), float(torch.stack(errors).square().sum().sqrt()))


def _level_kls(model: LatentModel, rows: Rows) -> list[float]:
    """KL of every level, the top first, in nats a row."""
    generator = torch.Generator(model.device).manual_seed(0)
    totals: list[float] = []
    with torch.no_grad():
        for start in range(0, len(rows), 512):
            part = rows.at(torch.arange(start, min(start + 512, len(rows))))
            given = None if part.context is None else part.context.to(model.device)
            nodes = model.infer(part.x.to(model.device), 1, from_posterior(generator), given)
            sums = [float(node.kl.expand(*node.shape).mean(0).sum()) for node in nodes]
            totals = sums if not totals else [a + b for a, b in zip(totals, sums, strict=True)]
    return [total / len(rows) for total in totals]


def _scale(model: LatentModel, x: Tensor, context: Tensor | None) -> Scale | None:
    """Of a likelihood whose elements have a location and a scale in the units that it observes; None of others."""
    likelihood = model.likelihood
    if getattr(likelihood, "scale", None) is None or not likelihood.elementwise:
        return None
    with torch.no_grad():
        given = None if context is None else context.to(model.device)
        trace = model.trace(x.to(model.device), 1, mean, given)
        residual = (trace.x - likelihood.shown(trace.px)).double()
        fixed = float(likelihood.value) if likelihood.scale == "fixed" else None
    values = trace.x.double().flatten(1)
    values = torch.where(torch.isnan(values), values.nanmean(0), values)
    values = values - values.mean(0)
    variances = torch.linalg.svdvals(values).square() / len(values)
    return Scale(fixed, float(residual.square().nanmean().sqrt()), variances.tolist())


def _gap(model: LatentModel, rows: Rows, seed: int) -> Cost | None:
    part = _some(rows, OWN_ROWS, seed)
    return amortization_gap(model, part.x, seed, part.context)


def _some(rows: Rows, most: int, seed: int) -> Rows:
    if len(rows) <= most:
        return rows
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:most]
    return rows.at(order.sort().values)


def _halves(rows: Rows) -> tuple[Rows, Rows]:
    return rows.at(torch.arange(0, len(rows), 2)), rows.at(torch.arange(1, len(rows), 2))
