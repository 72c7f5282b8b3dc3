"""Style: emoji of one style in the other, beside what needs no model and a model that was trained on the pairs.

    python benchmarks/style.py --data FOLDER                                   # every recipe of recipes/style-*.yaml
    python benchmarks/style.py --data FOLDER --only style-invariant --epochs 5 --seeds 0 1
    python benchmarks/style.py --data FOLDER --sheets docs/images              # with a sheet for each recipe

FOLDER holds `emoji/google.npz` and `emoji/twitter.npz`; `LAMBENT_DATA` names it, too. Runs are kept in `--keep` and taken from
there again. The result file is written after every row.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture
from record import RESULTS, Record, column
from sheet import WIDE, save_sheet

from lambent.cli import main as command
from lambent.fitted import Fitted
from lambent.fitted import load as stored
from lambent.metrics.probe import Probe
from lambent.metrics.samples import space
from lambent.metrics.samples.learning import learned
from lambent.model import LatentModel
from lambent.model.trace import from_posterior, mean
from lambent.tasks.explore import encode
from lambent.tasks.judge_style import MEASURES, StyleJudge, StyleJudgement
from lambent.tasks.restyle import restyle, styles_of

Bytes = NDArray[np.uint8]

HELD = 500  # pairs that no model has seen in either style
WATCHED = 0.1  # of the other pairs, by which the model of pairs is stopped
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # of the regression on pairs
HIDDEN = 64  # units of the probe with a layer
RECIPES = Path(__file__).parent / "recipes"
NAMES = ("google", "twitter")
PAIRS = {
    "latent": {"type": "Grid", "layers": "4x1 8x1 16x1", "channels": [32, 16, 8], "width": [96, 64, 48]},
    "likelihood": {"type": "Gaussian"},
    "network": {"type": "Conv", "channels": [32, 64, 96]},
}
PROTOCOL = (
    "3,786 emoji, each in the styles of Google and of Twitter, 32 × 32. 500 pairs are held out in both styles; of the others all "
    "pictures are trained on with the name of their style, and nothing says which belong together. Each held-out picture is "
    "restyled and compared with its true partner. Pixels: root mean square difference in shares of white; Features: the same "
    "in standard deviations of a feature space learned from the training pictures without labels. Partner found: how often the "
    "nearest of the 500 true partners is its own: by features, by pixels, and by content, features in which the pairs of "
    "training lie near each other; there a picture unchanged, which keeps all content, shows what can be reached. Style: how "
    "often a classifier, learned from the training pictures, takes it for the other style; of true partners it says as much "
    "in the row of that name. Way: how far from the picture unchanged to the better of those trained on pairs. Probe: how "
    "often the style of a held-out picture is told from its content code, by a plane and by a network with a layer of 64 "
    "units, learned from training pictures; chance is 50 %. Nearest: of the training pictures of the other style. Colours: "
    "mean and deviation in lαβ. No detail: the decoder's picture alone (--detail 0); the other row of a recipe carries the share "
    "that is the default. Trained on pairs: −log p(partner | z ~ q(z | picture)) + KL by the pairs themselves, a tenth "
    "of which stop it; and, linear, the ridge regression of the partner's pixels on the picture's, its penalty chosen by the "
    "same tenth. All settings but the epochs, the share of detail, too, were chosen on 300 of the training pairs, by models "
    "that had not seen these. Epochs are few for want of time, and there is one seed; of style-matched 15 were measured, too, and "
    "come 57 and 60 % of the way. Minutes are of one core; those of the network on pairs are by the clock, on a machine that "
    "others used."
)
COLUMNS = [
    column("direction", "From, to"),
    column("row", "Pictures"),
    column("pixels", "Pixels", "", ".4f"),
    column("pixels_error", "±", "", ".4f"),
    column("features", "Features", "", ".3f"),
    column("retrieval", "Partner found", "%", ".1f"),
    column("retrieval_pixels", "By pixels", "%", ".1f"),
    column("content", "By content", "%", ".1f"),
    column("style", "Style", "%", ".1f"),
    column("way", "Way", "%", ".0f"),
    column("probe", "Probe", "%", ".1f"),
    column("probe_layered", "Probe, layered", "%", ".1f"),
    column("minutes", "Training", "minutes", ".1f"),
    column("epochs", "Epochs"),
    column("device", "Device"),
    column("seed", "Seed"),
]


@dataclass
class Emoji:
    """Pictures of both styles, row by row partners: held out, and those that are trained on."""

    held: dict[str, Bytes]
    kept: dict[str, Bytes]

    @classmethod
    def of(cls, data: Path) -> "Emoji":
        every = {name: np.load(data / "emoji" / f"{name}.npz")["x"] for name in NAMES}
        order = np.random.default_rng(0).permutation(len(every[NAMES[0]]))
        return cls(*({name: x[part] for name, x in every.items()} for part in (order[:HELD], order[HELD:])))

    def folder(self, place: Path) -> Path:
        """The training pictures as files in a folder for each style, as `lambent train` takes them."""
        for name, pictures in self.kept.items():
            (place / name).mkdir(parents=True, exist_ok=True)
            for row, picture in enumerate(pictures):
                path = place / name / f"{row:05}.png"
                if not path.exists():
                    Picture.fromarray(picture).save(path)
        return place


@dataclass
class Trial:
    """What is measured, and what was measured so far."""

    emoji: Emoji
    judge: StyleJudge
    record: Record
    args: argparse.Namespace
    pairs: dict[tuple[str, str], Bytes] = field(default_factory=dict)

    def judged(self, own: str, other: str, sets: dict[str, Bytes]) -> StyleJudgement:
        beside = {"trained on pairs": self.pairs[own, other]} if (own, other) in self.pairs else {}
        held = self.emoji.held
        return self.judge.judged(own, other, held[own], held[other], {**sets, **beside})

    def told(self, found: StyleJudgement, own: str, other: str, name: str, row: str, **more: Any) -> None:
        """One row of the table."""
        measured = {measure: found.sets[name][measure] for measure in MEASURES}
        shares = {
            measure: 100 * measured[measure].value for measure in ("retrieval", "retrieval_pixels", "content", "style")
        }
        way = found.gained(name, "trained on pairs") if "trained on pairs" in found.sets else None
        added = {
            "direction": f"{own} → {other}",
            "row": row,
            "pixels": measured["pixels"].value,
            "pixels_error": measured["pixels"].error,
            "features": measured["features"].value,
            **shares,
            "way": None if way is None else 100 * way,
            "device": self.args.device,
            **more,
        }
        self.record.add(**added)
        print(json.dumps(added, ensure_ascii=False), flush=True)


def trained(recipe: Path, folder: Path, args: argparse.Namespace, seed: int) -> tuple[Fitted, float]:
    """The run of a recipe on the training pictures, or the kept one, and the minutes that it took."""
    out = args.keep / f"{recipe.stem}-{seed}"
    took = out / "minutes.txt"
    if not took.exists():
        epochs = [] if args.epochs is None else ["--epochs", str(args.epochs)]
        words = [
            "train",
            str(folder),
            "--config",
            str(recipe),
            "--out",
            str(out),
            "--seed",
            str(seed),
            "--force",
            *epochs,
        ]
        began = time.process_time()
        if command([*words, "--device", args.device]):
            raise SystemExit(f"{recipe.stem} could not be trained")
        took.write_text(str((time.process_time() - began) / 60))
    return stored(out, args.device), float(took.read_text())


def measured(trial: Trial, recipe: Path, folder: Path, seed: int) -> None:
    """The rows of a recipe, in both directions."""
    fitted, minutes = trained(recipe, folder, trial.args, seed)
    shares = probes(trial.emoji, fitted)
    sheet: dict[str, Bytes] = {}
    for own, other in (NAMES, NAMES[::-1]):
        held = trial.emoji.held
        asked: dict[str, Any] = {"to": other, **stated(fitted, own)}
        rows = {recipe.stem: {}, f"{recipe.stem}, no detail": {"detail": 0.0}}
        made = {row: fitted.pictures(restyle(fitted, held[own], **asked, **more).x) for row, more in rows.items()}
        found = trial.judged(own, other, made)
        epochs = fitted.provenance.get("fit", {}).get("epochs")
        for row in rows:
            trial.told(found, own, other, row, row, minutes=minutes, epochs=epochs, seed=seed, **shares)
        shown = np.random.default_rng(1).permutation(HELD)[:WIDE]
        sheet |= {
            f"{own}: {row}": pictures[shown]
            for row, pictures in {"source": held[own], **made, "partner": held[other]}.items()
        }
    if trial.args.sheets is not None:
        save_sheet(trial.args.sheets / f"{recipe.stem}.png", sheet)


def stated(fitted: Fitted, own: str) -> dict[str, str]:
    """The pictures' own style, for models that read them under it."""
    return {} if fitted.model.latent.grouped else {"own": own}


def probes(emoji: Emoji, fitted: Fitted) -> dict[str, float]:
    """How often a plane, and a network with a layer, tell the style of held-out pictures from their content codes, in percent."""

    def codes(pictures: dict[str, Bytes]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        parts = []
        for name in NAMES:
            rows = fitted.rows(pictures[name], given={"label": name})
            context = None if fitted.model.latent.grouped else rows.context
            content = styles_of(fitted).content(encode(fitted, rows.x, context))
            parts.append(np.concatenate([code.flatten(1).double().numpy() for code in content], 1))
        return np.concatenate(parts), np.repeat([0, 1], [len(part) for part in parts])

    known, unseen = codes(emoji.kept), codes(emoji.held)
    return {
        "probe": 100 * Probe(*known).right(*unseen).value,
        "probe_layered": 100 * Probe(*known, hidden=HIDDEN).right(*unseen).value,
    }


def regressed(trial: Trial, own: str, other: str) -> tuple[Bytes, float]:
    """What ridge regression on the pairs makes of the held-out pictures, and its squared error on the watched ones, in levels."""
    x, y = (
        trial.emoji.kept[name].reshape(len(trial.emoji.kept[name]), -1) / np.float32(255) - 1 for name in (own, other)
    )
    watched = int(WATCHED * len(x))
    products, crossed = x[watched:].T @ x[watched:], x[watched:].T @ y[watched:]
    found = []
    for penalty in PENALTIES:
        weights = np.linalg.solve(products + penalty * np.eye(len(products), dtype=np.float32), crossed)
        found.append((float(((_levels(x[:watched] @ weights) - _levels(y[:watched])) ** 2).mean()), weights))
    error, weights = min(found, key=lambda pair: pair[0])
    held = trial.emoji.held[own]
    made = _levels((held.reshape(len(held), -1) / np.float32(255) - 1) @ weights)
    return made.round().astype(np.uint8).reshape(held.shape), error


def _levels(shifted: NDArray[np.float32]) -> NDArray[np.float32]:
    return (255 * (shifted + 1)).clip(0, 255)


def paired(trial: Trial, own: str, other: str) -> tuple[Bytes, int, float, float]:
    """What a model makes of the held-out pictures that was trained on the pairs; its epochs, minutes and error as above."""
    args = trial.args
    torch.manual_seed(0)
    x, y = (torch.from_numpy(trial.emoji.kept[name]).permute(0, 3, 1, 2).contiguous() for name in (own, other))
    model: LatentModel = LatentModel.from_spec({"type": "LatentModel", **PAIRS}).setup(tuple(x.shape[1:]), y)
    model.to(args.device)
    watched = int(WATCHED * len(x))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    generator = torch.Generator(args.device).manual_seed(0)
    best, state, at, began = np.inf, model.state_dict(), 0, time.perf_counter()
    for epoch in range(args.pair_epochs):
        model.train()
        for batch in (watched + torch.randperm(len(x) - watched)).split(64):
            trace = model.trace(x[batch].to(args.device), draw=from_posterior(generator))
            target = model.likelihood.observe(y[batch].to(args.device))
            loss = (trace.kl - trace.px.log_prob(target)).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1000.0)
            optimizer.step()
        made = _through(model.eval(), x[:watched], args.device)
        error = float(((made - y[:watched].float()) ** 2).mean())
        if error < best:
            best, at = error, epoch + 1
            state = {name: value.clone() for name, value in model.state_dict().items()}
        elif epoch + 1 - at >= args.patience:
            break
    model.load_state_dict(state)
    source = torch.from_numpy(trial.emoji.held[own]).permute(0, 3, 1, 2).contiguous()
    made = _through(model, source, args.device).clamp(0, 255).round().to(torch.uint8)
    return made.permute(0, 2, 3, 1).numpy(), at, (time.perf_counter() - began) / 60, best


@torch.no_grad()
def _through(model: LatentModel, x: torch.Tensor, device: str) -> torch.Tensor:
    """The mean of p(partner | E q(z | picture)), in levels."""
    parts = [model.trace(part.to(device), draw=mean).px for part in x.split(250)]
    shown = [model.likelihood.stored(model.likelihood.shown(px), True) for px in parts]
    return torch.cat([part.reshape(-1, *x.shape[1:]).float().cpu() for part in shown])


def main() -> None:
    recipes = {path.stem: path for path in sorted(RECIPES.glob("style-*.yaml"))}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LAMBENT_DATA"))
    parser.add_argument("--only", nargs="*", default=list(recipes), choices=list(recipes))
    parser.add_argument("--epochs", type=int, help="of each recipe, in place of its own")
    parser.add_argument(
        "--pair-epochs", type=int, default=60, help="at most, of the model that is trained on the pairs"
    )
    parser.add_argument("--patience", type=int, default=8, help="epochs without gain after which that one is stopped")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=Path, default=Path("runs/style"), help="where runs and feature spaces are kept")
    parser.add_argument("--sheets", type=Path, help="a folder for a sheet of each recipe")
    parser.add_argument("--out", type=Path, default=RESULTS / "style.json")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data: name the folder with the data")
    emoji = Emoji.of(Path(args.data))
    record = Record(
        args.out, "Emoji in another style", PROTOCOL, COLUMNS, ("direction", "row", "device", "seed"), args.device
    )
    features = args.keep / "features.safetensors"
    if not features.exists():
        learned(np.concatenate(list(emoji.kept.values()))).save(features)
    trial = Trial(emoji, StyleJudge(emoji.kept, space.opened(features), paired=True), record, args)
    for own, other in (NAMES, NAMES[::-1]):
        kept = args.keep / f"pairs-{own}-{other}.npz"
        if not kept.exists():
            made, epochs, minutes, error = paired(trial, own, other)
            np.savez(kept, x=made, epochs=epochs, minutes=minutes, error=error)
        bound = np.load(kept)
        linear, error = regressed(trial, own, other)
        trial.pairs[own, other] = bound["x"] if bound["error"] < error else linear
        found = trial.judged(own, other, {"network": bound["x"], "linear": linear})
        for name in ("unchanged", "colours", "nearest", "nearest, pixels", "partners"):
            trial.told(found, own, other, name, name)
        trial.told(found, own, other, "linear", "trained on pairs, linear")
        trial.told(
            found,
            own,
            other,
            "network",
            "trained on pairs",
            epochs=int(bound["epochs"]),
            minutes=float(bound["minutes"]),
        )
    folder = emoji.folder(args.keep / "emoji")
    for seed in args.seeds:
        for name in args.only:
            measured(trial, recipes[name], folder, seed)


if __name__ == "__main__":
    main()
