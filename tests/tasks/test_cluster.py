"""cluster: heaps far apart are found by every way, with their number; the prior's own mixture, and joint training with it."""

import numpy as np
import pytest
import torch

from lambent import VAE, DataError, UsageError, evaluate, refine
from lambent.distributions import DiagonalNormal, NormalMixture
from lambent.model.priors import Mixture
from lambent.tasks.features import grouping
from lambent.tasks.features.cluster import _names, cluster
from lambent.tasks.features.grouping import WAYS, round_bic
from lambent.tasks.features.labels import Labels
from lambent.tasks.map import layouts

HEAPS = np.array([[8.0, 0, 0], [0, 8, 0], [0, 0, 8]])


def heaps(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    of = random.choice(3, count, p=[0.5, 0.3, 0.2])
    return (HEAPS[of] + 0.5 * random.normal(size=(count, 3))).astype(np.float32), of


@pytest.mark.parametrize("way", ["mixture", "kmeans"])
def test_the_number_of_heaps_is_found(way: str) -> None:
    x, y = heaps(500, 0)
    found = WAYS[way](x.astype(float), None, 10, 0)
    assert found.of.tolist() == y.tolist()  # the largest first
    np.testing.assert_allclose(found.centres, HEAPS, atol=0.2)
    assert min(found.tried, key=found.tried.__getitem__) == 3
    assert max(found.tried) == 6  # three more bring nothing
    one = WAYS[way](np.random.default_rng(0).normal(size=(500, 3)), None, 10, 0)
    assert len(one.centres) == 1
    five = WAYS[way](x.astype(float), 5, 10, 0)
    assert (len(five.centres), five.tried) == (5, {})
    with pytest.raises(DataError, match="from two rows on"):
        WAYS[way](x[:1].astype(float), None, 10, 0)


def test_groups_along_a_manifold_are_those_that_neighbours_connect() -> None:
    """Two moons, which lie within each other: no Gaussian holds one, and k-means cuts both."""
    pytest.importorskip("umap")
    from sklearn.datasets import make_moons

    x, y = make_moons(300, noise=0.04, random_state=0)
    codes = np.concatenate([x, np.random.default_rng(0).normal(0, 0.01, (300, 2))], 1)
    found = WAYS["manifold"](codes, 2, 10, 0)
    assert max(np.mean(found.of == y), np.mean(found.of == 1 - y)) == 1
    cut = WAYS["kmeans"](codes, 2, 10, 0)
    assert max(np.mean(cut.of == y), np.mean(cut.of == 1 - y)) < 0.9
    for number in (0, 1):
        np.testing.assert_allclose(found.centres[number], codes[found.of == number].mean(0))
    assert "laid by UMAP, the one of 4 layouts" in found.how
    with pytest.raises(UsageError, match="need their number"):
        WAYS["manifold"](codes, None, 10, 0)


def test_rows_beyond_those_of_a_layout_are_laid_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("umap")
    monkeypatch.setattr(layouts, "LAID", 200)
    x, y = heaps(300, 3)
    found = WAYS["manifold"](x.astype(float), 3, 10, 0)
    assert found.of.tolist() == y.tolist()


def test_the_layout_is_taken_whose_groups_stand_out_most_at_any_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four layouts as if by UMAP: two heaps that lie near each other, touch, lie far apart, and the second ten times as large."""
    rng = np.random.default_rng(0)
    side = np.repeat([0.0, 1.0], 100)
    made = [
        size * (rng.normal(size=(200, 2)) + np.stack([apart * side, 0 * side], 1))
        for apart, size in ((3, 1), (1, 1), (12, 1), (1, 10))
    ]
    monkeypatch.setattr(grouping, "laid", lambda codes, seed: layouts.Laid(np.arange(200), made[seed], None))
    stand = [grouping._standing_out(grouping._gaussians(one, 2, "full", 5, 0), one) for one in made]
    assert int(np.argmax(stand)) == 2
    assert stand[1] < stand[0]
    one = made[1]
    tenfold = grouping._standing_out(grouping._gaussians(10 * one, 2, "full", 5, 0), 10 * one)
    assert tenfold == pytest.approx(stand[1], abs=1e-3)
    found = WAYS["manifold"](np.stack([side, side], 1) + rng.normal(size=(200, 2)), 2, 2, 0)
    assert found.of.tolist() in (side.tolist(), (1 - side).tolist())


def test_the_bic_of_round_gaussians_is_that_of_a_mixture_of_one() -> None:
    from sklearn.mixture import GaussianMixture

    x = np.random.default_rng(0).normal(size=(400, 3))
    whole = GaussianMixture(1, covariance_type="spherical", reg_covar=0).fit(x)
    assert round_bic(np.zeros(400, int), float(np.square(x - x.mean(0)).sum()), 3) == pytest.approx(
        whole.bic(x), abs=0.05
    )


def test_responsibilities_are_bayes_rule() -> None:
    mixture = NormalMixture(
        torch.tensor([0.2, 0.8]).log(), DiagonalNormal(torch.tensor([[0.0], [2.0]]), torch.zeros(2, 1))
    )
    z = torch.tensor([[1.0], [0.0]])
    found = mixture.log_responsibilities(z).exp()
    assert found[0].tolist() == pytest.approx([0.2, 0.8])
    assert found[1, 0].item() == pytest.approx(0.2 / (0.2 + 0.8 * np.exp(-2.0)))
    assert found.sum(-1).tolist() == pytest.approx([1, 1])


@pytest.fixture(scope="module")
def trained() -> tuple[VAE, np.ndarray, np.ndarray]:
    x, y = heaps(300, 1)
    return VAE(2, prior="Mixture", likelihood="Gaussian", epochs=60, random_state=0, members=1).fit(x), x, y


@pytest.mark.parametrize("by", ["prior", "mixture", "kmeans"])
def test_a_model_finds_the_heaps_that_it_was_trained_on(trained: tuple[VAE, np.ndarray, np.ndarray], by: str) -> None:
    vae, x, y = trained
    found = cluster(vae, x, by=by, clusters=None if by == "prior" else 3, label=y)
    assert found.agreement is not None
    assert found.agreement.accuracy > 0.97
    assert sum(one.rows for one in found.clusters) == 300
    largest = max(found.clusters, key=lambda one: one.rows)
    assert largest.label == "0"
    assert y[largest.typical] == 0
    place = found.clusters.index(largest)
    np.testing.assert_allclose(vae.fitted_.raw(found.prototypes)[place], HEAPS[0], atol=1.5)
    if found.probabilities is not None:
        np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-6)
        assert (found.probabilities.argmax(1) == found.of).all()
    assert found.plain()["agreement"]["accuracy"] == found.agreement.accuracy
    again = cluster(vae, x, by=by, clusters=None if by == "prior" else 3)
    assert (again.of == found.of).all()
    assert again.agreement is None


def test_the_prior_is_asked_where_it_is_a_mixture(trained: tuple[VAE, np.ndarray, np.ndarray]) -> None:
    vae, x, _ = trained
    found = cluster(vae, x)
    assert found.by == "prior"
    assert found.empty + len(found.clusters) == vae.model_.latent.prior.components
    plain = VAE(2, prior="Standard", epochs=2, members=1).fit(x)
    assert cluster(plain, x, clusters=2).by == "mixture"


def test_what_cannot_be_clustered_is_said(trained: tuple[VAE, np.ndarray, np.ndarray]) -> None:
    vae, x, _ = trained
    with pytest.raises(UsageError, match=r"has \d+ Gaussians, and 77 clusters"):
        cluster(vae, x, 77)
    with pytest.raises(UsageError, match="clustered by prior, mixture, kmeans, manifold, not by 'k-means'"):
        cluster(vae, x, by="k-means")
    with pytest.raises(UsageError, match="1 to 300"):
        cluster(vae, x, 301, by="kmeans")
    with pytest.raises(UsageError, match=r"is a number: lambent\.probe"):
        cluster(vae, x, label=x[:, 0])
    with pytest.raises(UsageError, match="is no mixture of Gaussians"):
        cluster(VAE(2, prior="Standard", epochs=1, members=1).fit(x), x, by="prior")
    with pytest.raises(UsageError, match="2 members"):
        cluster(VAE(2, prior="Mixture", epochs=1, members=2).fit(x), x)


def test_rows_under_a_condition_have_prototypes_under_one_of_theirs() -> None:
    x, y = heaps(100, 2)
    vae = VAE(2, prior="Mixture", condition="label", epochs=2, members=1).fit(x, y % 2)
    rows = vae.fitted_.rows(x, given={"label": 1})
    for by in ("prior", "mixture"):
        found = cluster(vae, rows, by=by)
        assert len(found.prototypes) == len(found.clusters)


def test_few_labels_name_all_clusters_that_have_one() -> None:
    x, y = heaps(300, 1)
    vae = VAE(2, prior="Standard", likelihood="Gaussian", epochs=40, random_state=0, members=1).fit(x)
    few = np.where(np.arange(300) < 30, np.array(["a", "b", "b"])[y], None)  # two heaps of one label
    found = cluster(vae, x, 3, by="kmeans", label=few)
    calls = {one.number: one.label for one in found.clusters}
    assert [calls[number] for number in found.of.tolist()] == np.array(["a", "b", "b"])[y].tolist()
    assert found.agreement is not None
    assert found.agreement.accuracy < 1  # each label stands for one cluster there


def test_levels_below_the_mixture_are_what_it_lets_expect() -> None:
    x, _ = heaps(100, 3)
    vae = VAE(
        {"type": "Ladder", "sizes": [2, 2], "prior": {"type": "Mixture", "components": 3}}, epochs=2, members=1
    ).fit(x)
    for by in ("prior", "kmeans"):
        found = cluster(vae, x, by=by, clusters=3)
        assert tuple(found.prototypes.shape[1:]) == (3,)


def test_joint_training_moves_codes_into_the_gaussians_of_the_prior() -> None:
    x, y = heaps(300, 4)
    plain = VAE(2, prior="Standard", likelihood="Gaussian", epochs=30, random_state=0, members=1).fit(x)
    prior = {"type": "Mixture", "components": 3}
    alone = refine(plain, x, prior, epochs=1)
    joint = refine(plain, x, prior, epochs=1, joint=30)
    before, after = cluster(alone, x, label=y), cluster(joint, x, label=y)
    assert before.agreement is not None
    assert after.agreement is not None
    assert after.agreement.accuracy >= before.agreement.accuracy - 0.01
    assert after.agreement.accuracy > 0.95
    bounds = [evaluate(fitted, x, 8).metrics["bound"].value for fitted in (alone, joint)]
    assert bounds[1] > bounds[0] + 0.1
    weights = [next(iter(fitted.model.decoder.parameters())) for fitted in (plain.fitted_, alone, joint)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert joint.provenance["refined"]["joint"] == 30
    assert len(joint.provenance["refined"]["joint_history"]["loss"]) == 30
    with pytest.raises(UsageError, match="joint"):
        refine(plain, x, prior, joint=-1)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_mixture_begins_as_the_gaussians_of_groups(covariance: str) -> None:
    x, y = heaps(400, 4)
    prior = Mixture(components=4, covariance=covariance)
    prior.setup((3,), torch.zeros(0))
    prior.begin_in(torch.from_numpy(x), y)
    found = prior(lambda rows: rows)
    assert isinstance(found, NormalMixture)
    weights = torch.softmax(prior.logits, 0)
    np.testing.assert_allclose(weights[:3].detach(), np.bincount(y) / 400, atol=1e-5)
    assert weights[3] < 1e-8  # no group is its
    for group in range(3):
        own = x[y == group].astype(float)
        np.testing.assert_allclose(prior.location[group].detach(), own.mean(0), atol=1e-5)
        np.testing.assert_allclose(prior.log_scale[group].detach().exp(), own.std(0), rtol=0.12)
    told = found.log_responsibilities(torch.from_numpy(x)).argmax(-1)
    assert told.tolist() == y.tolist()


def test_refine_begins_in_groups_of_codes() -> None:
    x, y = heaps(300, 1)
    plain = VAE(2, prior="Standard", likelihood="Gaussian", epochs=40, random_state=0, members=1).fit(x)
    prior = {"type": "Mixture", "components": 3}
    begun = refine(plain, x, prior, begin="kmeans")
    assert begun.provenance["refined"]["begin"] == "kmeans"
    assert begun.provenance["refined"]["history"] == {}
    agreed = cluster(begun, x, label=y).agreement
    assert agreed is not None
    assert agreed.accuracy > 0.95
    before, after = next(plain.fitted_.model.decoder.parameters()), next(begun.model.decoder.parameters())
    assert torch.equal(before, after)
    with pytest.raises(UsageError, match="begin: 'kmean' is no way to group codes; did you mean 'kmeans'"):
        refine(plain, x, prior, begin="kmean")
    with pytest.raises(UsageError, match="with joint epochs"):
        refine(plain, x, prior, objective="Elbo")
    with pytest.raises(UsageError, match="a Diffusion has none: take Mixture"):
        refine(plain, x, "Diffusion", begin="kmeans")


def test_a_label_from_the_edge_of_another_cluster_names_its_own() -> None:
    """One row of each label; that of b lies nearer to cluster 0, as that of a does, and no other is likelier in cluster 1."""
    chances = np.array([[0.99, 0.01, 0.0], [0.7, 0.3, 0.0]])
    groups = grouping.Groups(chances.argmax(1), np.zeros((3, 2)), "", chances)
    labels = Labels("label", np.array([0, 1]), ["a", "b"])
    assert _names(labels, groups).tolist() == [0, 1, -1]
    hard = grouping.Groups(chances.argmax(1), np.zeros((3, 2)), "")
    assert _names(Labels("label", np.array([1, -1]), ["a", "b"]), hard).tolist() == [1, -1, -1]
