"""Spoken digits: reconstructions and samples that a recognizer of real speech judges, codes that tell digits and speakers.

    python benchmarks/speech.py --data FOLDER --budget 10                      # FOLDER holds speech/fsdd/*.wav
    python benchmarks/speech.py --data FOLDER --prepare fsdd.npz               # the waveforms in one file, and nothing else
    python benchmarks/speech.py --prepared fsdd.npz --device cuda --budget 4   # reads no sound files

`LAMBENT_DATA` names FOLDER, too. The budget is of minutes of training, all models together. The result file is written after
every row; with --sheet a picture of spectrograms.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hearing
import numpy as np
import torch
from paced import Quarter, active, affordable
from record import RESULTS, Record
from sheet import SHOWN, save_sheet
from spoken import COLUMNS, LATE, PROTOCOL, Speech, contexts, prepared, read
from torch import Tensor

from lambent import Elbo, Fitted, Invariant, LatentModel, fit, fit_prior
from lambent.data.kinds.audio import Audio
from lambent.metrics.bound import bounds
from lambent.metrics.probe import Probe
from lambent.objectives import Objective
from lambent.part import Spec
from lambent.tasks.explore import encode, generate, reconstruct

SHARES = {"plain": 0.25, "conditioned": 0.25, "converting": 0.2, "left out": 0.15, "held out": 0.15}
VOICES = slice(10, None)  # of a context, what tells the speaker
OF_PRIOR = 0.2  # of the conditioned model's time


@dataclass
class Trial:
    """The data, the recognizers, and what was measured so far."""

    speech: Speech
    args: argparse.Namespace
    record: Record
    audio: Audio = field(init=False)
    sheet: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)  # of which models units were lost between stages

    def __post_init__(self) -> None:
        self.names = sorted(set(self.speech.speakers.tolist()))
        self.audio = Audio(rate=hearing.RATE).fit(self.speech.waves)
        self.test = self.speech.takes < 5
        self.validating = self.speech.takes >= 45
        known = self.speech.where(~self.test)
        waves, epochs = self.tensor(known.waves), self.args.hearing
        self.words = hearing.recognizer(waves, self.tensor(known.digits), epochs, self.args.seed)
        self.voices = hearing.recognizer(waves, self.tensor(self.speaker(known)), epochs, self.args.seed)
        self.real = {True: 0.0}
        test = self.speech.where(self.test)
        self.told("recognizer", "real test takes", test.waves, test.digits, self.speaker(test))
        self.baseline(test)

    def tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.args.device)

    def speaker(self, speech: Speech) -> np.ndarray:
        return np.array([self.names.index(name) for name in speech.speakers.tolist()])

    def context(self, speech: Speech) -> Tensor:
        digits, speakers = torch.from_numpy(speech.digits), torch.from_numpy(self.speaker(speech))
        return contexts(digits, speakers, len(self.names))

    def rows(self, speech: Speech) -> Tensor:
        return self.audio.encode(speech.waves)

    def copies(self, speech: Speech) -> tuple[Tensor, Tensor]:
        """Every sound so many times, later by some samples, with the context of each."""
        rng, every = np.random.default_rng(self.args.seed), []
        for copy in range(self.args.copies):
            late = rng.integers(0, LATE, len(speech)) if copy else np.zeros(len(speech), np.int64)
            places = np.arange(speech.waves.shape[1]) - late[:, None]
            moved = np.take_along_axis(speech.waves, np.maximum(places, 0), 1) * (places >= 0)
            every.append(self.audio.encode(moved.astype(np.float32)))
        return torch.cat(every), self.context(speech).repeat(self.args.copies, 1)

    def waves(self, x: Tensor) -> np.ndarray:
        return self.audio.decode(x)[:, 0, : self.speech.waves.shape[1]]

    def told(
        self, row: str, sounds: str, waves: np.ndarray, digits: np.ndarray, speakers: np.ndarray, **more: Any
    ) -> None:
        """A row of the table: how many of these sounds are heard as what they are."""
        there = self.tensor(waves)
        right = hearing.heard(self.words, there).cpu().numpy() == digits
        voices = hearing.heard(self.voices, there).cpu().numpy() == speakers
        if row == "recognizer":
            self.real[True] = 100 * float(right.mean())
        self.add(
            row=row, sounds=sounds, recognized=100 * float(right.mean()), real=self.real[True],
            speakers=100 * float(voices.mean()), count=len(waves), **more,
        )  # fmt: skip

    def add(self, **row: Any) -> None:
        row |= {"device": self.args.device, "seed": self.args.seed}
        self.record.add(**row)
        print(json.dumps(row, ensure_ascii=False), flush=True)

    def baseline(self, test: Speech) -> None:
        """Magnitudes alone, the true ones, with phases by Griffin and Lim."""
        real = self.tensor(test.waves)
        made = hearing.griffin_lim(hearing.spectrum(real).abs(), real.shape[1])
        apart = {"lsd": hearing.log_spectral_distance(real, made), "si_sdr": hearing.si_sdr(real, made)}
        self.told("Griffin-Lim", "true magnitudes", made.cpu().numpy(), test.digits, self.speaker(test), **apart)

    # ---- trainings ----------------------------------------------------------------------------------------------

    def trained(
        self, row: str, chosen: np.ndarray, given: slice | None = None, prior: bool = False
    ) -> tuple[Fitted, dict[str, Any]]:
        """A model of the chosen sounds that are no test takes, trained for its share of the budget, and what it took.

        given: what of the context conditions it; under the speaker alone, codes are not to tell him.
        """
        args, minutes = self.args, self.args.budget * SHARES[row] * (1 - OF_PRIOR * prior)
        learned = self.speech.where(chosen & ~self.test & ~self.validating)
        validating = self.speech.where(chosen & self.validating)
        x, whole = self.copies(learned)
        context = None if given is None else whole[:, given]
        held = self.rows(validating)
        beside = None if given is None else self.context(validating)[:, given]
        spec: Spec = {
            "type": "LatentModel",
            "latent": {"type": "Flat", "size": args.units},
            "likelihood": {"type": "ItakuraSaito", "floor": args.floor},
            "network": {
                "type": "Wave", "channels": [args.width, 2 * args.width, 2 * args.width], "blocks": args.blocks,
            },
            "context": 0 if context is None else context.shape[1],
        }  # fmt: skip
        how: dict[str, Any] = {
            "seed": args.seed, "device": args.device, "batch": args.batch, "learning_rate": args.rate,
            "schedule": "linear", "warmup": 0.02, "average": 0.99, "clip": args.clip, "precision": "fp32",
        }  # fmt: skip
        few = slice(0, min(len(x), 16 * args.batch))
        history = fit(
            LatentModel.from_spec(spec), self.objective(given), x[few], epochs=3,
            context=None if context is None else context[few], **how,
        )  # fmt: skip
        epochs = affordable(history["seconds"], len(x) / len(x[few]), minutes)
        model, quarter = LatentModel.from_spec(spec), Quarter(held, beside)
        checked = held if beside is None else (held, beside)
        began = time.perf_counter()
        history = fit(
            model,
            self.objective(given),
            x,
            context=context,
            epochs=epochs,
            validation=checked,
            callbacks=[quarter],
            **how,
        )
        facts: dict[str, Any] = {"minutes": (time.perf_counter() - began) / 60, "epochs": len(history["seconds"])}
        fitted = Fitted(model.eval(), self.audio)
        stages = [quarter.found, active(model, held, beside)]
        if prior:
            facts["minutes"] += self.refined(fitted, x, whole, minutes * OF_PRIOR / (1 - OF_PRIOR))
            stages.append(active(model, held, beside))
        if sorted(stages) != stages:
            self.lost.append(f"{row}: active units {stages}")
        facts["units"] = " → ".join(map(str, stages)) + f" of {args.units}"
        return fitted, facts

    def objective(self, given: slice | None) -> Objective:
        bound = Elbo(beta=self.args.beta, free_bits=self.args.free_bits, settle=self.args.settle)
        return Invariant(bound, weight=self.args.invariance) if given == VOICES else bound

    def refined(self, fitted: Fitted, x: Tensor, context: Tensor, minutes: float) -> float:
        """A prior under digit and speaker, fitted to the codes; the minutes that it took."""
        prior: Spec = {"type": "Diffusion", "width": self.args.prior_width}
        how: dict[str, Any] = {"seed": self.args.seed, "batch": 256, "learning_rate": 2e-3, "schedule": "cosine"}
        few = slice(0, min(len(x), 16 * 256))
        history = fit_prior(fitted.model, x[few], prior, epochs=3, context=context[few], **how)
        epochs = affordable(history["seconds"], len(x) / len(x[few]), minutes)
        began = time.perf_counter()
        fit_prior(fitted.model, x, prior, epochs=epochs, context=context, average=0.99, **how)
        fitted.model.eval()
        return (time.perf_counter() - began) / 60

    # ---- what is measured ---------------------------------------------------------------------------------------

    def plain(self) -> None:
        fitted, facts = self.trained("plain", np.ones(len(self.speech), bool))
        test = self.speech.where(self.test)
        self.reconstructed("plain", fitted, test, None, **self.probed(fitted, test), **facts)
        noise = np.random.default_rng(self.args.seed).normal(size=test.waves.shape)
        noise *= test.waves.std(1, keepdims=True)
        odd = self.scores(fitted, Speech(noise.astype(np.float32), test.digits, test.speakers, test.takes))
        self.add(row="plain", sounds="white noise", auroc=hearing.auroc(self.scores(fitted, test), odd), count=len(odd))

    def conditioned(self) -> None:
        fitted, facts = self.trained("conditioned", np.ones(len(self.speech), bool), slice(None), prior=True)
        test = self.speech.where(self.test)
        context = self.context(test)
        self.reconstructed("conditioned", fitted, test, context, **self.probed(fitted, test, slice(None)), **facts)
        count = self.args.count // 60 * 60 or 60
        digits, speakers = torch.arange(count) % 10, torch.arange(count) // 10 % len(self.names)
        given = contexts(digits, speakers, len(self.names))
        for temperature in (1.0, 0.8):
            x = generate(fitted, count, seed=self.args.seed, temperature=temperature, context=given, noise=True)
            waves = self.waves(x)
            name = f"samples by digit, temperature {temperature}"
            self.told("conditioned", name, waves, digits.numpy(), speakers.numpy())
        self.sheet["samples of digits 0 to 9, by six speakers"] = hearing.pictured(self.tensor(waves[:SHOWN]))

    def converting(self) -> None:
        """Test takes read under their own speaker and decoded as each other one."""
        fitted, facts = self.trained("converting", np.ones(len(self.speech), bool), VOICES)
        test = self.speech.where(self.test)
        context, own = self.context(test)[:, VOICES], self.speaker(test)
        self.reconstructed("converting", fitted, test, context, **self.probed(fitted, test, VOICES), **facts)
        made = []
        for step in range(1, len(self.names)):
            other = context.roll(step, 1)
            made.append(self.waves(reconstruct(fitted, self.rows(test), context, under=other)))
        to = np.concatenate([(own + step) % len(self.names) for step in range(1, len(self.names))])
        self.told("converting", "as other speakers", np.concatenate(made), np.tile(test.digits, len(made)), to)
        self.sheet["converted to the next speaker"] = hearing.pictured(self.tensor(made[0][self.shown(test)]))

    def left_out(self) -> None:
        """A speaker whom the model has never heard."""
        name = self.args.left_out
        chosen = self.speech.speakers != name
        fitted, facts = self.trained("left out", chosen)
        self.real_of(stranger := self.speech.where(~chosen & self.test), name)
        self.reconstructed("left out", fitted, stranger, None, sounds=f"reconstructions of {name}", **facts)
        known = self.speech.where(chosen & ~self.test)
        codes, own = self.codes(fitted, known), self.codes(fitted, self.speech.where(~chosen))
        right = Probe(codes, known.digits).share(own, self.speech.digits[~chosen])
        self.add(row="left out", sounds=f"all of {name}", digit_probe=100 * right.value, count=len(own))

    def real_of(self, speech: Speech, name: str) -> None:
        self.told("recognizer", f"real test takes of {name}", speech.waves, speech.digits, self.speaker(speech))

    def held_out(self) -> None:
        """A digit that the model has never heard."""
        digit = self.args.held_out
        fitted, facts = self.trained("held out", self.speech.digits != digit)
        usual = self.speech.where(self.test & (self.speech.digits != digit))
        odd = self.speech.where(self.test & (self.speech.digits == digit))
        found = hearing.auroc(self.scores(fitted, usual), self.scores(fitted, odd))
        self.add(row="held out", sounds=f"the digit {digit}", auroc=found, count=len(odd), **facts)

    def reconstructed(self, row: str, fitted: Fitted, test: Speech, context: Tensor | None, **more: Any) -> None:
        rows, sounds = self.rows(test), more.pop("sounds", "reconstructions")
        waves = self.waves(reconstruct(fitted, rows, context))
        found = bounds(fitted.model, rows, 1, self.args.seed, context)
        nats = {"nats": float(found.elbo.mean()), "kl": float(found.kl.mean())}
        real, made = self.tensor(test.waves), self.tensor(waves)
        apart = {"lsd": hearing.log_spectral_distance(real, made), "si_sdr": hearing.si_sdr(real, made)}
        self.told(row, sounds, waves, test.digits, self.speaker(test), **apart, **nats, **more)
        if row == "plain":
            some = self.shown(test)
            self.sheet["test takes"] = hearing.pictured(real[some])
            self.sheet["reconstructions"] = hearing.pictured(made[some])

    def shown(self, test: Speech) -> np.ndarray:
        """Test takes of all digits by turns."""
        order = np.lexsort((test.digits, test.speakers, test.takes))
        return np.asarray(order[:SHOWN])

    def probed(self, fitted: Fitted, test: Speech, given: slice | None = None) -> dict[str, float]:
        known = self.speech.where(~self.test)
        before, after = (None if given is None else self.context(each)[:, given] for each in (known, test))
        codes, own = self.codes(fitted, known, before), self.codes(fitted, test, after)
        digit = Probe(codes, known.digits).share(own, test.digits)
        speaker = Probe(codes, known.speakers).share(own, test.speakers)
        return {"digit_probe": 100 * digit.value, "speaker_probe": 100 * speaker.value}

    def codes(self, fitted: Fitted, speech: Speech, context: Tensor | None = None) -> np.ndarray:
        return encode(fitted, self.rows(speech), context)[0].flatten(1).double().numpy()

    def scores(self, fitted: Fitted, speech: Speech) -> np.ndarray:
        return -bounds(fitted.model, self.rows(speech), 16, self.args.seed).bound.double().cpu().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LAMBENT_DATA"))
    parser.add_argument("--prepare", type=Path, help="write the waveforms into this .npz file, and end")
    parser.add_argument("--prepared", type=Path, help="read them from there")
    parser.add_argument("--budget", type=float, default=10, help="minutes of training, all models together")
    parser.add_argument("--only", nargs="*", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--left-out", default="theo", help="the speaker left out")
    parser.add_argument("--held-out", type=int, default=9, help="the digit left out")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--width", type=int, default=None, help="channels of the network; 128, on a cpu 64")
    parser.add_argument("--blocks", type=int, default=None, help="residual blocks after each halving; 1, on a cpu 0")
    parser.add_argument("--copies", type=int, default=None, help="of each sound, at other times; 8, on a cpu 1")
    parser.add_argument("--floor", type=float, default=0.02)
    parser.add_argument("--beta", type=float, default=1.0)
    parser.add_argument("--free-bits", type=float, default=0.25)
    parser.add_argument(
        "--invariance", type=float, default=30.0, help="how much codes are kept from telling the speaker"
    )
    parser.add_argument("--settle", type=float, default=0.85)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--clip", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--prior-width", type=int, default=256)
    parser.add_argument("--count", type=int, default=600, help="samples")
    parser.add_argument("--hearing", type=int, default=12, help="epochs that the recognizers are trained for")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="a PNG of spectrograms")
    parser.add_argument("--out", type=Path, default=RESULTS / "speech.json")
    args = parser.parse_args()
    if args.data is None and args.prepared is None:
        parser.error("--data: name the folder with the data")
    cuda = args.device == "cuda"
    args.width = args.width or (128 if cuda else 64)
    args.blocks = (1 if cuda else 0) if args.blocks is None else args.blocks
    args.copies = args.copies or (8 if cuda else 1)
    speech = prepared(args.prepared) if args.prepared else read(Path(args.data))
    if args.prepare:
        speech.save(args.prepare)
        return
    key = ("row", "sounds", "device", "seed")
    trial = Trial(speech, args, Record(args.out, "Spoken digits", PROTOCOL, COLUMNS, key, args.device))
    parts = {
        "plain": trial.plain, "conditioned": trial.conditioned, "converting": trial.converting,
        "left out": trial.left_out, "held out": trial.held_out,
    }  # fmt: skip
    for name in args.only:
        parts[name]()
        if args.sheet is not None and trial.sheet:
            save_sheet(args.sheet, trial.sheet)
    assert not trial.lost, f"dimensions of the code were lost between stages: {'; '.join(trial.lost)}"


if __name__ == "__main__":
    main()
