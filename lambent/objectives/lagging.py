"""The ELBO with the encoder ahead of the decoder, until it has caught up with the true posterior."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.trace import from_posterior, information
from lambent.objectives.base import Annealing, Loss, averaged, seen
from lambent.part import option


class Lagging(Annealing):
    """−ELBO; at first the encoder takes many steps for each one of the decoder, so that it never lags behind.

    While the encoder is ahead, steps are by turns: it learns alone until its mean loss over `window` steps is no better than that
    of the `window` before, or for `most` steps; then the decoder, the likelihood and the prior take one step, and so on. An
    epoch stays one pass over the rows, whoever learns from them. After an epoch, but not before the decoder has taken `apart`
    more steps, I(x; z) of the top level is estimated on held-out rows (training rows, where none are held out): once it is below
    the best so far, both learn together for good.
    He, Spokoyny, Neubig & Berg-Kirkpatrick, Lagging Inference Networks and Posterior Collapse, 2019.
    """

    papers = ("he2019lagging",)

    needs_density = True
    needs_rows = True
    examined = 1000

    window: int = option(
        "steps of the encoder between two looks at whether it still improves", default=10, minimum=1, maximum=10**6
    )
    most: int = option("steps of the encoder for one of the decoder, at most", default=100, minimum=1, maximum=10**6)
    apart: int = option("steps of the decoder between two looks at I(x; z)", default=50, minimum=1, maximum=10**6)
    longest: float = option(
        "share of training after which both learn together at the latest", default=0.5, above=0, maximum=1
    )

    def setup(self, model: LatentModel, seed: int = 0) -> None:
        self.register_buffer("caught_up", torch.tensor(False))
        # Steps of the encoder since the decoder's last; −1: the decoder's turn.
        self.register_buffer("turn", torch.tensor(0))
        self.register_buffer("total", torch.tensor(0.0))  # of the losses in this window
        self.register_buffer("learned", torch.tensor(0))  # steps of the decoder since the last look
        self.register_buffer("before", torch.tensor(math.inf))  # the mean of those in the window before
        self.register_buffer("best", torch.tensor(-math.inf))  # the highest I(x; z) at the end of an epoch, in nats

    @property
    def ahead(self) -> bool:
        """Whether steps are still by turns."""
        return self.progress < self.longest and not bool(self.caught_up)

    def forward(
        self, model: LatentModel, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None
    ) -> Loss:
        with self._learning(model):
            trace = model.trace(x, 1, from_posterior(generator), context)
            log_px, kl = trace.log_px, trace.kl
        rows = averaged(self.ramp * kl) - averaged(log_px)
        return Loss(rows, seen(log_px, kl), trace)

    def _learning(self, model: LatentModel) -> AbstractContextManager[None]:
        if not self.ahead:
            return nullcontext()
        return model.leading() if int(self.turn) >= 0 else model.standing()

    @torch.no_grad()
    def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
        """Count the turn, and look at the end of a window whether it passes to the decoder."""
        if not self.ahead:
            return
        if int(self.turn) < 0:
            self.turn.zero_()
            self.learned.add_(1)
            self.before.fill_(math.inf)
            return
        self.turn.add_(1)
        mean = loss.rows.mean()
        # A step left out says nothing of the level: it counts as those before it.
        before = self.total / max(1, (int(self.turn) - 1) % self.window)
        self.total.add_(torch.where(taken, mean, before))
        ended = int(self.turn) % self.window == 0
        if ended:
            mean = self.total / self.window
            stopped = bool(mean >= self.before)
            self.before.copy_(mean)
            self.total.zero_()
        if (ended and stopped) or int(self.turn) >= self.most:
            self.turn.fill_(-1)
            self.total.zero_()

    def examine(
        self, model: LatentModel, x: Tensor, context: Tensor | None, generator: torch.Generator | None = None
    ) -> None:
        """At the end of an epoch: whether the codes tell less of these rows than they did."""
        if not self.ahead or int(self.learned) < self.apart:
            return
        self.learned.zero_()
        told = information(model.infer(x, 1, from_posterior(generator), context)[0]).double().mean()
        self.caught_up.copy_(told < self.best)
        self.best.copy_(torch.maximum(told, self.best))

    @property
    def settled(self) -> bool:
        return super().settled and not self.ahead
