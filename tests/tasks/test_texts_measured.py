"""What evaluate says of texts: nats per token and perplexity per word are the bound's, over all tokens and words."""

import math

import numpy as np
import pytest
import torch

from lambent.data.kinds.text import Text
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Tokens
from lambent.model.networks import Gru
from lambent.tasks.evaluate import evaluate

TEXTS = ["a dog runs", "a dog", "two dogs run over the grass", "grass"]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    torch.manual_seed(0)
    text = Text(symbols=280).fit(TEXTS)
    model = LatentModel(
        latent=Flat(2), likelihood=Tokens(symbols=text.vocabulary, width=6, rank=3), network=Gru(width=4)
    )
    model.setup(text.event, text.encode(TEXTS), 0)
    return Fitted(model.eval(), text)


def test_per_token_and_per_word(fitted: Fitted) -> None:
    assert fitted.modality is not None
    found = evaluate(fitted, TEXTS, samples=4)
    nats = -np.sum(found.by_row["bound"])
    tokens = int((~torch.isnan(fitted.modality.encode(TEXTS))).sum())
    assert found.metrics["nats_per_token"].value == pytest.approx(nats / tokens)
    assert found.metrics["perplexity"].value == pytest.approx(math.exp(nats / (3 + 2 + 6 + 1 + 4)))
    assert found.metrics["perplexity"].unit == "per word"
    assert "bits_per_dim" not in found.metrics, "a text has no dimensions of one length"


def test_of_encoded_rows_alone_no_words_are_known(fitted: Fitted) -> None:
    assert fitted.modality is not None
    found = evaluate(fitted.model, fitted.modality.encode(TEXTS), samples=2)
    assert "nats_per_token" in found.metrics
    assert "perplexity" not in found.metrics


def test_the_error_is_that_of_a_ratio(fitted: Fitted) -> None:
    """Against the spread of the ratio over resampled texts."""
    many = [*TEXTS, "a", "dogs run", "the dog runs over a dog", "two", "over the grass", "run run run"]
    found = evaluate(fitted, many, samples=2)
    assert fitted.modality is not None
    nats = -np.array(found.by_row["bound"])
    tokens = (~torch.isnan(fitted.modality.encode(many))).sum(1).numpy()
    picks = np.random.default_rng(0).integers(0, len(many), (4000, len(many)))
    spread = (nats[picks].sum(1) / tokens[picks].sum(1)).std()
    error = found.metrics["nats_per_token"].standard_error
    assert error is not None
    assert error == pytest.approx(float(spread), rel=0.4)
