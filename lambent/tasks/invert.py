"""invert: the codes that explain rows best, by optimization; what takes the encoder's place where there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions import Explicit
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel
from lambent.model.trace import Node
from lambent.progress import counting, shown
from lambent.seeds import stream
from lambent.tasks import explore

STEPS, STARTS = 300, 4
RATE = 0.05
CANDIDATES = 256  # draws of the prior, of which each row starts from those that explain it best
TOGETHER = 256  # codes that are moved at once
FLOOR = 1e-3  # of the deviation that fits a row best, in the units that an encoder reads


@dataclass(frozen=True)
class Inverted:
    """codes: of every level, the top first, each [rows, *shape]; of an ensemble those of all members side by side.

    made: what the model makes of them, [rows, *event] in stored units; error: the root mean square of made − x over what is there
    of each row, [rows], in the same units. loss: −log p(x|z) − prior · log p(z) at these codes, [rows] in nats, the sum
    over members.
    """

    codes: list[Tensor]
    made: Tensor = field(repr=False)
    error: Tensor = field(repr=False)
    loss: Tensor = field(repr=False)
    rows: Rows = field(repr=False)


def invert(
    fitted: Any,
    raw: Any,
    *,
    steps: int = STEPS,
    starts: int = STARTS,
    prior: float = 1.0,
    rate: float = RATE,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    context: Any = None,
    limit: int | None = None,
    progress: bool = False,
) -> Inverted:
    """Find codes of rows by gradient descent: z* = argmin −log p(x|z) − prior · log p(z).

    Of any model: of one without an encoder (Gan) it is the only way to codes, of others a closer one than the posterior's mean.
    A Gan teaches p(x|z) no scale: there each row's own is taken, the one that fits it best, −log p(x|z) = D/2 log mean (x − x̂)²
    over its D values. Each row starts from the `starts` of 256 draws of the prior that explain it best, and from the encoder's
    mean where there is one; the best code that was met is kept. What is missing in a row (NaN) is left out.

    fitted: a trained model, alone or in a `Fitted` or an estimator. raw: whatever `Fitted.rows` takes; given, context, limit: as
    there. steps: of Adam, at a rate that falls from `rate` to nought. prior: the weight of log p(z); 0 for the closest picture.
    progress: a bar on standard error. The same rows get the same codes, beside whatever others and in any order.
    Errors: `UsageError` for numbers out of range, or codes that are entries of a codebook; those of `Fitted.rows`.
    Creswell & Bharath, Inverting the Generator of a Generative Adversarial Network, 2018.
    """
    fitted = Fitted.of(fitted)
    _check(fitted.model, steps, starts, prior, rate)
    rows = fitted.rows(raw, seed, given, context, limit)
    model, training = fitted.model, fitted.model.training
    model.eval()
    try:
        with shown(progress), counting("inverting", len(rows) * model.members) as add:
            searches = [
                _Search(fitted, model if model.members == 1 else model.member(number), steps, starts, prior, rate, seed)
                for number in range(model.members)
            ]
            found = [search.all(rows, add) for search in searches]
        codes = [torch.cat(level, 1) for level in zip(*(codes for codes, _ in found), strict=True)]
        made = explore.decode(fitted, codes, rows.context)
    finally:
        model.train(training)
    return Inverted(codes, made, _error(made, rows.x), torch.stack([loss for _, loss in found]).sum(0), rows)


def _check(model: LatentModel, steps: int, starts: int, prior: float, rate: float) -> None:
    if model.latent.discrete:
        raise UsageError(
            f"the codes of a {type(model.latent).__name__} are entries, which no gradient moves: its encoder gives them (embed)"
        )
    if not 0 <= steps <= 10**6:
        raise UsageError(f"steps must lie in 0 … 1,000,000, not {steps}")
    if not 1 <= starts <= CANDIDATES:
        raise UsageError(f"starts must lie in 1 … {CANDIDATES}, not {starts}")
    if not prior >= 0:
        raise UsageError(f"prior, the weight of log p(z), must be at least 0, not {prior}")
    if not rate > 0:
        raise UsageError(f"rate must be above 0, not {rate}")


def _error(made: Tensor, x: Tensor) -> Tensor:
    difference = (made.double() - x.cpu().double()).flatten(1)
    return difference.square().nanmean(1).sqrt()


@dataclass
class _Search:
    """The search for codes of one model, an ensemble's member or the whole."""

    fitted: Fitted
    model: LatentModel
    steps: int
    starts: int
    prior: float
    rate: float
    seed: int

    def all(self, rows: Rows, add: Any) -> tuple[list[Tensor], Tensor]:
        """Codes of every level, and their loss [rows]."""
        levels: list[list[Tensor]] = []
        losses = []
        together = max(1, TOGETHER // self.starts)
        for first in range(0, len(rows), together):
            part = rows.at(torch.arange(first, min(first + together, len(rows))))
            codes, loss = self._of(part)
            levels.append(codes)
            losses.append(loss)
            add(len(part))
        return [torch.cat(level) for level in zip(*levels, strict=True)], torch.cat(losses)

    def _of(self, rows: Rows) -> tuple[list[Tensor], Tensor]:
        x = rows.x.to(self.model.device)
        context = None if rows.context is None else rows.context.to(self.model.device)
        observed = self.model._observed(x)
        begun = self._begun(observed, x, context)
        wide = observed.repeat_interleave(self.starts, 0)
        given = None if context is None else context.repeat_interleave(self.starts, 0)
        codes, loss = self._descended(begun, wide, given)
        best = loss.view(len(rows), self.starts).argmin(1) + self.starts * torch.arange(len(rows), device=loss.device)
        return [level[best].cpu() for level in codes], loss[best].double().cpu()

    @torch.no_grad()
    def _begun(self, observed: Tensor, x: Tensor, context: Tensor | None) -> list[Tensor]:
        """The starts of every row, [rows · starts, *shape] at each level; those of a row beside each other."""
        drawn, chosen = self._candidates(None if context is None else context[:1]), []
        for row in range(len(observed)):
            own = None if context is None else context[row : row + 1]
            candidates = drawn if own is None else self._candidates(own)
            wide = None if own is None else own.expand(CANDIDATES, -1)
            loss = self._loss(candidates, observed[row : row + 1].expand(CANDIDATES, *observed.shape[1:]), wide)
            places = loss.topk(self.starts, largest=False).indices
            chosen.append([level[places] for level in candidates])
        levels = [torch.stack(level) for level in zip(*chosen, strict=True)]
        if self.model.latent.encodes:
            for level, mean in zip(levels, explore.encode(self.model, x, context), strict=True):
                level[:, 0] = mean.to(level)
        return [level.flatten(0, 1) for level in levels]

    def _candidates(self, context: Tensor | None) -> list[Tensor]:
        wide = None if context is None else context.expand(CANDIDATES, -1)
        drawn = explore.prior_codes(self.model, CANDIDATES, stream(self.seed, "inverted codes"), wide)
        return [level.to(self.model.device, self.model.anchor.dtype) for level in drawn]

    def _descended(self, begun: list[Tensor], observed: Tensor, context: Tensor | None) -> tuple[list[Tensor], Tensor]:
        """Adam from each start; the best codes on the way, and their loss [rows · starts]."""
        codes = [level.clone().requires_grad_() for level in begun]
        optimizer = torch.optim.Adam(codes, lr=self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, self.steps))
        best, least = begun, torch.full((len(observed),), torch.inf, device=observed.device)
        for step in range(self.steps + 1):
            loss = self._loss(codes, observed, context)
            better = loss.detach() < least
            least = torch.where(better, loss.detach().to(least), least)
            best = [
                torch.where(better.view(-1, *[1] * (old.dim() - 1)), new.detach(), old)
                for new, old in zip(self._placed(codes), best, strict=True)
            ]
            if step < self.steps:
                for level, slope in zip(codes, torch.autograd.grad(loss.sum(), codes), strict=True):
                    level.grad = slope.nan_to_num(0.0, 0.0, 0.0)
                optimizer.step()
                schedule.step()
        return best, least

    def _placed(self, codes: list[Tensor]) -> list[Tensor]:
        """Codes where they may lie: on the sphere where the prior's do."""
        on_sphere = self.model.latent.support == "sphere"
        return [functional.normalize(codes[0], dim=-1), *codes[1:]] if on_sphere else codes

    def _loss(self, codes: list[Tensor], observed: Tensor, context: Tensor | None) -> Tensor:
        """−log p(x|z) − prior · log p(z), [rows] in nats."""
        met: list[Node] = []
        placed = self._placed(codes)

        def draw(node: Node, level: int) -> Tensor:
            met.append(node)
            return placed[level].unsqueeze(0)

        px = self.model.generate(len(observed), draw, context, observed=observed)
        loss = self._misfit(px, observed)
        return loss if not self.prior else loss + self.prior * sum(self._surprise(node) for node in met)

    def _surprise(self, node: Node) -> Tensor:
        """−log p(z | what lies above), [rows]; where that takes long, a bound on it by a random draw."""
        if isinstance(node.p, Explicit):
            generator = torch.Generator(node.z.device).manual_seed(stream(self.seed, "inverted codes"))
            return node.p.upper(node.z, generator)[0]
        return -node.p.log_prob(node.z)[0]

    def _misfit(self, px: Distribution, observed: Tensor) -> Tensor:
        likelihood = self.model.likelihood
        if self.model.latent.encodes or not likelihood.forgeable:
            log_px: Tensor = px.log_prob(observed)
            return -log_px
        forged, seen = likelihood.forged(px), likelihood.seen(observed)
        if likelihood.gaps:  # the second half says what is there
            (forged, _), (seen, there) = forged.chunk(2, 1), seen.chunk(2, 1)
        else:
            there = torch.ones_like(seen)
        values = there.flatten(1).sum(1).clamp_min(1)
        square = ((forged - seen) * there).flatten(1).square().sum(1) / values
        return 0.5 * values * (square + FLOOR**2).log()
