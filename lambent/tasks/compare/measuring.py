"""Measuring: every number of a candidate, by one yardstick for all of them."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Encoded
from lambent.fitted import Fitted, Rows
from lambent.metrics.probe import LEAST, Probe
from lambent.metrics.samples.spectrum import Spectrum, sharpness
from lambent.metrics.samples.walks import walks
from lambent.metrics.tables.detection import error_of_area
from lambent.model.bounded import bounding
from lambent.seeds import stream
from lambent.tasks import explore
from lambent.tasks.compare.candidate import Candidate
from lambent.tasks.compare.comparison import Bytes, Number, Numbers, Shown
from lambent.tasks.detection.scores.base import Score
from lambent.tasks.invert import invert
from lambent.tasks.samples import drawing
from lambent.tasks.samples.yardstick import Yardstick

SAMPLES = 2_000  # drawn from each model
PROBED = 5_000  # rows whose codes a probe learns from, and as many that it is tried on
WALKS, POINTS = 32, 9
TIMED, TRIALS = 256, 3
BANDS = {"coarse": (0.0, 0.25), "middle": (0.25, 0.5), "fine": (0.5, 0.75), "finest": (0.75, np.inf)}
SHOWN, WALKED = 16, 10
INVERTED = 64  # test rows whose codes are searched for, where there is no encoder

NO_ENCODER = "no encoder: codes only by optimization (lambent invert)"


@dataclass(frozen=True)
class Ground:
    """What all candidates are held against: training pictures as features, and real ones that were not trained on."""

    by: Yardstick | None  # None: the rows are no pictures
    unseen: Bytes | None
    samples: int = SAMPLES
    seed: int = 0

    def pictured(self, candidate: Candidate) -> bool:
        return self.by is not None and isinstance(candidate.fitted.modality, Image)


def measured(candidate: Candidate, ground: Ground) -> Numbers:
    """Every number of a candidate."""
    found = _bounds(candidate) | _effort(candidate, ground)
    if ground.pictured(candidate):
        found |= _reconstructions(candidate, ground) | _samples(candidate, ground) | _walked(candidate, ground)
    return found | _probe(candidate, ground) | _odd(candidate)


def measured_pictures(pictures: Bytes, ground: Ground) -> Numbers:
    """The numbers of pictures by the yardstick."""
    assert ground.by is not None
    own, features = ground.by.spectrum_of(pictures), ground.by.space(pictures)
    told = {name: Number(one.value, one.error) for name, one in ground.by.measured(features, own).items()}
    found = {name: told[name] for name in ("sharpness", "frechet", "precision", "recall", "density", "coverage")}
    found |= {band: _energy(own, ground, *edges) for band, edges in BANDS.items()}
    if ground.unseen is not None:
        near = ground.by.memory(features, ground.by.space(ground.unseen))["nearer_training"]
        found["nearer_training"] = Number(near.value, near.error)
    return found


def _energy(own: Spectrum, ground: Ground, above: float, below: float) -> Number:
    assert ground.by is not None
    found = sharpness(own, ground.by.spectrum, above=above, below=below)
    return Number(found.value, found.error)


def _bounds(candidate: Candidate) -> Numbers:
    """The bounds of the run's own evaluation, or why there is none."""
    model, why = candidate.fitted.model, "not evaluated"
    if not candidate.encodes:
        why = "a decoder without an encoder bounds no probability"
    elif not model.latent.density:
        why = f"its {model.latent.inference} posterior has no density"
    elif not model.likelihood.normalized:
        why = f"{type(model.likelihood).__name__} is no probability"
    found = {}
    for name in ("bits_per_dim", "bound"):
        metric = candidate.metrics.get(name)
        own = f"{type(model.likelihood).__name__} is of continuous values" if "bound" in candidate.metrics else why
        found[name] = Number(None, None, own) if metric is None else Number(metric["value"], metric["standard_error"])
    return found


def _effort(candidate: Candidate, ground: Ground) -> Numbers:
    """What training took, and what a sample takes."""
    told = candidate.fitted.provenance
    seconds, parameters = told.get("seconds"), told.get("parameters")
    epochs = len((told.get("history") or {}).get("epoch") or ())
    fitted = candidate.fitted
    context = fitted.conditions.typical(TIMED, torch.Generator().manual_seed(0)) if fitted.conditions else None
    explore.generate(fitted, TIMED, 1, context=context)  # the first makes kernels
    took = []
    for trial in range(TRIALS):  # the quickest: the others waited for something else
        began = time.perf_counter()
        explore.generate(fitted, TIMED, 2 + trial, context=context)
        took.append(time.perf_counter() - began)
    return {
        "training": Number(seconds, None, "not recorded"),
        "epochs": Number(float(epochs), None),
        "sampling": Number(min(took) / TIMED * 1000),
        "parameters": Number(parameters, None, "not recorded"),
    }


def pictures_of(fitted: Fitted, x: torch.Tensor) -> Bytes:
    """Rows as bytes [n, H, W(, 3)]."""
    return np.asarray(fitted.pictures(x))


def _reconstructions(candidate: Candidate, ground: Ground) -> Numbers:
    """Test pictures by the mean of their codes; without an encoder some of them by codes that are searched for."""
    assert ground.by is not None
    fitted, rows, how = candidate.fitted, candidate.fitted.rows(candidate.test), ""
    if not candidate.encodes:
        rows = rows.at(torch.linspace(0, len(rows) - 1, min(INVERTED, len(rows))).round().long())
        how = f"codes by optimization (lambent invert), of {len(rows)} test rows"
    again = pictures_of(fitted, _again(candidate, rows, ground.seed))
    off = (again.astype(np.float64) - pictures_of(fitted, rows.x)) / 255
    squares = (off**2).reshape(len(off), -1).mean(1)
    error = float(np.sqrt(squares.mean()))
    spread = float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * error)) if error and len(squares) > 1 else None
    sharp = sharpness(ground.by.spectrum_of(again), ground.by.spectrum)
    return {
        "error": Number(error, spread, how=how),
        "sharpness_of_reconstructions": Number(sharp.value, sharp.error, how=how),
    }


def _again(candidate: Candidate, rows: Rows, seed: int) -> torch.Tensor:
    """Rows through their codes and back, in stored units."""
    if candidate.encodes:
        return explore.reconstruct(candidate.fitted, rows.x, rows.context)
    return invert(candidate.fitted, rows, seed=seed).made


def _samples(candidate: Candidate, ground: Ground) -> Numbers:
    return measured_pictures(drawing.samples(candidate.fitted, ground.samples, ground.seed), ground)


def _walked(candidate: Candidate, ground: Ground) -> Numbers:
    """Walks between test pictures; of a model without an encoder between codes of the prior."""
    assert ground.by is not None
    frames = walk_between(candidate, WALKS, POINTS, ground.seed)
    features = ground.by.space(frames.reshape(-1, *frames.shape[2:])).reshape(*frames.shape[:2], -1)
    found = walks(features)
    return {name: Number(one.value, one.error) for name, one in found._asdict().items()}


def walk_between(candidate: Candidate, count: int, points: int, seed: int) -> Bytes:
    """So many walks of so many pictures, [count, points, H, W(, 3)]: between the same test rows for all that can encode them."""
    fitted = candidate.fitted
    if candidate.encodes:
        order = np.random.default_rng(stream(seed, "walks compared")).permutation(len(candidate.test))
        ends = fitted.rows(candidate.test).at(torch.from_numpy(order[: 2 * min(count, len(order) // 2)]))
        half = len(ends) // 2
        start, end = (ends.at(torch.arange(*part)) for part in ((0, half), (half, 2 * half)))
        rows = explore.interpolate(fitted, start.x, end.x, points, context=start.context, context_end=end.context)
    else:
        random = torch.Generator().manual_seed(stream(seed, "walks compared"))
        wide = fitted.conditions.typical(count, random) if fitted.conditions else None
        ends_of = [explore.prior_codes(fitted, count, stream(seed + end, "walks compared"), wide) for end in (0, 1)]
        rows = explore.walk(fitted, ends_of[0], ends_of[1], points, context=wide)
    frames = pictures_of(fitted, rows.flatten(0, 1))
    return frames.reshape(*rows.shape[:2], *frames.shape[1:])


def _probe(candidate: Candidate, ground: Ground) -> Numbers:
    if not candidate.encodes:
        return {"probe": Number(None, None, NO_ENCODER)}
    labels = candidate.train.labels, candidate.test.labels
    if labels[0] is None or labels[1] is None or len(np.unique(labels[0])) < 2:
        return {"probe": Number(None, None, "the data have no labels")}
    if len(labels[0]) < LEAST:
        return {"probe": Number(None, None, f"fewer than {LEAST} rows")}
    told = {item.name for item in candidate.fitted.conditions.items} if candidate.fitted.conditions else set()
    if told & {"label", getattr(candidate.fitted.modality, "label", None)}:
        return {"probe": Number(None, None, "the encoder is told the labels, as a condition")}
    known, held = (_codes(candidate.fitted, rows) for rows in (candidate.train, candidate.test))
    found = Probe(known, labels[0]).share(held, labels[1])
    return {"probe": Number(found.value, found.error)}


def _codes(fitted: Fitted, encoded: Encoded) -> NDArray[np.float64]:
    rows = fitted.rows(encoded)
    levels = explore.encode(fitted, rows.x, rows.context)
    return torch.cat([level.flatten(1) for level in levels], 1).double().numpy()


def _odd(candidate: Candidate) -> Numbers:
    """How well the model without a class finds its rows among the others: by its bound, or else by its error."""
    from sklearn.metrics import roc_auc_score

    if not candidate.encodes:
        return {"auroc": Number(None, None, NO_ENCODER)}
    without = candidate.without
    if without is None:
        return {"auroc": Number(None, None, candidate.unfound)}
    score = Score.from_spec("Evidence" if bounding(without.fitted.model) else "Reconstruction")
    rows: Rows = without.fitted.rows(without.test)
    scores = score(without.fitted, rows).numpy()
    area, (odd, usual) = float(roc_auc_score(without.odd, scores)), (int(without.odd.sum()), int((~without.odd).sum()))
    return {"auroc": Number(area, error_of_area(area, odd, usual))}


def shown(candidate: Candidate, seed: int) -> Shown:
    """Pictures to lay beside those of other models: of the same noise, the same test rows, a walk between the same two."""
    fitted = candidate.fitted
    rows = fitted.rows(candidate.test).at(shown_rows(candidate.test))
    again = pictures_of(fitted, _again(candidate, rows, seed))
    return Shown(drawing.samples(fitted, SHOWN, seed), again, walk_between(candidate, 1, WALKED, seed)[0])


def shown_rows(test: Encoded) -> torch.Tensor:
    """Which test rows are shown: at even distances, so that data in order of their class show all of them."""
    return torch.linspace(0, len(test) - 1, min(SHOWN, len(test))).round().long()
