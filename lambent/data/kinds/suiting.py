"""Suiting: the parts that suit a table, by what its columns are."""

from typing import Any

from lambent.data.kinds.columns.encoding import Encoding
from lambent.part import Spec

MOST_UNITS = 16
PRIOR: Spec = {"type": "Mixture", "components": 10, "covariance": "full"}
FEW = 10_000  # rows up to which the narrower network is enough


def suiting(encoding: Encoding, rows: int, robust: bool) -> dict[str, Any]:
    """The natural parts of a table that was learned from so many rows.

    Of numbers: a Student's t with predicted scales; of low counts a NegativeBinomial, under the robust scale a JohnsonSU. As many
    units as columns, 16 at most, under a mixture of ten Gaussians; a network that starts from principal components. Under a
    Gaussian one far row may decide a whole bound. Chosen over small tables: see `benchmarks/tables.py`. By ranks: columns that
    see columns. As leaves: a likelihood for each column.
    """
    likelihood: Spec = {"type": "StudentT", "scale": "predicted"}
    if encoding.ranks:
        likelihood = {
            "type": "Autoregressive",
            "tokens": list(encoding.tokens),
            "seen": list(encoding.seen),
            "indicates": list(encoding.indicates),
        }
    elif encoding.leaves:
        likelihood = {"type": "Mixed", "columns": encoding.likelihoods}
    elif encoding.of_counts:
        likelihood = {"type": "NegativeBinomial"}
    elif robust:
        likelihood = {"type": "JohnsonSU"}
    units = min(MOST_UNITS, encoding.width) if encoding.columns else MOST_UNITS
    latent = {"type": "Flat", "size": units, "prior": dict(PRIOR)}
    network = {"type": "Mlp", "width": 128 if rows <= FEW else 256, "linear": not encoding.ranks}
    return {"likelihood": likelihood, "latent": latent, "network": network}
