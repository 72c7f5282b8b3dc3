"""lambent evaluate, embed, score: numbers about rows."""

import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli import output
from lambent.cli.folder import opened
from lambent.cli.reading import larger
from lambent.cli.reading.flags import (
    Parser,
    add_given,
    add_output,
    add_rows,
    add_run,
    add_seed,
    common,
    import_modules,
    whole,
)
from lambent.cli.verbs import tiled
from lambent.cli.verbs.coded import names_of_levels
from lambent.cli.verbs.conclusion import metric_rows
from lambent.cli.verbs.judging import add_judging, is_run, judged, refuse_features
from lambent.cli.verbs.made import refuse_beside, write_beside
from lambent.cli.verbs.tiled import add_tiles
from lambent.cli.voice import Voice
from lambent.data import Encoded
from lambent.data.condition import is_missing, level_of
from lambent.data.conditions import named
from lambent.data.leading import lead_of
from lambent.data.notices import sentences
from lambent.data.stored.ondisk import OnDisk
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.metrics.bound import SAMPLES
from lambent.model import ask_encoder
from lambent.model.bounded import want_bound
from lambent.tasks import explore
from lambent.tasks.evaluate import MOST_SAMPLES
from lambent.tasks.evaluate import evaluate as measured
from lambent.tasks.predict import Prediction, predict
from lambent.tasks.score import scored, scored_by_column

LOWEST = 10  # rows that the summary names
KEPT = {"kept": "left of", "held": "held out of"}  # the two sides of a cut


def evaluate(arguments: Sequence[str]) -> int:
    """The bounds and the state of the codes, each with unit and standard error; or what drawn rows are worth."""
    parser = Parser(
        "evaluate",
        "Bounds, KL and active units on rows that the model was not trained on; with --generated or --against how good drawn "
        "pictures are, or synthetic rows of a table, and whether these may be shared.",
    )
    add_run(parser)
    add_rows(parser, "rows to evaluate on")
    add_samples(parser)
    parser.add_argument("--limit", type=whole("--limit", 1, 10**12), help="at most so many rows, drawn by a fixed seed")
    add_given(parser, "evaluate the rows under this value, in place of their own")
    add_seed(parser)
    add_judging(parser)
    options = common(parser, machine=True).read(arguments)
    voice = Voice.of(options)
    refuse_features(options)
    if options.generated or options.against or not is_run(options.run):
        return judged(options, voice)
    path, fitted, encoded = opened_with_rows(options, voice)
    settle(options, fitted, voice)
    encoded = larger.drawn(encoded, options.limit)
    voice.step(f"evaluating on {len(encoded):,} rows with {options.samples:,} samples each")
    taken = fitted.rows(encoded, options.seed, named(options.given))
    found = measured(fitted, taken, samples=options.samples, seed=options.seed)
    voice.result({"model": str(path), **found.plain(), "data": encoded.source})
    voice.table(("metric", "value", "", "unit", "meaning"), metric_rows(found), right=(1,))
    return 0


def score(arguments: Sequence[str]) -> int:
    """A row's score depends on nothing but the model, K, the seed and the row."""
    parser = Parser("score", "Lower bounds on log p(x) for every row, in nats; the lowest are the likeliest anomalies.")
    add_run(parser)
    add_rows(parser, "rows to score")
    add_samples(parser)
    add_options_for_files(parser)
    add_given(parser, "score the rows under this value, in place of their own")
    parser.add_argument(
        "--by", metavar="NAME", help="the probability of each level of this condition, by Bayes' rule: a classifier"
    )
    parser.add_argument(
        "--per-column",
        action="store_true",
        help="of tables also nats:NAME, the share of each column in the log-likelihood: which cell is the odd one",
    )
    add_tiles(parser)
    options = common(parser, machine=True).read(arguments)
    voice = Voice.of(options)
    path = claim(options, output.with_beside(output.TABLES))
    if options.tiles is not None:
        options.samples = options.samples or SAMPLES
        return tiled.score(options, path, voice)
    _, fitted, encoded = opened_with_rows(options, voice)
    refuse_beside(path, fitted)
    want_bound(fitted.model, "rows have no score")
    encoded = larger.leading(encoded, options.limit)
    options.samples = options.samples or usual(fitted)[1]
    if options.by is not None:
        return _score_by_level(fitted, encoded, options, path, voice)
    taken = fitted.rows(encoded, options.seed, named(options.given))
    found = scored(fitted, taken, options.samples, options.seed)
    columns = {"bound": found.bound, "elbo": found.elbo, "log_likelihood": found.log_px, "kl": found.kl}
    if options.per_column:
        each = scored_by_column(fitted, taken, options.samples, options.seed)
        columns |= {f"nats:{name}": values for name, values in each.items()}
    arrays = {name: values.numpy() for name, values in columns.items()}
    write_beside(path, encoded, arrays, lead_of(encoded))
    _tell_scores(path, encoded, arrays, options.samples, voice)
    return 0


def _tell_scores(path: Path, encoded: Encoded, arrays: dict[str, Any], samples: int, voice: Voice) -> None:
    """Means with the standard error of the bound's, and the rows that lie lowest."""
    bound = arrays["bound"]
    means = {name: float(values.mean()) for name, values in arrays.items()}
    error = float(bound.std(ddof=1) / math.sqrt(len(bound))) if len(bound) > 1 else None
    lowest = np.argsort(bound, kind="stable")[:LOWEST]
    lead = {name: np.asarray(values)[lowest].tolist() for name, values in lead_of(encoded).items()}
    worst = [dict(zip(lead, row, strict=True)) for row in zip(*lead.values(), strict=True)]
    voice.result(
        {
            "out": str(path),
            "rows": len(bound),
            "samples": samples,
            "unit": "nats per row",
            "means": means,
            "standard_error": error,
            "lowest": [row | {"bound": float(bound[i])} for row, i in zip(worst, lowest, strict=True)],
            "data": encoded.source,
        }
    )
    spread = "" if error is None else f" ± {error:.4f}"
    first = ", ".join(f"{name} {value}" for name, value in worst[0].items())
    voice.say(
        f"{path}: {len(bound):,} rows; bound {means['bound']:.4f}{spread} nats on average, "
        f"lowest {bound.min():.4f} ({first})"
    )


def _score_by_level(fitted: Fitted, encoded: Encoded, options: Namespace, path: Path, voice: Voice) -> int:
    """Under each level of a condition: its probability given the row, and the bound with the level summed out."""
    if options.given:
        raise UsageError(
            "--by tries every level of a condition, so --given has nothing to say beside it: leave one out"
        )
    found = predict(fitted, encoded, options.by, options.samples, options.seed, bayes=True)
    if not isinstance(found, Prediction):
        raise UsageError(
            f"--by {options.by}: is a column of numbers, which has no levels; see lambent predict --target"
        )
    assert found.evidence is not None
    chances = {f"p_{level}": found.log_posterior[:, i].exp().numpy().round(6) for i, level in enumerate(found.levels)}
    arrays = {"predicted": np.array(found.likeliest), **chances, "bound": found.evidence.numpy()}
    write_beside(path, encoded, arrays, lead_of(encoded))
    right = accuracy(encoded, options.by, found.likeliest)
    mean = float(found.evidence.mean())
    voice.result(
        {
            "out": str(path),
            "rows": len(encoded),
            "by": options.by,
            "levels": found.levels,
            "accuracy": right,
            "bound": mean,
        }
    )
    told = (
        "" if right is None else f"; {100 * right:.2f} % of those that have a {options.by} have the one they are given"
    )
    voice.say(f"{path}: {len(encoded):,} rows under {len(found.levels)} levels of {options.by}{told}")
    return 0


def accuracy(encoded: Encoded, name: str, likeliest: Sequence[str]) -> float | None:
    """The share of rows with a level of the condition `name` whose likeliest level is that; None where no row has one."""
    own = encoded.beside.get(name)
    if own is None:
        return None
    right = [level_of(value) == told for value, told in zip(own, likeliest, strict=True) if not is_missing(value)]
    return float(np.mean(right)) if right else None


def embed(arguments: Sequence[str]) -> int:
    """Posterior means, the top level first."""
    parser = Parser("embed", "Codes of rows: the posterior mean of every unit.")
    add_run(parser)
    add_rows(parser, "rows to embed")
    add_options_for_files(parser)
    add_given(parser, "embed the rows under this value, in place of their own")
    add_tiles(parser)
    options = common(parser, machine=True).read(arguments)
    voice = Voice.of(options)
    path = claim(options, output.with_beside(output.TABLES))
    if options.tiles is not None:
        return tiled.embed(options, path, voice)
    _, fitted, encoded = opened_with_rows(options, voice)
    refuse_beside(path, fitted)
    encoded = larger.leading(encoded, options.limit)
    taken = fitted.rows(encoded, options.seed, named(options.given))
    codes = [code.flatten(1) for code in explore.encode(fitted, taken.x, taken.context)]
    names = names_of_levels(len(codes))
    write_beside(path, encoded, {n: c.numpy() for n, c in zip(names, codes, strict=True)}, lead_of(encoded))
    units = [c.shape[1] for c in codes]
    voice.result({"out": str(path), "rows": len(encoded), "units": units, "data": encoded.source})
    voice.say(f"{path}: {len(encoded):,} rows, {' + '.join(map(str, units))} units")
    return 0


# ---- what these verbs and those that make rows share -----------------------------------------------------------------


def add_samples(parser: Parser) -> None:
    """K, the samples of the bound."""
    reader = whole("--samples", 1, MOST_SAMPLES)
    parser.add_argument(
        "--samples", type=reader, help=f"K of the K-sample bound (default {SAMPLES}; fewer of costly priors)"
    )


def usual(fitted: Fitted) -> tuple[int | None, int]:
    """Rows and samples of an evaluation that does not say: all and K, or as few as the prior's densities afford."""
    prior = getattr(fitted.model.latent, "prior", None)
    few: tuple[int, int] | None = None if prior is None else prior.affordable
    return few or (None, SAMPLES)


def settle(options: Namespace, fitted: Fitted, voice: Voice, rows: int | None = None) -> None:
    """Set --limit and --samples where they were not given, `rows` being the usual limit; a costly prior's are told."""
    few, samples = usual(fitted)
    if few is not None and (options.limit is None or options.samples is None):
        name = type(fitted.model.latent.prior).__name__
        words = f"{few:,} rows and {samples:,} samples of each"
        voice.note(f"densities of a {name} prior take long: {words}, unless --limit and --samples say")
    options.limit = options.limit or few or rows
    options.samples = options.samples or samples


def add_options_for_files(parser: Parser) -> None:
    """--out, --force, --limit, --seed."""
    add_output(parser, output.with_beside(output.TABLES))
    parser.add_argument("--limit", type=whole("--limit", 1, 10**12), help="only the first so many rows")
    add_seed(parser)


def claim(options: Namespace, suffixes: Sequence[str]) -> Path:
    """The output's path, checked against the inputs before anything is read."""
    from lambent.cli.folder import model_file

    source = getattr(options, "data", None)
    return output.claim(options.out, suffixes, options.force, [source, model_file(options.run)])


def opened_with_rows(options: Namespace, voice: Voice, encoder: bool = True) -> tuple[Path, Fitted, Encoded | OnDisk]:
    """The model file's path, what it holds, and the rows asked for, of which `drawn` or `leading` takes some.

    encoder: it is needed, so that a model that has none is refused before any rows are read.
    """
    import_modules(options.modules)
    path, fitted = opened(options.run, options.device, options.threads)
    if encoder:
        ask_encoder(fitted.model)
    if options.data is not None:
        encoded = larger.given(fitted.modality, options.data, options.split, options.resize, path.parent, voice)
    else:
        encoded = recorded(fitted, options.split, path.parent, voice)
        voice.note(which(encoded, options.split))
    note_notices(encoded, voice)
    return path, fitted, encoded


def recorded(fitted: Fitted, split: str | None, folder: Path, voice: Voice) -> Encoded | OnDisk:
    """The run's own rows, with a note where they are not what they were."""
    if fitted.modality is None:
        raise UsageError("the model file does not say how its data are read: name the data")
    encoded = larger.recorded(fitted.provenance, fitted.modality, split, folder, voice)
    then: Any = fitted.provenance.get("test" if split in (None, "test") else "data") or {}
    # Of rows on disk the size of their file and the time of its last change are known, of others what they hold.
    known = [name for name in ("sha256", "bytes", "changed") if name in then and name in encoded.source]
    if split in (None, "test", "train") and any(then[name] != encoded.source[name] for name in known):
        voice.note("the data have changed since the model was trained")
    return encoded


def which(encoded: Encoded | OnDisk, split: str | None) -> str:
    """Which rows of which data a run's own are."""
    source = encoded.source
    data = source.get("name") or source.get("path") or "the data"
    part = source.get("part")
    words = {None: "test", "train": "training"}
    told = f"the {len(encoded):,} {words.get(split, split)} rows of {data}"
    return (
        told if part is None else f"{told}, {KEPT[part['side']]} its {part['of']:,}; `row` is the number there, from 0"
    )


def note_notices(encoded: Encoded | OnDisk, voice: Voice) -> None:
    for words in sentences(encoded.source, but=("constant", "dropped_index")).values():
        voice.note(f"data: {words}")
