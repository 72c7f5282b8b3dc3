"""Write the golden container of the present version: an archive of every kind of block, with a packed model, and what it holds.

Usage: python scripts/write_golden_container.py [FOLDER]. It is written once for a version and never again: every later version
must read it and give back the same (tests/golden/test_golden_container.py). Its coded blocks are bytes that no model made.
"""

import json
import sys
from pathlib import Path

import lambent
from lambent.codec.archive import Block, Writer
from lambent.codec.pack import packed
from lambent.fitted import load

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
BITS = 10
HEADER = {
    "kind": "arrays",
    "model": "0f" * 32,
    "numerics": 1,
    "event": [2, 3],
    "probe": "f0" * 32,
    "content": {"name": "Größe.npy", "dtype": "<u2"},
}


def blocks() -> list[tuple[Block, bytes]]:
    """Blocks of every kind, each with its content."""
    rising, even, none = bytes(range(240)), bytes(600), b""
    names = json.dumps([f"scan-{i:03}.png" for i in range(20)]).encode()
    return [
        (Block.coded(rising, 20, bytes(range(90, 26, -1)), 3, seed=7, borrowed=5, side=names), rising),
        (Block.stored(rising, 20), rising),
        (Block.stored(even, 50, side=b"short"), even),
        (Block.stored(none, 0), none),
    ]


def main(root: Path) -> None:
    path = root / lambent.__version__ / "container.lam"
    if path.exists():
        sys.exit(f"{path} is there already: golden files are never written anew; raise the version instead")
    with Writer(path, HEADER, packed(load(GOLDEN / lambent.__version__ / "image.safetensors"), BITS)) as archive:
        for block, _ in blocks():
            archive.add(block)
    held = [
        {
            "rows": b.rows,
            "coded": b.is_coded,
            "side": b.side.hex(),
            "content": content.hex(),
            "payload": b.payload.hex(),
        }
        for b, content in blocks()
    ]
    path.with_suffix(".json").write_text(
        json.dumps({"header": HEADER, "blocks": held}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
