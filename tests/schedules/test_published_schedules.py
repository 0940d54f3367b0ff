"""SeTa, RePB, AlignPrune: by hand on tiny data, and what their papers promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from trainmap.errors import TrainmapError
from trainmap.schedules import AlignPrune, InfoBatch, RePB, SeTa
from trainmap.schedules.align_prune import alignment
from trainmap.schedules.seta import line_groups


def logits_of(losses: Any) -> np.ndarray:
    """(n, 2) whose cross entropy with class 0 is what is asked for: -log softmax(z)[0] = log(1 + e^(z_1 - z_0))."""
    return np.stack([np.zeros(len(losses)), np.log(np.expm1(np.asarray(losses, float)))], axis=1)


def step(schedule: Any, ids: Any, losses: Any) -> None:
    schedule.update(np.asarray(ids), logits_of(losses), np.zeros(len(losses), int))


# ---- SeTa


def test_seta_by_hand() -> None:
    schedule = SeTa(np.arange(8), epochs=8, ratio=0.0, groups=4, window=0.5, anneal=0.75)
    assert schedule.plan(0).ids.tolist() == list(range(8))
    step(schedule, range(8), [9, 9.1, 0.1, 0.2, 3, 3.1, 6, 6.1])  # four groups of two: (2, 3), (4, 5), (6, 7), (0, 1)
    schedule.end_epoch()
    # w = 2 of 4 groups: the window starts at epoch mod 3
    assert schedule.plan(1).ids.tolist() == [4, 5, 6, 7]
    assert schedule.plan(2).ids.tolist() == [0, 1, 6, 7]
    assert schedule.plan(3).ids.tolist() == [2, 3, 4, 5]
    assert schedule.plan(4).ids.tolist() == [4, 5, 6, 7]
    assert schedule.plan(6).ids.tolist() == list(range(8))  # annealing
    assert schedule.plan(1).weights is None


def test_seta_leaves_a_share_out_at_random_in_every_epoch() -> None:
    schedule = SeTa(np.arange(100), epochs=8, ratio=0.3, groups=1)
    visited = []
    for epoch in range(8):
        ids = schedule.plan(epoch).ids
        visited.append(set(ids.tolist()))
        step(schedule, ids, np.linspace(1, 2, len(ids)))
        schedule.end_epoch()
    assert {len(ids) for ids in visited} == {70}
    assert len(set.union(*visited)) == 100


def test_seta_takes_what_it_has_not_seen_for_the_hardest() -> None:
    schedule = SeTa(np.arange(6), epochs=8, ratio=0.0, groups=2, window=0.5)
    step(schedule, range(5), [0.1, 0.1, 0.2, 5, 5])
    schedule.end_epoch()
    assert schedule.plan(2).ids.tolist() == [0, 1, 2]
    assert schedule.plan(1).ids.tolist() == [3, 4, 5]


def test_losses_that_are_all_the_same_make_groups_of_the_same_size() -> None:
    schedule = SeTa(np.arange(100), epochs=8, ratio=0.0, groups=5, window=0.4)
    step(schedule, range(100), np.ones(100))
    schedule.end_epoch()
    parts = [set(schedule.plan(epoch).ids.tolist()) for epoch in (4, 1, 2, 3)]
    assert [len(part) for part in parts] == [40] * 4
    assert set.union(*parts) == set(range(100))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 20, width=32), min_size=1, max_size=60), st.integers(1, 8))
def test_groups_of_a_line_follow_its_order_and_have_no_gap(values: list[float], count: int) -> None:
    numbers = np.array(values, float)
    group = line_groups(numbers, min(count, len(numbers)))
    assert sorted(set(group.tolist())) == list(range(group.max() + 1))
    assert (np.diff(group[np.argsort(numbers, kind="stable")]) >= 0).all()
    assert all(len(set(group[numbers == value].tolist())) == 1 for value in values)


def test_groups_of_a_line_are_those_of_kmeans() -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(centre, 0.2, 80) for centre in (0, 3, 5, 9)])
    found = KMeans(4, n_init=20, random_state=0).fit(values[:, None])  # pyright: ignore[reportArgumentType]
    order = np.argsort(np.argsort(found.cluster_centers_[:, 0]))
    np.testing.assert_array_equal(line_groups(values, 4), order[found.labels_])


# ---- RePB


def test_repb_compares_within_a_batch_alone() -> None:
    schedule = RePB(np.arange(6), ratio=0.999999)  # what is below the mean goes, whatever is drawn
    step(schedule, [0, 1, 2], [1, 1, 4])  # mean 2
    step(schedule, [3, 4, 5], [10, 10, 40])  # mean 20: 3 and 4 are easier here than 5, and harder than all above
    schedule.end_epoch()
    assert schedule.plan(1).ids.tolist() == [2, 5]


def test_repb_compares_over_a_window_of_batches() -> None:
    schedule = RePB(np.arange(5), ratio=0.999999, batches=2)
    step(schedule, [0, 1], [1, 2])
    step(schedule, [2, 3], [9, 8])  # mean of the four: 5
    step(schedule, [4], [1])  # what is left is a window of its own
    schedule.end_epoch()
    assert schedule.plan(1).ids.tolist() == [2, 3, 4]


def test_repb_weighs_by_how_rarely_an_example_was_visited() -> None:
    schedule = RePB(np.arange(4), ratio=0.0)
    for visited in ([0, 1, 2, 3], [0, 1], [0, 2]):
        step(schedule, visited, np.ones(len(visited)))
        schedule.end_epoch()
    visit = schedule.plan(3)
    assert visit.ids.tolist() == [0, 1, 2, 3]  # ratio 0: whatever was left out comes back
    assert visit.weights_of([0, 1, 2, 3]).tolist() == [1.0, 1.5, 1.5, 3.0]


def test_the_easy_of_repb_are_visited_as_often_as_the_ratio_leaves() -> None:
    n, epochs = 400, 60
    schedule, hard = RePB(np.arange(n), ratio=0.7, seed=1), np.arange(n) % 4 == 0
    counts, weighed = np.zeros(n), np.zeros(n)
    for epoch in range(epochs):
        visit = schedule.plan(epoch)
        counts[visit.ids] += 1
        weighed[visit.ids] += visit.weights_of(visit.ids)
        for part in np.array_split(np.random.default_rng(epoch).permutation(visit.ids), 5):
            step(schedule, part, np.where(hard[part], 3.0, 0.5))
        schedule.end_epoch()
    assert (counts[hard] == epochs).all()
    assert counts[~hard].mean() / epochs == pytest.approx(0.3, abs=0.02)
    # over time every example counts about as much as in full training
    assert weighed[~hard].mean() / epochs == pytest.approx(1, abs=0.1)


def test_what_repb_never_saw_is_visited_next() -> None:
    schedule = RePB(np.arange(5), ratio=0.999999)
    step(schedule, [0, 1, 2], [1, 1, 4])
    schedule.end_epoch()
    visit = schedule.plan(1)
    assert visit.ids.tolist() == [2, 3, 4]
    assert visit.weights_of([3]).tolist() == [1.0]


# ---- AlignPrune


def test_alignment_is_the_correlation_with_what_is_clean() -> None:
    generator = np.random.default_rng(0)
    losses, clean = generator.normal(size=(20, 6)), generator.normal(size=6)
    expected = [np.corrcoef(row, clean)[0, 1] for row in losses]
    np.testing.assert_allclose(alignment(losses, clean), expected, atol=1e-12)
    assert alignment(np.ones((1, 3)), np.arange(3.0)).tolist() == [0.0]
    assert alignment(np.array([[3.0, 2, 1]]), np.ones(3)).tolist() == [0.0]


def test_align_prune_by_hand() -> None:
    schedule = AlignPrune(np.arange(4), epochs=20, ratio=0.999999, span=3, clean=[0])
    for losses in ([3, 6, 1, 2], [2, 4, 2, 2], [1, 2, 3, 2]):  # 1 falls as 0 does, 2 rises, 3 stays
        step(schedule, range(4), losses)
        schedule.end_epoch()
    assert schedule.scores() == pytest.approx([1, 1, -1, 0])  # mean 0.25: 2 and 3 lie below, one of them is kept
    visit = schedule.plan(3)
    assert {0, 1} < set(visit.ids.tolist())
    assert sorted(visit.weights_of(visit.ids).tolist()) == [1, 1, 2]


def test_align_prune_is_infobatch_until_it_has_seen_enough() -> None:
    ours, theirs = AlignPrune(np.arange(40), epochs=20, span=3), InfoBatch(np.arange(40), epochs=20)
    for epoch in range(3):
        assert ours.plan(epoch).ids.tolist() == theirs.plan(epoch).ids.tolist()
        for schedule in (ours, theirs):
            step(schedule, range(40), np.random.default_rng(epoch).uniform(0.1, 3, 40))
            schedule.end_epoch()
    assert ours.plan(3).ids.tolist() != theirs.plan(3).ids.tolist()


def test_align_prune_finds_exchanged_labels_without_clean_ones() -> None:
    n, generator = 400, np.random.default_rng(0)
    wrong = np.arange(n) % 5 == 0
    schedule = AlignPrune(np.arange(n), epochs=20, span=6)
    for epoch in range(6):
        falling = 2 * math.exp(-epoch / 2) + generator.uniform(0, 0.1, n)
        step(schedule, range(n), np.where(wrong, 2 + generator.uniform(-0.3, 0.3, n), falling))
        schedule.end_epoch()
    scores = schedule.scores()
    assert scores[~wrong].min() > 0.9
    assert np.median(scores[wrong]) < 0.5


def test_a_span_beyond_the_epochs_costs_nothing_and_is_never_reached() -> None:
    schedule = AlignPrune(np.arange(4), epochs=2, span=10**12)
    for losses in ([1, 2, 3, 4], [4, 3, 2, 1]):
        step(schedule, range(4), losses)
        schedule.end_epoch()
    assert schedule.scores() == pytest.approx([4, 3, 2, 1])


@pytest.mark.parametrize("clean", [[], [99]])
def test_clean_examples_must_be_there(clean: list[int]) -> None:
    with pytest.raises(TrainmapError, match=r"clean must name one|not among the schedule's examples"):
        AlignPrune(np.arange(4), epochs=8, clean=np.array(clean, int))
