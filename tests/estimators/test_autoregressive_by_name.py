"""A likelihood of tokens, named or made by hand, takes from the table what only the table can tell."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lambent import VAE
from lambent.model.likelihoods import Autoregressive

FRAME = pd.DataFrame({"age": np.arange(60) % 40, "kind": ["a", "b", "c"] * 20})


@pytest.mark.parametrize(
    "given", ["Autoregressive", {"type": "Autoregressive", "agnostic": 0.5}, Autoregressive(width=16)]
)
def test_tokens_come_from_the_table(given: Any) -> None:
    vae = VAE(likelihood=given, epochs=1, validation=0.5).fit(FRAME)
    own = vae.model_.likelihood
    assert own.tokens == vae.modality_.encoding.tokens
    assert own.kinds == vae.modality_.encoding.seen
    assert np.isfinite(vae.score(FRAME))
    assert vae.sample(5)["kind"].isin(["a", "b", "c"]).all()


def test_what_is_given_stays() -> None:
    assert VAE(likelihood=Autoregressive(width=16), epochs=1).fit(FRAME).model_.likelihood.width == 16
    assert VAE(likelihood="Autoregressive", epochs=1).fit(FRAME).model_.likelihood.agnostic == 0.25
