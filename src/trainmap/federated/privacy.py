"""How much noise clients' histograms need, and what they have told so far: the Gaussian mechanism, accounted.

One example more or less changes one count of one histogram by 1: the L2 sensitivity of a histogram is 1. A client tells
one in every round in which thresholds are made (``Federation.tells``), T in the whole run, known before it. The noise
multiplier is the smallest with which T Gaussian mechanisms together are (epsilon, delta) by the Renyi accountant of
dp-accounting; it depends on nothing that is seen.

Each client noises its own histogram, before it leaves it. Without secure aggregation the server sees each of them, so
each has the whole noise. With it the server sees the sum alone, which can be opened when so many clients as the
protocol's threshold answer; each adds that share of the variance, so that the least that can be opened has the whole
noise. A share has a variance of ``LEAST`` at least: sums of discrete Gaussians are then one, but for 1e-15 (Kairouz,
Liu, Steinke 2021, arXiv:2102.06387, theorem 1).
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.federated.discrete_noise import discrete_gaussian
from trainmap.federated.federation import Privacy

Array = NDArray[Any]
Randomness = Literal["system", "seed"]
SENSITIVITY = 1.0
"""L2, of one histogram, between data with and without one example."""
LEAST = Fraction(4)
_GRID = 1024
"""Variances are whole multiples of 1 / this, rounded up."""


def multiplier(privacy: Privacy, releases: int) -> float:
    """The standard deviation of the noise over the sensitivity with which so many histograms are (epsilon, delta).

    Raises:
        TrainmapError: none in reach, as for an epsilon of 1e-9.
    """
    return _multiplier(privacy.epsilon, privacy.delta, releases)


@cache
def _multiplier(epsilon: float, delta: float, releases: int) -> float:
    import dp_accounting  # takes a second, which a federation without privacy need not wait for
    from dp_accounting import mechanism_calibration, rdp

    def made(value: float) -> dp_accounting.DpEvent:
        return dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(value), releases)

    bracket = dp_accounting.LowerEndpointAndGuess(0.0, math.sqrt(releases) / epsilon + 1)
    try:
        return float(dp_accounting.calibrate_dp_mechanism(rdp.RdpAccountant, made, epsilon, delta, bracket))
    except (mechanism_calibration.NoBracketIntervalFoundError, OverflowError):
        raise TrainmapError(
            f"no noise makes {releases} histograms ({epsilon}, {delta})-private; ask for more"
        ) from None


def variance(privacy: Privacy, releases: int) -> Fraction:
    """Of the noise on each count that the server sees, rounded up to ``_GRID``."""
    return Fraction(math.ceil((SENSITIVITY * multiplier(privacy, releases)) ** 2 * _GRID), _GRID)


def share(whole: Fraction, clients: int) -> Fraction:
    """Of the noise that each client adds where a sum of at least so many clients is opened."""
    return max(whole / clients, LEAST)


def spent(privacy: Privacy, releases: int, told: int) -> float:
    """Epsilon, at the privacy's delta, of the histograms that were told so far, of the ``releases`` that were planned.

    With secure aggregation: of the least sum that can be opened; more clients make it less.
    """
    import dp_accounting
    from dp_accounting import rdp

    if not told:
        return 0.0
    accountant = rdp.RdpAccountant()
    accountant.compose(dp_accounting.GaussianDpEvent(math.sqrt(variance(privacy, releases)) / SENSITIVITY), told)
    return float(accountant.get_epsilon(privacy.delta))


def randomness(kind: Randomness, seed: int, number: int, round_number: int) -> random.Random:
    """Where a client's noise of a round comes from.

    Args:
        kind: ``system``, the operating system's; ``seed``, so that a simulation repeats: whoever knows the federation's
            seed, and the server does, can take that noise away again. A real node must not use it.
        seed: of the federation.
        number: of the client.
    """
    if kind == "system":
        return random.SystemRandom()
    words = np.random.SeedSequence([seed, number, round_number, 0x9015E]).generate_state(4)
    return random.Random(int.from_bytes(words.tobytes(), "little"))


def noised(counts: Array, whole: Fraction, source: random.Random) -> Array:
    """A histogram with discrete Gaussian noise of this variance on every count, int64; counts may fall below 0."""
    return counts + discrete_gaussian(whole, counts.size, source).reshape(counts.shape)
