"""Image: pictures of one size as bytes [N, C, H, W]."""

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds import planes as pixels
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.readers import arrays, idx, pictures
from lambent.data.readers import regular as files
from lambent.data.readers.pictures import Pictures
from lambent.data.splitting import as_labels, digest
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.part import Shape, Spec, option


class Image(Modality):
    """Grey or colour images, uint8 [N, C, H, W] with C of 1 or 3; binary ones hold 0 and 1.

    Takes a folder (png, jpg, bmp, gif, webp, tiff at any depth), a list of files, or an array: uint8 0…255, floats in
    [0, 1] (kept as round(255·x)), truth values or {0, 1} (binary), laid out [N,H,W], [N,H,W,C], [N,C,H,W] or, with
    `size`, flat. Dynamic binarization draws each pixel anew with P(1) = x/255 (Salakhutdinov & Murray 2008).
    """

    no_paper = "a kind of data; drawing pixels anew has one"

    of_bytes = True
    counts_rows = True

    size: tuple[int, int] | None = option(
        "height and width to bring all images to; none: the size they share", default=None, minimum=1, maximum=16384
    )
    fit_to: Literal["crop", "pad", "stretch"] = option(
        "how another aspect ratio is brought to the size: cut about the centre, add black, or distort", default="crop"
    )
    colour: Literal["auto", "grey", "rgb"] = option("channels to keep; auto: grey if all images are", default="auto")
    binarize: Literal["none", "threshold", "dynamic"] = option(
        "make pixels 0 or 1: above 127, or drawn anew for every batch with probability value/255",
        default="none",
        papers={"dynamic": "salakhutdinov2008quantitative"},
    )
    flip: bool = option("mirror each image left to right with probability one half, for training", default=False)
    skip_bad: bool = option("leave out files that cannot be decoded, and count them, instead of failing", default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.notices: dict[str, int] = {}
        self.label_names: list[str] | None = None
        self._event: Shape | None = None
        self._two_level = False
        self._came: Shape | None = None  # C, H, W of the array that it was fitted on; files come in any size

    @property
    def event(self) -> Shape:
        """(C, H, W)."""
        if self._event is None:
            raise UsageError("Image: call fit first; until then its size is not known")
        return self._event

    @property
    def binary(self) -> bool:
        """Whether a pixel is 0 or 1 by the time a model sees it."""
        return self.binarize != "none" or self._two_level

    def open(self, raw: Any) -> Pictures | np.ndarray:
        """Any accepted raw form → pictures on disk, or one array."""
        if isinstance(raw, Pictures):
            return raw
        if isinstance(raw, (str, Path)):
            if arrays.is_array_file(raw):
                return arrays.read(raw).array
            return idx.read_idx(raw) if idx.is_idx_file(raw) else pictures.pictures_in(raw)
        if isinstance(raw, (list, tuple)) and (not raw or isinstance(raw[0], (str, Path))):
            return pictures.pictures_in(raw)
        if isinstance(raw, Tensor):
            raw = raw.detach().cpu()
            raw = (raw.float() if raw.dtype == torch.bfloat16 else raw).numpy()
        if isinstance(raw, np.ma.MaskedArray) and np.ma.is_masked(raw):
            raise DataError("an array with masked pixels; fill them, array.filled(value)")
        try:
            return np.asarray(raw)
        except (ValueError, TypeError):
            kind = type(raw).__name__
            raise DataError(f"a {kind} holds no images; give a folder, a list of files, or an array") from None

    def fit(self, raw: Any) -> Self:
        """Learn the size, the number of channels, and whether the data are binary as they stand."""
        raw = self.open(raw)
        self.notices, self.label_names, self._came = {}, None, None
        if isinstance(raw, Pictures):
            self._fit_pictures(raw)
            self.label_names = raw.label_names
        else:
            self._fit_array(raw)
        return self

    def learn(self, pieces: Iterable[Any]) -> Self:
        """`fit` on images in pieces, which must be of one form."""
        notices: Counter[str] = Counter()
        two_level, first = True, None
        for raw in pieces:
            self.fit(raw)
            first = first or self.event
            if self.event != first:
                raise DataError(f"images of {self.event} follow such of {first} (channels, height, width)")
            notices.update(self.notices)
            two_level = two_level and self._two_level
            if not two_level and isinstance(raw, np.ndarray) and raw.dtype == np.uint8:
                break  # of bytes on more than two levels nothing is left to learn
        if first is None:
            raise DataError("there are no images to learn from")
        self._two_level, self.notices = two_level, dict(notices)
        return self

    def unchanging(self, shape: Shape, dtype: np.dtype) -> bool:
        """Whether an array's images are their own encoding: bytes [C, H, W] or [H, W] that are kept as they are."""
        planar = len(shape) == 2 or shape[-1] not in (1, 3, 4)  # else the channels may come last
        same = planar and shape in (self.event, self.event[1:] if self.event[0] == 1 else self.event)
        kept = self.binarize == "none" or (self.binarize == "dynamic" and not self._two_level)
        return dtype == np.uint8 and same and kept

    def foreign(self, raw: Any) -> str | None:
        """Arrays of another shape are told; pictures in files are of any size, and are resized as they were for training."""
        raw = self.open(raw)
        if isinstance(raw, Pictures):
            return None
        found = pixels.form(pixels.layout(raw, self.size or (self.event[1], self.event[2])))
        if found in (self.event, self._came):
            return None
        shown = ["×".join(map(str, shape)) for shape in (found, self._came or self.event)]
        what = f"its images are {shown[0]} (channels × height × width), the model was trained on {shown[1]}"
        return f"{what}; bring them to that, or let --resize do it"

    def converting(self) -> Self:
        """With its own size asked for, so that images of every size and colour are brought to it."""
        if self.size is not None:
            return self
        height, width = self.event[1:]
        other = type(self).from_spec(self.spec() | {"size": [height, width]}).restore(self.state())
        other.conditions = self.conditions
        return other

    def encode(self, raw: Any) -> Tensor:
        """Raw images → uint8 [N, C, H, W]; 0 and 1 for binary data and `threshold`, bytes for `dynamic`."""
        return self.read(raw).x

    def read(self, raw: Any) -> Encoded:
        """`encode`, with the names of the folders as labels, and the conversions counted in `source["notices"]`."""
        raw = self.open(raw)
        notices: Counter[str] = Counter()
        if not isinstance(raw, Pictures):
            values = self._pixels(raw, notices)
            # Later changes to the caller's own array must not reach the data set.
            x = self._levels(values.copy() if np.may_share_memory(values, raw) else values, "the array")
            return Encoded(x, self, source=_facts(x, notices))
        values, kept = self._decoded(raw, notices)
        x = self._levels(values, str(raw.files[0].parent))
        labels, names = None, None
        if raw.labels is not None and raw.label_names is not None:
            # By name: a folder that lacks a class must not shift the codes of the others.
            labels, names = as_labels(np.array(raw.label_names, object)[raw.labels[kept]], self.label_names)
        files = [str(raw.files[row]) for row in kept]
        return Encoded(x, self, labels, names, source=_facts(x, notices + raw.notices), files=files, numbers=kept)

    def decode(self, x: Tensor) -> np.ndarray:
        """[N, C, H, W] → uint8 [N, H, W] or [N, H, W, 3]; takes 0…255, or 0…1 when binary; clamped and rounded."""
        if x.ndim != 4 or tuple(x.shape[1:]) != self.event:
            raise DataError(
                f"images to decode have shape {tuple(x.shape)}; [N, {', '.join(map(str, self.event))}] fits"
            )
        x = x.detach().cpu()
        as_encoded = x.dtype == torch.uint8 and self.binarize == "dynamic" and bool((x > 1).any())
        x = x.double() * (255.0 if self.binary and not as_encoded else 1.0)
        if not torch.isfinite(x).all():
            raise DataError("images to decode hold NaN or infinite pixels")
        values = x.round().clamp(0, 255).to(torch.uint8).numpy()
        return np.ascontiguousarray(values[:, 0] if self.event[0] == 1 else values.transpose(0, 2, 3, 1))

    @property
    def drawn(self) -> bool:
        return self.binarize == "dynamic"

    def transform(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A fresh view of encoded rows [N, C, H, W]: drawn to 0 and 1 with `dynamic`."""
        if self.drawn:
            # r is uniform on the 255 bytes 0…254, so P(r < x) is exactly x/255, for black and for white too.
            r = torch.randint(0, 255, x.shape, generator=generator, device=x.device, dtype=torch.uint8)
            x = (r < x).to(torch.uint8)
        return x

    def augment(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Encoded rows [N, C, H, W], each mirrored with probability one half if `flip`."""
        if not self.flip:
            return x
        mirrored = torch.randint(0, 2, (len(x), 1, 1, 1), generator=generator, device=x.device, dtype=torch.bool)
        return torch.where(mirrored, x.flip(-1), x)

    def defaults(self) -> dict[str, Spec]:
        """Bernoulli pixels for binary images, discretized logistics for bytes; 32 units, of which an image seldom needs more;
        a mixture of Gaussians as their prior, which keeps them in use and costs little; a convolutional network.
        """
        return {
            "likelihood": {"type": "Bernoulli" if self.binary else "DiscretizedLogistics"},
            "latent": {
                "type": "Flat",
                "size": 32,
                "prior": {"type": "Mixture", "components": 50, "covariance": "full"},
            },
            "network": {"type": "Conv"},
        }

    def state(self) -> dict[str, Any]:
        """{"event": [C, H, W], "two_level": …, "label_names": …, "notices": conversions in the data it was fitted on}."""
        return {
            "event": list(self.event),
            "two_level": self._two_level,
            "label_names": self.label_names,
            "notices": dict(self.notices),
            "came": None if self._came is None else list(self._came),
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ArtifactError` if it is no such state."""
        try:
            channels, height, width = (int(n) for n in state["event"])
            two_level, notices = bool(state["two_level"]), {str(k): int(v) for k, v in state["notices"].items()}
            names = state["label_names"]
            label_names = None if names is None else [str(name) for name in names]
            came = state.get("came")
            came = None if came is None else tuple(int(n) for n in came)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"the stored state of Image is damaged ({error!r})") from None
        if channels not in (1, 3) or not (0 < height <= 16384 and 0 < width <= 16384):
            raise ArtifactError(f"the stored state of Image gives the shape {channels}×{height}×{width}")
        self._event, self._two_level = (channels, height, width), two_level
        self.label_names, self.notices, self._came = label_names, notices, came
        return self

    def _channels(self, grey: bool) -> int:
        return {"auto": 1 if grey else 3, "grey": 1, "rgb": 3}[self.colour]

    def _fit_pictures(self, found: Pictures) -> None:
        notices, sizes = Counter(found.notices), Counter[pixels.Size]()
        grey = two_level = True
        with pictures.decoding():
            for path in found.files:
                try:
                    header = pictures.look(path)
                except DataError:
                    if not self.skip_bad:
                        raise
                    notices["skipped_bad"] += 1
                    continue
                sizes[header.size] += 1
                grey, two_level = grey and header.grey, two_level and header.two_level
                notices.update(header.conversions)
        if not sizes:
            raise DataError(f"none of the {len(found.files)} files could be decoded")
        if len(sizes) > 1 and self.size is None:
            shown = ", ".join(f"{h}×{w} ({n})" for (h, w), n in sizes.most_common(4))
            raise DataError(
                f"the images have {len(sizes)} sizes, height × width: {shown}; set size to bring them to one"
            )
        height, width = self.size or next(iter(sizes))
        self._event = (self._channels(grey), height, width)
        self._two_level = two_level and self.colour != "rgb"
        self.notices = dict(notices)

    def _fit_array(self, array: np.ndarray) -> None:
        planes = pixels.layout(array, self.size)
        if not planes.size:
            raise DataError(f"no images in an array of shape {array.shape}")
        notices: Counter[str] = Counter()
        channels = self._channels(planes.shape[1] == 1)
        height, width = self.size or planes.shape[2:]
        two_level = pixels.as_bytes(planes, notices).two_level
        self._two_level = two_level and channels == planes.shape[1]
        self._event = (channels, int(height), int(width))
        self._came = pixels.form(planes)
        self.notices = {name: n for name, n in notices.items() if n}

    def _pixels(self, array: np.ndarray, notices: Counter[str]) -> np.ndarray:
        """Bytes 0…255 of the fitted shape, whatever numbers came."""
        channels, *size = self.event
        planes = pixels.layout(array, self.size or (size[0], size[1]))
        if not planes.size:
            raise DataError(f"no images in an array of shape {array.shape}")
        found = pixels.as_bytes(planes, notices)
        values = found.values
        if self._two_level and not found.unit and found.two_level:
            values = values * np.uint8(255)
        if self.size is None and list(values.shape[2:]) != size:
            height, width = values.shape[2:]
            raise DataError(f"images of {height}×{width}, not {size[0]}×{size[1]} as fitted; set size to resize images")
        values = pixels.with_channels(values, channels, notices)
        return pixels.resized(values, (size[0], size[1]), self.fit_to, self._two_level, notices)

    def _decoded(self, found: Pictures, notices: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
        """(bytes [kept, C, H, W], the indices kept); files are decoded in parallel, for decoders let go of the lock."""
        channels, height, width = self.event
        fit_to = None if self.size is None else self.fit_to
        target = pictures.Target((height, width), channels, fit_to, self._two_level)
        out = files.empty((len(found.files), *self.event), np.dtype(np.uint8), f"{len(found.files)} images")

        def one(row: int) -> list[str] | None:
            try:
                out[row], conversions = pictures.decode(found.files[row], target)
            except DataError:
                if self.skip_bad:
                    return None
                raise
            return conversions

        outcomes: list[list[str] | None] = []
        with pictures.decoding(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            for start in range(0, len(out), 256):  # in pieces, so that a bad file stops the rest
                outcomes += pool.map(one, range(start, min(start + 256, len(out))))
        kept = np.array([row for row, outcome in enumerate(outcomes) if outcome is not None], np.int64)
        for outcome in outcomes:
            notices.update(["skipped_bad"] if outcome is None else outcome)
        if not len(kept):
            raise DataError(f"none of the {len(out)} files could be decoded")
        return (out if len(kept) == len(out) else out[kept]), kept

    def _levels(self, values: np.ndarray, where: str) -> Tensor:
        """Bytes → what `encode` returns; refuses grey pixels where binary ones were fitted."""
        if self._two_level and not pixels.only(values, 255):
            raise DataError(
                f"{where}: holds pixels between black and white, but Image was fitted on two-level images; "
                "threshold them first, or fit with binarize='threshold' on images of many levels"
            )
        if self.binarize == "threshold":
            values = (values > 127).view(np.uint8)
        elif self.binarize == "none" and self._two_level:
            values = values // np.uint8(255)
        return torch.from_numpy(np.ascontiguousarray(values))


def _facts(x: Tensor, notices: Counter[str]) -> dict[str, Any]:
    return {"rows": len(x), "sha256": digest(x), "notices": {name: n for name, n in notices.items() if n}}
