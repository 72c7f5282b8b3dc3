"""Arrays: .npy, .npz and IDX files, or arrays in memory, as pieces of rows; and the same arrays again, to the bit."""

import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.codec.content.base import Part, Piece, RestoredRows, RowContent, Side
from lambent.codec.content.planes import Planes
from lambent.codec.content.values import UNITS, Array, Numbers, Pixels, Teller
from lambent.data.readers import arrays, idx
from lambent.data.readers import regular as files
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted
from lambent.part import Shape, elements

PLAIN_BYTES = 1 << 22  # of rows that no model tells, in one block
KINDS = "biufcSUmM"
FORMS = ("array", "npy", "npz", "idx")


@dataclass(frozen=True)
class Member:
    """One array: its name in its file, the shape of its rows, its type in the file, and how a model tells it, if at all."""

    key: str
    shape: Shape
    dtype: np.dtype
    fortran: bool = False
    scalar: bool = False
    teller: Teller | None = None

    def facts(self) -> Side:
        return {
            "key": self.key,
            "shape": list(self.shape),
            "dtype": self.dtype.str,
            "fortran": self.fortran,
            "scalar": self.scalar,
            "told": None if self.teller is None else self.teller.facts(),
        }

    @classmethod
    def restored(cls, said: Any, planes: Planes | None) -> "Member":
        """The inverse of `facts`; `ArtifactError` for what is none."""
        try:
            shape, dtype = tuple(said["shape"]), np.dtype(said["dtype"])
            right = all(type(n) is int and 0 <= n < 1 << 40 for n in shape) and len(shape) < 32
            if not right or dtype.hasobject or dtype.kind not in KINDS or not isinstance(said["key"], str):
                raise ValueError
            plain = cls(said["key"], shape, dtype, bool(said["fortran"]), bool(said["scalar"]))
            if said["told"] is None:
                return plain
            teller = Numbers(shape) if planes is None else Pixels(planes, shape, bool(said["told"]["last"]))
        except (KeyError, TypeError, ValueError):
            raise ArtifactError("the header of the archive does not say which arrays it holds") from None
        return replace(plain, teller=teller)


class Arrays(RowContent):
    """Arrays of rows, in the order of their file."""

    kind = "arrays"
    noun = "rows"

    def __init__(
        self,
        held: Mapping[str, Array],
        stored: Mapping[str, tuple[np.dtype, bool]],
        form: str,
        fitted: Fitted,
        rows: int,
    ):
        """held: arrays by name, in this machine's byte order; stored: of each its type there, and whether in Fortran's order."""
        self.form, self.per_block = form, rows
        self.planes = Planes.of(fitted) if len(fitted.model.event_shape) == 3 else None
        self.held = [array.reshape(1) if array.ndim == 0 else array for array in held.values()]
        self.members = [
            Member(key, tuple(array.shape[1:]), *stored[key], array.ndim == 0, self._teller(fitted, array))
            for key, array in held.items()
        ]
        if not any(member.teller for member in self.members):
            shown = ", ".join(f"{key or 'array'} {list(array.shape)}" for key, array in held.items())
            raise DataError(f"this model takes rows of shape {list(fitted.model.event_shape)}; here are {shown}")
        self.total = sum(len(array) for array in self.held)
        self.notices: Counter[str] = Counter()
        self.before = [0] * len(self.members)  # rows of each that an archive holds already

    def follow(self, sides: Iterable[Side]) -> None:
        for side in sides:
            self.before[side["member"]] += side["rows"]

    def restored(self) -> "RestoredArrays":
        return RestoredArrays(self.facts())

    def _teller(self, fitted: Fitted, array: Array) -> Teller | None:
        if array.ndim < 2:
            return None
        return Numbers.of(fitted, array) if self.planes is None else Pixels.of(self.planes, array)

    def facts(self) -> Side:
        planes = None if self.planes is None else self.planes.facts()
        return {"form": self.form, "planes": planes, "members": [member.facts() for member in self.members]}

    def pieces(self) -> Iterator[Piece]:
        for number, (member, array) in enumerate(zip(self.members, self.held, strict=True)):
            for first in range(0, len(array), step := self._step(member)):
                yield self._piece(number, member, array[first : first + step], first)

    def _step(self, member: Member) -> int:
        size = max(1, elements(member.shape) * member.dtype.itemsize)
        if member.teller is not None:
            return max(1, self.per_block // max(1, member.teller.each))
        return max(1, PLAIN_BYTES // size)

    def _piece(self, number: int, member: Member, values: Array, first: int) -> Piece:
        raw = np.ascontiguousarray(values, member.dtype).tobytes()
        side = {"member": number, "first": self.before[number] + first, "rows": len(values)}
        plain = Part(raw, side)
        found = None if member.teller is None else member.teller.rows(np.asarray(values))
        if found is None:
            return Piece(None, plain, plain, len(values), len(raw))
        rows, unit = found
        return Piece(rows, Part(raw, {**side, "unit": unit}), plain, len(values), len(raw))


class RestoredArrays(RestoredRows):
    """Arrays out of an archive, by name."""

    def __init__(self, facts: Side) -> None:
        planes, members, form = facts.get("planes"), facts.get("members"), facts.get("form")
        if not isinstance(members, list) or not members or form not in FORMS:
            raise ArtifactError("the header of the archive does not say which arrays it holds")
        self.form = form
        own = None if planes is None else Planes.restored(planes)
        self.members = [Member.restored(said, own) for said in members]
        self.parts: list[list[tuple[int, int, bytes]]] = [[] for _ in self.members]

    def rows_in(self, side: Side) -> int:
        member, _, count = self._place(side)
        if member.teller is None or side.get("unit") not in UNITS:
            raise ArtifactError("a block of the archive does not say how its rows are read")
        return count * member.teller.each

    def raw_of(self, rows: Any, side: Side) -> bytes:
        member, _, count = self._place(side)
        assert member.teller is not None
        native = member.dtype.newbyteorder("=")
        values = member.teller.values(rows, count, native, side["unit"])
        return np.ascontiguousarray(values, member.dtype).tobytes()

    def take(self, raw: bytes, side: Side, index: int) -> None:
        member, first, count = self._place(side)
        size = count * elements(member.shape) * member.dtype.itemsize
        if len(raw) != size:
            raise ArtifactError(f"block {index} holds {len(raw):,} bytes, and describes rows of {size:,}")
        self.parts[side["member"]].append((first, count, raw))

    def _place(self, side: Side) -> tuple[Member, int, int]:
        number, first, count = (side.get(name) for name in ("member", "first", "rows"))
        right = all(type(n) is int and n >= 0 for n in (number, first, count))
        if not right or not number < len(self.members):  # type: ignore[operator]
            raise ArtifactError("a block of the archive does not say which rows it holds")
        return self.members[number], first, count  # type: ignore[index,return-value]

    def finish(self) -> dict[str, Array]:
        """Each array by its name; of a damaged archive without the rows that are lost."""
        return {member.key: self._whole(member, parts) for member, parts in zip(self.members, self.parts, strict=True)}

    def _whole(self, member: Member, parts: list[tuple[int, int, bytes]]) -> Array:
        rows = sum(count for _, count, _ in parts)
        whole = np.frombuffer(b"".join(raw for *_, raw in parts), np.uint8)
        if member.dtype.itemsize and elements(member.shape):
            whole = whole.view(member.dtype)
        else:
            whole = np.empty(0, member.dtype)
        found = whole.reshape(rows, *member.shape).copy()
        found = np.asfortranarray(found) if member.fortran else found
        return found.reshape(()) if member.scalar and len(found) == 1 else found


# ---- files -----------------------------------------------------------------------------------------------------------


def is_keyed(path: Path) -> bool:
    """Whether a path names one array of a file, file.npz:key."""
    return arrays.divided(path)[1] is not None


def is_arrays(path: Path) -> bool:
    """Whether a file is .npy, .npz or IDX."""
    return arrays.is_array_file(path) or idx.is_idx_file(path)


def opened(path: Path, fitted: Fitted, rows: int) -> Arrays:
    """The arrays of a .npy, .npz or IDX file; of an .npz all of them, whichever the model can tell, or the one that is named."""
    path, wanted = arrays.divided(path)
    if not arrays.is_array_file(path):
        array = idx.read_idx(path)
        return Arrays({"": array}, {"": (array.dtype.newbyteorder(">"), False)}, "idx", fitted, rows)
    if path.suffix.lower() != ".npz":
        with path.open("rb") as stream, arrays.explained(path):
            found = arrays.heading(stream, path.stat().st_size, str(path))
        return Arrays({"": arrays.read(path).array}, {"": (found.dtype, found.fortran)}, "npy", fitted, rows)
    held, stored = {}, {}
    with files.unchanged(path), arrays.explained(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            key = info.filename.removesuffix(".npy")
            if wanted not in (None, key):
                continue
            with arrays.member(archive, info, path) as (stream, where):
                found = arrays.heading(stream, info.file_size, where)
            stored[key] = (found.dtype, found.fortran)
            held[key] = arrays.read(f"{path}:{key}").array
    if not held:
        raise DataError(f"{path}: holds no array {wanted!r}")
    return Arrays(held, stored, "npz", fitted, rows)


def of_memory(array: Any, fitted: Fitted, rows: int) -> Arrays:
    """An array in memory, or what NumPy makes one of."""
    found = np.asarray(array)
    if not found.ndim or found.dtype.hasobject:
        raise DataError(
            f"a {type(array).__name__} holds no rows; give an array, a file of one, or a folder of pictures"
        )
    native = np.asarray(found, found.dtype.newbyteorder("="))
    return Arrays({"": native}, {"": (found.dtype, False)}, "array", fitted, rows)


def check_out(path: Path, form: str) -> None:
    """Refuse a name whose suffix says another kind of file than was compressed."""
    suffix = path.suffix.lower()
    wanted = {"npy": ".npy", "array": ".npy", "npz": ".npz"}.get(form)
    if wanted is not None and suffix != wanted:
        raise UsageError(
            f"--out {path}: the archive holds what was in a {wanted} file; give it a name that ends in {wanted}"
        )
    if wanted is None and suffix in (".npy", ".npz"):
        raise UsageError(f"--out {path}: the archive holds what was in an IDX file; give it another suffix")


def write(path: Path, found: Mapping[str, Array], form: str) -> None:
    """Fill a new file of the form that was compressed."""
    if form == "npz":
        with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
            for key, array in found.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array)
        return
    array = next(iter(found.values()))
    with open(path, "xb") as file:
        if form == "idx":
            file.write(idx.header(array) + array.tobytes())
        else:
            np.lib.format.write_array(file, array)
