"""Training: the settings of a training, once. Flags, ranges, documentation and a checkpoint's identity are read off it."""

import dataclasses
from typing import Any, Literal, Self

from lambent.errors import UsageError
from lambent.part import Part, Spec, option
from lambent.training.precision import Precision
from lambent.training.threads import MOST, checked

LARGE = 10**7
SHORTEST = 20  # steps that an epoch of patience is waited for at least: in fewer, little can change
FEW = 10_000  # rows up to which patience is on by itself: beyond, an epoch is long and a run has few of them


class Training(Part):
    """The settings of a training, with their meanings, defaults and ranges: the keywords of `fit` that are plain values."""

    papers = ("kingma2015adam",)

    epochs: int | None = option(
        "passes over the data; none: as many as make 10,000 steps, between 10 and 1,000",
        default=None,
        minimum=1,
        maximum=LARGE,
    )
    batch: int = option("rows in each step", default=128, minimum=1, maximum=LARGE)
    learning_rate: float = option("of AdamW, at its highest", default=1e-3, minimum=0, maximum=100)
    weight_decay: float = option(
        "of AdamW, on the weight matrices of networks alone",
        default=0.0,
        minimum=0,
        maximum=100,
        papers={...: "loshchilov2019decoupled"},
    )
    schedule: Literal["constant", "linear", "cosine"] = option(
        "of the learning rate after the warm-up", default="constant"
    )
    warmup: float = option(
        "share of all steps over which the learning rate rises to its highest", default=0.0, minimum=0, maximum=1
    )
    clip: float = option("the largest norm of the gradient; 0 for no limit", default=0.0, minimum=0)
    spike: float = option(
        "a step whose loss lies this many standard deviations above the last epoch's mean is skipped, and counted; "
        "0 to skip none",
        default=20.0,
        minimum=0,
    )
    average: float = option(
        "decay per step of the exponential average of the weights, which evaluation uses; 0 for none",
        default=0.999,
        minimum=0,
        maximum=0.999999,
    )
    validation: float = option(
        "a share of the rows to hold out, or rows to validate on, as in `data`", default=0.0, minimum=0, below=1
    )
    patience: int | Literal["auto"] = option(
        "epochs, of 20 steps at least, without a better validation loss after which training stops, keeping the best "
        "weights; 0 to go on; auto: "
        f"a fifth of all steps, and at least 10 epochs, where up to {FEW:,} rows are trained on and some are held out, else 0",
        default="auto",
        minimum=0,
        maximum=10**9,
    )
    precision: Precision = option(
        "fp32; bf16 for matrix products in bfloat16; auto takes the latter where the processor has units for it and, where "
        "threads are given, its steps are the faster",
        default="auto",
    )
    accumulate: int = option(
        "parts that each batch is taken in, one after the other: the same step in less memory, for objectives that take each row "
        "by itself",
        default=1,
        minimum=1,
        maximum=LARGE,
    )
    recompute: bool = option(
        "keep the inputs of blocks alone for the gradient and make the rest again: the same step in less memory and more time",
        default=False,
        papers={...: "chen2016training"},
    )
    threads: int | str | None = option(
        "of a processor: a number; auto times steps with all, half and one, in the precisions left open, takes the fastest, and "
        "looks again when steps become three times slower; 2,1@5120: two, and one from step 5,120 on; none: as torch has it",
        default=None,
        minimum=1,
        maximum=MOST,
    )
    device: str = option("cpu, cuda, mps; auto takes a GPU where there is one", default="auto")
    seed: int = option(
        "of weights, order and noise; the same seed gives the same bits on the same machine with the same threads and precision",
        default=0,
        minimum=0,
        maximum=2**63 - 1,
    )
    steps: int | None = option(
        "batches in one epoch of an iterable that does not tell its length", default=None, minimum=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.threads = checked(self.threads)

    @classmethod
    def of(cls, **given: Any) -> Self:
        """The settings given, checked; `UsageError` begins with the name of the one that cannot be."""
        try:
            return cls(**given)
        except UsageError as error:
            raise UsageError(str(error).removeprefix(f"{cls.__name__}.")) from None

    def changed(self, **fields: Any) -> Self:
        """The same with other values of some fields."""
        return dataclasses.replace(self, **fields)

    def settled(self, steps: int, rows: int, watched: bool) -> Self:
        """The same with epochs and patience as numbers, for so many steps an epoch and rows (0: not known)."""
        epochs = self.epochs or usual_epochs(steps)
        patience = self.patience
        if patience == "auto":
            patience = usual_patience(epochs, steps) if watched and 0 < rows <= FEW else 0
        elif patience and not watched:
            raise UsageError("patience waits for a better validation loss: give validation=0.1 or rows, or patience=0")
        return self.changed(epochs=epochs, patience=patience)

    def identity(self) -> Spec:
        """What of it must not change between a run and its resumption; rows and devices are told of by others."""
        return {name: value for name, value in self.spec().items() if name not in ("type", "validation", "device")}

    @classmethod
    def described(cls) -> str:
        """Every setting with its meaning, as entries of a docstring."""
        return "\n".join(f"        {f.name}: {f.metadata['meaning']}." for f in dataclasses.fields(cls))


def usual_epochs(steps: int) -> int:
    """As many epochs of so many steps as make 10,000, between 10 and 1,000."""
    return min(1000, max(10, -(-10_000 // steps)))


def usual_patience(epochs: int, steps: int) -> int:
    """A fifth of all epochs, counted in epochs of 20 steps where they have fewer; at least 10: few rows judge noisily."""
    return max(10, epochs * min(steps or SHORTEST, SHORTEST) // (5 * SHORTEST))


def waited_for(patience: int, steps: int) -> int:
    """The epochs of so many steps that make so much patience."""
    return max(patience, -(-patience * SHORTEST // (steps or SHORTEST)))
