"""Texts: PTB by the usual protocol, captions to be read, molecules to be counted.

    python benchmarks/text.py --only ptb --device cuda --budget 5 --data ../shared/data --out ptb.json
    python benchmarks/text.py --only captions --budget 60
    python benchmarks/text.py --only molecules --rdkit OTHER_ENVIRONMENT/bin/python

Each corpus trains a VAE, and PTB and captions before it the plain language model of the same decoder, which is given nothing of
a code: the same layers, schedule and steps. The budget is minutes of training of all models together, a schedule is fitted to
it. The result file is written after every epoch, so that a run cut short still counts.
"""

import argparse
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, Record, column
from text_corpora import CORPORA, Corpus
from torch import Tensor, nn

from lambent.distributions import centre, sample
from lambent.metrics.bound import bounds
from lambent.metrics.collapse import levels
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Tokens
from lambent.model.networks import Attention, Gru, Half, Network
from lambent.model.trace import fixed, from_prior
from lambent.objectives import Elbo
from lambent.part import Shape
from lambent.training.callbacks import Quiet
from lambent.training.fitting import fit
from lambent.training.run import Run

SIZE = 32  # units of the code
SHOWN = 10
PROTOCOL = (
    "PTB: the usual files (Mikolov), words as they stand there, one sentence a line with its end, the whole test file. NLL: −log "
    "of the K-sample bound on p(x), nats a sentence; perplexity per word: exp of the NLL of all sentences over their words and "
    "their ends. The language model is the same decoder without a code, trained alike: its NLL is exact. Multi30k: trained on "
    "the 29,000 captions, tested on those of 2016 (Flickr), pieces of bytes; perplexity is per word, parted by blanks, and ends. "
    "QM9: SMILES as characters, a tenth held out; of 10,000 samples: unique of all, new (not among those trained on) of the "
    "unique, valid as rdkit reads them."
)
COLUMNS = [
    column("corpus", "Texts"),
    column("model", "Model"),
    column("nll", "NLL ≤", "nats a text", ".2f"),
    column("negative_elbo", "−ELBO", "nats a text", ".2f"),
    column("kl", "KL", "nats", ".2f"),
    column("active", "Active units"),
    column("perplexity", "Perplexity per word", "", ".1f"),
    column("per_token", "NLL", "nats a token", ".3f"),
    column("samples", "K"),
    column("epochs", "Epochs"),
    column("minutes", "Training", "minutes", ".1f"),
    column("unique", "Unique", "%", ".1f"),
    column("new", "New", "%", ".1f"),
    column("valid", "Valid", "%", ".1f"),
    column("device", "Device"),
]


class Deaf(Network):
    """A decoder that is given nothing of the code: with it p(x|z) is a plain language model, and the KL falls to nought."""

    exact = False
    no_paper = "nothing to cite"

    def encoder(self, event: Shape) -> Half:
        return Half(nn.Flatten(), nn.Linear(math.prod(event), 1), shape=(1,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        return Half(Silent(raw), shape=raw)


class Silent(nn.Module):
    def __init__(self, raw: Shape) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, z: Tensor) -> Tensor:
        return z.new_zeros(len(z), *self.raw)


def named(pretrain: float | None, args: argparse.Namespace) -> str:
    """None: the language model."""
    if pretrain is None:
        return f"language model, {args.reader}"
    return f"VAE, {args.reader}" + (f", autoencoder for {100 * pretrain:.0f} %" if pretrain else "")


def model_of(found: Corpus, args: argparse.Namespace, deaf: bool) -> LatentModel:
    likelihood = Tokens(
        symbols=found.symbols,
        reader=args.reader,
        width=args.width,
        depth=args.depth,
        rank=args.width // 2,
        dropout=args.dropout,
        word_dropout=0.0 if deaf else args.word_dropout,
    )
    heard = Attention(args.width // 2) if args.reader == "Transformer" else Gru(args.width // 2)
    return LatentModel(latent=Flat(SIZE), likelihood=likelihood, network=Deaf() if deaf else heard)


def objective_of(args: argparse.Namespace, pretrain: float | None) -> Elbo:
    if pretrain is None:
        return Elbo()
    return Elbo(pretrain=pretrain, anneal="linear", warmup=args.warmup, floor=args.floor)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "batch": args.batch,
        "learning_rate": args.rate,
        "schedule": "cosine",
        "warmup": 0.02,
        "clip": 5.0,
        "spike": 0.0,
        "average": 0.99,
        "precision": "fp32",
        "device": args.device,
        "seed": args.seed,
    }


class Streaming(Quiet):
    """Writes how far a training is, at most every ten seconds."""

    def __init__(self, record: Record, row: dict[str, Any]) -> None:
        self.record, self.row, self.last = record, row, time.monotonic()

    def on_epoch(self, run: Run) -> None:
        if time.monotonic() - self.last < 10 and run.epoch < run.epochs:
            return
        self.last = time.monotonic()
        seen = {name: run.history[name][-1] for name in ("loss", "reconstruction", "kl", "seconds")}
        self.record.add(**self.row, state=f"after epoch {run.epoch} of {run.epochs}", training=seen)
        print(json.dumps({**self.row, "epoch": run.epoch, **seen}), flush=True)


def epochs_within(minutes: float, found: Corpus, args: argparse.Namespace, pretrain: float | None) -> tuple[int, int]:
    """Epochs, and rows of each, that fit into so many minutes, by the time that some steps take."""
    rows = min(len(found.train), (200 if args.device == "cuda" else 40) * args.batch)
    taken = []
    for count in (rows // 4, rows):  # the first warms up
        picked = found.train[torch.randperm(len(found.train), generator=torch.Generator().manual_seed(0))[:count]]
        model = model_of(found, args, pretrain is None)
        started = time.monotonic()
        fit(model, objective_of(args, pretrain), picked, epochs=1, **settings_of(args))
        taken.append(time.monotonic() - started)
    within = int(60 * minutes * (rows - rows // 4) / max(1e-3, taken[1] - taken[0]))
    if args.device == "cuda":
        torch.cuda.empty_cache()
    epochs = max(1, min(args.most, within // len(found.train)))
    return epochs, min(len(found.train), max(args.batch, within // epochs))


def trained(
    found: Corpus, name: str, minutes: float, record: Record, args: argparse.Namespace, pretrain: float | None
) -> LatentModel:
    epochs, rows = epochs_within(minutes, found, args, pretrain)
    deaf = pretrain is None
    model = model_of(found, args, deaf)
    row = {"corpus": name, "model": named(pretrain, args), "device": args.device, "samples": 1 if deaf else args.k}
    started = time.monotonic()
    watch = [Streaming(record, row)]
    fit(model, objective_of(args, pretrain), found.train[:rows], epochs=epochs, callbacks=watch, **settings_of(args))
    minutes = (time.monotonic() - started) / 60
    measures = measured(model, found, args, deaf)
    fields = ("width", "depth", "dropout", "word_dropout", "batch", "rate", "floor", "warmup")
    setup = {field: getattr(args, field) for field in fields}
    row |= {"epochs": epochs, "minutes": minutes, "rows": rows, "seed": args.seed, "setup": setup, **measures}
    record.add(**row)
    print(json.dumps(row, ensure_ascii=False), flush=True)
    return model


def measured(model: LatentModel, found: Corpus, args: argparse.Namespace, deaf: bool) -> dict[str, Any]:
    x = found.test if args.rows is None else found.test[: args.rows]
    share = len(x) / len(found.test)
    counted = bounds(model, x, 1 if deaf else args.k)
    nll = -(counted.log_px if deaf else counted.bound).double()
    tokens = int((~torch.isnan(x)).sum())
    active = 0 if deaf else sum(int(level.active.sum()) for level in levels(model, x[:2000], 0, None))
    return {
        "nll": float(nll.mean()),
        "error": float(nll.std() / math.sqrt(len(x))),
        "negative_elbo": float(nll.mean() if deaf else -counted.elbo.mean()),
        "kl": 0.0 if deaf else float(counted.kl.mean()),
        "active": "" if deaf else f"{active} of {SIZE}",
        "perplexity": math.exp(float(nll.sum()) / (found.words * share + len(x))),
        "per_token": float(nll.sum()) / tokens,
        "test_rows": len(x),
    }


def drawn(model: LatentModel, n: int, seed: int = 0) -> Tensor:
    """Texts of codes from the prior, token by token at temperature 1."""
    generator = torch.Generator(model.device).manual_seed(seed)
    with torch.no_grad():
        return sample(model.generate(n, from_prior(generator)), (), generator)


def read_aloud(model: LatentModel, found: Corpus) -> dict[str, Any]:
    """The first ten samples, the first ten test texts with their reconstructions, five ways between two of them: none picked."""
    with torch.no_grad():
        x = found.test[:SHOWN].to(model.device)
        codes = centre(model.infer(x)[0].q)  # type: ignore[arg-type]
        back = centre(model.generate(SHOWN, fixed(codes)))
        ways = []
        for one in range(0, SHOWN, 2):
            steps = torch.linspace(0, 1, 7, device=model.device).unsqueeze(1)
            between = torch.lerp(codes[one : one + 1], codes[one + 1 : one + 2], steps)
            ways.append(found.decode(centre(model.generate(len(steps), fixed(between)))))
        likeliest = centre(model.generate(SHOWN, from_prior(torch.Generator(model.device).manual_seed(1))))
    return {
        "drawn": found.decode(drawn(model, SHOWN)),
        "drawn_greedily": found.decode(likeliest),
        "given": found.test_texts[:SHOWN],
        "reconstructed": found.decode(back),
        "between": ways,
    }


VALID = """
import sys
from rdkit import Chem, RDLogger

RDLogger.DisableLog("rdApp.*")
print(sum(Chem.MolFromSmiles(line.strip()) is not None for line in open(sys.argv[1]) if line.strip()))
"""


def counted_molecules(model: LatentModel, found: Corpus, args: argparse.Namespace) -> dict[str, Any]:
    made = [text for start in range(args.draws // 1000) for text in found.decode(drawn(model, 1000, start))]
    unique = set(made)
    known = set(found.train_texts)
    result: dict[str, Any] = {
        "draws": len(made),
        "unique": 100 * len(unique) / len(made),
        "new": 100 * len(unique - known) / len(unique),
        "shown": made[:SHOWN],
    }
    if args.made:
        args.made.write_text("\n".join(made) + "\n", encoding="utf-8")
    if args.rdkit:
        with tempfile.NamedTemporaryFile("w", suffix=".smi", encoding="utf-8") as lines:
            lines.write("\n".join(made) + "\n")
            lines.flush()
            said = subprocess.run([args.rdkit, "-c", VALID, lines.name], stdout=subprocess.PIPE, text=True, check=True)
        result["valid"] = 100 * int(said.stdout) / len(made)
    return result


def run(name: str, minutes: float, record: Record, args: argparse.Namespace) -> None:
    found = CORPORA[name](args.data)
    plain = [] if name == "molecules" or args.vae else [None]
    share = minutes / (len(plain) + len(args.pretrain))
    for pretrain in [*plain, *args.pretrain]:
        model = trained(found, name, share, record, args, pretrain)
        if pretrain is None:
            continue
        rows = record.whole["rows"]
        own = (name, named(pretrain, args), args.device)
        row = dict(next(r for r in rows if (r["corpus"], r["model"], r["device"]) == own))
        row["texts"] = read_aloud(model, found)
        if name == "molecules":
            row |= counted_molecules(model, found, args)
        record.add(**row)
        print(json.dumps(row["texts"], ensure_ascii=False, indent=1), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(CORPORA), default=list(CORPORA))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--budget", type=float, default=60, help="minutes of training, of all models together")
    parser.add_argument("--most", type=int, default=40, help="epochs of a model at most")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=RESULTS / "text.json")
    parser.add_argument("--reader", choices=("Gru", "Transformer"), default="Gru")
    parser.add_argument("--width", type=int, help="units of the decoder; 512 on a GPU, 192 else")
    parser.add_argument("--depth", type=int, help="layers of the decoder; 1 of a Gru, 4 of a Transformer")
    parser.add_argument("--dropout", type=float, help="0.4 for PTB, whose sentences are few for 10,000 words; 0.1 else")
    parser.add_argument("--word-dropout", type=float, default=0.0)
    parser.add_argument("--batch", type=int, help="128 on a GPU, 64 else")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--pretrain",
        type=float,
        nargs="+",
        default=[0.2, 0.0],
        help="share of training of an autoencoder first; of several, each trains a model",
    )
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--floor", type=float, default=6.0, help="nats of the KL that are free")
    parser.add_argument("--k", type=int, help="samples of the bound; 100 on a GPU, 10 else")
    parser.add_argument("--rows", type=int, help="at most so many test texts")
    parser.add_argument("--draws", type=int, default=10_000, help="molecules that are drawn")
    parser.add_argument("--rdkit", help="the interpreter of an environment with rdkit")
    parser.add_argument("--made", type=Path, help="a file for the molecules that are drawn, a line each")
    parser.add_argument("--vae", action="store_true", help="no language model beside it")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.width = args.width or (512 if args.device == "cuda" else 192)
    args.depth = args.depth or (4 if args.reader == "Transformer" else 1)
    args.batch = args.batch or (128 if args.device == "cuda" else 64)
    args.k = args.k or (100 if args.device == "cuda" else 10)
    record = Record(args.out, "Texts", PROTOCOL, COLUMNS, ("corpus", "model", "device"), args.device)
    given = args.dropout
    for name in args.only:
        args.dropout = given if given is not None else 0.4 if name == "ptb" else 0.1
        run(name, args.budget / len(args.only), record, args)


if __name__ == "__main__":
    main()
