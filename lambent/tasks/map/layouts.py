"""layouts: where codes lie in a plane, by their principal components, or by what lies near what."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lambent.errors import MachineError, UsageError
from lambent.tasks.explore import plane

LEAST = 4  # rows that have neighbours to be drawn by
NEIGHBOURS = 15  # of UMAP, its authors' default
LAID, TOGETHER = 20_000, 20  # rows that a layout for groups is found by, and neighbours of each
OTHERWISE = "group codes by mixture or kmeans"
PERPLEXITY = 30.0  # of t-SNE, its authors' own


@dataclass(frozen=True)
class Placed:
    """points: [rows, 2]; axes: what they are along; how: one sentence about the layout and what not to read from it."""

    points: NDArray[np.float32]
    axes: tuple[str, str]
    how: str


def pca(codes: Tensor, seed: int) -> Placed:
    """The two directions along which codes [rows, units] vary most."""
    points = plane(codes).double()
    spread = float((codes.double() - codes.double().mean(0)).square().sum())
    share = float(points.square().sum()) / spread if spread else 1.0
    shares = [100 * float(points[:, i].square().sum()) / spread if spread else 100.0 for i in (0, 1)]
    axes = tuple(f"component {i + 1}, {part:.1f} % of the variance" for i, part in enumerate(shares))
    how = f"Principal components of the codes: the plane holds {100 * share:.1f} % of their variance, the rest lies behind it."
    return Placed(points.float().numpy(), (axes[0], axes[1]), how)


def tsne(codes: Tensor, seed: int) -> Placed:
    """Neighbours kept together. van der Maaten & Hinton, Visualizing data using t-SNE, 2008."""
    from sklearn.manifold import TSNE

    rows = len(codes)
    perplexity = min(PERPLEXITY, (rows - 1) / 3)
    begun = "pca" if codes.shape[1] > 1 else "random"
    layout = TSNE(2, perplexity=perplexity, init=begun, random_state=seed % 2**32)
    made = layout.fit_transform(_enough(codes, "t-SNE", "take the layout pca"))
    what = "who is whose neighbour, while distances and sizes of groups mean little"
    how = f"t-SNE of the codes, perplexity {perplexity:.3g}: {what}."
    return Placed(np.asarray(made, np.float32), ("t-SNE 1", "t-SNE 2"), how)


def umap(codes: Tensor, seed: int) -> Placed:
    """Neighbours kept together. McInnes et al., UMAP: uniform manifold approximation and projection, 2018."""
    near = min(NEIGHBOURS, len(codes) - 1)
    with _umap("take --layout tsne") as reducer:
        layout = reducer(n_neighbors=near, random_state=seed % 2**32, init=_init(codes))
        made = layout.fit_transform(_enough(codes, "UMAP", "take the layout pca"))
    how = f"UMAP of the codes, {near} neighbours: who is near whom, while distances between groups mean little."
    return Placed(np.asarray(made, np.float32), ("UMAP 1", "UMAP 2"), how)


@dataclass(frozen=True)
class Laid:
    """Codes in a plane, by UMAP. chosen: numbers of the rows that it was found by; points: where these lie, [chosen, 2]."""

    chosen: NDArray[np.int64]
    points: NDArray[np.float64]
    layout: Any

    def whole(self, codes: Tensor) -> NDArray[np.float64]:
        """Where all the codes lie that the chosen are of, [rows, 2]: the rest are laid among the chosen."""
        numbers = _enough(codes, "UMAP", OTHERWISE)
        made = np.empty((len(numbers), 2))
        made[self.chosen] = self.points
        rest = np.setdiff1d(np.arange(len(numbers)), self.chosen)
        if len(rest):
            with _umap(OTHERWISE):
                made[rest] = self.layout.transform(numbers[rest])
        return made


def laid(codes: Tensor, seed: int) -> Laid:
    """Codes [rows, units] in a plane where groups of neighbours lie tight: UMAP, with nothing kept apart.

    Found by 20,000 rows at most, drawn by the seed.
    """
    numbers = _enough(codes, "UMAP", OTHERWISE)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(numbers))[:LAID])
    with _umap(OTHERWISE) as reducer:
        near = min(TOGETHER, len(chosen) - 1)
        layout = reducer(n_neighbors=near, min_dist=0.0, random_state=seed % 2**32, init=_init(codes))
        points = np.asarray(layout.fit_transform(numbers[chosen]), np.float64)
    return Laid(chosen, points, layout)


@contextmanager
def _umap(instead: str) -> Iterator[Any]:
    """The class, and no warnings of parts of it that are not used here, nor of the one thread that a seed asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP
        except ImportError:
            raise MachineError(f"UMAP is not installed: pip install 'lambent[map]', or {instead}") from None
        yield UMAP


def _init(codes: Tensor) -> str:
    return "pca" if codes.shape[1] > 2 else "random"


def _enough(codes: Tensor, name: str, instead: str) -> NDArray[np.float32]:
    if len(codes) < LEAST:
        raise UsageError(f"{name} draws rows by their neighbours, and {len(codes)} are too few: {instead}")
    numbers: NDArray[np.float32] = codes.float().numpy()
    return numbers


LAYOUTS: dict[str, Callable[[Tensor, int], Placed]] = {"pca": pca, "tsne": tsne, "umap": umap}
