"""The share of a training step that is spent outside the tensor library, for every kind of model.

    python benchmarks/overhead.py

Python's own profiler attributes time to functions; what lies in Lambent's files (and in zuko's, for flows) is ours, the rest
is torch. The profiler slows Python down and not torch, and takes what tensors compute by operators (`a * b`) for the time
of the function that says so: the share is an upper limit.
"""

import argparse
import cProfile
import pstats
from pathlib import Path

from record import RESULTS, Record, column
from speed import bits

import lambent
from lambent import Elbo, Flat, Iwae, Ladder, LatentModel
from lambent.model.latents import Latent
from lambent.model.networks import Mlp
from lambent.model.posteriors import Flow as FlowPosterior
from lambent.model.priors import Flow, Mixture, Vamp
from lambent.objectives import Objective

PROTOCOL = (
    "Mlp of width 512, binary images, batch 128, fp32; three epochs of 80 steps under Python's profiler, after a warm-up. An "
    "upper limit: arithmetic that is written with operators counts as outside, too."
)
COLUMNS = [
    column("kind", "Model"),
    column("step", "Step under the profiler", "ms", ".2f"),
    column("share", "Outside the tensor library, at most", "", ".1%"),
]


def kinds() -> dict[str, tuple[Latent, Objective]]:
    return {
        "Flat, Standard, Elbo": (Flat(16), Elbo()),
        "Mixture prior": (Flat(16, prior=Mixture(10)), Elbo()),
        "Mixture prior, full": (Flat(32, prior=Mixture(50, covariance="full")), Elbo()),
        "Vamp prior": (Flat(16, prior=Vamp(50)), Elbo()),
        "Flow prior": (Flat(16, prior=Flow()), Elbo()),
        "Flow posterior": (Flat(16, posterior=FlowPosterior()), Elbo()),
        "Ladder of 3": (Ladder((8, 16, 32)), Elbo()),
        "Iwae, K = 16": (Flat(16), Iwae(16)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "overhead.json")
    args = parser.parse_args()
    record = Record(args.out, "Time outside the tensor library", PROTOCOL, COLUMNS, ("kind",))
    x = bits(10_240, "cpu")
    for name, (latent, objective) in kinds().items():
        model = LatentModel(latent, lambent.Bernoulli(), Mlp(512))
        settings = {"batch": 128, "precision": "fp32", "progress": False}
        lambent.fit(model, objective, x[:1280], epochs=1, **settings)
        profile = cProfile.Profile()
        profile.enable()
        lambent.fit(model, objective, x, epochs=3, **settings)
        profile.disable()
        times = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
        total = sum(own for _, (_, _, own, _, _) in times)
        outside = sum(own for (file, _, _), (_, _, own, _, _) in times if "/lambent/" in file or "/zuko/" in file)
        row = {"step": 1e3 * total / 240, "share": outside / total}
        record.add(kind=name, **row)
        print(name, row, flush=True)


if __name__ == "__main__":
    main()
