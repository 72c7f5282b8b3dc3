"""Elementary functions of float64 arrays that give the same bits on every machine.

IEEE 754 rounds +, −, ×, ÷ and √ of two numbers in one way alone; libraries' exp and erf differ by their last digits, and so do
sums whose order is left to them. Here is nothing but those five, each in a call of its own so that no compiler can fuse two,
beside comparisons, floor and scaling by powers of two. Relative errors stay below 1e-13; results below 1e-307 are nought.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reals = NDArray[np.float64]

LN2 = 0.6931471805599453
LN2_HIGH = 6.93147180369123816490e-01  # of 21 bits fewer, so that its products with exponents are exact
LN2_LOW = 1.90821492927058770002e-10
LEAST, MOST = -708.0, 709.0  # exponents of what is no denormal number, and of what is finite
ROOT_HALF = 0.7071067811865476
ROOT_TWO_PI = 2.5066282746310002
TWO_BY_ROOT_PI = 1.1283791670955126
PI = 3.141592653589793
BETWEEN = 1.5  # where the series of erf makes way for the sum that gives erfc
STEP = 0.5  # of that sum: its error is e^{−(π/½)²}
TERMS = 14


def exp(x: ArrayLike) -> Reals:
    """eˣ; nought below −708, and the value at 709 above it."""
    x = np.asarray(x, np.float64)
    within = np.minimum(np.maximum(x, LEAST), MOST)
    power = np.floor(within / LN2 + 0.5)
    rest = within - power * LN2_HIGH - power * LN2_LOW
    return np.where(x < LEAST, 0.0, _scaled(_series(rest, 14) * rest + 1.0, power))


def expm1(x: ArrayLike) -> Reals:
    """eˣ − 1, near nought too."""
    x = np.asarray(x, np.float64)
    near = np.minimum(np.maximum(x, -0.4), 0.4)
    return np.where(np.abs(x) < 0.4, _series(near, 15) * near, exp(x) - 1.0)


def log(x: ArrayLike) -> Reals:
    """The natural logarithm of positive numbers."""
    fraction, exponent = np.frexp(np.asarray(x, np.float64))
    below = fraction < ROOT_HALF
    fraction = np.where(below, fraction * 2.0, fraction)
    power = exponent.astype(np.float64) - below
    s = (fraction - 1.0) / (fraction + 1.0)
    square = s * s
    series = np.full_like(s, 1 / 25)
    for odd in range(23, 0, -2):
        series = series * square + 1.0 / odd
    return np.asarray(power * LN2_HIGH + (power * LN2_LOW + series * (s + s)))


def log1p(x: ArrayLike) -> Reals:
    """log(1 + x), near nought too."""
    x = np.asarray(x, np.float64)
    whole = x + 1.0
    apart = np.where(whole == 1.0, 1.0, whole - 1.0)
    return np.where(whole == 1.0, x, log(whole) * (x / apart))


def sigmoid(x: ArrayLike) -> Reals:
    """1 / (1 + e⁻ˣ)."""
    x = np.asarray(x, np.float64)
    small = exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (small + 1.0)


def softplus(x: ArrayLike) -> Reals:
    """log(1 + eˣ)."""
    x = np.asarray(x, np.float64)
    return np.asarray(np.maximum(x, 0.0) + log1p(exp(-np.abs(x))))


def tanh(x: ArrayLike) -> Reals:
    """The hyperbolic tangent."""
    x = np.asarray(x, np.float64)
    less = expm1(-2.0 * np.abs(x))
    size = -less / (less + 2.0)
    return np.where(x < 0, -size, size)


def erf(x: ArrayLike) -> Reals:
    """2/√π ∫₀ˣ e^{−t²} dt."""
    x = np.asarray(x, np.float64)
    size = np.abs(x)
    near = _erf_series(np.minimum(size, BETWEEN)) * _gauss(np.minimum(size, BETWEEN))
    positive = np.where(size < BETWEEN, near, 1.0 - _erfcx(size) * _gauss(size))
    return np.where(x < 0, -positive, positive)


def normal_cdf(x: ArrayLike) -> Reals:
    """Φ(x), to the same relative precision in the lower tail."""
    x = np.asarray(x, np.float64)
    size = np.abs(x)
    bell = normal_density(size) * ROOT_TWO_PI
    y = size * ROOT_HALF
    half = 0.5 * _erf_series(np.minimum(y, BETWEEN)) * bell
    tail = np.where(y < BETWEEN, 0.5 - half, 0.5 * _erfcx(y) * bell)
    return np.where(x < 0, tail, 1.0 - tail)


def normal_density(x: ArrayLike) -> Reals:
    """e^{−x²/2} / √(2π)."""
    size = np.minimum(np.abs(np.asarray(x, np.float64)), 100.0)
    coarse = np.floor(size * 16.0) / 16.0  # its square is exact
    return np.asarray(exp(coarse * coarse * -0.5) * exp((size - coarse) * (size + coarse) * -0.5) / ROOT_TWO_PI)


def normal_quantile(p: ArrayLike) -> Reals:
    """Φ⁻¹(p) for 0 < p < 1, by Halley's steps from Hastings' approximation. Abramowitz & Stegun, 1964, 26.2.22."""
    p = np.asarray(p, np.float64)
    tail = np.minimum(p, 1.0 - p)
    t = np.sqrt(log(tail) * -2.0)
    x = t - (t * 0.27061 + 2.30753) / ((t * 0.04481 + 0.99229) * t + 1.0)
    for _ in range(3):
        off = (normal_cdf(-x) - tail) / normal_density(x)
        x = x + off / (off * x * 0.5 + 1.0)
    return np.where(p < 0.5, -x, x)


def silu(x: ArrayLike) -> Reals:
    """x σ(x). Elfwing et al., 2018."""
    return np.asarray(np.asarray(x, np.float64) * sigmoid(x))


def gelu(x: ArrayLike) -> Reals:
    """x Φ(x). Hendrycks & Gimpel, 2016."""
    return np.asarray(np.asarray(x, np.float64) * normal_cdf(x))


def _series(x: Reals, terms: int) -> Reals:
    """(eˣ − 1) / x = 1 + x/2 + x²/6 + …"""
    series = np.ones_like(x)
    for n in range(terms, 1, -1):
        series = series * (x / n) + 1.0
    return series


def _scaled(x: Reals, power: Reals) -> Reals:
    """x 2^power: a number of exponent `power` is made by its bits."""
    half = np.floor(power * 0.5)  # in two, for 2^1024 is no number
    for part in (half, power - half):
        x = x * ((part.astype(np.int64) + 1023) << 52).view(np.float64)
    return x


def _gauss(x: Reals) -> Reals:
    """e^{−x²} of x ≥ 0."""
    x = np.minimum(x, 100.0)
    coarse = np.floor(x * 16.0) / 16.0
    return np.asarray(exp(-(coarse * coarse)) * exp((coarse - x) * (x + coarse)))


def _erf_series(x: Reals) -> Reals:
    """erf(x) e^{x²} = 2/√π Σ 2ⁿ x^{2n+1} / (2n+1)!!, of 0 ≤ x ≤ 1.5: all terms are positive."""
    double = x * x * 2.0
    series = np.ones_like(x)
    for n in range(35, 0, -1):
        series = series * (double / (2 * n + 1)) + 1.0
    return np.asarray(series * x * TWO_BY_ROOT_PI)


def _erfcx(x: Reals) -> Reals:
    """erfc(x) e^{x²} of x ≥ 1.5 by the trapezoidal rule, h = ½: (hx/π) Σ_k e^{−k²h²} / (x² + k²h²), less a pole's share.

    Matta & Reichel, Uniform computation of the error function and other related functions, 1971.
    """
    x = np.maximum(x, BETWEEN)
    square = x * x
    total = np.zeros_like(x)
    for k in range(TERMS, 0, -1):
        place = STEP * STEP * k * k
        total = total + exp(-place) / (square + place)
    whole = (total * 2.0 + 1.0 / square) * x * (STEP / PI)
    near = np.minimum(x, PI / STEP)
    pole = exp(near * near - near * (2.0 * PI / STEP)) * 2.0 / (1.0 - exp(near * (-2.0 * PI / STEP)))
    return np.where(x < PI / STEP, whole - pole, whole)
