"""Data: files, arrays and frames → tensors, and named data sets. Loaded lazily, for torch is slow to import."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lambent.data.catalog.entries import CATALOG
    from lambent.data.catalog.sprites import Sprites
    from lambent.data.kinds.audio import Audio
    from lambent.data.kinds.cells import Cells
    from lambent.data.kinds.image import Image
    from lambent.data.kinds.modality import Encoded, Modality
    from lambent.data.kinds.table import Table
    from lambent.data.kinds.text import Text
    from lambent.data.loading import encode_like, load, load_parted, parted_like
    from lambent.data.readers.sql import from_sql
    from lambent.data.splitting import distinct, overlap, split
    from lambent.data.stored.ondisk import OnDisk
    from lambent.data.stored.opening import on_disk, on_disk_like, on_disk_parted

_HOMES = {
    "CATALOG": "catalog.entries",
    "Audio": "kinds.audio",
    "Cells": "kinds.cells",
    "Image": "kinds.image",
    "encode_like": "loading",
    "from_sql": "readers.sql",
    "load": "loading",
    "load_parted": "loading",
    "Encoded": "kinds.modality",
    "Modality": "loading",  # not its own module: whoever asks for the family needs its members registered
    "distinct": "splitting",
    "on_disk": "stored.opening",
    "on_disk_like": "stored.opening",
    "on_disk_parted": "stored.opening",
    "OnDisk": "stored.ondisk",
    "overlap": "splitting",
    "parted_like": "loading",
    "split": "splitting",
    "Sprites": "catalog.sprites",
    "Table": "kinds.table",
    "Text": "kinds.text",
}
__all__ = [
    "CATALOG",
    "Audio",
    "Cells",
    "Encoded",
    "Image",
    "Modality",
    "OnDisk",
    "Sprites",
    "Table",
    "Text",
    "distinct",
    "encode_like",
    "from_sql",
    "load",
    "load_parted",
    "on_disk",
    "on_disk_like",
    "on_disk_parted",
    "overlap",
    "parted_like",
    "split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
