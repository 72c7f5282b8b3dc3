"""The named sets of texts: where their files lie, how they are split, and how they are read."""

from typing import TYPE_CHECKING, Any

from lambent.data.catalog.cache import File, locate
from lambent.data.readers.raw import Raw
from lambent.errors import DataError

if TYPE_CHECKING:
    from lambent.data.catalog.entries import Entry

_CAPTIONS = {
    "train": "train",
    "valid": "val",
    "test": "test_2016_flickr",
    "test-2017": "test_2017_flickr",
    "test-2017-coco": "test_2017_mscoco",
    "test-2018": "test_2018_flickr",
}


def _lines(entry: "Entry", split: str, _: str) -> Raw:
    """A text a line; the blanks around it, which the Penn Treebank has, are no part of it."""
    from lambent.data.readers.texts import texts_in  # only here: listing the sets must not wait for it

    path = locate(entry.files[split])
    found = texts_in(path, "smiles", ())
    found.texts = [text.strip() for text in found.texts]
    return _checked(entry, split, found, str(path))


def _checked(entry: "Entry", split: str, found: Any, where: str) -> Raw:
    if len(found) != entry.splits[split]:
        raise DataError(f"{where}: holds {len(found):,} texts, not {entry.splits[split]:,}")
    return Raw(found)


def entries() -> list[dict[str, Any]]:
    """The fields of each entry."""
    return [
        {
            "name": "ptb",
            "title": "Penn Treebank, sentences of the Wall Street Journal (Marcus et al. 1993; Mikolov et al. 2010)",
            "licence": "none stated; the Treebank's own is that of the LDC",
            "address": "https://catalog.ldc.upenn.edu/LDC99T42",
            "splits": {"train": 42_068, "valid": 3_370, "test": 3_761},
            "notes": "10,000 different words, others <unk>, numbers N. Papers count the end of a sentence as a word where they "
            "give a perplexity. Put ptb.train.txt, ptb.valid.txt and ptb.test.txt into text/ptb/.",
            "files": {split: File(f"text/ptb/ptb.{split}.txt") for split in ("train", "valid", "test")},
        },
        {
            "name": "multi30k",
            "title": "Multi30k: captions of photographs, English (Elliott, Frank, Sima'an, Specia 2016)",
            "licence": "none stated",
            "address": "https://github.com/multi30k/dataset",
            "splits": {
                "train": 29_000, "valid": 1_014, "test": 1_000, "test-2017": 1_000, "test-2017-coco": 461, "test-2018": 1_071,
            },
            "notes": "'test' is that of 2016. Put the English files (train.en.gz …) into text/multi30k/.",
            "files": {split: File(f"text/multi30k/{file}.en.gz") for split, file in _CAPTIONS.items()},
        },
        {
            "name": "qm9",
            "title": "QM9: small organic molecules as SMILES (Ramakrishnan et al. 2014)",
            "licence": "Apache-2.0 by the repository that it is from",
            "address": "https://www.nature.com/articles/sdata201422",
            "splits": {"train": 133_885},
            "notes": "Up to nine atoms of C, N, O and F beside hydrogen. No split is published: hold some out. Put a CSV file "
            "with a column smiles into molecules/qm9.csv.",
            "files": {"train": File("molecules/qm9.csv")},
        },
        {
            "name": "zinc",
            "title": "Natural products of ZINC as SMILES, 50,000 of them (Irwin, Shoichet)",
            "licence": "BSD-3 by the repository that it is from",
            "address": "https://zinc.docking.org",
            "splits": {"train": 50_000},
            "notes": "Larger molecules than those of qm9. No split is published: hold some out. Put them, one a line and each "
            "with its number behind it, into molecules/znp.50k.smi.gz.",
            "files": {"train": File("molecules/znp.50k.smi.gz")},
        },
    ]  # fmt: skip


def fields(entry: dict[str, Any]) -> dict[str, Any]:
    """The same, with what all of them share."""
    return {"event": (), "read": _lines, "modality": {"type": "Text"}} | entry
