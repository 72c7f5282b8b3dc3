"""What suits pictures: the parts of a model by how many levels, pixels and rows there are."""

from typing import Any

from lambent.part import Shape, Spec, elements

TRIM = 0.1  # share of a batch that a detector leaves out
STEPS = 1_500  # of a detector's training, whatever the rows
BATCH = 128
MOST = 64 * 64 * 3  # numbers in a picture up to which fully connected layers are the cheaper


def suiting(binary: bool, white: int) -> dict[str, Spec]:
    """Bernoulli pixels for binary images, discretized logistics of as many levels for others; 32 units, of which an image
    seldom needs more; a mixture of Gaussians as their prior, which keeps them in use and costs little; a convolutional
    network.
    """
    logistics: Spec = {"type": "DiscretizedLogistics"} | ({"levels": white + 1} if white != 255 else {})
    return {
        "likelihood": {"type": "Bernoulli"} if binary else logistics,
        "latent": {
            "type": "Flat",
            "size": 32,
            "prior": {"type": "Mixture", "components": 50, "covariance": "full"},
        },
        "network": {"type": "Conv"},
    }


def detecting(binary: bool, event: Shape, rows: int) -> dict[str, Any]:
    """The parts that suit telling odd pictures, of so many.

    One deviation for all pixels: where each has its own, a picture is the likelier the plainer it is, whatever it shows (of
    garments of one kind among others, discretized logistics tell shirts from the rest worse than chance). Fully connected
    layers for small pictures, a short training that leaves the worst of each batch out.
    """
    small = elements(event) <= MOST
    return {
        "likelihood": {"type": "Bernoulli"} if binary else {"type": "Gaussian", "scale": "one"},
        "latent": {"type": "Flat", "size": 32},
        "network": {"type": "Mlp", "width": 256} if small else {"type": "Conv"},
        "objective": {"type": "Elbo", "trim": TRIM},
        "fit": {
            "epochs": -(-STEPS // max(1, rows // BATCH)),
            "batch": BATCH,
            "learning_rate": 2e-3 if small else 1e-3,
            "schedule": "cosine",
            "warmup": 0.05,
            "average": 0.99,
        },
    }
