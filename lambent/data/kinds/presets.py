"""Presets: sizes of a model of pictures and of its training, by the machine and by the pictures' size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambent.data.kinds import filed
from lambent.data.readers.pictures import Pictures, pictures_in
from lambent.errors import DataError, UsageError, nearest
from lambent.machine import PRESETS, Machine
from lambent.part import Shape, Spec

COARSEST = (
    4  # pixels of the shorter side of the coarsest map that still has places; above it stands one of a single place
)
KEPT = {
    "a pixel": 900,
    "a place": 40,
}  # bytes that a step keeps: of the likelihood; of each channel and group of a map, float32
SHARE = 0.25  # of the free memory that a step may take
MOST_PARTS = 4  # in which a batch is taken before blocks are computed again
AGAIN = 0.4  # of what is kept, where blocks are computed again
PACE = 0.5e6  # pixels, times groups of the finest map, that a core works off in a second
OF_A_GPU = 100  # cores that a GPU is worth
EPOCHS = 20, 1000
WHOLE = 256  # pixels of the longer side up to which pictures of one size are taken whole
CROPS = {"small": 64, "medium": 128, "large": 256}


@dataclass(frozen=True)
class Size:
    """What a preset is. groups, widths: of the single place at the top, then of each map from the coarsest; the last serves the rest."""

    groups: tuple[int, ...]
    widths: tuple[int, ...]
    blocks: int  # residual blocks of the network at each resolution
    components: int  # logistics in a pixel's mixture
    batch: int
    steps: int
    minutes: float  # that a training may take, about, where the steps would take longer
    finest: int  # pixels of the shorter side of the finest map, at most


SIZES = {
    "small": Size((1, 2, 2, 2), (96, 64, 48, 32), 1, 1, 64, 3_000, 4, 16),
    "medium": Size((1, 3, 4, 3), (128, 128, 96, 64), 1, 5, 64, 20_000, 60, 32),
    "large": Size((2, 4, 6, 6), (256, 256, 192, 128), 2, 10, 64, 60_000, 600, 64),
}


def refuse_unknown(name: str) -> None:
    """`UsageError` for a name that no preset has."""
    if name not in PRESETS:
        raise UsageError(f"no preset is called {name!r}; {nearest(str(name), PRESETS)}")


def preset(
    name: str, machine: Machine, likelihood: dict[str, Any], event: Shape, rows: int, cropped: bool
) -> dict[str, Any]:
    """The parts and settings of that name, in the form of `Modality.defaults`.

    A hierarchy of maps under a residual network: halved until the shorter side is 4 pixels, with one place for the whole picture
    at the top unless pictures are crops, of which any size is to be decoded. Batches are taken in parts, and blocks computed again,
    as far as a quarter of the free memory asks for it; training ends after so many steps or, on slow machines, minutes.
    """
    refuse_unknown(name)
    size, side = SIZES[name], min(event[1:])
    factors = [f for f in (32, 16, 8, 4, 2, 1) if side >= COARSEST * f and -(-side // f) <= size.finest] or [1]
    count = len(factors)
    groups, widths = (_stretched(values, count + 1) for values in (size.groups, size.widths))
    layers = [f"/{factor}x{number}" for factor, number in zip(factors, groups[1:], strict=True)]
    top = [] if cropped else [f"1x{groups[0]}"]
    mixture = {"components": size.components} if likelihood["type"] == "DiscretizedLogistics" else {}
    stem = min(factors[-1], 4)
    channels = [width // 2 for width in widths[:0:-1]]
    channels = [channels[0]] * ((factors[-1] // stem).bit_length() - 1) + channels
    places = [
        (-(-event[1] // f) * -(-event[2] // f), n, width)
        for f, n, width in zip(factors, groups[1:], widths[1:], strict=True)
    ]
    return {
        "likelihood": {**likelihood, **mixture},
        "latent": {"type": "Grid", "layers": " ".join(top + layers), "width": list(widths[cropped:])},
        "network": {"type": "ResNet", "channels": channels, "blocks": size.blocks, "stem": stem},
        "fit": {**_fitting(size, machine, places, event), "epochs": _epochs(size, machine, places, rows)},
    }


def _stretched(values: tuple[int, ...], count: int) -> list[int]:
    """So many of the values, the last again where they are too few."""
    return [values[min(place, len(values) - 1)] for place in range(count)]


def _fitting(size: Size, machine: Machine, places: list[tuple[int, int, int]], event: Shape) -> dict[str, Any]:
    """The settings of the loop: how a batch is taken, and the rates."""
    kept = KEPT["a pixel"] * event[1] * event[2] * size.components
    kept += KEPT["a place"] * sum(area * number * width for area, number, width in places)
    room = SHARE * machine.room
    parts = _power_of_two(size.batch * kept / room)
    again = parts > MOST_PARTS
    if again:
        parts = _power_of_two(size.batch * kept * AGAIN / room)
    return {
        "batch": size.batch,
        "accumulate": min(parts, size.batch),
        "recompute": again,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup": 0.05,
        "clip": 200.0,
        "average": 0.999 if size.steps > 10_000 else 0.995,
    }


def _power_of_two(ratio: float) -> int:
    parts = 1
    while parts < ratio:
        parts *= 2
    return parts


def _epochs(size: Size, machine: Machine, places: list[tuple[int, int, int]], rows: int) -> int:
    """As many as make the steps, or as the minutes allow."""
    power = machine.cores if machine.gpu is None else OF_A_GPU
    work = size.batch * sum(area * number * width for area, number, width in places) / 32
    steps = min(size.steps, size.minutes * 60 * PACE * power / work)
    low, high = EPOCHS
    return max(low, min(high, round(steps * size.batch / max(1, rows))))


def framing(name: str, raw: Any) -> Spec:
    """Fields of Image that a preset needs for raw rows before these are read: crops of pictures of several sizes, or large ones."""
    refuse_unknown(name)
    if not isinstance(raw, (list, Pictures)) and not (isinstance(raw, (str, Path)) and Path(raw).is_dir()):
        return {}
    try:
        sizes = list(
            filed.looked(pictures_in(raw).files if not isinstance(raw, Pictures) else raw.files, True, True).sizes
        )
    except DataError:  # which the reader tells better
        return {}
    least = min(side for size in sizes for side in size)
    if least < COARSEST or (len(sizes) == 1 and max(sizes[0]) <= WHOLE):
        return {}
    return {"crop": min(CROPS[name], 1 << (least.bit_length() - 1))}
