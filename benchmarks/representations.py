"""What a VAE of sound should model: powers or coefficients of a lapped transform, a bank of few filters, or log-magnitudes.

    python benchmarks/representations.py --data FOLDER --minutes 3            # FOLDER holds speech/fsdd/*.wav
    python benchmarks/representations.py --prepared fsdd.npz --minutes 3      # as `speech.py --prepare` wrote it

The same code, network and minutes for each; what comes back is judged by a recognizer of real speech. The result file is written
after every row.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hearing
import numpy as np
import torch
from paced import affordable
from record import RESULTS, Record, column
from spoken import RATE, SECONDS, Speech, contexts, prepared, read
from torch import Tensor

from lambent import Elbo, LatentModel, fit
from lambent.data.kinds.audio import Audio
from lambent.distributions import centre, sample
from lambent.model.trace import fixed
from lambent.part import Spec

UNITS, BATCH = 32, 64
PROTOCOL = (
    "Free Spoken Digits, the takes and the recognizer of the table of spoken digits; a code of 32 units, convolutions of 64, "
    "128 and 128 channels, told digit and speaker, Elbo with free bits of 0.25 a unit, settled, as many minutes for each. "
    "recognized: the share of reconstructed test takes (of the mean code) that is heard as the digit it is of; mean: of the "
    "mean of p(x|z), drawn: of one draw. A lapped transform of M bands is a critically sampled, cosine-modulated bank of "
    "filters of 2 M samples: 128 bands tell frequencies, 16 bands are nearly the waveform. Log-magnitudes are of 32 ms every "
    "8 ms, twice as many numbers as samples, and phases are found by Griffin and Lim, 60 rounds."
)
COLUMNS = [
    column("modelled", "What is modelled"),
    column("heard_as", "Heard from"),
    column("recognized", "Recognized", "%", ".1f"),
    column("speakers", "Speaker heard", "%", ".1f"),
    column("lsd", "Log-spectral distance", "dB", ".2f"),
    column("si_sdr", "SI-SDR", "dB", ".1f"),
    column("kl", "KL", "nats a sound", ".1f"),
    column("numbers", "Numbers a sound", "", ",.0f"),
    column("epochs", "Epochs"),
    column("minutes", "Training", "min", ".1f"),
    column("seed", "Seed"),
]


@dataclass(frozen=True)
class Form:
    """Sounds as numbers, and back; the likelihood of these, and whether sounds are heard from its mean, a draw, or both."""

    there: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]
    likelihood: Spec
    heard: tuple[str, ...] = ("mean", "drawn")


def lapped(waves: np.ndarray, bands: int, likelihood: Spec, heard: tuple[str, ...]) -> Form:
    audio = Audio(rate=RATE, seconds=SECONDS, bands=bands).fit(waves)

    def there(x: Tensor) -> Tensor:
        return torch.as_tensor(audio.encode(x.numpy())).float()

    def back(x: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(audio.decode(x)[:, 0, : waves.shape[1]]))

    return Form(there, back, likelihood, heard)


def magnitudes(waves: Tensor) -> Form:
    """Logarithms of magnitudes, no less than 60 dB below full scale, at nought mean and unit scale."""

    def logs(x: Tensor) -> Tensor:
        return hearing.spectrum(x).abs().clamp_min(0.05).log()

    known = logs(waves)
    level, spread = known.mean(), known.std()

    def back(x: Tensor) -> Tensor:
        return hearing.griffin_lim((x * spread + level).exp(), waves.shape[1])

    # A scale for each number would spend itself on silence, where all are the floor to the last digit.
    return Form(lambda x: (logs(x) - level) / spread, back, {"type": "Gaussian", "scale": "one"})


def forms(waves: Tensor) -> dict[str, Form]:
    sounds = waves.numpy()
    laplace: Spec = {"type": "Laplace", "scale": "predicted"}
    both = ("mean", "drawn")
    return {
        "lapped, 128 bands: powers": lapped(sounds, 128, {"type": "ItakuraSaito", "floor": 0.02}, ("signs drawn",)),
        "lapped, 128 bands: coefficients": lapped(sounds, 128, laplace, both),
        "filters, 16 bands: samples": lapped(sounds, 16, laplace, both),
        "log-magnitudes": magnitudes(waves),
    }


def trained(x: Tensor, context: Tensor, form: Form, args: argparse.Namespace) -> tuple[LatentModel, dict[str, Any]]:
    spec: Spec = {
        "type": "LatentModel",
        "latent": {"type": "Flat", "size": UNITS},
        "likelihood": form.likelihood,
        "network": {"type": "Wave", "channels": [64, 128, 128], "blocks": 0},
        "context": context.shape[1],
    }
    how: dict[str, Any] = {
        "seed": args.seed, "device": args.device, "batch": BATCH, "learning_rate": 2e-3, "schedule": "linear",
        "warmup": 0.02, "average": 0.99, "precision": "fp32",
    }  # fmt: skip
    objective = Elbo(free_bits=0.25, settle=0.85)
    few = slice(0, 16 * BATCH)
    history = fit(LatentModel.from_spec(spec), objective, x[few], epochs=3, context=context[few], **how)
    epochs = affordable(history["seconds"], len(x) / len(x[few]), args.minutes)
    model, began = LatentModel.from_spec(spec), time.perf_counter()
    history = fit(model, objective, x, epochs=epochs, context=context, **how)
    facts = {"epochs": epochs, "minutes": (time.perf_counter() - began) / 60, "kl": history["kl"][-1]}
    return model.eval(), facts


@torch.no_grad()
def returned(model: LatentModel, x: Tensor, context: Tensor, heard: str, seed: int) -> Tensor:
    """Reconstructions of the mean code: the mean of p(x|z), or one draw."""
    given = context.to(model.device)
    codes = [centre(level.q) for level in model.infer(x.to(model.device), context=given)]  # type: ignore[arg-type]
    px = model.generate(len(x), fixed(*codes), given)
    if heard == "drawn":
        return sample(px, (), torch.Generator(model.device).manual_seed(seed)).cpu()
    return model.likelihood.shown(px).cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LAMBENT_DATA"))
    parser.add_argument("--prepared", type=Path, help="the waveforms in one file")
    parser.add_argument("--minutes", type=float, default=3, help="of training, each")
    parser.add_argument("--only", nargs="*", help="beginnings of names")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "representations.json")
    args = parser.parse_args()
    if args.data is None and args.prepared is None:
        parser.error("--data: name the folder with the data")
    speech: Speech = prepared(args.prepared) if args.prepared else read(Path(args.data))
    test, left = speech.takes < 5, speech.takes >= 45
    names = sorted(set(speech.speakers.tolist()))
    voices = np.array([names.index(name) for name in speech.speakers])
    waves, digits, speakers = (torch.from_numpy(each) for each in (speech.waves, speech.digits, voices))
    learned, held = torch.from_numpy(~test & ~left), torch.from_numpy(test)
    words = hearing.recognizer(waves[~held], digits[~held], 12, 0)
    voiced = hearing.recognizer(waves[~held], speakers[~held], 12, 0)
    context = contexts(digits, speakers, len(names))
    record = Record(
        args.out, "What of a sound is modelled", PROTOCOL, COLUMNS, ("modelled", "heard_as", "seed"), args.device
    )
    for name, form in forms(waves[learned]).items():
        if args.only and not name.startswith(tuple(args.only)):
            continue
        x = form.there(waves)
        model, facts = trained(x[learned], context[learned], form, args)
        for heard in form.heard:
            made = form.back(returned(model, x[held], context[held], heard, args.seed))
            row = {
                "modelled": name,
                "heard_as": heard,
                "recognized": 100 * float((hearing.heard(words, made) == digits[held]).float().mean()),
                "speakers": 100 * float((hearing.heard(voiced, made) == speakers[held]).float().mean()),
                "lsd": hearing.log_spectral_distance(waves[held], made),
                "si_sdr": hearing.si_sdr(waves[held], made),
                "numbers": x[0].numel(),
                "seed": args.seed,
                **facts,
            }
            record.add(**row)
            print(row, flush=True)


if __name__ == "__main__":
    main()
