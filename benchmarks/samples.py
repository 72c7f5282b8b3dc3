"""Samples of pictures: one autoencoder for each data set, priors fitted to its codes, and a codebook with a transformer.

    python benchmarks/samples.py --data FOLDER --budget 10                     # minutes for each autoencoder
    python benchmarks/samples.py --data FOLDER --budget 2 --only frey att --device cuda
    python benchmarks/samples.py --data FOLDER --sheets docs/images            # with a sheet of samples for each data set

FOLDER holds `faces/frey.npz`, `faces/att.npz`, `emoji/google.npz` and `fashion-mnist/`; `LAMBENT_DATA` names it, too. The result
file is written after every row.
"""

import argparse
import copy
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
from sample_sets import SETS, Setting
from sheet import SHOWN, save_sheet

from lambent import Elbo, Fitted, Image, LatentModel, fit, fit_prior
from lambent.data.kinds.modality import Encoded
from lambent.data.splitting import take
from lambent.fitted import load as stored
from lambent.metrics.codebook import codebook_usage
from lambent.metrics.samples import space
from lambent.metrics.samples.learning import learned
from lambent.part import Spec
from lambent.tasks.samples import drawing
from lambent.tasks.samples.judge import judged
from lambent.tasks.samples.judgement import MEASURES, SampleJudgement

Bytes = NDArray[np.uint8]

PROTOCOL = (
    "One autoencoder for each data set: Flat of 32 units (emoji: 64) under the standard prior, and the same autoencoder under "
    "other priors, which are fitted to its codes afterwards; and a codebook, whose transformer is fitted afterwards. An "
    "autoencoder is trained for a budget of minutes, a prior of Flat for a third of that; the minutes and epochs that it "
    "became stand in each row, on cores shared with other work. A tenth of the pictures is held out, of Fashion-MNIST the "
    "test set. AT&T at half its size, of Fashion-MNIST 4,000 training pictures drawn at random. Batches of 128, of codebooks "
    "32 (of Frey, AT&T and emoji 128). Codebooks: Finite of 8 · 6 · 5 entries (Frey: 8 · 5 · 5 · 5) and maps of 1/4 of the "
    "picture (AT&T: 1/8); of emoji the models of recipes/emoji/nearest.yaml: Nearest of 512 entries, batches of 64 (the "
    "transformer: 128), a tenth of the training pictures for validation, the transformer by lambent refine. Distances are to "
    "the training pictures, in the feature space that is named, learned from them: of classes where there are labels, else of "
    "views. Reconstructions: training pictures through one draw of their codes. Copycat: training pictures with replacement. "
    "Entries used: of a codebook, by the pictures held out. Times are of drawing and decoding 256 pictures at once."
)
COLUMNS = [
    column("data", "Data"),
    column("row", "Pictures"),
    column("frechet", "Fréchet", "", ".2f"),
    column("frechet_error", "±", "", ".2f"),
    column("of_standard", "Of Standard's", "", ".2f"),
    column("excess", "Excess over reconstructions, of Standard's", "", ".2f"),
    column("kernel", "Kernel", "", ".4f"),
    column("precision", "Precision", "", ".2f"),
    column("recall", "Recall", "", ".2f"),
    column("density", "Density", "", ".2f"),
    column("coverage", "Coverage", "", ".2f"),
    column("sharpness", "Sharpness", "", ".2f"),
    column("nearer_training", "Nearer to training", "", ".2f"),
    column("gap", "Likelihood gap", "nats per feature", ".2f"),
    column("usage", "Entries used", "%", ".0f"),
    column("milliseconds", "A sample", "ms", ".2f"),
    column("minutes", "Training", "minutes", ".1f"),
    column("epochs", "Epochs"),
    column("count", "How many"),
    column("space", "Feature space"),
    column("network", "Network"),
    column("device", "Device"),
    column("seed", "Seed"),
]
PRIORS: dict[str, Spec] = {
    "Mixture": {"type": "Mixture", "components": 50, "covariance": "full"},
    "Flow": {"type": "Flow", "transforms": 6, "width": 128},
    "Diffusion": {"type": "Diffusion"},
}
NETWORKS: dict[str, Spec] = {
    "Conv": {"type": "Conv", "channels": [32, 64, 128]},
    "ResNet": {"type": "ResNet", "channels": [32, 64, 128]},
    "Mlp": {"type": "Mlp", "width": 512},
}
CODED: dict[int, Spec] = {
    4: {"type": "Conv", "channels": [48, 96]},
    8: {"type": "Conv", "channels": [32, 64, 128]},
}  # the network of a codebook by how much smaller its map is
BATCH = {"Flat": 128, "Codebook": 32}
MOST = 10_000  # training pictures that samples are compared with
TIMED = 512  # by which the time of an epoch is told


@dataclass
class Trial:
    """One data set: its pictures, its feature space, and what was measured so far."""

    name: str
    setting: Setting
    train: Encoded
    unseen: Encoded
    args: argparse.Namespace
    record: Record
    standard: SampleJudgement | None = None
    sheet: dict[str, Bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        order = np.random.default_rng(0).permutation(len(self.train))
        known = take(self.train, np.sort(order[:MOST]))
        self.few = take(self.train, np.sort(order[:TIMED]))
        assert isinstance(self.train.modality, Image)
        self.real = np.asarray(self.train.modality.pictures(known.x))
        self.held = np.asarray(self.train.modality.pictures(self.unseen.x[:MOST]))
        path = self.args.keep / f"features-{self.name}.safetensors"
        if not path.exists():
            learned(self.real, known.labels, self.args.seed).save(path)
        self.space = space.opened(path)
        self.sheet["training pictures"] = self.real[np.random.default_rng(1).permutation(len(self.real))[:SHOWN]]

    def affordable(self, seconds: list[float | None], minutes: float) -> int:
        """How many epochs over all rows fit into so many minutes, by the second of two epochs over a few; at least 3."""
        first, second = seconds
        assert first is not None
        assert second is not None
        each = max(1e-3, second - first) * len(self.train) / len(self.few)
        return max(3, int(minutes * 60 / each))

    def judged(self, fitted: Fitted) -> tuple[SampleJudgement, float]:
        """The measures of so many samples, and the milliseconds that one takes."""
        drawing.samples(fitted, 256, 1)
        began = time.perf_counter()
        drawing.samples(fitted, 256, 2)
        each = (time.perf_counter() - began) / 256 * 1000
        sets = {
            "generated": drawing.samples(fitted, self.args.count, self.args.seed),
            "reconstructions": drawing.reconstructions(fitted, self.train, self.args.count, self.args.seed),
            "holdout": self.held,
        }
        found = judged(self.real, sets, None, self.space, self.args.seed)
        again = sets["reconstructions"]
        self.again = again[np.random.default_rng(1).permutation(len(again))[:SHOWN]]
        self.drawn = sets["generated"][:SHOWN]
        return found, each

    def told(self, found: SampleJudgement, own: str, row: str, **more: Any) -> None:
        """Add one row of the table: a set of the judgement under a name of its own."""
        numbers = {name: _number(one.value) for name, one in found.sets[own].items() if name in MEASURES}
        added = {
            "data": self.name,
            "row": row,
            **numbers,
            "frechet_error": _number(found.sets[own]["frechet"].error),
            "count": found.rows[own],
            "space": found.space,
            "network": self.args.network,
            "device": self.args.device,
            "seed": self.args.seed,
            **more,
        }
        self.record.add(**added)
        print(json.dumps(added, ensure_ascii=False), flush=True)

    def beside(self, found: SampleJudgement) -> None:
        """The rows that no model makes."""
        for own, row in (("holdout", "holdout"), ("copycat", "copycat"), ("independent", "independent pixels")):
            self.told(found, own, row)

    def shown(self) -> None:
        """All pictures so far on one sheet, where sheets are asked for."""
        if self.args.sheets is not None:
            save_sheet(self.args.sheets / f"samples-{self.name}.png", self.sheet)

    def compared(self, found: SampleJudgement, best: str) -> dict[str, float]:
        """The Fréchet distance over Standard's, and of what exceeds the reconstructions' own the same share."""
        if self.standard is None:
            return {}
        own, standard = found.sets["generated"]["frechet"], self.standard.sets["generated"]["frechet"]
        floor, usual = found.sets[best]["frechet"], self.standard.sets[best]["frechet"]
        return {"of_standard": own / standard, "excess": (own - floor) / (standard - usual)}


def trained(trial: Trial, name: str, latent: Spec, network: Spec, minutes: float) -> tuple[Fitted, int, float]:
    """An autoencoder trained for about so many minutes, as many epochs as fit by the time of a few rows; or the kept one."""
    path = trial.args.keep / f"{trial.name}-{name}.safetensors"
    if trial.args.kept and path.exists():
        fitted = stored(path, trial.args.device)
        return fitted, fitted.provenance["epochs"], fitted.provenance["minutes"]
    parts = trial.train.modality.defaults()
    spec: Spec = {"type": "LatentModel", "latent": latent, "likelihood": parts["likelihood"], "network": network}
    how = {
        "seed": trial.args.seed, "device": trial.args.device, "batch": BATCH[latent["type"]], "learning_rate": 2e-3,
        "schedule": "cosine", "warmup": 0.02, "average": 0.99,
    }  # fmt: skip
    history = fit(LatentModel.from_spec(spec), Elbo(), trial.few, epochs=2, **how)
    epochs = trial.affordable(history["seconds"], minutes)
    model = LatentModel.from_spec(spec)
    began = time.perf_counter()
    fit(model, Elbo(), trial.train, epochs=epochs, **how)
    facts = {"epochs": epochs, "minutes": (time.perf_counter() - began) / 60}
    fitted = Fitted(model.eval(), trial.train.modality, facts)
    fitted.save(path)
    return fitted, epochs, facts["minutes"]


def refined(fitted: Fitted, trial: Trial, prior: Spec, minutes: float) -> tuple[Fitted, int, float]:
    """The same autoencoder under another prior, fitted to its codes for about so many minutes; or the kept one."""
    path = trial.args.keep / f"{trial.name}-{type(fitted.model.latent).__name__}-{prior['type']}.safetensors"
    if trial.args.kept and path.exists():
        other = stored(path, trial.args.device)
        return other, other.provenance["refined_epochs"], other.provenance["refined_minutes"]
    batch = BATCH[type(fitted.model.latent).__name__]
    how = {"seed": trial.args.seed, "batch": batch, "learning_rate": 2e-3, "schedule": "cosine"}
    tried = fit_prior(copy.deepcopy(fitted), trial.few, prior, epochs=2, **how)
    epochs = trial.affordable(tried["seconds"], minutes)
    other = copy.deepcopy(fitted)
    began = time.perf_counter()
    fit_prior(other, trial.train, prior, epochs=epochs, average=0.99, **how)
    other.model.eval()
    took = (time.perf_counter() - began) / 60
    other.provenance |= {"refined_epochs": epochs, "refined_minutes": took}
    other.save(path)
    return other, epochs, took


def vectors(trial: Trial) -> None:
    """Flat under Standard, and under every other prior there is."""
    budget = trial.args.budget
    network = NETWORKS[trial.args.network]
    latent: Spec = {"type": "Flat", "size": trial.setting.units, "prior": {"type": "Standard"}}
    fitted, epochs, minutes = trained(trial, "Flat", latent, network, budget)
    found, each = trial.judged(fitted)
    trial.standard = found
    trial.beside(found)
    trial.told(found, "reconstructions", "reconstructions, Flat")
    trial.sheet["reconstructions"], trial.sheet["Standard"] = trial.again, trial.drawn
    trial.told(
        found, "generated", "Standard", milliseconds=each, minutes=minutes, epochs=epochs,
        **trial.compared(found, "reconstructions"),
    )  # fmt: skip
    for name in () if trial.args.codes else PRIORS:
        other, epochs, minutes = refined(fitted, trial, PRIORS[name], budget / 3)
        found, each = trial.judged(other)
        trial.sheet[name] = trial.drawn
        trial.told(
            found, "generated", name, milliseconds=each, minutes=minutes, epochs=epochs,
            **trial.compared(found, "reconstructions"),
        )  # fmt: skip
        trial.shown()


def codes(trial: Trial) -> None:
    """A codebook, and the transformer over its codes."""
    latent: Spec = {"type": "Codebook", "factor": trial.setting.factor}
    network, budget = CODED[trial.setting.factor], trial.args.budget
    for quantizer in trial.setting.beside:
        kind = quantizer["type"]
        fitted, epochs, minutes = trained(trial, f"Codebook-{kind}", latent | {"quantizer": quantizer}, network, budget)
        found, _ = trial.judged(fitted)
        trial.told(
            found, "reconstructions", f"reconstructions, Codebook of {kind}", network=network["type"], minutes=minutes,
            epochs=epochs, usage=used(fitted, trial),
        )  # fmt: skip
    latent["quantizer"] = trial.setting.quantizer
    fitted, epochs, minutes = trained(trial, "Codebook", latent, network, budget)
    prior: Spec = {"type": "Transformer", "width": 96, "depth": 3}
    other, more, longer = refined(fitted, trial, prior, trial.args.budget)
    found, each = trial.judged(other)
    kind = latent["quantizer"]["type"]
    trial.told(
        found, "reconstructions", f"reconstructions, Codebook of {kind}", network=network["type"], minutes=minutes,
        epochs=epochs, usage=used(fitted, trial),
    )  # fmt: skip
    trial.sheet["reconstructions, Codebook"], trial.sheet["Codebook + Transformer"] = trial.again, trial.drawn
    trial.told(
        found, "generated", "Codebook + Transformer", network=network["type"], milliseconds=each, minutes=minutes + longer,
        epochs=f"{epochs} + {more}", **trial.compared(found, "reconstructions"),
    )  # fmt: skip


def used(fitted: Fitted, trial: Trial) -> float | None:
    """The share of the codebook's entries that the pictures held out use, in percent."""
    usage, _ = codebook_usage(fitted.model, fitted.rows(trial.unseen).x)
    return None if usage.share is None else 100 * usage.share


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LAMBENT_DATA"))
    parser.add_argument("--only", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--budget", type=float, default=10, help="minutes of training for each autoencoder")
    parser.add_argument("--count", type=int, default=2000, help="samples of each row")
    parser.add_argument("--rows", type=int, default=10**9, help="training pictures at most, drawn at random")
    parser.add_argument("--network", choices=list(NETWORKS), default="ResNet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, default=Path("runs/samples"), help="where feature spaces and autoencoders are kept"
    )
    parser.add_argument("--kept", action="store_true", help="take what was kept, and train only what is missing")
    parser.add_argument("--codes", action="store_true", help="measure Standard and the codebook alone")
    parser.add_argument("--sheets", type=Path, help="a folder for the sheets of samples")
    parser.add_argument("--out", type=Path, default=RESULTS / "samples.json")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data: name the folder with the data")
    args.data = Path(args.data)
    record = Record(args.out, "Samples", PROTOCOL, COLUMNS, ("data", "row", "network", "device", "seed"), args.device)
    for name in args.only:
        torch.manual_seed(args.seed)
        train, unseen = SETS[name].read(args.data)
        if len(train) > args.rows:
            train = take(train, np.sort(np.random.default_rng(0).permutation(len(train))[: args.rows]))
        trial = Trial(name, SETS[name], train, unseen, args=args, record=record)
        vectors(trial)
        codes(trial)
        trial.shown()


if __name__ == "__main__":
    main()
