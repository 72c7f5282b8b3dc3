"""Flags: verbs read theirs with argparse, one line per mistake; the dotted flags of parts become a tree."""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from lambent.cli.reading.trees import Tree, Typed
from lambent.errors import UsageError, bound, nearest

FAMILIES = ("latent", "likelihood", "network", "objective", "model", "data")
LARGEST_SEED = 2**63 - 1
SHORT = re.compile(r"-[A-Za-z]")  # how a short form begins; -500 and a lone - are values


class Parser(argparse.ArgumentParser):
    """argparse whose every complaint is a `UsageError` of one line with the nearest name."""

    def __init__(self, verb: str, summary: str, **settings: Any) -> None:
        super().__init__(prog=f"lambent {verb}", description=summary, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse's own, but that the nearest of the choices is named."""
        if action.choices is not None and value not in action.choices:
            named = "/".join(action.option_strings) or str(action.metavar or action.dest).upper()
            raise UsageError(
                f"{self.prog}: {named} {value!r}: {nearest(str(value), [str(one) for one in action.choices])}"
            )

    def read(self, arguments: Sequence[str], also: Sequence[str] = ()) -> argparse.Namespace:
        """The options; `also` names flags that are read elsewhere, for the hint at an unknown one."""
        end = arguments.index("--") if "--" in arguments else len(arguments)
        for token in arguments[:end]:
            self._refuse_unknown_short(token, also)
        # What stands after -- is no flag, whatever it begins with: argparse sees a stand-in that cannot be mistaken for one.
        plain = {f"\0{place}": word for place, word in enumerate(arguments[end + 1 :])}
        # Intermixed: an optional word such as DATA may follow flags, and not only the word before it.
        found, left = self.parse_known_intermixed_args([*(_dashed(a) for a in arguments[:end]), *plain])
        for name, value in vars(found).items():
            setattr(found, name, plain.get(value, value) if isinstance(value, str) else value)
        surplus = next((plain[token] for token in left if token in plain), None)
        for token in left:
            if token.startswith("-") and token != "-":
                raise self._no_flag(token, also)
        if left:
            word = left[0] if surplus is None else surplus
            raise UsageError(f"{self.prog}: does not know what to do with {word!r}; see {self.prog} --help")
        return found

    def _refuse_unknown_short(self, token: str, also: Sequence[str]) -> None:
        """argparse would take -out for -o with the value "ut": after one dash only a whole short form counts, and -n16."""
        name = token.partition("=")[0]
        if not SHORT.match(token) or " " in name or name in self._option_string_actions:
            return
        glued = token[2:].isdigit() and token[:2] in self._option_string_actions
        if not glued:
            raise self._no_flag(token, also)

    def _no_flag(self, token: str, also: Sequence[str]) -> UsageError:
        """The complaint about a flag that is not there; -out is held against the long forms, as --out."""
        name = token.partition("=")[0]
        close = name if name.startswith("--") else f"-{name}"
        return UsageError(f"{self.prog}: no flag {token!r}; {nearest(close, [*self._option_string_actions, *also])}")


def _dashed(token: str) -> str:
    """`--learning_rate` is `--learning-rate`."""
    if not token.startswith("--"):
        return token
    name, equals, value = token.partition("=")
    return name.replace("_", "-") + equals + value


def divided(arguments: Sequence[str], families: Sequence[str] = FAMILIES) -> tuple[list[str], Tree]:
    """A verb's own arguments, and the tree of all flags that describe parts (`--latent.prior Vamp`, `--data.size=64,64`)."""
    rest: list[str] = []
    tree: Tree = {}
    tokens = list(arguments)
    while tokens:
        token = tokens.pop(0)
        name, equals, value = token.partition("=")
        path = name[2:].replace("-", "_").split(".")
        if token == "--":
            return [*rest, token, *tokens], tree
        if not name.startswith("--") or path[0] not in families:
            rest.append(token)
            continue
        if not all(path):
            raise UsageError(f"{name}: not a flag; it would be --{path[0]}.FIELD VALUE")
        if not equals:
            value = _next(tokens, name)
        _plant(tree, path, value)
    return rest, tree


def _next(tokens: list[str], name: str) -> str:
    """The value that follows a flag; a flag at the end, or before another flag, switches something on."""
    if tokens and not tokens[0].startswith("--") and not SHORT.match(tokens[0]):
        return tokens.pop(0)
    if "." not in name:
        raise UsageError(f"{name} needs a name: {name} NAME")
    return "true"


def _plant(tree: Tree, path: list[str], value: str) -> None:
    """Set tree[a][b]… to the value; a name beside fields of its own is their type."""
    for step in path[:-1]:
        inner = tree.setdefault(step, {})
        if isinstance(inner, Typed):
            inner = tree[step] = {"type": str(inner)}
        tree = inner
    before = tree.get(path[-1])
    if isinstance(before, dict) and path[-1] not in ("type", "source"):
        before["type"] = value
    else:
        tree[path[-1]] = Typed(value)


# ---- options that several verbs share --------------------------------------------------------------------------------


def common(parser: Parser, *, json: bool = True, machine: bool = False) -> Parser:
    """What every verb takes; `machine`: it computes with a model."""
    group = parser.add_argument_group("everywhere")
    if machine:
        group.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto: a GPU where there is one")
        group.add_argument(
            "--threads", default="auto", help="a number; auto: as many of all, half and one as draw rows fastest"
        )
        group.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help=IMPORTS)
    if json:
        group.add_argument("--json", action="store_true", help="print the result as JSON")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress, no notes")
    group.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


IMPORTS = "a Python module to import first, for the parts that it registers; may be given several times"


def add_seed(parser: Parser) -> None:
    parser.add_argument(
        "--seed", type=whole("--seed", 0, LARGEST_SEED), default=0, help="of all randomness (default 0)"
    )


def add_output(parser: Parser, suffixes: Sequence[str]) -> None:
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FILE",
        type=filled("--out"),
        help=f"the file to write: {', '.join(suffix or 'a folder' for suffix in suffixes)}",
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def add_rows(parser: Parser, purpose: str) -> None:
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help=f"{purpose}; default: the test rows of the run's own data"
    )
    parser.add_argument("--split", help="split of the data; default: 'test' where there is one, else all")
    parser.add_argument(
        "--resize", action="store_true", help="bring pictures of another size or colour to the model's own"
    )


def add_given(parser: Parser, purpose: str) -> None:
    """Values of what a model is conditioned on."""
    parser.add_argument(
        "--given", action="append", default=[], metavar="NAME=VALUE", help=f"{purpose}; may be repeated"
    )


def add_run(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder or a model file")


def whole(flag: str, low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers in a range."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"takes a whole number, not {text[:40]!r}") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{bound(number, low, high)}, not {text[:40]}")
        return number

    read.__name__ = flag
    return read


def positive(text: str) -> float:
    """A reader of finite numbers above 0."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, not {text[:40]!r}") from None
    if not 0 < number < 1e30:
        raise argparse.ArgumentTypeError(f"must be above 0 and finite, not {text[:40]}")
    return number


def filled(flag: str) -> Callable[[str], str]:
    """A reader of text that is not empty."""

    def read(text: str) -> str:
        if not text or "\0" in text:
            raise argparse.ArgumentTypeError("needs a name")
        return text

    read.__name__ = flag
    return read


def import_modules(names: Sequence[str]) -> None:
    """Import the modules that register a user's own parts; the current folder counts."""
    if names and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(f"--import {name}: {error}") from None
