"""How far a global threshold is off, in shares of the examples, against epsilon: 10 clients, 18 rounds that tell.

Command: python benchmarks/private_thresholds.py

Maps are simulated: examples that are learned sooner or later over 8 epochs, other ones for every seed. Prints the mean
over 20 seeds of abs(kept share - asked share) in percent of the examples, with a 95 % t interval, for "33% ambiguous"
and for the largest error of the parts of "20% ambiguous + 10% hard-to-learn + 30% easy-to-learn"; each client's
histogram with the whole noise (open), and by secure aggregation (the noise of the sum of all 10).
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trainmap.federated import Privacy
from trainmap.federated.global_thresholds import Thresholds, thresholds
from trainmap.federated.histograms import SHAPE, histogram
from trainmap.federated.privacy import noised, share, variance
from trainmap.federated.secure_sum import enough
from trainmap.selection import parse

CLIENTS, RELEASES = 10, 18
ONE, THREE = "33% ambiguous", "20% ambiguous + 10% hard-to-learn + 30% easy-to-learn"
Array = NDArray[Any]


def maps(examples: int, seed: int) -> tuple[Array, Array]:
    """Confidence and variability of examples, each (examples,)."""
    generator = np.random.default_rng(seed)
    logits = (
        generator.normal(1, 2, examples) + 0.7 * np.arange(8)[:, None] + generator.normal(0, 0.7, (8, examples)) - 2
    )
    p_gold = 1 / (1 + np.exp(-logits))
    return p_gold.mean(0), p_gold.std(0)


def told(confidence: Array, variability: Array, privacy: Privacy | None, seed: int) -> Array:
    """The sum of the clients' histograms as the server has it."""
    total, source = np.zeros(SHAPE, np.int64), random.Random(seed)
    for part in np.array_split(np.random.default_rng(seed).permutation(len(confidence)), CLIENTS):
        counts = histogram(confidence[part], variability[part])
        if privacy is not None:
            whole = variance(privacy, RELEASES)
            counts = noised(counts, share(whole, enough(CLIENTS)) if privacy.secure else whole, source)
        total += counts
    return total


def off(found: Thresholds | None, confidence: Array, variability: Array, shares: list[float]) -> float:
    """The largest error of the parts, each of what the parts before it left."""
    if found is None:
        return max(shares)
    left, worst = np.ones(len(confidence), bool), 0.0
    for cut, wanted in zip(found.cuts, shares, strict=True):
        values = confidence if cut.score == "confidence" else variability
        taken = left & (values >= cut.at if cut.side == "high" else values <= cut.at)
        left, worst = left & ~taken, max(worst, abs(float(taken.mean()) - wanted))
    return worst


def main(seeds: int = 20) -> None:
    print("examples  epsilon  histograms  " + "  ".join(f"{spec!r}" for spec in (ONE, THREE)))
    for examples in (1_500, 50_000):
        for privacy in (
            None,
            *(Privacy(epsilon, 1e-5, secure) for secure in (False, True) for epsilon in (8, 4, 1, 0.3)),
        ):
            cells = []
            for spec in (ONE, THREE):
                plan, errors = parse(spec), []
                for seed in range(seeds):
                    confidence, variability = maps(examples, seed)
                    found = thresholds(told(confidence, variability, privacy, seed), plan)
                    shares = [float(part.percent or 0) / 100 for part in plan.parts]
                    errors.append(100 * off(found, confidence, variability, shares))
                half = stats.t.ppf(0.975, seeds - 1) * np.std(errors, ddof=1) / np.sqrt(seeds)
                cells.append(f"{np.mean(errors):5.2f} ± {half:4.2f}")
            how = "exact" if privacy is None else "secure" if privacy.secure else "open"
            print(
                f"{examples:8d}  {'none' if privacy is None else privacy.epsilon:>7}  {how:>10}  {'  '.join(cells)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
