"""The end of a run: its metrics, what was made, the verdict, and what to do next."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lambent.cli import folder as run_folder
from lambent.cli import output
from lambent.cli.voice import Voice, plain
from lambent.data import Encoded
from lambent.fitted import Fitted
from lambent.report import Remark, summary, verdict
from lambent.report.numerals import count, show, show_seconds, show_with_error
from lambent.report.run.findings import Findings
from lambent.tasks.evaluate import Evaluation


def metrics_text(found: Evaluation, test: Encoded) -> str:
    """The evaluation as JSON, with the rows that it is about."""
    return json.dumps(plain({**found.plain(), "data": test.source}), indent=2, ensure_ascii=False) + "\n"


def metric_rows(found: Evaluation) -> list[tuple[str, str, str, str, str]]:
    """Name, value, standard error, unit and meaning of every metric."""
    rows = []
    for name, metric in found.metrics.items():
        value, error = show_with_error(metric.value, metric.standard_error)
        rows.append((name, value, f"± {error}" if error else "", metric.unit, metric.meaning))
    return rows


def conclusion(folder: Path, found: Evaluation, findings: Findings, fitted: Fitted, voice: Voice) -> None:
    """The metrics, what was made, and what to do next."""
    made = [name for name in run_folder.OWN if (folder / name).exists()]
    metrics = {name: asdict(metric) for name, metric in found.metrics.items()}
    remarks = verdict(findings)
    told = {"summary": summary(remarks), "remarks": [asdict(remark) for remark in remarks]}
    voice.result(
        {"run": str(folder), "files": made, "metrics": metrics, "rows": found.rows, "samples": found.samples, **told}
    )
    if voice.quiet or voice.json:
        return
    provenance = fitted.provenance
    spent = f"{show(provenance['parameters'])} parameters, {show_seconds(provenance['seconds'])} of training"
    voice.say(f"{findings.name}: {spent}" + (f"; on {count(found.rows, 'test row')}:" if metrics else ""))
    if metrics:
        voice.table(("metric", "value", "", "unit", "meaning"), metric_rows(found), right=(1,))
    _say_verdict(remarks, voice)
    run = shlex.quote(str(folder))
    files = fitted.modality is not None and output.FOLDER in fitted.modality.suffixes
    suffix = ".png" if findings.pictures is not None else "/" if files else ".csv"
    example = "".join(f" --given {shlex.quote(f'{item.name}={item.example}')}" for item in fitted.conditions.items)
    voice.say(f"\nIn {run}: {', '.join(made)}\n\nNext:")
    voice.say(f"  lambent sample {run}{example} --out samples{suffix}")
    if fitted.model.latent.encodes:
        if fitted.model.latent.density and any(remark.level == "problem" for remark in remarks):
            voice.say(f"  lambent diagnose {run}")
        voice.say(f"  lambent reconstruct {run} --out reconstructed{suffix}")
        voice.say(f"  lambent embed {run} --out codes.csv")
    else:
        voice.say(f"  lambent evaluate {run} --generated 2000")
        voice.say(f"  lambent invert {run} --limit 40 --out codes.npz")
    voice.say(f"  and open {shlex.quote(str(folder / run_folder.REPORT))} in a browser")


def _say_verdict(remarks: Sequence[Remark], voice: Voice) -> None:
    """The verdict of the report: its sentence, and what is wrong or to note, with what to do."""
    voice.say(f"\nVerdict: {summary(remarks)}")
    for remark in remarks:
        if remark.level != "good":
            sign = "!" if remark.level == "problem" else "·"
            voice.say(f"  {sign} {remark.title}: {remark.text}{f' {remark.advice}' if remark.advice else ''}")
