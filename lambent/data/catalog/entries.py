"""The catalog: data sets by name, with licence, protocol and official checksums.

Files are looked for below the folder LAMBENT_DATA, then in the cache, then fetched from the official address.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lambent.data.catalog import counted, sprites, texts
from lambent.data.catalog.cache import File, locate
from lambent.data.readers import arrays, idx
from lambent.data.readers.raw import Raw
from lambent.errors import DataError, UsageError, nearest

if TYPE_CHECKING:  # listing the sets must not wait for torch
    from lambent.part import Shape, Spec

Reader = Callable[["Entry", str, str], Raw]
ASSETS = Path(__file__).parents[1] / "assets"
CLOTHES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]


@dataclass(frozen=True)
class Entry:
    """One named data set: what it is, whose it is, how it is split, and the default modality for it."""

    name: str
    title: str
    licence: str
    address: str
    splits: dict[str, int]
    event: "Shape"
    notes: str
    read: Reader
    files: dict[str, File] = field(default_factory=dict)
    label_names: list[str] | None = None
    modality: "Spec" = field(default_factory=lambda: {"type": "Image"})
    apart: tuple[str, ...] = ("train",)  # the splits that share no row with 'valid'


def entry_named(name: str) -> tuple[Entry, str]:
    """The entry of that name and the options after "?"; `UsageError` with the nearest name."""
    bare, _, options = name.partition("?")
    if bare not in CATALOG:
        raise UsageError(f"no data set is called {bare!r}; {nearest(bare, CATALOG)}")
    if options and bare != "sprites":
        raise UsageError(f"{bare}: takes no options, only sprites does; leave '?{options}' out")
    return CATALOG[bare], options


def raw(name: str, split: str = "train") -> Raw:
    """The raw rows of a named data set; `DataError` if it has no such split or cannot be had."""
    entry, options = entry_named(name)
    if split not in entry.splits:
        raise DataError(f"{entry.name}: has no split {split!r}; {nearest(split, entry.splits)}")
    found = entry.read(entry, split, options)
    found.label_names = found.label_names or entry.label_names
    found.facts = {"name": name, "split": split, "licence": entry.licence, "address": entry.address}
    return found


def _gzipped_idx(folder: str, address: str, digests: dict[str, str]) -> dict[str, File]:
    named = {
        "train": "train-images-idx3-ubyte.gz",
        "train labels": "train-labels-idx1-ubyte.gz",
        "test": "t10k-images-idx3-ubyte.gz",
        "test labels": "t10k-labels-idx1-ubyte.gz",
    }
    return {role: File(f"{folder}/{file}", f"{address}/{file}", digests[role]) for role, file in named.items()}


def _mnist(entry: Entry, split: str, _: str) -> Raw:
    part = "test" if split == "test" else "train"
    rows, labels = (idx.read_idx(locate(entry.files[role])) for role in (part, f"{part} labels"))
    chosen = {"valid": slice(50_000, None), "train-50k": slice(0, 50_000)}.get(split, slice(None))
    return Raw(rows[chosen], labels[chosen])


def _slice_of_fashion(entry: Entry, split: str, _: str) -> Raw:
    return arrays.read(ASSETS / "fashion.npz", split)


def _static_mnist(entry: Entry, split: str, _: str) -> Raw:
    path = locate(entry.files["all"])
    bits = arrays.read(f"{path}:{split}_bits").rows
    if bits.dtype != np.uint8 or bits.shape != (entry.splits[split], 98):
        raise DataError(f"{path}: {split}_bits has shape {bits.shape}, not ({entry.splits[split]}, 98)")
    return Raw(np.unpackbits(bits, axis=1).reshape(-1, 28, 28))


def _faces(entry: Entry, split: str, _: str) -> Raw:
    path = locate(entry.files["all"])
    rows = arrays.read(f"{path}:x").rows
    total = entry.splits["all"]
    if rows.dtype != np.uint8 or rows.shape != (total, *entry.event[1:]):
        raise DataError(f"{path}: holds {rows.dtype} of shape {rows.shape}, not {total} pictures of {entry.event[1:]}")
    index = np.arange(total)
    att = entry.name == "att-faces"
    held = index % 10 >= 8 if att else index >= total - entry.splits["test"]
    kept = {"train": ~held, "test": held, "all": held | ~held}[split]
    return Raw(rows[kept], index[kept] // 10 if att else None)


def _sprites(entry: Entry, split: str, options: str) -> Raw:
    grid = sprites.parse(options)
    classes = grid.classes()
    names = list(sprites.FACTORS)
    return Raw(grid.render(), classes[:, 1], list(grid.shapes), factors=classes, factor_names=names)


def _spoken_digits(entry: Entry, split: str, _: str) -> Raw:
    """The files {digit}_{speaker}_{take}.wav of a split; their names tell the rest."""
    folder = locate(entry.files["first"]).parent
    found = sorted(folder.glob("?_*_*.wav"))
    total = sum(entry.splits.values())
    if len(found) != total:
        raise DataError(f"{folder}: holds {len(found):,} recordings, not the {total:,} of version 1.0.10; replace it")
    held = [int(path.stem.rpartition("_")[2]) < 5 for path in found]
    return Raw([path for path, out in zip(found, held, strict=True) if out == (split == "test")])


def _entries() -> list[Entry]:
    fashion: dict[str, Any] = {
        "licence": "MIT, © 2017 Zalando SE",
        "address": "https://github.com/zalandoresearch/fashion-mnist",
        "event": (1, 28, 28),
        "label_names": CLOTHES,
    }
    mnist_splits = {"train": 60_000, "test": 10_000, "valid": 10_000, "train-50k": 50_000}
    fifty = "'valid' is the last 10,000 training pictures; train on 'train-50k' when you use it."
    return [
        Entry(
            "fashion",
            "A slice of Fashion-MNIST that ships with Lambent: clothes, grey",
            splits={"train": 10_000, "test": 2_000},
            notes="The first 1,000 training and 200 test pictures of each of 10 classes, in file order. For figures "
            "that others can compare, use fashion-mnist.",
            read=_slice_of_fashion,
            **fashion,
        ),
        Entry(
            "fashion-mnist",
            "Fashion-MNIST: clothes, grey (Xiao, Rasul, Vollgraf 2017)",
            splits=mnist_splits,
            notes=f"8-bit pixels. {fifty}",
            read=_mnist,
            apart=("train-50k",),
            files=_gzipped_idx(
                "fashion-mnist",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
                {
                    "train": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
                    "train labels": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
                    "test": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
                    "test labels": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
                },
            ),
            **fashion,
        ),
        Entry(
            "mnist",
            "MNIST: handwritten digits, grey (LeCun, Cortes, Burges 1998)",
            licence="not stated by its source",
            address="https://yann.lecun.com/exdb/mnist/",
            splits=mnist_splits,
            event=(1, 28, 28),
            notes="8-bit pixels as published. Most papers report binary pixels drawn anew for each use "
            "(binarize=dynamic) or one fixed draw (mnist-static); the bounds of the three are not comparable. "
            f"{fifty} Fetched from the mirror of the CVDF; its files are checked against the original ones.",
            read=_mnist,
            apart=("train-50k",),
            files=_gzipped_idx(
                "mnist",
                "https://storage.googleapis.com/cvdf-datasets/mnist",
                {
                    "train": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    "train labels": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    "test": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    "test labels": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                },
            ),
        ),
        Entry(
            "mnist-static",
            "MNIST binarized once and for all (Salakhutdinov & Murray 2008; Larochelle & Murray 2011)",
            licence="not stated by its source",
            address="https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
            splits={"train": 50_000, "valid": 10_000, "test": 10_000},
            event=(1, 28, 28),
            notes="Pixels are 0 or 1. No labels. The source gives three text files of 0 and 1; pack them as "
            "mnist-static/binarized.npz with keys train_bits, valid_bits, test_bits = np.packbits(rows, axis=1).",
            read=_static_mnist,
            files={"all": File("mnist-static/binarized.npz")},
        ),
        Entry(
            "frey-faces",
            "Frey faces: one face over a video, grey (Roweis)",
            licence="none stated",
            address="https://cs.nyu.edu/~roweis/data.html",
            splits={"train": 1_600, "test": 365, "all": 1_965},
            event=(1, 28, 20),
            notes="No split is published. Frames are in the order of time, so 'test' is the last 365: a random cut "
            "would put near copies on both sides. The source gives a MATLAB file: put uint8 [1965, 28, 20] under key x into "
            "faces/frey.npz.",
            read=_faces,
            files={"all": File("faces/frey.npz")},
        ),
        Entry(
            "att-faces",
            "AT&T (ORL) faces: 40 people, 10 pictures each, grey (Samaria & Harter 1994)",
            licence="give credit to AT&T Laboratories Cambridge",
            address="https://www.cl.cam.ac.uk/research/dtg/attarchive/facedatabase.html",
            splits={"train": 320, "test": 80, "all": 400},
            event=(1, 112, 92),
            notes="No split is published. 'test' is the last 2 pictures of each person; labels are the people. The "
            "source gives PGM files: put uint8 [400, 112, 92] under key x into faces/att.npz.",
            read=_faces,
            files={"all": File("faces/att.npz")},
            label_names=[f"person {i + 1}" for i in range(40)],
        ),
        Entry(
            "fsdd",
            "Free Spoken Digits: ten digits by six speakers, 50 takes each, 8 kHz (Jackson et al.)",
            licence="CC BY-SA 4.0",
            address="https://github.com/Jakobovski/free-spoken-digit-dataset",
            splits={"train": 2_700, "test": 300},
            event=(1, 128, 48),
            notes="'test' is takes 0 to 4 of each digit and speaker, as published; labels are the digits, and the speaker and "
            "the take lie beside them, --condition speaker; --data.pattern {digit}_{label}_{take} makes the speaker the label. "
            "The source is a repository: put the folder recordings of version 1.0.10 into speech/fsdd.",
            read=_spoken_digits,
            files={"first": File("speech/fsdd/0_george_0.wav")},
            modality={"type": "Audio", "pattern": "{label}_{speaker}_{take}"},
        ),
        Entry(
            "sprites",
            "Sprites: white shapes with six known factors, drawn to the specification of dSprites",
            licence="drawn here; no licence needed",
            address="https://github.com/google-deepmind/dsprites-dataset",
            splits={"train": len(sprites.DEFAULT)},
            event=(1, 64, 64),
            notes="Every combination once: 3 shapes × 6 scales × 10 orientations × 8 × 8 places = 11,520. Another "
            "grid: 'sprites?shape=3,scale=6,orientation=40,x=32,y=32' (all 737,280 take 3 GB). No split is published: the "
            "factors are the ground truth, kept as `factors`.",
            read=_sprites,
        ),
        *(Entry(**entry) for entry in counted.entries()),
        *(Entry(**texts.fields(entry)) for entry in texts.entries()),
    ]


CATALOG = {entry.name: entry for entry in _entries()}
