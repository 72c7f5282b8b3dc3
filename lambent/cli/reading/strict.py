"""Strict YAML and JSON: plain data from a file, and nothing else that these formats can say.

YAML is read by its 1.2 core rules: `1e-3` is a number, `no` is text. Anchors, tags, repeated keys, keys that are not text,
and numbers that are not finite are refused with their line. ruamel.yaml reads the language; its events are folded here,
one after the other and without recursion, so that a file is refused at the first thing that is not taken and no depth of
nesting can exhaust the stack. It is imported only where there is YAML to read or to write.
"""

import functools
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.disk import strict_json
from lambent.errors import UsageError

if TYPE_CHECKING:
    from ruamel.yaml import Event, ScalarEvent
    from ruamel.yaml.nodes import Node
    from ruamel.yaml.representer import SafeRepresenter

LARGEST = 1 << 20  # bytes of a file
DEEPEST = 32
MOST = 20_000  # values in a file

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_HARMLESS = re.compile(r"[\w./ ()+=-]+")  # text that needs no quotes, if it is not a number or the like
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def read(path: str | Path) -> Any:
    """The value in a .yaml, .yml or .json file; `DataError` where it cannot be read, `UsageError` for what is refused."""
    from lambent.data.readers.regular import regular

    path = regular(path)
    if path.stat().st_size > LARGEST:
        raise UsageError(f"{path}: is {path.stat().st_size:,} bytes long; a configuration has at most {LARGEST:,}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    return parsed_json(text, str(path)) if path.suffix.lower() == ".json" else parsed(text, str(path))


def parsed(text: str, where: str) -> Any:
    """The value of one YAML document; None for an empty one."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    folder = _Folder(where)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            folder.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}:" if mark else ""
        raise UsageError(f"{where}:{line} no YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise UsageError(f"{where}: no YAML: {str(error).splitlines()[0]}") from None
    return folder.value


def scalar(text: str) -> Any:
    """A plain word as YAML 1.2 reads it: nothing, a truth value, a whole number, a number, else text.

    Raises ValueError for numbers that are not finite.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)  # a ValueError above 4300 digits
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"{text} is beyond any number that a machine holds")
        return number
    if _INFINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    return text


def _paired(text: str) -> str:
    """Text with characters that JSON escapes as two surrogates, which YAML reads as they stand, put together."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:  # half of a pair
        return text


class _Folder:
    """Folds a stream of YAML events into one value."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.value: Any = None
        self.open: list[tuple[Any, list[str]]] = []  # containers still open; a mapping with the key it waits to fill
        self.documents = self.count = 0

    def take(self, event: "Event") -> None:
        from ruamel import yaml

        line = (event.start_mark.line if event.start_mark else 0) + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.refuse(line, "a second document; a configuration is one")
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.refuse(line, "anchors and aliases (& and *) are not taken; write the value out")
        elif getattr(event, "tag", None):
            self.refuse(line, f"tags such as {event.tag} are not taken")  # type: ignore[attr-defined]
        elif isinstance(event, yaml.ScalarEvent):
            self.place(line, self.scalar(line, event), event.implicit[0])
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self.place(line, container, False)
            self.open.append((container, []))
            if len(self.open) > DEEPEST:
                self.refuse(line, f"nested more than {DEEPEST} deep")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self.open.pop()

    def scalar(self, line: int, event: "ScalarEvent") -> Any:
        if not event.implicit[0]:  # quoted
            return _paired(event.value)
        try:
            return scalar(event.value)
        except ValueError as error:
            self.refuse(line, str(error)[:100])

    def place(self, line: int, value: Any, plain: bool) -> None:
        self.count += 1
        if self.count > MOST:
            self.refuse(line, f"more than {MOST:,} values")
        if not self.open:
            self.value = value
            return
        container, waiting = self.open[-1]
        if isinstance(container, list):
            container.append(value)
        elif waiting:
            container[waiting.pop()] = value
        else:
            if not isinstance(value, str):
                self.refuse(line, f"the key {str(value)[:40]} is no text; put it in quotes")
            if value in container:
                self.refuse(line, f"the key {value!r} stands there twice")
            container[value] = None
            waiting.append(value)

    def refuse(self, line: int, why: str) -> Any:
        raise UsageError(f"{self.where}: line {line}: {why}")


def parsed_json(text: str, where: str) -> Any:
    """The value of a JSON text."""
    try:
        return strict_json.parsed(text, deepest=DEEPEST)
    except ValueError as error:
        raise UsageError(f"{where}: {str(error)[:120]}") from None


def dumped(value: Any) -> str:
    """Plain data as YAML that `parsed` reads back to the same."""
    written = io.StringIO()
    _writer().dump(value, written)
    return written.getvalue()


@functools.cache
def _writer() -> Any:
    """Writes text that a plain word would turn into something else in quotes, and short lists on one line."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Representer.add_representer(str, _text)
    Representer.add_representer(float, _number)
    Representer.add_representer(list, _list)
    writer: Any = YAML(typ="safe", pure=True)
    writer.Representer = Representer
    writer.default_flow_style, writer.sort_base_mapping_type_on_output, writer.width = False, False, 110
    return writer


def _text(writer: "SafeRepresenter", value: str) -> "Node":
    try:
        plain = bool(_HARMLESS.fullmatch(value)) and isinstance(scalar(value), str)
    except ValueError:
        plain = False
    return writer.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')


def _number(writer: "SafeRepresenter", value: float) -> "Node":
    return writer.represent_scalar("tag:yaml.org,2002:float", repr(value))


def _list(writer: "SafeRepresenter", value: list[Any]) -> "Node":
    in_line = not any(isinstance(v, dict) for v in value)
    return writer.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=in_line)
