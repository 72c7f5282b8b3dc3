"""What the pages show of the package itself, made from it when they are built: fields, papers, settings, verbs, results.

Each directive writes Markdown, which is then read as if it stood on the page.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plots
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from lambent.cli.program import VERBS
from lambent.cli.reading.describe import catalogue, described
from lambent.cli.reading.plan import families as chosen_families
from lambent.cli.reading.plan import modalities
from lambent.cli.reading.settings import Setting, of_evaluation, of_fit, of_model, of_rows
from lambent.cli.reading.words import shown
from lambent.data.catalog.entries import CATALOG
from lambent.papers import bibliography
from lambent.part import Part, families, registered

REPOSITORY = Path(__file__).parents[1]
FLAGS = {
    "Prior": "--latent.prior",
    "Posterior": "--latent.posterior",
    "Quantizer": "--latent.quantizer",
    "Modality": "--data",
    "Missingness": "--objective.missingness",
    "Score": "--score",
}  # the rest are --latent, --likelihood, --network, --objective
ACCENTS = {r"{\o}": "ø", r"{\"o}": "ö", r"{\'e}": "é", r"{\c{c}}": "ç", r"$\beta$": "β"}


class Generated(SphinxDirective):
    """A directive whose arguments become Markdown."""

    optional_arguments = 2

    def markdown(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        holder = nodes.container()
        holder.document = self.state.document
        lines = StringList(self.markdown().splitlines(), source=self.env.docname)
        self.state.nested_parse(lines, self.content_offset, holder)
        return holder.children

    def depend_on(self, path: Path) -> None:
        """Build the page anew when the file changes."""
        self.env.note_dependency(str(path))


class PartFields(Generated):
    """`{part} Prior Vamp`: its flag, its papers, its fields."""

    required_arguments = 2
    optional_arguments = 0

    def markdown(self) -> str:
        kind, name = self.arguments
        cls = part_class(kind, name)
        flag = FLAGS.get(kind, f"--{kind.lower()}")
        blocks = [f"Command line: `{flag} {name}`. Python: {{py:class}}`{cls.__module__}.{name}`.", papers_of(cls)]
        fields = described(cls)
        if fields:
            rows = [(f"`{f.name}`", f"`{shown(f.default)}`", takes(f.kind, f.limits), f.meaning) for f in fields]
            blocks.append(table(("field", "default", "takes", "meaning"), rows))
        else:
            blocks.append("It has no fields.")
        return "\n\n".join(blocks)


class Overview(Generated):
    """`{overview} Prior`: all parts of a family with their own first sentence."""

    required_arguments = 1

    def markdown(self) -> str:
        members = catalogue()[self.arguments[0]]
        rows = [(f"[{name}](#{name.lower()})", sentence(facts["meaning"])) for name, facts in members.items()]
        return table((self.arguments[0].lower(), "in one sentence"), rows)


class PartsApi(Generated):
    """`{parts-api}`: the signature of every part but those of the data, which stand by themselves."""

    def markdown(self) -> str:
        chosen_families(), modalities()
        members = [cls for kind in families() if kind.__name__ != "Modality" for cls in registered(kind).values()]
        lines = [f".. autoclass:: {cls.__module__}.{cls.__name__}\n" for cls in members if own(cls)]
        return "```{eval-rst}\n" + "\n".join(lines) + "```"


class Settings(Generated):
    """`{settings} fit`: the settings of a section of the configuration, with defaults."""

    required_arguments = 1

    def markdown(self) -> str:
        known: dict[str, Setting] = {
            "fit": of_fit, "data": of_rows, "model": of_model, "evaluate": of_evaluation,
        }[self.arguments[0]]()  # fmt: skip
        rows = [(f"`{name}`", f"`{shown(one.default)}`", one.meaning) for name, one in known.items()]
        return table(("setting", "default", "meaning"), rows)


class Verbs(Generated):
    """`{verbs}`: what the command can do."""

    def markdown(self) -> str:
        return table(("verb", "what it does"), [(f"`lambent {verb}`", does) for verb, (_, does) in VERBS.items()])


class Datasets(Generated):
    """`{datasets}`: the data sets known by name."""

    def markdown(self) -> str:
        rows = [
            (f"`{name}`", entry.title, " × ".join(map(str, entry.event)), entry.licence)
            for name, entry in CATALOG.items()
        ]
        return table(("name", "what", "shape of a row", "licence"), rows)


class Results(Generated):
    """`{results} speed`: the table of a benchmark, from benchmarks/results/speed.json."""

    required_arguments = 1

    def markdown(self) -> str:
        path = REPOSITORY / "benchmarks" / "results" / f"{self.arguments[0]}.json"
        if not path.is_file():
            return f"*No results are kept with this version; `python benchmarks/{self.arguments[0]}.py` measures them.*"
        self.depend_on(path)
        return results(json.loads(path.read_text("utf-8")))


class Growth(Generated):
    """`{growth} growth`: the plot of benchmarks/results/growth.json."""

    required_arguments = 1

    def markdown(self) -> str:
        path = REPOSITORY / "benchmarks" / "results" / f"{self.arguments[0]}.json"
        if not path.is_file():
            return ""
        self.depend_on(path)
        return plots.growth(json.loads(path.read_text("utf-8")))


class BitsBack(Generated):
    """`{bits-back}`: what becomes of a stack as one row is coded."""

    def markdown(self) -> str:
        return plots.bits_back()


class Included(Generated):
    """`{included} FILE`: a Markdown file that a script writes, or a sentence where it has not."""

    required_arguments = 1

    def markdown(self) -> str:
        path = Path(__file__).parent / self.arguments[0]
        if not path.is_file():
            return "*This table has not been made yet.*"
        self.depend_on(path)
        return path.read_text("utf-8")


def own(cls: type[Part]) -> bool:
    """Whether a part is the package's."""
    return cls.__module__.startswith("lambent.")


def part_class(kind: str, name: str) -> type[Part]:
    """The class of that name in that family."""
    chosen_families(), modalities()
    return registered(next(family for family in families() if family.__name__ == kind))[name]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def takes(kind: str, limits: str) -> str:
    words = kind.replace("|", ", ")
    return f"{words}, {limits}" if limits else words


def sentence(meaning: str) -> str:
    """Text of a docstring on one line, its Markdown characters kept as text."""
    return re.sub(r"([*_<\\])", r"\\\1", " ".join(meaning.split()))


def papers_of(cls: type[Part]) -> str:
    """The papers that a part names, and those behind values of its fields."""
    lines = [reference(key) for key in cls.papers]
    for field in described(cls):
        metadata: Any = next(f.metadata for f in cls.__dataclass_fields__.values() if f.name == field.name)
        for value, key in metadata.get("papers", {}).items():
            what = (
                f"`{field.name}` other than {shown(field.default)}"
                if value is ...
                else f"`{field.name}={shown(value)}`"
            )
            lines.append(f"{what}: {reference(key)}")
    if not cls.papers and not lines:
        return f"Paper: none ({cls.no_paper})."
    if len(lines) == 1:
        return f"Paper: {lines[0]}"
    return "Papers:\n\n" + "\n".join(f"- {line}" for line in lines)


def reference(key: str) -> str:
    """An entry of papers.bib as a sentence with a link."""
    found = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", bibliography()[key], re.MULTILINE))
    for code, letter in ACCENTS.items():
        found = {name: value.replace(code, letter) for name, value in found.items()}
    found = {name: value.replace("{", "").replace("}", "").replace("--", "–") for name, value in found.items()}
    people = [person.partition(",")[0] for person in found["author"].split(" and ")]
    people = ["others" if person == "others" else person for person in people]
    who = " and ".join(people) if len(people) < 3 else f"{people[0]} et al."
    title = f"[{found['title']}]({found['url']})" if "url" in found else found["title"]
    where = found.get("booktitle") or found.get("journal", "")
    return ", ".join(filter(None, [who, f"*{title}*", where, found["year"]])) + "."


def results(found: dict[str, Any]) -> str:
    """A benchmark's JSON as a table: title, protocol, rows, machines, notes. Rows name their machine if there are several."""
    machines = found["machines"]
    several = [{"name": "machine", "title": "Machine"}] if len(machines) > 1 else []
    columns = [*found["columns"], *several]
    heads = [c.get("title", c["name"]) + (f" ({c['unit']})" if c.get("unit") else "") for c in columns]
    rows = [[cell(row.get(c["name"]), c.get("format")) for c in columns] for row in found["rows"]]
    blocks = [f"**{found['title']}.** {found.get('protocol', '')}", table(heads, rows)]
    for number, machine in enumerate(machines, 1):
        facts = (f"{key.replace('_', ' ')} {shown(value)}" for key, value in machine.items())
        blocks.append(f"Machine{f' {number}' if several else ''}: " + ", ".join(facts) + ".")
    notes = found.get("notes") or []
    blocks.append("\n".join(f"- {note}" for note in ([notes] if isinstance(notes, str) else notes)))
    return "\n\n".join(block for block in blocks if block)


def cell(value: Any, form: str | None) -> str:
    """A value by its column's format, a Python format specification such as `.2f`."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return format(value, form) if form else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def plain_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The package's docstrings are plain text with names in backticks: keep reStructuredText from reading more into them."""
    for index, line in enumerate(lines):
        pieces = re.split(r"(`[^`]+`)", line)
        for at, piece in enumerate(pieces):
            pieces[at] = f"`{piece}`" if at % 2 else re.sub(r"([*|\\]|_\b)", r"\\\1", piece)
        lines[index] = "".join(pieces)
    _plain[name] = list(lines)


def whole_sentence(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Of a property, napoleon takes what stands before a colon for a type: put the sentence back."""
    if what in ("property", "attribute"):
        lines[:] = _plain.get(name, lines)


_plain: dict[str, list[str]] = {}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    for name, directive in {
        "part": PartFields,
        "overview": Overview,
        "parts-api": PartsApi,
        "settings": Settings,
        "verbs": Verbs,
        "datasets": Datasets,
        "results": Results,
        "growth": Growth,
        "bits-back": BitsBack,
        "included": Included,
    }.items():
        app.add_directive(name, directive)
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # before napoleon, which is at 500
    app.connect("autodoc-process-docstring", whole_sentence, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
