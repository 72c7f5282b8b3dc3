"""lambent invert: codes of rows by optimization."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lambent.cli import output
from lambent.cli.folder import model_file
from lambent.cli.reading import larger
from lambent.cli.reading.flags import Parser, add_given, add_rows, add_run, common, positive, whole
from lambent.cli.verbs.coded import names_of_levels
from lambent.cli.verbs.made import are_drawn, picture_levels
from lambent.cli.verbs.make import SHOWN
from lambent.cli.verbs.measure import add_options_for_files, claim, opened_with_rows
from lambent.cli.voice import Voice
from lambent.data.conditions import named
from lambent.data.leading import lead_of
from lambent.fitted import Fitted
from lambent.report.numerals import show
from lambent.tasks.invert import RATE, STARTS, STEPS, Inverted
from lambent.tasks.invert import invert as found_by

MOST = 10_000


def invert(arguments: Sequence[str]) -> int:
    """Codes of rows by gradient descent, and of pictures what the model makes of them."""
    parser = Parser(
        "invert",
        "Codes of rows by optimization, for a model without an encoder (a GAN) or for closer ones than an encoder gives; of "
        "pictures with a .png beside: originals above what the codes make.",
    )
    add_run(parser)
    add_rows(parser, "rows to find codes of")
    add_options_for_files(parser)
    add_given(parser, "find codes under this value, in place of the rows' own")
    parser.add_argument(
        "--steps", type=whole("--steps", 0, 10**6), default=STEPS, help=f"steps of the descent (default {STEPS})"
    )
    parser.add_argument(
        "--starts",
        type=whole("--starts", 1, 256),
        default=STARTS,
        help=f"codes that each row's descent starts from, of which the best is kept (default {STARTS})",
    )
    parser.add_argument(
        "--prior",
        type=_weight,
        default=1.0,
        help="weight of log p(z), which keeps codes where the prior draws them; 0: the closest picture (default 1)",
    )
    parser.add_argument("--rate", type=positive, default=RATE, help=f"the first step's length (default {RATE})")
    options = common(parser, machine=True).read(arguments)
    voice, path = Voice.of(options), claim(options, output.TABLES)
    beside = path.with_suffix(".png")
    _, fitted, encoded = opened_with_rows(options, voice, encoder=False)
    if are_drawn(fitted):
        output.claim(str(beside), (".png",), options.force, [options.data, model_file(options.run)])
    encoded = larger.leading(encoded, options.limit)
    found = found_by(
        fitted, encoded, steps=options.steps, starts=options.starts, prior=options.prior, rate=options.rate,
        seed=options.seed, given=named(options.given),
    )  # fmt: skip
    names = names_of_levels(len(found.codes))
    arrays = {name: code.flatten(1).numpy() for name, code in zip(names, found.codes, strict=True)}
    output.write(path, arrays, lead_of(encoded) | {"error": found.error.numpy(), "loss": found.loss.numpy()}, None)
    _tell(path, beside if are_drawn(fitted) else None, fitted, found, options, voice)
    return 0


def _weight(text: str) -> float:
    """A number that may be 0."""
    return 0.0 if text.strip() in ("0", "0.0") else positive(text)


def _tell(path: Path, beside: Path | None, fitted: Fitted, found: Inverted, options: Namespace, voice: Voice) -> None:
    """Write the pictures, and say how near the codes came."""
    if beside is not None:
        white = 255 if fitted.modality is None else fitted.modality.white
        above, below = (picture_levels(fitted, x[:SHOWN]) for x in (found.rows.x, found.made))
        output.write_grid(beside, output.paired(above, below, white=white), white)
    error = found.error.numpy()
    units = [code.flatten(1).shape[1] for code in found.codes]
    facts = {"out": str(path), "pictures": None if beside is None else str(beside), "rows": len(error), "units": units}
    voice.result(facts | {"error": float(error.mean()), "steps": options.steps, "starts": options.starts})
    told = f"{path}: {len(error):,} rows, {' + '.join(map(str, units))} units"
    worst = int(np.argmax(error))
    voice.say(
        f"{told}; root mean square error {show(float(error.mean()))} on average, {show(float(error[worst]))} at most (row "
        f"{worst}){'' if beside is None else f'; {beside}: originals above, what the codes make below'}"
    )
