"""Clusters without labels, and what codes tell of labels: MNIST, Fashion-MNIST, scikit-learn's digits.

    python benchmarks/features.py --data ../shared/data --only mnist --seeds 0 1 2 3 4 --minutes 20
    python benchmarks/features.py --only digits --minutes 1

Clusters by a recipe after VaDE: a model of little weight on its KL is trained first, its codes are parted along their manifold
into as many groups as there are classes, a prior begins as the Gaussians of these, and all of it learns on with that prior.
Beside it, on the same pre-trained codes, the groups along the manifold, a mixture and k-means as they are before, and the mixture
on codes of a VAE of N(0, I) that was trained as long. The minutes are those of one seed, all
three trainings together. The result file is written after every row, so that a run cut short still counts.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Record, column
from sklearn.datasets import load_digits

from lambent.data import Image, load
from lambent.data.kinds.modality import Encoded
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli
from lambent.model.networks import Mlp
from lambent.objectives import Elbo
from lambent.tasks.evaluate import evaluate
from lambent.tasks.features.cluster import Clusters, cluster
from lambent.tasks.features.probe import Probing, probe
from lambent.tasks.prior import refine
from lambent.training.fitting import fit

NAMES = ("mnist", "fashion-mnist", "digits")
CLASSES = 10
SHARES = {"before": 0.3, "joint": 0.4, "plain": 0.3}  # of the minutes: pre-training, joint training, the VAE beside
PROTOCOL = (
    "Trained on the training rows without labels; accuracy (Hungarian), normalized mutual information and adjusted Rand index "
    "on the test rows. Pixels are drawn anew from their grey level in each batch, p(x|z) is Bernoulli, 10 units, as many "
    "Gaussians as classes, fully connected networks. Digits of scikit-learn: a fifth of the rows, drawn by seed 0, are the test. "
    "Along the manifold: a mixture of the places where UMAP lays codes in a plane, 20 neighbours, found by 20,000 rows, in the "
    "one of four layouts whose groups stand out most. "
    "bound: of the test rows, 8 samples, by which the best of the seeds can be chosen without a label. Probes: a logistic "
    "regression and 10 neighbours, learned from 10,000 training rows."
)
COLUMNS = [
    column("data", "Data"),
    column("way", "Clusters by"),
    column("seed", "Seed"),
    column("accuracy", "Accuracy", "%", ".2f"),
    column("information", "NMI", "", ".4f"),
    column("rand", "ARI", "", ".4f"),
    column("used", "Clusters"),
    column("bound", "Bound", "nats", ".2f"),
    column("linear", "Linear probe", "%", ".2f"),
    column("neighbours", "Neighbours", "%", ".2f"),
    column("epochs", "Epochs"),
    column("minutes", "Training", "minutes", ".1f"),
]


def rows_of(name: str) -> tuple[Encoded, Encoded]:
    """Training and test rows, drawn from their grey levels."""
    modality = Image(binarize="dynamic")
    if name == "digits":
        found = load_digits()
        pictures, labels = (found.images * 15.9375).astype(np.uint8), found.target
        order = np.random.default_rng(0).permutation(len(pictures))
        held, kept = order[: len(order) // 5], order[len(order) // 5 :]
        train = modality.fit(pictures[kept]).read(pictures[kept])
        test = modality.read(pictures[held])
        train.labels, test.labels = labels[kept], labels[held]
        return train, test
    train = load(name, "train", modality)
    return train, load(name, "test", train.modality)


def model_of(args: argparse.Namespace) -> LatentModel:
    return LatentModel(latent=Flat(args.size), likelihood=Bernoulli(), network=Mlp(args.width, args.depth))


def settings_of(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    return {
        "batch": args.batch,
        "learning_rate": args.rate,
        "schedule": "cosine",
        "device": args.device,
        "seed": seed,
        "precision": "fp32",
    }


def epochs_within(minutes: float, train: Encoded, args: argparse.Namespace) -> dict[str, int]:
    """Epochs of each training that fit into the minutes, by the time that a second epoch takes."""
    seconds = fit(model_of(args), Elbo(), train, epochs=2, **settings_of(args, 0))["seconds"]
    each = max(seconds[1] - seconds[0] if seconds[1] > seconds[0] else seconds[1], 1e-3)
    return {name: max(2, int(60 * minutes * share / each)) for name, share in SHARES.items()}


def trained(train: Encoded, beta: float, epochs: int, seed: int, args: argparse.Namespace) -> Fitted:
    model = model_of(args)
    fit(model, Elbo(beta=beta), train, epochs=epochs, **settings_of(args, seed))
    return Fitted(model.eval(), train.modality)


def clustered(found: Clusters) -> dict[str, Any]:
    assert found.agreement is not None
    return {
        "accuracy": 100 * found.agreement.accuracy,
        "information": found.agreement.information,
        "rand": found.agreement.rand,
        "used": len(found.clusters),
    }


def probed(found: Probing, name: str = "codes") -> dict[str, Any]:
    one = found.spaces[name]
    return {"linear": 100 * one.linear.value, "neighbours": 100 * one.neighbours.value}


def of_seed(name: str, train: Encoded, test: Encoded, seed: int, args: argparse.Namespace, record: Record) -> None:
    epochs, began = epochs_within(args.minutes, train, args), time.monotonic()

    def add(way: str, fitted: Fitted, by: str, begun: float, many: int) -> None:
        count = None if by == "prior" else CLASSES
        found = clustered(cluster(fitted, test, count, by=by, seed=seed))
        bound = evaluate(fitted, test, samples=8, seed=0).metrics["bound"].value
        told = probed(probe(fitted, train, test=test, few=(), autoencoder=False))
        spent = (time.monotonic() - begun) / 60
        row = {
            "data": name,
            "way": way,
            "seed": seed,
            **found,
            "bound": bound,
            **told,
            "epochs": many,
            "minutes": spent,
        }
        record.add(**row)
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}, flush=True)

    before = trained(train, args.beta, epochs["before"], seed, args)
    add("mixture of codes, before", before, "mixture", began, epochs["before"])
    add("k-means of codes, before", before, "kmeans", began, epochs["before"])
    add("manifold of codes, before", before, "manifold", began, epochs["before"])
    prior = {"type": "Mixture", "components": CLASSES, "covariance": args.covariance}
    settings = {key: value for key, value in settings_of(args, seed).items() if key != "device"}
    joint = refine(before, train, prior, joint=epochs["joint"], begin="manifold", **settings)
    add("prior begun on the manifold, trained jointly", joint, "prior", began, epochs["before"] + epochs["joint"])
    begun = time.monotonic()
    plain = trained(train, 1.0, epochs["plain"], seed, args)
    add("mixture of codes of a VAE", plain, "mixture", begun, epochs["plain"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=NAMES, action="append", help="default: all")
    parser.add_argument("--data", type=Path, help="a folder that holds mnist and fashion-mnist; default: by name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, each seed")
    parser.add_argument("--size", type=int, default=10, help="units of the code")
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--beta", type=float, default=0.1, help="weight of the KL before the mixture is fitted")
    parser.add_argument("--covariance", choices=("diagonal", "full"), default="full")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "features.json")
    args = parser.parse_args()
    if args.data is not None:
        os.environ["LAMBENT_DATA"] = str(args.data)
    title = "Clusters without labels, and what codes tell of them"
    record = Record(args.out, title, PROTOCOL, COLUMNS, ("data", "way", "seed"), args.device)
    for name in args.only or NAMES:
        train, test = rows_of(name)
        for seed in args.seeds:
            of_seed(name, train, test, seed, args, record)


if __name__ == "__main__":
    main()
