"""What models are compared by, on cases whose answer is known: probes, walks, bands of sharpness, the verdict's rules."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from lambent.errors import UsageError
from lambent.metrics.probe import Probe
from lambent.metrics.samples.spectrum import sharpness, spectrum
from lambent.metrics.samples.walks import walks
from lambent.tasks.compare.comparison import Entry, Method, Number, Numbers, over_seeds
from lambent.tasks.compare.sections import with_error
from lambent.tasks.compare.verdict import sentence, uses, verdict


def test_a_probe_reads_two_gaussians_as_well_as_anything_can() -> None:
    """Two standard Gaussians whose means are 2 apart: the best rule is right in Φ(1) of the cases."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40_000)
    codes = rng.normal(size=(40_000, 5)) * np.array([1, 3, 3, 3, 3])
    codes[:, 0] += 2 * labels
    found = Probe(codes[:20_000], labels[:20_000]).share(codes[20_000:], labels[20_000:])
    assert found.value == pytest.approx(norm.cdf(1), abs=4 * found.error)
    assert found.error == pytest.approx(math.sqrt(norm.cdf(1) * norm.cdf(-1) / 20_000), rel=0.02)


def test_a_probe_of_noise_is_right_by_chance() -> None:
    rng = np.random.default_rng(1)
    labels, codes = rng.integers(0, 4, 8000), rng.normal(size=(8000, 3))
    found = Probe(codes[:4000], labels[:4000]).share(codes[4000:], labels[4000:])
    assert found.value == pytest.approx(0.25, abs=4 * found.error)


def test_a_probe_wants_features_of_one_width() -> None:
    probe = Probe(np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2)
    with pytest.raises(UsageError, match=r"reads features \[n, 2\], not \[4, 3\]"):
        probe.share(np.zeros((4, 3)), np.zeros(4))


def test_a_straight_walk_of_even_steps_is_as_smooth_as_can_be() -> None:
    ends = np.random.default_rng(0).normal(size=(2, 7, 5))
    times = np.linspace(0, 1, 6)[None, :, None]
    found = walks(ends[0][:, None] * (1 - times) + ends[1][:, None] * times)
    assert found.straightness.value == pytest.approx(1)
    assert found.largest_step.value == pytest.approx(1)


def test_a_walk_along_half_a_circle_is_longer_by_half_of_pi() -> None:
    """With n chords of angle π/n: 2 / (2 n sin(π/2n)), whose limit is 2/π."""
    n = 8
    angle = np.linspace(0, np.pi, n + 1)
    found = walks(np.stack([np.cos(angle), np.sin(angle)], 1)[None])
    assert found.straightness.value == pytest.approx(1 / (n * math.sin(math.pi / (2 * n))))
    assert found.largest_step.value == pytest.approx(1)


def test_a_jump_is_one_step_of_all() -> None:
    """Of eight steps one moves: it is eight times the mean; a walk that stays where it is has no say."""
    frames = np.zeros((2, 9, 3))
    frames[0, 4:] = 5.0
    found = walks(frames)
    assert found.largest_step.value == pytest.approx(8)
    assert found.straightness.value == pytest.approx(1)
    with pytest.raises(UsageError, match="three points"):
        walks(frames[:, :2])


def test_bands_of_sharpness_tell_where_energy_is_lost() -> None:
    """A wave of 0.7 of the highest frequency at half its height has a quarter of its energy there, and all elsewhere."""
    across = np.arange(32)
    slow, quick = (np.cos(np.pi * share * across)[None, None, :] for share in (0.2, 0.7))
    rng = np.random.default_rng(0)
    rows = np.repeat(0.5 + 0.2 * slow + 0.2 * quick, 32, 1).repeat(20, 0) + 0.001 * rng.normal(size=(20, 32, 32))
    less = rows - 0.1 * quick
    real, drawn = spectrum(rows), spectrum(less)
    assert sharpness(drawn, real, above=0.5, below=0.75).value == pytest.approx(0.25, rel=0.02)
    assert sharpness(drawn, real, above=0.0, below=0.25).value == pytest.approx(1, rel=0.02)
    assert sharpness(drawn, real).value == pytest.approx(0.25, rel=0.02)


def test_seeds_make_a_mean_with_the_error_of_their_spread() -> None:
    each: list[Numbers] = [
        {"frechet": Number(value, 0.1), "probe": Number(None, None, "no labels")} for value in (1.0, 2.0, 6.0)
    ]
    found = over_seeds(each)
    assert found["frechet"].value == pytest.approx(3)
    assert found["frechet"].error == pytest.approx(math.sqrt(7 / 3))
    assert found["probe"].why == "no labels"
    assert over_seeds(each[:1])["frechet"].error == 0.1


ABLE = Method("", "", encodes=True, density=True)
BLIND = Method("", "", encodes=False, density=False)


def entry(name: str, method: Method = ABLE, **numbers: Number) -> Entry:
    return Entry(name, method, dict(numbers), {0: dict(numbers)})


def test_who_is_best_within_chance_is_named_and_who_is_next() -> None:
    entries = [
        entry("a", frechet=Number(10.0, 1.0), probe=Number(0.9, 0.01)),
        entry("b", frechet=Number(12.0, 1.0), probe=Number(0.8, 0.01)),
        entry("c", BLIND, frechet=Number(20.0, 1.0), probe=Number(None, None, "no encoder")),
    ]
    found = {one.measure: one for one in uses(entries)}
    assert list(found["frechet"].best) == ["a", "b"]  # 2 apart, and √2 is the error of the difference
    assert found["frechet"].next is not None
    assert found["frechet"].next[0] == "c"
    assert list(found["probe"].best) == ["a"]
    assert sentence(found["probe"]) == (
        "For this data, use a when codes are to serve another task, such as telling labels (linear probe 0.90; next b 0.80)."
    )
    told = verdict(entries, list(found.values()), "3 epochs each")
    assert told[0].title == "If it is to be one model: a"
    assert [remark.title for remark in told if remark.level == "notice"] == ["Not the best at anything: c"]


def test_sharpness_is_best_near_one_and_noise_has_no_claim_to_it() -> None:
    entries = [
        entry("noise", sharpness=Number(1.0, 0.001), precision=Number(0.0, 0.01)),
        entry("blurred", sharpness=Number(0.4, 0.01), precision=Number(0.8, 0.01)),
        entry("sharp", sharpness=Number(1.3, 0.01), precision=Number(0.7, 0.01)),
    ]
    (found,) = uses(entries)
    assert list(found.best) == ["sharp"]
    assert found.next is not None
    assert found.next[0] == "blurred"


def test_what_came_about_otherwise_is_not_ranked() -> None:
    searched = Number(0.01, 0.001, how="codes by optimization")
    entries = [
        entry("gan", BLIND, error=searched),
        entry("a", error=Number(0.1, 0.001)),
        entry("b", error=Number(0.2, 0.001)),
    ]
    (found,) = uses(entries)
    assert list(found.best) == ["a"]


def test_the_bound_is_told_once_in_the_units_that_all_have() -> None:
    both = {"bits_per_dim": Number(3.0, 0.01), "bound": Number(-1500.0, 5.0)}
    other = {"bits_per_dim": Number(4.0, 0.01), "bound": Number(-2000.0, 5.0)}
    assert [one.measure for one in uses([entry("a", **both), entry("b", **other)])] == ["bits_per_dim"]


def test_faults_are_told_beside_the_best() -> None:
    entries = [
        entry("full", coverage=Number(0.8, 0.01), nearer_training=Number(0.7, 0.02), training=Number(10.0)),
        entry("poor", BLIND, coverage=Number(0.3, 0.01), nearer_training=Number(0.7, 0.2), training=Number(30.0)),
    ]
    failed = Entry("lost", None, {}, {}, {1: "the loss was not finite"})
    told = verdict([*entries, failed], uses(entries), "3 epochs each")
    titles = [remark.title for remark in told]
    assert titles[0] == "lost, seed 1: not trained"
    assert "poor leaves kinds of pictures out" in titles
    assert "full leans to its training pictures" in titles
    assert "poor leans to its training pictures" not in titles  # within chance of ½
    assert told[-1].text == "poor took 30 s, full 10 s, by a budget of 3 epochs each."


def test_no_model_is_named_for_samples_that_are_nothing_like_the_data() -> None:
    """Fréchet distances of noise differ, too: the best of them is no advice."""
    entries = [
        entry("a", coverage=Number(0.04, 0.01), frechet=Number(122.0, 1.0), error=Number(0.1, 0.001)),
        entry("b", coverage=Number(0.01, 0.01), frechet=Number(139.0, 1.0), error=Number(0.2, 0.001)),
    ]
    far, near = ({"holdout": {"coverage": Number(share, 0.02)}} for share in (0.52, 0.15))
    assert [one.measure for one in uses(entries, far)] == ["error"]
    titles = [remark.title for remark in verdict(entries, uses(entries, far), "2 epochs each", far)]
    assert titles == [
        "If it is to be one model: a",
        "Not the best at anything: b",
        "No model's samples look like the data",
    ]
    assert [one.measure for one in uses(entries, near)] == ["frechet", "coverage", "error"]
    titles = [remark.title for remark in verdict(entries, uses(entries, near), "2 epochs each", near)]
    assert titles[-1] == "b leaves kinds of pictures out"


def test_what_was_refused_for_all_seeds_is_told_once() -> None:
    lost = Entry("gan", None, {}, {}, {0: "no gradient", 1: "no gradient", 2: "the loss was not finite"})
    told = [(remark.title, remark.text) for remark in verdict([lost], [], "3 epochs each")]
    assert told == [
        ("gan, seeds 0, 1: not trained", "no gradient"),
        ("gan, seed 2: not trained", "the loss was not finite"),
    ]


def test_a_model_with_a_network_of_its_own_is_named() -> None:
    small, large = ({"network": {"type": "Mlp", "width": width}} for width in (8, 16))
    entries = [Entry(name, ABLE, {}, {0: {}}, spec=spec) for name, spec in (("a", small), ("b", large), ("c", small))]
    assert [remark.title for remark in verdict(entries, [], "3 epochs each")] == ["Other networks than the rest: b"]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (Number(30.26, 1.4), "30 ± 1"),
        (Number(0.1934, 0.0010), "0.193 ± 0.001"),
        (Number(431826, None), "431,826"),
        (Number(5.153, None), "5.15"),
    ],
)
def test_numbers_have_as_many_digits_as_their_error_allows(number: Number, shown: str) -> None:
    assert with_error(number) == shown
