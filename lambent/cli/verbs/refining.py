"""Carry a refinement out: fit the prior, save, evaluate before and after, report."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lambent.cli import folder as run_folder
from lambent.cli.reading import larger, strict
from lambent.cli.reading.trees import Tree
from lambent.cli.reading.words import in_line
from lambent.cli.verbs.carry import conclude, progress_of
from lambent.cli.verbs.measure import recorded
from lambent.cli.voice import Voice, plain
from lambent.data import Encoded
from lambent.data.stored.ondisk import OnDisk
from lambent.disk.whole import write_text
from lambent.errors import UsageError
from lambent.fitted import Fitted, load
from lambent.model import ask_encoder
from lambent.model.priors import Prior
from lambent.report.numerals import show_with_error
from lambent.tasks.calibration import MOST_ROWS, calibrated
from lambent.tasks.evaluate import Evaluation, evaluate
from lambent.tasks.prior import density_error, refine
from lambent.tasks.sections import Cell, Section, TableBlock
from lambent.training.callbacks import Journal, Quiet
from lambent.training.precision import device_of
from lambent.training.run import Run
from lambent.training.threads import suit


@dataclass
class Refining:
    """What is asked of a refinement, the folder that it is written to, the command as typed, and how it is usually evaluated."""

    asked: dict[str, Any]
    folder: Path
    command: str
    voice: Voice
    usual: Tree

    def carry_out(self) -> None:
        """Fit, save, evaluate and report; what is begun and not ended is taken away again."""
        path = run_folder.model_file(self.asked["run"])
        given = load(path, device_of(self.asked["fit"].get("device", "auto")))
        if given.modality is None:
            raise UsageError("the model file does not say how its data are read: use lambent.refine in Python")
        train, test = self._rows(given, path.parent)
        start = _Start(self.folder, {**self.asked, "run": str(path.parent.resolve())})
        try:
            found = self._fitted(given, train, path.parent, start)
            start.write()  # a prior without weights has not been fitted, and has not begun
            found.save(self.folder / run_folder.MODEL)
            suit(given.model, "auto")
            self.voice.step("evaluating with the prior that it had")
            how = self._afforded(found)
            before = evaluate(given, larger.drawn(test, how["rows"]), samples=how["samples"], seed=0)
            _, after = conclude(
                found, test, how, self.folder, self.voice, lambda after: [section(found, before, after)]
            )
        except BaseException:
            if start.begun:
                run_folder.emptied(self.folder)
            raise
        self._tell(found, before, after)

    def _afforded(self, found: Fitted) -> Tree:
        """The rows and samples of the evaluation: as they are asked for, or as few as the new prior's densities afford."""
        how: Tree = self.asked["evaluate"]
        few = found.model.latent.prior.affordable
        return {**how, "rows": few[0], "samples": few[1]} if few and how == self.usual else how

    def _rows(self, given: Fitted, folder: Path) -> tuple[Encoded, Encoded | OnDisk]:
        """The rows to fit to, and those to test on."""
        ask_encoder(given.model)
        source, limit = self.asked["data"]["source"], self.asked["data"]["limit"]
        if source is None:
            train, test = (recorded(given, split, folder, self.voice) for split in ("train", None))
        else:
            train, test = (
                larger.given(given.modality, source, split, False, folder, self.voice) for split in ("train", None)
            )
        kept = larger.drawn(train, limit)
        self.voice.step(f"fitting a {self.asked['prior']['type']} prior to the codes of {len(kept):,} rows")
        return kept, test

    def _fitted(self, given: Fitted, train: Encoded, run: Path, start: "_Start") -> Fitted:
        fit = {name: value for name, value in self.asked["fit"].items() if name != "device"}  # it is where the model is
        epochs, seed = fit.pop("epochs", None), fit.pop("seed", 0)
        if isinstance(fit["validation"], str):
            raise UsageError("fit.validation: a refinement holds out a share of its rows: give a number, such as 0.1")
        if not given.model.latent.density:
            fit["validation"] = 0.0  # there is no bound to judge by
        callbacks = [start, Journal(self.folder / run_folder.HISTORY), *progress_of(self.voice)]
        prior = Prior.from_spec(self.asked["prior"])
        how = {
            "joint": self.asked.get("joint", 0),
            "begin": self.asked.get("begin"),
            "objective": self.asked.get("objective"),
        }
        found = refine(given, train, prior, epochs=epochs, seed=seed, callbacks=callbacks, **how, **fit)
        provenance = found.provenance
        provenance |= {"name": self.folder.resolve().name, "command": self.command, "created": run_folder.now()}
        provenance["refined"] |= {"run": str(run.resolve()), "data": train.source}
        if (error := density_error(found, train, seed)) is not None:
            provenance["refined"]["density_error"] = error
        found.provenance = {key: plain(value) for key, value in provenance.items()}
        held = larger.held_out(found.provenance, train.modality, run, self.voice) if given.calibration else None
        if held is not None:
            found.calibration = calibrated(found, larger.drawn(held, MOST_ROWS), seed=seed)
        return found

    def _tell(self, found: Fitted, before: Evaluation, after: Evaluation) -> None:
        """What has changed: the prior, and the numbers that go by it."""
        refined = found.provenance["refined"]
        sides = {"before": before, "after": after}
        metrics = {name: {k: asdict(e.metrics[name]) for k, e in sides.items()} for name, *_ in _both(before, after)}
        files = [name for name in run_folder.OWN if (self.folder / name).exists()]
        facts = {"run": str(self.folder), "files": files, "from": refined["from"], "to": refined["to"]}
        self.voice.result({**facts, "rows": after.rows, "samples": after.samples, "metrics": metrics})
        if self.voice.quiet or self.voice.json:
            return
        was, now = (in_line(refined[side]) for side in ("from", "to"))
        self.voice.say(f"the prior was {was}, and is {now}; on {after.rows:,} test rows:")
        self.voice.table(("metric", "before", "after", "unit"), _changes(before, after), right=(1, 2))
        if refined.get("density_error"):
            self.voice.say(
                f"the prior's log-density is an estimate, known to ± {refined['density_error']:.2g} nats a row"
            )
        self.voice.say(f"\nIn {self.folder}: {', '.join(files)}; {self.asked['run']} is as it was")


class _Start(Quiet):
    """When the fitting truly starts, and not before: take away what an earlier run left, and write down what this one does."""

    def __init__(self, folder: Path, tree: dict[str, Any]) -> None:
        self.folder, self.tree, self.begun = folder, tree, False

    def on_start(self, run: Run) -> None:
        epochs = self.tree["fit"].get("epochs") if "begin" in self.tree else run.epochs  # nothing is fitted but jointly
        self.tree["fit"] = {**self.tree["fit"], "epochs": epochs, "precision": run.precision}
        self.write()

    def write(self) -> None:
        """Once."""
        if self.begun:
            return
        self.begun = True
        run_folder.emptied(self.folder)
        head = "# How this run was refined. The same again: lambent refine --config THIS-FILE --out ANOTHER-FOLDER\n"
        write_text(self.folder / run_folder.CONFIG, head + strict.dumped({"lambent": 1, "refine": self.tree}))


def section(found: Fitted, before: Evaluation, after: Evaluation) -> Section:
    """What a refinement has changed, as a section of the report."""
    refined = found.provenance["refined"]
    joint = refined.get("joint", 0)
    rest = (
        f"All of it then learned on together, {joint:,} epochs." if joint else "Encoder and decoder are as they were."
    )
    lead = (
        f"The prior was {in_line(refined['from'])} and is {in_line(refined['to'])}, fitted to the codes of a trained model. "
        f"{rest} A good refinement lowers the KL and lifts the bound."
    )
    heads = ["Measure", "Before", "± s.e.", "After", "± s.e.", "Unit"]
    cells = [
        (name, [*(Cell(math.nan if n is None else n, number=True) for n in numbers), Cell(unit, role="unit")])
        for name, *numbers, unit in _both(before, after)
    ]
    return Section("refined", "Refined", lead, [TableBlock(heads, cells, "Measures with the prior before and after")])


def _both(before: Evaluation, after: Evaluation) -> list[tuple[str, float, float | None, float, float | None, str]]:
    """Name, value and error before and after, unit."""
    pairs = [(name, before.metrics[name], now) for name, now in after.metrics.items() if name in before.metrics]
    return [(name, was.value, was.standard_error, now.value, now.standard_error, now.unit) for name, was, now in pairs]


def _changes(before: Evaluation, after: Evaluation) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, was, first, now, second, unit in _both(before, after):
        old, new = (
            " ± ".join(part for part in show_with_error(*each) if part) for each in ((was, first), (now, second))
        )
        rows.append((name, old, new, unit))
    return rows
