"""Anomalies in a table: train on ordinary rows alone, then score rows of both kinds by the bound on log p(x).

    python examples/table.py [TABLE.csv]

The table needs numeric columns and a column Class, 1 for an anomaly. Without an argument it is anomaly/fraud-sample.csv in the
folder that LAMBENT_DATA names: credit-card transactions, a sample of the set of the Université Libre de Bruxelles.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from lambent import VAE


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    usual = Path(os.environ.get("LAMBENT_DATA", ".")) / "anomaly" / "fraud-sample.csv"
    parser.add_argument("table", nargs="?", type=Path, default=usual)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()

    frame = pd.read_csv(options.table)
    anomalous = frame.pop("Class").to_numpy() == 1
    frame = frame.drop(columns=[name for name in frame if name.startswith("Unnamed") or name == "Time"])
    train, ordinary = train_test_split(frame[~anomalous], test_size=0.5, random_state=0)

    vae = VAE(
        latent=4,
        likelihood={"type": "StudentT"},  # heavy tails: a single large number is no anomaly yet
        network={"type": "Mlp", "width": 64},
        epochs=options.epochs,
    ).fit(train)

    test = pd.concat([ordinary, frame[anomalous]])
    truth = np.r_[np.zeros(len(ordinary)), np.ones(int(anomalous.sum()))]
    scores = vae.score_samples(test)
    print(
        f"{len(train)} rows to train on; {len(ordinary)} ordinary rows and {int(truth.sum())} anomalies to tell apart"
    )
    print(
        f"log p(x), median: {np.median(scores[truth == 0]):.1f} nats ordinary, {np.median(scores[truth == 1]):.1f} anomalous"
    )
    print(f"area under the ROC curve: {roc_auc_score(truth, -scores):.3f}")


if __name__ == "__main__":
    main()
