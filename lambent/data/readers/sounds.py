"""Sound files: found in a folder, looked at by their headers, decoded and resampled by stated rules.

The rules: whole numbers of any depth become numbers in −1 … 1; a file that has fewer samples than it says is refused, but one
that was written as a stream, and so cannot say, is read to its end; numbers that are not finite are refused; another rate is
resampled (soxr, VHQ); channels are averaged to one where one is wanted.
"""

import importlib
import re
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import folders
from lambent.data.readers import regular as files
from lambent.errors import DataError, MachineError, UsageError

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff")
FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF")
RATES = (1_000, 768_000)  # Hz that are believed
MOST_CHANNELS = 64
STREAMED = (0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFE, 0xFFFFFFFE)  # sizes that stand for one not known yet
UNKNOWN = "written as a stream, read to its end"


@dataclass(frozen=True)
class Header:
    """What a file says of its sound: samples of each channel, how many of these a second, channels."""

    samples: int
    rate: int
    channels: int

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


@dataclass
class Sounds:
    """Sounds in files, in a fixed order: each a file from a second on. beside: columns that names of files tell, [sounds]."""

    files: list[Path]
    starts: np.ndarray
    labels: np.ndarray | None = None
    label_names: list[str] | None = None
    beside: dict[str, np.ndarray] = field(default_factory=dict)
    notices: Counter[str] = field(default_factory=Counter)
    cut: bool = False  # into windows

    def look(self, path: Path) -> Header:
        """What one of the files says of itself; `DataError` if it is no sound."""
        return look(path)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: np.ndarray) -> "Sounds":
        return replace(
            self,
            files=[self.files[i] for i in index],
            starts=self.starts[index],
            labels=None if self.labels is None else self.labels[index],
            beside={name: values[index] for name, values in self.beside.items()},
        )


def sounds_in(source: Any, pattern: str | None = None) -> Sounds:
    """The sounds of a folder (all depths, sorted by path), of a list of files, or of one file.

    pattern: what names of files tell, such as {label}_{speaker}_{take}; none: the label is the folder's name, as of pictures.
    """
    notices: Counter[str] = Counter()
    if isinstance(source, (list, tuple)):
        root, found = None, [Path(s) for s in source]
    elif not Path(source).is_dir():
        root, found = None, [files.regular(source)]
    else:
        root = Path(source)
        found, notices = folders.files_below(root, SUFFIXES)
    if not found:
        raise DataError(f"{root or 'the list'}: no sounds; files ending in {', '.join(SUFFIXES)} are looked for")
    whole = Sounds(found, np.zeros(len(found)), notices=notices)
    if pattern is not None:
        return _told_by_names(whole, root, pattern)
    if root is not None:
        whole.labels, whole.label_names, told = folders.classes([path.relative_to(root).parts for path in found])
        whole.notices += told
    return whole


def in_windows(whole: Sounds, seconds: float) -> Sounds:
    """Each sound cut into windows of so many seconds, one after the other; what is left over is one if half as long."""
    rows, starts = [], []
    for row, path in enumerate(whole.files):
        length = look(path).seconds
        count = max(1, int(length / seconds + 0.5))
        rows += [row] * count
        starts += [seconds * place for place in range(count)]
    cut = whole[np.array(rows, np.int64)]
    return replace(cut, starts=np.array(starts), cut=True)


def _told_by_names(whole: Sounds, root: Path | None, pattern: str) -> Sounds:
    matching, names = compiled(pattern)
    columns: dict[str, list[str]] = {name: [] for name in names}
    for path in whole.files:
        inner = path.relative_to(root) if root is not None else Path(path.name)
        told = inner.with_suffix("").as_posix() if "/" in pattern else path.stem
        match = matching.fullmatch(told)
        if match is None:
            raise DataError(f"{path}: its name is not of the form {pattern!r}; say what is, or take the file away")
        for name in names:
            columns[name].append(match[name])
    whole.beside = {name: np.array(values, dtype=object) for name, values in columns.items()}
    if (label := whole.beside.pop("label", None)) is not None:
        names_of_labels, codes = np.unique(label.astype(str), return_inverse=True)
        whole.label_names, whole.labels = names_of_labels.tolist(), codes.astype(np.int64)
    return whole


def compiled(pattern: str) -> tuple[re.Pattern[str], list[str]]:
    """A pattern of file names such as {label}_{speaker} as an expression, and the names in it; `UsageError` for none."""
    pieces = re.split(r"\{(\w+)\}", pattern)
    names = pieces[1::2]
    if not names or len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
        raise UsageError(
            f"the pattern {pattern!r} must hold names in braces, each once, such as {{label}}_{{speaker}}_{{take}}"
        )
    parts = [f"(?P<{p}>[^/]+?)" if place % 2 else re.escape(p) for place, p in enumerate(pieces)]
    return re.compile("".join(parts)), names


def look(path: Path) -> Header:
    """What a file says of its sound, from its header alone; `DataError` naming the file if it is none."""
    with _opened(path) as file:
        return _header(file, path)


def decode(
    path: Path, rate: int, channels: int, samples: int, start: float = 0.0
) -> tuple[np.ndarray, list[str], float]:
    """(float32 [channels, ≤ samples] at `rate` from a second on, what was converted, how many seconds there are from there on).

    Raises `DataError` naming the file if it is damaged, cut short, empty, of other channels, or holds what is not finite.
    """
    conversions: list[str] = []
    with files.unchanged(path), _opened(path) as file:
        header = _header(file, path)
        _refuse_cut(path, conversions)
        first = round(start * header.rate)
        wanted = min(header.samples - first, -(-samples * header.rate // rate) + 1)
        if first:
            file.seek(first)
        values = file.read(wanted, dtype="float32", always_2d=True)
    if len(values) < wanted:
        raise DataError(f"{path}: holds {len(values):,} samples where {wanted:,} are announced; it was cut short")
    if not np.isfinite(values).all():
        at = int((~np.isfinite(values)).any(1).argmax())
        raise DataError(
            f"{path}: holds a sample that is not a finite number, at {start + at / header.rate:.3f} s; write it again without"
        )
    if float(np.abs(values).max(initial=0)) > 1:
        conversions.append("louder than full scale, kept so")
    values = _mixed(values, channels, path, conversions)
    if header.rate != rate:
        conversions.append(f"resampled from {header.rate} to {rate} Hz")
        values = imported("soxr").resample(values, header.rate, rate, quality="VHQ")
    return np.ascontiguousarray(values[:samples].T, np.float32), conversions, (header.samples - first) / header.rate


def _mixed(values: np.ndarray, channels: int, path: Path, conversions: list[str]) -> np.ndarray:
    """[samples, channels of the file] → [samples, channels]."""
    own = values.shape[1]
    if own == channels:
        return values
    if channels == 1:
        conversions.append(f"mixed from {own} channels to one")
        mean: np.ndarray = values.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
        return mean
    if own == 1:
        conversions.append(f"repeated on {channels} channels")
        return np.repeat(values, channels, 1)
    raise DataError(f"{path}: has {own} channels, where {channels} are wanted; --data.channels 1 mixes all to one")


def _header(file: Any, path: Path) -> Header:
    if file.format not in FORMATS:
        raise DataError(f"{path}: is {file.format} inside; {', '.join(FORMATS)} are read")
    found = Header(int(file.frames), int(file.samplerate), int(file.channels))
    if not RATES[0] <= found.rate <= RATES[1]:
        raise DataError(f"{path}: says {found.rate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are read")
    if not 1 <= found.channels <= MOST_CHANNELS:
        raise DataError(f"{path}: has {found.channels:,} channels; 1 to {MOST_CHANNELS} are read")
    if found.samples < 1:
        raise DataError(f"{path}: holds no sound, its length is zero; take it away")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    soundfile = imported("soundfile")
    files.regular(path)
    try:
        with soundfile.SoundFile(str(path)) as file:
            yield file
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise DataError(f"{path}: cannot be read as sound ({reason}); write it again, or take it away") from None


def _refuse_cut(path: Path, conversions: list[str]) -> None:
    """`DataError` for a WAV file whose sound is announced to be longer than the file is: it was cut short."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        size, place = path.stat().st_size, 12
        while place + 8 <= size:
            file.seek(place)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"data" and length in STREAMED and place + 8 + length != size:
                conversions.append(UNKNOWN)
            elif name == b"data" and place + 8 + length > size:
                there = size - place - 8
                raise DataError(
                    f"{path}: announces {length:,} bytes of sound, and {there:,} are there; it was cut short"
                )
            if name == b"data":
                return
            place += 8 + length + length % 2


def imported(name: str) -> Any:
    """A library for sound; `MachineError` with the line that installs it where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MachineError(f"sounds need the package {name}: pip install 'lambent[audio]'") from None
