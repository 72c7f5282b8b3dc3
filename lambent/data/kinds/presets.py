"""Presets: sizes of a model of pictures and of its training, by the machine and by the pictures' size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambent.data.kinds import filed
from lambent.data.readers.pictures import pictures_in
from lambent.errors import DataError, UsageError, nearest
from lambent.machine import PRESETS, Machine
from lambent.part import Shape, Spec, elements

COARSEST = 4  # pixels of the shorter side of the coarsest map that has places; above it stands one of a single place
OF_MAPS = 45  # bytes that a step keeps in float32 of each channel of a group's map
OF_PIXELS = 45  # and of each channel of a logistic
SHARE = 0.25  # of the free memory that a step may take
MOST_PARTS = 4  # in which a batch is taken before blocks are computed again
AGAIN = 0.5  # of what is kept, where blocks are computed again
PACE = 4.5e8  # squared channels of a group's map that a core works off in a second
OF_A_GPU = 100  # cores that a GPU is worth
EPOCHS = 20, 1000
WHOLE = 256  # pixels of the longer side up to which pictures of one size are taken whole
CROPS = {"small": 64, "medium": 128, "large": 256, "constant": 64}


@dataclass(frozen=True)
class Size:
    """What a preset is. groups, widths: of the single place at the top, then of each map from the coarsest; the last for others.

    blocks: of the network at each resolution. components: logistics of a pixel. finest: pixels of the shorter side of the finest
    map, at most; twice as many on a GPU. minutes: that a training may take, about, where its steps would take longer. code: the
    latent in place of the hierarchy, whose maps are then those of the network alone.
    """

    groups: tuple[int, ...]
    widths: tuple[int, ...]
    blocks: int
    components: int
    finest: int
    steps: int
    minutes: float
    code: Spec | None = None


BATCH = 64
SIZES = {
    "small": Size((1, 2, 2, 2), (96, 64, 48, 32), 1, 1, 16, 2_500, 4),
    "medium": Size((1, 3, 4, 3), (128, 128, 96, 64), 1, 5, 16, 20_000, 45),
    "large": Size((2, 4, 6, 6), (256, 256, 192, 128), 2, 10, 32, 60_000, 480),
    "constant": Size(
        (1,),
        (256, 256, 128, 64),
        1,
        1,
        16,
        10_000,
        20,
        {"type": "Flat", "size": 64, "posterior": {"type": "Constant"}, "prior": {"type": "Flow"}},
    ),
}


@dataclass(frozen=True)
class Map:
    """One resolution of the hierarchy: the image's size over `factor`, so many places, groups of codes and channels."""

    factor: int
    places: int
    groups: int
    width: int


def refuse_unknown(name: str) -> None:
    """`UsageError` for a name that no preset has."""
    if name not in PRESETS:
        raise UsageError(f"no preset is called {name!r}; {nearest(str(name), PRESETS)}")


def preset(
    name: str, machine: Machine, likelihood: dict[str, Any], event: Shape, rows: int, cropped: bool
) -> dict[str, Any]:
    """The parts and settings of that name, in the form of `Modality.defaults`.

    A hierarchy of maps under a residual network: halved until the shorter side is 4 pixels, with one place for the whole picture
    at the top unless pictures are crops, for then any size is to be decoded. Batches are taken in parts, and blocks computed
    again, as far as a quarter of the free memory asks for it; training ends after so many steps or, on slow machines, minutes.
    constant: one code with a posterior of one width, under a flow that is learned with it.
    """
    refuse_unknown(name)
    size, maps = SIZES[name], maps_of(name, event, machine.gpu is not None)
    finest = maps[-1].factor
    stem = min(finest, 4)
    channels = [each.width // 2 for each in reversed(maps)]
    channels = [channels[0]] * ((finest // stem).bit_length() - 1) + channels
    top, widths = ([], []) if cropped else ([f"1x{size.groups[0]}"], [size.widths[0]])
    mixture = {"components": size.components} if likelihood["type"] == "DiscretizedLogistics" else {}
    return {
        "likelihood": {**likelihood, **mixture},
        "latent": size.code
        or {
            "type": "Grid",
            "layers": " ".join(top + [f"/{each.factor}x{each.groups}" for each in maps]),
            "width": widths + [each.width for each in maps],
        },
        "network": {"type": "ResNet", "channels": channels, "blocks": size.blocks, "stem": stem},
        "fit": {
            "epochs": _epochs(size, machine, maps, rows),
            "batch": BATCH,
            **_memory(BATCH * kept_of_a_row(name, event, machine.gpu is not None), machine),
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "warmup": 0.05,
            "clip": 200.0,
            "average": 0.995 if name == "small" else 0.999,
        },
    }


def maps_of(name: str, event: Shape, gpu: bool = False) -> list[Map]:
    """The resolutions of a preset's hierarchy, the coarsest first, without the single place above them."""
    size, side = SIZES[name], min(event[1:])
    finest = size.finest * (1 + gpu)
    factors = [f for f in (32, 16, 8, 4, 2, 1) if side >= COARSEST * f and -(-side // f) <= finest] or [1]
    made = []
    for place, factor in enumerate(factors, 1):
        area = -(-event[1] // factor) * -(-event[2] // factor)
        groups, width = (values[min(place, len(values) - 1)] for values in (size.groups, size.widths))
        made.append(Map(factor, area, groups, width))
    return made


def kept_of_a_row(name: str, event: Shape, gpu: bool = False) -> float:
    """About how many bytes a step of a preset keeps of a picture in float32, with nothing computed again."""
    of_maps = OF_MAPS * sum(each.places * each.groups * each.width for each in maps_of(name, event, gpu))
    return of_maps + OF_PIXELS * elements(event) * SIZES[name].components


def _memory(kept: float, machine: Machine) -> dict[str, Any]:
    """In how many parts a batch is taken that keeps so many bytes, and whether blocks are computed again."""
    again = kept / (SHARE * machine.room) > MOST_PARTS
    ratio = kept * (AGAIN if again else 1.0) / (SHARE * machine.room)
    parts = 1
    while parts < min(ratio, BATCH):
        parts *= 2
    return {"accumulate": parts, "recompute": again}


def _epochs(size: Size, machine: Machine, maps: list[Map], rows: int) -> int:
    """As many as make the steps, or as the minutes allow."""
    power = machine.cores if machine.gpu is None else OF_A_GPU
    work = BATCH * sum(each.places * each.groups * each.width**2 for each in maps)
    steps = min(size.steps, size.minutes * 60 * PACE * power / work)
    low, high = EPOCHS
    return max(low, min(high, round(steps * BATCH / max(1, rows))))


def framing(name: str, raw: Any) -> Spec:
    """Fields of Image that a preset needs before a folder's pictures are read: crops of those of several sizes, or large."""
    refuse_unknown(name)
    if not isinstance(raw, (str, Path)) or not Path(raw).is_dir():
        return {}
    try:
        sizes = list(filed.looked(pictures_in(raw).files, every=True, skip_bad=True).sizes)
    except DataError:  # which the reader tells better
        return {}
    least = min(side for size in sizes for side in size)
    if least < COARSEST or (len(sizes) == 1 and max(sizes[0]) <= WHOLE):
        return {}
    return {"crop": min(CROPS[name], 1 << (least.bit_length() - 1))}
