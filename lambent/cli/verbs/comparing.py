"""Carry a comparison out: one recipe for each model, its trainings, the measuring, the page and the numbers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lambent.cli import folder as run_folder
from lambent.cli.reading import larger, strict
from lambent.cli.reading.entries import Asked
from lambent.cli.reading.plan import Plan, read_plan
from lambent.cli.reading.sources import Splits
from lambent.cli.reading.trees import Tree, merged
from lambent.cli.verbs.judging_pictures import FEATURES as FEATURES
from lambent.cli.verbs.judging_pictures import space_of
from lambent.cli.verbs.recipes import encodes, recipe, usual, without
from lambent.cli.verbs.trainings import Trained, Trainings, resuming
from lambent.cli.voice import Voice, plain
from lambent.data import Encoded, Image
from lambent.disk.whole import write_text
from lambent.errors import ArtifactError, DataError, InterruptedRun, UsageError
from lambent.fitted import Fitted, load
from lambent.progress import Add, counting
from lambent.report import Findings
from lambent.report import write as write_report
from lambent.report.numerals import count
from lambent.tasks.compare.candidate import Candidate, Odd
from lambent.tasks.compare.comparing import Failures, compared
from lambent.tasks.compare.comparison import Comparison
from lambent.tasks.compare.measuring import PROBED, Ground
from lambent.tasks.compare.sections import comparison_sections
from lambent.tasks.samples.judge import LEAST
from lambent.tasks.samples.yardstick import Yardstick
from lambent.version import versions

CONFIG, NUMBERS, PAGE, RECIPES = "compare.yaml", "compare.json", "compare.html", "recipes"
OWN = (CONFIG, NUMBERS, PAGE)
WITHOUT = "without.npz"  # the rows without the class that is left out
MOST_REAL = 10_000  # training pictures that samples are held against


@dataclass(frozen=True)
class Budget:
    """How long each model is trained: so many epochs, or minutes; neither: as many epochs as suit the number of rows."""

    epochs: int | None = None
    minutes: float | None = None

    @property
    def flags(self) -> list[tuple[str, str]]:
        return [] if self.minutes is None else [("--minutes", str(self.minutes))]

    @property
    def words(self) -> str:
        """For a reader."""
        return f"{count(self.epochs or 0, 'epoch')} each" if self.minutes is None else f"{self.minutes:g} minutes each"


@dataclass(frozen=True)
class Comparing:
    """What is asked of a comparison. base: the branches of a configuration that hold for all models."""

    base: Tree
    models: list[Asked]
    budget: Budget
    seeds: int
    samples: int
    odd: str | None
    features: str | None
    folder: Path
    parallel: int
    voice: Voice
    imports: tuple[str, ...] = ()
    device: str = "auto"

    # ---- recipes -----------------------------------------------------------------------------------------------------

    def begin(self) -> Tree:
        """Write down each model's recipe, and the comparison: what trainings follow from, now and when it is gone on with."""
        plans = {one.name: self._plan(one) for one in self.models}
        for plan in plans.values():
            plan.check()
        first = next(iter(plans.values()))
        rows = larger.load_rows(first.rows, first.modality, first.fit["validation"], self.folder, self.voice)
        self._enough(rows)
        other = None if self.odd is None else without(rows, self.odd, self.folder / WITHOUT)
        epochs = None if self.budget.minutes is not None else self.budget.epochs or usual(first, rows)
        refused = self._recipes(plans, rows, epochs, other)
        found: Tree = {
            "data": rows.request["source"],
            "models": [one.name for one in self.models],
            "seeds": self.seeds,
            "epochs": epochs,
            "minutes": self.budget.minutes,
            "samples": self.samples,
            "odd": self.odd,
            "features": self.features,
            "refused": refused,
        }
        head = (
            "# A comparison of models. To go on with it, and to measure again: lambent compare --resume THIS-FOLDER\n"
        )
        write_text(self.folder / CONFIG, head + strict.dumped({"lambent": 1, "compare": found}))
        return found

    def _enough(self, rows: Splits) -> None:
        """Refuse pictures that are too few before models are trained on them."""
        if isinstance(rows.train.modality, Image):
            _refuse_few(len(rows.train))

    def _recipes(self, plans: dict[str, Plan], rows: Splits, epochs: int | None, other: Tree | None) -> dict[str, str]:
        """Write the recipe of each model; by name, why one cannot be trained on these rows."""
        refused: dict[str, str] = {}
        for one in self.models:
            try:
                tree = recipe(plans[one.name], rows, epochs)
            except UsageError as error:
                refused[one.name] = str(error)
                self.voice.note(f"{one.name} cannot be trained on these data: {error}")
                continue
            self._write(one.name, tree)
            if other is not None and encodes(tree):
                self._write(f"{one.name}-without", {**tree, "data": {**tree["data"], **other}})
        if len(refused) == len(self.models):
            raise UsageError(f"none of the models can be trained on these data; {next(iter(refused.values()))}")
        return refused

    def _plan(self, one: Asked) -> Plan:
        """What `lambent train` is asked for a model: the base, with the model's own branches on it."""
        tree = merged(self.base, one.tree)
        # All take the whole budget; which weights are kept is no model's advantage.
        return Plan.of({**tree, "name": one.name, "fit": {"patience": 0, **tree.get("fit", {})}})

    def _write(self, name: str, tree: Tree) -> None:
        (self.folder / RECIPES).mkdir(exist_ok=True)
        write_text(self.folder / RECIPES / f"{name}.yaml", strict.dumped(plain(tree)))

    # ---- trainings ---------------------------------------------------------------------------------------------------

    def carry_out(self, tree: Tree) -> Comparison:
        """Train what is not trained, measure, write the page and the numbers, and tell."""
        refused = {name: dict.fromkeys(range(int(tree["seeds"])), text) for name, text in tree["refused"].items()}
        names = [name for name in tree["models"] if name not in refused]
        every = [self._training(name, seed, f"{name}-{seed}") for seed in range(tree["seeds"]) for name in names]
        if tree["odd"] is not None:
            others = [self._training(f"{name}-without", 0, f"{name}-without") for name in names]
            every += [one for one in others if one.config.is_file()]  # the others have no codes to find anything by
        flags = [("--import", module) for module in self.imports]
        flags += [] if self.device == "auto" else [("--device", self.device)]
        budget = Budget(tree["epochs"], tree["minutes"])
        told = Trainings(every, self.parallel, [*budget.flags, *flags], self.voice, resuming(self.folder)).carry_out()
        done = [one for one in every if one.done and one.name in names]
        if not done:
            raise ArtifactError(f"none of the models was trained; {next(iter(next(iter(told.values())).values()))}")
        failed = refused | {name: texts for name, texts in told.items() if name in names}
        try:
            found = self._measured(done, tree, budget.words, failed)
        except KeyboardInterrupt as stopped:
            status, words = getattr(stopped, "exit_status", 130), str(stopped) or "interrupted"
            raise InterruptedRun(f"{words}; all is trained, measure it with: {resuming(self.folder)}", status) from None
        self._finish(found, tree)
        return found

    def _measured(self, done: list[Trained], tree: Tree, budget: str, failed: Failures) -> Comparison:
        ground = self._ground(done[0], tree)
        facts = self._facts(done[0], tree, ground, budget)
        with counting("measuring", len(done)) as add:
            return compared(self._candidates(done, tree, add), ground, facts, budget, failed)

    def _training(self, name: str, seed: int, folder: str) -> Trained:
        return Trained(name, seed, self.folder / RECIPES / f"{name}.yaml", self.folder / folder)

    # ---- measuring ---------------------------------------------------------------------------------------------------

    def _candidates(self, done: list[Trained], tree: Tree, add: Add) -> Iterator[Candidate]:
        for one in done:
            fitted = self._loaded(one)
            metrics = self._metrics(one)
            train, test = self._rows(fitted, one.folder)
            without = self._odd(one.name) if tree["odd"] is not None and one.seed == 0 else None
            told = {} if tree["odd"] is None else {"unfound": "measured of seed 0, and only where that was trained"}
            yield Candidate(one.name, one.seed, fitted, train, test, metrics, one.folder.name, without, **told)
            add(1)

    def _loaded(self, one: Trained) -> Fitted:
        from lambent.training.precision import device_of

        try:
            return load(one.folder / run_folder.MODEL, device_of(self.device))
        except ArtifactError as error:
            raise self._damaged(one, str(error)) from None

    def _metrics(self, one: Trained) -> Mapping[str, Any]:
        path = one.folder / run_folder.METRICS
        try:
            found = json.loads(path.read_text("utf-8"))["metrics"]
        except (OSError, ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, dict):
            raise self._damaged(one, f"{path} is missing or damaged")
        return found

    def _damaged(self, one: Trained, what: str) -> ArtifactError:
        return ArtifactError(
            f"{what}; delete the folder {one.folder}, and train that model again: {resuming(self.folder)}"
        )

    def _rows(self, fitted: Fitted, folder: Path, most: int = PROBED) -> tuple[Encoded, Encoded]:
        assert fitted.modality is not None
        train, test = (
            larger.recorded(fitted.provenance, fitted.modality, split, folder, self.voice) for split in ("train", None)
        )
        return larger.drawn(train, most), larger.drawn(test, PROBED)

    def _odd(self, name: str) -> Odd | None:
        one = self._training(f"{name}-without", 0, f"{name}-without")
        if not one.done:
            return None
        fitted = self._loaded(one)
        test = self._rows(fitted, one.folder)[1]
        assert test.labels is not None
        return Odd(fitted, test, np.asarray(test.labels) == 1)

    def _ground(self, one: Trained, tree: Tree) -> Ground:
        """The training pictures, and the feature space: learned once, kept beside the runs."""
        fitted = self._loaded(one)
        if not isinstance(fitted.modality, Image):
            return Ground(None, None, tree["samples"])
        train, test = self._rows(fitted, one.folder, MOST_REAL)
        real, unseen = (np.asarray(fitted.modality.pictures(rows.x)) for rows in (train, test))
        _refuse_few(len(real))
        space = space_of(tree["features"], self.folder, real, train.labels, self.voice)
        return Ground(Yardstick(real, space, 0), unseen if len(unseen) >= LEAST else None, tree["samples"])

    def _facts(self, one: Trained, tree: Tree, ground: Ground, budget: str) -> dict[str, str]:
        header = self._loaded(one).provenance
        trained, held = (header[part].get("rows", 0) for part in ("data", "test"))
        found = {
            "Data": f"{tree['data']}: {trained:,} rows trained on, {held:,} held out",
            "Budget": budget,
            "Seeds": str(tree["seeds"]),
            "Processor": torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads",
        }  # fmt: skip
        if ground.by is not None:
            unseen = 0 if ground.unseen is None else len(ground.unseen)
            origin = "learned from the training pictures" if tree["features"] is None else f"of {tree['features']}"
            found["Feature space"] = f"{ground.by.space.name}, {origin}"
            found["Samples"] = (
                f"{ground.samples:,} of each model, beside {len(ground.by.real):,} real and {unseen:,} held out"
            )
        if tree["odd"] is not None:
            found["Odd ones"] = f"rows of {tree['odd']}, by models trained without them, seed 0"
        return found

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _finish(self, found: Comparison, tree: Tree) -> None:
        whole: Mapping[str, Any] = {"title": f"Models compared on {Path(str(tree['data'])).stem}", **found.plain()}
        write_text(self.folder / NUMBERS, json.dumps(plain(dict(whole)), indent=2, ensure_ascii=False) + "\n")
        findings = Findings(str(whole["title"]), created=run_folder.now(), versions=versions())
        write_report(findings, self.folder / PAGE, comparison_sections(found), alone=True)


def _refuse_few(pictures: int) -> None:
    if pictures < LEAST:
        raise DataError(f"{pictures} training pictures are too few to be compared with; {LEAST} at least")


def kept(folder: Path) -> Tree:
    """The comparison that a folder holds; `ArtifactError` where it holds none."""
    if not (folder / CONFIG).is_file():
        raise ArtifactError(f"{folder}: holds no {CONFIG}; begin with lambent compare DATA --out {folder}")
    tree = read_plan(folder / CONFIG).get("compare")
    wanted = {"data", "models", "seeds", "epochs", "minutes", "samples", "odd", "features", "refused"}
    if not isinstance(tree, dict) or not wanted <= tree.keys():
        raise ArtifactError(f"{folder / CONFIG}: describes no comparison; begin again with --force")
    return tree
