"""lambent predict, impute: what a table's columns are, given others."""

import argparse
import math
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli import output
from lambent.cli.folder import model_file, opened
from lambent.cli.reading.flags import Parser, add_output, add_run, add_seed, common, import_modules, whole
from lambent.cli.reading.sources import settled
from lambent.cli.verbs.made import refuse_beside, refuse_suffix, write_beside
from lambent.cli.verbs.measure import accuracy
from lambent.cli.voice import Voice
from lambent.data.leading import lead_of
from lambent.data.loading import encode_like
from lambent.data.readers.filling import merged_columns
from lambent.data.readers.tabular import format_of
from lambent.data.readers.typed import Declared, Typed
from lambent.data.writers.lines import SUFFIXES as LINES
from lambent.data.writers.lines import write_texts
from lambent.data.writers.refilled import Text, write_refilled
from lambent.data.writers.tables import DELIMITERS, SUFFIXES, write_table
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.model import ask_encoder
from lambent.tasks.conditional import SAMPLES
from lambent.tasks.filling import CODES, fill
from lambent.tasks.impute import MOST_DRAWS, Imputation, imputed
from lambent.tasks.partial import partly, table_of
from lambent.tasks.predict import Prediction
from lambent.tasks.predict import predict as predicted

MOST_CODES = 100_000
FEW = 10.0  # codes that a row should be worth; fewer are told


def predict(arguments: Sequence[str]) -> int:
    """One column of every row, from whatever else is there."""
    parser = Parser(
        "predict", "A column, or a condition, of every row given whatever else is there; gaps are no hindrance."
    )
    add_run(parser)
    parser.add_argument("data", metavar="FILE", help="rows; they may lack columns, and have gaps")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    _add_samples(parser)
    add_output(parser, output.with_beside(output.TABLES))
    add_seed(parser)
    options = common(parser, machine=True).read(arguments)
    voice = Voice.of(options)
    path = _claim(options, output.with_beside(output.TABLES))
    fitted, source = _opened(options)
    refuse_beside(path, fitted)
    rows = None
    if options.target in fitted.conditions.names and fitted.modality is not None:
        rows = encode_like(fitted.modality, source)
    found = predicted(fitted, source if rows is None else rows, options.target, options.samples, options.seed)
    if isinstance(found, Prediction):
        columns: dict[str, Any] = {"predicted": np.array(found.likeliest)}
        columns |= {f"p_{level}": found.probabilities[:, i].round(6) for i, level in enumerate(found.levels)}
    else:
        columns = {"mean": found.mean, "median": found.median}
        columns |= {f"q{share:g}": found.quantiles[:, i] for i, share in enumerate(found.shares)}
    count = len(found.log_posterior if isinstance(found, Prediction) else found.evidence)
    if rows is None:
        output.write(path, columns, {"row": np.arange(count)}, None)
        agreement = _agreement(fitted, source, options.target, found)
    else:
        write_beside(path, rows, columns, lead_of(rows))
        assert isinstance(found, Prediction)  # of a condition
        right = accuracy(rows, options.target, found.likeliest)
        agreement = {} if right is None else {"accuracy": right}
    voice.result({"out": str(path), "rows": count, "target": options.target, **agreement})
    _tell_worth(found.effective, voice)
    agreed = "".join(f"; {name.replace('_', ' ')} {value:.4f}" for name, value in agreement.items())
    voice.say(f"{path}: {options.target} of {count:,} rows{agreed}")
    return 0


def _agreement(fitted: Fitted, source: Any, target: str, found: Any) -> dict[str, float]:
    """How well the predictions agree with the target's own cells, where the file has some."""
    table = table_of(fitted)
    file = partly(fitted, source)
    if file.opened is None or target in file.lacking:
        return {}
    own = file.rows.x[:, table.names.index(target)].double().numpy()
    there = ~np.isnan(own)
    if not there.any():
        return {}
    if isinstance(found, Prediction):
        return {"accuracy": float((np.floor(own[there]) == found.log_posterior.argmax(1).numpy()[there]).mean())}
    truth = table.column(target).decode(own[:, None]).values
    if truth.dtype.kind not in "biuf":
        return {}
    return {"root_mean_squared_error": float(np.sqrt(np.mean((truth[there] - found.mean[there]) ** 2)))}


def impute(arguments: Sequence[str]) -> int:
    """The gaps of a file filled; every other cell stays as it stands there."""
    parser = Parser(
        "impute",
        "Fill the gaps of a table, or those of texts that are marked ___, given all that is there; all else stays as it is.",
    )
    add_run(parser)
    parser.add_argument("data", metavar="FILE", help="rows with gaps")
    parser.add_argument(
        "--draws",
        type=whole("--draws", 1, MOST_DRAWS),
        default=0,
        help="instead of means and likeliest levels so many completed copies, each a draw, one after the other behind a column "
        "`draw`: multiple imputation",
    )
    parser.add_argument(
        "--interval",
        type=_share,
        metavar="SHARE",
        help="such as 0.9: beside each number that had gaps NAME_low and NAME_high, between which it lies with that probability",
    )
    _add_samples(parser)
    add_output(parser, output.with_own(SUFFIXES))
    add_seed(parser)
    options = common(parser, machine=True).read(arguments)
    if options.draws and options.interval:
        raise UsageError("--interval is beside means, and --draws are copies of their own: leave one out")
    voice = Voice.of(options)
    path = _claim(options, output.with_own(SUFFIXES))
    fitted, source = _opened(options)
    refuse_suffix(path, fitted)
    if fitted.modality is not None and fitted.modality.gap_mark:
        return _fill(path, source, fitted, options, voice)
    found = imputed(
        fitted,
        source,
        draws=options.draws,
        interval=options.interval,
        samples=options.samples or SAMPLES,
        seed=options.seed,
    )
    _write_filled(path, source, fitted, found, options.draws)
    worth = float(found.effective.median()) if len(found.effective) else None
    voice.result(
        {
            "out": str(path),
            "rows": found.rows,
            "gaps": found.gaps,
            "columns": list(found.fills),
            "rows_of_nothing_but_gaps": found.silent,
            "effective_codes": worth,
        }
    )
    if found.silent:
        voice.note(f"{found.silent:,} rows are nothing but gaps: they were given what the model expects of any row")
    _tell_worth(found.effective, voice)
    voice.say(f"{path}: {found.gaps:,} gaps in {len(found.fills):,} columns of {found.rows:,} rows filled")
    return 0


def _fill(path: Path, source: str, fitted: Fitted, options: Namespace, voice: Voice) -> int:
    """The gaps of texts."""
    if options.draws or options.interval:
        raise UsageError("--draws and --interval are for gaps of tables: leave them out")
    found = fill(fitted, source, samples=options.samples or CODES, seed=options.seed)
    if path.suffix.lower() in LINES:
        write_texts(path, found.texts, {})
    else:
        output.write(path, {"text": np.array(found.texts, object)}, {"row": np.arange(len(found.texts))}, None)
    gaps = sum(map(len, found.fills.values()))
    voice.result({"out": str(path), "rows": len(found.texts), "gaps": gaps})
    voice.say(f"{path}: {gaps:,} gaps in {len(found.fills):,} of {len(found.texts):,} texts filled")
    return 0


def _write_filled(path: Path, source: Any, fitted: Fitted, found: Imputation, draws: int) -> None:
    copies = found.draws if draws else [found.fills]
    if path.suffix.lower() in DELIMITERS and isinstance(source, str) and format_of(Path(source)) == "text":
        table = table_of(fitted)
        text = Text(Path(source), found.opened, table.delimiter, table.header)
        write_refilled(path, text, copies, found.beside, numbered=draws > 0)
        return
    write_table(path, _pieces(found, copies, draws > 0))


def _pieces(found: Imputation, copies: Iterable[Mapping[str, Typed]], numbered: bool) -> Iterable[dict[str, Typed]]:
    for number, fills in enumerate(copies, 1):
        lead = {"draw": Typed(np.full(found.rows, number), Declared("Int64"))} if numbered else {}
        yield lead | merged_columns(found.opened, fills, found.beside)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"takes a share between 0 and 1, such as 0.9, not {text[:40]!r}")
    return share


def _add_samples(parser: Parser) -> None:
    parser.add_argument(
        "--samples", type=whole("--samples", 1, MOST_CODES), help=f"codes of every row (default {SAMPLES})"
    )


def _claim(options: Namespace, suffixes: Sequence[str]) -> Path:
    return output.claim(options.out, suffixes, options.force, [options.data, model_file(options.run)])


def _opened(options: Namespace) -> tuple[Fitted, str]:
    """The model, and where the rows are."""
    import_modules(options.modules)
    fitted = opened(options.run, options.device, options.threads)[1]
    ask_encoder(fitted.model)
    return fitted, settled(options.data)


def _tell_worth(effective: Any, voice: Voice) -> None:
    """A note where many rows hang on a few of their codes."""
    if effective is None or not len(effective):
        return
    few = int((effective < FEW).sum())
    if few > len(effective) / 10:
        voice.note(
            f"{few:,} of {len(effective):,} rows are worth fewer than {FEW:g} of their codes (the median is worth "
            f"{float(effective.median()):.1f}): more --samples make these steadier"
        )
