"""Audio: sounds of one length as coefficients of a lapped transform, float32 [N, C, F, T]."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.sound import filed
from lambent.data.kinds.sound.lapped import Lapped, Window
from lambent.data.kinds.sound.shown import file_names, png, sheet, spectrograms
from lambent.data.readers.sounds import SUFFIXES, Sounds, compiled, in_windows
from lambent.data.splitting import as_labels, digest
from lambent.data.writers.wav import sixteen_bits
from lambent.disk.whole import write_bytes
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.part import Shape, Spec, option

BLOCKS = 8  # the number of frames is a multiple of it, so that layers can halve it
BAND_SECONDS = 0.016  # of a frame, about which its power of two lies
LONGEST = 0.95  # quantile of the lengths, to which sounds are padded or trimmed where nothing is said
LOOKED = 1_000  # sounds that the scale is learned from


class Audio(Modality):
    """Sounds as float32 [N, C, F, T]: C channels, F bands of T frames of a lapped transform (MDCT), divided by their RMS.

    Takes a folder (wav, flac, ogg, mp3, aiff at any depth), a list of files, one file, or an array [N, samples] or
    [N, C, samples] in −1 … 1. All are brought to one rate and one length: silence follows those that are shorter. The
    transform is orthogonal and as large as the signal, so that `decode` gives the sound back: float32 [N, C, samples].
    """

    papers = ("princen1986analysis",)

    counts_rows = True
    noun = "sounds"
    suffixes = ("", ".wav", ".png")

    rate: int | None = option(
        "samples a second to which all are brought; none: the most common of the files",
        default=None,
        minimum=1_000,
        maximum=768_000,
    )
    channels: Literal["mono", "all"] = option(
        "mono: the mean of all channels; all: as many as the files have", default="mono"
    )
    seconds: float | None = option(
        "length of a sound; shorter ones are followed by silence; none: that of the longest but a twentieth",
        default=None,
        above=0,
        maximum=600,
    )
    longer: Literal["trim", "windows"] = option(
        "what becomes of longer ones: their first part is kept, or each is cut into windows of so many seconds",
        default="trim",
    )
    bands: int | None = option(
        "bands of the transform, so many samples a frame; none: the power of two nearest to 16 ms",
        default=None,
        minimum=2,
        maximum=4096,
    )
    window: Window = option("window of the transform: sine, or Kaiser-Bessel-derived", default="sine")
    pattern: str | None = option(
        "what names of files tell, such as {label}_{speaker}_{take}: label is the label, others can be conditions; none: "
        "names of folders are labels",
        default=None,
    )
    skip_bad: bool = option("leave out files that cannot be read, and count them, instead of failing", default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern is not None:
            compiled(self.pattern)
        if self.bands is not None and self.bands % 2:
            raise UsageError(f"bands must be even, not {self.bands}: neighbouring frames share half of theirs")
        self.notices: dict[str, int] = {}
        self._event: Shape | None = None
        self._rate, self._scale, self._rows = 0, 1.0, 0

    @classmethod
    def claims(cls, source: Any) -> bool:
        """Files that end as those of sounds do, lists of such, and folders that hold more of them than of pictures."""
        if isinstance(source, Sounds):
            return True
        first = source[0] if isinstance(source, (list, tuple)) and source else source
        if not isinstance(first, (str, Path)):
            return False
        path = Path(first)
        return filed.mostly_sounds(path) if path.is_dir() else path.suffix.lower() in SUFFIXES

    @property
    def event(self) -> Shape:
        """(C, F, T): channels, bands, frames."""
        if self._event is None:
            raise UsageError("Audio: call fit first; until then its length is not known")
        return self._event

    @property
    def hertz(self) -> int:
        """Samples a second; known after `fit`."""
        return self._rate

    @property
    def samples(self) -> int:
        """Samples of each channel of one sound."""
        return self.event[1] * self.event[2]

    def open(self, raw: Any) -> Sounds | np.ndarray:
        """Any accepted raw form → sounds on disk, or one array [N, C, samples]."""
        found = filed.opened(raw, self.pattern)
        if self.longer == "windows" and isinstance(found, Sounds) and not found.cut:
            if self.seconds is None:
                raise UsageError("longer=windows: say how long a window is, such as seconds=2 (--data.seconds 2)")
            return in_windows(found, self.seconds)
        return found

    def fit(self, raw: Any) -> Self:
        """Learn rate, channels and length from the headers, and the scale from up to 1,000 sounds."""
        raw = self.open(raw)
        self._rows, self.notices, self.label_names = len(raw), {}, None
        self._rate, channels, length = self._heard(raw)
        self._event = self._of_length(self._rate, channels, length)
        some = raw[np.unique(np.linspace(0, len(raw) - 1, min(len(raw), LOOKED)).astype(np.int64))]
        self._scale = self._rms(self._signals(some, Counter())[0])
        return self

    def event_of(self, raw: Any) -> Shape:
        """The event of sounds, by their headers; once it is fitted, its own."""
        return self._event or self._of_length(*self._heard(self.open(raw)))

    def _heard(self, raw: Sounds | np.ndarray) -> tuple[int, int, float]:
        """The rate, the channels and the seconds that sounds are brought to."""
        if isinstance(raw, Sounds):
            seen = filed.looked(raw, self.skip_bad)
            self.label_names, self.notices = raw.label_names, dict(seen.notices)
            channels, rate = seen.channels, self.rate or seen.rate
            length = self.seconds or float(np.quantile(seen.seconds, LONGEST))
        elif self.rate is None:
            raise UsageError("an array does not say how many samples a second it has: rate=16000 (--data.rate 16000)")
        else:
            channels, rate = raw.shape[1], self.rate
            length = self.seconds or raw.shape[2] / rate
        return rate, 1 if self.channels == "mono" else channels, length

    def _of_length(self, rate: int, channels: int, seconds: float) -> Shape:
        bands = self.bands or 2 ** round(np.log2(rate * BAND_SECONDS))
        frames = -(-round(seconds * rate) // bands)
        return channels, int(bands), -(-frames // BLOCKS) * BLOCKS

    def learn(self, pieces: Iterable[Any]) -> Self:
        """`fit` on arrays in pieces, all of one form; the scale is that of all."""
        energy, rows = 0.0, 0
        for raw in pieces:
            before = self._event
            self.fit(raw)
            if before is not None and before != self.event:
                raise DataError(f"sounds of {self.event} follow such of {before} (channels, bands, frames)")
            energy, rows = energy + self._scale**2 * len(raw), rows + len(raw)
        if not rows:
            raise DataError("there are no sounds to learn from")
        self._scale, self._rows = (energy / rows) ** 0.5, rows
        return self

    def encode(self, raw: Any) -> Tensor:
        """Raw sounds → float32 [N, C, F, T], of about unit RMS."""
        return self.read(raw).x

    def read(self, raw: Any) -> Encoded:
        """`encode`, with labels and columns that names of files and folders tell; conversions in `source["notices"]`."""
        raw = self.open(raw)
        notices: Counter[str] = Counter()
        signals, kept = self._signals(raw, notices)
        x = torch.from_numpy(self._lapped.forward(signals) / np.float32(self._scale))
        notices["silent throughout"] = int((~signals.any((1, 2))).sum())
        facts = {"rows": len(x), "sha256": digest(x)}
        if not isinstance(raw, Sounds):
            return Encoded(x, self, source=facts | {"notices": _counted(notices)})
        labels, names = None, None
        if raw.labels is not None and raw.label_names is not None:
            labels, names = as_labels(np.array(raw.label_names, object)[raw.labels[kept]], self.label_names)
        beside = {name: values[kept] for name, values in raw.beside.items()}
        files = [str(raw.files[row]) for row in kept]
        facts |= {"notices": _counted(notices + raw.notices)}
        return Encoded(x, self, labels, names, source=facts, beside=beside, files=files, numbers=kept)

    def decode(self, x: Tensor) -> np.ndarray:
        """[N, C, F, T] → sounds, float32 [N, C, samples] in −1 … 1; what is louder is clipped."""
        if x.dim() != 4 or tuple(x.shape[1:]) != self.event:
            raise DataError(
                f"sounds to decode have shape {tuple(x.shape)}; [N, {', '.join(map(str, self.event))}] fits"
            )
        values = x.detach().cpu().float().numpy()
        if not np.isfinite(values).all():
            raise DataError("sounds to decode hold NaN or infinite numbers")
        found: np.ndarray = np.clip(self._lapped.inverse(values * np.float32(self._scale)), -1, 1)
        return found

    def as_columns(self, x: Tensor) -> dict[str, Any] | None:
        """{"sound": float32 [N, C, samples], "rate": Hz of each}."""
        return {"sound": self.decode(x), "rate": np.full(len(x), self._rate)}

    def write(self, path: Path, x: Tensor, lead: dict[str, Any]) -> None:
        """Sounds as WAV of 16 bits, a file each in a folder, or all in one, a quarter of a second apart; or spectrograms."""
        sounds = self.decode(x)
        if path.suffix.lower() == ".png":
            write_bytes(path, png(sheet(spectrograms(sounds.mean(1), self._rate))))
            return
        if path.suffix.lower() == ".wav":
            pause = np.zeros((*sounds.shape[:2], self._rate // 4), np.float32)
            whole = np.concatenate([*np.concatenate((sounds, pause), 2)], 1)[:, : -pause.shape[2]]
            write_bytes(path, sixteen_bits(whole, self._rate))
            return
        for name, sound in zip(file_names(lead, len(sounds)), sounds, strict=True):
            write_bytes(path / name, sixteen_bits(sound, self._rate))

    def log_slope(self, x: Tensor) -> Tensor:
        """−log of the scale for each number: the transform is orthogonal, so that densities become those of the waveform."""
        return torch.full((1, 1), -float(np.log(self._scale)), dtype=torch.float64).expand(len(x), x[:1].numel())

    def defaults(self) -> dict[str, Spec]:
        """The power of each number, for its sign nobody can tell, under convolutions along time.

        Of spoken digits, after the same minutes: reconstructions by powers are recognized as often as 96 % of the real ones; by
        Laplacians with a location and a scale 17 %, and 36 % where they are drawn, for no location was told.
        """
        return {
            "likelihood": {"type": "ItakuraSaito"},
            "latent": {"type": "Flat", "size": 64},
            "network": {"type": "Wave", "channels": [64, 128, 128]},
            "objective": {"type": "Elbo", "free_bits": 0.25, "settle": 0.85},
            "fit": {"batch": 64, "learning_rate": 2e-3, "schedule": "linear", "warmup": 0.02, "average": 0.99},
        }

    def state(self) -> dict[str, Any]:
        """{"event": [C, F, T], "rate": Hz, "scale": …, "label_names": …, "rows": …, "notices": …}."""
        return {
            "event": list(self.event),
            "rate": self._rate,
            "scale": self._scale,
            "label_names": self.label_names,
            "rows": self._rows,
            "notices": dict(self.notices),
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ArtifactError` if it is no such state."""
        try:
            channels, bands, frames = (int(n) for n in state["event"])
            rate, scale, rows = int(state["rate"]), float(state["scale"]), int(state["rows"])
            names = None if state["label_names"] is None else [str(name) for name in state["label_names"]]
            notices = {str(k): int(v) for k, v in state["notices"].items()}
            if min(channels, bands, frames, rate) < 1 or bands % 2 or not 0 < scale < np.inf:
                raise ValueError("numbers out of their range")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"the stored state of Audio is damaged ({error!r})") from None
        self._event, self._rate, self._scale = (channels, bands, frames), rate, scale
        self.label_names, self._rows, self.notices = names, rows, notices
        return self

    @property
    def _lapped(self) -> Lapped:
        return Lapped(self.event[1], self.window)

    def _signals(self, raw: Sounds | np.ndarray, notices: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
        """(float32 [kept, C, samples], the indices kept): at the rate and the length that were fitted."""
        form = filed.Form(self._rate, self.event[0], self.samples)
        if isinstance(raw, Sounds):
            return filed.decoded(raw, form, self.skip_bad, notices)
        return filed.fitted(raw, form, notices), np.arange(len(raw))

    def _rms(self, signals: np.ndarray) -> float:
        found = float(np.sqrt(np.mean(np.square(signals, dtype=np.float64))))
        if not found > 0:
            raise DataError("all of these sounds are silent throughout: there is nothing to learn")
        return found


def _counted(notices: Counter[str]) -> dict[str, int]:
    return {name: n for name, n in notices.items() if n}
