"""Write docs/reliability-table.md from the tests: each fault that is tried, by its id, and the tests that hold it.

Usage: python scripts/make_reliability_table.py [--check]. A test is named after its cases (test_K3_header_length,
test_K1_K2_…), and the first sentence of its docstring says what is tried and what must hold. Parameters named the same
way ("G12_no_samples") count as tests too. A skipped test says in its reason why its case does not apply.
"""

import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "reliability-table.md"
GROUPS = {
    "D": "Data",
    "L": "The command line",
    "G": "Configuration",
    "K": "Model files and checkpoints",
    "C": "Archives",
    "M": "Disk, memory, environment",
}
NAMED = re.compile(r"^test_((?:[DLGKCM][1-9][0-9]?_)+)(.+)$")
PARAMETER = re.compile(r"^((?:[DLGKCM][1-9][0-9]?_)+)([^\n]+)$(?!\n)")
HEAD = """\
<!-- made by scripts/make_reliability_table.py -->

Each case ends in one typed error and an exit status of its own (2 usage, 3 data, 4 artifact, 5 environment), without a
traceback, half-written files or unbounded memory, unless its line says otherwise. Cases of text, audio and cell data, of
the server and of distributed training belong to parts that are not built yet, and are not listed.

Files are replaced by a rename within their folder, and a run folder is claimed by a lock of the system. A network file
system that lacks either gives no such promise: keep runs on a local disk there, and copy them when they are done.
"""


@dataclass(frozen=True)
class Held:
    """A test, or a parameter of one, that holds a case."""

    case: str
    where: str
    said: str
    reason: str = ""


def held(path: Path) -> list[Held]:
    """What the tests in a file hold."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place = path.relative_to(ROOT / "tests").as_posix()
    found: list[Held] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            if match := NAMED.match(node.name):
                where, said, reason = f"{place}::{node.name}", sentence(ast.get_docstring(node)), skip_of(node)
                found += [Held(case, where, said, reason) for case in match[1].rstrip("_").split("_")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := PARAMETER.match(node.value)):
            said = match[2].replace("_", " ").strip()
            found += [Held(case, place, said) for case in match[1].rstrip("_").split("_")]
    return found


def sentence(docstring: str | None) -> str:
    """The first sentence, on one line."""
    words = " ".join((docstring or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", words)[0]


def skip_of(node: ast.FunctionDef) -> str:
    """The reason of a test that is always skipped."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.skip":
            return next((ast.literal_eval(k.value) for k in decorator.keywords if k.arg == "reason"), "")
    return ""


def table() -> str:
    """The page."""
    cases: dict[str, list[Held]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for each in held(path):
            cases[each.case].append(each)
    lines = [HEAD]
    for letter, title in GROUPS.items():
        lines += [f"\n## {letter}. {title}\n", "| Case | What is tried, and what holds | Tests |", "|---|---|---|"]
        for case in sorted((c for c in cases if c[0] == letter), key=lambda c: int(c[1:])):
            lines.append(row(case, cases[case]))
    return "\n".join(lines) + "\n"


def row(case: str, every: list[Held]) -> str:
    """One case: what its tests say, shortest lists first; and why what is skipped does not apply."""
    tried = [each for each in every if not each.reason]
    # Sentences before the bare names of parameters, which say little where a test says it in words.
    said = unique([e.said for e in tried if "::" in e.where and e.said]) or unique([e.said for e in tried if e.said])
    apart = unique([f"Does not apply: {e.said.rstrip('.')}, for {e.reason}." for e in every if e.reason])
    tests = unique([f"`{e.where}`" for e in tried])
    return f"| {case} | {cell([*said, *apart])} | {cell(tests)} |"


def unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def cell(lines: list[str]) -> str:
    return "<br>".join(lines).replace("|", "\\|")


def main() -> None:
    now = table()
    if "--check" in sys.argv[1:]:
        if not TABLE.exists() or TABLE.read_text(encoding="utf-8") != now:
            sys.exit(f"{TABLE.relative_to(ROOT)} is not what the tests say: python scripts/make_reliability_table.py")
        return
    TABLE.write_text(now, encoding="utf-8")


if __name__ == "__main__":
    main()
