"""Text: a delimited file as columns of raw cells, quotes and all, and back to the same bytes."""

import codecs
import re
from collections import Counter
from dataclasses import dataclass, field

from lambent.errors import ArtifactError

DELIMITERS = ",;\t|"
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1")  # the last takes any bytes
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Sheet:
    """A delimited file: the rows that have as many cells as most, by column, and what else is needed to write it again.

    Cells are as they stand between delimiters. odd: the lines of other rows, by the number of the line. closed: whether the last
    line ends as the others do.
    """

    encoding: str
    delimiter: str
    ending: str
    closed: bool
    columns: list[list[str]]
    odd: dict[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.columns[0])

    def written(self) -> bytes:
        """The bytes of the file."""
        lines = list(map(self.delimiter.join, zip(*self.columns, strict=True)))
        if self.odd:
            regular, count = iter(lines), len(lines) + len(self.odd)
            try:
                lines = [self.odd[line] if line in self.odd else next(regular) for line in range(count)]
            except StopIteration:
                raise ArtifactError("the lines of the table are numbered beyond their count") from None
        text = self.ending.join(lines) + (self.ending if self.closed else "")
        return text.encode(self.encoding)


def sheet(content: bytes, delimiter: str | None = None) -> Sheet | None:
    """A file's bytes as a sheet; None for what is none: nothing but blanks, or NUL bytes."""
    encoding, text = _decoded(content)
    ending = "\n" if "\n" in text else "\r"
    if not text.strip() or "\0" in text:
        return None
    delimiter = delimiter or _likeliest(text.split(ending, 1)[0])
    closed = text.endswith(ending)
    lines = _split(text[: len(text) - closed], delimiter, ending)
    ended = lines if closed else lines[:-1]
    if ending == "\n" and ended and all(line[-1].endswith("\r") for line in ended):
        ending = "\r\n"
        for line in ended:
            line[-1] = line[-1][:-1]
    counts = Counter(map(len, lines))
    width = len(lines[0]) if 2 * counts[len(lines[0])] >= len(lines) else counts.most_common(1)[0][0]
    odd = {place: delimiter.join(line) for place, line in enumerate(lines) if len(line) != width}
    regular = [line for line in lines if len(line) == width] if odd else lines
    made = Sheet(encoding, delimiter, ending, closed, [list(column) for column in zip(*regular, strict=True)], odd)
    return made if made.written() == content else None


def _decoded(content: bytes) -> tuple[str, str]:
    """(encoding, text); Latin-1 for whatever is nothing else, or would not come back."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
        if text.encode(encoding) == content:
            return encoding, text
    except UnicodeError:
        pass
    return "latin-1", content.decode("latin-1")


def _likeliest(line: str) -> str:
    """The delimiter that the first line holds most of, outside quotes."""
    return max(DELIMITERS, key=re.sub(r'"[^"]*"', "", line).count)


def _split(text: str, delimiter: str, ending: str) -> list[list[str]]:
    """Lines of raw cells. A cell that begins with a quote goes to the quote that ends it, over delimiters and ends of lines."""
    if '"' not in text:
        return [line.split(delimiter) for line in text.split(ending)]
    mark, end = re.escape(delimiter), re.escape(ending)
    cell = re.compile(rf'((?:"(?:[^"]|"")*+")?[^{mark}{end}]*+)({mark}|{end}|\Z)')
    lines: list[list[str]] = [[]]
    for found in cell.finditer(text):
        lines[-1].append(found[1])
        if found[2] == ending:
            lines.append([])
        elif not found[2]:
            break
    return lines


def bare(cell: str) -> str:
    """A raw cell without the quotes around it."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell
