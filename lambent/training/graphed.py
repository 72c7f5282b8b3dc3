"""Graphed: the forward and the backward pass of a step as one CUDA graph, replayed for every batch of the same shape.

A small model on a fast GPU waits for the processor, which starts its thousands of kernels one by one; a graph starts them all
at once.
"""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lambent.model import LatentModel
from lambent.objectives import Loss, Objective

Passes = Callable[[Tensor, Tensor | None], tuple[Loss, Tensor]]
UNTRIED = 8  # steps before a graph is made: a short training would not get back what it costs
WARM = 2  # passes by which libraries settle what they work with


@contextmanager
def own_queue(device: torch.device) -> Iterator[None]:
    """On a GPU, a queue of work other than the one that every process has by default, which no graph may wait for.

    Gradients are added up on the queue that a weight was last used on: one graph of operations that is still held, and a
    capture would depend on the queue by default.
    """
    if device.type != "cuda":
        yield
        return
    queue, before = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    queue.wait_stream(before)
    try:
        with torch.cuda.stream(queue):
            yield
    finally:
        before.wait_stream(queue)


class Graphed:
    """Makes the passes of a step, by themselves or from a graph, with the same numbers from the same generator.

    `passes` computes the loss of a batch and adds its gradient. A graph is made once the objective is `steady`, for batches of
    the shape that came first; others, such as the last of an epoch, are computed as they come. Where an operation cannot be
    part of a graph, all are computed as they come.
    """

    def __init__(
        self, model: LatentModel, objective: Objective, generator: torch.Generator, passes: Passes, device: torch.device
    ) -> None:
        self.model, self.objective = model, objective
        self.generator, self.passes = generator, passes
        self.possible = device.type == "cuda" and objective.opponent is None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.refused = ""  # why there is no graph, where one was tried
        self._seen = 0

    def step(self, x: Tensor, context: Tensor | None) -> tuple[Loss, Tensor]:
        """The loss of each row, and their mean; gradients stand in the parameters."""
        if not self.possible:
            return self.passes(x, context)
        if self.graph is None:
            self._seen += 1
            if self._seen <= UNTRIED or not self.objective.steady or not self._made(x, context):
                return self.passes(x, context)
        if x.shape != self.x.shape or (context is None) != (self.context is None):
            return self.passes(x, context)
        return self._replayed(x, context)

    def _replayed(self, x: Tensor, context: Tensor | None) -> tuple[Loss, Tensor]:
        assert self.graph is not None
        self.x.copy_(x)
        if self.context is not None and context is not None:
            self.context.copy_(context)
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        loss, mean = self.captured
        # The next replay writes into the same memory.
        kept = {name: term.clone() for name, term in loss.seen.items()}
        return Loss(loss.rows.detach().clone(), kept, loss.trace, loss.calibrated), mean.clone()

    def _made(self, x: Tensor, context: Tensor | None) -> bool:
        """Whether the passes could be captured; what trying them moved is put back."""
        self.x, self.context = x.clone(), None if context is None else context.clone()
        state, spares = self.generator.get_state(), self._spares()
        buffers = [(b, b.clone()) for module in (self.model, self.objective) for b in module.buffers()]
        try:
            with warnings.catch_warnings():
                # The accumulators of gradients were made on the queue that all else runs on, which torch remarks once.
                warnings.filterwarnings("ignore", message=".*AccumulateGrad.*stream")
                self._warm_up()
                self.generator.set_state(state)
                self.graph = self._captured()
        except RuntimeError as error:
            self.possible, self.refused = False, str(error).splitlines()[0]
            torch.cuda.synchronize(x.device)
            for generator, spare in spares:
                generator.graphsafe_set_state(spare)
        self._clear()
        self.generator.set_state(state)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        return self.graph is not None

    def _spares(self) -> list[tuple[torch.Generator, torch.Generator]]:
        """The generators that a capture registers, with copies of them: one that breaks off leaves them waiting for its end."""
        index = self.x.device.index
        own = torch.cuda.default_generators[torch.cuda.current_device() if index is None else index]
        return [(generator, generator.clone_state()) for generator in (self.generator, own)]

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        gc.collect()  # graphs of operations that are let go of, and not yet gone
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(self.x.device)):
            self.captured = self.passes(self.x, self.context)
        self.gradients = [(p, p.grad) for p in self._parameters() if p.grad is not None]
        return graph

    def _warm_up(self) -> None:
        for _ in range(WARM):
            self.passes(self.x, self.context)
            self._clear()

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.model.parameters(), *self.objective.parameters()]

    def _clear(self) -> None:
        for parameter in self._parameters():
            parameter.grad = None
