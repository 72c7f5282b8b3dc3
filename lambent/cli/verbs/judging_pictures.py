"""lambent evaluate --generated, --against, of pictures: samples beside real ones, copies, reconstructions and noise."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli.reading import larger
from lambent.cli.reading.sources import settled
from lambent.cli.voice import Voice
from lambent.data import Encoded, Image, encode_like
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted
from lambent.metrics.samples.learning import learned
from lambent.metrics.samples.space import Space, opened
from lambent.tasks.samples import drawing
from lambent.tasks.samples.judge import LEAST, check_sets, judged
from lambent.tasks.samples.judgement import MEASURES, SampleJudgement
from lambent.tasks.samples.sections import BETTER, written
from lambent.tasks.samples.yardstick import MOST_REAL

FEATURES = "features.safetensors"  # in the folder of a run
MOST_BYTES = 1 << 30  # of training pictures that samples are compared with


def of_pictures(options: Namespace, fitted: Fitted, folder: Path, voice: Voice) -> SampleJudgement:
    """Judge pictures that a run draws, or those of a file or folder, in the feature space of its data."""
    if options.target is not None or options.leave_out:
        raise UsageError(
            "--target and --leave-out are of columns, and this run was trained on pictures: leave them out"
        )
    real, unseen = _real(options, fitted, folder, voice)
    pictures = _bytes(fitted, real)
    sets: dict[str, Any] = {}
    if options.against is None:
        voice.step(f"drawing {options.generated:,} pictures")
        sets["generated"] = drawing.samples(fitted, options.generated, options.seed)
        if fitted.model.latent.encodes:
            sets["reconstructions"] = drawing.reconstructions(fitted, real, options.generated, options.seed)
    else:
        assert fitted.modality is not None
        sets["generated"] = _bytes(fitted, encode_like(fitted.modality, options.against))
    if unseen is not None:
        sets["holdout"] = _bytes(fitted, unseen)
    check_sets(pictures, sets)  # before a feature space is learned for them
    space = space_of(options.features, folder, pictures, real.labels, voice)
    voice.step(f"judging them beside {len(pictures):,} training pictures, by the features of {space.name}")
    return judged(pictures, sets, None, space, options.seed)


def space_of(named: str | None, folder: Path, pictures: Any, labels: Any, voice: Voice) -> Space:
    """The feature space that is named, or that of the run: learned once, and kept beside the model."""
    path = Path(named) if named is not None else folder / FEATURES
    if path.exists() or path.suffix.lower() != ".safetensors":
        return opened(path)
    voice.step("learning a feature space from the training pictures, once")
    space = learned(pictures, labels)
    kept = space.save(path)
    accuracy = space.facts["accuracy"]
    voice.note(f"{kept}: the feature space {space.name} ({accuracy:.1%} right on training pictures held out of it)")
    return space


def _real(options: Namespace, fitted: Fitted, folder: Path, voice: Voice) -> tuple[Encoded, Encoded | None]:
    """Training pictures and, where there are enough, others; DATA other than the run's own are such."""
    assert fitted.modality is not None
    other = unseen_source(options, fitted)
    size = max(1, int(np.prod(fitted.modality.event)))
    most = min(MOST_REAL, MOST_BYTES // size)
    real = larger.drawn(larger.recorded(fitted.provenance, fitted.modality, "train", folder, voice), most)
    try:
        if other is None:
            unseen = larger.recorded(fitted.provenance, fitted.modality, None, folder, voice)
        else:
            unseen = larger.given(fitted.modality, other, options.split, options.resize, folder, voice)
    except (ArtifactError, DataError) as error:
        if other is not None:
            raise
        voice.note(f"real pictures that were not trained on are not at hand ({error}): name some with --holdout")
        return real, None
    if len(unseen) < LEAST:
        voice.note(f"{len(unseen)} test pictures are too few to tell a memory from a model; name others with --holdout")
        return real, None
    return real, larger.drawn(unseen, most)


def unseen_source(options: Namespace, fitted: Fitted) -> str | None:
    """The file or folder of rows that a run has not seen: what was named, unless it is the run's own data."""
    named: str | None = options.holdout or options.data
    request = fitted.provenance.get("request") or {}
    return None if named is None or settled(named) == request.get("source") else named


def _bytes(fitted: Fitted, encoded: Encoded) -> Any:
    assert isinstance(fitted.modality, Image)
    return fitted.modality.pictures(encoded.x)


def tell_pictures(found: SampleJudgement, voice: Voice) -> None:
    """The table, one line for each measure, and what follows from it."""
    voice.result(found.plain())
    sets = list(found.sets)
    rows = []
    for name, measure in MEASURES.items():
        each = [found.sets[one].get(name) for one in sets]
        if any(each):
            shown = ["–" if one is None else written(one.value, one.error) for one in each]
            own = found.sets["generated"].get(name)
            spread = "" if own is None or own.error is None else f"± {written(own.error, own.error)}"
            better = BETTER.get(measure.better, measure.better)
            rows.append((name, shown[0], spread, *shown[1:], better, measure.meaning))
    rows.append(("pictures", f"{found.rows[sets[0]]:,}", "", *(f"{found.rows[one]:,}" for one in sets[1:]), "", ""))
    heads = ("metric", sets[0], "", *sets[1:], "better", "meaning")
    voice.table(heads, rows, right=(1, *range(3, 2 + len(sets))))
