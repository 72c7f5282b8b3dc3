"""lambent cluster: the groups that rows lie in, a file that says the group of each, and the decoded centres."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli import output
from lambent.cli.reading import larger
from lambent.cli.reading.flags import Parser, add_rows, add_run, common, filled, whole
from lambent.cli.reading.labels import source_of, with_label
from lambent.cli.verbs.made import refuse_beside, refuse_suffix, write_beside, write_made
from lambent.cli.verbs.measure import add_options_for_files, claim, opened_with_rows
from lambent.cli.verbs.pages import add_page, claimed, named, write_page
from lambent.cli.voice import Voice
from lambent.data.leading import lead_of
from lambent.tasks.features.cluster import MOST, Cluster, Clusters
from lambent.tasks.features.cluster import cluster as clustered
from lambent.tasks.features.grouping import ways
from lambent.tasks.features.sections import cluster_sections

MOST_CLUSTERS = 10_000


def cluster(arguments: Sequence[str]) -> int:
    """A cluster for each row, by the prior's own Gaussians or by codes."""
    options = common(_parser(), machine=True).read(arguments)
    voice = Voice.of(options)
    path = claim(options, output.with_beside(output.TABLES))
    prototypes, page = _claimed(options, path), claimed(options, [options.data])
    _, fitted, encoded = opened_with_rows(options, voice)
    refuse_beside(path, fitted)
    if prototypes is not None:
        refuse_suffix(prototypes, fitted)
    encoded = larger.leading(encoded, options.limit)
    if options.label is not None:
        encoded = with_label(encoded, options.label, *source_of(fitted.provenance, options.data, options.split))
    found = clustered(
        fitted, encoded, options.clusters, by=options.by, label=options.label, most=options.most, seed=options.seed
    )
    write_beside(path, encoded, _columns(found), lead_of(encoded))
    files = [str(path)]
    if prototypes is not None:
        lead = {"cluster": np.array([one.number for one in found.clusters])}
        write_made(prototypes, fitted, found.prototypes, lead, None, Voice(True))
        files.append(str(prototypes))
    voice.result({"out": str(path), "files": files, **found.plain(), "data": encoded.source, **named(page)})
    _tell(found, encoded, path, prototypes, voice)
    write_page(page, f"Clusters: {Path(options.run).resolve().name}", cluster_sections(fitted, found), voice)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "cluster",
        "The cluster of each row, without having looked at a label: by the Gaussians of the run's prior, by a mixture of "
        "Gaussians of its codes or of where UMAP lays these, or by k-means; the decoded centre of each, and how well clusters "
        "agree with labels.",
    )
    add_run(parser)
    add_rows(parser, "rows to cluster")
    parser.add_argument(
        "--clusters",
        type=whole("--clusters", 1, MOST_CLUSTERS),
        help="how many; default: the prior's own, or of codes the number of the lowest BIC",
    )
    parser.add_argument(
        "--by",
        choices=tuple(ways(True)),
        help="default: prior where it is a Mixture, else mixture, which is fitted to codes",
    )
    parser.add_argument(
        "--most",
        type=whole("--most", 1, MOST_CLUSTERS),
        default=MOST,
        help=f"the most clusters to try (default {MOST})",
    )
    parser.add_argument(
        "--label",
        type=filled("--label"),
        metavar="LABEL",
        help="compare with this label: what the rows bring (label, the default), a factor, a condition, a column of their table",
    )
    parser.add_argument(
        "--prototypes", type=filled("--prototypes"), metavar="FILE", help="the decoded centres: of pictures a .png"
    )
    add_page(parser)
    add_options_for_files(parser)
    return parser


def _claimed(options: Namespace, rows: Path) -> Path | None:
    if options.prototypes is None:
        return None
    suffixes = output.with_own(output.ALL)
    return output.claim(options.prototypes, suffixes, options.force, [options.data, rows], "--prototypes")


def _columns(found: Clusters) -> dict[str, Any]:
    columns: dict[str, Any] = {"cluster": found.of}
    if found.probabilities is not None:
        columns["probability"] = found.probabilities.max(1).round(6)
    if found.agreement is not None:
        names = {one.number: one.label for one in found.clusters}
        columns["stands_for"] = np.array([names[number] or "" for number in found.of.tolist()], object)
    return columns


def _tell(found: Clusters, encoded: Any, path: Path, prototypes: Path | None, voice: Voice) -> None:
    lead = lead_of(encoded)
    rows = [_row(one, lead) for one in found.clusters]
    heads = ("cluster", "rows", "typical", *(("stands for", "of its rows") if found.agreement else ()))
    voice.table(heads, [row[: len(heads)] for row in rows], right=(0, 1, 4))
    empty = f", {found.empty} of them empty" if found.empty else ""
    tried = f", the lowest BIC of 1 to {max(found.tried)}" if found.tried else ""
    whole = len(found.clusters) + found.empty
    voice.say(f"{path}: {len(found.of):,} rows in {whole} clusters{empty}, by {found.how}{tried}")
    if prototypes is not None:
        voice.say(f"{prototypes}: the decoded centre of each")
    if found.agreement is not None:
        agreed = found.agreement
        voice.say(
            f"beside {found.label} of {agreed.rows:,} rows: accuracy {100 * agreed.accuracy:.2f} %, normalized mutual "
            f"information {agreed.information:.4f}, adjusted Rand index {agreed.rand:.4f}"
        )


def _row(one: Cluster, lead: dict[str, Any]) -> tuple[Any, ...]:
    """A cluster, its typical row by the file it lies in or its number."""
    typical = lead.get("file", lead["row"])[one.typical]
    share = "" if one.share is None else f"{100 * one.share:.1f} %"
    return one.number, f"{one.rows:,}", typical, one.label or "–", share
