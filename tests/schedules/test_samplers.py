from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from trainmap.errors import TrainmapError
from trainmap.schedules import FilteredBatches, InfoBatch, MapGuided, RepeatedRandom, ScheduleSampler

N = 40
IDS = np.random.default_rng(0).permutation(N) + 100


def epoch_of(sampler: ScheduleSampler, loader: DataLoader[tuple[torch.Tensor, ...]], epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    seen: list[int] = []
    for ids, y in loader:
        logits = torch.stack([ids.float() % 5, y.float()], dim=1)
        assert sampler.weights(ids).shape == ids.shape
        sampler.schedule.update(ids, logits, y)
        seen += ids.tolist()
    sampler.schedule.end_epoch()
    return seen


def data() -> TensorDataset:
    return TensorDataset(torch.from_numpy(IDS), torch.from_numpy(IDS % 2))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_visits_what_the_schedule_plans(workers: int) -> None:
    sampler = ScheduleSampler(InfoBatch(IDS, epochs=4, seed=0), IDS, seed=1)
    loader = DataLoader(data(), batch_size=7, sampler=sampler, num_workers=workers)
    for epoch in range(4):
        planned = sampler.schedule.plan(epoch).ids.tolist()
        assert sorted(epoch_of(sampler, loader, epoch)) == planned
    assert 0 < sampler.pruned(4) < 0.5


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    orders = []
    for seed in (1, 1, 2):
        sampler = ScheduleSampler(RepeatedRandom(IDS, N), IDS, seed=seed)
        first = list(sampler)
        orders.append((first, list(sampler)))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != orders[0][1]


def test_processes_share_an_epoch_and_pad_alike() -> None:
    parts = [ScheduleSampler(RepeatedRandom(IDS, 11), IDS, rank=rank, world=3) for rank in range(3)]
    indices = [list(part) for part in parts]
    assert [len(part) for part in indices] == [4, 4, 4]
    planned = set(RepeatedRandom(IDS, 11).plan(0).ids.tolist())
    assert {int(IDS[i]) for part in indices for i in part} == planned
    assert all(part.examples == 11 for part in parts)


def test_more_processes_than_examples_still_get_one_each() -> None:
    parts = [list(ScheduleSampler(RepeatedRandom(IDS, 2), IDS, rank=rank, world=5)) for rank in range(5)]
    assert [len(part) for part in parts] == [1] * 5


def test_a_sampler_stopped_in_an_epoch_goes_on_with_the_next_index() -> None:
    whole = ScheduleSampler(InfoBatch(IDS, epochs=4), IDS, seed=5)
    expected = list(whole)
    first = ScheduleSampler(InfoBatch(IDS, epochs=4), IDS, seed=5)
    start = [index for index, _ in zip(iter(first), range(13), strict=False)]
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = ScheduleSampler(InfoBatch(IDS, epochs=4), IDS, seed=5)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert len(second) == N - second.given
    rest = list(second)
    assert expected[: len(expected) - len(rest)] + rest == expected
    assert start == expected[: len(start)]


def test_the_length_is_that_of_the_next_pass() -> None:
    sampler = ScheduleSampler(RepeatedRandom(IDS, 20), IDS)
    loader = DataLoader(data(), batch_size=5, sampler=sampler)
    for _ in range(3):
        assert len(loader) == 4 == len(list(loader))
    assert sampler.epoch == 2
    next(iter(loader))
    assert (sampler.epoch, len(loader)) == (3, 4)
    guided = MapGuided(IDS, epochs=4, start=0.5, end=0.25, warmup=2)
    sampler = ScheduleSampler(guided, IDS, rank=1, world=3)
    lengths = []
    for _ in range(4):
        lengths.append(len(sampler))
        assert len(list(sampler)) == lengths[-1]
        guided.end_epoch()
    assert lengths == [14, 14, 7, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_look_at_the_first_batch_changes_nothing(workers: int) -> None:
    sampler = ScheduleSampler(RepeatedRandom(IDS, 20), IDS)
    loader = DataLoader(data(), batch_size=2, sampler=sampler, num_workers=workers)
    expected = list(ScheduleSampler(RepeatedRandom(IDS, 20), IDS))
    first = next(iter(loader))[0]
    whole = torch.cat([ids for ids, _ in loader])
    assert first.tolist() == whole[:2].tolist()
    assert whole.tolist() == IDS[expected].tolist()


def stepped(sampler: ScheduleSampler, epochs: range, stop: tuple[int, int] | None = None) -> tuple[list[Any], Any]:
    """The loop of the documentation, up to a step of an epoch: the batches, and the state at the stop."""
    loader, batches = DataLoader(data(), batch_size=7, sampler=sampler), []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        for step, (ids, y) in enumerate(loader):
            batches.append([*ids.tolist(), *sampler.weights(ids).tolist()])
            sampler.schedule.update(ids, torch.stack([ids.float() % 5, y.float()], dim=1), y)
            if stop == (epoch, step):
                return batches, sampler.state_dict()
        sampler.schedule.end_epoch()
        if stop == (epoch, -1):
            return batches, sampler.state_dict()
    return batches, None


@pytest.mark.parametrize("stop", [(0, 2), (1, 0), (2, 3), (1, -1), (3, -1), "last step"])
def test_the_loop_of_the_documentation_goes_on_unchanged_after_a_kill(stop: Any) -> None:
    def made() -> ScheduleSampler:
        return ScheduleSampler(InfoBatch(IDS, epochs=4, seed=2), IDS, seed=5)

    whole = made()
    expected, _ = stepped(whole, range(4))
    start, state = stepped(made(), range(4), (0, 5) if stop == "last step" else stop)
    second = made()
    second.load_state_dict(state)
    if not second.finished:
        next(iter(second))
    rest, _ = stepped(second, range(second.epoch, 4))
    assert start + rest == expected
    assert second.pruned(4) == whole.pruned(4)


def test_a_state_of_another_sampler_is_refused() -> None:
    def made(ids: np.ndarray = IDS, ratio: float = 0.5, **options: int) -> ScheduleSampler:
        return ScheduleSampler(InfoBatch(ids, epochs=4, ratio=ratio), ids, **options)

    first = made(world=2)
    for _ in zip(range(15), first, strict=False):
        pass
    state = first.state_dict()
    for other, message in [
        (made(world=4), "its world 2, here 4; make the sampler as it was"),
        (made(world=2, seed=1), "its seed 0, here 1"),
        (made(world=2, ratio=0.3), "its schedule InfoBatch .*'ratio': 0.5.*, here InfoBatch .*'ratio': 0.3"),
        (made(np.sort(IDS), world=2), "its ids"),
    ]:
        with pytest.raises(TrainmapError, match=message):
            other.load_state_dict(state)
        assert len(other) == -(-N // other.world)
    list(first)
    between = made(world=4)
    between.load_state_dict(first.state_dict())
    assert len(list(between)) == N // 4
    assert between.epoch == 1


def test_other_ids_than_the_schedules_are_refused() -> None:
    with pytest.raises(TrainmapError, match="give both the same"):
        list(ScheduleSampler(RepeatedRandom([1, 2, 3], 2), IDS))
    with pytest.raises(TrainmapError, match="rank must be 0 to 1"):
        ScheduleSampler(RepeatedRandom(IDS, 2), IDS, rank=2, world=2)


def test_a_proxy_keeps_the_highest_losses_of_each_pool() -> None:
    asked: list[int] = []

    def loss_of(pool: list[int]) -> list[float]:
        asked.extend(pool)
        return [float(IDS[i]) for i in pool]

    sampler = ScheduleSampler(RepeatedRandom(IDS, N), IDS)
    batches = FilteredBatches(sampler, pool=16, batch=4, loss_of=loss_of)
    assert len(batches) == 3
    got = [ids.tolist() for ids, _ in DataLoader(data(), batch_sampler=batches)]
    assert sorted(asked) == list(range(N))
    pools = [asked[:16], asked[16:32], asked[32:]]
    assert [set(part) for part in got] == [
        set(sorted((int(IDS[i]) for i in pool), reverse=True)[: len(pool) // 4]) for pool in pools
    ]


def test_a_proxy_that_gives_something_else_than_losses_is_an_error() -> None:
    sampler = ScheduleSampler(RepeatedRandom(IDS, N), IDS)
    with pytest.raises(TrainmapError, match="must return 16 finite losses"):
        list(FilteredBatches(sampler, 16, 4, lambda pool: [float("nan")] * len(pool)))
    with pytest.raises(TrainmapError, match="batch must be 1 to pool"):
        FilteredBatches(sampler, 4, 5, lambda pool: pool)
