"""``RepeatedAuto``: fresh draws by a map, the same for the same seed and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trainmap as tm
from trainmap.dynamics.index import rising
from trainmap.schedules.repeated_auto import RepeatedAuto
from trainmap.schedules.repeated_random import DisjointRandom
from trainmap.schedules.samplers import ScheduleSampler


@pytest.fixture
def a_map(make_map: Any) -> tm.DataMap:
    """A tenth is contradicted at first and learned like the others; the later half of the ids varies most."""
    n = 2000
    aum = np.where(np.arange(n) % 10 == 0, -1.0, 1.0)
    columns = {"aum": aum, "correctness": np.full(n, 5.0), "slope": np.full(n, 0.03)}
    variability = np.where(np.arange(n) >= n // 2, 0.4, 0.01) + np.random.default_rng(0).random(n) / 100
    return make_map(n, variability=variability, confidence=1 - variability, **columns)


def test_every_epoch_visits_others_and_prefers_the_ambiguous(a_map: tm.DataMap) -> None:
    schedule = RepeatedAuto(a_map, 600, seed=3, held_out=0.95)
    epochs = [schedule.plan(epoch).ids for epoch in range(12)]
    assert {len(np.unique(ids)) for ids in epochs} == {600}
    assert len({ids.tobytes() for ids in epochs}) == 12
    assert all((np.diff(ids) > 0).all() for ids in epochs)
    seen, counts = np.unique(np.concatenate(epochs), return_counts=True)
    later = seen >= 1000
    assert counts[later].mean() > 1.5 * counts[~later].mean()
    assert later.sum() > 950
    assert (~later).sum() > len(tm.select_by(a_map, "auto", 600, seed=3, held_out=0.95).ids) / 2


def test_a_draw_depends_on_seed_and_epoch_alone(a_map: tm.DataMap) -> None:
    one, other = RepeatedAuto(a_map, 600, seed=3, held_out=0.95), RepeatedAuto(a_map, 600, seed=3, held_out=0.95)
    one.plan(0)
    np.testing.assert_array_equal(one.plan(5).ids, other.plan(5).ids)
    assert not np.array_equal(one.plan(5).ids, RepeatedAuto(a_map, 600, seed=4, held_out=0.95).plan(5).ids)
    other.restore(one.state())


def test_where_the_rule_knows_nothing_it_is_repeated_random_of_the_same_seed(a_map: tm.DataMap) -> None:
    schedule, random = RepeatedAuto(a_map, 600, seed=3), DisjointRandom(a_map.ids, 600, seed=3)
    assert (schedule.advice.tilt, schedule.advice.cut) == (0, 0)
    for epoch in range(5):
        np.testing.assert_array_equal(schedule.plan(epoch).ids, random.plan(epoch).ids)


def test_what_it_prefers_comes_more_often_and_evenly_over_the_epochs(a_map: tm.DataMap) -> None:
    schedule = RepeatedAuto(a_map, 600, seed=3, held_out=0.95)
    visits = np.zeros((20, 2000), np.int64)
    for epoch in range(20):
        visits[epoch, schedule.plan(epoch).ids] = 1
    counts = visits.sum(axis=0)
    assert counts[1000:].mean() > 1.5 * counts[:1000].mean()
    halves = visits[:10].sum(axis=0), visits[10:].sum(axis=0)
    assert np.abs(halves[0] - halves[1]).max() <= 2
    assert (visits.sum(axis=1) == 600).all()


def test_it_is_advised_not_to_tilt_as_much_as_for_a_fixed_subset(a_map: tm.DataMap) -> None:
    fixed, repeated = (tm.advise(a_map, 600, held_out=0.95, repeated=again) for again in (False, True))
    assert (fixed.tilt, repeated.tilt) == (8.0, 4.0)
    assert repeated.reason.startswith("Visit 600 of 2,000 examples (30.0%) in an epoch, the classes in proportion.")
    assert (
        "spread over the epochs, the most ambiguous examples 55 times as often visited as the least" in repeated.reason
    )
    assert RepeatedAuto(a_map, 600, held_out=0.95).advice == repeated


def test_what_is_cut_or_left_out_is_never_visited_and_classes_are_dealt_out_as_asked(a_map: tm.DataMap) -> None:
    schedule = RepeatedAuto(a_map, 400, held_out=0.95, balance="equal", without=np.arange(100))
    for epoch in range(3):
        ids = schedule.plan(epoch).ids
        assert ids.min() >= 100
        assert np.bincount(a_map.labels[ids]).tolist() == [100] * 4
    wrong = RepeatedAuto(a_map, 400, noise=0.1)
    worst = a_map.ids[rising(a_map.values("aum"), a_map.ids)[: wrong.advice.cut]]
    assert not np.isin(np.concatenate([wrong.plan(epoch).ids for epoch in range(5)]), worst).any()


def test_a_sampler_takes_it(a_map: tm.DataMap) -> None:
    sampler = ScheduleSampler(RepeatedAuto(a_map, 400, held_out=0.95), a_map.ids)
    loader = torch.utils.data.DataLoader(a_map.ids, batch_size=100, sampler=sampler)  # pyright: ignore[reportArgumentType]
    passes = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        passes.append(sorted(torch.cat(list(loader)).tolist()))
    assert [len(ids) for ids in passes] == [400, 400]
    assert passes[0] != passes[1]


@pytest.mark.parametrize(
    ("size", "message"), [(0, "must be 1 to 2000"), (2001, "must be 1 to 2000"), (2.5, "whole number")]
)
def test_sizes_that_cannot_be_are_refused(a_map: tm.DataMap, size: Any, message: str) -> None:
    with pytest.raises(tm.TrainmapError, match=message):
        RepeatedAuto(a_map, size)
