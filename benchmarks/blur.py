"""Blur: what each cure of it is worth, one change at a time, on emoji of 32 × 32.

    python benchmarks/blur.py --data FOLDER --minutes 20                          # of training for each cure
    python benchmarks/blur.py --data FOLDER --epochs 200                          # the same for each, however fast
    python benchmarks/blur.py --data FOLDER --minutes 2 --only "VAE-GAN" "Grid"
    python benchmarks/blur.py --data FOLDER --minutes 20 --sheets docs/images     # with two sheets of pictures

FOLDER holds `emoji/google.npz`; `LAMBENT_DATA` names it, too. The result file is written after every cure, and the pictures of
each are kept, so that runs of single cures make one table and one sheet.
"""

import argparse
import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import RESULTS, Record, column
from sample_sets import SETS
from sheet import SHOWN, save_sheet

from lambent import Fitted, LatentModel, Objective, evaluate, fit, fit_prior
from lambent.cli.verbs.affording import unlearned
from lambent.data.kinds.modality import Encoded
from lambent.data.splitting import take
from lambent.metrics.samples import space
from lambent.metrics.samples.learning import learned
from lambent.part import Spec
from lambent.tasks.samples import drawing
from lambent.tasks.samples.judge import judged
from lambent.tasks.samples.judgement import SampleJudgement

Bytes = NDArray[np.uint8]

PROTOCOL = (
    "One model of emoji for each cure, all of the same network (ResNet of 16, 32 and 64 channels; the codebook's Conv of "
    "24 and 48, whose maps are not as small), a code of 64 numbers unless the cure is another code, and the same epochs or "
    "minutes of training by Adam at 0.001, falling by half a cosine, gradients clipped at 200 as in the presets, batches of 32, "
    "weights averaged; the minutes and epochs that it became stand in each row. A tenth of the pictures is held out. "
    "KL, RMSE (of bytes, 0 … 255) "
    "and the sharpness of reconstructions are of these, each through one draw of its code. Sharpness: energy above a "
    "quarter of a cycle per pixel over that of the training pictures, 1 for as sharp; the held-out pictures have the row of "
    "their own. Fréchet distances are to the training pictures, in a feature space learned from them by another seed than "
    "any likelihood uses; that of Perceptual is of the same kind, so look at its other columns, too. Samples of the model "
    "as it was trained; and, where the code is one vector, after a Mixture of 50 components with whole covariances was "
    "fitted to its codes (the codebook: a Transformer, for a third of that training)."
)
COLUMNS = [
    column("cure", "Cure"),
    column("kl", "KL", "nats", ".1f"),
    column("rmse", "RMSE", "", ".1f"),
    column("sharpness_again", "Sharpness of reconstructions", "", ".2f"),
    column("frechet_again", "Fréchet of reconstructions", "", ".2f"),
    column("sharpness", "Sharpness of samples", "", ".2f"),
    column("frechet", "Fréchet of samples", "", ".2f"),
    column("frechet_error", "±", "", ".2f"),
    column("sharpness_fitted", "Sharpness, prior fitted", "", ".2f"),
    column("frechet_fitted", "Fréchet, prior fitted", "", ".2f"),
    column("recall", "Recall", "", ".2f"),
    column("minutes", "Training", "minutes", ".1f"),
    column("epochs", "Epochs"),
    column("space", "Feature space"),
    column("device", "Device"),
    column("seed", "Seed"),
]
FLAT: Spec = {"type": "Flat", "size": 64}
LEARNED: Spec = {"type": "Gaussian", "scale": "one"}
RESNET: Spec = {"type": "ResNet", "channels": [16, 32, 64]}
MIXTURE: Spec = {"type": "Mixture", "components": 50, "covariance": "full"}
TIMED = 512  # pictures by which the time of an epoch is told


@dataclass(frozen=True)
class Cure:
    """What is changed about a Gaussian of learned scale over one vector of codes, trained by the ELBO."""

    likelihood: Spec = field(default_factory=lambda: LEARNED)
    latent: Spec = field(default_factory=lambda: FLAT)
    objective: Spec = field(default_factory=lambda: {"type": "Elbo"})
    network: Spec = field(default_factory=lambda: RESNET)
    batch: int = 32
    prior: Spec | None = field(default_factory=lambda: MIXTURE)  # fitted afterwards


CURES: dict[str, Cure] = {
    "Gaussian, σ = 1": Cure({"type": "Gaussian", "scale": "fixed", "value": 1.0}),
    "Gaussian, σ = 0.1": Cure({"type": "Gaussian", "scale": "fixed", "value": 0.1}),
    "Gaussian, σ learned": Cure(),
    "Gaussian, σ predicted": Cure({"type": "Gaussian", "scale": "predicted"}),
    "Logistic": Cure({"type": "DiscretizedLogistics"}),
    "Mixture of 5 logistics": Cure({"type": "DiscretizedLogistics", "components": 5}),
    "β = 0.1": Cure(objective={"type": "Elbo", "beta": 0.1}),
    "β = 4": Cure(objective={"type": "Elbo", "beta": 4.0}),
    "Perceptual": Cure({"type": "Perceptual"}),
    "Perceptual, λ = 20": Cure({"type": "Perceptual", "weight": 20.0}),
    "Adversarial": Cure(objective={"type": "Adversarial"}),
    "VAE-GAN": Cure(objective={"type": "VaeGan"}),
    "Perceptual + adversarial": Cure({"type": "Perceptual"}, objective={"type": "Adversarial"}),
    "Grid": Cure(latent={"type": "Grid", "layers": "1x1 4x2 8x2"}, prior=None),
    "Codebook": Cure(
        latent={"type": "Codebook", "quantizer": {"type": "Nearest", "entries": 512, "size": 16}, "prior": "Uniform"},
        network={"type": "Conv", "channels": [24, 48]},
        prior={"type": "Transformer", "width": 96, "depth": 3},
    ),
}


@dataclass
class Trial:
    """The pictures, the space that they are judged in, and where what was measured goes."""

    train: Encoded
    unseen: Encoded
    args: argparse.Namespace
    record: Record

    def __post_init__(self) -> None:
        self.few = take(self.train, np.sort(np.random.default_rng(0).permutation(len(self.train))[:TIMED]))
        self.real, self.held = _pictures(self.train), _pictures(self.unseen)
        path = self.args.keep / "features.safetensors"
        if not path.exists():
            self.args.keep.mkdir(parents=True, exist_ok=True)
            learned(self.real, None, self.args.seed + 1).save(path)
        self.space = space.opened(path)

    def judged(self, samples: Bytes, again: Bytes | None = None) -> SampleJudgement:
        sets = {"generated": samples, "holdout": self.held}
        sets |= {} if again is None else {"reconstructions": again}
        return judged(self.real, sets, None, self.space, self.args.seed)

    def trained(self, cure: Cure) -> tuple[Fitted, dict[str, Any]]:
        """A model trained for about so many minutes, as many epochs as fit by the time of a few pictures."""
        spec: Spec = {
            "type": "LatentModel", "latent": cure.latent, "likelihood": self._keeping(cure.likelihood), "network": cure.network,
        }  # fmt: skip
        how = {
            "seed": self.args.seed, "device": self.args.device, "batch": cure.batch, "learning_rate": 1e-3,
            "schedule": "cosine", "warmup": 0.02, "average": 0.99, "clip": 200.0,
        }  # fmt: skip
        epochs = self.args.epochs or self._epochs_of(spec, cure, how)
        model, began = LatentModel.from_spec(spec), time.perf_counter()
        fit(model, Objective.from_spec(cure.objective), self.train, epochs=epochs, **how)
        return Fitted(model.eval(), self.train.modality), {
            "epochs": epochs, "minutes": (time.perf_counter() - began) / 60,
        }  # fmt: skip

    def _epochs_of(self, spec: Spec, cure: Cure, how: dict[str, Any]) -> int:
        """As many as fit into the minutes."""
        timed = LatentModel.from_spec(unlearned(spec))
        history = fit(timed, Objective.from_spec(cure.objective), self.few, epochs=2, **how)
        return self._affordable(history["seconds"], self.args.minutes)

    def fitted_prior(self, fitted: Fitted, cure: Cure) -> None:
        """Another prior for the codes, by a third of the minutes where it learns in steps."""
        assert cure.prior is not None
        how = {"seed": self.args.seed, "batch": cure.batch, "learning_rate": 2e-3, "schedule": "cosine"}
        epochs = 20 if cure.prior["type"] != "Transformer" or not self.args.epochs else max(3, self.args.epochs // 3)
        if cure.prior["type"] == "Transformer" and not self.args.epochs:
            tried = Fitted(LatentModel.from_spec(fitted.model.spec()).setup(fitted.model.event_shape), fitted.modality)
            tried.model.load_state_dict(fitted.model.state_dict())
            tried.model.to(fitted.model.device)
            epochs = self._affordable(
                fit_prior(tried, self.few, cure.prior, epochs=2, **how)["seconds"], self.args.minutes / 3
            )
        fit_prior(fitted, self.train, cure.prior, epochs=epochs, average=0.99, **how)
        fitted.model.eval()

    def _keeping(self, likelihood: Spec) -> Spec:
        """Features are learned once for all likelihoods that see by them."""
        known = (
            {"features": str(self.args.keep / "perceptual.safetensors")} if likelihood["type"] == "Perceptual" else {}
        )
        return likelihood | known

    def _affordable(self, seconds: list[float | None], minutes: float) -> int:
        first, second = seconds
        assert first is not None
        assert second is not None
        return max(3, int(minutes * 60 / (max(1e-3, second - first) * len(self.train) / len(self.few))))


def tried(name: str, trial: Trial) -> None:
    """Train one model, and measure how it blurs."""
    cure, count, seed = CURES[name], trial.args.count, trial.args.seed
    fitted, facts = trial.trained(cure)
    again = drawing.reconstructions(fitted, trial.unseen, len(trial.unseen), seed)
    samples = drawing.samples(fitted, count, seed)
    found = trial.judged(samples, again)
    own, back = found.sets["generated"], found.sets["reconstructions"]
    numbers: dict[str, Any] = {
        "kl": evaluate(fitted, trial.unseen, samples=1).metrics["kl"].value,
        "rmse": math.sqrt(float(np.square(again.astype(np.float64) - trial.held).mean())),
        "sharpness_again": back["sharpness"].value,
        "frechet_again": back["frechet"].value,
        "sharpness": own["sharpness"].value,
        "frechet": own["frechet"].value,
        "frechet_error": own["frechet"].error,
        "recall": own["recall"].value,
    }
    if cure.prior is not None:
        trial.fitted_prior(fitted, cure)
        samples = drawing.samples(fitted, count, seed)
        later = trial.judged(samples).sets["generated"]
        numbers |= {"sharpness_fitted": later["sharpness"].value, "frechet_fitted": later["frechet"].value}
    np.savez_compressed(trial.args.keep / f"{_file_of(name)}.npz", again=again[:SHOWN], samples=samples[:SHOWN])
    beside = found.sets["holdout"]
    held = {"sharpness_again": beside["sharpness"].value, "frechet_again": beside["frechet"].value}
    _told(trial, "Held-out pictures themselves", held | {"rmse": 0.0})
    _told(trial, name, numbers | facts)


def _told(trial: Trial, cure: str, numbers: dict[str, Any]) -> None:
    known = {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    row = {"cure": cure, **known, "space": trial.space.name, "device": trial.args.device, "seed": trial.args.seed}
    trial.record.add(**row)
    print(json.dumps(row, ensure_ascii=False), flush=True)


def shown(trial: Trial) -> None:
    """The pictures of all cures that were tried so far, two lines each: reconstructions under the originals, and samples."""
    again, samples = {"held-out pictures": trial.held[:SHOWN]}, {"training pictures": trial.real[:SHOWN]}
    for name in CURES:
        path = trial.args.keep / f"{_file_of(name)}.npz"
        if path.exists():
            with np.load(path) as kept:
                again[name], samples[name] = kept["again"], kept["samples"]
    save_sheet(trial.args.sheets / "blur-reconstructions.png", again)
    save_sheet(trial.args.sheets / "blur-samples.png", samples)


def _pictures(rows: Encoded) -> Bytes:
    return np.asarray(rows.modality.pictures(rows.x))


def _file_of(cure: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in cure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LAMBENT_DATA"))
    parser.add_argument("--only", nargs="*", default=list(CURES), choices=list(CURES), metavar="CURE")
    parser.add_argument("--minutes", type=float, default=20, help="of training for each cure")
    parser.add_argument("--epochs", type=int, help="of training for each cure, in the place of minutes")
    parser.add_argument("--count", type=int, default=2000, help="samples of each")
    parser.add_argument("--rows", type=int, default=10**9, help="training pictures at most")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, default=Path("runs/blur"), help="where feature spaces and pictures are kept"
    )
    parser.add_argument("--sheets", type=Path, help="a folder for the sheets of pictures")
    parser.add_argument("--out", type=Path, default=RESULTS / "blur.json")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data: name the folder with the data")
    torch.manual_seed(args.seed)
    train, unseen = SETS["emoji"].read(Path(args.data))
    train = take(train, np.arange(min(len(train), args.rows)))
    record = Record(args.out, "Blur", PROTOCOL, COLUMNS, ("cure", "device", "seed"), args.device)
    trial = Trial(train, unseen, args, record)
    for name in args.only:
        tried(name, trial)
        if args.sheets is not None:
            shown(trial)


if __name__ == "__main__":
    main()
