"""How fast a curriculum grows: the published functions, held against the published code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmap.schedules import PACINGS
from trainmap.schedules.pacing import Pacing, paced

STEPS = (0, 10, 25, 39, 60, 79, 90)
# Of 10,000 examples at these of 100 steps, a = 0.8, b = 0.2 and a = 1.6, b = 0.0025, by get_pacing_function of
# google-research/understanding-curricula, which cuts to whole numbers.
PUBLISHED: dict[Pacing, tuple[list[int], list[int]]] = {
    "linear": ([2000, 3000, 4500, 5900, 8000, 9900, 10000], [25, 648, 1583, 2456, 3765, 4950, 5635]),
    "quadratic": ([2000, 2125, 2781, 3901, 6500, 9801, 10000], [25, 63, 268, 617, 1427, 2456, 3181]),
    "root": ([2000, 4828, 6472, 7585, 8928, 9949, 10000], [25, 2518, 3967, 4949, 6133, 7034, 7506]),
    "step": ([2000, 2000, 2000, 2000, 2000, 2000, 10000], [25, 25, 25, 25, 25, 25, 25]),
    "exponential": ([2000, 2000, 2007, 2047, 2656, 9059, 10000], [25, 25, 26, 29, 43, 87, 150]),
    "log": ([2000, 8336, 9069, 9425, 9769, 9989, 10000], [25, 7235, 8148, 8592, 9021, 9296, 9426]),
}


def test_every_pacing_is_held_against_the_published_code() -> None:
    assert set(PUBLISHED) == set(PACINGS)


@pytest.mark.parametrize("pacing", PACINGS)
def test_the_share_is_that_of_the_published_code(pacing: Pacing) -> None:
    for (start, until), published in zip(((0.2, 0.8), (0.0025, 1.6)), PUBLISHED[pacing], strict=True):
        ours = [10_000 * paced(pacing, step / 100, start, until) for step in STEPS]
        assert all(theirs - 1e-6 <= own < theirs + 1 + 1e-6 for own, theirs in zip(ours, published, strict=True))


@given(
    st.sampled_from(list(PACINGS)),
    st.floats(0, 1e-3) | st.floats(0, 2),
    st.floats(0, 2),
    st.floats(1e-300, 1),
    st.floats(1e-9, 2),
)
def test_the_share_never_falls_and_stays_between_its_ends(
    pacing: Pacing, done: float, more: float, start: float, until: float
) -> None:
    first, later = paced(pacing, done, start, until), paced(pacing, done + more, start, until)
    assert start <= first <= later <= 1
    assert paced(pacing, 0, start, until) == pytest.approx(start)
    assert paced(pacing, until, start, until) == 1
