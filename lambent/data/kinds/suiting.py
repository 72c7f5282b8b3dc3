"""Suiting: the parts and settings that suit a table, by what its columns are."""

from typing import Any

from lambent.data.kinds.columns.encoding import Encoding
from lambent.part import Spec

MOST_UNITS = 16
PRIOR: Spec = {"type": "Mixture", "components": 10, "covariance": "full"}
FEW = 10_000  # rows up to which the narrower network is enough
FEWER = 5_000  # rows below which columns that see columns have to be kept from learning them by heart
FEWEST = 1_000  # and below which steps are of so few rows that more passes are needed
UNITS = 8  # of a code beside columns that see columns
BATCH = 512
STEPS = 8_000
TRIM = 0.3  # share of the rows that members which may have been shown odd ones leave out
PLAIN, ROBUST = 2, 2  # members of a detector of numbers: those that leave out none, and the others
FLOOR = 0.1  # deviations: where half of a column's values are the same, the rest are not to count for infinitely odd
DETECTOR_STEPS = 600  # whatever the rows: of rows that are seen too often the odd ones are known by heart
DETECTOR_BATCH = 128


def suiting(encoding: Encoding, rows: int, robust: bool) -> dict[str, Any]:
    """The natural parts of a table that was learned from so many rows.

    Of numbers: a Student's t with predicted scales; of low counts a NegativeBinomial, under the robust scale a JohnsonSU. As many
    units as columns, 16 at most, under a mixture of ten Gaussians; a network that starts from principal components. Under a
    Gaussian one far row may decide a whole bound. Chosen over small tables: see `benchmarks/tables.py`. By ranks: columns that
    see columns. As leaves: a likelihood for each column.
    """
    if encoding.ranks:
        return _by_ranks(encoding, rows)
    likelihood: Spec = {"type": "StudentT", "scale": "predicted"}
    if encoding.leaves:
        likelihood = {"type": "Mixed", "columns": encoding.likelihoods}
    elif encoding.of_counts:
        likelihood = {"type": "NegativeBinomial"}
    elif robust:
        likelihood = {"type": "JohnsonSU"}
    units = min(MOST_UNITS, encoding.width) if encoding.columns else MOST_UNITS
    latent = {"type": "Flat", "size": units, "prior": dict(PRIOR)}
    network = {"type": "Mlp", "width": 128 if rows <= FEW else 256, "linear": True}
    return {"likelihood": likelihood, "latent": latent, "network": network}


def detecting(encoding: Encoding, rows: int, robust: bool) -> dict[str, Any]:
    """The parts that suit telling odd rows of a table that was learned from so many.

    Of numbers: a small ensemble under a Student's t, of which half the members leave the worst rows of each batch out, in a short
    training. Of all else what suits it anyway, leaving out the same share. Chosen over other tables than those measured on: see
    `benchmarks/detect.py`.
    """
    if encoding.ranks or encoding.leaves or encoding.of_counts or robust:
        usual = suiting(encoding, rows, robust)
        return usual | {"objective": {"type": "Elbo", **usual.get("objective", {}), "trim": TRIM}}
    steps = max(1, -(-rows // DETECTOR_BATCH))
    return {
        "likelihood": {"type": "StudentT", "scale": "predicted", "floor": FLOOR},
        "latent": {"type": "Flat", "size": UNITS},
        "network": {"type": "Mlp", "width": 128},
        "objective": {"type": "Elbo", "trim": TRIM, "untrimmed": PLAIN},
        "model": {"members": PLAIN + ROBUST},
        "fit": {
            "epochs": -(-DETECTOR_STEPS // steps),
            "batch": DETECTOR_BATCH,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "warmup": 0.05,
            "clip": 5.0,
            "average": 0.0,
            "validation": 0.0,  # a training so short needs no end but its own
        },
    }


def _by_ranks(encoding: Encoding, rows: int) -> dict[str, Any]:
    """Columns that see columns, at high and falling rates, with a floor under what the code is told.

    Once columns see columns a code could be dispensed with: 1.5 nats keep it in use, and from three fifths of the training on
    the encoder stands still, so that the rest learns to read its codes as they are. Of few rows, which are soon known by heart,
    narrower columns learn with half of their units left out.
    """
    few = rows < FEWER
    likelihood = {
        "type": "Autoregressive",
        "tokens": list(encoding.tokens),
        "kinds": list(encoding.seen),
        "indicates": list(encoding.indicates),
        "width": 64 if few else 128,
        "dropout": 0.5 if few else 0.25,
        "agnostic": 0.25,
    }
    return {
        "likelihood": likelihood,
        "objective": {"type": "Elbo", "floor": 1.5, "settle": 0.6, "anneal": "linear", "warmup": 0.1},
        "latent": {"type": "Flat", "size": min(UNITS, encoding.width), "prior": dict(PRIOR)},
        "network": {"type": "Mlp", "width": 128 if few else 256},
        "fit": {
            "epochs": _epochs(rows),
            "batch": BATCH if rows >= FEW else 256 if not few else 128 if rows >= FEWEST else 64,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "warmup": 0.1,
            "clip": 5.0,
            "average": 0.995,
        },
    }


def _epochs(rows: int) -> int:
    """16, of few rows more, with validation rows to end them; of very many as many as make 8,000 steps."""
    if rows < FEW:
        return 40 if rows >= FEWEST else 100
    return max(2, min(16, STEPS * BATCH // rows))
