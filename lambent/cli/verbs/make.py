"""lambent reconstruct, interpolate, traverse: rows that a model makes of others."""

import argparse
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lambent.cli import output
from lambent.cli.reading.flags import (
    Parser,
    add_given,
    add_output,
    add_rows,
    add_run,
    add_seed,
    common,
    positive,
    whole,
)
from lambent.cli.reading.larger import in_memory, leading
from lambent.cli.verbs import tiled
from lambent.cli.verbs.coded import add_codes, opened_with_codes
from lambent.cli.verbs.made import are_drawn, grid_of, picture_levels, refuse_suffix, white_of, write_made
from lambent.cli.verbs.measure import claim, opened_with_rows
from lambent.cli.verbs.tiled import add_tiles
from lambent.cli.voice import Voice
from lambent.data.conditions import named
from lambent.data.leading import lead_of
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.report.run.gather import busiest
from lambent.tasks import explore
from lambent.tasks.evaluate import UnitUsage
from lambent.tasks.samples.without_encoder import liveliest

MOST = 10_000_000
SHOWN = 40  # pictures in a grid, unless asked otherwise


def reconstruct(arguments: Sequence[str]) -> int:
    """Rows through their posterior mean and back."""
    parser = Parser("reconstruct", "Rows through the code and back; as a picture, originals above reconstructions.")
    add_run(parser)
    add_rows(parser, "rows to reconstruct")
    parser.add_argument(
        "--limit", type=whole("--limit", 1, MOST), help=f"only the first so many rows ({SHOWN} for a picture)"
    )
    add_given(parser, "decode the codes under this value, in place of the rows' own")
    parser.add_argument(
        "--levels",
        action="store_true",
        help="what each level of a hierarchy holds: each row from the first level, from the first two, … from all, the rest "
        "as the prior expects it; as a picture, a row's original before them",
    )
    add_tiles(parser)
    options = read_options(parser, arguments)
    voice, path = Voice.of(options), claim(options, output.with_own(output.ALL))
    if options.tiles is not None:
        return tiled.reconstruct(options, path, voice)
    _, fitted, encoded = opened_with_rows(options, voice)
    refuse_suffix(path, fitted)
    picture = path.suffix.lower() == ".png"
    encoded = leading(encoded, options.limit or (SHOWN if picture else None))
    if options.levels:
        return _by_level(path, fitted, encoded, options, voice)
    taken, under = explore.rows_under(fitted, encoded, named(options.given), options.seed)
    again = explore.reconstruct(fitted, taken.x, taken.context, under=under)
    pairs = picture and are_drawn(fitted)
    grid = (
        output.paired(picture_levels(fitted, taken.x), picture_levels(fitted, again), white=white_of(fitted))
        if pairs
        else None
    )
    write_made(path, fitted, again, lead_of(encoded), grid, voice, of=encoded)
    return 0


def _by_level(path: Path, fitted: Fitted, encoded: Any, options: Namespace, voice: Voice) -> int:
    """Each row by the levels that are known of it, the fewest first."""
    if options.given:
        raise UsageError(
            "--levels shows what the codes of rows hold under their own values: leave --given or --levels out"
        )
    taken, counts = fitted.rows(encoded, options.seed), explore.stages(fitted)
    held = explore.levels_shown(fitted, taken.x, taken.context, counts)
    grid = None
    if path.suffix.lower() == ".png" and are_drawn(fitted):
        grid = np.concatenate((picture_levels(fitted, taken.x)[:, None], grid_of(fitted, held)), 1)
    lead = {name: np.repeat(np.asarray(values), len(counts), 0) for name, values in lead_of(encoded).items()}
    lead |= {"levels": np.tile(counts, len(taken))}
    write_made(path, fitted, held.flatten(0, 1), lead, grid, voice)
    voice.say("levels from the top, by column: " + ", ".join(map(str, counts)))
    return 0


def interpolate(arguments: Sequence[str]) -> int:
    """Walks between pairs of rows."""
    options = read_options(_for_walks(), arguments)
    voice, path = Voice.of(options), claim(options, output.with_own(output.ALL))
    if len(options.start) != len(options.end):
        raise UsageError(f"--from names {len(options.start)} rows and --to {len(options.end)}; they go in pairs")
    if options.codes is not None:
        fitted, codes, given = opened_with_codes(options, [*options.start, *options.end])
        refuse_suffix(path, fitted)
        pairs = len(options.start)
        start, end = [level[:pairs] for level in codes], [level[pairs:] for level in codes]
        context = None if given is None else given[:pairs]
        walks = explore.walk(fitted, start, end, options.steps, options.path, context)
    else:
        _refuse_given(options)
        _, fitted, found = opened_with_rows(options, voice)
        refuse_suffix(path, fitted)
        taken = fitted.rows(in_memory(found), options.seed)
        first, last = _picked(taken, options.start, "--from"), _picked(taken, options.end, "--to")
        walks = explore.interpolate(
            fitted, first.x, last.x, options.steps, options.path, first.context, context_end=last.context
        )
    pairs, steps = walks.shape[:2]
    lead = {"pair": np.repeat(np.arange(pairs), steps), "step": np.tile(np.arange(steps), pairs)}
    write_made(path, fitted, walks.flatten(0, 1), lead, grid_of(fitted, walks), voice)
    return 0


def _for_walks() -> Parser:
    parser = Parser(
        "interpolate", "Walk from one row to another through their codes; several pairs: --from 3,5 --to 7,9."
    )
    add_run(parser)
    add_rows(parser, "where the rows are")
    parser.add_argument(
        "--from",
        dest="start",
        action="extend",
        type=_numbers,
        required=True,
        metavar="ROW",
        help="where to start, from 0",
    )
    parser.add_argument(
        "--to", dest="end", action="extend", type=_numbers, required=True, metavar="ROW", help="where to end"
    )
    parser.add_argument(
        "--steps", type=whole("--steps", 2, 1000), default=10, help="rows of a walk, both ends included"
    )
    parser.add_argument(
        "--path", choices=("spherical", "linear"), default="spherical", help="the way between two codes"
    )
    add_codes(parser)
    add_given(parser, "with --codes, the value to decode them under")
    return parser


def traverse(arguments: Sequence[str]) -> int:
    """One unit at a time, or one principal direction."""
    parser = Parser(
        "traverse", "One row's code with one unit, or one principal direction, at a time moved through a range."
    )
    add_run(parser)
    add_rows(parser, "where the row is")
    parser.add_argument("--row", type=whole("--row", 0, MOST), default=0, help="which row, from 0 (default 0)")
    parser.add_argument(
        "--units",
        default="auto",
        help="such as 0,3,7, in a hierarchy LEVEL:UNIT; auto: up to 8 that carry most; of a code that may be turned (a prior or "
        "a posterior with full covariances) principal directions, counted from 1",
    )
    parser.add_argument(
        "--reach",
        type=positive,
        default=3.0,
        help="go from −X to X standard deviations of the prior about its mean, along a direction of the codes (default 3)",
    )
    parser.add_argument("--steps", type=whole("--steps", 2, 1000), default=9, help="values of every unit (default 9)")
    add_codes(parser)
    add_given(parser, "with --codes, the value to decode it under")
    options = read_options(parser, arguments)
    voice, path = Voice.of(options), claim(options, output.with_own(output.ALL))
    given = None if options.units == "auto" else [_unit(text) for text in options.units.split(",")]
    values, usage = torch.linspace(-options.reach, options.reach, options.steps), []
    if options.codes is not None:
        fitted, code, context = opened_with_codes(options, [options.row])
        refuse_suffix(path, fitted)
        units = given or liveliest(fitted, 8, options.seed, context)
        moved = explore.moved(fitted, code, units, values, context)
    else:
        _refuse_given(options)
        _, fitted, found = opened_with_rows(options, voice)
        refuse_suffix(path, fitted)
        taken = fitted.rows(in_memory(found), options.seed)
        row = _picked(taken, [options.row], "--row")
        usage = [] if given else _usage(fitted, taken)
        units, along = given or busiest(usage, 8), [level.directions for level in usage]
        moved = explore.traverse(fitted, row.x, units, values, row.context, along)
    noun = "unit" if not usage or usage[0].noun == "unit" else "direction"
    names = [_moved_name(unit, usage) for unit in units]
    lead: dict[str, Any] = {
        "level": [level for level, _ in names for _ in values],
        noun: [number for _, number in names for _ in values],
    }
    lead["value"] = values.repeat(len(units)).numpy()
    write_made(path, fitted, moved.flatten(0, 1), lead, grid_of(fitted, moved), voice)
    voice.say(f"{noun}s from top to bottom: " + ", ".join(f"{level}:{number}" for level, number in names))
    return 0


def _refuse_given(options: Namespace) -> None:
    if options.given:
        raise UsageError(
            "--given says what codes are decoded under, and rows say that themselves: give --codes, or leave it out"
        )


def read_options(parser: Parser, arguments: Sequence[str], suffixes: Sequence[str] | None = None) -> Namespace:
    """The options, with those of the output, the seed and the machine."""
    add_output(parser, output.with_own(output.ALL) if suffixes is None else suffixes)
    add_seed(parser)
    return common(parser, machine=True).read(arguments)


def _numbers(text: str) -> Any:
    """Row numbers, parted by commas."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes numbers of rows such as 3 or 3,5, not {text[:40]!r}") from None
    return found


def _unit(text: str) -> tuple[int, int]:
    level, colon, unit = text.rpartition(":")
    try:
        return (int(level) if colon else 0, int(unit))
    except ValueError:
        raise UsageError(
            f"--units {text[:40]!r}: takes numbers of units such as 0,3, in a hierarchy LEVEL:UNIT, or auto"
        ) from None


def _picked(taken: Rows, numbers: Sequence[int], flag: str) -> Rows:
    for number in numbers:
        if not 0 <= number < len(taken):
            raise UsageError(f"{flag} {number}: there are rows 0 … {len(taken) - 1}")
    return taken.at(torch.tensor(list(numbers)))


def _usage(fitted: Fitted, taken: Rows) -> list[UnitUsage]:
    """Just what the choice of units needs of an evaluation."""
    from lambent.metrics.collapse import levels

    context = None if taken.context is None else taken.context[:1000]
    return [UnitUsage.of(level) for level in levels(fitted.model, taken.x[:1000], context=context)]


def _moved_name(place: tuple[int, int], usage: Sequence[UnitUsage]) -> tuple[int, int]:
    """Level and number as a reader has them: units from 0, directions from 1."""
    level, unit = place
    return level, unit + (1 if usage and usage[level].noun == "direction" else 0)
