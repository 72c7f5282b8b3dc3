"""Make lambent/data/assets/fashion.npz, the slice of Fashion-MNIST that ships with the package.

    python scripts/make_fashion_slice.py FOLDER      (or with LAMBENT_DATA set)

FOLDER holds fashion-mnist/ with the four official IDX files. The same files give the same bytes, each time.
"""

import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from lambent.data.catalog.entries import ASSETS, CATALOG
from lambent.data.readers import idx
from lambent.data.readers import regular as files
from lambent.disk.whole import write_bytes

EACH = {"train": 1_000, "test": 200}


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """The places of the first `count` rows of each of the ten classes, in file order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(10)]))


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """An .npz whose bytes depend on the arrays alone: no clock, no user, no machine in its headers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def main() -> None:
    """Read the official files, check them, write the slice."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LAMBENT_DATA")
    if not folder:
        sys.exit("give the folder that holds fashion-mnist/, or set LAMBENT_DATA")
    official = CATALOG["fashion-mnist"].files
    chosen: dict[str, np.ndarray] = {}
    for split, count in EACH.items():
        images, labels = (Path(folder) / official[role].path for role in (split, f"{split} labels"))
        for path, role in ((images, split), (labels, f"{split} labels")):
            if files.digest(path) != official[role].sha256:
                sys.exit(f"{path}: is not the official file")
        all_labels = idx.read_idx(labels)
        rows = first_of_each(all_labels, count)
        chosen |= {f"{split}_images": idx.read_idx(images)[rows], f"{split}_labels": all_labels[rows]}
    target = ASSETS / "fashion.npz"
    write_bytes(target, packed(chosen))
    print(f"{target}: {target.stat().st_size:,} bytes, SHA-256 {files.digest(target)}")


if __name__ == "__main__":
    main()
