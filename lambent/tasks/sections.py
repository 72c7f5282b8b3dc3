"""What a task tells a reader: a Section with blocks of text, numbers and pictures, all plain data. A report lays it out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Weight = Literal["good", "notice", "problem"]


@dataclass(frozen=True)
class Paragraph:
    """Text; a summary stands out, a note stands back."""

    text: str
    style: Literal["plain", "summary", "note"] = "plain"


@dataclass(frozen=True)
class Code:
    """Text to be copied, in letters of one width; a command breaks between its words."""

    text: str
    command: bool = False
    label: str = ""


@dataclass(frozen=True)
class Remark:
    """One finding in plain words: how much it matters, what it is, what shows it, and what to change.

    `answer` is a short reply to one of the reader's first questions: is it collapsed, is it over-fitted?
    """

    level: Weight
    title: str
    text: str
    advice: str = ""
    answer: str = ""


@dataclass(frozen=True)
class Remarks:
    """A list of remarks, each with a sign of its weight."""

    remarks: Sequence[Remark]


@dataclass
class Fact:
    """A name with its value in words, or with facts of its own."""

    name: str
    text: str = ""
    parts: list["Fact"] = field(default_factory=list)


@dataclass(frozen=True)
class Listing:
    """Facts, one a line."""

    facts: Sequence[Fact]
    title: str = ""


@dataclass
class Cell:
    """A table's cell: words, or a number for the page to write.

    A number stands at the right, a strong cell is bold, an odd one differs from what it should be.
    """

    content: str | float
    number: bool = False
    odd: bool = False
    strong: bool = False
    role: Literal["", "unit", "meaning"] = ""


@dataclass
class TableBlock:
    """A table to print: heads, and rows of a name each with cells.

    caption: what it is, for those who cannot see it. paired: rows are originals with their reconstructions.
    """

    heads: list[str]
    rows: list[tuple[str, list[Cell]]]
    caption: str
    note: str = ""
    paired: bool = False
    measures: bool = False


@dataclass(frozen=True)
class Key:
    """A number that a figure reads out, marked as its curve is."""

    kind: str
    name: str
    value: str


@dataclass(frozen=True)
class Entry:
    """One entry of a legend: a name, its colour's number, how many there are."""

    name: str
    colour: int
    size: int


@dataclass(frozen=True)
class Live:
    """What a pointer or the arrow keys read out of a figure: numbers as JSON in the form of its kind."""

    kind: Literal["curve", "bars", "map", "matrix"]
    data: str = ""
    label: str = ""


@dataclass(frozen=True)
class Figure:
    """A drawing with its words.

    drawing: SVG, used as it is: who draws it escapes the text in it. reading: a line above it, with `keys` the name of the
    place whose numbers they are.
    """

    drawing: str
    title: str = ""
    unit: str = ""
    caption: str = ""
    reading: str = ""
    keys: Sequence[Key] = ()
    live: Live | None = None
    legend: Sequence[Entry] = ()
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """How many of the values lie where; those that are not finite are left out, and counted. of: what each is a value of.

    mark: a value with a line through it and its name; bars at and above it stand out. tail: counts by their logarithm, so that
    single rows can be seen, and what lies above the frame as one last bar.
    """

    values: Sequence[float]
    title: str
    unit: str = ""
    caption: str = ""
    of: str = "row"
    mark: float | None = None
    mark_name: str = ""
    tail: bool = False


@dataclass(frozen=True)
class Curve:
    """Points joined in their order, of a name; a main curve is in the accent colour, a plain one muted."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    main: bool = False
    value: str = ""  # a number to read beside its name


@dataclass(frozen=True)
class Curves:
    """Curves in a frame, by default the unit square.

    diagonal: with the line on which both axes are equal; level: with one across, at a height. across, up: the ends of the axes.
    """

    title: str
    curves: Sequence[Curve]
    unit: str = ""
    caption: str = ""
    diagonal: bool = False
    level: float | None = None
    spot: tuple[float, float] | None = None  # a point with a ring around it
    spot_name: str = ""
    across: tuple[float, float] = (0.0, 1.0)
    up: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Shares:
    """How the values of one column fall in two tables: shares of the same bins, or of the same categories.

    names: of the categories; none: bins of a number, whose `edges` [bins + 1] are given. first, second: [bins], what the two
    tables are called and their shares.
    """

    title: str
    tables: tuple[str, str]
    first: Sequence[float]
    second: Sequence[float]
    names: Sequence[str] = ()
    edges: Sequence[float] = ()
    times: bool = False  # the edges are seconds since 1970
    reading: str = ""


@dataclass(frozen=True)
class Matrix:
    """A number from 0 to 1 for every pair of names, [names, names], symmetric; not finite: none."""

    values: Sequence[Sequence[float]]
    names: Sequence[str]
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Sheet:
    """Pictures in a grid, [rows, columns, H, W] or [rows, columns, H, W, 3], uint8; `alt` says what they are.

    paired: each second row belongs to the one above it.
    """

    cells: NDArray[np.uint8]
    alt: str
    names: Sequence[str] = ()
    heads: Sequence[str] = ()
    paired: bool = False


@dataclass(frozen=True)
class Clip:
    """A sound: its name, its spectrogram uint8 [H, W, 3], and the bytes of a WAV file."""

    name: str
    picture: NDArray[np.uint8]
    sound: bytes


@dataclass(frozen=True)
class Heard:
    """Sounds to look at and to listen to, in lines of as many; what stands below another belongs to it."""

    lines: Sequence[Sequence[Clip]]


@dataclass(frozen=True)
class Group:
    """Blocks side by side where there is room."""

    blocks: Sequence["Block"]
    style: Literal["charts", "blocks"] = "charts"


@dataclass(frozen=True)
class Details:
    """Blocks that a reader opens."""

    summary: str
    blocks: Sequence["Block"]


Block = (
    Paragraph
    | Code
    | Remarks
    | Listing
    | TableBlock
    | Figure
    | Histogram
    | Curves
    | Shares
    | Matrix
    | Sheet
    | Heard
    | Group
    | Details
)  # what a section's body is made of


@dataclass(frozen=True)
class Section:
    """A part of a report: a short name for links, a title, a sentence that says how to read it, and its blocks."""

    id: str
    title: str
    lead: str
    body: Sequence[Block]
