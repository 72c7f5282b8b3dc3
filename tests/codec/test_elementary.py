"""Elementary functions are right to thirteen digits, and are the bits that IEEE 754 says they are."""

import hashlib
from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from lambent.codec.exact import elementary

rng = np.random.default_rng(0)
WIDE = rng.uniform(-30, 30, 300)
NEAR = np.concatenate((rng.normal(size=200), 1e-7 * rng.normal(size=50), [0.0]))
CASES: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "exp": (mpmath.exp, rng.uniform(-707, 708, 300)),
    "expm1": (mpmath.expm1, np.concatenate((NEAR, WIDE))),
    "log": (mpmath.log, np.concatenate((np.exp(rng.uniform(-300, 300, 200)), rng.uniform(0.5, 2, 200), [1.0]))),
    "log1p": (mpmath.log1p, np.concatenate((1e-7 * rng.normal(size=100), rng.uniform(-0.9, 3, 200)))),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), WIDE),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), WIDE),
    "tanh": (mpmath.tanh, np.concatenate((NEAR, WIDE))),
    "erf": (mpmath.erf, np.concatenate((NEAR, WIDE / 5))),
    "normal_cdf": (mpmath.ncdf, np.concatenate((NEAR, rng.uniform(-36, 9, 300)))),
    "normal_density": (mpmath.npdf, rng.uniform(-37, 37, 300)),
    "silu": (lambda x: x / (1 + mpmath.exp(-x)), WIDE),
    "gelu": (lambda x: x * mpmath.ncdf(x), WIDE),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_forty_digits(name: str) -> None:
    reference, x = CASES[name]
    with mpmath.workdps(40):
        wanted = np.array([float(reference(mpmath.mpf(float(value)))) for value in x])
    np.testing.assert_allclose(getattr(elementary, name)(x), wanted, rtol=1e-13, atol=1e-300)


def test_the_quantile_is_the_inverse_of_the_cumulative() -> None:
    # Φ⁻¹ of known probabilities: https://dlmf.nist.gov/7.17, and of the tail's by mpmath
    known = {0.975: 1.959963984540054, 0.5: 0.0, 1e-20: -9.262340089798408, 0.8413447460685429: 1.0}
    np.testing.assert_allclose(elementary.normal_quantile(list(known)), list(known.values()), rtol=1e-13, atol=1e-14)
    x = np.linspace(-30, 5, 401)
    np.testing.assert_allclose(elementary.normal_quantile(elementary.normal_cdf(x)), x, atol=1e-9)


def test_beyond_what_floats_hold_values_are_the_limits() -> None:
    assert elementary.exp([-800.0, -1e300]).tolist() == [0, 0]
    assert np.isfinite(elementary.exp(1e300))
    assert elementary.sigmoid([-1e5, 1e5]).tolist() == [0, 1]
    assert elementary.tanh([-1e5, 1e5]).tolist() == [-1, 1]
    assert elementary.normal_cdf([-1e5, 1e5]).tolist() == [0, 1]


def test_bits_are_the_same_whatever_the_length_and_the_stride() -> None:
    """Vector code and what is left over beside it must agree, as every machine's code must."""
    x = rng.uniform(-8, 8, 999)
    for name in ("exp", "tanh", "normal_cdf", "softplus", "gelu"):
        function = getattr(elementary, name)
        whole = function(x)
        assert all(float(function(value)) == each for value, each in zip(x, whole, strict=True))
        assert (function(x[::3]) == whole[::3]).all()


def test_bits_are_these() -> None:
    """What every machine must give."""
    x = np.arange(-4096, 4097) / 512
    found = hashlib.sha256()
    for name in ("exp", "expm1", "sigmoid", "softplus", "tanh", "erf", "normal_cdf", "normal_density", "silu", "gelu"):
        found.update(getattr(elementary, name)(x).astype("<f8").tobytes())
    found.update(elementary.log(x + 9).astype("<f8").tobytes())
    found.update(elementary.normal_quantile((np.arange(999) + 0.5) / 999).astype("<f8").tobytes())
    assert found.hexdigest() == "6bdfbeeb54a2cd27f4f33223e260ffb4324e4611511a47dbeea0be28a8422c96"
