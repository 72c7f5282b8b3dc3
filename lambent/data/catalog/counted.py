"""The named sets of single cells."""

from typing import TYPE_CHECKING, Any

from lambent.data.catalog.cache import File, locate
from lambent.data.readers.raw import Raw
from lambent.errors import DataError

if TYPE_CHECKING:
    from lambent.data.catalog.entries import Entry


def _counts(entry: "Entry", split: str, _: str) -> Raw:
    from lambent.data.readers.cells import opened  # only here: listing the sets must not wait for it

    path = locate(entry.files["all"])
    found = opened(path)
    if found.matrix.shape != (entry.splits[split], *entry.event):
        raise DataError(f"{path}: holds {len(found):,} cells × {len(found.genes):,} genes, not those of {entry.name}")
    return Raw(found)


def entries() -> list[dict[str, Any]]:
    """The fields of each entry."""
    return [
        {
            "name": "worm-neurons",
            "title": "Neurons of C. elegans, counts of genes in single cells (Cao et al. 2017)",
            "licence": "Apache-2.0 by the repository that it is from",
            "address": "https://github.com/ttgump/scDeepCluster",
            "splits": {"train": 4_186},
            "event": (13_488,),
            "notes": "Ten types of cells as labels; genes without names. No split is published: hold some out. Put the parts of "
            "a CSR matrix (data, indices, indptr, shape) and the types, Y, into cells/worm-neurons.npz.",
            "read": _counts,
            "files": {"all": File("cells/worm-neurons.npz")},
            "modality": {"type": "Cells"},
        }
    ]
