"""lambent restyle: pictures or sounds with their own content in another style, named or taken from exemplars."""

import argparse
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.cli import output
from lambent.cli.folder import apart, model_file, opened
from lambent.cli.reading import larger
from lambent.cli.reading.flags import Parser, add_rows, add_run, add_seed, common, filled, import_modules, whole
from lambent.cli.reading.sources import settled
from lambent.cli.verbs.made import are_drawn
from lambent.cli.verbs.measure import opened_with_rows
from lambent.cli.verbs.tiled import add_tiles
from lambent.cli.voice import Voice
from lambent.data import Encoded
from lambent.data.conditions import named
from lambent.data.leading import lead_of
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.tasks.restyle import Restyled, restyle_whole
from lambent.tasks.restyle import restyle as restyled
from lambent.tasks.styles.detail import DETAIL
from lambent.tasks.tiles import Tiles

MOST = 10_000_000
SHOWN = 40  # pictures on the sheet
SHEET = "beside.png"


def restyle(arguments: Sequence[str]) -> int:
    """Each picture or sound as a file of the folder; of pictures also a sheet of originals above what was made of them."""
    options = common(_parser(), machine=True).read(arguments)
    voice, folder = Voice.of(options), _claimed(options)
    if options.tiles is not None:
        return _whole(options, folder, voice)
    path, fitted, found = opened_with_rows(options, voice)
    _refuse_others(fitted)
    encoded = larger.leading(found, options.limit)
    exemplars = [
        larger.in_memory(larger.given(fitted.modality, each, None, options.resize, path.parent, voice))
        for each in options.like
    ]
    made = restyled(fitted, encoded, **_styles(options, exemplars), seed=options.seed)
    _tell_guess(made, voice)
    files, what = _written(folder, fitted, encoded, made)
    voice.result({"out": str(folder), "files": [str(each) for each in files], "own": made.own, "guessed": made.guessed})
    voice.say(f"{folder}: {what}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        "restyle",
        "Pictures or sounds with their own content in another style: one that training knew by name, such as a speaker, or one "
        "that other pictures have.",
    )
    add_run(parser)
    add_rows(parser, "pictures or sounds to restyle")
    parser.add_argument(
        "-o", "--out", required=True, metavar="DIR", type=filled("--out"), help="a folder for what is made"
    )
    parser.add_argument("--force", action="store_true", help="write into a folder that holds files already")
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="STYLE",
        help="the style by its name in training, such as twitter, or NAME=VALUE of several conditions",
    )
    parser.add_argument(
        "--like",
        action="append",
        default=[],
        metavar="PICTURES",
        help="a file or folder of pictures that share a style, labelled or not, for a run with a code of style",
    )
    parser.add_argument(
        "--strength",
        type=_share,
        default=1.0,
        metavar="0…1",
        help="from the pictures' own style to the other (default 1)",
    )
    parser.add_argument(
        "--mix", type=_share, metavar="0…1", help="the share of a second style, which a second --to or --like gives"
    )
    parser.add_argument(
        "--detail",
        type=_share,
        metavar="0…1",
        help=f"the share that is carried over of what the code lost of a picture (default {DETAIL}; of sounds 0)",
    )
    parser.add_argument(
        "--from",
        dest="own",
        metavar="STYLE",
        help="the style that the pictures have; default: what they tell, or the likeliest",
    )
    parser.add_argument("--limit", type=whole("--limit", 1, MOST), help="only the first so many pictures")
    add_tiles(parser)
    add_seed(parser)
    return parser


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"takes a number from 0 to 1, not {text[:40]!r}")
    return number


def _styles(options: Namespace, exemplars: list[Any]) -> dict[str, Any]:
    """What the flags ask for, as `restyle` takes it."""
    names = [_style(text) for text in options.to]
    several = options.mix is not None
    if not several and len(names) + len(exemplars) > 1:
        raise UsageError("one style is taken at a time, a --to or a --like: --mix says how much of a second")
    return {
        "to": (names if several else names[0]) if names else None,
        "like": (exemplars if several else exemplars[0]) if exemplars else None,
        "strength": options.strength,
        "mix": options.mix,
        "detail": options.detail,
        "own": None if options.own is None else _style(options.own),
    }


def _style(text: str) -> Any:
    return named([text]) if "=" in text else text


def _claimed(options: Namespace) -> Path:
    """The folder to write into, checked before anything is read."""
    folder = Path(options.out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; the pictures need a folder")
    if options.data is not None:
        apart(folder, settled(options.data))
    if folder.is_dir() and any(folder.iterdir()) and not options.force:
        raise UsageError(f"--out {folder}: holds files already; add --force to write beside them, or choose another")
    model_file(options.run)
    return folder


def _refuse_others(fitted: Fitted) -> None:
    if not are_drawn(fitted) and not _in_files(fitted):
        raise UsageError(
            "restyle makes pictures and sounds, and this run is of other rows: lambent reconstruct RUN DATA --given NAME=VALUE "
            "decodes them under another value"
        )


def _in_files(fitted: Fitted) -> bool:
    """Whether each row becomes a file of a folder, as its own kind of data writes it."""
    return fitted.modality is not None and output.FOLDER in fitted.modality.suffixes


def _tell_guess(made: Restyled, voice: Voice) -> None:
    if made.guessed and made.own is not None:
        counts = Counter(made.own).most_common()
        told = ", ".join(f"{name} of {count:,}" for name, count in counts)
        voice.note(f"these rows do not tell their own style; by the bound the likeliest is {told} (--from says it)")


def _written(folder: Path, fitted: Fitted, encoded: Encoded, made: Restyled) -> tuple[list[Path], str]:
    """A file for each row, and of pictures the sheet; and what was written, in words."""
    assert fitted.modality is not None
    if _in_files(fitted):
        fitted.modality.write(folder, made.x, lead_of(encoded))
        return sorted(path for path in folder.rglob("*") if path.is_file()), f"{len(made.x):,} {fitted.modality.noun}"
    white = fitted.modality.white
    before, after = fitted.modality.levels(made.rows.x), fitted.modality.levels(made.x)
    assert before is not None
    assert after is not None
    files = [
        output.write_picture(folder / name, picture, white)
        for name, picture in zip(_names(encoded), after, strict=True)
    ]
    sheet = output.paired(before[:SHOWN], after[:SHOWN], white=white)
    output.write_grid(folder / SHEET, sheet, white)
    return files, f"{len(files):,} picture{'s' * (len(files) != 1)}, and {SHEET} with originals above them"


def _names(encoded: Encoded) -> list[str]:
    """Of each picture the name of its file within the data, ending in .png; its number where it has none, or shares one."""
    numbers = range(len(encoded)) if encoded.numbers is None else encoded.numbers.tolist()
    plain = [f"{number:06d}" for number in numbers]
    if encoded.files is None:
        return [f"{name}.png" for name in plain]
    alone = Path(str(encoded.source.get("path", ""))).name  # of one file, which is "." within itself
    stems = [str(_within(Path(alone if file == "." else file)).with_suffix("")) for file in encoded.files]
    often = Counter([*stems, Path(SHEET).stem])
    return [f"{stem if often[stem] == 1 else f'{stem}-{name}'}.png" for stem, name in zip(stems, plain, strict=True)]


def _name_of(file: str, source: str) -> str:
    """The name of a photograph within a folder, or of the one that was named."""
    inside = os.path.relpath(file, source)
    return str(_within(Path(Path(file).name if inside == "." else inside)).with_suffix(".png"))


def _within(path: Path) -> Path:
    return Path(path.name) if path.is_absolute() or ".." in path.parts else path


def _whole(options: Namespace, folder: Path, voice: Voice) -> int:
    """Photographs at their own size, in tiles."""
    if options.data is None:
        raise UsageError("--tiles takes photographs as they are: name the file or the folder after the run")
    if options.resize or options.split:
        raise UsageError(
            "--tiles takes photographs as they are, and all that are there: leave --resize and --split out"
        )
    import_modules(options.modules)
    path, fitted = opened(options.run, options.device, options.threads)
    _refuse_others(fitted)
    tiles = Tiles.of(fitted, options.tiles)
    voice.step(f"tiles of {tiles.tile} pixels, which overlap by {tiles.field.reach} on each side")
    exemplars = [
        larger.in_memory(larger.given(fitted.modality, each, None, True, path.parent, voice)) for each in options.like
    ]
    files = []
    for number, (file, x) in enumerate(tiles.photographs(settled(options.data))):
        if options.limit is not None and number >= options.limit:
            break
        made = restyle_whole(tiles, x, **_styles(options, exemplars), seed=options.seed)
        _tell_guess(made, voice)
        name = f"{number:06d}.png" if file is None else _name_of(file, settled(options.data))
        picture = tiles.picture(made.x)
        files.append(output.write_picture(folder / name, picture, fitted.modality.white if fitted.modality else 255))
    voice.result({"out": str(folder), "files": [str(each) for each in files], "tile": tiles.tile})
    voice.say(f"{folder}: {len(files):,} photograph{'s' * (len(files) != 1)}")
    return 0
