"""What evaluate says of texts beside the bound: nats per token, and the perplexity per word."""

import math

from torch import Tensor

from lambent.data.kinds.modality import Modality
from lambent.metrics.bound import Bounds
from lambent.model import LatentModel
from lambent.model.bounded import bounding
from lambent.tasks.metric import Metric, ratio


def of_texts(model: LatentModel, found: Bounds, x: Tensor, modality: Modality | None) -> dict[str, Metric]:
    """By the K-sample bound: −Σ log p(x) / Σ tokens, and exp (−Σ log p(x) / Σ (words + 1)), sums over all rows.

    A text's end counts as a token and as a word. None where rows are no texts, or there is no bound; no perplexity where the
    kind of data knows no words.
    """
    lengths = model.likelihood.lengths(x)
    if lengths is None or not bounding(model):
        return {}
    nats, error = ratio(-found.bound, lengths)
    per_token = "the K-sample bound on −log p(x) of all texts over all of their tokens, each end among them"
    metrics = {"nats_per_token": Metric(nats, "nats per token", error, per_token)}
    words = None if modality is None else modality.words(x)
    if words is None:
        return metrics
    nats, error = ratio(-found.bound, words + 1)
    protocol = (
        "exp of the K-sample bound on −log p(x) of all texts over all of their words, parted by blanks, and each end; "
        "of the texts as they are here, whatever their tokens"
    )
    if math.isfinite(power := math.exp(min(nats, 700.0))):
        metrics["perplexity"] = Metric(power, "per word", None if error is None else power * error, protocol)
    return metrics
