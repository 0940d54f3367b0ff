from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.schedules import (
    SCHEDULES,
    AlignPrune,
    DisjointRandom,
    IndependentRandom,
    InfoBatch,
    MapGuided,
    Memory,
    OrderedLoss,
    RePB,
    RepeatedRandom,
    Run,
    SeTa,
    gold_loss,
)

N, C = 60, 4
IDS = np.arange(N) * 3 + 5
LABELS = np.arange(N) % C

Make = Callable[[Any], Any]
WITHOUT_A_MAP = {name for name, way in SCHEDULES.items() if not (way.reads_map or way.in_batches)}
FAMILY: dict[str, Make] = {
    "repeated-random": lambda ids: RepeatedRandom(ids, max(1, len(ids) // 4), seed=1),
    "repeated-random, replacement": lambda ids: RepeatedRandom(ids, max(1, len(ids) // 4), seed=1, replacement=True),
    "independent-random": lambda ids: IndependentRandom(ids, max(1, len(ids) // 4), seed=1),
    "disjoint-random": lambda ids: DisjointRandom(ids, max(1, len(ids) // 4), seed=1),
    "infobatch": lambda ids: InfoBatch(ids, epochs=8, seed=1),
    "seta": lambda ids: SeTa(ids, epochs=8, seed=1),
    "repb": lambda ids: RePB(ids, seed=1),
    "repb, windows of two": lambda ids: RePB(ids, batches=2, seed=1),
    "align-prune": lambda ids: AlignPrune(ids, epochs=8, span=3, seed=1),
    "ordered-loss": lambda ids: OrderedLoss(ids, seed=1),
    "map-guided": lambda ids: MapGuided(ids, epochs=8, start=0.3, end=0.6, seed=1),
}
family = pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY)


def logits_of(ids: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Some learner's logits: they depend on the example and the epoch alone."""
    labels = LABELS[np.searchsorted(IDS, ids)]
    rows = [np.random.default_rng([int(i), epoch]).normal(size=C) for i in ids]
    z = np.array(rows) + np.eye(C)[labels] * (epoch * (ids % 7))[:, None] / 4
    return z, labels


def train(schedule: Any, epochs: range) -> list[tuple[list[int], list[float]]]:
    visits = []
    for epoch in epochs:
        visit = schedule.plan(epoch)
        visits.append((visit.ids.tolist(), visit.weights_of(visit.ids).tolist()))
        for part in np.array_split(visit.ids, min(3, len(visit))):
            schedule.update(part, *logits_of(part, epoch))
        schedule.end_epoch()
    return visits


def test_every_schedule_of_the_table_is_in_the_family() -> None:
    assert {name.split(",")[0] for name in FAMILY} == WITHOUT_A_MAP


@family
def test_an_epoch_visits_known_examples_once_in_ascending_order(make: Make) -> None:
    for ids, weights in train(make(IDS), range(8)):
        assert ids == sorted(set(ids))
        assert set(ids) <= set(IDS.tolist())
        assert min(weights) > 0


@family
def test_the_order_in_which_ids_are_given_changes_nothing(make: Make) -> None:
    assert train(make(IDS[::-1]), range(6)) == train(make(IDS.tolist()), range(6))


@family
def test_a_resumed_schedule_goes_on_as_the_uninterrupted_one(make: Make) -> None:
    whole, first, second = make(IDS), make(IDS), make(IDS)
    expected = train(whole, range(8))
    assert train(first, range(4)) == expected[:4]
    second.restore({name: value.copy() for name, value in first.state().items()})
    assert train(second, range(4, 8)) == expected[4:]


@family
def test_a_schedule_stopped_in_the_middle_of_an_epoch_goes_on_there(make: Make) -> None:
    whole, first, second = make(IDS), make(IDS), make(IDS)
    expected = train(whole, range(5))
    train(first, range(3))
    ids = first.plan(3).ids
    half = len(ids) // 2
    first.update(ids[:half], *logits_of(ids[:half], 3))
    second.restore(first.state())
    assert second.plan(3).ids.tolist() == expected[3][0]
    second.update(ids[half:], *logits_of(ids[half:], 3))
    second.end_epoch()
    assert second.plan(4).ids.tolist() == expected[4][0]


@family
def test_one_example_is_enough(make: Make) -> None:
    schedule = make(IDS[:1])
    assert all(ids == [5] for ids, _ in train(schedule, range(8)))


@family
def test_ids_may_be_strings(make: Make) -> None:
    schedule = make([f"image {i:03d}.png" for i in range(20)])
    assert all(str(name).startswith("image") for name in schedule.plan(0).ids)


@family
@pytest.mark.parametrize("ids", [[], [1, 1]], ids=["none", "twice"])
def test_no_ids_and_repeated_ids_are_refused(make: Make, ids: list[int]) -> None:
    with pytest.raises(TrainmapError, match="ids must be unique"):
        make(ids)


@family
def test_the_state_of_another_schedule_is_refused(make: Make) -> None:
    with pytest.raises(TrainmapError, match="saved by another one"):
        make(IDS).restore({"something": np.zeros(3)})


def test_repeated_random_without_replacement_visits_all_before_it_visits_again() -> None:
    schedule = RepeatedRandom(np.arange(12), 4, seed=3)
    for start in (0, 3, 6):
        assert sorted(i for e in range(start, start + 3) for i in schedule.plan(e).ids.tolist()) == list(range(12))
    assert schedule.plan(0).ids.tolist() != schedule.plan(3).ids.tolist()


def test_infobatch_by_hand() -> None:
    schedule = InfoBatch(np.arange(6), epochs=8, ratio=0.5, anneal=0.5, seed=0)
    assert len(schedule.plan(0)) == 6
    # Losses log 2 for the first four, far more for the last two: four lie below the mean.
    logits = np.array([[0.0, 0.0]] * 4 + [[9.0, 0.0]] * 2)
    schedule.update(np.arange(6), logits, np.ones(6, int))
    schedule.end_epoch()
    visit = schedule.plan(1)
    assert len(visit) == 4
    assert {4, 5} <= set(visit.ids.tolist())
    assert visit.weights_of([5, 4]).tolist() == [1, 1]
    assert sorted(visit.weights_of(visit.ids).tolist()) == [1, 1, 2, 2]
    assert len(schedule.plan(4)) == 6  # annealing: from half of the eight epochs on


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.floats(0, 0.95), st.integers(0, 1000))
def test_infobatch_weights_add_up_to_all_the_examples(n: int, ratio: float, seed: int) -> None:
    schedule = InfoBatch(np.arange(n), epochs=10, ratio=ratio, seed=seed)
    logits = np.random.default_rng(seed).normal(size=(n, 3))
    schedule.update(np.arange(n), logits, np.zeros(n, int))
    schedule.end_epoch()
    visit = schedule.plan(1)
    assert visit.weights_of(visit.ids).sum() == pytest.approx(n)


def test_infobatch_is_unbiased_over_its_draws() -> None:
    n = 40
    values = np.random.default_rng(0).random(n)
    schedule = InfoBatch(np.arange(n), epochs=10**6, seed=0)
    schedule.update(np.arange(n), np.stack([values * 4, np.zeros(n)], axis=1), np.zeros(n, int))
    schedule.end_epoch()
    visits = [schedule.plan(epoch) for epoch in range(1, 4000)]
    means = np.array([(visit.weights_of(visit.ids) * values[visit.ids]).sum() / n for visit in visits])
    assert abs(float(means.mean() - values.mean())) < 4 * float(means.std()) / math.sqrt(len(means))


def test_ordered_loss_visits_the_top_of_its_pool() -> None:
    schedule = OrderedLoss(np.arange(10), pool=1.0, keep=0.3)
    margins = np.arange(10.0)  # example 0 has the highest loss
    schedule.update(np.arange(10), np.stack([margins, np.zeros(10)], axis=1), np.zeros(10, int))
    schedule.end_epoch()
    assert schedule.plan(1).ids.tolist() == [0, 1, 2]


def test_ordered_loss_draws_its_pool_anew() -> None:
    schedule = OrderedLoss(np.arange(100), pool=0.2, keep=1.0, warmup=0)
    assert len(schedule.plan(0)) == 20
    assert schedule.plan(0).ids.tolist() != schedule.plan(1).ids.tolist()


def two_epochs(schedule: MapGuided) -> None:
    """Three examples: always known, never known, undecided."""
    for epoch in range(2):
        z = np.array([[5.0, 0.0], [0.0, 5.0], [5.0, 0.0] if epoch else [0.0, 5.0]])
        schedule.update(np.arange(3), z, np.zeros(3, int))
        schedule.end_epoch()


@pytest.mark.parametrize(("axis", "first"), [("variability", 2), ("hard", 1), ("easy", 0)])
def test_the_map_so_far_leads(axis: Any, first: int) -> None:
    schedule = MapGuided(np.arange(3), epochs=4, axis=axis, start=0.34, end=0.34, explore=0)
    assert len(schedule.plan(0)) == len(schedule.plan(1)) == 3
    two_epochs(schedule)
    assert schedule.plan(2).ids.tolist() == [first]


def test_the_cut_keeps_the_hardest_from_the_top() -> None:
    schedule = MapGuided(np.arange(3), epochs=4, axis="hard", start=0.34, end=0.34, explore=0, cut=0.34)
    two_epochs(schedule)
    assert schedule.plan(2).ids.tolist() == [2]


def test_the_size_of_a_curriculum_goes_from_start_to_end() -> None:
    schedule = MapGuided(np.arange(100), epochs=6, start=0.2, end=0.8)
    assert [schedule.size(epoch) for epoch in range(6)] == [100, 100, 20, 40, 60, 80]


def test_exploring_takes_from_outside_the_top() -> None:
    schedule = MapGuided(np.arange(N), epochs=4, start=0.5, end=0.5, explore=0.4)
    train_ids = np.arange(N)
    for _ in range(2):
        schedule.update(train_ids, np.random.default_rng(1).normal(size=(N, 2)), np.zeros(N, int))
        schedule.end_epoch()
    top = set(schedule.ranking()[:18].tolist())
    visited = set(schedule.plan(2).ids.tolist())
    assert len(visited) == 30
    assert top <= visited


def test_the_memory_is_the_mean_and_the_spread_of_p_gold() -> None:
    memory, p = Memory(np.arange(5)), np.random.default_rng(0).uniform(0.1, 0.9, (7, 5))
    for row in p:
        memory.update(np.arange(5), np.stack([np.log(row), np.log(1 - row)], axis=1), np.zeros(5, int))
        memory.end_epoch()
    np.testing.assert_allclose(memory.mean, p.mean(axis=0))
    np.testing.assert_allclose(memory.spread, p.std(axis=0))
    np.testing.assert_allclose(memory.last, -np.log(p[-1]))


def test_an_example_that_comes_twice_in_an_epoch_counts_once() -> None:
    memory = Memory(np.arange(2))
    memory.update([0, 1, 0], [[0.0, 0.0], [0.0, 0.0], [3.0, 0.0]], [0, 0, 0])
    memory.end_epoch()
    assert memory.visits.tolist() == [1, 1]
    assert memory.last[0] == pytest.approx(math.log(1 + math.exp(-3)))


def test_tensors_and_arrays_give_the_same_loss() -> None:
    logits, labels = np.random.default_rng(0).normal(0, 30, (9, 5)), np.arange(9) % 5
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels), reduction="none")
    np.testing.assert_allclose(gold_loss(logits, labels), expected, rtol=1e-12)
    np.testing.assert_allclose(gold_loss(torch.tensor(logits), torch.tensor(labels)), expected, rtol=1e-4, atol=1e-6)
    half = gold_loss(torch.tensor(logits).bfloat16().requires_grad_(), torch.tensor(labels))
    assert half.dtype == torch.float32
    assert not half.requires_grad


def test_a_loss_that_is_not_a_number_is_an_error() -> None:
    memory = Memory(np.arange(2))
    memory.update([0, 1], [[np.nan, 0.0], [1.0, 0.0]], [0, 0])
    with pytest.raises(TrainmapError, match="logits must be finite; those of 1 examples"):
        memory.end_epoch()


def test_unknown_ids_are_an_error() -> None:
    schedule = InfoBatch(np.arange(4), epochs=2)
    with pytest.raises(TrainmapError, match=r"1 ids are not among the schedule's examples \(first: 9\)"):
        schedule.update([0, 9], np.zeros((2, 2)), [0, 0])
    with pytest.raises(TrainmapError, match="ids must be of the kind"):
        schedule.update(["a", "b"], np.zeros((2, 2)), [0, 0])


@pytest.mark.parametrize(
    ("ids", "rows", "labels", "message"),
    [
        ([0, 1], 2, [3, -1], "labels must be 0 to 9, got -1"),
        ([0, 1], 2, [10, 3], "labels must be 0 to 9, got 10"),
        ([0, 1, 2], 2, [3, 3], "a step of 3 ids needs as many logits and labels, got 2"),
        ([0, 1], 3, [3, 3, 3], "a step of 2 ids needs as many logits and labels, got 3"),
        ([0, 1], 2, [3], r"logits must be \(B, C\) and labels \(B,\), got \(2, 10\) and \(1,\)"),
        ([0, 1], 2, [3.0, 1.0], "labels must be integer"),
    ],
)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_step_that_does_not_fit_is_refused_and_leaves_no_trace(
    ids: list[int], rows: int, labels: list[float], message: str, as_tensor: bool
) -> None:
    schedule, logits, y = InfoBatch(IDS - 5, 5), np.zeros((rows, 10)), np.array(labels)
    with pytest.raises(TrainmapError, match=message):
        schedule.update(np.array(ids) * 3, *((torch.tensor(logits), torch.tensor(y)) if as_tensor else (logits, y)))
    assert schedule.state()["pending_places"].size == 0


def test_labels_may_be_arrays_beside_tensors() -> None:
    loss = gold_loss(torch.tensor([[0.0, 0.0], [0.0, 3.0]]), [1, 1])
    np.testing.assert_allclose(loss, [math.log(2), math.log(1 + math.exp(-3))], rtol=1e-6)


def test_a_step_on_an_accelerator_is_checked_without_reading_its_values() -> None:
    """A tensor of the meta device has a shape and no values; reading one is an error."""
    logits, labels = torch.zeros(3, 10, device="meta"), torch.zeros(3, dtype=torch.long, device="meta")
    memory = Memory(np.arange(4))
    memory.update([0, 1, 2], logits, labels)
    with pytest.raises(TrainmapError, match="a step of 2 ids"):
        memory.update([0, 1], logits, labels)
    with pytest.raises(TrainmapError, match="logits must be"):
        memory.update([0, 1, 2], logits, labels[:2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RepeatedRandom([1, 2], 3), "size must be 1 to 2"),
        (lambda: InfoBatch([1, 2], epochs=0), "epochs must be a whole number of at least 1"),
        (lambda: InfoBatch([1, 2], epochs=2, ratio=1.0), "ratio must be 0 to below 1, got 1.0"),
        (lambda: OrderedLoss([1, 2], pool=0), "pool must be above 0 to 1, got 0"),
        (lambda: OrderedLoss([1, 2], anneal=0.5), r"anneal 0.5 needs the epochs .*: OrderedLoss\(..., epochs=\)"),
        (lambda: OrderedLoss([1, 2], anneal=0.5, epochs=0), "epochs must be a whole number of at least 1"),
        (lambda: MapGuided([1, 2], epochs=4, warmup=1), "warmup must be a whole number of at least 2"),
        (lambda: MapGuided([1, 2], epochs=4, axis="middle"), "axis must be"),  # type: ignore[arg-type]
        (lambda: InfoBatch([1, 2], epochs=3).plan(-1), "epoch must be a whole number of at least 0"),
        (lambda: RepeatedRandom([1, 2], 0.3 * 2), "size must be a whole number of at least 1, got 0.6"),  # type: ignore[arg-type]
        (lambda: RepeatedRandom([1, 2], True), "size must be a whole number"),
        (lambda: InfoBatch([1, 2], epochs=2.0), "epochs must be a whole number"),  # type: ignore[arg-type]
        (lambda: OrderedLoss([1, 2], warmup=-1), "warmup must be a whole number of at least 0"),
    ],
)
def test_values_out_of_range_are_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        make()


@pytest.mark.parametrize("schedule", sorted(WITHOUT_A_MAP))
@pytest.mark.parametrize("seed", [1.5, -1, None])
def test_a_seed_that_is_no_whole_number_is_refused_at_the_door(schedule: str, seed: Any) -> None:
    with pytest.raises(TrainmapError, match="seed must be a whole number of at least 0"):
        SCHEDULES[schedule](**({"size": 0.5} if "random" in schedule else {})).make(Run(IDS, 2, seed))


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    one, other = RepeatedRandom(IDS, np.int32(7), seed=np.int64(3)), RepeatedRandom(IDS, 7, seed=3)  # type: ignore[arg-type]
    assert one.plan(np.int64(2)).ids.tolist() == other.plan(2).ids.tolist()  # type: ignore[arg-type]
