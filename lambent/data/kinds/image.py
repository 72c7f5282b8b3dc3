"""Image: pictures of one size as levels [N, C, H, W], bytes or whole numbers of more bits."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds import crops, filed, tensors
from lambent.data.kinds import planes as pixels
from lambent.data.kinds.depth import Depth, Scale, spread
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.pictured import detecting, suiting
from lambent.data.kinds.presets import preset
from lambent.data.readers.pictures import Pictures, Target
from lambent.data.splitting import as_labels, digest
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.machine import Machine
from lambent.part import Shape, Spec, option


class Image(Modality):
    """Images [N, C, H, W] of levels 0 … `white`: 255 of bytes, 1023, 4095 or 65535 of 10, 12 or 16 bits; 0 and 1 if binary.

    Takes a folder (png, jpg, bmp, gif, webp, tiff at any depth), a list of files, or an array: whole numbers 0…65535, floats
    in [0, 1] (kept as round(255·x)), truth values or {0, 1} (binary), laid out [N,H,W], [N,H,W,C], [N,C,H,W] or, with `size`,
    flat. C is 1 or 3, or with `bands` any number. `decode` gives back the units that an array came in. Encoded rows are uint8,
    or int32 of more than 8 bits. Dynamic binarization draws each pixel anew with P(1) = x/white (Salakhutdinov & Murray 2008).
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
    crop: int | None = option(
        "train from crops of so many pixels each way, of pictures of any size: at places drawn anew for each epoch, and about "
        "the centre wherever rows are looked at; none: whole pictures",
        default=None,
        minimum=1,
        maximum=16384,
    )
    colour: Literal["auto", "grey", "rgb"] = option("channels to keep; auto: grey if all images are", default="auto")
    bands: Literal["auto", "all"] = option(
        "auto: grey or RGB, transparency laid on white, others refused; all: every band is data, transparency the last",
        default="auto",
    )
    depth: Depth = option(
        "bits of a pixel; auto: the least of 8, 10, 12, 16 that holds the data's whole numbers; 8 brings all to bytes",
        default="auto",
    )
    binarize: Literal["none", "threshold", "dynamic"] = option(
        "make pixels 0 or 1: above half of white, or drawn anew for every batch with probability value/white",
        default="none",
        papers={"dynamic": "salakhutdinov2008quantitative"},
    )
    flip: bool = option("mirror each image left to right with probability one half, for training", default=False)
    skip_bad: bool = option("leave out files that cannot be decoded, and count them, instead of failing", default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop is not None and self.size is not None:
            raise UsageError("crop takes pictures of any size, and size brings all to one: leave one of them out")
        self.notices: dict[str, int] = {}
        self.label_names: list[str] | None = None
        self._event: Shape | None = None
        self._two_level = False
        self._scale = Scale()
        self._alpha = False  # whether the last band is transparency
        self._rows = 0  # that it was fitted on, as far as it was
        self._came: Shape | None = None  # C, H, W of the array that it was fitted on; files come in any size

    @property
    def event(self) -> Shape:
        """(C, H, W)."""
        if self._event is None:
            raise UsageError("Image: call fit first; until then its size is not known")
        return self._event

    @property
    def white(self) -> int:
        """The greatest level of an encoded pixel that is not binary."""
        return self._scale.white

    @property
    def binary(self) -> bool:
        """Whether a pixel is 0 or 1 by the time a model sees it."""
        return self.binarize != "none" or self._two_level

    def open(self, raw: Any) -> Pictures | np.ndarray:
        """Any accepted raw form → pictures on disk, or one array."""
        return filed.opened(raw)

    def fit(self, raw: Any) -> Self:
        """Learn the size, the number of channels, and whether the data are binary as they stand."""
        raw = self.open(raw)
        self.notices, self.label_names, self._came, self._rows = {}, None, None, len(raw)
        if isinstance(raw, Pictures):
            self._fit_pictures(raw)
            self.label_names = raw.label_names
        else:
            self._fit_array(raw)
        return self

    def learn(self, pieces: Iterable[Any]) -> Self:
        """`fit` on images in pieces, which must be of one form; the deepest piece says how deep all are."""
        notices: Counter[str] = Counter()
        two_level, first, scale, rows = True, None, None, 0
        for raw in pieces:
            self.fit(raw)
            first, rows = first or self.event, rows + len(raw)
            if self.event != first:
                raise DataError(f"images of {self.event} follow such of {first} (channels, height, width)")
            notices.update({name: n for name, n in self.notices.items() if name not in self._scale.told(rows)})
            scale = self._scale if scale is None else scale.joined(self._scale)
            two_level = two_level and self._two_level
            if not two_level and isinstance(raw, np.ndarray) and raw.dtype == np.uint8:
                break  # of bytes on more than two levels nothing is left to learn
        if scale is None:
            raise DataError("there are no images to learn from")
        self._two_level, self.notices, self._scale = two_level, dict(notices) | scale.told(rows), scale
        self._rows = rows
        return self

    def allow(self, pieces: Iterable[Any]) -> None:
        """Take the depth of held-out pictures where these are the deeper: by chance a part may hold no bright pixel."""
        before = self._scale
        for raw in pieces if self.depth == "auto" and not self._two_level else ():
            if isinstance(raw, np.ndarray) and raw.dtype == np.uint8:
                break  # and so are all others
            self._scale = self._scale.joined(self._depth_of(self.open(raw)))
        if self._scale != before:
            rows = sum(self.notices.pop(name, 0) for name in before.told(1))
            self.notices |= self._scale.told(max(rows, 1))

    def unchanging(self, shape: Shape, dtype: np.dtype) -> bool:
        """Whether an array's images are their own encoding: levels [C, H, W] or [H, W] that are kept as they are."""
        kept = self.binarize == "none" or (self.binarize == "dynamic" and not self._two_level)
        same = self._scale.deep is None and dtype == self._scale.dtype and self.crop is None
        return kept and same and pixels.planar(shape, dtype, self.size, self.bands == "all") == self.event

    def foreign(self, raw: Any) -> str | None:
        """Arrays of another shape are told; pictures in files are of any size, and are resized as they were for training."""
        raw = self.open(raw)
        if isinstance(raw, Pictures) or self.crop is not None:
            return None
        found = pixels.form(self._laid(raw))
        if found in (self.event, self._came):
            return None
        shown = ["×".join(map(str, shape)) for shape in (found, self._came or self.event)]
        what = f"its images are {shown[0]} (channels × height × width), the model was trained on {shown[1]}"
        return f"{what}; bring them to that, or let --resize do it"

    def converting(self) -> Self:
        """With its own size asked for, so that images of every size and colour are brought to it."""
        if self.size is not None or self.crop is not None:
            return self
        height, width = self.event[1:]
        other = type(self).from_spec(self.spec() | {"size": [height, width]}).restore(self.state())
        other.conditions = self.conditions
        return other

    def encode(self, raw: Any) -> Tensor:
        """Raw images → levels [N, C, H, W], uint8 or int32; 0 and 1 for binary data and `threshold`, levels for `dynamic`."""
        return self.read(raw).x

    def read(self, raw: Any) -> Encoded:
        """`encode`, with the names of the folders as labels, and the conversions counted in `source["notices"]`."""
        raw = self.open(raw)
        notices: Counter[str] = Counter()
        if not isinstance(raw, Pictures):
            whole = self._pixels(raw, notices)
            # Later changes to the caller's own array must not reach the data set.
            whole = whole.copy() if np.may_share_memory(whole, raw) else whole
            x = self.as_rows(whole if self.crop is None else crops.centred(whole, self.crop), "the array")
            return Encoded(x, self, source=_facts(x, notices), uncut=None if self.crop is None else whole)
        values, kept = self._decoded(raw, notices)
        x = self.as_rows(values, str(raw.files[0].parent))
        labels, names = None, None
        if raw.labels is not None and raw.label_names is not None:
            # By name: a folder that lacks a class must not shift the codes of the others.
            labels, names = as_labels(np.array(raw.label_names, object)[raw.labels[kept]], self.label_names)
        files = [str(raw.files[row]) for row in kept]
        facts, uncut = _facts(x, notices + raw.notices), None if self.crop is None else raw[kept]
        return Encoded(x, self, labels, names, source=facts, files=files, numbers=kept, uncut=uncut)

    def decode(self, x: Tensor) -> np.ndarray:
        """[N, C, H, W] → [N, H, W] or [N, H, W, C] in the units that pixels came in; takes 0…white, or 0…1 when binary.

        Levels come back rounded in uint8, or in uint16 of more than 8 bits; floats in [0, 1] in float32; truth values and whole
        numbers 0 and 1 as what is likelier. All are clamped.
        """
        return self._scale.returned(self._shown(x))

    def levels(self, x: Tensor) -> np.ndarray:
        """`decode` to levels, uint8 or uint16, whatever pixels came as, with as many bands as `pixels.looked_at` leaves."""
        return pixels.looked_at(np.rint(self._shown(x)).astype(self._scale.dtype), self._alpha)

    def pictures(self, x: Tensor) -> np.ndarray:
        """`levels` as bytes, to be looked at: uint8 [N, H, W] or [N, H, W, 3], transparency laid on white."""
        found = pixels.over_white(self.levels(x), self.white) if self._alpha else self.levels(x)
        return found if self.white == 255 else spread(found, self.white, 255)

    def _shown(self, x: Tensor) -> np.ndarray:
        """Numbers 0 … white, [N, H, W] or [N, H, W, C]."""
        drawn = x.dtype.is_floating_point or self.binarize != "dynamic" or not bool((x > 1).any())
        return tensors.shown(x, self.event, self.white, of_one=self.binary and drawn)

    @property
    def drawn(self) -> bool:
        return self.binarize == "dynamic"

    def transform(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A fresh view of encoded rows [N, C, H, W]: drawn to 0 and 1 with `dynamic`."""
        if self.drawn:
            # r is uniform on the levels below white, so P(r < x) is exactly x/white, for black and for white too.
            kind = torch.uint8 if self.white == 255 else torch.int32
            r = torch.randint(0, self.white, x.shape, generator=generator, device=x.device, dtype=kind)
            x = (r < x).to(torch.uint8)
        return x

    def augment(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Encoded rows [N, C, H, W], each mirrored with probability one half if `flip`."""
        if not self.flip:
            return x
        mirrored = torch.randint(0, 2, (len(x), 1, 1, 1), generator=generator, device=x.device, dtype=torch.bool)
        return torch.where(mirrored, x.flip(-1), x)

    def defaults(self) -> dict[str, Spec]:
        """Parts that suit what was found: see `suiting`."""
        return suiting(self.binary, self.white)

    def preset(self, name: str, machine: Machine) -> dict[str, Spec]:
        """Parts and settings of a size: see `preset` beside it."""
        return preset(name, machine, self.defaults()["likelihood"], self.event, self._rows, self.crop is not None)

    def detecting(self) -> dict[str, Spec]:
        """Parts that suit telling odd pictures: see `detecting` beside it."""
        return detecting(self.binary, self.event, self._rows)

    def state(self) -> dict[str, Any]:
        """{"event": [C, H, W], "two_level": …, "scale": …, "label_names": …, "notices": conversions in what it was fitted on}."""
        return {
            "event": list(self.event),
            "two_level": self._two_level,
            "scale": self._scale.state(),
            "alpha": self._alpha,
            "label_names": self.label_names,
            "notices": dict(self.notices),
            "came": None if self._came is None else list(self._came),
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ArtifactError` if it is no such state."""
        try:
            channels, height, width = (int(n) for n in state["event"])
            two_level, notices = bool(state["two_level"]), {str(k): int(v) for k, v in state["notices"].items()}
            label_names = None if (names := state["label_names"]) is None else [str(name) for name in names]
            came = tuple(int(n) for n in state.get("came") or ()) or None
            scale = Scale.restored(dict(state.get("scale") or {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"the stored state of Image is damaged ({error!r})") from None
        pixels.refuse_stored((channels, height, width), self.bands == "all")
        self._event, self._two_level = (channels, height, width), two_level
        self._alpha = bool(state.get("alpha"))
        self.label_names, self.notices, self._came, self._scale = label_names, notices, came, scale
        return self

    def _laid(self, array: np.ndarray) -> np.ndarray:
        """An array as [N, C, H, W], read by the size that was fitted."""
        planes = pixels.layout(array, self.size or (self.event[1], self.event[2]), self.bands == "all")
        if not planes.size:
            raise DataError(f"no images in an array of shape {array.shape}")
        return planes

    def _depth_of(self, raw: Pictures | np.ndarray) -> Scale:
        if isinstance(raw, Pictures):
            return filed.looked(raw.files, self.bands == "all", self.skip_bad).scale(self.depth)
        return pixels.scale_of(self._laid(raw), self.depth)[0]

    def _fit_pictures(self, found: Pictures) -> None:
        seen = filed.looked(found.files, self.bands == "all", self.skip_bad)
        self._alpha = seen.alpha
        self._event = (pixels.kept_channels(self.colour, seen.bands) + seen.alpha, *seen.size(self.size, self.crop))
        self._two_level = seen.two_level and self.colour != "rgb"
        self._scale = seen.scale(self.depth)
        deep = self._scale.told(len(seen.deep))
        self.notices = dict(found.notices + seen.notices + Counter(deep))

    def _fit_array(self, array: np.ndarray) -> None:
        planes = pixels.layout(array, self.size, self.bands == "all")
        if not planes.size:
            raise DataError(f"no images in an array of shape {array.shape}")
        channels = pixels.kept_channels(self.colour, planes.shape[1])
        height, width = self.size or crops.side(planes.shape, self.crop)
        self._scale, two_level = pixels.scale_of(planes, self.depth)
        self._two_level = two_level and channels == planes.shape[1]
        self._event = (channels, int(height), int(width))
        self._came, self._alpha = pixels.form(planes), False
        notices = Counter(self._scale.told(len(planes)))
        if self._scale.unit == "fractions":
            self._scale.fractions(planes, notices)  # which counts what is rounded
        self.notices = {name: n for name, n in notices.items() if n}

    def _pixels(self, array: np.ndarray, notices: Counter[str]) -> np.ndarray:
        """Levels of the fitted shape, whatever numbers came."""
        channels, *size = self.event
        values = pixels.as_levels(self._laid(array), self._scale, self._two_level, notices)
        height, width = values.shape[2:]
        if self.crop is not None:
            return pixels.with_channels(values, channels, notices)
        if self.size is None and [height, width] != size:
            raise DataError(f"images of {height}×{width}, not {size[0]}×{size[1]} as fitted; set size to resize images")
        values = pixels.with_channels(values, channels, notices)
        return pixels.resized(values, (size[0], size[1]), self.fit_to, self._two_level, notices, self.white)

    def _decoded(self, found: Pictures, notices: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
        """(levels [kept, C, H, W], the indices kept)."""
        return filed.decoded(found.files, self.target, self.skip_bad, notices, self.event[1:], self.crop)

    @property
    def target(self) -> Target:
        """What each picture in a file is brought to before anything is cut out of it."""
        size = None if self.crop is not None else (self.event[1], self.event[2])
        fit_to = None if self.size is None else self.fit_to
        return Target(size, self.event[0], fit_to, self._two_level, self._scale, self._alpha)

    def as_rows(self, values: np.ndarray, where: str) -> Tensor:
        """Levels [N, C, H, W] → what `encode` returns; refuses grey pixels where binary ones were fitted."""
        if self._two_level:
            pixels.refuse_grey(values, where)
        if self.binarize == "threshold":
            values = (values > self.white // 2).view(np.uint8)
        elif self.binarize == "none" and self._two_level:
            values = values // np.uint8(255)
        return tensors.rows_of(np.ascontiguousarray(values))


def _facts(x: Tensor, notices: Counter[str]) -> dict[str, Any]:
    return {"rows": len(x), "sha256": digest(x), "notices": {name: n for name, n in notices.items() if n}}
