"""Crops: squares cut out of pictures of any size, about the centre or at places that a seed draws."""

from collections.abc import Sequence

import numpy as np

from lambent.errors import DataError
from lambent.seeds import mixed_seed

Place = tuple[int, int]


def place(size: tuple[int, int], crop: int, seed: int | None = None) -> Place:
    """The row and column of a crop's upper left corner in a picture of (height, width): about the centre, or drawn by a seed.

    Drawn, every place is as likely as any other.
    """
    spare = size[0] - crop, size[1] - crop
    if seed is None:
        return spare[0] // 2, spare[1] // 2
    generator = np.random.Generator(np.random.PCG64(seed))
    return int(generator.integers(spare[0] + 1)), int(generator.integers(spare[1] + 1))


def places(sizes: Sequence[tuple[int, int]], crop: int, numbers: np.ndarray, seed: int | None) -> list[Place]:
    """Of each row its place: fixed, or drawn by the seed and the row's number, so that it hangs on no other row."""
    seeds = [None if seed is None else mixed_seed(seed, int(number)) for number in numbers]
    return [place(size, crop, own) for size, own in zip(sizes, seeds, strict=True)]


def cut(planes: np.ndarray, crop: int, at: Place) -> np.ndarray:
    """The crop of [..., height, width] whose upper left corner lies there."""
    top, left = at
    return planes[..., top : top + crop, left : left + crop]


def centred(planes: np.ndarray, crop: int, where: str = "the array") -> np.ndarray:
    """What lies about the centre of [..., height, width]; `DataError` where that is too small."""
    size = (planes.shape[-2], planes.shape[-1])
    refuse_small(size, crop, where)
    return cut(planes, crop, place(size, crop))


def side(shape: tuple[int, ...], crop: int | None) -> tuple[int, int]:
    """Height and width of what is kept of an array [..., height, width]: all of it, or crops."""
    if crop is None:
        return shape[-2], shape[-1]
    refuse_small((shape[-2], shape[-1]), crop, "the array")
    return crop, crop


def refuse_small(size: tuple[int, int], crop: int, where: str) -> None:
    """Raise `DataError` for a picture that holds no crop of that size."""
    if min(size) < crop:
        raise DataError(
            f"{where}: is {size[0]}×{size[1]} (height × width), too small for crops of {crop}×{crop}: ask for smaller ones, "
            "or take it away"
        )
