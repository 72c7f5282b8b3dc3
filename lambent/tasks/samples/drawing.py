"""Pictures that a model draws, and training pictures through its code and back, as bytes to be judged."""

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Encoded
from lambent.data.splitting import take
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.seeds import stream
from lambent.tasks import explore

Bytes = NDArray[np.uint8]


def samples(fitted: Fitted, count: int, seed: int = 0, temperature: float = 1.0) -> Bytes:
    """Pictures drawn from a model, [n, H, W(, 3)], as it shows them: the centre of p(x|z).

    Of pictures with two levels, which the centre is not one of, p(x|z) is drawn from; of pixels drawn anew for each batch the
    centre is the grey level. A conditional model draws under values as frequent as in training.
    """
    modality = _modality(fitted)
    context = None
    if fitted.model.context:
        if not fitted.conditions:
            raise UsageError("this model's context has no names, so that nothing typical of it can be drawn")
        generator = torch.Generator().manual_seed(stream(seed, "judged samples"))
        context = fitted.conditions.typical(count, generator)
    rows = explore.generate(fitted, count, seed, temperature, context, noise=_noisy(modality))
    return np.asarray(fitted.pictures(rows))


def reconstructions(fitted: Fitted, encoded: Encoded, count: int, seed: int = 0) -> Bytes:
    """At most so many of the rows, drawn by the seed, each through one draw of its code and back, [n, H, W(, 3)]."""
    modality = _modality(fitted)
    order = np.random.default_rng(stream(seed, "judged samples")).permutation(len(encoded))[:count]
    rows = fitted.rows(take(encoded, np.sort(order)), seed)
    again = explore.reconstruct(fitted, rows.x, rows.context, seed)
    if _noisy(modality):  # of two levels the centre is a probability
        generator = torch.Generator().manual_seed(stream(seed, "judged samples"))
        again = (torch.rand(again.shape, generator=generator) < again).to(torch.uint8)
    return np.asarray(fitted.pictures(again))


def _modality(fitted: Fitted) -> Image:
    if not isinstance(fitted.modality, Image):
        kind = "nothing known" if fitted.modality is None else type(fitted.modality).__name__
        raise UsageError(f"this model was trained on {kind}; these measures are of pictures")
    return fitted.modality


def _noisy(modality: Image) -> bool:
    return modality.binary and not modality.drawn
