"""What lambent detect tells of what it found: a file of rows, a page, JSON, and a summary for a reader."""

from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli.verbs.detected import NAMED, Asked, Detected, Known
from lambent.cli.verbs.detection_page import rule_in_words, write_page
from lambent.cli.verbs.made import write_beside
from lambent.data.leading import lead_of
from lambent.tasks.detection.detect import Findings
from lambent.tasks.detection.heat import peak
from lambent.tasks.detection.overlay import overlay, written


def tell(detected: Detected, asked: Asked) -> None:
    """Write what was asked for, and sum it up."""
    files, voice = asked.files, asked.voice
    if files.out is not None:
        write_beside(files.out, detected.encoded, _columns(detected), lead_of(detected.encoded))
    if files.heatmaps is not None:
        _write_heatmaps(detected, files.heatmaps)
    if detected.page is not None:
        write_page(detected, detected.page, asked.options)
    voice.result(_plain(detected, asked))
    if not voice.json and not voice.quiet:
        _say(detected, asked)


def _columns(detected: Detected) -> dict[str, Any]:
    found = detected.found
    columns: dict[str, Any] = {"score": found.scores}
    if found.p is not None:
        columns["p"] = found.p
    why = [detected.why.get(i) if flag else None for i, flag in enumerate(found.flagged.tolist())]
    return columns | {"flagged": found.flagged, "why": np.array(why, object)}


def _write_heatmaps(detected: Detected, folder: Path) -> None:
    """Each flagged picture beside where it is odd, as FOLDER/NUMBER-NAME.png; all share one scale of colours."""
    places = [place for place in detected.heat if detected.found.flagged[place]]
    folder.mkdir(parents=True, exist_ok=True)
    if not places:
        return
    pictures = detected.fitted.pictures(detected.rows.x[places])
    hottest, files = peak([detected.heat[place] for place in places]), detected.encoded.files
    for place, picture in zip(places, pictures, strict=True):
        name = f"{int(detected.found.numbers[place]):06d}" + ("" if files is None else f"-{Path(files[place]).stem}")
        written(folder / f"{name}.png", overlay(np.asarray(picture), detected.heat[place], hottest))


def _oddest(detected: Detected) -> list[dict[str, Any]]:
    """The oddest rows with all that is known of them."""
    found, lead = detected.found, lead_of(detected.encoded)
    rows = []
    for i in detected.order[:NAMED].tolist():
        cells = {name: values[i] for name, values in lead.items()}
        row = {name: cell.item() if isinstance(cell, np.generic) else cell for name, cell in cells.items()}
        row |= {"score": float(found.scores[i])} | ({} if found.p is None else {"p": float(found.p[i])})
        rows.append(row | {"flagged": bool(found.flagged[i]), "why": detected.why.get(i, "")})
    return rows


def judged(known: Known, found: Findings) -> dict[str, float]:
    """How well the known cases are told apart, and which share of them is flagged; without both kinds only how many there are."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    odd, scores, flagged = known.odd[known.known], found.scores[known.known], found.flagged[known.known]
    numbers: dict[str, float] = {"odd": int(odd.sum()), "normal": int((~odd).sum())}
    if odd.all() or not odd.any():
        return numbers
    numbers["auroc"] = float(roc_auc_score(odd, scores))
    numbers["average_precision"] = float(average_precision_score(odd, scores))
    numbers |= {"recall": float(flagged[odd].mean()), "false_alarms": float(flagged[~odd].mean())}
    return numbers | ({"precision": float(odd[flagged].mean())} if flagged.any() else {})


def _plain(detected: Detected, asked: Asked) -> dict[str, Any]:
    found, detection, known = detected.found, detected.fitted.detection, detected.known
    files = {
        "out": asked.files.out, "report": detected.page, "heatmaps": asked.files.heatmaps, "run": detected.made,
    }  # fmt: skip
    return {
        **{name: str(path) for name, path in files.items() if path is not None},
        "rows": len(found.scores),
        "flagged": int(found.flagged.sum()),
        "higher": "more odd",
        "score": None if detection is None else detection.score,
        "rule": found.rule,
        "threshold": found.threshold,
        "promise": found.promise,
        "facts": found.facts,
        "oddest": _oddest(detected),
        **({} if known is None else {"labels": {"column": known.column, **judged(known, found)}}),
        **({} if detected.drift is None else {"drift": detected.drift.plain()}),
        "data": detected.encoded.source,
    }


def _say(detected: Detected, asked: Asked) -> None:
    found, voice = detected.found, asked.voice
    where = "" if asked.files.out is None else f"{asked.files.out}: "
    number, of = int(found.flagged.sum()), len(found.scores)
    count = f"{number:,} of {of:,} row{'' if of == 1 else 's'} {'is' if 1 in (number, of) else 'are'} flagged"
    voice.say(f"{where}{count}, by {rule_in_words(found)} (higher = more odd)")
    voice.say(f"  {found.promise}")
    if detected.known is not None:
        voice.say(f"  {_of_known(detected.known, found)}")
    if detected.drift is not None:
        voice.say(f"  drift: {detected.drift.sentence}")
    voice.say(f"\nthe {min(NAMED, len(found.scores))} oddest:" if len(found.scores) > 1 else "\nthe row:")
    rows = _oddest(detected)
    numbers = ("score", "p")
    heads = [name for name in rows[0] if name != "flagged"]
    shown = [[f"{row[name]:.4g}" if name in numbers else row[name] for name in heads] for row in rows]
    voice.table(heads, shown, right=[i for i, name in enumerate(heads) if name in ("row", *numbers)])
    if detected.page is not None:
        voice.say(f"\n{detected.page}: all of it, with charts")
    if detected.made is not None:
        voice.say(f"{detected.made}: the run; for other rows: lambent detect {detected.made} DATA -o FILE")


def _of_known(known: Known, found: Findings) -> str:
    """How good the flags are where it is known."""
    told = judged(known, found)
    words = f"{known.column}: {told['odd']:,} odd and {told['normal']:,} normal cases are known"
    if "auroc" not in told:
        return f"{words}; with both kinds it could be said how good the scores are"
    words += f"; AUROC {told['auroc']:.3f}, average precision {told['average_precision']:.3f}; "
    words += f"{100 * told['precision']:.3g} % of those flagged are odd, " if "precision" in told else ""
    return f"{words}{100 * told['recall']:.3g} % of the odd ones are flagged"
