"""lambent report, info: look at what a run has left, or at an archive."""

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent import fitted as store
from lambent.cli import folder as run_folder
from lambent.cli import output
from lambent.cli.reading.flags import IMPORTS, Parser, add_rows, add_run, common, filled, import_modules, whole
from lambent.cli.reading.larger import drawn
from lambent.cli.reading.words import in_line
from lambent.cli.verbs import archive_told, compress
from lambent.cli.verbs.conclusion import metrics_text
from lambent.cli.verbs.judging import MOST, add_features, refuse_features
from lambent.cli.verbs.judging_pictures import of_pictures
from lambent.cli.verbs.measure import add_samples, opened_with_rows, settle
from lambent.cli.voice import Voice
from lambent.data import Image
from lambent.disk import strict_json
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.report import summary, verdict
from lambent.report import write as write_report
from lambent.report.numerals import show, show_moment, show_seconds
from lambent.report.run.gather import gather
from lambent.tasks.by_column import by_column
from lambent.tasks.by_row import by_row, labels_of
from lambent.tasks.listened import listened
from lambent.tasks.samples.judge import LEAST
from lambent.tasks.samples.sections import sample_sections
from lambent.tasks.samples.without_encoder import evaluated
from lambent.tasks.sections import Section

ROWS = 2000  # of a report, unless told


def report(arguments: Sequence[str]) -> int:
    """The page of a run, made anew from its model file and its data."""
    options = common(_for_report(), machine=True).read(arguments)
    voice = Voice.of(options)
    beside = run_folder.model_file(options.run).parent / run_folder.REPORT
    # The page beside the model is this verb's own; any other that exists is somebody's.
    force = options.force or options.out is None
    path = output.claim(
        options.out or str(beside), (".html",), force, [options.data, run_folder.model_file(options.run)]
    )
    _, fitted, encoded = opened_with_rows(options, voice, encoder=False)
    settle(options, fitted, voice, ROWS)
    encoded = drawn(encoded, options.limit)
    sampled = f" with {options.samples:,} samples each" if fitted.model.latent.encodes else ""
    voice.step(f"evaluating on {len(encoded):,} rows{sampled}")
    found = evaluated(fitted, encoded, options.samples, seed=0)
    findings = gather(fitted, encoded, found)
    more = [*listened(fitted, encoded), *by_row(found, labels_of(encoded)), *by_column(fitted, encoded)]
    more += _of_samples(options, fitted, voice)
    write_report(findings, path, more)
    remarks = verdict(findings)
    voice.result(
        {
            "out": str(path),
            "summary": summary(remarks),
            "remarks": [r.__dict__ for r in remarks],
            "metrics": json.loads(metrics_text(found, encoded))["metrics"],
        }
    )
    voice.say(f"{path}: {summary(remarks)}")
    return 0


def _of_samples(options: Namespace, fitted: Fitted, voice: Voice) -> list[Section]:
    """What samples are worth, where that was asked."""
    refuse_features(options)
    if options.generated is None:
        return []
    if not isinstance(fitted.modality, Image):
        raise UsageError(
            "--generated of a report judges pictures; of a table: lambent evaluate RUN --generated N -o page.html"
        )
    return sample_sections(of_pictures(options, fitted, run_folder.model_file(options.run).parent, voice))


def _for_report() -> Parser:
    parser = Parser("report", "Rebuild the HTML report of a run from its model file and its data.")
    add_run(parser)
    add_rows(parser, "rows to test on")
    add_samples(parser)
    parser.add_argument("--limit", type=whole("--limit", 1, 10**12), help=f"at most so many rows (default {ROWS:,})")
    parser.add_argument(
        "--generated",
        type=whole("--generated", LEAST, MOST),
        metavar="N",
        help="of pictures: draw N and judge them, too",
    )
    add_features(parser)
    parser.set_defaults(against=None, holdout=None, target=None, leave_out=[], seed=0)
    parser.add_argument(
        "-o", "--out", type=filled("--out"), help="the page to write; default: report.html beside the model"
    )
    parser.add_argument("--force", action="store_true", help="replace the page named by --out if it exists")
    return parser


def info(arguments: Sequence[str]) -> int:
    """What the header of a model file says, or an archive."""
    parser = Parser("info", "What a model file holds: parts, data, training; or an archive (.lam), how much of what.")
    parser.add_argument("run", metavar="RUN | FILE.lam", help="a run folder, a model file, or an archive")
    parser.add_argument("--citation", action="store_true", help="print the BibTeX of what the model uses instead")
    parser.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help=IMPORTS)
    options = common(parser).read(arguments)
    import_modules(options.modules)
    voice = Voice.of(options)
    if compress.is_archive(Path(options.run)):
        told, plain = archive_told.facts(Path(options.run))
        voice.result(plain)
        voice.table(("", ""), told)
        return 0
    path = run_folder.model_file(options.run)
    if options.citation:
        from lambent.papers import citation

        text = citation(path)
        voice.result({"file": str(path), "bibtex": text})
        if not options.json:
            print(text, end="")
        return 0
    header = store.read_header(path)
    voice.result({"file": str(path), "bytes": path.stat().st_size, **header, "metrics": _metrics(path)})
    if not options.json:
        voice.table(("", ""), _facts(path, header))
    return 0


def _facts(path: Path, header: dict[str, Any]) -> list[tuple[str, str]]:
    came: dict[str, Any] = header.get("provenance") or {}
    model: dict[str, Any] = header.get("model") or {}
    data: dict[str, Any] = came.get("data") or {}
    facts = [("file", f"{path} ({path.stat().st_size:,} bytes, format {header.get('format')})")]
    facts += [("name", str(came["name"]))] if came.get("name") else []
    facts += [(name, in_line(model.get(name))) for name in ("latent", "likelihood", "network")]
    facts += [("members", f"{model['members']}, each with weights of its own")] if model.get("members", 1) > 1 else []
    facts += [("objective", in_line(came["objective"]))] if came.get("objective") else []
    facts += [("rows of shape", " × ".join(map(str, header.get("event", []))))]
    if data:
        facts.append(
            (
                "data",
                f"{data.get('name') or data.get('path') or '?'}, {show(data.get('rows'))} rows ({data.get('split', 'train')})",
            )
        )
    if header.get("detection"):
        facts.append(("detector", _detector(header["detection"])))
    if came.get("features"):
        facts.append(("features", _features(came["features"])))
    if came.get("parameters"):
        facts.append(("parameters", show(came["parameters"])))
    if came.get("steps"):
        facts.append(("training", f"{show(came['steps'])} steps in {show_seconds(came.get('seconds'))}"))
    how = came.get("fit") or {}
    facts += [("threads", f"{how['threads']}, {how.get('precision')}")] if how.get("threads") else []
    facts += [("created", show_moment(came["created"]))] if came.get("created") else []
    facts += [("command", str(came["command"]))] if came.get("command") else []
    for name, metric in (_metrics(path) or {}).items():
        facts.append((name, f"{show(metric.get('value'))} {metric.get('unit', '')}"))
    facts.append(("made with", ", ".join(f"{k} {v}" for k, v in (came.get("versions") or {}).items())))
    return [*facts, ("SHA-256", str(header.get("sha256")))]


def _detector(found: dict[str, Any]) -> str:
    """Its score, and how many rows it knows."""
    own = found.get("facts") or {}
    words = {"training": "training rows", "held_out": "held-out rows"}
    return ", ".join([in_line(found.get("score")), *(f"{own[k]:,} {words[k]}" for k in words if k in own)])


def _features(found: dict[str, Any]) -> str:
    """What the features of a likelihood were learned from, and which they are."""
    pictures = found.get("pictures")
    learned = f"learned from {pictures:,} training pictures" if pictures else "of a network that was not trained"
    return f"{learned}, SHA-256 {found.get('sha256')}"


def _metrics(path: Path) -> dict[str, Any] | None:
    """The metrics beside the model file, where there are any that can be read."""
    try:
        found = strict_json.parsed((path.parent / run_folder.METRICS).read_text("utf-8"))["metrics"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) and all(isinstance(m, dict) for m in found.values()) else None
