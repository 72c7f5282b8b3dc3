"""Every part names its papers, or says why it has none; a citation holds exactly those of the parts in use."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import lambent
from lambent import papers
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian, Likelihood
from lambent.model.posteriors import Point
from lambent.model.priors import Vamp
from lambent.objectives import Elbo, Objective
from lambent.part import Part, Spec, families

Vary = Callable[[type[Part]], list[Spec]]


def keys(text: str) -> set[str]:
    return set(re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE))


def named(part: type[Part]) -> set[str]:
    behind = [field.metadata.get("papers", {}) for field in dataclasses.fields(part)]
    return {*part.papers, *(key for values in behind for key in values.values())}


def test_every_part_names_its_papers_or_says_why_it_has_none(part: type[Part]) -> None:
    assert bool(part.papers) != bool(part.no_paper), f"{part.__name__}: give papers, or no_paper with the reason"


def test_every_named_paper_is_in_the_bibliography(part: type[Part]) -> None:
    assert named(part) <= set(papers.bibliography())


def test_the_bibliography_holds_nothing_unused() -> None:
    families()  # loads all of them
    own = [c for c in Part._classes if c.__module__.startswith("lambent.")]
    used = {key for cls in own for key in named(cls)}
    assert set(papers.bibliography()) == used


@pytest.mark.parametrize("key", list(papers.bibliography()))
def test_an_entry_is_whole(key: str) -> None:
    text = papers.bibliography()[key]
    assert text.count("{") == text.count("}")
    fields = set(re.findall(r"^  (\w+) = \{.+\},?$", text, re.MULTILINE))
    assert {"author", "title", "year"} <= fields
    assert text.startswith("@software") or fields & {"booktitle", "journal"}
    assert re.search(r"year = \{(\d{4})\}", text)[1] in key


def test_a_citation_of_every_objective(any_objective_spec: Spec) -> None:
    model = LatentModel(Flat(3, prior=Vamp(4)), "Gaussian")
    found = keys(lambent.citation(model, Objective.from_spec(any_objective_spec)))
    assert {"lambent", "kingma2014auto", "tomczak2018vae", "kingma2015adam"} <= found
    assert "loshchilov2019decoupled" not in found


def test_fields_decide() -> None:
    flat = LatentModel(Flat(3), "Gaussian")
    plain = keys(lambent.citation(flat, Elbo()))
    assert keys(lambent.citation(flat, Elbo(beta=4.0))) - plain == {"higgins2017beta"}
    assert keys(lambent.citation(flat, Elbo(free_bits=0.1))) - plain == {"kingma2016improved"}
    assert keys(lambent.citation(flat, Elbo(anneal="cyclical"))) - plain == {"fu2019cyclical"}
    assert keys(lambent.citation(flat, Elbo(capacity=5.0))) - plain == {"burgess2018understanding"}
    affine, spline = (
        keys(lambent.citation(LatentModel(Flat(3, prior={"type": "Flow", "coupling": c}))))
        for c in ("affine", "spline")
    )
    assert affine ^ spline == {"dinh2017density", "durkan2019neural"}


def test_auto_is_one_paper_with_a_calibrated_gaussian_and_another_elsewhere() -> None:
    auto = Elbo(beta="auto")
    learned, fixed, binary = (
        keys(lambent.citation(LatentModel(Flat(3), likelihood), auto))
        for likelihood in (Gaussian(), Gaussian(scale="fixed"), "Bernoulli")
    )
    assert "rybkin2021simple" in learned
    assert "rezende2018taming" not in learned
    assert "rezende2018taming" in fixed & binary
    assert "rybkin2021simple" not in fixed | binary


def test_the_gradient_that_is_taken() -> None:
    doubly, plain, flow = (
        keys(lambent.citation(LatentModel(Flat(3, posterior=posterior)), {"type": "Iwae", "gradient": gradient}))
        for posterior, gradient in (("Diagonal", "auto"), ("Diagonal", "plain"), ("Flow", "auto"))
    )
    assert "tucker2019doubly" in doubly
    assert "tucker2019doubly" not in plain | flow


def test_an_autoencoder_is_no_vae() -> None:
    found = keys(lambent.citation(LatentModel(Flat(3, posterior=Point())), Elbo()))
    assert found == {"lambent", "hinton2006reducing", "he2015delving", "kingma2015adam"}


def test_a_model_alone_says_what_is_missing() -> None:
    text = lambent.citation(LatentModel(Flat(3)))
    assert "kingma2015adam" not in text
    assert "the objective is not known" in text


def test_an_estimator_and_its_file_cite_the_same(tmp_path: Path) -> None:
    vae = lambent.VAE(3, prior="Mixture", objective="BetaTc", epochs=1, network={"type": "Mlp", "width": 4, "depth": 1})
    before = lambent.citation(vae)
    assert "not fitted yet" in before
    vae.fit(np.random.default_rng(0).normal(size=(40, 3)))
    fitted = lambent.citation(vae)
    assert {"dilokthanakul2016deep", "chen2018isolating"} <= keys(fitted)
    assert keys(before) <= keys(fitted)
    path = vae.save(tmp_path / "model.safetensors")
    assert lambent.citation(path) == lambent.citation(str(path)) == fitted


def test_it_shows_itself_as_text() -> None:
    found = lambent.citation(LatentModel(Flat(3)))
    assert repr(found) == str(found) == found
    assert found.startswith("% the objective")


def test_a_part_of_ones_own() -> None:
    class Unnamed(Likelihood):
        """A stand-in."""

        def setup(self, event: tuple[int, ...]) -> tuple[int, ...]:
            return event

        def forward(self, raw: Tensor) -> Tensor:
            return raw

    class Named(Unnamed):
        """Another."""

        papers = ("mine2026",)

    try:
        assert "Unnamed (likelihood) names no paper" in lambent.citation(LatentModel(likelihood=Unnamed()))
        assert "mine2026 is not in papers.bib" in lambent.citation(LatentModel(likelihood=Named()))
    finally:
        for cls in (Unnamed, Named):
            Part._classes.remove(cls)


def test_what_has_no_citation_is_refused() -> None:
    with pytest.raises(UsageError, match="not a dict"):
        lambent.citation({})
