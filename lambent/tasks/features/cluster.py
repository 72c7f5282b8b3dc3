"""cluster: the groups that rows lie in, by the Gaussians of the prior or by their codes, and what stands for each."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lambent.data.kinds.modality import Encoded
from lambent.distributions import NormalMixture, vector
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.clusters import Agreement, agreement
from lambent.model import LatentModel, ask_encoder
from lambent.model.priors import Mixture
from lambent.model.trace import expected, first, fixed, from_posterior
from lambent.progress import chunks
from lambent.seeds import stream
from lambent.tasks.explore import CHUNK, decode, encode, shown
from lambent.tasks.features.grouping import WAYS, Groups, ways
from lambent.tasks.features.labels import OWN, Labels, labels_of

By = Literal["prior", "mixture", "kmeans", "manifold"]
DRAWS = 10  # codes of each row, over which the prior's responsibilities are averaged
MOST = 20
LIKELY = 1e-3  # of a labelled row, the probability from which it names a cluster


@dataclass(frozen=True)
class Cluster:
    """One of the clusters: its number, its rows, which of them lies nearest its centre, and the label that it stands for."""

    number: int
    rows: int
    typical: int
    label: str | None = None  # the commonest of its labelled rows, each weighed by its probability of lying here
    share: float | None = None  # of its labelled rows, those that have that label


@dataclass(frozen=True)
class Clusters:
    """The cluster of each row, and what is known of the clusters.

    by: prior, mixture, kmeans or manifold; how: the same in words. of: of each row the number of its cluster, [rows].
    probabilities: p(cluster | row), [rows, clusters]; None of k-means. clusters: those that have rows, by number. prototypes: the
    decoded centre of each of these, [clusters, *event] in stored units. empty: components that no row lies in. tried: BIC by
    number of clusters, where that number was looked for. agreement: with labels, where there are any.
    """

    by: str
    how: str
    of: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None
    clusters: list[Cluster]
    prototypes: Tensor
    empty: int = 0
    tried: dict[int, float] = field(default_factory=dict)
    agreement: Agreement | None = None
    label: str | None = None

    def plain(self) -> dict[str, Any]:
        """The same as dicts of names and numbers, without rows and prototypes."""
        agreed = None
        if self.agreement is not None:
            agreed = {"label": self.label, **{k: v for k, v in asdict(self.agreement).items() if k != "names"}}
        return {
            "by": self.by,
            "how": self.how,
            "rows": len(self.of),
            "clusters": [asdict(one) for one in self.clusters],
            "empty": self.empty,
            "bic": {str(number): value for number, value in self.tried.items()},
            "agreement": agreed,
        }


def cluster(
    fitted: Any,
    data: Any,
    clusters: int | None = None,
    *,
    by: By | None = None,
    label: Any = None,
    most: int = MOST,
    seed: int = 0,
) -> Clusters:
    """Rows in clusters, without having looked at a label.

    by: "prior", the Gaussians of a Mixture prior: p(c | x) = E p(c | z), z ~ q(z | x), over ten codes of each row; "mixture", a
    mixture of Gaussians of codes E q(z | x) by expectation-maximization; "kmeans"; "manifold", a mixture of where UMAP lays
    the codes (`lambent[map]`). By default the prior where it is a Mixture,
    else a mixture. clusters: how many; the prior has its own number, of which training has kept those that it needs, and of
    codes it is otherwise the one of the lowest BIC, up to `most`. label: a name, as for `lambent.probe`, or an array [rows],
    which clusters are compared with; by default those that rows bring along. Jiang et al., Variational Deep Embedding, 2017.
    Errors: `UsageError` for a model without an encoder or, by the prior, whose prior is no mixture; for labels that are numbers.
    `DataError` for a single row, but by the prior.
    """
    fitted = Fitted.of(fitted)
    ask_encoder(fitted.model)
    way = by or ("prior" if isinstance(getattr(fitted.model.latent, "prior", None), Mixture) else "mixture")
    if way not in ways(True):
        raise UsageError(f"rows are clustered by {', '.join(ways(True))}, not by {way!r}")
    if most < 1:
        raise UsageError(f"most: at least one cluster, not {most}")
    rows = fitted.rows(data, seed)
    told = _labels(label, rows)
    levels = encode(fitted, rows.x, rows.context)
    if way == "prior":
        groups, centres = _of_prior(fitted, rows, clusters, seed), None
        codes, heart = levels[0].flatten(1).double().numpy(), groups.centres
    else:
        codes = torch.cat([level.flatten(1) for level in levels], 1).double().numpy()
        groups = WAYS[way](codes, clusters, most, seed)
        heart = centres = groups.centres
    sizes = np.bincount(groups.of, minlength=len(groups.centres))
    used = np.flatnonzero(sizes)
    typical = [_nearest(codes, groups.of, heart, int(number)) for number in used]
    context = None if rows.context is None else rows.context[torch.tensor(typical)]
    prototypes = (
        _decoded_prior(fitted.model, fitted, groups.centres[used], context)
        if centres is None
        else _decoded_codes(fitted, levels, centres[used], context)
    )
    agreed = None if told is None else agreement(told.values[told.known], groups.of[told.known])
    names = None if told is None else _names(told, groups)
    return Clusters(
        way,
        groups.how,
        groups.of,
        groups.probabilities,
        [_told(int(n), int(sizes[n]), t, groups.of, told, names) for n, t in zip(used, typical, strict=True)],
        prototypes,
        int((sizes == 0).sum()),
        groups.tried,
        agreed,
        None if told is None else told.name,
    )


def _labels(label: Any, rows: Rows) -> Labels | None:
    """Those to compare with, if there are any."""
    if label is None:
        encoded: Encoded | None = rows.encoded
        if encoded is None or encoded.labels is None:
            return None
        found = labels_of(OWN, rows)
        return None if found.numeric else found
    found = labels_of(label, rows)
    if found.numeric:
        raise UsageError(
            f"clusters are compared with classes, and {found.name} is a number: lambent.probe tells what codes say of it"
        )
    return found


@torch.no_grad()
def _of_prior(fitted: Fitted, rows: Rows, clusters: int | None, seed: int) -> Groups:
    model = fitted.model
    if model.members > 1:
        raise UsageError(
            f"each of the {model.members} members of this model has a prior of its own: cluster by mixture or kmeans, or one "
            "of them, model.member(0)"
        )
    generator = torch.Generator(model.device).manual_seed(stream(seed, "responsibilities"))
    pieces, centres = [], np.zeros((0, 0))
    for part in chunks("clustering", len(rows), CHUNK):
        context = None if rows.context is None else rows.context[part].to(model.device)
        node = model.infer(rows.x[part].to(model.device), DRAWS, from_posterior(generator), context)[0]
        p = vector(node.p)
        if not isinstance(p, NormalMixture):
            raise UsageError(
                f"this prior, {model.latent.origin}, is no mixture of Gaussians: cluster by mixture or kmeans, or give the model "
                "one: lambent refine RUN --prior Mixture"
            )
        count = p.log_weights.shape[-1]
        if clusters is not None and clusters != count:
            raise UsageError(
                f"the prior has {count} Gaussians, and {clusters} clusters were asked for: cluster by mixture or kmeans, or "
                f"refine it: --prior Mixture --prior.components {clusters}"
            )
        pieces.append(p.log_responsibilities(node.z.flatten(2)).exp().mean(0).double().cpu().numpy())
        centres = p.components.mean.double().cpu().numpy()
    chances = np.concatenate(pieces)
    return Groups(chances.argmax(1), centres, "the Gaussians of the prior", chances)


def _nearest(codes: NDArray[np.float64], of: NDArray[np.int64], centres: NDArray[np.float64], number: int) -> int:
    """The row of a cluster whose code lies nearest its centre."""
    own = np.flatnonzero(of == number)
    return int(own[np.square(codes[own] - centres[number]).sum(1).argmin()])


@torch.no_grad()
def _decoded_prior(model: LatentModel, fitted: Fitted, centres: NDArray[np.float64], context: Tensor | None) -> Tensor:
    """Centres of the top level, with what they let expect of those below."""
    top = torch.from_numpy(centres).to(model.device, model.anchor.dtype).unflatten(1, model.code_shapes[0])
    given = None if context is None else context.to(model.device)
    return shown(fitted, model.generate(len(top), first(1, fixed(top), expected), given)).cpu()


def _decoded_codes(
    fitted: Fitted, levels: list[Tensor], centres: NDArray[np.float64], context: Tensor | None
) -> Tensor:
    """Centres of the codes of all levels side by side."""
    whole, codes, begin = torch.from_numpy(centres), [], 0
    for level in levels:
        units = level.flatten(1).shape[1]
        codes.append(whole[:, begin : begin + units].to(level.dtype).unflatten(1, level.shape[1:]))
        begin += units
    if fitted.model.latent.support == "sphere":
        codes[0] = functional.normalize(codes[0].unflatten(1, (fitted.model.members, -1)), dim=-1).flatten(1)
    return decode(fitted, codes, context)


def _names(labels: Labels, groups: Groups) -> NDArray[np.int64]:
    """Of each cluster the class that it stands for, −1 where no row with a label is likely to lie in it, [clusters].

    Rows weigh by their probabilities, so that a few labels name clusters right of which one was drawn from another's edge.
    """
    count = len(groups.centres)
    known = labels.known
    weights = np.eye(count)[groups.of[known]] if groups.probabilities is None else groups.probabilities[known]
    of_class = weights.T @ np.eye(len(labels.classes))[labels.values[known].astype(np.int64)]
    return np.where(of_class.max(1) > LIKELY, of_class.argmax(1), -1)


def _told(
    number: int, size: int, typical: int, of: NDArray[np.int64], labels: Labels | None, names: NDArray[np.int64] | None
) -> Cluster:
    if labels is None or names is None or (stands := int(names[number])) < 0:
        return Cluster(number, size, typical)
    own = labels.values[(of == number) & (labels.values >= 0)]
    return Cluster(number, size, typical, labels.classes[stands], float((own == stands).mean()) if len(own) else None)
