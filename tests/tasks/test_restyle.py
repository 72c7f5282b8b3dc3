"""Restyling: another context or another code of style, the content kept; and how well that went."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pil

import lambent
from lambent import Conv, Elbo, Fitted, Flat, Gaussian, Image, LatentModel, Mlp, fit
from lambent.data import load
from lambent.errors import DataError, UsageError
from lambent.fitted import Rows
from lambent.metrics.samples.space import Space
from lambent.model.latents import Grid, Styled
from lambent.model.likelihoods import Perceptual
from lambent.model.trace import mean
from lambent.tasks import explore
from lambent.tasks.judge_style import StyleJudge, judge_style
from lambent.tasks.restyle import Restyled, restyle, restyle_whole

Bytes = NDArray[np.uint8]


def bars(count: int, seed: int) -> tuple[Bytes, Bytes]:
    """The same bars under two lights, which are the style. Their place and whether they stand or lie are the content."""
    random = np.random.default_rng(seed)
    ink = np.zeros((count, 8, 8), bool)
    for i in range(count):
        place = random.integers(0, 7)
        if random.integers(0, 2):
            ink[i, place : place + 2] = True
        else:
            ink[i, :, place : place + 2] = True
    night = np.where(ink[..., None], [150, 140, 200], [30, 20, 60])
    paper = np.where(ink[..., None], [240, 210, 180], [130, 80, 40])
    noise = random.normal(0, 4, (2, count, 8, 8, 3))
    return tuple(
        np.clip(each + more, 0, 255).astype(np.uint8) for each, more in zip((night, paper), noise, strict=True)
    )  # type: ignore[return-value]


def folder_of(place: Path, count: int, seed: int) -> Path:
    """Pictures in two folders by style; no content is there in both."""
    styles = dict(zip(("night", "paper"), bars(2 * count, seed), strict=True))
    for number, (name, pictures) in enumerate(styles.items()):
        (place / name).mkdir(parents=True)
        for row in range(count):
            Pil.fromarray(pictures[number * count + row]).save(place / name / f"{row:04}.png")
    return place


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A VAE under the label of style."""
    data = load(folder_of(tmp_path_factory.mktemp("bars"), 400, 0), modality=Image(condition=("label",)))
    model = LatentModel(Flat(8), Gaussian(), Mlp(64, 1), context=2)
    fit(model, Elbo(), data, epochs=15, batch=32, learning_rate=3e-3, seed=0)
    return Fitted(model.eval(), data.modality)


def test_the_content_stays_and_the_style_is_reached(trained: Fitted) -> None:
    night, paper = bars(100, 1)
    for own, other, name in ((night, paper, "paper"), (paper, night, "night")):
        made = restyle(trained, own, to=name)
        pictures = trained.pictures(made.x)
        apart = np.sqrt((((pictures.astype(float) - other) / 255) ** 2).mean((1, 2, 3)))
        before = np.sqrt((((own.astype(float) - other) / 255) ** 2).mean((1, 2, 3)))
        assert apart.mean() < 0.25 * before.mean()
        assert made.guessed
        assert made.own == [{"paper": "night", "night": "paper"}[name]] * 100  # by the bound, each right


def test_restyled_rows_are_codes_decoded_under_another_context(trained: Fitted) -> None:
    night, _ = bars(6, 2)
    rows = trained.rows(night, given={"label": "night"})
    code = explore.encode(trained, rows.x, rows.context)
    half = torch.tensor([[0.5, 0.5]]).expand(6, 2)
    for strength, context in ((1.0, [0.0, 1.0]), (0.5, [0.5, 0.5]), (0.0, [1.0, 0.0]), (0.25, [0.75, 0.25])):
        wanted = explore.decode(trained, code, torch.tensor([context]).expand(6, 2))
        made = restyle(trained, night, to="paper", own="night", strength=strength, detail=0)
        assert torch.equal(made.x, wanted)
        assert not made.guessed
    mixed = restyle(trained, night, to=("night", "paper"), own={"label": "night"}, mix=0.5, detail=0)
    assert torch.equal(mixed.x, explore.decode(trained, code, half))
    assert torch.equal(
        restyle(trained, rows, to={"label": "paper"}).x, restyle(trained, night, to="paper", own="night").x
    )


def test_what_the_code_lost_is_carried_over(trained: Fitted) -> None:
    """x' + d (x − x'') within the range of pixels; at 1 a picture in its own style is itself, to the bit."""
    night, _ = bars(6, 2)
    rows = trained.rows(night, given={"label": "night"})
    code = explore.encode(trained, rows.x, rows.context)
    own, other = (explore.decode(trained, code, trained.given({"label": name}, 6)) for name in ("night", "paper"))
    for detail in (0.25, 1.0):
        made = restyle(trained, night, to="paper", own="night", detail=detail)
        torch.testing.assert_close(made.x, (other + detail * (rows.x - own)).clamp(0, 255), rtol=1e-5, atol=1e-2)
    assert torch.equal(restyle(trained, night, to="paper", own="night", detail=0).x, other)
    usual = restyle(trained, night, to="paper", own="night").x
    assert torch.equal(usual, restyle(trained, night, to="paper", own="night", detail=0.4).x)
    for unmoved in ({"to": "night"}, {"to": "paper", "strength": 0.0}):
        made = restyle(trained, night, own="night", detail=1, **unmoved)
        assert np.array_equal(trained.pictures(made.x), night)
        assert torch.equal(made.x, rows.x.float())


def test_rows_that_are_no_pictures_carry_no_detail() -> None:
    rows, context = torch.randn(5, 3), torch.eye(2)[torch.tensor([0, 1, 0, 1, 0])]
    model = LatentModel(Styled(Flat(2), style=1), Gaussian(), Mlp(8, 1), context=2).setup((3,)).eval()
    made = restyle(Fitted(model), Rows(rows, context), like=Rows(rows[:2], None))
    assert made.x.shape == (5, 3)
    with pytest.raises(UsageError, match="these rows are none: leave it at 0"):
        restyle(Fitted(model), Rows(rows, context), like=Rows(rows[:2], None), detail=0.5)


def test_rows_that_tell_their_style_are_read_under_it(trained: Fitted, tmp_path: Path) -> None:
    place = folder_of(tmp_path / "told", 3, 3)
    made = restyle(trained, place, to="paper")
    assert made.own == ["night"] * 3 + ["paper"] * 3
    assert not made.guessed
    elsewhere = tmp_path / "other"
    for old, new in (("night", "mine"), ("paper", "yours")):
        (elsewhere / new).parent.mkdir(exist_ok=True)
        (place / old).rename(elsewhere / new)
    named_otherwise = restyle(trained, elsewhere, to="paper")  # folders of other names say nothing
    assert named_otherwise.guessed
    assert named_otherwise.own == made.own
    assert torch.equal(named_otherwise.x, made.x)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({}, "name a style"),
        ({"to": "papers"}, "no level is called 'papers'; did you mean 'paper'"),
        ({"to": "paper", "strength": 1.5}, "strength lies between 0 and 1, not at 1.5"),
        ({"to": "paper", "like": "x.png"}, "one style is taken at a time"),
        ({"to": "paper", "mix": 0.5}, "two, not 1"),
        ({"to": "paper", "detail": -0.1}, "detail lies between 0 and 1, not at -0.1"),
        ({"to": {"tint": "paper"}}, "not conditioned on 'tint'"),
        (
            {"like": np.zeros((1, 8, 8, 3), np.uint8)},
            r"knows its styles by name .*label: night, paper.*\(--latent Styled",
        ),
    ],
)
def test_what_is_asked_wrongly_is_said(trained: Fitted, wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        restyle(trained, bars(2, 4)[0], own="night", **wishes)


def test_a_model_without_styles_says_how_to_get_them() -> None:
    pictures = bars(4, 0)[0]
    data = load(pictures, modality=Image())
    bare = LatentModel(Flat(2), Gaussian(), Conv((4,))).setup((3, 8, 8))
    with pytest.raises(UsageError, match=r"knows no styles.*--condition label.*--latent Styled"):
        restyle(Fitted(bare, data.modality), pictures, to="paper")
    unnamed = LatentModel(Flat(2), Gaussian(), Conv((4,)), context=2).setup((3, 8, 8))
    with pytest.raises(UsageError, match="context has no names"):
        restyle(Fitted(unnamed, data.modality), pictures, to="paper")


def test_without_a_bound_the_own_style_has_to_be_said(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path / "few", 4, 5), modality=Image(condition=("label",)))
    model = LatentModel(Flat(2, posterior=lambent.Point()), Gaussian(), Conv((4,)), context=2).setup((3, 8, 8))
    fitted = Fitted(model.eval(), data.modality)
    pictures = bars(3, 6)[0]
    with pytest.raises(UsageError, match=r"^a Point posterior has no density, so the label of these rows.*--from"):
        restyle(fitted, pictures, to="paper")
    assert restyle(fitted, pictures, to="paper", own="night").x.shape == (3, 3, 8, 8)


def test_a_whole_photograph_is_restyled_as_the_row_is(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path / "few", 4, 7), modality=Image(condition=("label",)))
    model = LatentModel(Grid("/4x1", channels=(3,), width=(6,)), Gaussian(), Conv((4, 6)), context=2).setup(
        (3, 8, 8), seed=1
    )
    fitted = Fitted(model.eval(), data.modality)
    tiles = lambent.Tiles.of(fitted, 64)
    photograph = np.random.default_rng(0).integers(0, 256, (1, 150, 100, 3), np.uint8)
    _, x = next(tiles.photographs(photograph))
    made = restyle_whole(tiles, x, to="paper", own="night", detail=0)
    with pytest.raises(UsageError):
        restyle_whole(tiles, x)
    whole = lambent.Tiles(tiles.fitted, tiles.field, 4096)
    night, paper = (fitted.given({"label": name}, 1) for name in ("night", "paper"))
    assert torch.equal(made.x, whole.decode(whole.encode(x, night), (150, 100), paper))
    assert not torch.equal(made.x, whole.reconstruct(x, night))
    guessed = restyle_whole(tiles, x, to="paper")
    bounds = [float(tiles.score(x, 1, 0, each).elbo) for each in (night, paper)]
    assert guessed.own == [("night", "paper")[int(bounds[1] > bounds[0])]]


# ---- a code of style -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A VAE with a code of style, shared by pictures of one label while it trained."""
    data = load(folder_of(tmp_path_factory.mktemp("bars"), 400, 0), modality=Image(condition=("label",)))
    model = LatentModel(Styled(Flat(8), style=2, group=8), Gaussian(), Mlp(64, 1), context=2)
    fit(model, Elbo(), data, epochs=15, batch=32, learning_rate=3e-3, seed=0)
    return Fitted(model.eval(), data.modality)


def apart_from(fitted: Fitted, made: Restyled, other: Bytes) -> float:
    """Root mean square difference of restyled rows to pictures, in shares of white."""
    return float(np.sqrt((((fitted.pictures(made.x).astype(float) - other) / 255) ** 2).mean()))


def test_a_style_is_taken_by_name_or_from_exemplars_that_have_no_label(styled: Fitted) -> None:
    night, paper = bars(60, 1)
    examples = bars(20, 11)[1]
    before = float(np.sqrt((((night.astype(float) - paper) / 255) ** 2).mean()))
    for wish in ({"to": "paper"}, {"like": examples}, {"like": examples[:1]}):
        made = restyle(styled, night, **wish)
        assert apart_from(styled, made, paper) < 0.35 * before
        assert made.own is None
        assert not made.guessed
    assert apart_from(styled, restyle(styled, night, to="paper", strength=0), night) < 0.2 * before


def test_the_style_of_exemplars_is_that_of_their_pooled_posterior(styled: Fitted) -> None:
    night, examples = bars(3, 2)[0], bars(7, 12)[1]
    model = styled.model
    shared = pooled(styled, examples)
    style, *content = explore.encode(styled, styled.rows(night, given={"label": "night"}).x)
    for strength in (1.0, 0.3):
        wanted = explore.decode(styled, [torch.lerp(style, shared.expand_as(style), strength), *content])
        made = restyle(styled, night, like=examples, strength=strength, detail=0)
        torch.testing.assert_close(made.x, wanted)
    latent = model.latent
    assert isinstance(latent, Styled)
    both = latent.expected_style(torch.eye(2))
    named = torch.lerp(both[:1], both[1:], 0.25).expand_as(style)
    torch.testing.assert_close(
        restyle(styled, night, to=("night", "paper"), mix=0.25, detail=0).x, explore.decode(styled, [named, *content])
    )
    mixed = torch.lerp(both[:1], shared, 0.5).expand_as(style)
    torch.testing.assert_close(
        restyle(styled, night, to="night", like=examples, mix=0.5, detail=0).x,
        explore.decode(styled, [mixed, *content]),
    )


def test_styles_that_a_code_of_style_does_not_have_are_refused(styled: Fitted) -> None:
    night, _ = bars(2, 3)
    with pytest.raises(UsageError, match="no level is called 'papers'"):
        restyle(styled, night, to="papers")
    with pytest.raises(UsageError, match="reads the style of rows off themselves"):
        restyle(styled, night, to="paper", own="night")
    data = load(night, modality=Image())
    unlabelled = Fitted(
        LatentModel(Styled(Flat(2), style=2), Gaussian(), Mlp(8, 1)).setup((3, 8, 8)).eval(), data.modality
    )
    with pytest.raises(UsageError, match=r"have no names.*: show one"):
        restyle(unlabelled, night, to="paper")
    assert restyle(unlabelled, night, like=night).x.shape == (2, 3, 8, 8)


def test_a_whole_photograph_takes_a_style_from_others(tmp_path: Path) -> None:
    pictures = bars(4, 7)[0]
    data = load(pictures, modality=Image())
    latent = Styled(Grid("/4x1", channels=(3,), width=(6,)), style=2)
    model = LatentModel(latent, Gaussian(), Conv((4, 6))).setup((3, 8, 8), seed=1)
    fitted = Fitted(model.eval(), data.modality)
    photograph = np.random.default_rng(0).integers(0, 256, (1, 150, 100, 3), np.uint8)
    tiles, whole = (lambent.Tiles.of(fitted, size) for size in (64, 4096))
    _, x = next(tiles.photographs(photograph))
    # Content lies in maps, to the bits of the whole; the style of one tile is its posterior's mean, of several their pooled one.
    (style, content), (style_of_all, content_of_all) = tiles.encode(x), whole.encode(x)
    assert torch.equal(content, content_of_all)
    assert style.shape == style_of_all.shape == (1, 2)
    near = model.resized((3, 150, 100)).eval()
    with torch.no_grad():
        torch.testing.assert_close(style_of_all, near.infer(x, 1, mean)[0].z[0], rtol=1e-4, atol=1e-5)
    made = restyle_whole(tiles, x, like=pictures, detail=0)
    shown = whole.decode([pooled(fitted, pictures), content], (150, 100))
    torch.testing.assert_close(made.x, shown)
    half = restyle_whole(tiles, x, like=pictures, strength=0.5, detail=0)
    torch.testing.assert_close(
        half.x, tiles.decode([torch.lerp(style, pooled(fitted, pictures), 0.5), content], (150, 100))
    )
    torch.testing.assert_close(restyle_whole(tiles, x, like=pictures, strength=0, detail=0).x, tiles.reconstruct(x))
    assert torch.equal(restyle_whole(tiles, x, like=pictures, strength=0, detail=1).x, x.float())
    kept = restyle_whole(tiles, x, like=pictures, detail=0.3).x
    expected = (shown + 0.3 * (x - tiles.reconstruct(x))).clamp(0, 255)
    torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-2)
    with pytest.raises(UsageError, match="share its style, so no score adds up"):
        tiles.score(x)


def pooled(fitted: Fitted, pictures: Bytes) -> torch.Tensor:
    """The precision-weighted mean of what each picture says of its style, [1, style]."""
    with torch.no_grad():
        q = fitted.model.infer(torch.from_numpy(pictures).permute(0, 3, 1, 2), 1, mean)[0].q
    assert q is not None
    return (q.mean / q.variance).sum(0, keepdim=True) / (1 / q.variance).sum(0, keepdim=True)


# ---- the judgement ---------------------------------------------------------------------------------------------------


class Quarters(Space):
    """Features that are known: means over quarters of a picture, of all channels."""

    name = "quarters 000000000000"

    def __call__(self, pictures: Bytes) -> NDArray[np.float64]:
        x = pictures.astype(np.float64).reshape(len(pictures), 4, 2, 4, 2, -1)
        return np.asarray(x.mean((2, 4, 5)).reshape(len(x), -1) / 255)


def blocks(count: int, seed: int) -> tuple[Bytes, Bytes]:
    """Pictures of 4 × 4 blocks of any brightness under two lights: no two have the same content."""
    random = np.random.default_rng(seed)
    ink = random.uniform(0, 1, (count, 4, 4)).repeat(2, 1).repeat(2, 2)[..., None]
    night, paper = ink * [60, 80, 100] + [10, 20, 50], ink * [110, 80, 60] + [120, 110, 60]
    return night.astype(np.uint8), paper.astype(np.uint8)


@pytest.fixture(scope="module")
def judge() -> StyleJudge:
    return StyleJudge(dict(zip(("night", "paper"), blocks(200, 8), strict=True)), Quarters(), paired=True)


def test_true_partners_pictures_unchanged_and_shuffled_ones_are_told_apart(judge: StyleJudge) -> None:
    night, paper = blocks(40, 9)
    found = judge.judged("night", "paper", night, paper, {"restyled": paper, "shuffled": paper[::-1]})
    sets = {name: {measure: one.value for measure, one in own.items()} for name, own in found.sets.items()}
    assert judge.classifier > 0.99
    assert sets["restyled"] == sets["partners"]
    assert sets["partners"]["pixels"] == 0
    assert sets["partners"]["features"] == 0
    assert sets["partners"]["retrieval"] == sets["partners"]["retrieval_pixels"] == 1
    assert sets["partners"]["style"] == 1
    assert sets["unchanged"]["style"] == 0
    expected = np.sqrt((((night.astype(float) - paper) / 255) ** 2).mean((1, 2, 3))).mean()
    assert sets["unchanged"]["pixels"] == pytest.approx(expected)
    assert sets["shuffled"]["retrieval"] < 0.1
    assert sets["unchanged"]["content"] == 1
    assert sets["unchanged"]["retrieval"] < 0.5  # for the light is another
    assert sets["partners"]["content"] == 1
    assert sets["shuffled"]["content"] < 0.1
    assert sets["nearest"]["style"] == 1
    assert found.gained("restyled", "partners") == 1
    assert found.gained("unchanged", "partners") == 0
    assert found.gained("restyled", "unchanged") is None
    assert found.sets["restyled"]["features"].space == "quarters 000000000000"
    assert set(found.plain()["sets"]) == set(sets)


def test_what_cannot_be_judged_is_said(judge: StyleJudge) -> None:
    night, paper = blocks(40, 9)
    with pytest.raises(UsageError, match="no style is called 'papers'; did you mean 'paper'"):
        judge.judged("night", "papers", night, paper, {})
    with pytest.raises(DataError, match=r"restyled: pictures of \[39, 8, 8, 3\], and the source has \[40"):
        judge.judged("night", "paper", night, paper, {"restyled": paper[1:]})
    with pytest.raises(DataError, match="5 pictures are too few"):
        judge.judged("night", "paper", night[:5], paper[:5], {})
    with pytest.raises(DataError, match="20 pictures of each style"):
        StyleJudge({"night": night, "paper": paper[:3]})
    with pytest.raises(UsageError, match="two styles are given"):
        judge_style(paper, night, paper, {"a": night, "b": paper, "c": night}, Quarters())


def test_a_restyling_model_beats_doing_nothing(trained: Fitted) -> None:
    night, paper = bars(40, 10)
    made = trained.pictures(restyle(trained, night, to="paper", own="night").x)
    found = judge_style(made, night, paper, dict(zip(("night", "paper"), bars(200, 8), strict=True)), Quarters())
    assert found.sets["restyled"]["pixels"] < found.sets["unchanged"]["pixels"]
    assert found.sets["restyled"]["style"].value == 1
    gained = found.gained("restyled", "partners")
    assert gained is not None
    assert gained > 0.7


def test_the_part_that_has_no_bound_to_guess_a_style_by_is_named(trained: Fitted) -> None:
    model = LatentModel(Flat(2), Perceptual(steps=0), Mlp(8, 1), context=2).setup((3, 8, 8)).eval()
    with pytest.raises(
        UsageError,
        match=r"Perceptual is a distance .* so the label of these rows, which they do not tell, cannot be guessed",
    ):
        restyle(Fitted(model, trained.modality), bars(2, 1)[0], to="paper")
