"""What compress and info say of an archive."""

import shlex
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli.voice import Voice

if TYPE_CHECKING:
    from lambent.codec.files import Made

SUFFIX = ".lam"
NOUNS = {"arrays": "row", "lossy": "file", "pictures": "file", "table": "line"}  # what items are, by kind of content


def counted(number: int, noun: str) -> str:
    """1 file; 2,000 files."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def tell(made: "Made", path: Path, options: Namespace, voice: Voice) -> None:
    """What became of the data."""
    held = made.archive
    kind = held.header["kind"]
    noun = NOUNS[kind]
    _tell_notices(made, kind, options, voice)
    pays = made.pays_from if options.train else None
    voice.result(
        {"out": str(path), "kind": kind, "model": held.header["model"], **held.plain(), "taken": made.taken,
         "failed_blocks": made.failed, "model_bytes": made.model, "pays_from": pays}
    )  # fmt: skip
    share = f", {made.coded / made.taken:.1%} of the {made.taken:,} bytes that they took" if made.taken else ""
    bits = f"; {held.bits:.3f} bits for each number that the model told" if held.bits is not None else ""
    inside = f"; {held.model:,} bytes of it the model" if held.model else ""
    voice.say(
        f"{path}: {counted(made.items, noun)} in {made.coded:,} bytes{share}{bits}; the archive has {held.bytes:,}{inside}"
    )
    if options.train:
        _tell_whether_it_pays(made, pays, noun, options, voice)


def _tell_notices(made: "Made", kind: str, options: Namespace, voice: Voice) -> None:
    held = made.archive
    if made.failed:
        voice.note(
            f"{made.failed} blocks did not decode to what they were made of, and are stored as they are: nothing is lost, but "
            "this should not be; please report it"
        )
    if kind in ("lossy", "pictures") and held.stored_items:
        voice.note(
            f"{held.stored_items:,} of {counted(held.items, 'file')} are kept as they are, byte for byte: no pictures that the "
            "model can tell, or smaller so"
        )
    if not made.items:
        voice.note(f"there is nothing in {options.data} to compress")
    if kind == "arrays" and not held.coded_items:
        voice.note("no row is told by the model: they lie outside of what it knows, or are smaller without it")
    if held.model and not held.coded_items:
        voice.note(
            f"nothing in the archive needs the model inside: without --with-model it has {held.model:,} bytes less"
        )
    if special := made.notices["ignored_special"]:
        voice.note(f"left out: {special:,} links to nothing or to folders that are taken already, pipes or devices")
    passed = {name: count for name, count in made.notices.items() if name.startswith("passed by: ")}
    for name, count in passed.items():
        voice.note(f"left out: {count:,} {name.removeprefix('passed by: ')}")


def _tell_whether_it_pays(made: "Made", pays: float | None, noun: str, options: Namespace, voice: Voice) -> None:
    voice.say(f"the model is kept for the next: lambent compress {shlex.quote(options.model)} DATA -o FILE{SUFFIX}")
    if pays is None:
        which = "none of them is smaller by it" if not made.archive.coded_items else "it saves nothing"
        voice.say(
            f"it does not pay here: without a model these {noun}s take {made.unmodelled:,} bytes, and {which}. More {noun}s "
            "of the kind, or a longer training (--minutes), make a better one"
        )
        return
    saved = (made.unmodelled - made.coded) / made.items
    inside = "which are inside" if options.with_model else "--with-model puts them in"
    voice.say(
        f"it takes {made.model:,} bytes itself ({inside}), and saves {saved:,.1f} for each of the {noun}s: it pays from "
        f"{counted(max(1, round(pays)), noun)} on"
    )


def facts(path: Path) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """What `lambent info` says of an archive: for a reader, and as plain JSON."""
    from lambent.codec.described import described

    held = described(path)
    header, noun = held.header, NOUNS.get(held.header["kind"], "item")
    inside = (
        f"inside, {held.model:,} bytes" if held.model else "not inside: looked for by its hash, or named with --model"
    )
    told = [
        ("file", f"{path} ({held.bytes:,} bytes, an archive of {header['kind']})"),
        ("holds", f"{counted(held.items, noun)}, {held.content:,} bytes"),
        ("told by the model", _blocks(held.coded_items, noun, held.coded_blocks, held.payload)),
        ("kept as they are", _blocks(held.stored_items, noun, held.stored_blocks, held.stored)),
        ("rows of shape", " × ".join(map(str, header["event"]))),
    ]
    told += [] if held.bits is None else [("bits for each number", f"{held.bits:.4f}")]
    told += [("model", f"{header['model']}"), ("", inside), ("rules of arithmetic", str(header["numerics"]))]
    return told, {"file": str(path), **header, **held.plain()}


def _blocks(items: int, noun: str, blocks: int, size: int) -> str:
    return f"{counted(items, noun)} in {counted(blocks, 'block')}, {size:,} bytes"
