"""Detail: what the code of a picture lost of it, carried over to the picture in another style."""

import torch
from torch import Tensor

from lambent.data.kinds.image import Image
from lambent.errors import UsageError
from lambent.fitted import Fitted

DETAIL = 0.4  # the share that pictures carry unless another is asked for


def share_of(fitted: Fitted, detail: float | None) -> float:
    """The share of detail that is carried; `UsageError` for none from 0 to 1, and for rows that are no pictures."""
    if detail is None:
        return DETAIL if isinstance(fitted.modality, Image) else 0.0
    if not 0 <= detail <= 1:
        raise UsageError(f"detail lies between 0 and 1, not at {detail}")
    if detail and not isinstance(fitted.modality, Image):
        raise UsageError("detail is what a code lost of a picture, and these rows are none: leave it at 0")
    return detail


def carried(fitted: Fitted, made: Tensor, x: Tensor, own: Tensor, detail: float) -> Tensor:
    """made + d (x − own), within the range of pixels.

    made: x in another style; own: what the same code is decoded to in the style of x. All [rows, channels, height, width] in
    stored units. What is not observed of x carries nothing.
    """
    assert isinstance(fitted.modality, Image)
    white = fitted.modality.white if fitted.of_bytes and not fitted.modality.binary else 1
    whole = x.to(made.dtype) + (made - own)  # exactly x where the style is its own
    return torch.lerp(made, torch.where(whole.isnan(), made, whole), detail).clamp(0, white)
